"""What an engine offers to whoever samples with it: rows of tokens, and how likely what may follow is.

Draws are the agent's, whatever computes: engines differ in rounding, not in what is tried. There are two,
:class:`serve.engine.local.LocalEngine`, which training shares, and vLLM (:mod:`serve.engine.vllm_engine`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from serve.engine.adapter import Tuned
from serve.grammar import Grammar

# Tokens a scene is expected to have, when episodes are admitted by memory.
EXPECTED_TOKENS = 512
_FREE_CHUNK = 64


@dataclass(slots=True)
class Counters:
    """What the engine has done since it was made.

    Attributes:
        tokens: Rows were continued by.
        spared: Seconds that what was shared would have taken, estimated from the upper layers' time.
    """

    tokens: int = 0
    seconds: float = 0.0
    spared: float = 0.0
    forwards: int = 0
    peak_cache_bytes: int = 0


@dataclass(slots=True)
class Fed:
    """What a feed returns.

    Attributes:
        lower: Each item's hidden states between the halves, ``[n, width]``; None unless asked for.
        seconds: Wall-clock time, and what was shared would have taken.
        tokens: Tokens fed.
    """

    lower: list[Tensor] | None
    seconds: float
    tokens: int


@dataclass(slots=True)
class Look(Fed):
    """What may follow each item's last token.

    Attributes:
        log_probs: Per item, at temperature 1 in fp32 on the CPU: ``[len(allowed)]`` among the allowed
            tokens, or ``[vocabulary]`` for free text.
    """

    log_probs: list[Tensor]


class Engine(Protocol):
    """A model with an adapter, fed row by row. What a row is, is the engine's own business.

    Attributes:
        counters: ``forwards`` goes up while it computes, also in the middle of a call.
        max_tokens: A row has fewer than so many tokens.
        on_cpu: Whether it computes on the cores that environments need too.
        keeps_lower: Whether it can tell what the frozen lower layers made of tokens, for the trainer.
    """

    tokenizer: Any
    grammar: Grammar
    counters: Counters
    max_tokens: int

    @property
    def on_cpu(self) -> bool: ...

    @property
    def keeps_lower(self) -> bool: ...

    def has_room(self, rows: int) -> bool:
        """Whether so many rows of usual length fit, those there are among them."""
        ...

    def row(self) -> Any:
        """A new, empty row."""
        ...

    def fork(self, row: Any) -> Any:
        """A copy of a row that goes its own way from here."""
        ...

    def continued(self, row: Any) -> Any:
        """A row that goes on from one that must not change any more."""
        ...

    def free(self, row: Any) -> None:
        """Give a row's memory back."""
        ...

    def feed(self, items: Sequence[tuple[Any, Sequence[int]]], *, keep_lower: bool = False) -> Fed:
        """Continue rows by tokens (at least one each; a row at most once)."""
        ...

    def look(
        self,
        items: Sequence[tuple[Any, Sequence[int]]],
        allowed: Sequence[tuple[int, ...]],
        *,
        keep_lower: bool = False,
    ) -> Look:
        """Continue rows by tokens, and tell how likely each allowed token is to follow.

        Args:
            allowed: Token ids per item; empty for free text (see :meth:`serve.grammar.Grammar.free_tokens`).
        """
        ...

    def use_adapter(self, name: str, weights: Tuned) -> None:
        """Compute with an adapter from now on; rows fed before must not be continued."""
        ...

    def adapter_in_use(self) -> Tuned | None:
        """The adapter that is computed with now; None without one."""
        ...


def among(
    allowed: Sequence[tuple[int, ...]],
    some: Callable[[Tensor, Tensor], Tensor],
    whole: Callable[[list[int]], Tensor],
    free_tokens: Callable[[], Tensor],
    device: torch.device,
) -> list[Tensor]:
    """Log-probabilities among the allowed tokens of each position (see :attr:`Look.log_probs`).

    Args:
        some: fp32 logits of single tokens, ``[n]``, for positions ``[n]`` and token ids ``[n]``.
        whole: fp32 logits of all tokens, ``[m, vocabulary]``, for ``m`` positions.
        free_tokens: The mask of free text, ``[vocabulary]``.
        device: Where all three are.
    """
    found: list[Tensor] = [torch.empty(0)] * len(allowed)
    closed = [index for index, tokens in enumerate(allowed) if tokens]
    if closed:
        counts = [len(allowed[index]) for index in closed]
        owners = torch.repeat_interleave(
            torch.tensor(closed, device=device), torch.tensor(counts, device=device)
        )
        ids = torch.tensor([token for index in closed for token in allowed[index]], device=device)
        logits = some(owners, ids).cpu()
        for index, part in zip(closed, logits.split(counts), strict=True):
            found[index] = part.log_softmax(-1)
    free = [index for index, tokens in enumerate(allowed) if not tokens]
    for start in range(0, len(free), _FREE_CHUNK):
        chunk = free[start : start + _FREE_CHUNK]
        logits = whole(chunk).masked_fill(~free_tokens(), float("-inf")).log_softmax(-1).cpu()
        for index, part in zip(chunk, logits, strict=True):
            found[index] = part
    return found
