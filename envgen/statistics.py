"""Intervals for shares of few observations."""

from __future__ import annotations

from math import sqrt

_Z95 = 1.959963984540054


def wilson(hits: int, total: int) -> tuple[float, float] | None:
    """The 95% score interval of a share (Wilson 1927); None for no observations."""
    if total <= 0:
        return None
    share = hits / total
    z2 = _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)
