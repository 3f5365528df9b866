"""Everything the report says besides the comparison, read from the stages' own files.

What is not there is None and is said to be not measured; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluate.bars import bars
from evaluate.results import arms_of, compare, lineage
from evaluate.rows import ArmResult, Row
from evaluate.settings import settings
from fde import __version__
from fde.artifacts import digest_file, read_json
from fde.config import EngagementSettings, section
from fde.engagement import Engagement, Manifest, Run, revision, versions

MAX_REGRESSIONS = 5
MAX_TURNS = 80
MAX_CHARACTERS = 1500


def collect(engagement: Engagement, run: Run) -> dict[str, Any]:
    """The report's data, as it stands in ``reports/report.json``."""
    comparison = compare(engagement, run)
    sources = lineage(engagement, run.id)
    arms = arms_of(run)
    workflow = str(comparison["workflow"])
    gate = _from_stage(engagement, sources, "envgen", f"{workflow}/gate.json")
    audit = _from_stage(engagement, sources, "redact", "audit.json")
    timings = _read(engagement.reports / "timings.json")
    data: dict[str, Any] = {
        "schema_version": 1,
        "engagement": section(engagement, "engagement", EngagementSettings).name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "toolkit": {"version": __version__, "revision": revision(), "versions": versions()},
        "comparison": comparison,
        "training": _training(engagement, comparison, sources),
        "equal_time": equal_time(comparison, sources),
        "gate": gate,
        "privacy": audit,
        "timings": timings,
        "regressions": regressions(arms, focus(comparison)),
        "provenance": _provenance(engagement, sources),
    }
    data["bars"] = bars(data, settings(engagement).bars)
    return data


def focus(comparison: Mapping[str, Any]) -> str | None:
    """The trained arm the report looks at closest: RL where there is one, else the best trained."""
    trained = [arm for arm in comparison["arms"] if arm["trained"] and arm["success"] is not None]
    best = max(trained, key=lambda arm: (arm["kind"] == "rl", arm["success"]), default=None)
    return str(best["name"]) if best else None


def _read(path: Path) -> Any:
    """A JSON file, None when it is not there or is damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _from_stage(engagement: Engagement, sources: Sequence[Manifest], stage: str, file: str) -> Any:
    for manifest in sources:
        if manifest.stage == stage:
            return _read(engagement.stages / stage / manifest.run / file)
    return None


def _training(
    engagement: Engagement, comparison: Mapping[str, Any], sources: Sequence[Manifest]
) -> list[dict[str, Any]]:
    """Learning curves of the trained arms, with the time each run took."""
    known = {f"{manifest.stage}/{manifest.run}": manifest for manifest in sources}
    found = []
    for arm in comparison["arms"]:
        manifest = known.get(arm["run"] or "")
        if not arm["trained"] or manifest is None:
            continue
        folder = engagement.stages / manifest.stage / manifest.run
        found.append(
            {
                "arm": arm["name"],
                "label": arm["label"],
                "kind": arm["kind"],
                "seconds": manifest.seconds,
                "counts": manifest.counts,
                "curve": curve(_read(folder / "curve.json")),
            }
        )
    return found


def equal_time(comparison: Mapping[str, Any], sources: Sequence[Manifest]) -> dict[str, Any] | None:
    """RL against imitation of the compiled program, with the training time each had.

    The time of an arm includes that of the run it started from. The imitation is
    the fine-tuned arm, other than RL's start, whose time is nearest. None when
    either is missing.
    """
    known = {f"{manifest.stage}/{manifest.run}": manifest for manifest in sources}
    arms = {arm["name"]: arm for arm in comparison["arms"] if arm["success"] is not None}

    def seconds(arm: Mapping[str, Any] | None) -> float:
        manifest = known.get((arm or {}).get("run") or "")
        if arm is None or manifest is None:
            return 0.0
        told = manifest.counts.get("seconds")
        own = float(told) if isinstance(told, int | float) else manifest.seconds
        return own + seconds(arms.get(arm["started_from"] or ""))

    rl = max((arm for arm in arms.values() if arm["kind"] == "rl"), key=lambda a: a["success"], default=None)
    if rl is None:
        return None
    spent = seconds(rl)
    imitations = [
        arm
        for arm in arms.values()
        if arm["data"] in ("program", "recordings+program") and arm["name"] != rl["started_from"]
    ]
    other = min(imitations, key=lambda arm: abs(seconds(arm) - spent), default=None)
    if other is None:
        return None
    pairs = {
        pair["tasks"]: pair
        for pair in comparison["comparisons"]
        if (pair["a"], pair["b"]) == (rl["name"], other["name"])
    }
    return {
        "rl": rl["name"],
        "imitation": other["name"],
        "rl_seconds": spent,
        "imitation_seconds": seconds(other),
        "plain": pairs.get("plain"),
        "disturbed": pairs.get("disturbed"),
    }


def curve(value: Any) -> list[dict[str, float]]:
    """The points of a ``curve.json`` that have a success on the dev split, in order of time."""
    points = value.get("points", []) if isinstance(value, dict) else value
    found = []
    for point in points if isinstance(points, list) else []:
        if not isinstance(point, dict):
            continue
        seconds, success = point.get("seconds"), point.get("dev_success")
        if isinstance(seconds, int | float) and isinstance(success, int | float):
            found.append({"seconds": float(seconds), "dev_success": float(success)})
    return sorted(found, key=lambda point: point["seconds"])


def regressions(arms: Sequence[ArmResult], name: str | None) -> dict[str, Any]:
    """Tasks the arm in focus fails and another arm does, the most often done first.

    Returns:
        ``count`` of them, ``by_arm`` (how many each other arm does), and the worst
        ``tasks`` with what both said.
    """
    inside = [arm for arm in arms if arm.place == "environment"]
    chosen = next((arm for arm in inside if arm.name == name), None)
    if chosen is None:
        return {"arm": None, "count": None, "by_arm": {}, "tasks": []}
    others = {arm.name: {row.task: row for row in arm.rows} for arm in inside if arm is not chosen}
    found: list[tuple[Row, list[str]]] = []
    for row in chosen.rows:
        if row.passed is not False:
            continue
        able = [other for other, rows in others.items() if row.task in rows and rows[row.task].passed]
        if able:
            found.append((row, able))
    found.sort(key=lambda pair: (-len(pair[1]), pair[0].disturbed, pair[0].task))
    counts = {other: sum(other in able for _, able in found) for other in others}
    return {
        "arm": chosen.name,
        "label": chosen.label,
        "count": len(found),
        "by_arm": {other: count for other, count in counts.items() if count},
        "tasks": [
            {
                "task": row.task,
                "disturbances": list(row.disturbances),
                "reasons": list(row.reasons),
                "stop": row.stop,
                "done_by": able,
                "transcript": readable(row),
                "right_way": readable(others[able[0]][row.task]),
            }
            for row, able in found[:MAX_REGRESSIONS]
        ],
    }


def readable(row: Row) -> list[dict[str, str]]:
    """A row's conversation, shortened where it is long."""
    turns = [{"who": who, "text": _short(text)} for who, text in row.transcript[:MAX_TURNS]]
    left = len(row.transcript) - len(turns)
    if left > 0:
        turns.append({"who": "note", "text": f"{left} more turns"})
    return turns


def _short(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}\n… {len(text) - MAX_CHARACTERS:,} more characters"


def _provenance(engagement: Engagement, sources: Sequence[Manifest]) -> list[dict[str, Any]]:
    found = []
    for manifest in sources:
        path = engagement.stages / manifest.stage / manifest.run / "manifest.json"
        found.append(
            {
                "stage": manifest.stage,
                "run": manifest.run,
                "sha256": digest_file(path),
                "started": manifest.started,
                "seconds": manifest.seconds,
                "seed": manifest.seed,
                "revision": manifest.revision,
                "files": len(manifest.outputs),
            }
        )
    return sorted(found, key=lambda entry: entry["started"])
