"""What an evaluation leaves on disk: one row per task and arm, and the frozen test set.

An arm is one way of doing the task. Its file is written when all its tasks are
done, so an arm either has its whole result or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envgen.session import Task
from fde.artifacts import digest, read_json
from fde.errors import InputError

Kind = Literal["prompt", "few-shot", "rag", "replay", "sft", "rl"]
TRAINED: frozenset[str] = frozenset({"sft", "rl"})
# What may be said of an arm, simplest first: between equals the simpler one is advised.
SIMPLICITY: tuple[Kind, ...] = ("replay", "prompt", "few-shot", "rag", "sft", "rl")


class Row(BaseModel):
    """One task done in one way.

    Attributes:
        value: The verifier's score, 0 to 1; None when it could not be judged
            (then ``error`` says why).
        stop: Why the episode ended.
        tokens_in: Prompt tokens the model read (each once); 0 without a model.
        tokens_out: Tokens of the agent's lines.
        seconds: From the task's reset to its end, as its user would wait.
        transcript: ``(speaker, text)`` in order, for a person to read.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    disturbances: tuple[str, ...] = ()
    value: float | None
    reasons: tuple[str, ...] = ()
    error: str | None = None
    stop: str = ""
    actions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    transcript: tuple[tuple[str, str], ...] = ()

    @property
    def disturbed(self) -> bool:
        return bool(self.disturbances)

    @property
    def passed(self) -> bool | None:
        return None if self.value is None else self.value == 1.0


class ArmResult(BaseModel):
    """All rows of one arm, and how it was set up.

    Attributes:
        name: Unique in the evaluation, for instance ``rl-code-invoice``.
        kind: What sort of arm it is; costs and advice go by it.
        place: ``environment`` or ``live`` (the real application).
        run: ``<stage>/<run id>`` the arm was made by, None for arms without training.
        adapter: The adapter's name with its digest, None for the base model.
        started_from: Name of the arm whose adapter training began with.
        data: What an SFT arm learned from: ``recordings`` alone, or ``recordings+program``.
        settings: What else the result depends on (examples shown, passages given).
        key: Digest of all that decides the rows; a later evaluation with an equal one takes them over.
        seconds: Machine time of all tasks together; less than the sum of the rows'
            seconds where tasks ran side by side.
        peak_memory_bytes: Highest memory in use by the process while it ran.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    label: str
    kind: Kind
    place: Literal["environment", "live"] = "environment"
    run: str | None = None
    adapter: str | None = None
    started_from: str | None = None
    data: str | None = None
    settings: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    key: str = ""
    rows: tuple[Row, ...]
    seconds: float
    peak_memory_bytes: int | None = None

    @property
    def trained(self) -> bool:
        return self.kind in TRAINED

    def plain_rows(self) -> tuple[Row, ...]:
        """The rows of tasks as they come."""
        return tuple(row for row in self.rows if not row.disturbed)

    def disturbed_rows(self) -> tuple[Row, ...]:
        """The rows of tasks with an injected fault."""
        return tuple(row for row in self.rows if row.disturbed)


class TestSet(BaseModel):
    """The frozen tasks every arm is given."""

    model_config = ConfigDict(frozen=True)
    __test__ = False  # not a pytest class

    workflow: str
    plain: tuple[Task, ...]
    disturbed: tuple[Task, ...] = ()
    live: tuple[Task, ...] = ()

    @property
    def hash(self) -> str:
        """SHA-256 over the tasks, in their order."""
        return digest(self.model_dump(mode="json"))


def load_arm(path: Path) -> ArmResult:
    """Read one arm's file.

    Raises:
        InputError: when the file is damaged.
    """
    try:
        return ArmResult.model_validate(read_json(path))
    except (ValidationError, ValueError) as error:
        raise InputError(
            f"{path} is not an arm's result: {str(error).splitlines()[0]}",
            "Delete that file and run: fde evaluate run",
        ) from error


def scores(rows: Sequence[Row]) -> dict[str, float | None]:
    """Task id -> score."""
    return {row.task: row.value for row in rows}
