"""What the frozen lower layers make of conversations, kept for other adapters.

Adapters change the upper layers only, so arms that are compared on the same tasks
read the same pages, and mostly say the same, with the same lower half: it is
computed once. Exact, not an approximation: keys, values and hidden states are
those the lower layers gave.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

# Where every conversation begins.
BEGINNING = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """Tokens that follow a place in some conversation.

    Attributes:
        place: The place after them.
        hidden: ``[n, width]``; ``states`` are keys and values, ``[2, layers, kv_heads, n, d]``.
    """

    place: int
    hidden: Tensor
    states: Tensor


class SharedLower:
    """A prefix tree of conversations, piece by piece as they were fed.

    Args:
        layers: Lower layers that all adapters leave alone.
        limit: Bytes to keep at most; what comes later is computed each time.
    """

    def __init__(self, layers: int, limit: int = 3 << 30) -> None:
        self.layers = layers
        self.limit = limit
        self.bytes = 0
        self.found = 0
        self._kept: dict[tuple[int, tuple[int, ...]], Kept] = {}

    def find(self, place: int | None, tokens: tuple[int, ...]) -> Kept | None:
        """What is kept of these tokens after this place (None is one nobody knows)."""
        kept = None if place is None else self._kept.get((place, tokens))
        self.found += kept is not None
        return kept

    def keep(self, place: int, tokens: tuple[int, ...], hidden: Tensor, states: Tensor) -> int | None:
        """Keep these tokens; returns the place after them, None when there is no room."""
        if self.bytes >= self.limit:
            return None
        kept = Kept(len(self._kept) + 1, hidden, states)
        self._kept[place, tokens] = kept
        self.bytes += hidden.nbytes + states.nbytes
        return kept.place
