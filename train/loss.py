"""The one loss under all algorithms: it knows tokens, advantages, weights and old log-probabilities.

Only decisions count: tokens that the grammar forces have probability one and no
gradient. A decision's log-probability is over the tokens that were possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from serve.engine.local import LocalEngine
from train.tree import Packed, Target

_FREE_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Clip:
    """Bounds of the probability ratio, PPO's clipping with DAPO's wider upper bound.

    PPO: arXiv 1707.06347, equation 7. Decoupled bounds: DAPO, arXiv 2503.14476, equation 8.
    A ratio of 1.28 lets what was found at 2% grow to 2.6% only, however right it is: a choice may
    always gain ``reach`` of probability, which bounds the policies' distance (total variation) as well.
    Choices without weight are held: how far they move counts ``hold`` times their divergence, in nats,
    or fast learning in one place would undo what is known in another.
    """

    low: float = 0.2
    high: float = 0.28
    reach: float = 0.0
    hold: float = 0.0


@dataclass(slots=True)
class Losses:
    """The loss of one packed forward, and what to watch.

    Attributes:
        value: Sum over decisions, already divided by the batch's normaliser; differentiable.
        clipped: Decisions whose ratio was clipped. ``entropy`` and ``kl`` are sums over decisions.
    """

    value: Tensor
    log_probs: Tensor
    clipped: int
    kl: float


def choice_log_probs(engine: LocalEngine, hidden: Tensor, targets: list[Target]) -> Tensor:
    """Log-probabilities of the targets' tokens among what was possible, fp32 ``[n]``, differentiable.

    Args:
        hidden: Final hidden states at the predictors, ``[n, width]``.
    """
    device = hidden.device
    found = torch.zeros(len(targets), device=device)
    closed = [i for i, target in enumerate(targets) if target.decision.allowed]
    if closed:
        allowed = [targets[i].decision.allowed for i in closed]
        counts = torch.tensor([len(tokens) for tokens in allowed], device=device)
        owners = torch.repeat_interleave(torch.arange(len(closed), device=device), counts)
        ids = torch.tensor([token for tokens in allowed for token in tokens], device=device)
        where = torch.tensor(closed, device=device)
        logits = engine.body.some_logits(hidden[where][owners], ids)
        # A table with -inf where a position has fewer tokens than the widest.
        table = logits.new_full((len(closed), int(counts.max())), float("-inf"))
        column = torch.arange(len(ids), device=device) - torch.repeat_interleave(
            counts.cumsum(0) - counts, counts
        )
        table = table.index_put((owners, column), logits)
        place = torch.tensor(
            [tokens.index(targets[i].decision.chosen) for i, tokens in zip(closed, allowed, strict=True)],
            device=device,
        )
        found = found.index_put((where,), table.log_softmax(-1).gather(1, place[:, None])[:, 0])
    free = [i for i, target in enumerate(targets) if not target.decision.allowed]
    mask = ~engine.free_tokens() if free else None
    for first in range(0, len(free), _FREE_CHUNK):
        assert mask is not None
        where = torch.tensor(free[first : first + _FREE_CHUNK], device=device)
        chosen = torch.tensor([targets[i].decision.chosen for i in where.tolist()], device=device)
        logits = engine.body.logits(hidden[where]).masked_fill(mask, float("-inf"))
        found = found.index_put((where,), logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0])
    return found


def policy_loss(log_probs: Tensor, targets: list[Target], normaliser: float, clip: Clip | None) -> Losses:
    """Policy-gradient loss of decisions.

    Choices of weight 0 have nothing to teach and are held where they are (``Clip.hold``).
    Without ``clip`` it is ``-sum(weight * advantage * log p)`` (REINFORCE; with advantage 1,
    maximum likelihood); with it, the clipped surrogate on the ratio to the old log-probability.

    Args:
        log_probs: New log-probabilities ``[n]``.
        normaliser: The batch's global count, so that the size of a forward does not matter.
    """
    device = log_probs.device
    weights = torch.tensor([target.weight for target in targets], device=device)
    advantages = torch.tensor([target.advantage for target in targets], device=device)
    if clip is None:
        value = -(weights * advantages * log_probs).sum() / normaliser
        return Losses(value, log_probs.detach(), 0, 0.0)
    old = torch.tensor([target.decision.logprob for target in targets], device=device)
    change = (log_probs - old).clamp(-20.0, 20.0)
    ratio = change.exp()
    most = 1.0 + (clip.reach * (-old).exp()).clamp(min=clip.high)
    bounded = torch.minimum(ratio.clamp(min=1.0 - clip.low), most)
    surrogate = torch.minimum(ratio * advantages, bounded * advantages)
    value = -(weights * surrogate).sum() / normaliser
    moved = _divergence(old, log_probs)
    value = value + clip.hold * moved[weights == 0].sum() / normaliser
    with torch.no_grad():
        clipped = int((surrogate < ratio * advantages).sum())
        kl = float((weights * moved).sum())
    return Losses(value, log_probs.detach(), clipped, kl)


def _divergence(old: Tensor, new: Tensor) -> Tensor:
    """KL divergence of "this choice or another" from the old to the new policy, ``[n]``, in nats.

    A lower bound of the policies' own. Estimates from sampled ratios (Schulman's k3) take rare choices
    that were sought out for usual ones.
    """
    before, after = (log.exp().clamp(1e-6, 1 - 1e-6) for log in (old, new))
    other = (1 - before) * ((1 - before) / (1 - after)).log()
    return before * (before / after).log() + other


def forward(engine: LocalEngine, packed: Packed) -> Tensor:
    """Log-probabilities of a packed forward's targets, ``[n]``, with gradients where they are enabled."""
    hidden, _ = engine.body.run(packed.ids, packed.positions, packed.plan, lower=packed.lower)
    return choice_log_probs(engine, hidden[packed.predictors], packed.targets)
