"""Train or not: the decision that the figures allow, and what would change it.

Training has the burden of proof. It is advised when its net worth over the
horizon beats that of the best way without training with a 95% interval above
zero; when the best way without training is worth as much or more, the verdict
is not to train; in between, there are too few tasks to tell, and it says how
many would do. Between trained arms the simpler is advised unless the other is
worth more beyond doubt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal

from evaluate.compare import Advantage, Difference, Summary, advantage
from evaluate.costs import ArmCosts, CostInputs
from evaluate.statistics import CONFIDENCE

Word = Literal["train", "don't train", "don't automate", "undecided"]
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision.

    Attributes:
        advised: The arm to use, None when that is a person or is not known.
        trained, untrained: The best arm of each sort by net worth.
        advantage: Net worth of ``trained`` minus that of ``untrained``.
        tasks_needed: Tasks after which an undecided comparison would probably be decided.
        because: The reasons, one sentence each, most important first.
    """

    word: Word
    headline: str
    advised: str | None = None
    trained: str | None = None
    untrained: str | None = None
    advantage: Advantage | None = None
    tasks_needed: int | None = None
    because: tuple[str, ...] = ()
    caveats: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Judged:
    """An arm that has a success and so has costs."""

    summary: Summary
    costs: ArmCosts
    success: float

    @property
    def name(self) -> str:
        return self.summary.name


def money(amount: float, currency: str) -> str:
    """An amount for a sentence: three figures that count when large, cents or less when small."""
    if abs(amount) >= 1000:
        amount = float(f"{amount:.3g}")
    size = abs(amount)
    digits = 0 if size >= 100 else 2 if size >= 0.1 or size == 0 else 4
    return f"{'-' if amount < 0 and round(size, digits) else ''}{size:,.{digits}f} {currency}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share for a sentence. Never rounded to 100% or 0% unless it is exactly that."""
    if share is None:
        return "not measured"
    text = f"{100 * share:.{digits}f}%"
    if digits == 0 and ((text == "100%" and share != 1) or (text in ("0%", "-0%") and share != 0)):
        return f"{100 * share:.1f}%"
    return text


def decide(
    summaries: Sequence[Summary],
    differences: Sequence[Difference],
    inputs: CostInputs,
    currency: str,
    *,
    live: Sequence[Mapping[str, Any]] = (),
    live_gap: float = 1.0,
) -> Verdict:
    """The verdict over all arms that were measured.

    Args:
        live: What was measured on the real application, see
            :func:`evaluate.compare.live_against_environment`.
        live_gap: By how much success there may fall short of the environment's.
    """
    judged = [
        Judged(s, s.costs, s.expected_success)
        for s in summaries
        if s.costs is not None and s.expected_success is not None
    ]
    trained = _best([arm for arm in judged if arm.summary.result.trained])
    untrained = _best([arm for arm in judged if not arm.summary.result.trained])
    if trained is None or untrained is None:
        missing = "no trained arm" if trained is None else "no arm without training"
        return Verdict(
            word="undecided",
            headline=f"Undecided: {missing} has been measured.",
            trained=trained.name if trained else None,
            untrained=untrained.name if untrained else None,
            because=("A verdict compares the best trained arm with the best one without training.",),
        )
    gain = advantage(trained.summary, untrained.summary, inputs)
    best = trained if trained.costs.net > untrained.costs.net else untrained
    common: dict[str, Any] = {"trained": trained.name, "untrained": untrained.name, "advantage": gain}
    if gain is None:
        return Verdict(
            word="undecided",
            headline=f"Undecided: no task was judged for both {trained.name} and {untrained.name}.",
            because=("Only tasks judged for both arms are compared.",),
            **common,
        )
    facts = _facts(trained, untrained, gain, inputs, currency)
    if best.costs.net <= 0:
        return Verdict(
            word="don't automate",
            headline=(
                "Don't automate this workflow now: over "
                f"{inputs.horizon_months:g} months even the best arm ({best.summary.result.label}) loses "
                f"{money(-best.costs.net, currency)} against a person."
            ),
            because=facts,
            caveats=_caveats(best),
            **common,
        )
    if gain.value <= 0:
        return _dont_train(trained, untrained, gain, facts, currency, common)
    if gain.ci is None or not gain.ci.above(0):
        needed = _needed(gain)
        after = f"; about {needed:,} tasks would probably settle it" if needed else ""
        return Verdict(
            word="undecided",
            headline=(
                f"Undecided: {trained.summary.result.label} looks better than "
                f"{untrained.summary.result.label}, but {gain.n} tasks are too few to tell{after}."
            ),
            tasks_needed=needed,
            because=facts,
            caveats=_caveats(untrained),
            **common,
        )
    doubt = _live_doubt(live, live_gap)
    if doubt:
        return Verdict(
            word="undecided",
            headline=f"Undecided: {doubt}",
            because=facts,
            caveats=_caveats(untrained),
            **common,
        )
    advised, why = _method(
        trained, [a for a in judged if a.summary.result.trained], differences, inputs, currency
    )
    if advised.costs.net <= untrained.costs.net:
        advised = trained
    return Verdict(
        word="train",
        headline=(
            f"Train: {advised.summary.result.label} is worth {money(advised.costs.net, currency)} over "
            f"{inputs.horizon_months:g} months, {money(advised.costs.net - untrained.costs.net, currency)} "
            f"more than the best way without training ({untrained.summary.result.label})."
        ),
        advised=advised.name,
        because=(*facts, *why),
        caveats=_caveats(untrained),
        **common,
    )


def _live_doubt(live: Sequence[Mapping[str, Any]], gap: float) -> str:
    """Why the environment's figures cannot be believed; empty when nothing speaks against them."""
    for entry in live:
        surely = entry["ci"] is not None and entry["ci"][1] < 0
        if surely and -entry["delta"] > gap:
            return (
                f"in the environment training pays, but on the real application the policy does "
                f"{percent(entry['live']['success'])} of the tasks right instead of "
                f"{percent(entry['environment']['success'])}: the environment does not stand for the work."
            )
    return ""


def _best(arms: Sequence[Judged]) -> Judged | None:
    return max(arms, key=lambda arm: arm.costs.net, default=None)


def _dont_train(
    trained: Judged,
    untrained: Judged,
    gain: Advantage,
    facts: tuple[str, ...],
    currency: str,
    common: dict[str, Any],
) -> Verdict:
    as_good = untrained.success >= trained.success
    surely = gain.ci is not None and gain.ci.below(0)
    how = "does the task at least as well" if as_good else "is worth more although it does fewer tasks right"
    doubt = "" if surely else " The difference is within chance; the simpler way needs no proof."
    return Verdict(
        word="don't train",
        headline=(
            f"Don't train: {untrained.summary.result.label} {how} "
            f"({percent(untrained.success)} against {percent(trained.success)}) and leaves "
            f"{money(untrained.costs.net - trained.costs.net, currency)} more.{doubt}"
        ),
        advised=untrained.name,
        because=facts,
        caveats=_caveats(untrained),
        **common,
    )


def _facts(
    trained: Judged, untrained: Judged, gain: Advantage, inputs: CostInputs, currency: str
) -> tuple[str, ...]:
    sentences = []
    for arm in (trained, untrained):
        costs = arm.costs
        back = (
            f"earned back in {costs.break_even_months:.1f} months"
            if costs.break_even_months is not None
            else "never earned back"
        )
        sentences.append(
            f"{arm.summary.result.label}: {percent(arm.success)} of the expected mix of tasks right, "
            f"{money(costs.per_success, currency)} per correct task (a person: "
            f"{money(inputs.human_cost, currency)}), {money(costs.one_off, currency)} to build, {back}."
        )
    if gain.ci is not None and gain.ci.low is not None and gain.ci.high is not None:
        sign, word = (1, "more") if gain.value > 0 else (-1, "less")
        ends = sorted((sign * gain.ci.low, sign * gain.ci.high))
        sentences.append(
            f"Training is worth {money(sign * gain.value, currency)} {word} over {inputs.horizon_months:g} "
            f"months (95% interval {money(ends[0], currency)} to {money(ends[1], currency)} {word}, "
            f"{gain.n} tasks)."
        )
    return tuple(sentences)


def _caveats(arm: Judged) -> tuple[str, ...]:
    if arm.summary.result.kind != "replay":
        return ()
    return (
        "The replay runs the very program that the environment and its verifier are made from, and reads "
        "the environment's own state: its success there is an upper bound. A page that looks or behaves "
        "otherwise than in the recordings stops it, and only the real application shows how often that is.",
    )


def _needed(gain: Advantage) -> int | None:
    """Tasks after which a difference like this one would show, with a power of 80%.

    By the normal approximation: an interval's reach shrinks with the root of the tasks.
    """
    if gain.ci is None or gain.ci.low is None or gain.value <= 0:
        return None
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + CONFIDENCE / 2)
    error = (gain.value - gain.ci.low) / z
    reach = z + normal.inv_cdf(POWER)
    return max(gain.n + 1, math.ceil(gain.n * (reach * error / gain.value) ** 2))


def _method(
    best: Judged,
    trained: Sequence[Judged],
    differences: Sequence[Difference],
    inputs: CostInputs,
    currency: str,
) -> tuple[Judged, tuple[str, ...]]:
    """Which trained arm: the best, or a simpler one that is not worse beyond doubt."""
    if best.summary.result.kind != "rl":
        return best, ()
    rival = _best([arm for arm in trained if arm.summary.result.kind == "sft"])
    if rival is None:
        return best, ()
    gain = advantage(best.summary, rival.summary, inputs)
    told = next((d for d in differences if (d.a, d.b, d.tasks) == (best.name, rival.name, "plain")), None)
    p_value = told.paired.p_value if told else None
    tail = f" (paired test p = {p_value:.3g})" if p_value is not None else ""
    if gain is not None and gain.ci is not None and gain.ci.above(0):
        return best, (
            f"RL beats the best fine-tuning ({rival.summary.result.label}) by {money(gain.value, currency)}"
            f"{tail}.",
        )
    return rival, (
        f"RL is not worth more than {rival.summary.result.label} beyond doubt{tail}: take the simpler.",
    )


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The decision as it stands in ``--json`` and ``report.json``."""
    gain = verdict.advantage
    return {
        "word": verdict.word,
        "headline": verdict.headline,
        "advised": verdict.advised,
        "trained": verdict.trained,
        "untrained": verdict.untrained,
        "advantage": None
        if gain is None
        else {"value": gain.value, "ci": gain.ci.as_list() if gain.ci else None, "n": gain.n},
        "tasks_needed": verdict.tasks_needed,
        "because": list(verdict.because),
        "caveats": list(verdict.caveats),
    }
