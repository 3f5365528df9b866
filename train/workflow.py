"""A compiled workflow of the engagement as a source of tasks and demonstrations."""

from __future__ import annotations

from envgen.disturbances import DISTURBANCES
from envgen.environment import WorkflowEnv
from envgen.session import Split, Task
from envgen.tasks import make_tasks
from envgen.workflow import Workflow
from ingest.recording import Recording
from serve.demonstrate import demonstrate
from serve.episodes import Group
from serve.grammar import Grammar
from serve.prompt import Prompt
from serve.recorded import RecordedSession, actions, task_of, usable


class WorkflowSource:
    """Tasks and sessions of a workflow, and the recordings it was compiled from."""

    def __init__(self, workflow: Workflow, recordings: list[Recording], inputs: dict[str, str]) -> None:
        self.name = workflow.name
        self.inputs = inputs
        self.workflow = workflow
        self._recordings = recordings
        self._env = WorkflowEnv(workflow)

    def tasks(self, split: Split, count: int, seed: int, *, disturbed: bool = False) -> list[Task]:
        if not disturbed:
            return make_tasks(self.workflow, split, count, seed)
        each = -(-count // len(DISTURBANCES))
        found = [
            task
            for name in DISTURBANCES
            for task in make_tasks(self.workflow, split, each, seed, disturbances=(name,))
        ]
        # By turns, so that the first few already show every disturbance.
        return sorted(found, key=lambda task: found.index(task) % each)[:count]

    def session(self, task: Task) -> WorkflowEnv:
        return WorkflowEnv(self.workflow)

    def recordings(self, grammar: Grammar, prompt: Prompt) -> list[Group]:
        return [
            demonstrate(grammar, prompt, RecordedSession(recording), task_of(recording), actions(recording))
            for recording in self._recordings
            if usable(recording)
        ]
