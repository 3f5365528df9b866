"""A built environment as a conversation in lines of text: what the exports to other tools have in common."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envgen.choices import choices
from envgen.compiled import Compiled, compiled_of, make_tasks
from envgen.observe import lines
from envgen.reading.model import Reading
from envgen.session import Split, Task, View
from envgen.workflow import Workflow
from fde.errors import InputError
from ingest.action import Action


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent is told after an action line, or when a task begins.

    Attributes:
        reward: The verifier's verdict when the episode ends, else 0; with shaping, the growth of the
            milestones' share is added.
        done: The agent said so. ``truncated``: it was stopped.
        info: The task, its instruction, what can be done on the page; at the end whether the work could
            be judged, and the verdict's reasons.
    """

    text: str
    reward: float = 0.0
    done: bool = False
    truncated: bool = False
    info: dict[str, Any] = field(default_factory=dict)


class TextEpisodes:
    """Episodes of one environment, one after the other.

    The reward is the verifier's verdict when the agent says ``done``; with ``shaped`` the growth of the
    milestones' share is added (Ng, Harada and Russell 1999). A task that cannot be judged gives 0 and says
    so: ``info["judged"]``. A line that is no action changes nothing and is answered.

    Args:
        built: A compiled workflow or questions from documents, or the path of their file.
        split: Which tasks are drawn.
    """

    def __init__(
        self,
        built: Compiled | Workflow | Reading | str | Path,
        *,
        split: Split = "train",
        shaped: bool = False,
        disturbances: Sequence[str] = (),
    ) -> None:
        self.compiled = compiled_of(built)
        self.split: Split = split
        self.shaped = shaped
        self.disturbances = tuple(disturbances)
        self.env = self.compiled.environment()
        self.task: Task | None = None
        self._view: View | None = None

    def draw(self, seed: int | None = None) -> Task:
        """A task of the split: the same for the same seed, any without one."""
        drawn = random.randrange(2**31) if seed is None else seed
        (task,) = make_tasks(self.compiled, self.split, 1, drawn, self.disturbances)
        return task

    def begin(self, task: Task) -> Told:
        """Begin a task; the text is its instruction and its first page."""
        self.task = task
        self._view = self.env.reset(task)
        return Told(f"{task.instruction}\n\n{self._view.text}", info=self._info())

    def act(self, line: str) -> Told:
        """Carry out one action line, see :mod:`ingest.action`.

        Raises:
            InputError: when no task has begun.
        """
        if self._view is None:
            raise InputError("No task has begun.", "Call reset() first.")
        before = self._view.potential or 0.0
        try:
            self._view = self.env.step(Action.parse(line))
        except InputError as error:
            return Told(f"{error.message} {error.hint or ''}".strip(), info=self._info())
        info = self._info()
        reward = 0.0
        if self._view.finished:
            score = self.env.score()
            reward = score.value or 0.0
            info |= {"judged": score.value is not None, "reasons": list(score.reasons)}
        if self.shaped:
            reward += (self._view.potential or 0.0) - before
        done = self.env.done
        return Told(self._view.text or "Done.", float(reward), done, self._view.finished and not done, info)

    def page(self) -> str:
        """The page as an agent reads it."""
        return "" if self._view is None else "\n".join(lines(self._view.page))

    def _info(self) -> dict[str, Any]:
        assert self._view is not None and self.task is not None
        return {
            "task": self.task.id,
            "instruction": self.task.instruction,
            "choices": [f"{c.text} …" if c.open else c.text for c in choices(self._view.page)],
        }
