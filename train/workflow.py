"""A built environment of the engagement as a source of tasks and demonstrations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envgen.compiled import Compiled, Environment, compiled_of, make_tasks
from envgen.demonstrations import Demonstration, recorded
from envgen.session import Score, Split, Task, View
from envgen.stage import load_environment, load_gate, read_recordings
from envgen.workflow import Workflow
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
    from serve.engine.interface import Engine


class BuiltSource:
    """Tasks and sessions of an environment, and the recordings it was compiled from, if any.

    Args:
        file: The file that the environment was read from.
    """

    def __init__(
        self, compiled: Compiled, file: Path, recordings: Sequence[Recording], inputs: dict[str, str]
    ) -> None:
        self.name = compiled.name
        self._file = file
        self.inputs = inputs
        self.compiled = compiled
        self._recordings = recordings

    def recipe(self, base: str) -> Recipe:
        """How rollout workers get the same model and the same sessions."""
        return Recipe("train.workflow:for_worker", {"file": str(self._file), "base": base})

    def tasks(self, split: Split, count: int, seed: int, *, disturbed: bool = False) -> list[Task]:
        """``count`` tasks of a split; disturbed ones show every kind of disturbance by turns.

        Questions from documents are so many and no more: in training they come again, under other names.
        """
        if not disturbed:
            return self._tasks(split, count, seed, ())
        known = self.compiled.disturbances
        each = -(-count // len(known))
        kinds = [self._tasks(split, each, seed, (name,)) for name in known]
        return [task for turn in zip(*kinds, strict=True) for task in turn][:count]

    def _tasks(self, split: Split, count: int, seed: int, disturbances: tuple[str, ...]) -> list[Task]:
        if split != "train" or isinstance(self.compiled.data, Workflow):
            return make_tasks(self.compiled, split, count, seed, disturbances)
        rounds = (
            self.compiled.tasks_of(split, seed=again, disturbances=disturbances)
            for again in itertools.count(seed)
        )
        return list(islice(chain.from_iterable(rounds), count))

    def session(self, task: Task) -> Environment:
        """An environment for the task."""
        return self.compiled.environment()

    def recordings(self, grammar: Grammar, prompt: Prompt) -> list[Group]:
        """The experts' recordings as demonstrations, detours and corrections included."""
        found = []
        workflow = self.compiled.data
        if not isinstance(workflow, Workflow):
            raise InputError(
                f"'{self.name}' was made of documents: there are no recordings of it to learn from.",
                "Learn from the program's work instead: demonstrations = program",
            )
        for recording in self._recordings:
            shown = recorded(recording, workflow)
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


def open_source(engagement: Engagement, workflow: str) -> BuiltSource:
    """The latest built environment of that name, with its recordings.

    Raises:
        MissingError: nothing built, or no such environment.
        InputError: its verifier did not pass the gate.
    """
    run = engagement.latest("envgen")
    compiled = load_environment(run, workflow)
    if not load_gate(run, workflow).published:
        raise InputError(
            f"The environment '{workflow}' did not pass its gate: what it rewards may be wrong.",
            "Look at it with: fde envgen gate",
        )
    recordings = read_recordings(engagement.latest("redact")).get(workflow, [])
    return BuiltSource(compiled, run.path / workflow / compiled.file, recordings, {"envgen": run.id})


def for_worker(file: str, base: str, **engine: Any) -> tuple[Engine, BuiltSource]:
    """A rollout worker's engine, and its source of sessions (see :class:`train.workers.maker.Recipe`).

    Args:
        file: The environment's file: a later build does not change a run that is under way.
        base: The base model; ``engine`` how it is computed with (:func:`serve.engine.engines.load_engine`).
    """
    from serve.engine.engines import load_engine

    path = Path(file)
    return load_engine(base, **engine), BuiltSource(compiled_of(path), path, (), {})
