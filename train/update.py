"""Updates of the adapter, shared by supervised training and RL, and the checks that stop a broken one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from fde.errors import WorkError
from serve.engine.local import LocalEngine
from serve.episodes import Group
from train.lora import Lora
from train.loss import Clip, Divergence, forward, loss_of
from train.tree import Tree, pack, packs


@dataclass(slots=True)
class Updated:
    """What one update did.

    Attributes:
        loss: Mean over decisions; ``norm`` is the gradient's before clipping.
        tokens: Tokens computed forward and backward; ``decisions`` learned from.
        clipped, masked: Decisions at their bound, and left out (see :class:`train.loss.Losses`).
        kl, gap: Means over decisions of the divergence from the policy before the iteration, and of the
            distance from the log-probabilities at sampling time.
        losses: Each tree's mean of :attr:`train.loss.Losses.each`, in the order given.
    """

    loss: float
    norm: float
    tokens: int
    decisions: int
    clipped: int
    kl: float
    seconds: float
    gap: float = 0.0
    masked: int = 0
    losses: list[float] = field(default_factory=list)

    def add(self, part: _Part) -> None:
        """Count a part of the update in, its losses aside."""
        self.loss += part.loss
        self.tokens += part.tokens
        self.decisions += part.decisions
        self.clipped += part.clipped
        self.kl += part.kl
        self.gap += part.gap
        self.masked += part.masked


@dataclass(frozen=True, slots=True)
class _Part:
    """What a lane computed of an update: its share of the loss, and that one's gradients."""

    loss: float
    tokens: int
    decisions: int
    clipped: int
    kl: float
    gap: float
    masked: int
    losses: list[float]
    gradients: tuple[Tensor, ...]


class Updater:
    """AdamW on a LoRA adapter.

    Args:
        budget: Tokens of one forward and backward; bounds memory.
        max_norm: Gradients are clipped to this norm.
    """

    def __init__(
        self,
        engine: LocalEngine,
        lora: Lora,
        *,
        budget: int = 1536,
        max_norm: float = 1.0,
        beta2: float = 0.99,
    ) -> None:
        self.engine = engine
        self.lora = lora
        self.budget = budget
        self.max_norm = max_norm
        self.optimizer = torch.optim.AdamW(
            lora.parameters(), lr=0.0, betas=(0.9, beta2), weight_decay=0.0, foreach=True
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
        done = Updated(0.0, 0.0, 0, 0, 0, 0.0, 0.0)
        parameters = self.lora.parameters()
        for batch in packs(trees, self.budget):
            shares = self.engine.lanes.share([tree.size for tree in batch])
            lanes = [[batch[index] for index in share] for share in shares]
            parts = self.engine.lanes.run(lambda lane: self._part(lane, total, count, rule), lanes)
            each = [0.0] * len(batch)
            for share, part in zip(shares, parts, strict=True):
                done.add(part)
                for index, loss in zip(share, part.losses, strict=True):
                    each[index] = loss
                # Summed here, in the lanes' order: the same work gives the same bits.
                for parameter, gradient in zip(parameters, part.gradients, strict=True):
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
            done.losses.extend(each)
        if not math.isfinite(done.loss):
            self.optimizer.zero_grad()
            raise WorkError(
                f"The loss of update {self.updates + 1} is {done.loss}.",
                "Lower the learning rate; the checkpoint before this update is kept.",
            )
        done.norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.max_norm))
        if done.norm == 0.0 and done.clipped + done.masked >= done.decisions:
            # The updates before, on decisions of the same rollouts, went as far as they may for these too.
            self.optimizer.zero_grad()
            done.seconds = time.perf_counter() - began
            return done
        if not math.isfinite(done.norm) or done.norm == 0.0:
            raise WorkError(
                f"The gradient of update {self.updates + 1} over {done.decisions} decisions is "
                f"{'zero' if done.norm == 0 else 'not a number'}: nothing can be learned from it.",
                "Either no decision has an advantage, or the adapter is not in the computation.",
            )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.lora.merge()
        self.updates += 1
        done.seconds = time.perf_counter() - began
        return done

    def _part(self, trees: Sequence[Tree], total: float, count: int, rule: Clip | Divergence | None) -> _Part:
        """Forward and backward of some of an update's trees, which has ``count`` targets."""
        packed = pack(trees, self.engine.body.device)
        losses = loss_of(self.engine, packed, total, rule)
        gradients = torch.autograd.grad(losses.value, self.lora.parameters())
        return _Part(
            loss=float(losses.value.detach()),
            tokens=packed.size,
            decisions=sum(target.weight > 0 for target in packed.targets),
            clipped=losses.clipped,
            kl=losses.kl / total,
            gap=losses.gap * len(packed.targets) / count,
            masked=losses.masked,
            losses=_per_tree(trees, losses.each),
            gradients=gradients,
        )


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
