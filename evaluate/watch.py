"""A session that is watched: what was said is kept for the report, and endless loops are cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor

from envgen.session import Score, Session, Task, View, thread_of
from ingest.action import Action
from serve.prompt import opening

# An agent without randomness that is told the same stand-alone text again does the same again.
SAME_TEXT = 2


class Watched:
    """Passes everything on to a session and keeps the conversation.

    Every arm is watched, so the cut is the same for all: when a stand-alone text would
    be told again after it was told on a page change before, the episode ends and is
    judged as it is.

    Args:
        session: Where the task is done.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.first_text = ""
        self.transcript: list[tuple[str, str]] = []
        self.looped = False
        self._told: Counter[str] = Counter()

    @property
    def thread(self) -> Executor | None:
        """The session's own thread, where it has one."""
        return thread_of(self.session)

    def reset(self, task: Task) -> View:
        view = self.session.reset(task)
        self.first_text, self.looped = view.text, False
        # Not counted: the first page is told with its frame, later ones without.
        self._told = Counter()
        self.transcript = [("user", opening(task.instruction, view.text))]
        return view

    def step(self, action: Action) -> View:
        view = self.session.step(action)
        self.transcript.append(("agent", action.text()))
        if view.text:
            self.transcript.append(("user", view.text))
        if view.fresh and not view.finished:
            self._told[view.text] += 1
            if self._told[view.text] >= SAME_TEXT:
                self.looped = True
                return View(view.page, view.text, view.fresh, finished=True, potential=view.potential)
        return view

    def score(self) -> Score:
        return self.session.score()

    def close(self) -> None:
        self.session.close()


class Watch:
    """The watched sessions of one arm, by task.

    Args:
        make: Makes a session for a task.
    """

    def __init__(self, make: Callable[[Task], Session]) -> None:
        self._make = make
        self.sessions: dict[str, Watched] = {}

    def session(self, task: Task) -> Watched:
        """A session for a task; the task's latest is kept to be asked about."""
        made = self.sessions[task.id] = Watched(self._make(task))
        return made

    def first_text(self, task: Task) -> str:
        """What the task's session told first."""
        return self.sessions[task.id].first_text
