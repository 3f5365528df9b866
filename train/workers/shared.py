"""Rollouts by the processes that train together: each makes its share, and all have them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve.episodes import Group
from train.rollouts import Rollouts
from train.tree import Tree
from train.workers import wire
from train.workers.supply import Batch
from train.world import World


def exchanged(groups: Sequence[Group], world: World, *, tokens: int = 0) -> tuple[list[Group], int]:
    """The groups of all processes, in their order, and the tokens that the others computed.

    Args:
        groups: This process's; ``tokens`` it computed for them.
    """
    told, tensors = wire.groups_out(groups)
    found: list[Group] = []
    others = 0
    for rank, content in enumerate(world.exchange(wire.enclosed({**told, "tokens": tokens}, tensors))):
        said, theirs = wire.opened(content)
        found += wire.groups_in(said, theirs)
        others += said["tokens"] if rank != world.rank else 0
    return found, others


class Shared:
    """See :class:`train.workers.supply.Supply`."""

    def __init__(self, rollouts: Rollouts, world: World) -> None:
        self._rollouts, self._world = rollouts, world

    def publish(self, iteration: int) -> None:
        return

    def batch(self, iteration: int, *, all_tried: bool, last: int | None) -> Batch:
        """See :meth:`Supply.batch`."""
        drawn = self._rollouts.draw(iteration)
        parts = self._rollouts.order(drawn, iteration, all_tried=all_tried).parts(self._world.size)
        counters = self._rollouts.engine.counters
        before = counters.tokens
        mine = self._rollouts.make(parts[self._world.rank]) if self._world.rank < len(parts) else []
        groups, others = exchanged(mine, self._world, tokens=counters.tokens - before)
        return Batch(drawn, groups, tokens=others)

    def check(self, versions: Sequence[int], trees: Sequence[Sequence[Tree]]) -> None:
        return

    def state(self) -> list[dict[str, Any]]:
        return []

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        return
