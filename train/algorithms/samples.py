"""Credit for whole samples: every decision of a sample has the sample's own advantage.

A decision that several samples share counts once for each of them. They cannot be
summed up beforehand: a clipped surrogate of a mean advantage is not the mean of the
clipped surrogates. The tokens before it are still computed once.

The length of a sample is the number of its decisions: tokens that the grammar forces
have probability one whatever the policy, so they have neither ratio nor gradient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from serve.episodes import Group
from train.algorithms.algorithm import NEGLIGIBLE
from train.algorithms.returns import Credit, outcome
from train.tree import Target, scene_of


class Per(StrEnum):
    """What counts the same as another of its kind, however long: a token, a sample, one of its scenes."""

    TOKEN = "token"
    SAMPLE = "sample"
    SCENE = "scene"


def outcomes(group: Group, credit: Credit) -> list[float | None]:
    """What each sample came to; None where it could not be judged."""
    return [outcome(episode, credit) for episode in group.episodes]


def judged(values: Sequence[float | None]) -> list[float]:
    """Those that are known."""
    return [value for value in values if value is not None]


def centred(values: Sequence[float | None], middle: float, scale: float = 1.0) -> list[float | None]:
    """``(value - middle) / scale``; what is not known stays so."""
    return [None if value is None else (value - middle) / scale for value in values]


def spread(group: Group, advantages: Sequence[float | None], per: Per) -> list[Target]:
    """Every decision of every judged sample, with that sample's advantage.

    Samples that fared like the others are kept: they have no gradient, but count. Nothing
    is returned where no sample differs.
    """
    if not any(value is not None and abs(value) > NEGLIGIBLE for value in advantages):
        return []
    lengths: Counter[tuple[int, int]] = Counter()
    for index, segment in enumerate(group.segments):
        for sample in segment.samples:
            lengths[sample, _unit(group, index, per)] += len(segment.decisions)
    found: list[Target] = []
    for index, segment in enumerate(group.segments):
        for sample in segment.samples:
            value = advantages[sample]
            if value is None:
                continue
            weight = 1.0 if per is Per.TOKEN else 1.0 / max(1, lengths[sample, _unit(group, index, per)])
            found.extend(
                Target(index, decision, value, weight, sample=sample) for decision in segment.decisions
            )
    return found


def _unit(group: Group, segment: int, per: Per) -> int:
    return scene_of(group, segment) if per is Per.SCENE else -1
