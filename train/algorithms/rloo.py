"""RLOO (arXiv 2402.14740, "REINFORCE leave-one-out"): the baseline of a sample is the mean of the others.

``A_i = R_i - mean of R_j over j other than i``; REINFORCE on the whole sequence's log-probability, without
ratio or bound, so the rollouts are gone over once.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from serve.episodes import Group
from train.algorithms.algorithm import Algorithm
from train.algorithms.returns import Credit
from train.algorithms.samples import Per, centred, judged, outcomes, spread
from train.loss import Bound, Clip
from train.tree import Target


def judge(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """All tokens alike; a sample alone in its group has nothing to be compared with."""
    found: list[list[Target]] = []
    for group in groups:
        values = outcomes(group, credit)
        known = judged(values)
        if len(known) < 2:
            found.append([])
            continue
        # R_i minus the others' mean is the distance to the mean of all, times n / (n - 1).
        others = (len(known) - 1) / len(known)
        found.append(spread(group, centred(values, fmean(known), others), Per.TOKEN))
    return found


RLOO = Algorithm(judge, Clip(bound=Bound.NONE), epochs=1)
