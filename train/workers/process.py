"""A rollout worker in a process of its own: told what to do, listened to, ended when it is stuck."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, Protocol

from fde.errors import WorkError
from train.workers.recipe import Recipe
from train.workers.wire import Message, Pipe, Tensors

# A worker that has loaded its model by then: large ones take minutes from a slow disk.
START_S = 900.0
_LOOK_S = 1.0
_TOLD_LINES, _TOLD_BYTES = 3, 4096
_BOOT = (
    "import json, sys; settings = json.loads(sys.argv[1]); sys.path[:] = settings['path']; "
    "from train.workers.work import main; main(settings)"
)


class LostError(Exception):
    """A worker is gone, with what it was doing; another one can do that again."""


class Link(Protocol):
    """A rollout worker, as its trainer has it: being started at first."""

    def ready(self) -> None:
        """Wait until it has its model. Raises as :meth:`ask`."""
        ...

    def ask(self, said: Mapping[str, Any], tensors: Tensors | None = None) -> Message:
        """Have something done, and wait for the answer (see :class:`train.workers.maker.Maker`).

        Raises:
            LostError: when the worker was killed, or is stuck and was ended.
            WorkError: when it could not do it; doing it again would end the same.
        """
        ...

    def end(self) -> None:
        """End the worker, whatever it is doing: an answer that is waited for becomes a LostError."""
        ...

    def close(self) -> None:
        """End it and give back what the link holds, when nobody waits for an answer any more."""
        ...


class ProcessLink:
    """A worker process, started at once.

    Args:
        number: From 1, for messages.
        threads: That it may compute with.
        stall_s: Seconds without anything computed, after which it counts as stuck.
        environ: What its environment has beside ours.
    """

    def __init__(
        self,
        recipe: Recipe,
        number: int,
        *,
        threads: int,
        stall_s: float,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = f"Rollout worker {number}"
        self.stall_s = stall_s
        self._closed = False
        ours, its = socket.socketpair()
        settings = {
            "make": recipe.make,
            "settings": dict(recipe.settings),
            "threads": threads,
            "connection": its.fileno(),
            "path": sys.path,
        }
        # What it prints is nobody's data, but may say why it ended.
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - kept as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=self._told,
            stderr=self._told,
            pass_fds=[its.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": str(threads), **recipe.environ, **(environ or {})},
            start_new_session=True,  # an interrupt of the terminal is ours to handle
        )
        its.close()
        self._pipe = Pipe(ours)

    def ready(self) -> None:
        """See :meth:`Link.ready`."""
        self._listen(START_S, "did not start")

    def ask(self, said: Mapping[str, Any], tensors: Tensors | None = None) -> Message:
        """See :meth:`Link.ask`."""
        try:
            self._pipe.send(said, tensors, within_s=self.stall_s)
        except TimeoutError as error:
            raise self._lost(f"is stuck: {error}") from error
        except OSError as error:
            raise self._lost(self._cause()) from error
        return self._listen(self.stall_s, "is stuck: it computed nothing")

    def _listen(self, limit_s: float, late: str) -> Message:
        """Wait for an answer as long as there is progress."""
        seen, idle_s = -1, 0.0
        while True:
            unread, began = self._pipe.unread, time.monotonic()
            try:
                message = self._pipe.receive(_LOOK_S)
            except EOFError:
                raise self._lost(self._cause()) from None
            if message is not None and "progress" not in message[0]:
                if "error" in message[0]:
                    raise WorkError(f"{self.name}: {message[0]['error']}", message[0]["hint"])
                return message
            # A beat alone says that the process lives; what it computed, or sends, that it gets on. Time
            # in which this process was stopped itself is not the worker's.
            idle_s += min(time.monotonic() - began, 2 * _LOOK_S)
            progress = seen if message is None else int(message[0]["progress"])
            if progress != seen or self._pipe.unread > unread:
                seen, idle_s = progress, 0.0
            elif idle_s > limit_s:
                raise self._lost(f"{late} for {limit_s:g} s")

    def _lost(self, what: str) -> LostError:
        self.close()
        return LostError(f"{self.name} {what}")

    def _cause(self) -> str:
        """How it ended, with its last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        if code is None:
            return "closed its connection"
        if code == -signal.SIGKILL:
            return "was killed by the system or a person (out of memory looks like this)"
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        self._told.seek(0, os.SEEK_END)
        self._told.seek(max(0, self._told.tell() - _TOLD_BYTES))
        lines = self._told.read().decode("utf-8", "replace").strip().splitlines()[-_TOLD_LINES:]
        return f"ended with exit code {code}: {' / '.join(lines) or 'it said nothing'}"

    def end(self) -> None:
        """See :meth:`Link.end`: it, and what it started."""
        if self._closed:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """See :meth:`Link.close`."""
        self.end()
        self._closed = True
        self._process.wait()
        self._pipe.close()
        self._told.close()


def threads_each(workers: int) -> int:
    """Torch threads of each of so many workers: the machine's cores, shared out."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, workers))


def device_of(number: int) -> dict[str, str]:
    """What puts a worker on a GPU: the trainer has the first, the others are dealt out; one is shared."""
    import torch

    if torch.cuda.device_count() < 2:
        return {}
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]
    return {"CUDA_VISIBLE_DEVICES": gpus[1:][(number - 1) % (len(gpus) - 1)]}
