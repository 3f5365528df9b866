"""What the frozen lower layers make of the beginnings of conversations, kept for other adapters.

Adapters change the upper layers only, so arms that are compared on the same tasks
read the same pages with the same lower half: it is computed once. Exact, not an
approximation: keys, values and hidden states are those the lower layers gave.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from serve.engine.attention import Row


@dataclass(frozen=True, slots=True)
class _Kept:
    """Hidden states ``[n, width]``, and keys and values ``[2, layers, kv_heads, n, d]``."""

    hidden: Tensor
    states: Tensor

    @property
    def bytes(self) -> int:
        return self.hidden.nbytes + self.states.nbytes


class Openings:
    """Beginnings of conversations, by their tokens (what was fed before them included).

    Args:
        layers: Lower layers that all adapters leave alone.
        limit: Bytes to keep at most; what comes later is computed each time.
    """

    def __init__(self, layers: int, limit: int = 2 << 30) -> None:
        self.layers = layers
        self.limit = limit
        self.bytes = 0
        self.found = 0
        self._kept: dict[tuple[int, ...], _Kept] = {}

    def begin(self, row: Row, before: tuple[int, ...], tokens: tuple[int, ...]) -> None:
        """Prepare a row that holds ``before`` to be fed ``tokens`` next (and possibly more)."""
        key = (*before, *tokens)
        kept = self._kept.get(key)
        if kept is None:
            row.opening = (key, len(tokens)) if self.bytes < self.limit else None
        else:
            self.found += 1
            row.known = kept.hidden
            row.put_lower(kept.states)

    def keep(self, row: Row, start: int, hidden: Tensor) -> None:
        """Keep what the lower layers made of the row's opening, which began at ``start``."""
        assert row.opening is not None
        (key, count), row.opening = row.opening, None
        kept = _Kept(hidden[:count].clone(), row.lower(self.layers, start, start + count))
        self._kept[key] = kept
        self.bytes += kept.bytes
