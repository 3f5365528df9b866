"""What ``fde envgen build`` makes, whatever it was made from: a name, tasks, and environments to do them in.

Training, evaluation, exports and ``fde envgen play`` know no more of it than this.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from envgen.disturbances import DISTURBANCES
from envgen.environment import WorkflowEnv
from envgen.reading import environment as reading_environment
from envgen.reading import model as reading_model
from envgen.reading import tasks as reading_tasks
from envgen.reading.environment import ReadingEnv
from envgen.reading.model import Reading, read_reading
from envgen.session import Split, Task, Teacher
from envgen.tasks import first, tasks_of
from envgen.workflow import FILE as WORKFLOW_FILE
from envgen.workflow import Workflow, read_workflow
from fde.errors import MissingError
from ingest.snapshot import Node


class Environment(Teacher, Protocol):
    """An environment in process: a session that knows the next right action, and where it is."""

    @property
    def page(self) -> Node:
        """The page as it is now."""
        ...

    @property
    def done(self) -> bool:
        """Whether the work was declared done."""
        ...

    @property
    def steps(self) -> int:
        """Actions of this episode so far."""
        ...

    @property
    def max_steps(self) -> int:
        """Actions until the episode is ended."""
        ...


class Compiled(Protocol):
    """One environment that was built.

    Attributes:
        file: Name of the file it is kept in.
        made_of: What it was made of, in words.
        disturbances: The seeded faults its tasks can have.
        data: What is written to the file.
    """

    file: str
    disturbances: tuple[str, ...]

    @property
    def name(self) -> str: ...

    @property
    def made_of(self) -> str: ...

    @property
    def data(self) -> Workflow | Reading: ...

    def environment(self) -> Environment:
        """A new environment."""
        ...

    def tasks_of(self, split: Split, *, seed: int = 0, disturbances: Sequence[str] = ()) -> Iterator[Task]:
        """Different tasks of a split, one after the other, until there are no more."""
        ...

    def right(self, env: Environment, task: Task) -> dict[str, Any] | None:
        """What is right in a task that ``env`` has just begun, as JSON data; None when that is unknown."""
        ...


@dataclass
class CompiledWorkflow:
    """A workflow that was compiled from recordings. Implements :class:`Compiled`."""

    data: Workflow
    file: str = WORKFLOW_FILE
    disturbances: tuple[str, ...] = DISTURBANCES

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def made_of(self) -> str:
        return f"{len(self.data.recordings)} recordings"

    def environment(self) -> WorkflowEnv:
        return WorkflowEnv(self.data)

    def tasks_of(self, split: Split, *, seed: int = 0, disturbances: Sequence[str] = ()) -> Iterator[Task]:
        return tasks_of(self.data, split, seed=seed, disturbances=disturbances)

    def right(self, env: Environment, task: Task) -> dict[str, Any] | None:
        assert isinstance(env, WorkflowEnv)
        if not env.expected.complete:
            return None
        writes = [{"record": w.key, "values": dict(w.values)} for w in env.expected.writes]
        return {
            "right": json.dumps(writes, ensure_ascii=False),
            "answer": env.expected.answer or "",
            "steps": env.expected.steps,
        }


@dataclass
class CompiledReading:
    """Questions that were made from documents. Implements :class:`Compiled`."""

    data: Reading
    file: str = reading_model.FILE
    disturbances: tuple[str, ...] = reading_environment.DISTURBANCES

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def made_of(self) -> str:
        return f"{len(self.data.corpus.documents)} documents"

    def environment(self) -> ReadingEnv:
        return ReadingEnv(self.data)

    def tasks_of(self, split: Split, *, seed: int = 0, disturbances: Sequence[str] = ()) -> Iterator[Task]:
        return reading_tasks.tasks_of(self.data, split, seed=seed, disturbances=disturbances)

    def right(self, env: Environment, task: Task) -> dict[str, Any] | None:
        assert isinstance(env, ReadingEnv)
        trial, steps = env.clone(), 0
        while not trial.done and trial.steps < trial.max_steps:
            action = trial.next_action()
            if action is None:
                return None
            trial.step(action)
            steps += 1
        sources = [[self.data.corpus.cited(ref) for ref in group] for group in env.question.needed]
        return {
            "right": json.dumps(sources, ensure_ascii=False),
            "answer": env.question.answer,
            "steps": steps,
        }


def compiled_of(found: Compiled | Workflow | Reading | str | Path) -> Compiled:
    """A built environment as such, from what it holds or the path of its file.

    Raises:
        MissingError: when there is no such file.
        InputError: when it was built by another version of the toolkit.
    """
    if isinstance(found, Workflow):
        return CompiledWorkflow(found)
    if isinstance(found, Reading):
        return CompiledReading(found)
    if not isinstance(found, str | Path):
        return found
    path = Path(found)
    if not path.is_file():
        raise MissingError(f"There is no environment at {path}.", "Build with: fde envgen build")
    if path.name == reading_model.FILE:
        return CompiledReading(read_reading(path))
    return CompiledWorkflow(read_workflow(path))


def make_tasks(
    compiled: Compiled, split: Split, n: int, seed: int = 0, disturbances: Sequence[str] = ()
) -> list[Task]:
    """Make ``n`` different tasks of a split, see :func:`envgen.tasks.first`."""
    return first(compiled.tasks_of(split, seed=seed, disturbances=disturbances), n, compiled.name, split)
