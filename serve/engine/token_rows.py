"""Rows of engines that are told all tokens each time, and know by themselves what they have computed."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from serve.engine.interface import EXPECTED_TOKENS, Counters, Fed, Look


@dataclass(eq=False, slots=True)
class TokenRow:
    """A row's tokens."""

    tokens: list[int] = field(default_factory=list)


class TokenRows(ABC):
    """The part of :class:`serve.engine.interface.Engine` that is about rows.

    Args:
        capacity: Tokens the cache holds; rows beyond that are computed again.
    """

    def __init__(self, capacity: int) -> None:
        self.counters = Counters()
        self._capacity = capacity

    @property
    def keeps_lower(self) -> bool:
        """Never: hidden states in the middle are not handed out."""
        return False

    def has_room(self, rows: int) -> bool:
        """See :meth:`serve.engine.interface.Engine.has_room`."""
        return rows * EXPECTED_TOKENS < self._capacity

    def row(self) -> TokenRow:
        """A new, empty row."""
        return TokenRow()

    def fork(self, row: TokenRow) -> TokenRow:
        """A copy of a row that goes its own way from here."""
        return TokenRow(list(row.tokens))

    def continued(self, row: TokenRow) -> TokenRow:
        """A row that goes on from one that must not change any more."""
        return self.fork(row)

    def free(self, row: TokenRow) -> None:
        """What it takes is given back by itself: what was used longest ago goes when room is needed."""
        row.tokens.clear()

    def feed(self, items: Sequence[tuple[TokenRow, Sequence[int]]], *, keep_lower: bool = False) -> Fed:
        """Continue rows by tokens; they are computed when something is to be chosen after them."""
        if keep_lower:
            raise ValueError("this engine hands out no hidden states of lower layers")
        if any(not tokens for _, tokens in items):
            raise ValueError("feed() was given a row without tokens")
        for row, tokens in items:
            row.tokens.extend(tokens)
        total = sum(len(tokens) for _, tokens in items)
        self.counters.tokens += total
        return Fed(None, 0.0, total)

    @torch.inference_mode()
    def look(
        self,
        items: Sequence[tuple[TokenRow, Sequence[int]]],
        allowed: Sequence[tuple[int, ...]],
        *,
        keep_lower: bool = False,
    ) -> Look:
        """See :meth:`serve.engine.interface.Engine.look`."""
        began = time.perf_counter()
        fed = self.feed(items, keep_lower=keep_lower)
        found = self._log_probs([row.tokens for row, _ in items], allowed)
        seconds = time.perf_counter() - began
        self.counters.seconds += seconds
        return Look(None, seconds, fed.tokens, found)

    @abstractmethod
    def _log_probs(self, rows: Sequence[list[int]], allowed: Sequence[tuple[int, ...]]) -> list[Tensor]:
        """:attr:`serve.engine.interface.Look.log_probs` after rows of tokens."""
