"""CISPO (MiniMax-M1, arXiv 2506.13585, equations 4 and 5): the weight is clipped, not the update.

REINFORCE with GRPO's advantages, each token weighed by its clipped importance ratio, through
which no gradient flows: no token ever drops out. There is no lower bound, as in the paper.
"""

from __future__ import annotations

from train.algorithms.algorithm import Algorithm
from train.algorithms.dapo import judge
from train.loss import Bound, Clip

CISPO = Algorithm(judge, Clip(1.0, 0.28, bound=Bound.WEIGHT))
