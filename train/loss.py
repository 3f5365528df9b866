"""The one loss under all algorithms: it knows tokens, advantages, weights and old log-probabilities.

Only decisions count: tokens that the grammar forces have probability one and no
gradient. A decision's log-probability is over the tokens that were possible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from serve.engine.local import LocalEngine
from train.tree import Packed, Target

_FREE_CHUNK = 64
# Sampling and training compute the same policy along different paths. A token's weight for the
# difference is at most the first; a sequence whose tokens' weights multiply to more than the second
# was not this policy's.
_TOKEN_AT_MOST, _SEQUENCE_AT_MOST = 2.0, 3.0


class Bound(StrEnum):
    """What is bounded, and how."""

    TOKEN = "token"  # each token's ratio: beyond its bounds it has no gradient (PPO)
    SEQUENCE = "sequence"  # the same for the geometric mean of a sequence's ratios (GSPO)
    WEIGHT = "weight"  # the ratio as a weight without gradient (CISPO)
    NONE = "none"  # no ratio at all (REINFORCE)


class Divergence(StrEnum):
    """Between a teacher's distribution and the policy's: which of the two the mean is taken under."""

    FORWARD = "forward"  # the teacher's: KL(teacher || policy)
    REVERSE = "reverse"  # the policy's: KL(policy || teacher)


@dataclass(frozen=True, slots=True)
class Clip:
    """Bounds of the probability ratio, PPO's clipping with DAPO's wider upper bound.

    PPO: arXiv 1707.06347, equation 7. Decoupled bounds: DAPO, arXiv 2503.14476, equation 8.
    A ratio of 1.28 lets what was found at 2% grow to 2.6% only, however right it is: a choice may
    always gain ``reach`` of probability, which bounds the policies' distance (total variation) as well.
    Choices without weight are held: how far they move counts ``hold`` times their divergence, in nats,
    or fast learning in one place would undo what is known in another. The other ways to bound are those
    of the algorithms named at :class:`Bound`.
    """

    low: float = 0.2
    high: float = 0.28
    reach: float = 0.0
    hold: float = 0.0
    bound: Bound = Bound.TOKEN


@dataclass(slots=True)
class Losses:
    """The loss of one packed forward, and what to watch.

    Attributes:
        value: Sum over decisions, already divided by the batch's normaliser; differentiable.
        each: What each decision has still to learn, ``[n]``: its negative log-probability, or its
            divergence from the teacher.
        clipped: Decisions whose ratio was clipped.
        kl: Divergence from the policy before the iteration's updates, a sum over decisions.
        gap: Mean distance of the log-probabilities from those at sampling time; before the first update
            of an iteration it should be rounding.
        masked: Decisions left out because their sequence was not sampled by this policy.
    """

    value: Tensor
    each: Tensor
    clipped: int = 0
    kl: float = 0.0
    gap: float = 0.0
    masked: int = 0


def choice_log_probs(engine: LocalEngine, hidden: Tensor, targets: list[Target]) -> Tensor:
    """Log-probabilities of the targets' tokens among what was possible, fp32 ``[n]``, differentiable.

    Args:
        hidden: Final hidden states at the predictors, ``[n, width]``.
    """
    found = torch.zeros(len(targets), device=hidden.device)
    for where, logs, place in _tables(engine, hidden, targets):
        found = found.index_put((where,), logs.gather(1, place[:, None])[:, 0])
    return found


def _rows(values: Tensor, where: Tensor) -> Tensor:
    """``values[where]`` whose gradient is summed in order: that of an index is summed as threads come by."""
    return values.index_select(0, where)


def _tables(
    engine: LocalEngine, hidden: Tensor, targets: list[Target]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Log-probabilities of all that was possible, for some of the targets at a time.

    Yields:
        Indices of the targets ``[k]``, log-probabilities ``[k, m]`` (of the allowed tokens in their order,
        then ``-inf``; of the vocabulary for free text), and the column of each chosen token ``[k]``.
    """
    device = hidden.device
    closed = [i for i, target in enumerate(targets) if target.decision.allowed]
    if closed:
        allowed = [targets[i].decision.allowed for i in closed]
        counts = torch.tensor([len(tokens) for tokens in allowed], device=device)
        owners = torch.repeat_interleave(torch.arange(len(closed), device=device), counts)
        ids = torch.tensor([token for tokens in allowed for token in tokens], device=device)
        where = torch.tensor(closed, device=device)
        logits = engine.body.some_logits(_rows(_rows(hidden, where), owners), ids)
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
        yield where, table.log_softmax(-1), place
    free = [i for i, target in enumerate(targets) if not target.decision.allowed]
    mask = ~engine.free_tokens() if free else None
    for first in range(0, len(free), _FREE_CHUNK):
        assert mask is not None
        where = torch.tensor(free[first : first + _FREE_CHUNK], device=device)
        chosen = torch.tensor([targets[i].decision.chosen for i in where.tolist()], device=device)
        logits = engine.body.logits(_rows(hidden, where)).masked_fill(mask, float("-inf"))
        yield where, logits.log_softmax(-1), chosen


def distillation_loss(
    engine: LocalEngine, hidden: Tensor, targets: list[Target], normaliser: float, towards: Divergence
) -> Losses:
    """Divergence of each decision's whole distribution from its teacher's (``Target.teacher``), weighted.

    Args:
        hidden: Final hidden states at the predictors, ``[n, width]``.
        normaliser: The batch's global count.
    """
    found = torch.zeros(len(targets), device=hidden.device)
    for where, logs, _ in _tables(engine, hidden, targets):
        teacher = torch.full_like(logs, float("-inf"))
        for row, index in enumerate(where.tolist()):
            known = targets[index].teacher
            if known is None:
                raise ValueError("a target without a teacher among others with one")
            teacher[row, : len(known)] = known.to(logs.device)
        possible = torch.isfinite(logs) & torch.isfinite(teacher)
        ours, theirs = logs.masked_fill(~possible, 0.0), teacher.masked_fill(~possible, 0.0)
        if towards is Divergence.FORWARD:
            each = theirs.exp() * (theirs - ours)
        else:
            each = ours.exp() * (ours - theirs)
        found = found.index_put((where,), each.masked_fill(~possible, 0.0).sum(-1))
    weights = torch.tensor([target.weight for target in targets], device=hidden.device)
    value = (weights * found).sum() / normaliser
    return Losses(value, found.detach(), kl=float((weights * found).sum().detach()))


def policy_loss(
    log_probs: Tensor,
    targets: list[Target],
    normaliser: float,
    clip: Clip | None,
    sequences: Tensor | None = None,
) -> Losses:
    """Policy-gradient loss of decisions.

    Choices of weight 0 have nothing to teach and are held where they are (``Clip.hold``).
    Without ``clip`` it is ``-sum(weight * advantage * log p)`` (REINFORCE; with advantage 1,
    maximum likelihood); with it, the clipped surrogate on the ratio to the log-probability before
    the iteration's updates: the one at sampling time, or ``Target.before`` where the trainer's own
    was noted. Then each decision also has the weight of :func:`correction`.

    Args:
        log_probs: New log-probabilities ``[n]``.
        normaliser: The batch's global count, so that the size of a forward does not matter.
        sequences: See :class:`train.tree.Packed`; each target alone by default.
    """
    device = log_probs.device
    weights = torch.tensor([target.weight for target in targets], device=device)
    advantages = torch.tensor([target.advantage for target in targets], device=device)
    if clip is None:
        value = -(weights * advantages * log_probs).sum() / normaliser
        return Losses(value, -log_probs.detach())
    if sequences is None:
        sequences = torch.arange(len(targets), device=device)
    sampled = torch.tensor([target.decision.logprob for target in targets], device=device)
    old, shares, masked = sampled, weights, 0
    before = [target.before for target in targets]
    if any(value is not None for value in before):
        known = [t.decision.logprob if b is None else b for t, b in zip(targets, before, strict=True)]
        old = torch.tensor(known, device=device)
        factor = correction(old, sampled, sequences)
        shares = weights * factor
        masked = int((factor == 0).sum())
    surrogate, clipped = _surrogate(log_probs, old, advantages, sequences, clip)
    value = -(shares * surrogate).sum() / normaliser
    moved = _divergence(old, log_probs)
    value = value + clip.hold * moved[weights == 0].sum() / normaliser
    with torch.no_grad():
        kl = float((weights * moved).sum())
        gap = float((log_probs - sampled).abs().mean()) if targets else 0.0
    return Losses(value, -log_probs.detach(), clipped, kl, gap, masked)


def _surrogate(
    log_probs: Tensor, old: Tensor, advantages: Tensor, sequences: Tensor, clip: Clip
) -> tuple[Tensor, int]:
    """What is maximised for each decision, ``[n]``, and how many of them are at their bound."""
    if clip.bound is Bound.NONE:
        return advantages * log_probs, 0
    change = (log_probs - old).clamp(-20.0, 20.0)
    if clip.bound is Bound.SEQUENCE:
        change = (_sums(change, sequences) / _sums(torch.ones_like(change), sequences))[sequences]
    ratio = change.exp()
    most = 1.0 + (clip.reach * (-old).exp()).clamp(min=clip.high)
    bounded = torch.minimum(ratio.clamp(min=1.0 - clip.low), most)
    if clip.bound is Bound.WEIGHT:
        return bounded.detach() * advantages * log_probs, int((bounded != ratio).sum())
    surrogate = torch.minimum(ratio * advantages, bounded * advantages)
    with torch.no_grad():
        return surrogate, int((surrogate < ratio * advantages).sum())


@torch.no_grad()
def correction(trained: Tensor, sampled: Tensor, sequences: Tensor) -> Tensor:
    """Weights that make up for rollouts by another engine, or an older policy, than the trainer's.

    A token's importance ratio, truncated at 2 (Yao et al. 2025, "Your efficient RL framework secretly
    brings you off-policy RL training"); zero for a sequence whose ratio, the product of its tokens', is
    above 3 (Liu et al. 2025, "When speed kills stability", on masking by sequence).

    Args:
        trained: Log-probabilities by the trainer before the updates; ``sampled`` those at sampling time,
            ``[n]`` both.
        sequences: Numbers from 0, ``[n]``.
    """
    change = trained - sampled
    whole = _sums(change, sequences)[sequences]
    kept = whole <= math.log(_SEQUENCE_AT_MOST)
    return change.clamp(-20.0, 20.0).exp().clamp(max=_TOKEN_AT_MOST) * kept


def _sums(values: Tensor, sequences: Tensor) -> Tensor:
    """Sums by sequence, ``[sequences]``."""
    count = int(sequences.max()) + 1 if len(sequences) else 0
    return values.new_zeros(count).index_add(0, sequences, values)


def _divergence(old: Tensor, new: Tensor) -> Tensor:
    """KL divergence of "this choice or another" from the old to the new policy, ``[n]``, in nats.

    A lower bound of the policies' own. Estimates from sampled ratios (Schulman's k3) take rare choices
    that were sought out for usual ones.
    """
    before, after = (log.exp().clamp(1e-6, 1 - 1e-6) for log in (old, new))
    other = (1 - before) * ((1 - before) / (1 - after)).log()
    return before * (before / after).log() + other


def loss_of(engine: LocalEngine, packed: Packed, normaliser: float, rule: Clip | Divergence | None) -> Losses:
    """The loss of one packed forward by its rule: see :func:`policy_loss`, :func:`distillation_loss`."""
    if isinstance(rule, Divergence):
        hidden, _ = engine.body.run(packed.ids, packed.positions, packed.plan, lower=packed.lower)
        return distillation_loss(engine, _rows(hidden, packed.predictors), packed.targets, normaliser, rule)
    log_probs = forward(engine, packed)
    return policy_loss(log_probs, packed.targets, normaliser, rule, packed.sequences)


def forward(engine: LocalEngine, packed: Packed) -> Tensor:
    """Log-probabilities of a packed forward's targets, ``[n]``, with gradients where they are enabled."""
    hidden, _ = engine.body.run(packed.ids, packed.positions, packed.plan, lower=packed.lower)
    firsts, places = _distinct(packed.targets)
    if len(firsts) == len(packed.targets):
        return choice_log_probs(engine, _rows(hidden, packed.predictors), packed.targets)
    where = torch.tensor(firsts, device=hidden.device)
    found = choice_log_probs(
        engine, _rows(hidden, packed.predictors[where]), [packed.targets[first] for first in firsts]
    )
    return found[torch.tensor(places, device=hidden.device)]


def _distinct(targets: Sequence[Target]) -> tuple[list[int], list[int]]:
    """The first target of each decision, and for every target its place among those."""
    firsts: list[int] = []
    known: dict[int, int] = {}
    places = []
    for index, target in enumerate(targets):
        place = known.setdefault(id(target.decision), len(known))
        if place == len(firsts):
            firsts.append(index)
        places.append(place)
    return firsts, places
