"""What a batch teaches: each algorithm turns groups into weighted decisions; the loss is one for all."""

from __future__ import annotations

from train.algorithms import sft
from train.algorithms.algorithm import Algorithm
from train.algorithms.cispo import CISPO
from train.algorithms.dapo import DAPO
from train.algorithms.dr_grpo import DR_GRPO
from train.algorithms.grpo import GRPO
from train.algorithms.gspo import GSPO
from train.algorithms.maxrl import MAXRL
from train.algorithms.reinforce_pp import REINFORCE_PP, REINFORCE_PP_BASELINE
from train.algorithms.returns import Credit
from train.algorithms.rloo import RLOO
from train.algorithms.tree import TREE

ALGORITHMS = {
    "tree": TREE,
    "grpo": GRPO,
    "dr-grpo": DR_GRPO,
    "dapo": DAPO,
    "cispo": CISPO,
    "gspo": GSPO,
    "rloo": RLOO,
    "maxrl": MAXRL,
    "reinforce++": REINFORCE_PP,
    "reinforce++-baseline": REINFORCE_PP_BASELINE,
}

__all__ = ["ALGORITHMS", "Algorithm", "Credit", "sft"]
