"""The report's figures made from its data: which chart shows what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evaluate import charts
from evaluate.bars import points
from evaluate.charts import Axis, ChartRow, Line, Mark, Point, Scale
from evaluate.costs import title
from evaluate.verdict import money, percent

Arm = Mapping[str, Any]


def colour(kind: str) -> str:
    """The colour class of a kind of arm: without training, fine-tuned, RL."""
    return {"sft": "c-sft", "rl": "c-rl"}.get(kind, "c-plain")


def _whole_percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def success(arms: Sequence[Arm], focus: str | None) -> Markup:
    """Success of every arm with its interval: filled as tasks come, hollow disturbed."""
    found = []
    for arm in arms:
        marks = [_interval(arm, "dot", colour(arm["kind"]))]
        told = [percent(arm["success"])]
        disturbed = arm["disturbed"]
        if disturbed["n"]:
            marks.append(_interval(disturbed, "ring", colour(arm["kind"])))
            told.append(percent(disturbed["success"]))
        unscored = arm["unscored"] + disturbed["unscored"]
        note = f"{unscored} not judged" if unscored else ""
        found.append(ChartRow(arm["label"], tuple(marks), tuple(told), note, strong=arm["name"] == focus))
    heads = ("as they come", "disturbed") if any(len(row.figures) > 1 for row in found) else ()
    return charts.rows(found, Scale(0, 1), (0, 0.25, 0.5, 0.75, 1), _whole_percent, heads=heads)


def _interval(figures: Mapping[str, Any], shape: str, style: str) -> Mark:
    low, high = figures["ci"] or (None, None)
    return Mark(figures["success"], low, high, shape, style)


def differences(comparison: Mapping[str, Any], focus: str | None) -> Markup | None:
    """The arm in focus minus every simpler one, task by task; None when there is nothing to pair."""
    labels = {arm["name"]: arm["label"] for arm in comparison["arms"]}
    kinds = {arm["name"]: arm["kind"] for arm in comparison["arms"]}
    pairs = [pair for pair in comparison["comparisons"] if pair["a"] == focus and pair["delta"] is not None]
    if not pairs:
        return None
    found: dict[str, ChartRow] = {}
    ends = [bound for pair in pairs for bound in (*pair["ci"], pair["delta"]) if bound is not None]
    for name in dict.fromkeys(pair["b"] for pair in pairs):
        marks, texts = [], []
        for tasks, shape in (("plain", "dot"), ("disturbed", "ring")):
            pair = next((p for p in pairs if p["b"] == name and p["tasks"] == tasks), None)
            if pair is not None:
                low, high = pair["ci"]
                marks.append(Mark(pair["delta"], low, high, shape, colour(kinds[name])))
                texts.append(f"{points(pair['delta'])}")
        found[name] = ChartRow(labels[name], tuple(marks), tuple(texts))
    ticks = charts.nice_ticks(min(0.0, *ends), max(0.0, *ends))
    return charts.rows(
        list(found.values()),
        Scale(ticks[0], ticks[-1]),
        ticks,
        lambda share: points(share).removesuffix(".0"),
        reference=(0.0, "no difference"),
        heads=("as they come", "disturbed") if any(len(row.figures) > 1 for row in found.values()) else (),
    )


def costs(comparison: Mapping[str, Any], focus: str | None) -> Markup | None:
    """Cost of a task until it is right, for every arm, against a person."""
    unit, human = comparison["currency"], comparison["costs"]["human_cost_per_correct_task"]
    arms = [arm for arm in comparison["arms"] if arm["cost_per_success"] is not None]
    if not arms:
        return None
    found = []
    highest = human
    for arm in sorted(arms, key=lambda arm: arm["cost_per_success"]):
        low, high = arm["cost_per_success_ci"] or (None, None)
        highest = max(highest, arm["cost_per_success"], high or 0)
        found.append(
            ChartRow(
                arm["label"],
                (Mark(arm["cost_per_success"], low, high, "dot", colour(arm["kind"])),),
                (money(arm["cost_per_success"], unit),),
                strong=arm["name"] == focus,
            )
        )
    ticks = charts.nice_ticks(0, highest)
    return charts.rows(
        found,
        Scale(0, ticks[-1]),
        ticks,
        lambda amount: f"{amount:,g}",
        reference=(human, f"a person: {money(human, unit)}"),
    )


def quality(comparison: Mapping[str, Any]) -> Markup | None:
    """Machine cost of a thousand tasks against success: up and left is better."""
    unit, price = comparison["currency"], comparison["costs"]["machine_hourly_price"]
    arms = [arm for arm in comparison["arms"] if arm["success"] is not None]
    spent = {arm["name"]: arm["machine_seconds_per_task"] / 3600 * price * 1000 for arm in arms}
    known = [cost for cost in spent.values() if cost > 0]
    if not known:
        return None
    ticks = charts.log_ticks(min(known), max(known))
    x = Axis(
        f"machine cost of 1,000 tasks ({unit}, log scale)",
        Scale(ticks[0], ticks[-1], log=True),
        tuple(ticks),
        lambda cost: f"{cost:,g}",
    )
    y = Axis("tasks right", Scale(0, 1), (0, 0.25, 0.5, 0.75, 1), _whole_percent)
    marks = [
        Point(
            max(spent[arm["name"]], ticks[0]),
            arm["success"],
            arm["name"],
            colour(arm["kind"]),
            *(arm["ci"] or (None, None)),
        )
        for arm in arms
    ]
    told = "; ".join(f"{p.label}: {percent(p.y)} at {money(p.x, unit)}" for p in marks)
    return charts.field(x, y, marks, (), f"Machine cost against success. {told}")


def worth(comparison: Mapping[str, Any]) -> Markup | None:
    """Money saved against a person, month by month, of the best arm of each sort."""
    decision, unit = comparison["decision"], comparison["currency"]
    horizon = comparison["costs"]["horizon_months"]
    monthly_tasks = comparison["costs"]["tasks_per_month"]
    lines = []
    chosen = dict.fromkeys((decision["advised"], decision["trained"], decision["untrained"]))
    for name in chosen:
        arm = next((arm for arm in comparison["arms"] if arm["name"] == name and arm["costs"]), None)
        if arm is None:
            continue
        costs_ = arm["costs"]
        gain = costs_["saving_per_task"] * monthly_tasks - costs_["monthly"]
        path = tuple((month, -costs_["one_off"] + gain * month) for month in (0.0, float(horizon)))
        lines.append(Line(path, arm["name"], colour(arm["kind"]), dashed=name != decision["advised"]))
    if not lines:
        return None
    values = [value for line in lines for _, value in line.points]
    ticks = charts.nice_ticks(min(0.0, *values), max(0.0, *values))
    months = charts.nice_ticks(0, horizon, 7)
    x = Axis("months", Scale(0, months[-1]), tuple(months), lambda month: f"{month:g}")
    y = Axis(
        f"saved against a person, after all costs ({unit})",
        Scale(ticks[0], ticks[-1]),
        tuple(ticks),
        lambda amount: f"{amount:,.0f}",
    )
    told = "; ".join(f"{line.label}: {money(line.points[-1][1], unit)}" for line in lines)
    return charts.field(x, y, (), lines, f"Saved after {horizon:g} months. {told}")


def tornado(comparison: Mapping[str, Any], count: int = 9) -> Markup | None:
    """How far each input moves the advantage of training, widest first."""
    moved = [swing for swing in comparison["sensitivity"] if swing["low"] != swing["high"]][:count]
    moved = [s for s in moved if abs(s["advantage_high"] - s["advantage_low"]) > 0.5]
    gain = comparison["decision"]["advantage"]
    if not moved or gain is None:
        return None
    ends = [swing[key] for swing in moved for key in ("advantage_low", "advantage_high")]
    ticks = charts.nice_ticks(min(0.0, *ends), max(0.0, *ends))
    unit = comparison["currency"]
    found = []
    for swing in moved:
        ends = sorted((swing["advantage_low"], swing["advantage_high"]))
        turns = swing["turns_at"]
        # Left of zero the best way without training wins.
        style = "c-turn" if ends[0] < 0 < ends[1] else "c-rl" if ends[0] >= 0 else "c-plain"
        found.append(
            ChartRow(
                title(swing["name"]),
                (Mark(None, ends[0], ends[1], "bar", style),),
                (f"turns at {number(swing['name'], turns)}" if turns is not None else "",),
                f"{number(swing['name'], swing['low'])} to {number(swing['name'], swing['high'])}",
            )
        )
    return charts.rows(
        found,
        Scale(ticks[0], ticks[-1]),
        ticks,
        lambda amount: f"{amount:,.0f}",
        reference=(gain["value"], f"now {money(gain['value'], unit)}"),
    )


def number(name: str, value: float) -> str:
    """An input's value, shares as percent."""
    if name.startswith("success") or name in ("disturbed_share", "human_error_rate"):
        return percent(value, 1)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def learning(training: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Success on the dev split while training; None when no run kept a curve."""
    lines = [
        Line(
            tuple((point["seconds"] / 60, point["dev_success"]) for point in run["curve"]),
            run["arm"],
            colour(run["kind"]),
            dashed=run["kind"] != "rl",
        )
        for run in training
        if len(run["curve"]) > 1
    ]
    if not lines:
        return None
    longest = max(line.points[-1][0] for line in lines)
    ticks = charts.nice_ticks(0, longest, 6)
    x = Axis("minutes of training", Scale(0, ticks[-1]), tuple(ticks), lambda minute: f"{minute:g}")
    y = Axis("success on the dev split", Scale(0, 1), (0, 0.25, 0.5, 0.75, 1), _whole_percent)
    told = "; ".join(f"{line.label}: ends at {percent(line.points[-1][1])}" for line in lines)
    return charts.field(x, y, (), lines, f"Learning curves. {told}")


def live(found: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> Markup | None:
    """The same policy on the real application and in the environment."""
    shown = []
    for entry in found:
        for place, name, shape in (
            ("live", "real application", "dot"),
            ("environment", "environment", "ring"),
        ):
            figures = entry[place]
            shown.append(
                ChartRow(
                    f"{labels.get(entry['arm'], entry['arm'])}, {name}",
                    (_interval(figures, shape, "c-rl"),),
                    (percent(figures["success"]),),
                    f"n = {figures['n']}"
                    + (f", {figures['unscored']} not judged" if figures["unscored"] else ""),
                )
            )
    return charts.rows(shown, Scale(0, 1), (0, 0.25, 0.5, 0.75, 1), _whole_percent) if shown else None


def timings(stages: Any) -> Markup | None:
    """What each stage took, in the order they ran."""
    timed = [s for s in stages or () if isinstance(s, dict) and isinstance(s.get("seconds"), int | float)]
    if not timed:
        return None
    longest = max(stage["seconds"] for stage in timed)
    ticks = charts.nice_ticks(0, longest / 60)
    found = [
        ChartRow(
            str(stage.get("name", "")),
            (Mark(None, 0.0, stage["seconds"] / 60, "bar", "c-plain"),),
            (f"{stage['seconds'] / 60:.1f} min" if stage["seconds"] >= 60 else f"{stage['seconds']:.1f} s",),
        )
        for stage in timed
    ]
    return charts.rows(found, Scale(0, ticks[-1]), ticks, lambda minute: f"{minute:g} min")
