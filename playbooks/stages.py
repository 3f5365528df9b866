"""The kinds of stages a playbook can name, their settings, and the library call behind each.

The rooms are imported when a stage runs, not when a playbook is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fde.console import Advance, progress, say, several
from fde.engagement import Engagement, Run
from fde.errors import InputError, MissingError


@dataclass(frozen=True, slots=True)
class Done:
    """A stage that is finished: its run as ``stage/id``, and the seconds its work took."""

    run: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage works in.

    Attributes:
        name: The stage's name in the playbook.
        base: The folder that paths of the playbook are relative to.
        earlier: The stages before this one, by name.
    """

    engagement: Engagement
    name: str
    base: Path
    earlier: Mapping[str, Done]


class StageSettings(BaseModel):
    """Settings of a stage; ``after`` names the stages it builds on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def after(self) -> tuple[str, ...]:
        return ()


class NoSettings(StageSettings):
    """A kind of stage that takes its settings from ``fde.toml`` alone."""


class Paths(StageSettings):
    """What to read: files and folders, relative to the playbook."""

    paths: tuple[str, ...] = Field(min_length=1)


class Train(StageSettings):
    """Settings that all training has; what is not said keeps the trainer's default.

    Attributes:
        workflow: The compiled workflow to learn.
        seconds: Wall-clock budget of training, evaluation on dev tasks aside.
    """

    workflow: str
    seconds: float | None = Field(default=None, gt=0)
    tune: Literal["lora", "qlora", "full"] | None = None
    rank: int | None = Field(default=None, ge=1, le=256)
    alpha: float | None = Field(default=None, gt=0)
    frozen: float | None = Field(default=None, ge=0, lt=1)
    rate: float | None = Field(default=None, gt=0)
    batch_tokens: int | None = Field(default=None, ge=64)
    dev_tasks: int | None = Field(default=None, ge=1)
    dev_times: int | None = Field(default=None, ge=0)
    max_actions: int | None = Field(default=None, ge=1)
    seed: int | None = None

    def said(self) -> dict[str, Any]:
        """The settings that the playbook names, as the trainer takes them."""
        return self.model_dump(exclude_none=True)


class Sft(Train):
    """Supervised fine-tuning.

    Attributes:
        demonstrations: The experts' recordings, the compiled program's work, or both.
        count: Demonstrations by the program.
        start: The earlier training stage it goes on from.
        updates: Updates at most.
        passes: How often each piece is visited, where there is no budget of seconds or updates.
        seconds_of: Earlier training stages whose seconds, added up, are the budget: for a
            comparison at equal time.
        objective, teacher, ema, skip: Imitation, or distillation on the model's own work.
        follow: Share of the updates of imitation in which the model learns to do what it is shown.
        rehearse: Share of each update that goes over the workflows which the start was trained on before.
    """

    demonstrations: Literal["recordings", "program", "both"] | None = None
    count: int | None = Field(default=None, ge=1)
    objective: Literal["imitation", "sdft", "distil"] | None = None
    follow: float | None = Field(default=None, ge=0, lt=1)
    rehearse: float | None = Field(default=None, ge=0, lt=1)
    teacher: str | None = None
    ema: float | None = Field(default=None, ge=0, le=1)
    skip: int | None = Field(default=None, ge=0)
    updates: int | None = Field(default=None, ge=1)
    passes: float | None = Field(default=None, gt=0)
    start: str | None = None
    seconds_of: tuple[str, ...] = ()

    @property
    def after(self) -> tuple[str, ...]:
        return self.seconds_of if self.start is None else (*self.seconds_of, self.start)


class Rl(Train):
    """Reinforcement learning.

    Attributes:
        start: The earlier training stage it goes on from.
        groups, samples: Groups of an iteration, and episodes of a group.
        staleness: Iterations by which rollouts may be behind; ``workers`` processes make them, and one that
            computes nothing for ``stall_s`` seconds is replaced; ``engine`` says where they are.
        target: Dev success after which it ends; ``patience`` evaluations without a better one end it too.
    """

    start: str | None = None
    algorithm: str | None = None
    iterations: int | None = Field(default=None, ge=1)
    groups: int | None = Field(default=None, ge=1)
    samples: int | None = Field(default=None, ge=2)
    min_p: float | None = Field(default=None, ge=0, le=1)
    epochs: int | None = Field(default=None, ge=1)
    trust: float | None = Field(default=None, ge=0, le=1)
    partial: float | None = Field(default=None, ge=0, le=1)
    again: float | None = Field(default=None, ge=0, le=1)
    disturbed: float | None = Field(default=None, ge=0, le=1)
    whole: float | None = Field(default=None, ge=0, le=1)
    clip_low: float | None = Field(default=None, gt=0)
    clip_high: float | None = Field(default=None, gt=0)
    reach: float | None = Field(default=None, ge=0, le=1)
    hold: float | None = Field(default=None, ge=0)
    max_kl: float | None = Field(default=None, gt=0)
    correct: bool | None = None
    staleness: int | None = Field(default=None, ge=0, le=8)
    workers: int | None = Field(default=None, ge=1, le=256)
    stall_s: float | None = Field(default=None, gt=0)
    engine: Literal["local", "vllm", "vllm-server", "ray", "ray-vllm"] | None = None
    target: float | None = Field(default=None, gt=0, le=1)
    patience: int | None = Field(default=None, ge=1)

    @property
    def after(self) -> tuple[str, ...]:
        return () if self.start is None else (self.start,)


class Evaluate(StageSettings):
    """What is compared; what is not said is taken from ``[evaluate]`` in ``fde.toml``."""

    workflow: str | None = None
    tasks: int | None = Field(default=None, ge=1)
    disturbed: int | None = Field(default=None, ge=0)
    live: int | None = Field(default=None, ge=0)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of stage.

    Attributes:
        work: The library call; gives its finished run.
        about: One line about it.
        heavy: Whether it needs the libraries that take seconds to import (:mod:`playbooks.warm`).
    """

    settings: type[StageSettings]
    work: Callable[[Context, Any], Run]
    about: str
    heavy: bool = False


def _inputs(context: Context, settings: Paths) -> list[Path]:
    found = [context.base / path for path in settings.paths]
    for path in found:
        if not path.exists():
            raise MissingError(
                f"Stage '{context.name}': {path} is not there.", "Correct 'paths' in the playbook."
            )
    return found


def _ingest_documents(context: Context, settings: Paths) -> Run:
    from ingest.stage import ingest_documents

    paths = _inputs(context, settings)
    with progress("Reading documents") as advance:
        return ingest_documents(context.engagement, paths, lambda name: advance(note=name))


def _ingest_recordings(context: Context, settings: Paths) -> Run:
    from ingest.stage import ingest_recordings

    paths = _inputs(context, settings)
    with progress("Reading recordings") as advance:
        return ingest_recordings(context.engagement, paths, lambda name: advance(note=name))


def _redact(context: Context, settings: NoSettings) -> Run:
    from redact.stage import redact

    return redact(context.engagement, progress=say)


def _envgen(context: Context, settings: NoSettings) -> Run:
    from envgen.stage import build
    from fde.config import ModelSettings, section
    from serve.closed_book import closed_book
    from serve.proposer import EndpointProposer

    engagement = context.engagement
    model = section(engagement, "model", ModelSettings).base
    return build(
        engagement,
        closed_book=lambda: closed_book(model),
        proposer=lambda endpoint: EndpointProposer(endpoint, engagement),
        progress=say,
    )


def _train_sft(context: Context, settings: Sft) -> Run:
    from train.sft import train_sft

    told = _told(context, settings)
    if told.pop("seconds_of", ()):
        told["seconds"] = sum(_trained_seconds(context, name) for name in settings.seconds_of)
    with progress(context.name) as advance:
        return train_sft(
            context.engagement, name=_short(context), on_point=lambda point: _tell(advance, point), **told
        )


def _train_rl(context: Context, settings: Rl) -> Run:
    from train.rl import train_rl

    told = _told(context, settings)
    with progress(context.name) as advance:
        return train_rl(
            context.engagement, name=_short(context), on_point=lambda point: _tell(advance, point), **told
        )


def _told(context: Context, settings: Sft | Rl) -> dict[str, Any]:
    """The playbook's settings as the trainer takes them, with the start by its stage."""
    told = settings.said()
    if settings.start is not None:
        told["start"] = _run_of(context, settings.start).stage
    return told


def _short(context: Context) -> str:
    """The stage's name without the kind of training: ``sft-start`` trains ``start``."""
    kind, _, rest = context.name.partition("-")
    return rest if kind in ("sft", "rl") and rest else context.name


def _run_of(context: Context, name: str) -> Run:
    stage, _, run_id = context.earlier[name].run.partition("/")
    found = context.engagement.latest(stage)
    assert found.id == run_id, f"{name} was run again in between"
    return found


def _trained_seconds(context: Context, name: str) -> float:
    """What a training stage's work took, evaluation on dev tasks aside."""
    counts = _run_of(context, name).manifest().counts
    seconds = counts.get("seconds")
    if not isinstance(seconds, int | float):
        raise InputError(f"Stage '{name}' does not tell its seconds of training.", "Name a training stage.")
    return float(seconds)


def _tell(advance: Advance, point: Any) -> None:
    """One point of a learning curve, as the note beside the progress."""
    parts = [
        f"{label} {value:.{digits}f}"
        for label, value, digits in (
            ("loss", point.loss, 3),
            ("reward", point.reward, 2),
            ("dev", point.dev_success, 2),
        )
        if value is not None
    ]
    advance(note=", ".join(parts))
    for alarm in point.alarms:
        say(f"Step {point.step}: {alarm}", style="yellow")


def _evaluate(context: Context, settings: Evaluate) -> Run:
    from evaluate.stage import evaluate

    with several() as begin:
        return evaluate(
            context.engagement,
            workflow=settings.workflow,
            n=settings.tasks,
            disturbed=settings.disturbed,
            live=settings.live,
            progress=begin,
        )


def _report(context: Context, settings: NoSettings) -> Run:
    from evaluate.report import write_report

    return write_report(context.engagement).run


KINDS: dict[str, Kind] = {
    "ingest.docs": Kind(Paths, _ingest_documents, "reads documents"),
    "ingest.recordings": Kind(Paths, _ingest_recordings, "reads recordings"),
    "redact": Kind(NoSettings, _redact, "replaces personal data and audits the result"),
    "envgen": Kind(NoSettings, _envgen, "compiles the recordings into gated environments"),
    "train.sft": Kind(Sft, _train_sft, "fine-tunes the model on demonstrations", heavy=True),
    "train.rl": Kind(Rl, _train_rl, "improves the model by reinforcement in the environment", heavy=True),
    "evaluate": Kind(Evaluate, _evaluate, "does the same held-out tasks in every way there is", heavy=True),
    "report": Kind(NoSettings, _report, "writes the report"),
}
