"""A comparison as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluate.bars import points
from evaluate.verdict import money, percent


def table(comparison: Mapping[str, Any]) -> str:
    """Arms and the differences of the trained ones, in columns."""
    unit = comparison["currency"]
    arms = [("arm", "right", "95% interval", "n", "disturbed", "per correct task", "p50 s", "p95 s")]
    for arm in comparison["arms"]:
        arms.append(
            (
                arm["name"],
                percent(arm["success"]),
                _interval(arm["ci"]),
                str(arm["n"]),
                percent(arm["disturbed"]["success"]) if arm["disturbed"]["n"] else "–",
                money(arm["cost_per_success"], unit) if arm["cost_per_success"] is not None else "–",
                _seconds(arm["p50_s"]),
                _seconds(arm["p95_s"]),
            )
        )
    pairs = [("difference", "tasks", "points", "95% interval", "n", "p", "p adjusted")]
    for pair in comparison["comparisons"]:
        low, high = pair["ci"]
        pairs.append(
            (
                f"{pair['a']} − {pair['b']}",
                pair["tasks"],
                points(pair["delta"]),
                f"{points(low)} to {points(high)}",
                str(pair["n"]),
                f"{pair['p_value']:.2g}",
                f"{pair['p_holm']:.2g}",
            )
        )
    text = _columns(arms)
    if len(pairs) > 1:
        text += "\n\n" + _columns(pairs)
    for entry in comparison["live"]:
        text += (
            f"\n\n{entry['arm']} on the real application: {percent(entry['live']['success'])} of "
            f"{entry['live']['n']}, in the environment {percent(entry['environment']['success'])}"
        )
    return text


def _interval(ci: Sequence[float] | None) -> str:
    return f"{percent(ci[0])} to {percent(ci[1])}" if ci else "–"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
