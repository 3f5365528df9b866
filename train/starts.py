"""Rollouts that begin inside an episode, at the scene where something is still to be learned.

The environment's teacher (the compiled program) does what comes before, without
a token of the model; the agent takes over on a fresh page. Only where the agent
begins comes from the teacher: what it does and how that is judged does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from envgen.session import Score, Task, Teacher, View, thread_of
from fde.errors import WorkError
from ingest.action import Action, Target

_MAX_STEPS = 60
_FORM = ("fill", "select", "check", "uncheck")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a rollout begins and ends.

    Attributes:
        scene: It begins on the ``scene``-th fresh page of the teacher's way; 0 is the beginning.
        whole: It goes on to the end of the task; else it ends with the scene.
    """

    task: Task
    scene: int = 0
    whole: bool = True

    @property
    def as_task(self) -> Task:
        """The task under a name of its own, so that draws at different starts differ."""
        if not self.scene and self.whole:
            return self.task
        end = "" if self.whole else "-"
        return self.task.model_copy(update={"id": f"{self.task.id}@{self.scene}{end}"})


class Midway:
    """A session whose episodes begin at a later scene, or end with it.

    An episode that is cut at the end of its scene is not judged; the milestones it
    reached speak for it.

    Args:
        most: Actions after which it is cut, wherever it is.
    """

    def __init__(self, session: Teacher, start: Start, most: int | None = None) -> None:
        self.session = session
        self.start = start
        self.most = most
        self._taken = 0
        self._cut = False
        # Where a slow session has a thread of its own, all its work is done there.
        self.thread = thread_of(session)

    def reset(self, task: Task) -> View:
        """Begin the task and let the teacher lead to the start."""
        self._taken, self._cut = 0, False
        view = self.session.reset(self.start.task)
        scene = 0
        for _ in range(_MAX_STEPS):
            if scene >= self.start.scene:
                return view
            action = self.session.next_action()
            if action is None or view.finished:
                break
            view = self.session.step(action)
            scene += view.fresh
        raise WorkError(f"Task {self.start.task.id} has no scene {self.start.scene} on the program's way.")

    def step(self, action: Action) -> View:
        view = self.session.step(action)
        self._taken += 1
        over = (view.fresh and not self.start.whole) or self._taken == self.most
        if over and not view.finished:
            self._cut = True
            return replace(view, finished=True)
        return view

    def score(self) -> Score:
        if self._cut:
            return Score(value=None, reasons=("ended with its scene",))
        return self.session.score()

    def close(self) -> None:
        self.session.close()

    def clone(self) -> Midway:
        twin = Midway(self.session.clone(), self.start, self.most)
        twin._taken, twin._cut = self._taken, self._cut
        return twin


@dataclass(frozen=True, slots=True)
class Call:
    """Something that a task calls for: a choice from what is offered, a field filled in or left alone.

    Attributes:
        name: Equal in tasks that call for the same: of what is filled in, that it is; of rows, none.
        field: How the lines begin that do something to this field.
        line: The line that the program takes; None where it leaves the field alone.
    """

    name: str
    field: str
    line: str | None

    @property
    def offered(self) -> bool:
        """Whether it is a choice among values that the page offers."""
        return self.line is not None and self.line != self.field and self.line.startswith("select ")

    def made(self, actions: Sequence[str]) -> bool:
        """Whether these lines do what is called for."""
        if self.line is None:
            return not any(line.startswith(self.field) for line in actions)
        return self.line in actions


@dataclass(frozen=True, slots=True)
class Way:
    """The program's way through a task.

    Attributes:
        reached: Milestones (0 to 1) at the end of each scene (of each fresh page), of one at least.
        calls: What each scene calls for. Of each field only what comes first: what is chosen there again
            answers something that nobody could know before (a budget that is used up).
        unforeseen: Whether it meets something of that sort.
    """

    reached: tuple[float | None, ...]
    calls: tuple[tuple[Call, ...], ...]
    unforeseen: bool

    @property
    def scenes(self) -> int:
        return len(self.reached)


def way(session: Teacher, task: Task) -> Way:
    """Go the program's way through a task."""
    view = session.reset(task)
    reached: list[float | None] = []
    scenes: list[tuple[Call, ...]] = []
    calls: dict[Target, Call] = {}
    for _ in range(_MAX_STEPS):
        action = session.next_action()
        if action is None:
            break
        if action.verb in _FORM and action.target is not None:
            calls.setdefault(action.target, _call(action, action.target))
        view = session.step(action)
        if view.finished:
            break
        if view.fresh:
            reached.append(view.potential)
            scenes.append(tuple(calls.values()))
            calls = {}
    session.close()
    return Way(
        reached=(*reached, view.potential),
        calls=(*scenes, tuple(calls.values())),
        unforeseen=view.unforeseen,
    )


def _call(action: Action, target: Target) -> Call:
    # Rows are of one task; the column is what others call for too.
    name = action.model_copy(update={"target": target.model_copy(update={"row": None})}).text()
    if action.value is None:
        return Call(name=name, field=action.text(), line=action.text())
    field = f"{action.verb} {target.text()}:"
    return Call(name=field if action.verb == "fill" else name, field=field, line=action.text())


def left_out(calls: Sequence[Call], fields: Sequence[str]) -> tuple[Call, ...]:
    """The fields that these calls do nothing to: to leave them alone is called for."""
    done = {call.field for call in calls}
    return tuple(Call(name=f"not {field}", field=field, line=None) for field in fields if field not in done)
