"""What a batch teaches: each algorithm turns groups into weighted decisions; the loss is one for all."""

from __future__ import annotations

from train.algorithms import dr_grpo, sft, tree
from train.algorithms.returns import Credit

ALGORITHMS = {"tree": tree.targets, "dr-grpo": dr_grpo.targets}

__all__ = ["ALGORITHMS", "Credit", "sft"]
