"""Rollout workers on the nodes of a Ray cluster.

On each node an actor starts the same process that a worker on this machine is (:mod:`train.workers.process`)
and hands messages on: limits of time, beats and last words are those, and Ray adds which node has room and
that a node is gone. Messages cross as bytes of JSON and safetensors.

What a worker loads is named, not sent: the base model and the compiled workflow must be at the same paths
on every node, as on a shared file system.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fde import offline
from fde.errors import MissingError, WorkError
from train.workers.process import START_S, Link, LostError, ProcessLink
from train.workers.recipe import Recipe
from train.workers.wire import Message, Tensors, packed, unpacked

if TYPE_CHECKING:
    from types import ModuleType

_LOOK_S = 1.0
_KNOCK_S = 10.0
# So long a worker may wait for a node with room, beside the time to start.
_ROOM_S = 600.0
Answer = tuple[str, bytes]


class Relay:
    """What runs on a node: a worker process, and its answers, or why there is none, as plain data."""

    def __init__(self, recipe: str, number: int, threads: int, stall_s: float) -> None:
        self._link = ProcessLink(Recipe(**json.loads(recipe)), number, threads=threads, stall_s=stall_s)

    def ready(self) -> Answer:
        def wait() -> Message:
            self._link.ready()
            return {}, {}

        return self._answer(wait)

    def ask(self, said: str, blob: bytes) -> Answer:
        return self._answer(lambda: self._link.ask(json.loads(said), unpacked(blob)))

    def _answer(self, work: Callable[[], Message]) -> Answer:
        try:
            told, tensors = work()
        except LostError as lost:
            return json.dumps({"lost": str(lost)}), b""
        except WorkError as error:
            return json.dumps({"failed": error.message, "hint": error.hint}), b""
        return json.dumps({"told": told}), packed(tensors)


class RayLink:
    """A worker somewhere on the cluster (see :class:`train.workers.process.Link`)."""

    def __init__(
        self, ray: ModuleType, recipe: Recipe, number: int, *, threads: int, gpus: float, stall_s: float
    ) -> None:
        self._ray, self._name = ray, f"Rollout worker {number}"
        self._ended = False
        options = {"num_cpus": threads, "num_gpus": gpus, "scheduling_strategy": "SPREAD", "max_restarts": 0}
        actor = ray.remote(Relay).options(**options)
        self._actor = actor.remote(json.dumps(asdict(recipe)), number, threads, stall_s)

    def ready(self) -> None:
        """See :meth:`Link.ready`; the wait for a node with room is part of it."""
        self._wait(self._actor.ready.remote(), START_S + _ROOM_S)

    def ask(self, said: Mapping[str, Any], tensors: Tensors | None = None) -> Message:
        """See :meth:`Link.ask`."""
        # How long an answer may take is judged beside the worker; that a node is gone is noticed by Ray.
        return self._wait(self._actor.ask.remote(json.dumps(said), packed(tensors)), None)

    def _wait(self, answer: Any, limit_s: float | None) -> Message:
        waited_s = 0.0
        try:
            while not self._ray.wait([answer], timeout=_LOOK_S)[0]:
                waited_s += _LOOK_S
                if self._ended:
                    raise LostError(f"{self._name} was ended")
                if limit_s is not None and waited_s > limit_s:
                    raise LostError(f"{self._name} did not start in {waited_s:g} s: no node had room for it")
            text, blob = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise LostError(f"{self._name} was lost with its node or its actor ({first})") from error
        said = json.loads(text)
        if "lost" in said:
            raise LostError(said["lost"])
        if "failed" in said:
            raise WorkError(said["failed"], said["hint"])
        return said["told"], unpacked(blob)

    def end(self) -> None:
        """See :meth:`Link.end`; the worker's process ends with its actor."""
        self._ended = True
        with contextlib.suppress(Exception):  # an actor that is gone cannot be ended again
            self._ray.kill(self._actor)

    def close(self) -> None:
        """See :meth:`Link.close`."""
        self.end()


def connected() -> ModuleType:
    """Ray, connected to the cluster of ``RAY_ADDRESS``, or to one of this machine alone.

    Raises:
        MissingError: when Ray is not installed.
        WorkError: when the cluster does not answer.
    """
    offline.prepare()  # before a cluster is started here: its processes inherit that they report nothing
    try:
        import ray
    except ImportError as error:
        raise MissingError(
            "--engine ray needs Ray, which is not installed.", "Install it with: pip install 'fde[ray]'"
        ) from error
    if not ray.is_initialized():
        try:
            _knock(os.environ.get("RAY_ADDRESS", ""))
            ray.init(logging_level="warning", log_to_driver=False, include_dashboard=False)
        except (OSError, RuntimeError, ValueError) as error:
            where = os.environ.get("RAY_ADDRESS", "this machine")
            raise WorkError(
                f"The Ray cluster at {where} does not answer: {error}",
                "Start one with: ray start --head --disable-usage-stats --include-dashboard=false; then set "
                "RAY_ADDRESS to its address, or leave that out for this machine alone.",
            ) from error
    found: ModuleType = ray
    return found


def _knock(address: str) -> None:
    """Raises OSError when nobody listens at ``HOST:PORT``: Ray itself would try for eight minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()


def starter(recipe: Recipe, workers: int, stall_s: float) -> Callable[[int], Link]:
    """What starts workers on the cluster, each with a GPU where the cluster has some.

    Raises:
        MissingError: when Ray is not installed.
        WorkError: when the cluster does not answer, or has no processor to give.
    """
    ray = connected()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    threads = threads_each([node.get("CPU", 0.0) for node in nodes], workers)
    gpus = 1.0 if any(node.get("GPU") for node in nodes) else 0.0

    def start(number: int) -> Link:
        return RayLink(ray, recipe, number, threads=threads, gpus=gpus, stall_s=stall_s)

    return start


def threads_each(processors: Sequence[float], workers: int) -> int:
    """Processors of each worker: all that the nodes lend, shared out, as many as the smallest of them has.

    Raises:
        WorkError: when no node lends one.
    """
    lent = [int(count) for count in processors if count >= 1]
    if not lent:
        raise WorkError(
            "No node of the Ray cluster lends a processor.", "Start nodes with: ray start --num-cpus N"
        )
    return max(1, min(min(lent), sum(lent) // max(1, workers)))
