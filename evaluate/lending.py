"""The real application, and the few sessions of it that take turns with the tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from envgen.session import Score, Session, Task, View
from ingest.action import Action


@dataclass(frozen=True, slots=True)
class LivePlace:
    """The real application.

    Attributes:
        tasks: By number and seed.
        session: Opens a session; the caller closes it.
        sessions: How many may work side by side.
    """

    tasks: Callable[[int, int], Sequence[Task]]
    session: Callable[[], Session]
    sessions: int = 1


@dataclass(frozen=True, slots=True)
class _Kept:
    """A session with the thread that made it: a browser answers to no other."""

    session: Session
    thread: Executor

    def close(self) -> None:
        self.thread.submit(self.session.close).result()
        self.thread.shutdown()


class _Lent:
    """A session for one task; closing it gives it back, for the next."""

    def __init__(self, kept: _Kept, free: list[_Kept]) -> None:
        self._kept, self._free = kept, free
        self._session, self.thread = kept.session, kept.thread
        self._back = False

    def reset(self, task: Task) -> View:
        return self._session.reset(task)

    def step(self, action: Action) -> View:
        return self._session.step(action)

    def score(self) -> Score:
        return self._session.score()

    def close(self) -> None:
        if not self._back:
            self._back = True
            self._free.append(self._kept)


@contextmanager
def live_sessions(live: LivePlace) -> Iterator[Callable[[Task], Session]]:
    """What makes sessions for tasks: as many as are in use at once, all closed at the end.

    A browser is slow to open, and an application's copy slower: they outlive their tasks.
    """
    with ExitStack() as stack:
        free: list[_Kept] = []

        def make(_task: Task) -> Session:
            if free:
                return _Lent(free.pop(), free)
            thread = ThreadPoolExecutor(1, "live")
            kept = _Kept(thread.submit(live.session).result(), thread)
            stack.callback(kept.close)
            return _Lent(kept, free)

        yield make
