"""Dr. GRPO (arXiv 2503.20783, equation 3): the sample's return minus the group's mean, for every decision.

Neither divided by the group's deviation nor by the length of the sample. Its constant
divisor is the update's number of decisions here, which is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from serve.episodes import Group
from train.algorithms.algorithm import Algorithm
from train.algorithms.returns import Credit
from train.algorithms.samples import Per, centred, judged, outcomes, spread
from train.loss import Clip
from train.tree import Target


def judge(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """All decisions alike."""
    found = []
    for group in groups:
        values = outcomes(group, credit)
        known = judged(values)
        found.append(spread(group, centred(values, fmean(known)), Per.TOKEN) if known else [])
    return found


DR_GRPO = Algorithm(judge, Clip(0.2, 0.2))
