"""How the decision hangs on each input: one input moved at a time, the others kept.

For every input: what the advised arm's net worth and the advantage of training
become at the ends of its range, and the value at which the decision turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluate.compare import Summary
from evaluate.costs import CostInputs, Effort, arm_costs, numeric_inputs, title
from evaluate.statistics import Interval

# How far from its value an input is searched for the point where the decision turns.
FACTOR = 100.0
SHARES = frozenset({"disturbed_share", "human_error_rate"})
# They price what no measured arm uses.
LEFT_OUT = frozenset({"frontier_price_per_million_input", "frontier_price_per_million_output"})


@dataclass(frozen=True, slots=True)
class Swing:
    """What moving one input does.

    Attributes:
        advantage_low, advantage_high: Net worth of the best trained arm minus that of
            the best without training, at ``low`` and ``high``.
        net_low, net_high: Net worth of the better of the two.
        turns_at: The value nearest to the present one at which the advantage changes
            sign, None when it does not within a hundredth and a hundredfold.
    """

    name: str
    value: float
    low: float
    high: float
    advantage_low: float
    advantage_high: float
    net_low: float
    net_high: float
    turns_at: float | None

    @property
    def width(self) -> float:
        return abs(self.advantage_high - self.advantage_low)


@dataclass(frozen=True, slots=True)
class Case:
    """An arm reduced to what its net worth needs."""

    effort: Effort
    plain: float
    disturbed: float | None
    plain_seconds: float
    disturbed_seconds: float | None
    ci: Interval | None

    def net(self, inputs: CostInputs) -> float:
        share = inputs.disturbed_share if self.disturbed is not None else 0.0
        success = (1 - share) * self.plain + share * (self.disturbed or 0.0)
        seconds = (1 - share) * self.plain_seconds + share * (self.disturbed_seconds or 0.0)
        return arm_costs(inputs, self.effort, success, seconds).net


def case(summary: Summary, effort: Effort) -> Case | None:
    """The arm's measured figures, None when nothing was judged."""
    plain, disturbed = summary.plain, summary.disturbed
    if plain.rate.value is None or plain.machine_seconds is None:
        return None
    return Case(
        effort,
        plain.rate.value,
        disturbed.rate.value,
        plain.machine_seconds,
        disturbed.machine_seconds,
        plain.rate.ci,
    )


def swings(trained: Case, untrained: Case, inputs: CostInputs) -> list[Swing]:
    """Every input's swing, widest first; the two arms' success counts as an input each."""
    found = []
    for name in numeric_inputs():
        if name in LEFT_OUT:
            continue
        value = float(getattr(inputs, name))
        low, high = inputs.ranges.get(name, _range(name, value))

        def nets(x: float, name: str = name) -> tuple[float, float]:
            moved = inputs.model_copy(update={name: x})
            return trained.net(moved), untrained.net(moved)

        found.append(_swing(name, value, low, high, nets, _limits(name, value)))
    for label, arm in (("success of the trained arm", trained), ("success without training", untrained)):
        if arm.ci is None or arm.ci.low is None or arm.ci.high is None:
            continue

        def moved_nets(x: float, arm: Case = arm) -> tuple[float, float]:
            moved = Case(arm.effort, x, arm.disturbed, arm.plain_seconds, arm.disturbed_seconds, arm.ci)
            return (
                (moved.net(inputs), untrained.net(inputs))
                if arm is trained
                else (trained.net(inputs), moved.net(inputs))
            )

        found.append(_swing(label, arm.plain, arm.ci.low, arm.ci.high, moved_nets, (0.0, 1.0)))
    return sorted(found, key=lambda swing: -swing.width)


def _range(name: str, value: float) -> tuple[float, float]:
    high = min(1.0, value * 2) if name in SHARES else value * 2
    return value / 2, high


def _limits(name: str, value: float) -> tuple[float, float]:
    if name in SHARES:
        return 0.0, 1.0
    return value / FACTOR, value * FACTOR


def _swing(
    name: str,
    value: float,
    low: float,
    high: float,
    nets: Callable[[float], tuple[float, float]],
    limits: tuple[float, float],
) -> Swing:
    def gain(x: float) -> float:
        a, b = nets(x)
        return a - b

    return Swing(
        name=name,
        value=value,
        low=low,
        high=high,
        advantage_low=gain(low),
        advantage_high=gain(high),
        net_low=max(nets(low)),
        net_high=max(nets(high)),
        turns_at=_turn(gain, value, limits),
    )


def _turn(gain: Callable[[float], float], value: float, limits: tuple[float, float]) -> float | None:
    """Where the sign changes, nearest to ``value``, by bisection towards either limit."""
    here = gain(value)
    found = []
    for limit in limits:
        if here == 0 or (gain(limit) > 0) == (here > 0):
            continue
        inside, outside = value, limit
        for _ in range(80):
            middle = (inside + outside) / 2
            if (gain(middle) > 0) == (here > 0):
                inside = middle
            else:
                outside = middle
        found.append(outside)
    return min(found, key=lambda x: abs(x - value), default=None)


def turning_points(found: Sequence[Swing], word: str) -> list[str]:
    """What would change the decision, in sentences, nearest first."""
    told = []
    for swing in sorted(found, key=_distance):
        if swing.turns_at is None:
            continue
        direction = "rose to" if swing.turns_at > swing.value else "fell to"
        told.append(
            f"{title(swing.name)} {direction} {_number(swing.name, swing.turns_at)} "
            f"(now {_number(swing.name, swing.value)})"
        )
    if word == "don't automate":
        return []
    return told


def _distance(swing: Swing) -> float:
    if swing.turns_at is None:
        return math.inf
    if swing.value <= 0 or swing.turns_at <= 0:
        return abs(swing.turns_at - swing.value)
    return abs(math.log(swing.turns_at / swing.value))


def _number(name: str, value: float) -> str:
    if name in SHARES or name.startswith("success"):
        return f"{100 * value:.1f}%"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def swing_json(swing: Swing) -> dict[str, Any]:
    """One input's row as it stands in ``--json`` and ``report.json``."""
    return asdict(swing)
