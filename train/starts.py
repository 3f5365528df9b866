"""Rollouts that begin inside an episode, at the scene where something is still to be learned.

The environment's teacher (the compiled program) does what comes before, without
a token of the model; the agent takes over on a fresh page. Only where the agent
begins comes from the teacher: what it does and how that is judged does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from envgen.session import Score, Task, Teacher, View
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
    """

    def __init__(self, session: Teacher, start: Start) -> None:
        self.session = session
        self.start = start
        self._cut = False

    def reset(self, task: Task) -> View:
        """Begin the task and let the teacher lead to the start."""
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
        if view.fresh and not view.finished and not self.start.whole:
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
        return Midway(self.session.clone(), self.start)


@dataclass(frozen=True, slots=True)
class Way:
    """The program's way through a task.

    Attributes:
        reached: Milestones (0 to 1) at the end of each scene (of each fresh page), of one at least.
        kind: What it chooses from what is offered, and which fields it fills in: equal in tasks that
            call for the same.
        family: The same, but of each field only what comes first. What is chosen there again answers
            something that nobody could know before (a budget that is used up): tasks of a family begin
            alike.
        unforeseen: Whether it meets something of that sort.
    """

    reached: tuple[float | None, ...]
    kind: str
    family: str
    unforeseen: bool

    @property
    def scenes(self) -> int:
        return len(self.reached)


def way(session: Teacher, task: Task) -> Way:
    """Go the program's way through a task."""
    view = session.reset(task)
    reached: list[float | None] = []
    # What it has to choose twice, after a disturbance, makes no other kind.
    chosen: dict[str, None] = {}
    first: dict[Target, str] = {}
    for _ in range(_MAX_STEPS):
        action = session.next_action()
        if action is None:
            break
        if action.verb in _FORM and action.target is not None:
            # Of a field that is filled in only that it is: every task has values of its own.
            text = f"fill {action.target.text()}" if action.verb == "fill" else action.text()
            chosen[text] = None
            first.setdefault(action.target, text)
        view = session.step(action)
        if view.finished:
            break
        if view.fresh:
            reached.append(view.potential)
    session.close()
    return Way(
        reached=(*reached, view.potential),
        kind="; ".join(chosen),
        family="; ".join(first.values()),
        unforeseen=view.unforeseen,
    )
