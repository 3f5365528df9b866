"""What an engagement holds: its stages, their runs, and what to do next."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fde.artifacts import read_json
from fde.engagement import NEXT_COMMAND, Engagement, Manifest

RunState = Literal["done", "working", "interrupted", "damaged"]
# The main way through the stages; what is trained more than once has a name after the dash.
ORDER = ("ingest-docs", "ingest-recordings", "redact", "envgen", "sft", "rl", "evaluate", "report")


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run.

    Attributes:
        latest: Later stages read this one.
        stale: Made from a run of an earlier stage that is no longer its latest.
        seconds: Time it took; None while it is not done.
    """

    stage: str
    run: str
    state: RunState
    latest: bool
    stale: bool
    seconds: float | None
    started: str | None
    counts: dict[str, int | float | str | None]


@dataclass(frozen=True, slots=True)
class Status:
    """An engagement at a glance. ``next_command`` is None when every stage is done."""

    engagement: str
    name: str
    runs: tuple[RunStatus, ...]
    next_command: str | None
    report: str | None


def status(engagement: Engagement) -> Status:
    """Read the state of all runs. Reads manifests only, changes nothing."""
    latest = _latest(engagement)
    runs = [
        _run(engagement, stage.name, folder.name, latest)
        for stage in sorted(_folders(engagement.stages), key=lambda path: _place(path.name))
        for folder in _folders(stage)
    ]
    report = engagement.reports / "index.html"
    return Status(
        engagement=str(engagement.root),
        name=str(engagement.config().get("engagement", {}).get("name", engagement.root.name)),
        runs=tuple(runs),
        next_command=_next(engagement, runs),
        report=str(report) if report.is_file() else None,
    )


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _place(stage: str) -> tuple[int, str]:
    kind = stage if stage in ORDER else stage.split("-")[0]
    return (ORDER.index(kind) if kind in ORDER else len(ORDER), stage)


def _latest(engagement: Engagement) -> dict[str, str]:
    pointers = {
        stage.name: engagement.stages / stage.name / "latest" for stage in _folders(engagement.stages)
    }
    return {
        name: path.read_text(encoding="utf-8").strip() for name, path in pointers.items() if path.is_file()
    }


def _run(engagement: Engagement, stage: str, run_id: str, latest: dict[str, str]) -> RunStatus:
    folder = engagement.stages / stage / run_id
    manifest: Manifest | None = None
    state: RunState
    if (folder / "manifest.json").is_file():
        try:
            manifest = Manifest.model_validate(read_json(folder / "manifest.json"))
            state = "done"
        except ValueError:
            state = "damaged"
    else:
        state = "working" if _locked(folder / ".lock") else "interrupted"
    return RunStatus(
        stage=stage,
        run=run_id,
        state=state,
        latest=latest.get(stage) == run_id,
        stale=manifest is not None
        and any(name in latest and latest[name] != source for name, source in manifest.inputs.items()),
        seconds=manifest.seconds if manifest else None,
        started=manifest.started if manifest else None,
        counts=manifest.counts if manifest else {},
    )


def _locked(path: Path) -> bool:
    """Whether a process holds the lock of :meth:`Engagement.working`."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _next(engagement: Engagement, runs: list[RunStatus]) -> str | None:
    """The command of the first stage that has no current result."""
    current = {run.stage for run in runs if run.state == "done" and run.latest and not run.stale}
    kinds = current | {stage.split("-")[0] for stage in current}
    missing = next((stage for stage in ORDER if stage not in kinds), None)
    return None if missing is None else NEXT_COMMAND[missing]
