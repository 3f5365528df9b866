"""The ROI report: one HTML page that needs nothing but a browser, and its data as JSON.

The page loads nothing: style and pictures are inside, and its content security
policy forbids everything else. Text from the client's pages is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from evaluate import figures
from evaluate.bars import GIB, points
from evaluate.costs import numeric_inputs, title
from evaluate.evidence import collect, focus
from evaluate.limits import limits
from evaluate.results import find_run
from evaluate.verdict import money, percent
from fde import __version__
from fde.artifacts import digest_file, read_json, write_bytes, write_text
from fde.engagement import Engagement, Run, revision

TONES = {
    "train": "tone-train",
    "don't train": "tone-dont",
    "undecided": "tone-open",
    "don't automate": "tone-stop",
}
UNKNOWN = "–"
# Raise when the same results would give another page.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What was written."""

    run: Run
    page: Path
    data_path: Path
    data: dict[str, Any]


def write_report(engagement: Engagement, *, workflow: str | None = None) -> Report:
    """Write ``reports/index.html`` and ``reports/report.json`` from the latest evaluation.

    Raises:
        MissingError: when nothing has been evaluated yet.
    """
    evaluation = find_run(engagement, workflow)
    # Prices and timings are no run's output: they count as inputs, so that a change of either
    # writes another report and the same ones write none.
    run = engagement.run(
        "report",
        inputs={"evaluate": evaluation.id, **_inputs(engagement)},
        config={"version": VERSION, "toolkit": __version__, "revision": revision()},
    )
    with engagement.working(run):
        if not run.finished:
            data = collect(engagement, evaluation)
            write_text(run.path / "index.html", render(data, engagement_folder=engagement.root.name))
            run.write_json("report.json", data)
            run.finish(**_counts(data))
    index, data_path = engagement.reports / "index.html", engagement.reports / "report.json"
    for made, target in ((run.path / "index.html", index), (run.path / "report.json", data_path)):
        content = made.read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            write_bytes(target, content)
    return Report(run, index, data_path, read_json(run.path / "report.json"))


def _inputs(engagement: Engagement) -> dict[str, str]:
    named = {"fde.toml": engagement.config_path, "timings": engagement.reports / "timings.json"}
    return {name: digest_file(path) for name, path in named.items() if path.is_file()}


def _counts(data: Mapping[str, Any]) -> dict[str, int | float | str | None]:
    bars = [bar["met"] for bar in data["bars"]]
    return {
        "verdict": data["comparison"]["verdict"],
        "arms": len(data["comparison"]["arms"]),
        "bars_met": bars.count(True),
        "bars_missed": bars.count(False),
        "bars_not_measured": bars.count(None),
    }


def render(data: Mapping[str, Any], *, engagement_folder: str) -> str:
    """The page for a report's data."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    page = files("evaluate") / "page"
    style = (page / "report.css").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(_filters(data["comparison"]["currency"]))
    template = environment.from_string((page / "report.html.j2").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return template.render(
        style=Markup(style), style_hash=f"sha256-{digest}", **_context(data, engagement_folder)
    )


def _context(data: Mapping[str, Any], folder: str) -> dict[str, Any]:
    comparison = data["comparison"]
    name = focus(comparison)
    by_name = {arm["name"]: arm for arm in comparison["arms"]}
    labels = {arm["name"]: arm["label"] for arm in comparison["arms"]}
    gate = data["gate"] if _complete(data["gate"], GATE_FIELDS) else None
    timings = data["timings"] if isinstance(data["timings"], dict) else {}
    return {
        "d": data,
        "c": comparison,
        "focus": by_name.get(name) if name else None,
        "labels": labels,
        "by_name": by_name,
        "tone": TONES[comparison["verdict"]],
        "headline": _headline(comparison["decision"]["headline"]),
        "tiles": _tiles(data),
        "pairs": [p for p in comparison["comparisons"] if p["a"] == name and p["delta"] is not None],
        "gate": gate,
        "families": _families(gate),
        "privacy": data["privacy"] if _complete(data["privacy"], ("leaks", "checked_strings")) else None,
        "inputs": _cost_inputs(comparison["costs"]),
        "limits": limits(data, name),
        "command": "\n".join(
            (f"fde -C {folder} evaluate run --workflow {comparison['workflow']}", f"fde -C {folder} report")
        ),
        "charts": {
            "success": figures.success(comparison["arms"], name),
            "differences": figures.differences(comparison, name),
            "costs": figures.costs(comparison, name),
            "quality": figures.quality(comparison),
            "worth": figures.worth(comparison),
            "tornado": figures.tornado(comparison),
            "learning": figures.learning(data["training"]),
            "live": figures.live(comparison["live"], labels),
            "timings": figures.timings(timings.get("stages")),
        },
    }


GATE_FIELDS = ("kill_rate", "mutants", "false_reject_rate", "held_out_pass", "held_out_total", "published")


def _complete(value: Any, fields: tuple[str, ...]) -> bool:
    return isinstance(value, dict) and all(value.get(field) is not None for field in fields)


def _headline(sentence: str) -> str:
    """The headline without the word that stands above it."""
    rest = sentence.split(": ", 1)[-1]
    return rest[:1].upper() + rest[1:]


def _families(gate: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The gate's kinds of wrong runs, where it tells how many there were and how many were rejected."""
    found = []
    for name, counts in ((gate or {}).get("families") or {}).items():
        if _complete(counts, ("hits", "total")):
            found.append({"name": name, "killed": counts["hits"], "total": counts["total"]})
    return found


def _tiles(data: Mapping[str, Any]) -> list[dict[str, str]]:
    comparison = data["comparison"]
    decision, unit = comparison["decision"], comparison["currency"]
    chosen = decision["advised"] or decision["trained"] or decision["untrained"]
    arm = next((arm for arm in comparison["arms"] if arm["name"] == chosen), None)
    costs = arm["costs"] if arm else None
    low, high = (arm["ci"] if arm and arm["ci"] else None) or (None, None)
    months = costs["break_even_months"] if costs else None
    privacy = data["privacy"] if _complete(data["privacy"], ("leaks", "checked_strings")) else None
    return [
        {
            "name": f"Tasks right, {arm['label']}" if arm else "Tasks right",
            "value": percent(arm["success"], 0) if arm else UNKNOWN,
            "note": f"{percent(low)} to {percent(high)}, {arm['n']} held-out tasks"
            if arm and low is not None
            else "not measured",
        },
        {
            "name": "Cost of a correct task",
            "value": money(costs["per_success"], unit) if costs else UNKNOWN,
            "note": f"a person: {money(comparison['costs']['human_cost_per_correct_task'], unit)}",
        },
        {
            "name": "Earned back after",
            "value": f"{months:.1f} months" if months is not None else "never" if costs else UNKNOWN,
            "note": f"{money(costs['one_off'], unit)} to build" if costs else "not measured",
        },
        {
            "name": "Personal data left after redaction",
            "value": str(privacy["leaks"]) if privacy else UNKNOWN,
            "note": f"of {privacy['checked_strings']:,} strings checked" if privacy else "not measured",
        },
    ]


def _cost_inputs(costs: Mapping[str, Any]) -> list[dict[str, Any]]:
    own = set(costs["own"])
    found = [
        {"name": title(name), "value": figures.number(name, costs[name]), "own": name in own}
        for name in numeric_inputs()
    ]
    for table in ("engineering_hours", "maintenance_hours_per_month"):
        told = ", ".join(f"{kind} {hours:g}" for kind, hours in costs[table].items())
        found.append({"name": title(table), "value": told, "own": table in own})
    return found


def _filters(currency: str) -> dict[str, Any]:
    def unknown(write: Any) -> Any:
        def written(value: Any) -> str:
            known = value is not None and math.isfinite(value)
            return str(write(value)) if known else UNKNOWN

        return written

    return {
        "percent": unknown(percent),
        "percent1": unknown(lambda value: percent(value, 1)),
        "points": unknown(points),
        "pvalue": unknown(lambda p: "< 0.0001" if p < 1e-4 else f"{p:.2g}"),
        "amount": unknown(lambda value: money(value, currency).removesuffix(f" {currency}")),
        "whole": unknown(lambda value: f"{value:,.0f}"),
        "one": unknown(lambda value: f"{value:.1f}"),
        "seconds": unknown(lambda value: f"{value:.2f}" if value < 10 else f"{value:.0f}"),
        "gib": unknown(lambda value: f"{value / GIB:.1f} GiB"),
        "span": unknown(lambda value: f"{value / 60:.1f} min" if value >= 60 else f"{value:.1f} s"),
    }
