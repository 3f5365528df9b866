"""Runs a playbook: stage after stage, each in a process of its own, resuming where it was left.

What a stage already has is not computed again: every stage's library function
finds its finished run by the digest of its inputs.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from fde.artifacts import read_json, write_json
from fde.engagement import Engagement
from fde.errors import INTERRUPTED, FdeError, InputError, MissingError, WorkError
from playbooks import child
from playbooks.meter import MemoryMeter
from playbooks.schema import Playbook, StageEntry
from playbooks.stages import KINDS

TIMINGS = "timings.json"
# What every stage took when it was last worked on: more than the timings of one run, which
# may be cut short.
MEMORY = ".timings.json"
# How long an interrupted stage has to put its things in order.
GRACE_S = 20.0

StageStatus = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class StageResult:
    """One stage of a run of a playbook.

    Attributes:
        status: ``skipped`` when it was done before.
        seconds: What the stage's work took when it was done, its process' start included.
        run: ``stage/id`` of its run; None for stages without one.
        peak_memory_bytes: Peak memory of its processes; None when it was not measured.
    """

    name: str
    status: StageStatus
    seconds: float
    run: str | None
    peak_memory_bytes: int | None


@dataclass(slots=True)
class Mission:
    """The result of running a playbook.

    Attributes:
        error: Why it stopped early, None when it ran to the end.
    """

    playbook: str
    engagement: str
    stages: list[StageResult] = field(default_factory=list)
    report: str | None = None
    error: FdeError | None = None

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def peak_memory_bytes(self) -> int | None:
        known = [stage.peak_memory_bytes for stage in self.stages if stage.peak_memory_bytes is not None]
        return max(known) if known else None


def engagement_for(playbook: Playbook, base: Path, folder: Path, *, named: bool) -> Engagement:
    """The engagement a playbook works in, made first where the playbook makes its own.

    Args:
        base: The folder that paths in the playbook are relative to.
        folder: The folder of ``-C``, else the current one.
        named: Whether ``-C`` was given.
    """
    wanted = playbook.engagement
    if wanted is None:
        return Engagement.find(folder)
    root = folder if named else folder / wanted.folder
    if (root / "fde.toml").is_file():
        return Engagement(root)
    config = base / wanted.config
    if not config.is_file():
        raise MissingError(f"{config} is not there.", f"Correct 'config' in the playbook '{playbook.name}'.")
    return Engagement.create(root, config.read_text(encoding="utf-8"))


def run(
    playbook: Playbook,
    base: Path,
    engagement: Engagement,
    *,
    begun: Callable[[StageEntry], None] = lambda _: None,
    ended: Callable[[StageResult], None] = lambda _: None,
) -> Mission:
    """Run all stages in order; stops at the first that fails, with its error in the result.

    Args:
        begun, ended: Are told before and after each stage.

    Raises:
        InputError: when another process runs a playbook in this engagement.
    """
    mission = Mission(playbook.name, str(engagement.root))
    with _alone(engagement):
        memory = _read_memory(engagement)
        for entry in playbook.stages:
            begun(entry)
            started = time.monotonic()
            try:
                result = _stage(playbook, entry, base, engagement, mission, memory.get(entry.name))
            except FdeError as error:
                result = StageResult(entry.name, "failed", round(time.monotonic() - started, 2), None, None)
                mission.error = error
            mission.stages.append(result)
            ended(result)
            if mission.error:
                break
            memory[entry.name] = _row(result)
            write_json(engagement.stages / MEMORY, memory)
            _write_timings(engagement, mission)
    report = engagement.reports / "index.html"
    mission.report = str(report) if report.is_file() and mission.error is None else None
    return mission


def _stage(
    playbook: Playbook,
    entry: StageEntry,
    base: Path,
    engagement: Engagement,
    mission: Mission,
    before: dict[str, Any] | None,
) -> StageResult:
    request = {
        "engagement": str(engagement.root),
        "name": entry.name,
        "uses": entry.uses,
        "settings": entry.settings,
        "base": str(base),
        "earlier": {done.name: {"run": done.run, "seconds": done.seconds} for done in mission.stages},
    }
    heavy = any(KINDS[stage.uses].heavy for stage in playbook.stages)
    started = time.monotonic()
    answer, peak = _in_child(entry.name, request, heavy=heavy)
    elapsed = time.monotonic() - started
    if "error" in answer:
        told = answer["error"]
        kind = InputError if told["exit_code"] == InputError.exit_code else WorkError
        raise kind(f"Stage '{entry.name}': {told['message']}", told["hint"])
    if not answer["skipped"]:
        # A stage that was interrupted counts from its first beginning.
        seconds = max(elapsed, answer["seconds"])
        return StageResult(entry.name, "done", round(seconds, 2), answer["run"], peak)
    if before is not None and before.get("run") == answer["run"]:
        return StageResult(
            entry.name, "skipped", before["seconds"], answer["run"], before.get("peak_memory_bytes")
        )
    return StageResult(entry.name, "skipped", answer["seconds"], answer["run"], None)


def _in_child(name: str, request: dict[str, Any], *, heavy: bool) -> tuple[dict[str, Any], int]:
    """Run a stage's process; returns its answer and its peak memory in bytes."""
    process, receiver = child.start(name, request, heavy=heavy)
    assert process.pid is not None
    with receiver, MemoryMeter(process.pid) as meter:
        try:
            told = _received(receiver)
            process.join()
        except BaseException:
            _stop(process)
            raise
    if told:
        result: dict[str, Any] = json.loads(told)
        # The stage knows the most its own process took, the meter the largest sum it happened to see.
        return result, max(meter.peak_bytes, result.pop("peak_bytes"))
    if process.exitcode == INTERRUPTED:
        raise KeyboardInterrupt
    raise WorkError(
        f"Stage '{name}' ended without a result ({_ending(process.exitcode or 0)}; "
        f"its peak memory was {meter.peak_bytes / 2**30:.1f} GiB).",
        "What is finished is kept: run the same command to go on.",
    )


def _received(receiver: Connection) -> bytes:
    """The answer; empty when the process ended without one."""
    try:
        return receiver.recv_bytes()
    except (EOFError, ConnectionError):
        return b""


def _ending(code: int) -> str:
    if code == -9:
        return "killed, perhaps for lack of memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _stop(process: ForkServerProcess) -> None:
    """Ask an interrupted stage to put its things in order, then end it."""
    process.terminate()
    process.join(GRACE_S)
    if process.exitcode is None:
        process.kill()
        process.join()


@contextmanager
def _alone(engagement: Engagement) -> Iterator[None]:
    engagement.stages.mkdir(exist_ok=True)
    descriptor = os.open(engagement.stages / ".playbook.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another process is running a playbook in {engagement.root}.",
                f"Wait for it; see: fde -C {engagement.root} status",
            ) from error
        yield
    finally:
        os.close(descriptor)


def _read_memory(engagement: Engagement) -> dict[str, dict[str, Any]]:
    try:
        rows = read_json(engagement.stages / MEMORY)
        return {name: row for name, row in rows.items() if isinstance(row["seconds"], float)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _row(stage: StageResult) -> dict[str, Any]:
    row = asdict(stage)
    del row["status"]
    return row


def _write_timings(engagement: Engagement, mission: Mission) -> None:
    """Write what the stages so far took, for the report; the same for a run that computes nothing."""
    total = mission.seconds
    timings = {
        "playbook": mission.playbook,
        "stages": [
            {**_row(stage), "share": round(stage.seconds / total, 4) if total else 0.0}
            for stage in mission.stages
        ],
        "seconds": round(total, 2),
        "peak_memory_bytes": mission.peak_memory_bytes,
    }
    write_json(engagement.reports / TIMINGS, timings)


def table(mission: Mission) -> str:
    """The stages with seconds, share and peak memory, as text for a terminal."""
    total = mission.seconds
    width = max((len(stage.name) for stage in mission.stages), default=5)
    lines = [f"{'stage':{width}}  {'status':8}{'seconds':>9}{'share':>8}{'peak':>11}"]
    for stage in mission.stages:
        share = f"{stage.seconds / total:.1%}" if total else ""
        name = f"{stage.name:{width}}  {stage.status:8}"
        lines.append(f"{name}{stage.seconds:9.1f}{share:>8}{_gib(stage.peak_memory_bytes):>11}")
    lines.append(f"{'all':{width}}  {'':8}{total:9.1f}{'':>8}{_gib(mission.peak_memory_bytes):>11}")
    return "\n".join(lines)


def _gib(count: int | None) -> str:
    return "" if count is None else f"{count / 2**30:.2f} GiB"
