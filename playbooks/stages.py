"""The kinds of stages a playbook can name, their settings, and the library call behind each.

The rooms are imported when a stage runs, not when a playbook is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fde.console import progress
from fde.engagement import Engagement, Run
from fde.errors import MissingError


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
    """

    settings: type[StageSettings]
    work: Callable[[Context, Any], Run]
    about: str


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

    return ingest_documents(context.engagement, _inputs(context, settings))


def _ingest_recordings(context: Context, settings: Paths) -> Run:
    from ingest.stage import ingest_recordings

    return ingest_recordings(context.engagement, _inputs(context, settings))


def _redact(context: Context, settings: NoSettings) -> Run:
    from redact.stage import redact

    return redact(context.engagement)


def _envgen(context: Context, settings: NoSettings) -> Run:
    from envgen.stage import build

    return build(context.engagement)


def _evaluate(context: Context, settings: Evaluate) -> Run:
    from evaluate.stage import evaluate

    with ExitStack() as bars:

        def advance(label: str, total: int) -> Callable[[], None]:
            bars.close()
            return bars.enter_context(progress(label, total))

        return evaluate(
            context.engagement,
            workflow=settings.workflow,
            n=settings.tasks,
            disturbed=settings.disturbed,
            live=settings.live,
            progress=advance,
        )


def _report(context: Context, settings: NoSettings) -> Run:
    from evaluate.report import write_report

    return write_report(context.engagement).run


KINDS: dict[str, Kind] = {
    "ingest.docs": Kind(Paths, _ingest_documents, "reads documents"),
    "ingest.recordings": Kind(Paths, _ingest_recordings, "reads recordings"),
    "redact": Kind(NoSettings, _redact, "replaces personal data and audits the result"),
    "envgen": Kind(NoSettings, _envgen, "compiles the recordings into gated environments"),
    "evaluate": Kind(Evaluate, _evaluate, "does the same held-out tasks in every way there is"),
    "report": Kind(NoSettings, _report, "writes the report"),
}
