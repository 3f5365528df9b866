"""Updates of what is trained, shared by supervised training and RL, and the checks that stop a broken one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fde.errors import WorkError
from serve.engine.lanes import shared_out
from serve.engine.local import LocalEngine
from serve.episodes import Group
from train.loss import Clip, Divergence, Losses, forward, loss_of
from train.trained import Trained
from train.tree import Packed, Tree, pack, packs
from train.world import ALONE, World

if TYPE_CHECKING:
    from train.shards import Shards


@dataclass(slots=True)
class Counts:
    """What was computed of an update.

    Attributes:
        loss: Mean over decisions, or a part of its sum.
        kl, gap: Means over decisions of the divergence from the policy before the iteration, and of the
            distance from the log-probabilities at sampling time.
        tokens: Computed forward and backward; ``decisions`` learned from.
        clipped, masked: Decisions at their bound, and left out (see :class:`train.loss.Losses`).
    """

    loss: float = 0.0
    kl: float = 0.0
    gap: float = 0.0
    tokens: int = 0
    decisions: int = 0
    clipped: int = 0
    masked: int = 0

    def add(self, part: Counts) -> None:
        """Count a part of the update in."""
        for name in Counts.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(part, name))

    @classmethod
    def of(cls, losses: Losses, packed: Packed, total: float, count: int) -> Counts:
        """Of one forward of an update, which has weights of ``total`` in ``count`` targets."""
        return Counts(
            loss=float(losses.value.detach()),
            kl=losses.kl / total,
            gap=losses.gap * len(packed.targets) / count,
            tokens=packed.size,
            decisions=sum(target.weight > 0 for target in packed.targets),
            clipped=losses.clipped,
            masked=losses.masked,
        )

    def over(self, world: World) -> Counts:
        """Those of all processes together."""
        mine = [getattr(self, name) for name in Counts.__dataclass_fields__]
        loss, kl, gap, *numbers = world.total(mine)
        return Counts(loss, kl, gap, *(round(number) for number in numbers))


@dataclass(slots=True)
class Updated(Counts):
    """What one update did.

    Attributes:
        norm: The gradient's before clipping.
        losses: Each tree's mean of :attr:`train.loss.Losses.each`, in the order given.
    """

    norm: float = 0.0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a lane computed of an update, each tree's loss, and the gradients."""

    counts: Counts
    losses: list[float]
    gradients: tuple[Tensor, ...]


class Updater:
    """AdamW on what is trained.

    Args:
        world: The processes that train together; what is trained is divided among them by then.
        budget: Tokens of one forward and backward; bounds memory.
        max_norm: Gradients are clipped to this norm.
    """

    def __init__(
        self,
        engine: LocalEngine,
        trained: Trained,
        *,
        world: World = ALONE,
        budget: int = 1536,
        max_norm: float = 1.0,
        beta2: float = 0.99,
    ) -> None:
        self.engine = engine
        self.trained = trained
        self.world = world
        self.budget = budget
        self.max_norm = max_norm
        self.optimizer = torch.optim.AdamW(
            trained.parameters(), lr=0.0, betas=(0.9, beta2), weight_decay=0.0, foreach=True
        )
        self.updates = 0

    def step(self, trees: Sequence[Tree], *, lr: float, rule: Clip | Divergence | None = None) -> Updated:
        """One update on all trees together, normalised by their number of decisions.

        Args:
            rule: Bounds of a policy's ratios, or the divergence from a teacher; None for likelihood.

        Raises:
            WorkError: when the loss is not a number, or nothing has a gradient.
        """
        began = time.perf_counter()
        total = sum(target.weight for tree in trees for _, target in tree.targets)
        count = sum(len(tree.targets) for tree in trees)
        done = Updated()
        if self.trained.shards is None:
            self._in_lanes(trees, total, count, rule, done)
        else:
            self._together(self.trained.shards, trees, total, count, rule, done)
        parameters = self.trained.parameters()
        if not math.isfinite(done.loss):
            self.optimizer.zero_grad()
            raise WorkError(
                f"The loss of update {self.updates + 1} is {done.loss}.",
                "Lower the learning rate; the checkpoint before this update is kept.",
            )
        norm = self.trained.norm(self.world)
        torch.nn.utils.clip_grads_with_norm_(parameters, self.max_norm, norm)
        done.norm = float(norm)
        if done.norm == 0.0 and done.clipped + done.masked >= done.decisions:
            # The updates before, on decisions of the same rollouts, went as far as they may for these too.
            self.optimizer.zero_grad()
            done.seconds = time.perf_counter() - began
            return done
        if not math.isfinite(done.norm) or done.norm == 0.0:
            raise WorkError(
                f"The gradient of update {self.updates + 1} over {done.decisions} decisions is "
                f"{'zero' if done.norm == 0 else 'not a number'}: nothing can be learned from it.",
                "Either no decision has an advantage, or what is trained is not in the computation.",
            )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.trained.merge()
        self.updates += 1
        done.seconds = time.perf_counter() - began
        return done

    def _in_lanes(
        self, trees: Sequence[Tree], total: float, count: int, rule: Clip | Divergence | None, done: Updated
    ) -> None:
        """Forward and backward of an update's trees, each pack shared out among the lanes."""
        parameters = self.trained.parameters()
        for batch in packs(trees, self.budget):
            shares = self.engine.lanes.share([tree.size for tree in batch])
            lanes = [[batch[index] for index in share] for share in shares]
            parts = self.engine.lanes.run(lambda lane: self._part(lane, total, count, rule), lanes)
            each = [0.0] * len(batch)
            for share, part in zip(shares, parts, strict=True):
                done.add(part.counts)
                for index, loss in zip(share, part.losses, strict=True):
                    each[index] = loss
                # Summed here, in the lanes' order: the same work gives the same bits.
                for parameter, gradient in zip(parameters, part.gradients, strict=True):
                    gradient = gradient.to(parameter.dtype)
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
            done.losses.extend(each)

    def _part(self, trees: Sequence[Tree], total: float, count: int, rule: Clip | Divergence | None) -> _Part:
        """Forward and backward of some of an update's trees, which has ``count`` targets."""
        packed = pack(trees, self.engine.body.device)
        losses = loss_of(self.engine, packed, total, rule)
        gradients = torch.autograd.grad(losses.value, self.trained.leaves())
        return _Part(Counts.of(losses, packed, total, count), _per_tree(trees, losses.each), gradients)

    def _together(
        self,
        shards: Shards,
        trees: Sequence[Tree],
        total: float,
        count: int,
        rule: Clip | Divergence | None,
        done: Updated,
    ) -> None:
        """Forward and backward of an update's trees, shared out among the processes of the world.

        All make as many forwards, through the same layers, as they bring their shares together in each.
        """
        shares = shared_out([tree.size for tree in trees], self.world.size)
        packed_of = [list(packs([trees[index] for index in share], self.budget)) for share in shares]
        mine, counts, found = packed_of[self.world.rank], Counts(), list[float]()
        lower = all(each is not None for tree in trees for each in tree.lower)
        for number in range(max(len(batches) for batches in packed_of)):
            if number >= len(mine):
                shards.idle(lower=lower).backward()
                continue
            packed = pack(mine[number], self.engine.body.device)
            packed.lower = packed.lower if lower else None
            losses = loss_of(self.engine, packed, total, rule)
            losses.value.backward()
            counts.add(Counts.of(losses, packed, total, count))
            found += _per_tree(mine[number], losses.each)
        self.trained.reduce(self.world)
        each = [0.0] * len(trees)
        for index, loss in zip(shares[self.world.rank], found, strict=True):
            each[index] = loss
        done.add(counts.over(self.world))
        done.losses.extend(self.world.total(each))


def _per_tree(batch: Sequence[Tree], each: Tensor) -> list[float]:
    parts = each.split([len(tree.targets) for tree in batch])
    return [float(part.mean()) if len(part) else 0.0 for part in parts]


@torch.inference_mode()
def add_lower(engine: LocalEngine, trees: Sequence[Tree], budget: int = 1024) -> int:
    """Compute once what the frozen lower layers make of trees, and keep it with them; returns the tokens."""
    if not engine.body.split:
        return 0

    def lower(batch: Sequence[Tree]) -> int:
        packed = pack(batch, engine.body.device)
        _, lower = engine.body.run(packed.ids, packed.positions, packed.plan, upper=False)
        parts = iter(lower.split([len(tokens) for tree in batch for tokens in tree.tokens]))
        for tree in batch:
            tree.lower = [next(parts).clone() for _ in tree.tokens]
        return packed.size

    shares = engine.lanes.share([tree.size for tree in trees])
    lanes = [[trees[index] for index in share] for share in shares]
    return sum(engine.lanes.run(lambda lane: sum(lower(batch) for batch in packs(lane, budget)), lanes))


def check_as_sampled(groups: Sequence[Group]) -> None:
    """Make sure that every decision's token is where it was sampled.

    Raises:
        WorkError: when it is not, as after text that was tokenised again.
    """
    for group in groups:
        for segment in group.segments:
            for decision in segment.decisions:
                at = segment.tokens[decision.offset : decision.offset + 1]
                if at != [decision.chosen]:
                    raise WorkError(
                        f"Task {group.task.id}: token {decision.offset} of a segment is {at}, but "
                        f"{decision.chosen} was sampled there: the text was tokenised again.",
                        "This is a fault of the toolkit; nothing trained since the last checkpoint counts.",
                    )


@torch.no_grad()
def note_before(engine: LocalEngine, trees: Sequence[Tree], budget: int = 1536) -> int:
    """Note the trainer's own log-probabilities with the targets, before any update; returns the tokens.

    For rollouts that another engine made, or an older policy (see :func:`train.loss.correction`).
    """
    tokens = 0
    for batch in packs(trees, budget):
        packed = pack(batch, engine.body.device)
        values = iter(forward(engine, packed).tolist())
        for tree in batch:
            tree.targets = [(place, replace(target, before=next(values))) for place, target in tree.targets]
        tokens += packed.size
    return tokens
