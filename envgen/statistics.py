"""Shares of few observations, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from pydantic import BaseModel, ConfigDict

_Z95 = 1.959963984540054


def wilson(hits: int, total: int) -> tuple[float, float] | None:
    """The 95% score interval of a share (Wilson 1927); None for no observations."""
    if total <= 0:
        return None
    share = hits / total
    z2 = _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == total else centre + half)


class Share(BaseModel):
    """How many of how many, as a share with its Wilson 95% interval; None for no observations."""

    model_config = ConfigDict(frozen=True)

    hits: int
    total: int
    rate: float | None
    ci: tuple[float, float] | None
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, hits: int, total: int, examples: Sequence[str] = ()) -> Share:
        return cls(
            hits=hits, total=total, rate=hits / total if total else None, ci=wilson(hits, total),
            examples=tuple(examples[:3]),
        )  # fmt: skip
