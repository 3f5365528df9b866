"""DAPO (arXiv 2503.14476, equations 8 and 9): GRPO's advantages, tokens averaged over the whole batch,
a wider upper bound, and no groups in which all samples fared the same (its dynamic sampling).

Left out is its penalty for overlong answers (equation 13): an action line ends by the grammar.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve.episodes import Group
from train.algorithms.algorithm import Algorithm
from train.algorithms.grpo import standardised
from train.algorithms.returns import Credit
from train.algorithms.samples import Per, spread
from train.loss import Clip
from train.tree import Target


def judge(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """All tokens of the batch alike."""
    return [spread(group, standardised(group, credit), Per.TOKEN) for group in groups]


DAPO = Algorithm(judge, Clip(0.2, 0.28))
