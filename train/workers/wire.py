"""What trainer and rollout workers say to each other: JSON and safetensors, over a socket.

Nothing is pickled. A message is a JSON object and named tensors.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from torch import Tensor

from envgen.session import Score, Task, plain
from serve.engine.adapter import AdapterWeights, Tuned
from serve.engine.full import FullWeights
from serve.episodes import Decision, Episode, Group, Segment, Stop

Tensors = Mapping[str, Tensor]
Message = tuple[dict[str, Any], Tensors]

# Before every message: the bytes of its JSON, and of its tensors.
_HEAD = struct.Struct("<QQ")
_READ = 1 << 20


class Pipe:
    """One end of a connection. Several threads may send; one receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.setblocking(False)
        self._unread = bytearray()
        self._sending = threading.Lock()

    def send(self, said: Mapping[str, Any], tensors: Tensors | None = None, *, within_s: float) -> None:
        """Send a message.

        Raises:
            TimeoutError: when the other end took nothing in for ``within_s`` seconds.
            OSError: when it is gone.
        """
        text, blob = json.dumps(said).encode(), packed(tensors)
        with self._sending:
            for part in (_HEAD.pack(len(text), len(blob)), text, blob):
                self._send(memoryview(part), within_s)

    def _send(self, part: memoryview, within_s: float) -> None:
        while part:
            if not self._ready(select.POLLOUT, within_s):
                raise TimeoutError(f"nothing was taken in for {within_s:g} s")
            part = part[self._connection.send(part) :]

    def _ready(self, event: int, within_s: float | None) -> bool:
        """Wait until the connection can be read, or written; False when it cannot in time."""
        poll = select.poll()
        poll.register(self._connection, event)
        return bool(poll.poll(None if within_s is None else 1000 * within_s))

    def receive(self, within_s: float | None = None) -> Message | None:
        """The next message; None when it is not here whole after so many seconds.

        Raises:
            EOFError: when the other end is gone.
        """
        until = None if within_s is None else time.monotonic() + within_s
        while (message := self._next()) is None:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not self._ready(select.POLLIN, left):
                return None
            try:
                heard = self._connection.recv(_READ)
            except ConnectionError as error:
                raise EOFError from error
            if not heard:
                raise EOFError
            self._unread += heard
        return message

    @property
    def unread(self) -> int:
        """Bytes that are here of a message that is not whole."""
        return len(self._unread)

    def _next(self) -> Message | None:
        if len(self._unread) < _HEAD.size:
            return None
        text, blob = _HEAD.unpack_from(self._unread)
        end = _HEAD.size + text + blob
        if len(self._unread) < end:
            return None
        body = bytes(memoryview(self._unread)[_HEAD.size : end])
        del self._unread[:end]
        return json.loads(body[:text]), unpacked(body[text:])

    def close(self) -> None:
        self._connection.close()


def packed(tensors: Tensors | None) -> bytes:
    """Tensors as safetensors; nothing where there are none."""
    from safetensors.torch import save

    if not tensors:
        return b""
    return bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def unpacked(blob: bytes) -> dict[str, Tensor]:
    """The inverse of :func:`packed`."""
    from safetensors.torch import load

    return load(blob) if blob else {}


def enclosed(said: Mapping[str, Any], tensors: Tensors | None = None) -> bytes:
    """A message as one run of bytes; :func:`opened` is the inverse."""
    text = json.dumps(said).encode()
    return _HEAD.pack(len(text), 0) + text + packed(tensors)


def opened(content: bytes) -> Message:
    text, _ = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    return json.loads(body[:text]), unpacked(body[text:])


# Adapters


def adapter_out(weights: Tuned) -> Message:
    """An adapter as a message; :func:`adapter_in` is the inverse."""
    if isinstance(weights, FullWeights):
        return {"rank": None}, weights.named()
    told = {"rank": weights.rank, "alpha": weights.alpha, "scale": weights.scale, "nf4": weights.nf4}
    return told, weights.named()


def adapter_in(told: Mapping[str, Any], tensors: Tensors) -> Tuned:
    if told["rank"] is None:
        return FullWeights(dict(tensors))
    paths = sorted(name[2:] for name in tensors if name.startswith("a."))
    pairs = {path: (tensors[f"a.{path}"], tensors[f"b.{path}"]) for path in paths}
    return AdapterWeights(told["rank"], told["alpha"], told["scale"], pairs, told["nf4"])


# Groups


def groups_out(groups: Sequence[Group]) -> Message:
    """Groups as a message; :func:`groups_in` is the inverse. What the lower layers made goes along."""
    import torch

    tensors: dict[str, Tensor] = {}
    told = []
    for number, group in enumerate(groups):
        segments = []
        for index, segment in enumerate(group.segments):
            if segment.lower:
                # Pieces as they were fed; only ever shorter than the tokens, never others.
                tensors[f"{number}.{index}"] = torch.cat(segment.lower)
            segments.append(
                {
                    "parent": segment.parent,
                    "start": segment.start,
                    "samples": segment.samples,
                    "fresh": segment.fresh,
                    "tokens": segment.tokens,
                    "potentials": segment.potentials,
                    "unforeseen": segment.unforeseen,
                    "decisions": [astuple(d) for d in segment.decisions],
                }
            )
        episodes = [_episode_out(episode) for episode in group.episodes]
        told.append({"task": plain(group.task), "segments": segments, "episodes": episodes})
    return {"groups": told}, tensors


def groups_in(told: Mapping[str, Any], tensors: Tensors) -> list[Group]:
    groups = []
    for number, each in enumerate(told["groups"]):
        task = Task.model_validate(each["task"])
        segments = []
        for index, fields in enumerate(each["segments"]):
            decisions = [
                Decision(offset, tuple(allowed), chosen, logprob, entropy)
                for offset, allowed, chosen, logprob, entropy in fields["decisions"]
            ]
            samples, potentials = tuple(fields["samples"]), [tuple(pair) for pair in fields["potentials"]]
            changed = {"samples": samples, "potentials": potentials, "decisions": decisions}
            segments.append(Segment(**{**fields, **changed}, lower=tensors.get(f"{number}.{index}")))
        groups.append(Group(task, segments, [_episode_in(task, fields) for fields in each["episodes"]]))
    return groups


def _episode_out(episode: Episode) -> dict[str, Any]:
    score = episode.score.model_dump() if episode.score else None
    fields = {name: getattr(episode, name) for name in Episode.__dataclass_fields__ if name != "task"}
    return {**fields, "score": score, "stop": str(episode.stop)}


def _episode_in(task: Task, fields: Mapping[str, Any]) -> Episode:
    score = Score.model_validate(fields["score"]) if fields["score"] else None
    return Episode(task, **{**fields, "score": score, "stop": Stop(fields["stop"])})
