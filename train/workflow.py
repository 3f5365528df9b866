"""A compiled workflow of the engagement as a source of tasks and demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from envgen.demonstrations import Demonstration, recorded
from envgen.disturbances import DISTURBANCES
from envgen.environment import WorkflowEnv
from envgen.session import Score, Split, Task, View
from envgen.stage import load_gate, load_workflow, read_recordings, workflow_path
from envgen.tasks import make_tasks
from envgen.workflow import Workflow, read_workflow
from fde.engagement import Engagement
from fde.errors import InputError
from ingest.action import Action
from ingest.recording import Recording
from serve.demonstrate import demonstrate
from serve.episodes import Group
from serve.grammar import Grammar
from serve.prompt import Prompt
from train.workers.recipe import Recipe

if TYPE_CHECKING:
    from serve.engine.local import LocalEngine


class WorkflowSource:
    """Tasks and sessions of a workflow, and the recordings it was compiled from.

    Args:
        compiled: The file that the workflow was read from.
    """

    def __init__(
        self, workflow: Workflow, compiled: Path, recordings: Sequence[Recording], inputs: dict[str, str]
    ) -> None:
        self.name = workflow.name
        self._compiled = compiled
        self.inputs = inputs
        self.workflow = workflow
        self._recordings = recordings

    def recipe(self, base: str) -> Recipe:
        """How rollout workers get the same model and the same sessions."""
        return Recipe("train.workflow:for_worker", {"compiled": str(self._compiled), "base": base})

    def tasks(self, split: Split, count: int, seed: int, *, disturbed: bool = False) -> list[Task]:
        """``count`` tasks of a split; disturbed ones show every kind of disturbance by turns."""
        if not disturbed:
            return make_tasks(self.workflow, split, count, seed)
        each = -(-count // len(DISTURBANCES))
        kinds = [make_tasks(self.workflow, split, each, seed, (name,)) for name in DISTURBANCES]
        return [task for turn in zip(*kinds, strict=True) for task in turn][:count]

    def session(self, task: Task) -> WorkflowEnv:
        """An environment for the task."""
        return WorkflowEnv(self.workflow)

    def recordings(self, grammar: Grammar, prompt: Prompt) -> list[Group]:
        """The experts' recordings as demonstrations, detours and corrections included."""
        found = []
        for recording in self._recordings:
            shown = recorded(recording, self.workflow)
            task = Task(
                id=f"{self.name}/recording/{recording.id}",
                workflow=self.name,
                split="train",
                seed=0,
                instruction=recording.instruction,
                parameters={},
            )
            steps = [action for _, action in shown.steps]
            found.append(demonstrate(grammar, prompt, _Shown(shown), task, steps))
        return found


class _Shown:
    """A demonstration as a session: its views one after the other, whatever is done."""

    def __init__(self, shown: Demonstration) -> None:
        self._views = [view for view, _ in shown.steps]
        self._next = 0

    def reset(self, task: Task) -> View:
        self._next = 1
        return self._views[0]

    def step(self, action: Action) -> View:
        if self._next >= len(self._views):
            return View(self._views[-1].page, "", finished=True)
        self._next += 1
        return self._views[self._next - 1]

    def score(self) -> Score:
        return Score(value=None, reasons=("a recording is not judged",))

    def close(self) -> None:
        return


def open_source(engagement: Engagement, workflow: str) -> WorkflowSource:
    """The latest compiled workflow of that name, with its recordings.

    Raises:
        MissingError: nothing compiled, or no such workflow.
        InputError: its verifier did not pass the gate.
    """
    run = engagement.latest("envgen")
    compiled = load_workflow(run, workflow)
    if not load_gate(run, workflow).published:
        raise InputError(
            f"The environment '{workflow}' did not pass its gate: what it rewards may be wrong.",
            "Look at it with: fde envgen gate",
        )
    recordings = read_recordings(engagement.latest("redact")).get(workflow, [])
    return WorkflowSource(compiled, workflow_path(run, workflow), recordings, {"envgen": run.id})


def for_worker(compiled: str, base: str, dtype: str, split: int) -> tuple[LocalEngine, WorkflowSource]:
    """A rollout worker's engine, and its source of sessions (see :class:`train.workers.maker.Recipe`).

    Args:
        compiled: The workflow's file: a later compilation does not change a run that is under way.
        base: The base model, computed with in ``dtype`` and its ``split`` lower layers frozen.
    """
    from serve.engine.local import LocalEngine

    path = Path(compiled)
    engine = LocalEngine.load(base, dtype=dtype, split=split)
    return engine, WorkflowSource(read_workflow(path), path, (), {})
