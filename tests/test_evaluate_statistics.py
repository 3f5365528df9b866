"""Intervals and tests against published values, scipy and exact enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from evaluate import statistics as st


@pytest.mark.parametrize("passed, n", [(81, 263), (15, 148), (0, 20), (1, 29), (20, 20), (1, 1), (0, 1)])
def test_wilson_agrees_with_scipy(passed: int, n: int) -> None:
    found = st.wilson(passed, n)
    known = stats.binomtest(passed, n).proportion_ci(method="wilson")
    assert found is not None
    assert found.as_list() == pytest.approx([known.low, known.high], abs=1e-12)


def test_wilson_gives_newcombes_published_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17:857-872, table I, method 3.
    for passed, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = st.wilson(passed, n)
        assert found is not None
        assert found.as_list() == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize(
    "table, low, high",
    [
        # Newcombe (1998), Statistics in Medicine 17:2635-2650, method 10.
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((18, 12, 2, 18), 0.0562, 0.3290),
        ((53, 0, 0, 1), -0.0729, 0.0729),
        # Fagerland, Lydersen, Laake (2014), airway hyper-responsiveness.
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_newcombe_gives_the_published_values(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = st.newcombe(*table)
    assert found is not None
    assert found.as_list() == pytest.approx([low, high], abs=5e-4)


@pytest.mark.parametrize(
    "a, n, b, m, low, high", [(56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090)]
)
def test_newcombe_for_different_tasks(a: int, n: int, b: int, m: int, low: float, high: float) -> None:
    # Newcombe (1998), Statistics in Medicine 17:873-890, method 10.
    found = st.newcombe_independent(a, n, b, m)
    assert found is not None
    assert found.as_list() == pytest.approx([low, high], abs=5e-5)


@given(some.integers(0, 60), some.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    n = only_a + only_b
    expected = stats.binomtest(only_a, n).pvalue if n else 1.0
    assert st.mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_does_not_round_for_many_tasks() -> None:
    assert st.mcnemar(0, 5000) == 0.0 or st.mcnemar(0, 5000) < 1e-300
    assert 0 < st.mcnemar(0, 1000) == pytest.approx(2.0**-999)


@given(some.lists(some.integers(0, 12), min_size=4, max_size=4))
def test_newcombe_holds_the_difference_and_mirrors(table: list[int]) -> None:
    both, only_a, only_b, neither = table
    found, mirrored = st.newcombe(*table), st.newcombe(both, only_b, only_a, neither)
    if sum(table) == 0:
        assert found is None
        return
    assert found is not None and mirrored is not None
    delta = (only_a - only_b) / sum(table)
    assert -1 <= float(found.low or 0) <= delta + 1e-12
    assert delta - 1e-12 <= float(found.high or 0) <= 1
    assert found.low == pytest.approx(-float(mirrored.high or 0))


def test_paired_leaves_out_what_was_not_judged() -> None:
    found = st.paired([1.0, 1.0, None, 0.0, 0.5], [0.0, 1.0, 1.0, None, 1.0])
    assert (found.n, found.both, found.only_a, found.only_b) == (3, 1, 1, 1)
    assert found.delta == 0.0
    nothing = st.paired([None], [1.0])
    assert (nothing.n, nothing.delta, nothing.ci, nothing.p_value) == (0, None, None, None)
    with pytest.raises(ValueError):
        st.paired([1.0], [])


def test_rate_counts_only_full_scores_and_only_judged_ones() -> None:
    found = st.rate([1.0, 0.99, 0.0, None])
    assert (found.passed, found.n, found.unscored) == (1, 3, 1)
    assert st.rate([None]).value is None and st.rate([]).ci is None


def test_holm() -> None:
    assert st.holm([0.01, 0.04, 0.03, None]) == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        pytest.approx(0.06),
        None,
    ]
    assert st.holm([0.9, 0.8]) == [1.0, 1.0]


def test_one_observation_has_no_error() -> None:
    assert st.mean_error([3.0]) is None
    assert st.mean_error([1.0, 2.0, 4.0]) == pytest.approx(stats.sem([1.0, 2.0, 4.0]))
    assert st.bootstrap_means(np.array([[1.0]])) is None
    assert st.quantile([], 0.5) is None


def test_bootstrap_covers_like_scipys() -> None:
    values = np.random.default_rng(3).exponential(size=(200, 1))
    means = st.bootstrap_means(values, seed=1)
    assert means is not None
    ours = st.percentile_interval(means[:, 0])
    theirs = stats.bootstrap(
        (values[:, 0],), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.as_list() == pytest.approx([theirs.low, theirs.high], abs=0.02)


def test_combined_intervals_cover_and_have_a_width_where_a_bootstrap_has_none() -> None:
    certain = st.newcombe(12, 0, 0, 0)
    found = st.combine([st.Part(100.0, 0.0, certain), st.Part(1.0, 5.0)])
    assert found.low is not None and found.high is not None
    assert found.low < -15 and found.high > 25  # twelve equal tasks prove little
    # The sum of two rates: the interval holds the truth about as often as it says.
    chance = np.random.default_rng(1)
    hits = 0
    for a, b in zip(chance.binomial(100, 0.9, 2000), chance.binomial(50, 0.7, 2000), strict=True):
        parts = [st.Part(0.9, a / 100, st.wilson(int(a), 100)), st.Part(-0.1, b / 50, st.wilson(int(b), 50))]
        interval = st.combine(parts)
        hits += float(interval.low or 0) <= 0.9 * 0.9 - 0.1 * 0.7 <= float(interval.high or 0)
    assert 0.93 < hits / 2000 < 0.98


def test_wilson_bounds_are_within_zero_and_one() -> None:
    for n, passed in itertools.product((1, 7, 100), (0, 1)):
        found = st.wilson(passed, n)
        assert found is not None and 0 <= float(found.low or 0) <= passed / n <= float(found.high or 0) <= 1
    assert not math.isnan(float(st.wilson(3, 7).high or 0))  # type: ignore[union-attr]
