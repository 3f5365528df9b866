"""Step-level advantages on a prefix tree.

Where samples choose differently, they do so in the same state (same tokens,
deterministic environment). The advantage of a choice is the mean return of the
samples that took it, minus the mean return of all that stood there: group
relative as in GRPO (arXiv 2402.03300), per step as in GiGPO (arXiv 2505.10978),
without division by the deviation as in Dr. GRPO (arXiv 2503.20783).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from serve.episodes import Group
from train.algorithms.algorithm import NEGLIGIBLE, Algorithm
from train.algorithms.returns import Credit, returns
from train.loss import Clip
from train.tree import Target


def judge(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """The choices at which samples parted, weighted by how many took each."""
    return [_parted(group, credit) for group in groups]


def _parted(group: Group, credit: Credit) -> list[Target]:
    found: list[Target] = []
    known = returns(group, credit)
    for children in group.children():
        parted = [child for child in children if not group.segments[child].fresh]
        values: dict[int, list[float]] = {}
        for child in parted:
            for sample in group.segments[child].samples:
                of_sample = known[sample]
                if of_sample is not None:
                    path = group.episodes[sample].path
                    values.setdefault(child, []).append(of_sample.after(path, child, 0))
        if len(values) < 2:
            continue
        usual = fmean(value for each in values.values() for value in each)
        for child, each in values.items():
            advantage = fmean(each) - usual
            if abs(advantage) > NEGLIGIBLE:
                decision = group.segments[child].decisions[0]
                found.append(Target(child, decision, advantage, float(len(each))))
    return found


TREE = Algorithm(judge, Clip(0.2, 0.28, reach=0.35, hold=1.0))
