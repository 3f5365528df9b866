"""Processes that read files side by side, each file under a limit of time and of memory.

A worker that crashes, hangs or asks for too much memory costs the answer for the
file it was reading and nothing else: it is ended with everything it started, and
another one takes its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from fde.errors import WorkError

# How often running workers are looked at, and how long a new one may take to be ready.
LOOK_EVERY_S = 0.25
READY_S = 120.0
# Memory that one more worker is expected to take.
SHARE_BYTES = 1_000_000_000

_BOOT = (
    "import json, sys; settings = json.loads(sys.argv[1]); sys.path[:] = settings['path']; "
    "from ingest.worker import main; main(settings)"
)


@dataclass(frozen=True)
class Limits:
    """What one file may take.

    Attributes:
        seconds: Wall-clock time.
        memory_bytes: Resident memory of the worker and of all it started.
        contained: The worker itself is refused more address space than that, and any connection. Not for
            workers that start a browser, which reserves far more address space than it uses.
    """

    seconds: float = 300.0
    memory_bytes: int = 3_000_000_000
    contained: bool = True


@dataclass(frozen=True)
class Answer:
    """What became of one task.

    Attributes:
        value: What the job answered; None when it failed.
        error: Why it failed.
        lasting: Whether trying again would end the same.
    """

    value: dict[str, Any] | None = None
    error: str | None = None
    lasting: bool = True


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    limits: Limits
    began: float
    ready: bool = False
    task: int | None = None
    unread: bytearray = field(default_factory=bytearray)

    def give(self, number: int, task: dict[str, Any]) -> None:
        self.task, self.began = number, time.monotonic()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is noticed by the one who listens
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()

    def over_limit(self) -> str | None:
        """Why it has to be ended; None while it keeps its limits."""
        taken = time.monotonic() - self.began
        if not self.ready:
            return "it did not start" if taken > READY_S else None
        if self.task is None:
            return None
        if taken > self.limits.seconds:
            return f"it took longer than {self.limits.seconds:g} s"
        if _tree_bytes(self.process.pid) > self.limits.memory_bytes:
            return f"it needs more than {self.limits.memory_bytes / 1e9:.1f} GB of memory"
        return None

    def end(self) -> None:
        """End it and everything it started."""
        for process in reversed(_tree(self.process.pid)):
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.close()

    def close(self) -> int:
        """Let it go: with its input closed it ends by itself; its exit code."""
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            for process in reversed(_tree(self.process.pid)):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            return self.process.wait()


def default_processes() -> int:
    """One process per core, fewer where memory is short."""
    room = int(psutil.virtual_memory().available // SHARE_BYTES)
    return max(1, min(len(os.sched_getaffinity(0)), room))


def answers(
    job: str, tasks: Sequence[dict[str, Any]], limits: Limits, processes: int | None = None
) -> Generator[tuple[int, Answer], None, None]:
    """Have all tasks done; gives ``(number of the task, answer)`` as they are finished, in any order.

    Args:
        job: ``module:function`` of what is called with each task; both sides are plain JSON data.
        processes: How many at a time; default: :func:`default_processes`.

    Raises:
        WorkError: when workers do not even start.
    """
    waiting = list(range(len(tasks)))[::-1]
    workers: dict[int, _Worker] = {}
    most = max(1, min(processes or default_processes(), len(tasks)))
    with selectors.DefaultSelector() as ears:
        try:
            while waiting or workers:
                while waiting and len(workers) < min(most, len(waiting) + _busy(workers)):
                    worker = _start(job, limits)
                    assert worker.process.stdout is not None
                    workers[worker.process.stdout.fileno()] = worker
                    ears.register(worker.process.stdout.fileno(), selectors.EVENT_READ)
                for key, _ in ears.select(LOOK_EVERY_S):
                    yield from _hear(key.fd, workers, ears, waiting, tasks)
                for descriptor, worker in list(workers.items()):
                    reason = worker.over_limit()
                    if reason is not None:
                        ears.unregister(descriptor)
                        del workers[descriptor]
                        worker.end()
                        if worker.task is None:
                            raise WorkError(f"The process that reads files failed: {reason}.")
                        yield worker.task, Answer(error=reason, lasting=False)
        finally:
            for worker in workers.values():
                worker.end()


def _busy(workers: dict[int, _Worker]) -> int:
    return sum(worker.task is not None for worker in workers.values())


def _start(job: str, limits: Limits) -> _Worker:
    settings = {
        "job": job,
        "parent": os.getpid(),
        "memory_bytes": limits.memory_bytes if limits.contained else None,
        "offline": limits.contained,
        "path": sys.path,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _BOOT, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # an interrupt of the terminal is ours to handle
    )
    return _Worker(process, limits, time.monotonic())


def _hear(
    descriptor: int,
    workers: dict[int, _Worker],
    ears: selectors.BaseSelector,
    waiting: list[int],
    tasks: Sequence[dict[str, Any]],
) -> Iterator[tuple[int, Answer]]:
    """Take in what a worker says, and give it the next task when it is free."""
    worker = workers[descriptor]
    heard = os.read(descriptor, 1 << 16)
    worker.unread += heard
    worn = not heard
    *lines, rest = bytes(worker.unread).split(b"\n") if b"\n" in heard else [bytes(worker.unread)]
    worker.unread = bytearray(rest)
    for line in lines:
        said = json.loads(line)
        if said.get("ready"):
            worker.ready = True
            continue
        assert worker.task is not None
        number, worker.task = worker.task, None
        worn = worn or bool(said["worn"])
        hint = f" {said['hint']}" if said.get("hint") else ""
        lasting = not (said.get("transient") or said.get("defect"))
        error = said["error"] + hint if "error" in said else None
        yield number, Answer(said.get("value"), error, lasting)
    if worn or (worker.ready and worker.task is None and not waiting):
        ears.unregister(descriptor)
        del workers[descriptor]
        told = b"" if worker.ready or worker.process.stderr is None else worker.process.stderr.read()
        code = worker.close()
        if not worker.ready:
            last = told.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise WorkError(f"The process that reads files does not start: {''.join(last) or code}.")
        if worker.task is not None:
            yield worker.task, Answer(error=_cause(code), lasting=code != -signal.SIGKILL)
    elif worker.ready and worker.task is None:
        number = waiting.pop()
        worker.give(number, tasks[number])


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its reader was killed by the system, probably for memory"
    if code < 0:
        return f"its reader crashed ({signal.Signals(-code).name})"
    return f"its reader ended with exit code {code}"


def _tree(pid: int) -> list[psutil.Process]:
    """A process and all it started, itself first; empty when it is gone."""
    try:
        found = psutil.Process(pid)
        return [found, *found.children(recursive=True)]
    except psutil.Error:
        return []


def _tree_bytes(pid: int) -> int:
    """Resident memory of a process and of all it started."""
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total
