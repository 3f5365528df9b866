"""Intervals and tests for small samples of tasks that pass or fail.

Everything here follows two rules: what was not judged is ``None`` and is left
out of every count (and counted as such), and one observation has no error.

Sources:
    Wilson, E. B. (1927), JASA 22:209-212, for one proportion.
    McNemar, Q. (1947), Psychometrika 12:153-157, in its exact binomial form.
    Newcombe, R. G. (1998), Statistics in Medicine 17:2635-2650, method 10, for
    the difference of two proportions measured on the same tasks; and 17:873-890,
    method 10, for two measured on different tasks.
    Holm, S. (1979), Scandinavian Journal of Statistics 6:65-70, for several tests.
    Efron, B. and Tibshirani, R. J. (1993), chapter 13, for the percentile bootstrap.
    Zou, G. Y. and Donner, A. (2008), Statistics in Medicine 27:1693-1702, for the
    interval of a sum from the intervals of its parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
DRAWS = 4_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval; a bound that the data do not give is None."""

    low: float | None
    high: float | None

    def as_list(self) -> list[float | None]:
        """``[low, high]``, as it stands in JSON."""
        return [self.low, self.high]

    def above(self, value: float) -> bool:
        """Whether the whole interval lies above ``value``."""
        return self.low is not None and self.low > value

    def below(self, value: float) -> bool:
        """Whether the whole interval lies below ``value``."""
        return self.high is not None and self.high < value


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of tasks passed.

    Attributes:
        passed: Tasks judged right.
        n: Tasks judged at all; ``unscored`` tasks are not among them.
        value: ``passed / n``, None when nothing was judged.
    """

    passed: int
    n: int
    unscored: int
    value: float | None
    ci: Interval | None


@dataclass(frozen=True, slots=True)
class Paired:
    """Two ways of doing the same tasks, task by task.

    Attributes:
        n: Tasks judged for both.
        delta: Success of a minus success of b, None when ``n`` is 0.
        p_value: Two-sided exact McNemar test of no difference.
    """

    n: int
    both: int
    only_a: int
    only_b: int
    neither: int
    delta: float | None
    ci: Interval | None
    p_value: float | None


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(passed: int, n: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Wilson's score interval of a proportion; None when ``n`` is 0."""
    if not 0 <= passed <= n:
        raise ValueError(f"{passed} of {n} is not a proportion")
    if n == 0:
        return None
    z = _z(confidence)
    share = passed / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # The bounds of 0 of n and n of n are exactly 0 and 1; rounding must not move them.
    low = 0.0 if passed == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if passed == n else min(1.0, (centre + half) / scale)
    return Interval(low, high)


def passed(value: float | None) -> bool | None:
    """A score as right, wrong or not judged. Only a full score is right."""
    return None if value is None else value == 1.0


def rate(values: Sequence[float | None]) -> Rate:
    """The share of scores that are a full pass, with its interval."""
    judged = [passed(value) for value in values if value is not None]
    good, n = sum(map(bool, judged)), len(judged)
    return Rate(good, n, len(values) - n, good / n if n else None, wilson(good, n))


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact McNemar test.

    Args:
        only_a: Tasks that a passed and b failed.
        only_b: Tasks that b passed and a failed.

    Returns:
        Probability, if neither were better, of a split at least as uneven.
    """
    if min(only_a, only_b) < 0:
        raise ValueError(f"counts {only_a} and {only_b} must not be negative")
    n = only_a + only_b
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    # Integers until the last division: no rounding however many tasks there are.
    return min(1.0, 2 * tail / (1 << n))


def newcombe(
    both: int, only_a: int, only_b: int, neither: int, confidence: float = CONFIDENCE
) -> Interval | None:
    """Interval of the difference (a minus b) of two proportions on the same tasks.

    Newcombe's square-and-add interval (1998, method 10): Wilson's interval of
    each proportion, joined with the correlation of the two; the correlation is
    continuity-corrected where it is positive. None when there are no tasks.
    """
    n = both + only_a + only_b + neither
    if n == 0:
        return None
    a, b = both + only_a, both + only_b
    interval_a, interval_b = wilson(a, n, confidence), wilson(b, n, confidence)
    assert interval_a is not None and interval_b is not None  # n > 0
    low_a, high_a = float(interval_a.low or 0), float(interval_a.high or 0)
    low_b, high_b = float(interval_b.low or 0), float(interval_b.high or 0)
    share_a, share_b = a / n, b / n
    margins = a * (n - a) * b * (n - b)
    phi = 0.0
    if margins:
        cross = both * neither - only_a * only_b
        corrected = max(cross - n / 2, 0.0) if cross > 0 else float(cross)
        phi = corrected / math.sqrt(margins)
    delta = share_a - share_b
    to_low_a, to_high_a = share_a - low_a, high_a - share_a
    to_low_b, to_high_b = share_b - low_b, high_b - share_b
    down = to_low_a**2 - 2 * phi * to_low_a * to_high_b + to_high_b**2
    up = to_high_a**2 - 2 * phi * to_high_a * to_low_b + to_low_b**2
    return Interval(max(-1.0, delta - math.sqrt(max(0.0, down))), min(1.0, delta + math.sqrt(max(0.0, up))))


def newcombe_independent(
    passed_a: int, n_a: int, passed_b: int, n_b: int, confidence: float = CONFIDENCE
) -> Interval | None:
    """Interval of the difference (a minus b) of two proportions on different tasks.

    Newcombe's hybrid score interval (1998, Statistics in Medicine 17:873-890,
    method 10). None when either has no tasks.
    """
    a, b = wilson(passed_a, n_a, confidence), wilson(passed_b, n_b, confidence)
    if a is None or b is None:
        return None
    share_a, share_b = passed_a / n_a, passed_b / n_b
    delta = share_a - share_b
    down = math.hypot(share_a - float(a.low or 0), float(b.high or 0) - share_b)
    up = math.hypot(float(a.high or 0) - share_a, share_b - float(b.low or 0))
    return Interval(delta - down, delta + up)


def paired(a: Sequence[float | None], b: Sequence[float | None]) -> Paired:
    """Compare two lists of scores of the same tasks in the same order.

    Raises:
        ValueError: when the lists differ in length, so cannot be paired.
    """
    pairs = [(x == 1.0, y == 1.0) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    n = len(pairs)
    both = pairs.count((True, True))
    only_a = pairs.count((True, False))
    only_b = pairs.count((False, True))
    neither = n - both - only_a - only_b
    if n == 0:
        return Paired(0, 0, 0, 0, 0, None, None, None)
    return Paired(
        n=n,
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=neither,
        delta=(only_a - only_b) / n,
        ci=newcombe(both, only_a, only_b, neither),
        p_value=mcnemar(only_a, only_b),
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment of a family of p-values; None stays None."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[i] = highest
    return adjusted


@dataclass(frozen=True, slots=True)
class Part:
    """A figure with its interval, times a known weight; an exact one has no interval."""

    weight: float
    value: float
    ci: Interval | None = None


def combine(parts: Sequence[Part]) -> Interval:
    """Interval of a weighted sum of independent figures, by their variance estimates recovered.

    Zou and Donner (2008), equation 2: unlike a bootstrap it has a width also
    where all tasks went the same way. A part with a bound missing is an error.
    """
    total = sum(part.weight * part.value for part in parts)
    down = up = 0.0
    for part in parts:
        if part.ci is None:
            continue
        if part.ci.low is None or part.ci.high is None:
            raise ValueError(f"{part} has no bound on one side")
        below, above = part.value - part.ci.low, part.ci.high - part.value
        if part.weight < 0:
            below, above = above, below
        down += (part.weight * below) ** 2
        up += (part.weight * above) ** 2
    return Interval(total - math.sqrt(down), total + math.sqrt(up))


def mean_error(values: Sequence[float]) -> float | None:
    """Standard error of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    return float(np.std(np.asarray(values, dtype=float), ddof=1) / math.sqrt(len(values)))


def quantile(values: Sequence[float], q: float) -> float | None:
    """The ``q`` quantile with linear interpolation; None when there are no values."""
    return float(np.quantile(np.asarray(values, dtype=float), q)) if len(values) else None


def bootstrap_means(
    columns: NDArray[np.float64], *, seed: int = 0, draws: int = DRAWS
) -> NDArray[np.float64] | None:
    """Means of resampled tasks, for percentile intervals of anything made from them.

    Args:
        columns: Shape ``(tasks, columns)``. Tasks are drawn with replacement, whole
            rows at a time: what belongs to one task stays together.

    Returns:
        Shape ``(draws, columns)``; None for fewer than two tasks.
    """
    n = len(columns)
    if n < 2:
        return None
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(n, np.full(n, 1 / n), size=draws)
    means: NDArray[np.float64] = weights @ columns / n
    return means


def percentile_interval(values: NDArray[np.float64], confidence: float = CONFIDENCE) -> Interval:
    """The middle ``confidence`` of bootstrap values; a bound that is not finite is None."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail], method="closest_observation")
    return Interval(float(low) if math.isfinite(low) else None, float(high) if math.isfinite(high) else None)
