"""From rows to figures: each arm's success, time and money, and arms compared task by task.

Computed anew whenever it is asked for, because prices in ``fde.toml`` change
after the tasks were run; the rows do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluate.costs import ArmCosts, CostInputs, Effort, arm_costs, frontier_per_task, per_task
from evaluate.rows import SIMPLICITY, ArmResult, Row
from evaluate.statistics import (
    Interval,
    Paired,
    Part,
    Rate,
    bootstrap_means,
    combine,
    holm,
    newcombe_independent,
    paired,
    percentile_interval,
    quantile,
    rate,
)


@dataclass(frozen=True, slots=True)
class Stratum:
    """An arm on one set of tasks (as they come, or with faults)."""

    rate: Rate
    machine_seconds: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """One arm's figures.

    Attributes:
        expected_success: Success on the mix of plain and disturbed tasks that
            ``disturbed_share`` expects; plain success where no disturbed task was judged.
        machine_seconds: Machine time of one task of that mix.
        costs: None when nothing was judged.
    """

    result: ArmResult
    plain: Stratum
    disturbed: Stratum
    expected_success: float | None
    machine_seconds: float | None
    costs: ArmCosts | None
    cost_per_success_ci: Interval | None
    p50_s: float | None
    p95_s: float | None
    tokens_in: float | None
    tokens_out: float | None
    actions: float | None
    errors: dict[str, int]

    @property
    def name(self) -> str:
        return self.result.name


@dataclass(frozen=True, slots=True)
class Difference:
    """Arm ``a`` minus arm ``b`` on the tasks of one set that both have a score for."""

    a: str
    b: str
    tasks: str
    paired: Paired
    p_holm: float | None


def arm_order(arm: ArmResult) -> tuple[int, bool, str]:
    """Simplest first; what learned from recordings alone before what had more."""
    return SIMPLICITY.index(arm.kind), arm.data != "recordings", arm.name


def seconds_scale(arm: ArmResult) -> float:
    """Machine seconds behind one second of a row: below 1 where tasks ran side by side."""
    waited = sum(row.seconds for row in arm.rows)
    return arm.seconds / waited if waited > 0 else 1.0


def blend(inputs: CostInputs, plain: float | None, disturbed: float | None) -> float | None:
    """A figure on the mix of tasks the engagement expects."""
    if plain is None or disturbed is None:
        return plain
    return (1 - inputs.disturbed_share) * plain + inputs.disturbed_share * disturbed


def summarize(arm: ArmResult, inputs: CostInputs, effort: Effort) -> Summary:
    """All figures of one arm that ran in the environment."""
    scale = seconds_scale(arm)
    plain, disturbed = arm.plain_rows(), arm.disturbed_rows()
    strata = [_stratum(rows, scale) for rows in (plain, disturbed)]
    success = blend(inputs, strata[0].rate.value, strata[1].rate.value)
    seconds = blend(inputs, strata[0].machine_seconds, strata[1].machine_seconds)
    costs = None if success is None or seconds is None else arm_costs(inputs, effort, success, seconds)
    errors: dict[str, int] = {}
    for row in arm.rows:
        if row.error:
            errors[row.error] = errors.get(row.error, 0) + 1
    return Summary(
        result=arm,
        plain=strata[0],
        disturbed=strata[1],
        expected_success=success,
        machine_seconds=seconds,
        costs=costs,
        cost_per_success_ci=_cost_interval(inputs, plain, disturbed, scale),
        p50_s=quantile([row.seconds for row in plain], 0.5),
        p95_s=quantile([row.seconds for row in plain], 0.95),
        tokens_in=_mean([row.tokens_in for row in plain]),
        tokens_out=_mean([row.tokens_out for row in plain]),
        actions=_mean([row.actions for row in plain]),
        errors=errors,
    )


def _stratum(rows: Sequence[Row], scale: float) -> Stratum:
    seconds = _mean([row.seconds for row in rows])
    return Stratum(rate([row.value for row in rows]), None if seconds is None else seconds * scale)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _weights(inputs: CostInputs, disturbed: bool) -> tuple[float, ...]:
    """Weights of the plain and, where there are any, the disturbed tasks in the expected mix."""
    return (1 - inputs.disturbed_share, inputs.disturbed_share) if disturbed else (1.0,)


def _machine(inputs: CostInputs, seconds: Sequence[float], seed: int) -> Part:
    """Mean machine cost of a task (or of a difference), with its bootstrap interval."""
    values = np.array(seconds, dtype=float) / 3600 * inputs.machine_hourly_price
    draws = bootstrap_means(values[:, None], seed=seed)
    interval = None if draws is None else percentile_interval(draws[:, 0])
    return Part(1.0, float(values.mean()), interval)


def _cost_interval(
    inputs: CostInputs, plain: Sequence[Row], disturbed: Sequence[Row], scale: float
) -> Interval | None:
    """Interval of the cost per correct task: Wilson's for success, bootstrap for machine time."""
    sets = [[row for row in rows if row.value is not None] for rows in (plain, disturbed)]
    if len(sets[0]) < 2:
        return None
    weights = _weights(inputs, bool(sets[1]))
    parts = [Part(1.0, per_task(inputs, 0.0) + inputs.error_cost)]
    for seed, (weight, rows) in enumerate(zip(weights, sets, strict=False)):
        found = rate([row.value for row in rows])
        machine = _machine(inputs, [row.seconds * scale for row in rows], seed)
        parts.append(Part(-weight * inputs.error_cost, float(found.value or 0), found.ci))
        parts.append(Part(weight, machine.value, machine.ci))
    return combine(parts)


@dataclass(frozen=True, slots=True)
class Advantage:
    """How much more arm ``a`` is worth than arm ``b`` over the horizon, on the tasks both were judged on.

    Attributes:
        ci: From Newcombe's interval of the paired difference in success and the
            bootstrap interval of machine time; None for fewer than two tasks.
    """

    value: float
    ci: Interval | None
    n: int


def advantage(a: Summary, b: Summary, inputs: CostInputs) -> Advantage | None:
    """The paired difference in net worth; None when no task was judged for both."""
    if a.costs is None or b.costs is None:
        return None
    scales = seconds_scale(a.result), seconds_scale(b.result)
    sets = [
        _judged_by_both(a.result.plain_rows(), b.result.plain_rows()),
        _judged_by_both(a.result.disturbed_rows(), b.result.disturbed_rows()),
    ]
    if not sets[0]:
        return None
    months = inputs.horizon_months
    fixed = a.costs.one_off - b.costs.one_off + (a.costs.monthly - b.costs.monthly) * months
    parts = [Part(-1.0, fixed)]
    for seed, (weight, rows) in enumerate(zip(_weights(inputs, bool(sets[1])), sets, strict=False)):
        found = paired([x.value for x, _ in rows], [y.value for _, y in rows])
        tasks = weight * inputs.tasks_in_horizon
        parts.append(Part(tasks * inputs.error_cost, float(found.delta or 0), found.ci))
        spared = [y.seconds * scales[1] - x.seconds * scales[0] for x, y in rows]
        machine = _machine(inputs, spared, seed)
        parts.append(Part(tasks, machine.value, machine.ci))
    value = sum(part.weight * part.value for part in parts)
    enough = len(sets[0]) > 1
    return Advantage(value, combine(parts) if enough else None, sum(map(len, sets)))


def _judged_by_both(a: Sequence[Row], b: Sequence[Row]) -> list[tuple[Row, Row]]:
    others = {row.task: row for row in b if row.value is not None}
    return [(row, others[row.task]) for row in a if row.value is not None and row.task in others]


def differences(arms: Sequence[ArmResult]) -> list[Difference]:
    """Every trained arm against each arm simpler than it, on each set of tasks.

    The p-values of one trained arm on one set are also given adjusted (Holm) for
    being several.
    """
    ordered = sorted(arms, key=arm_order)
    found: list[Difference] = []
    for position, arm in enumerate(ordered):
        if not arm.trained:
            continue
        for tasks in ("plain", "disturbed"):
            pairs = [(other, _paired_rows(arm, other, tasks)) for other in ordered[:position]]
            pairs = [(other, result) for other, result in pairs if result.n]
            adjusted = holm([result.p_value for _, result in pairs])
            found.extend(
                Difference(arm.name, other.name, tasks, result, p)
                for (other, result), p in zip(pairs, adjusted, strict=True)
            )
    return found


def _paired_rows(a: ArmResult, b: ArmResult, tasks: str) -> Paired:
    rows_a = a.plain_rows() if tasks == "plain" else a.disturbed_rows()
    rows_b = {row.task: row for row in (b.plain_rows() if tasks == "plain" else b.disturbed_rows())}
    common = [(row.value, rows_b[row.task].value) for row in rows_a if row.task in rows_b]
    return paired([x for x, _ in common], [y for _, y in common])


def live_against_environment(live: ArmResult, environment: ArmResult) -> dict[str, Any]:
    """The same policy on the real application and in the environment (different tasks)."""
    on_live, inside = rate([r.value for r in live.rows]), rate([r.value for r in environment.plain_rows()])
    known = on_live.value is not None and inside.value is not None
    interval = newcombe_independent(on_live.passed, on_live.n, inside.passed, inside.n)
    return {
        "arm": environment.name,
        "live": _rate(on_live),
        "environment": _rate(inside),
        "delta": float(on_live.value or 0) - float(inside.value or 0) if known else None,
        "ci": interval.as_list() if interval else None,
        "p50_s": quantile([row.seconds for row in live.rows], 0.5),
        "p95_s": quantile([row.seconds for row in live.rows], 0.95),
    }


def _rate(found: Rate) -> dict[str, Any]:
    return {
        "success": found.value,
        "ci": found.ci.as_list() if found.ci else None,
        "n": found.n,
        "passed": found.passed,
        "unscored": found.unscored,
    }


def summary_json(summary: Summary, inputs: CostInputs) -> dict[str, Any]:
    """One arm as it stands in ``--json`` and ``report.json``."""
    arm, costs = summary.result, summary.costs
    tokens = summary.tokens_in is not None and summary.tokens_out is not None and arm.kind != "replay"
    return {
        "name": arm.name,
        "label": arm.label,
        "kind": arm.kind,
        "trained": arm.trained,
        "run": arm.run,
        "adapter": arm.adapter,
        "started_from": arm.started_from,
        "data": arm.data,
        "settings": arm.settings,
        **_rate(summary.plain.rate),
        "disturbed": {**_rate(summary.disturbed.rate), "kinds": _by_fault(arm)},
        "expected_success": summary.expected_success,
        "machine_seconds_per_task": summary.machine_seconds,
        "cost_per_task": costs.per_task if costs else None,
        "cost_per_success": costs.per_success if costs else None,
        "cost_per_success_ci": summary.cost_per_success_ci.as_list() if summary.cost_per_success_ci else None,
        "costs": asdict(costs) if costs else None,
        "frontier_cost_per_task": frontier_per_task(inputs, summary.tokens_in or 0, summary.tokens_out or 0)
        if tokens
        else None,
        "p50_s": summary.p50_s,
        "p95_s": summary.p95_s,
        "tokens_in": summary.tokens_in,
        "tokens_out": summary.tokens_out,
        "actions": summary.actions,
        "errors": summary.errors,
        "peak_memory_bytes": arm.peak_memory_bytes,
    }


def _by_fault(arm: ArmResult) -> dict[str, Any]:
    kinds = sorted({kind for row in arm.rows for kind in row.disturbances})
    return {kind: _rate(rate([row.value for row in arm.rows if kind in row.disturbances])) for kind in kinds}


def difference_json(difference: Difference) -> dict[str, Any]:
    """One comparison as it stands in ``--json`` and ``report.json``."""
    found = difference.paired
    return {
        "a": difference.a,
        "b": difference.b,
        "tasks": difference.tasks,
        "n": found.n,
        "delta": found.delta,
        "ci": found.ci.as_list() if found.ci else None,
        "p_value": found.p_value,
        "p_holm": difference.p_holm,
        "both": found.both,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "neither": found.neither,
    }


def efforts(arms: Sequence[ArmResult], build_seconds: Mapping[str, float]) -> dict[str, Effort]:
    """What it took to build each arm, by name."""
    return {arm.name: Effort(arm.kind, build_seconds.get(arm.name, 0.0)) for arm in arms}
