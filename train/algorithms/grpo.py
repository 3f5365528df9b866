"""GRPO (arXiv 2402.03300, equation 3, outcome supervision of section 4.1.2).

``A_i = (R_i - mean(R)) / std(R)`` over the group; each sample's clipped surrogates are
averaged over its tokens, then over the samples. Left out is its KL penalty (beta 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev

from serve.episodes import Group
from train.algorithms.algorithm import NEGLIGIBLE, Algorithm
from train.algorithms.returns import Credit
from train.algorithms.samples import Per, centred, judged, outcomes, spread
from train.loss import Clip
from train.tree import Target


def standardised(group: Group, credit: Credit) -> list[float | None]:
    """The group's advantages, in its deviations; all zero where every sample fared the same."""
    values = outcomes(group, credit)
    known = judged(values)
    deviation = pstdev(known) if known else 0.0
    if deviation <= NEGLIGIBLE:
        return [None if value is None else 0.0 for value in values]
    return centred(values, fmean(known), deviation)


def judge(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """Per-sample means of the tokens."""
    return [spread(group, standardised(group, credit), Per.SAMPLE) for group in groups]


GRPO = Algorithm(judge, Clip(0.2, 0.2))
