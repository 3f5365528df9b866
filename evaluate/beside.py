"""A second process that does arms of an evaluation at the same time.

A small model's steps are small: two processes with half of the cores each get more done than one with all
of them, as neither waits for the other (docs/benchmarks.md). The helper asks for an arm at a time and writes
the arm's rows into the same run; what it leaves undone, whatever happens to it, the evaluation does itself.

The helper is ``python -m evaluate.beside``. On its stdin comes the request as a line of JSON, then the name
of an arm for each time it asks; on its stdout, lines of JSON say what it asks for and how far it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from evaluate.work import Progress, Work
from fde.engagement import Engagement
from fde.errors import FdeError

# With fewer episodes than this, starting a process takes longer than it saves.
_WORTH = 200


class Queue:
    """Names of arms that are waiting: taken from the front here, from the back by the helper."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = deque(names)
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names)

    def first(self) -> str | None:
        with self._lock:
            return self._names.popleft() if self._names else None

    def last(self) -> str | None:
        with self._lock:
            return self._names.pop() if self._names else None


@contextmanager
def nobody() -> Iterator[None]:
    """No helper."""
    yield


@contextmanager
def helper(work: Work, waiting: Queue) -> Iterator[None]:
    """Have a second process do arms inside this block, where there is enough to do and a core for it.

    The block's end waits for the arm that the helper is at; an error in the block ends it.
    """
    from serve.engine.local import cpu_threads

    threads = cpu_threads()
    named = {arm.name: arm for arm in work.arms}
    episodes = sum(len(work.tasks(named[name], "environment")) for name in waiting.names)
    if threads < 2 or len(waiting.names) < 2 or episodes < _WORTH:
        yield
        return
    theirs = threads // 2
    request = {
        "engagement": str(work.engagement.root),
        "inputs": dict(work.run.inputs),
        "config": dict(work.run.config),
        "threads": theirs,
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "evaluate.beside"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C is this process's to handle.
        process_group=0,
    )
    assert process.stdin is not None and process.stdout is not None
    _send(process.stdin, json.dumps(request))

    def serve() -> None:
        _serve(process, waiting, work.progress)
        # All cores are free for the arms that come next.
        work.threads = None

    thread = threading.Thread(target=serve, name="helper", daemon=True)
    work.threads = threads - theirs
    thread.start()
    try:
        yield
        thread.join()
    finally:
        process.kill()
        process.wait()
        thread.join()
        process.stdout.close()
        with suppress(OSError):
            process.stdin.close()


def _serve(process: subprocess.Popen[str], waiting: Queue, progress: Progress) -> None:
    """Give the helper arms as it asks, until there are none or it is gone."""
    assert process.stdin is not None and process.stdout is not None
    advance: Callable[[], None] = lambda: None  # noqa: E731
    for line in process.stdout:
        told = json.loads(line)
        if told["is"] == "free":
            name = waiting.last()
            if name is None or not _send(process.stdin, name):
                break
        elif told["is"] == "begun":
            advance = progress(told["label"], told["total"])
        else:
            advance()


def _send(pipe: IO[str], line: str) -> bool:
    """Write a line; False when nobody reads it any more."""
    try:
        pipe.write(line + "\n")
        pipe.flush()
    except OSError:
        return False
    return True


def main() -> int:
    """The helper."""
    # What libraries print does not belong among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(**what: Any) -> None:
        _send(answers, json.dumps(what))

    def progress(label: str, total: int) -> Callable[[], None]:
        tell(**{"is": "begun"}, label=label, total=total)
        return lambda: tell(**{"is": "done"})

    try:
        work = _same_work(json.loads(sys.stdin.readline()), progress)
        named = {arm.name: arm for arm in work.arms}
        while True:
            tell(**{"is": "free"})
            name = sys.stdin.readline().strip()
            if not name:
                return 0
            work.do(named[name], "environment")
    except FdeError:
        # The evaluation comes to the same arm and tells the same error.
        return 1
    except KeyboardInterrupt:
        return 130


def _same_work(request: dict[str, Any], progress: Progress) -> Work:
    """The evaluation of the process that asks, made again from the files it was made from."""
    from evaluate.discover import find_arms
    from evaluate.places import compiled
    from evaluate.results import load_test_set
    from evaluate.settings import settings

    engagement = Engagement(Path(request["engagement"]))
    config = request["config"]
    run = engagement.run("evaluate", inputs=request["inputs"], config=config)
    place = compiled(engagement, config["workflow"])
    arms = find_arms(engagement, place.workflow, place.run, settings(engagement))
    wanted = [arm for arm in arms if arm.name in config["arms"]]
    work = Work(engagement, run, place, None, config["model"], progress, wanted, request["threads"])
    work.tests = load_test_set(run)
    return work


if __name__ == "__main__":
    from fde import offline
    from fde.lifeline import end_with_parent

    end_with_parent()
    offline.prepare()
    sys.exit(main())
