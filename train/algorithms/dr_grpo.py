"""Dr. GRPO (arXiv 2503.20783, equation 3): episode return minus the group's mean, for every decision.

Neither divided by the group's deviation nor by the length of the episode. On a
tree, a decision shared by several samples gets their mean advantage and their
number as its weight, which is the same sum.
"""

from __future__ import annotations

from statistics import fmean

from serve.episodes import Group
from train.algorithms.returns import Credit, outcome
from train.tree import Target

_NEGLIGIBLE = 1e-6


def targets(group: Group, credit: Credit) -> list[Target]:
    """All decisions of samples that did better or worse than the group's mean."""
    values = [outcome(episode, credit) for episode in group.episodes]
    known = [value for value in values if value is not None]
    if not known:
        return []
    usual = fmean(known)
    found: list[Target] = []
    for index, segment in enumerate(group.segments):
        mine = [value - usual for sample in segment.samples if (value := values[sample]) is not None]
        if mine and abs(advantage := fmean(mine)) > _NEGLIGIBLE:
            found.extend(
                Target(index, decision, advantage, float(len(mine))) for decision in segment.decisions
            )
    return found
