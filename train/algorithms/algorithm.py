"""What an algorithm is: how it judges a batch, and how far it lets the policy move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serve.episodes import Group
from train.algorithms.returns import Credit
from train.loss import Clip
from train.tree import Target

# Advantages (and deviations) below this come from rounding.
NEGLIGIBLE = 1e-6


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Turns the groups of an iteration into weighted decisions; the loss is one for all.

    Attributes:
        judge: ``judge(groups, credit)``: each group's targets. All groups at once, because some
            algorithms compare over the whole batch. A group that teaches nothing has none.
        clip: Bounds of its paper, where the settings name no others.
        epochs: How often it goes over the same rollouts, where the settings do not say.
    """

    judge: Callable[[Sequence[Group], Credit], list[list[Target]]]
    clip: Clip
    epochs: int = 4
