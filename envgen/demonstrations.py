"""Demonstrations to learn from: what the experts did, and what the compiled program does."""

from __future__ import annotations

from dataclasses import dataclass

from envgen.environment import WorkflowEnv
from envgen.observe import Observer
from envgen.session import Task, View
from envgen.traces import Parser, trace
from envgen.workflow import Workflow, remembered
from fde.errors import WorkError
from ingest.action import Action, Target, resolve, target_of
from ingest.recording import Recording
from ingest.snapshot import Node

_DONE = Action(verb="done")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One pass through a task: what was before the agent, and what it did, in order."""

    instruction: str
    steps: tuple[tuple[View, Action], ...]


def recorded(recording: Recording, workflow: Workflow) -> Demonstration:
    """An expert's own actions on the recorded pages, detours and corrections included.

    The sign-in is left out; actions are written in their canonical form; ``done`` ends it.

    Raises:
        WorkError: when the recording has no pages.
    """
    found = trace(recording, Parser())
    if not found.moments:
        raise WorkError(f"Recording {recording.id} has no pages, so it demonstrates nothing.")
    observer = Observer(remembered(workflow))
    first = found.moments[0].before.node
    view = View(first, observer.first(first), fresh=True)
    steps: list[tuple[View, Action]] = []
    for moment in found.moments:
        action = _canonical(moment.before.node, moment.action)
        steps.append((view, action))
        target = action.target
        acted_on = None
        if target is not None and action.verb in ("fill", "select", "check", "uncheck"):
            acted_on = (target.role, target.name)
        after = moment.after.node
        text = observer.next(after, acted_on=acted_on)
        view = View(after, text, fresh=observer.fresh)
    steps.append((view, _DONE))
    return Demonstration(recording.instruction, tuple(steps))


def _canonical(page: Node, action: Action) -> Action:
    """The action with its target as pages name it, so that it is one of the page's choices."""
    if action.target is None:
        return action
    path = resolve(page, action.target)
    if path is None:
        return action
    target: Target = target_of(page, path)
    return action.model_copy(update={"target": target})


def program(env: WorkflowEnv, task: Task) -> Demonstration:
    """The compiled program's pass through a task.

    Raises:
        WorkError: when the program does not finish the task.
    """
    view = env.reset(task)
    steps: list[tuple[View, Action]] = []
    while not view.finished:
        action = env.next_action()
        if action is None:
            raise WorkError(f"The program of {task.workflow} is stuck in task {task.id}.")
        steps.append((view, action))
        view = env.step(action)
    if not env.score().passed:
        raise WorkError(f"The program of {task.workflow} does not do task {task.id}: {env.score().reasons}")
    return Demonstration(task.instruction, tuple(steps))
