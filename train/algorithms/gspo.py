"""GSPO (arXiv 2507.18071, equations 5 to 7): one ratio for a sequence, the geometric mean of its tokens'.

A sequence is what a sample said in one scene, which is a conversation of its own. The bounds
are those of section 5.1; a ratio of means moves far less than one of single tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve.episodes import Group
from train.algorithms.algorithm import Algorithm
from train.algorithms.grpo import standardised
from train.algorithms.returns import Credit
from train.algorithms.samples import Per, spread
from train.loss import Bound, Clip
from train.tree import Target


def judge(groups: Sequence[Group], credit: Credit) -> list[list[Target]]:
    """All sequences alike, however long."""
    return [spread(group, standardised(group, credit), Per.SCENE) for group in groups]


GSPO = Algorithm(judge, Clip(3e-4, 4e-4, bound=Bound.SEQUENCE))
