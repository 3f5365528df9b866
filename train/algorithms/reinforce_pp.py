"""REINFORCE++ (arXiv 2501.03262, global advantage normalisation): deviations are those of the whole batch.

``A = (R - mean(R)) / std(R)`` over all samples of the iteration. The variant with baseline first takes
each group's mean off its rewards. PPO's clipped surrogate, averaged over each sample's tokens. Left
out is the KL penalty in the reward (beta 0).
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


def judge(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """Against the batch alone."""
    return _normalised(groups, [outcomes(group, credit) for group in groups])


def judge_with_baseline(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """Against the group first."""
    rewards = []
    for group in groups:
        values = outcomes(group, credit)
        known = judged(values)
        rewards.append(centred(values, fmean(known)) if known else values)
    return _normalised(groups, rewards)


def _normalised(groups: Sequence[Group], rewards: Sequence[Sequence[float | None]]) -> list[list[Target]]:
    known = [value for values in rewards for value in judged(values)]
    deviation = pstdev(known) if known else 0.0
    if deviation <= NEGLIGIBLE:
        return [[] for _ in groups]
    middle = fmean(known)
    return [
        spread(group, centred(values, middle, deviation), Per.SAMPLE)
        for group, values in zip(groups, rewards, strict=True)
    ]


REINFORCE_PP = Algorithm(judge, Clip(0.2, 0.2))
REINFORCE_PP_BASELINE = Algorithm(judge_with_baseline, Clip(0.2, 0.2))
