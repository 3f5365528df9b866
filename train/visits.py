"""Which scenes to visit next: those from which most is still to be learned.

A scene's worth is its last loss, shared out over the visits it has had, so that
what cannot be learned (an expert's whim) does not take all the time. A scene
nobody has visited is taken to be like the others of its kind: once the model
masters a kind of page, the other demonstrations of it are never computed. Every
kind is looked at first, but not where they are many: pages that are headed by a
customer's name are all kinds of their own, and those are taken to be like the rest.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

# A known scene is visited now and then, to make sure.
_FLOOR = 0.01
# What is new teaches more than what was seen, at equal loss.
_NEW = 1.5
_PACE = 0.3
# Kinds that are looked at before anything else.
_FIRST_KINDS = 8


class Visits:
    """The scenes of a training run, by index.

    Args:
        kinds: What each scene is about; scenes of one kind are taken to be alike.
        sizes: Tokens of each scene.
    """

    def __init__(self, kinds: Sequence[str], sizes: Sequence[int]) -> None:
        self.kinds, self.sizes = list(kinds), list(sizes)
        self.losses: list[float | None] = [None] * len(self.kinds)
        self.counts = [0] * len(self.kinds)
        self.usual: dict[str, float] = {}

    def worth(self) -> list[float]:
        """What a visit of each is expected to teach; infinite for one of the first kinds to be seen."""
        other = fmean(self.usual.values()) if len(self.usual) >= _FIRST_KINDS else float("inf")
        return [
            _FLOOR + _NEW * self.usual.get(kind, other) if loss is None else (_FLOOR + loss) / (1 + count)
            for kind, loss, count in zip(self.kinds, self.losses, self.counts, strict=True)
        ]

    def choose(self, tokens: int, seed: str) -> list[int]:
        """Scenes for one update of about ``tokens``, at least one."""
        chance = random.Random(seed)
        # Weighted sampling without replacement (Efraimidis and Spirakis 2006): largest u^(1/w) first.
        keys = [(chance.random() ** (1.0 / worth), index) for index, worth in enumerate(self.worth())]
        chosen: list[int] = []
        size = 0
        for _, index in sorted(keys, reverse=True):
            if chosen and size + self.sizes[index] > tokens:
                break
            chosen.append(index)
            size += self.sizes[index]
        return chosen

    def note(self, index: int, loss: float) -> None:
        """Learn from a visit."""
        kind = self.kinds[index]
        usual = self.usual.get(kind)
        self.usual[kind] = loss if usual is None else usual + _PACE * (loss - usual)
        self.losses[index] = loss
        self.counts[index] += 1

    def state(self) -> dict[str, Any]:
        return {"losses": self.losses, "counts": self.counts, "usual": self.usual}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.losses, self.counts = list(state["losses"]), list(state["counts"])
        self.usual = dict(state["usual"])
