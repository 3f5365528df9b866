"""A recording as a session: its pages are shown one after the other, whatever is done."""

from __future__ import annotations

from envgen.observe import Observer
from envgen.replies import field_of
from envgen.session import Score, Task, View
from ingest.action import Action
from ingest.recording import Recording
from ingest.snapshot import Node, parse


class RecordedSession:
    """Shows a recording's pages, one step for each action."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._observer = Observer()
        self._step = 0
        self._page = Node("document")

    def reset(self, task: Task) -> View:
        self._observer, self._step = Observer(), 0
        first = self.recording.steps[0].before if self.recording.steps else None
        self._page = parse(first.text) if first is not None else Node("document")
        return View(self._page, self._observer.first(self._page), fresh=True)

    def step(self, action: Action) -> View:
        after = self.recording.steps[self._step].after if self._step < len(self.recording.steps) else None
        self._step += 1
        if action.verb == "done" or after is None:
            return View(self._page, "", finished=action.verb == "done")
        self._page = parse(after.text)
        text = self._observer.next(self._page, acted_on=field_of(action))
        return View(self._page, text, fresh=self._observer.fresh)

    def score(self) -> Score:
        return Score(value=None, reasons=("a recording is not judged",))

    def close(self) -> None:
        return


def usable(recording: Recording) -> bool:
    """Whether the recording can be shown: it has steps, and a page before the first."""
    return bool(recording.steps) and recording.steps[0].before is not None


def task_of(recording: Recording) -> Task:
    """The task the expert did, as far as it is known."""
    return Task(
        id=recording.id,
        workflow=recording.workflow,
        split="train",
        seed=0,
        instruction=recording.instruction,
        parameters={},
    )


def actions(recording: Recording) -> list[Action]:
    """What the expert did, ending with ``done``."""
    found = [step.action for step in recording.steps]
    if not found or found[-1].verb != "done":
        found.append(Action(verb="done"))
    return found
