"""The bars an engagement sets itself, each with what was measured: met, missed or not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluate.settings import Bars
from evaluate.verdict import percent

GIB = 1024**3


def bars(data: Mapping[str, Any], wanted: Bars) -> list[dict[str, Any]]:
    """Judge the report's data.

    Returns:
        One entry per bar: ``name``, ``bar``, ``measured`` (texts) and ``met``
        (None when it was not measured).
    """
    comparison = data["comparison"]
    arms = {arm["name"]: arm for arm in comparison["arms"]}
    rl = max(
        (arm for arm in arms.values() if arm["kind"] == "rl" and arm["success"] is not None),
        key=lambda arm: arm["success"],
        default=None,
    )
    on_recordings = next((arm for arm in arms.values() if arm["data"] == "recordings"), None)
    return [
        _wall_clock(data, wanted),
        _memory(data, wanted),
        _success(rl, wanted),
        _gain(
            comparison, rl, on_recordings["name"] if on_recordings else None, "SFT on the recordings", wanted
        ),
        _gain(comparison, rl, rl["started_from"] if rl else None, "the checkpoint it started from", wanted),
        *_equal_time(data),
        _live(comparison, rl, wanted),
        _gate(data["gate"], wanted),
        _privacy(data["privacy"]),
    ]


def _entry(name: str, bar: str, measured: str | None, met: bool | None) -> dict[str, Any]:
    return {"name": name, "bar": bar, "measured": measured, "met": met if measured is not None else None}


def _wall_clock(data: Mapping[str, Any], wanted: Bars) -> dict[str, Any]:
    timings = data["timings"]
    seconds = timings.get("seconds") if isinstance(timings, dict) else None
    text = None if seconds is None else f"{seconds / 60:.1f} min"
    return _entry(
        "Wall clock of the whole run",
        f"at most {wanted.wall_clock_minutes:g} min",
        text,
        seconds is not None and seconds <= wanted.wall_clock_minutes * 60,
    )


def _memory(data: Mapping[str, Any], wanted: Bars) -> dict[str, Any]:
    timings = data["timings"]
    peak = timings.get("peak_memory_bytes") if isinstance(timings, dict) else None
    text = None if peak is None else f"{peak / GIB:.1f} GiB"
    return _entry(
        "Peak memory",
        f"at most {wanted.peak_memory_gib:g} GiB",
        text,
        peak is not None and peak <= wanted.peak_memory_gib * GIB,
    )


def _success(rl: Mapping[str, Any] | None, wanted: Bars) -> dict[str, Any]:
    text = None
    if rl is not None:
        text = f"{percent(rl['success'], 1)} of {rl['n']} tasks"
    return _entry(
        "RL success on held-out tasks",
        f"at least {percent(wanted.success)} on at least {wanted.success_tasks} tasks",
        text,
        rl is not None and rl["success"] >= wanted.success and rl["n"] >= wanted.success_tasks,
    )


def _gain(
    comparison: Mapping[str, Any], rl: Mapping[str, Any] | None, other: str | None, name: str, wanted: Bars
) -> dict[str, Any]:
    found = next(
        (
            pair
            for pair in comparison["comparisons"]
            if rl is not None and (pair["a"], pair["b"], pair["tasks"]) == (rl["name"], other, "plain")
        ),
        None,
    )
    text, met = None, None
    if found is not None and found["delta"] is not None:
        low, high = found["ci"]
        text = (
            f"{points(found['delta'])} points ({points(low)} to {points(high)}, p = {found['p_value']:.2g})"
        )
        met = found["delta"] >= wanted.gain and low > 0
    bar = f"at least {points(wanted.gain)} points, 95% interval above 0"
    return _entry(f"RL minus {name}, same tasks", bar, text, met)


def _equal_time(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """RL against imitation at equal time: reported as it is, no bar to meet."""
    found = data["equal_time"]
    entries = []
    for tasks, told in (("plain", "tasks as they come"), ("disturbed", "disturbed tasks")):
        pair = found[tasks] if found else None
        text = None
        if pair is not None and pair["delta"] is not None:
            low, high = pair["ci"]
            text = (
                f"{points(pair['delta'])} points ({points(low)} to {points(high)}, p = {pair['p_value']:.2g})"
            )
        name = f"RL minus imitation of the program at equal time, {told}"
        entries.append({**_entry(name, "reported as it is", text, None), "met": None})
    return entries


def points(share: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return "?" if share is None else f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")


def _live(comparison: Mapping[str, Any], rl: Mapping[str, Any] | None, wanted: Bars) -> dict[str, Any]:
    found = next((live for live in comparison["live"] if rl is None or live["arm"] == rl["name"]), None)
    text, met = None, None
    if found is not None and found["delta"] is not None:
        text = (
            f"{percent(found['live']['success'], 1)} of {found['live']['n']} tasks there, "
            f"{percent(found['environment']['success'], 1)} in the environment"
        )
        met = abs(found["delta"]) <= wanted.live_gap and found["live"]["n"] >= wanted.live_tasks
    bar = f"within {100 * wanted.live_gap:g} points on at least {wanted.live_tasks} tasks"
    return _entry("Live application against environment", bar, text, met)


def _gate(gate: Any, wanted: Bars) -> dict[str, Any]:
    text, met = None, None
    if isinstance(gate, dict) and gate.get("kill_rate") is not None:
        rejected = gate["held_out_total"] - gate["held_out_pass"]
        text = (
            f"{percent(gate['kill_rate'], 1)} of {gate['mutants']} wrong runs rejected, "
            f"{rejected} of {gate['held_out_total']} held-out recordings rejected"
        )
        met = gate["kill_rate"] >= wanted.kill_rate and rejected == 0 and gate["held_out_total"] > 0
    bar = f"at least {percent(wanted.kill_rate)} rejected, no held-out recording rejected"
    return _entry("Verifier gate", bar, text, met)


def _privacy(audit: Any) -> dict[str, Any]:
    text, met = None, None
    if isinstance(audit, dict) and audit.get("leaks") is not None:
        text = f"{audit['leaks']} of {audit.get('checked_strings', 0):,} strings checked"
        met = audit["leaks"] == 0
    return _entry("Personal data found after redaction", "none", text, met)
