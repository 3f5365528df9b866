"""MaxRL (arXiv 2602.02710, the on-policy estimator with its baseline): ``A_i = (R_i - mean(R)) / mean(R)``.

Dividing by the group's success rate turns the gradient of success into that of its logarithm, up to
the order that so many samples can tell: what seldom succeeds counts more. REINFORCE without ratio or
bound, so the rollouts are gone over once. Groups in which nothing succeeded teach nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from serve.episodes import Group
from train.algorithms.algorithm import NEGLIGIBLE, Algorithm
from train.algorithms.returns import Credit
from train.algorithms.samples import Per, centred, judged, outcomes, spread
from train.loss import Bound, Clip
from train.tree import Target


def judge(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """All tokens alike."""
    found = []
    for group in groups:
        values = outcomes(group, credit)
        known = judged(values)
        rate = fmean(known) if known else 0.0
        found.append(spread(group, centred(values, rate, rate), Per.TOKEN) if rate > NEGLIGIBLE else [])
    return found


MAXRL = Algorithm(judge, Clip(bound=Bound.NONE), epochs=1)
