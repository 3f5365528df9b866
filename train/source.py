"""Where training gets its tasks, sessions and demonstrations from: a compiled workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from envgen.session import Split, Task, Teacher
from fde.errors import WorkError
from serve.demonstrate import demonstrate
from serve.episodes import Group
from serve.grammar import Grammar
from serve.prompt import Prompt


class Source(Protocol):
    """A workflow to train on.

    Attributes:
        name: The workflow's name.
        inputs: What identifies it, for a run's manifest.
    """

    name: str
    inputs: dict[str, str]

    def tasks(self, split: Split, count: int, seed: int, *, disturbed: bool = False) -> list[Task]:
        """``count`` tasks of a split; the same arguments give the same tasks."""
        ...

    def session(self, task: Task) -> Teacher:
        """A session for a task."""
        ...

    def recordings(self, grammar: Grammar, prompt: Prompt) -> list[Group]:
        """The experts' recordings as demonstrations."""
        ...


def program_demonstrations(
    source: Source, grammar: Grammar, prompt: Prompt, tasks: Sequence[Task]
) -> list[Group]:
    """The compiled program's own work on tasks, as demonstrations.

    Raises:
        WorkError: when the program fails a task: a wrong demonstration must not be learned.
    """
    found = []
    for task in tasks:
        session = source.session(task)
        group = demonstrate(grammar, prompt, session, task)
        session.close()
        score = group.episodes[0].score
        if score is None or not score.passed:
            reasons = "; ".join(score.reasons) if score else "not judged"
            raise WorkError(
                f"The compiled program fails task {task.id}: {reasons}.",
                f"The environment is not fit for training. Look with: fde envgen gate {source.name}",
            )
        found.append(group)
    return found
