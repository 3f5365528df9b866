"""Limits as cells and sentences word them: ``above 6``, ``up to and including 6``, ``1,000 to 5,000``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from envgen.values import number

_NUMBER = r"[-−]?\d[\d.,']*"
_AMOUNT = rf"(?:[€$£¥]|[A-Z]{{3}})?\s*({_NUMBER})\s*(?:[€$£¥%]|[A-Za-zä]{{1,12}}\.?)?"
_ANY = frozenset(
    {"any", "all", "every", "always", "*", "-", "–", "—", "", "beliebig", "alle", "jeder", "jedes"}
)
_UP_TO = (
    "up to(?: and including)?|at most|no more than|not more than|maximum|max\\.?|until|≤|<=|"
    "bis(?: zu| einschließlich)?|höchstens"
)
_BELOW = "below|under|less than|fewer than|<|unter|weniger als"
_ABOVE = "above|over|more than|greater than|exceeding|exceeds|beyond|>|über|mehr als"
_FROM = "at least|from|starting at|minimum|min\\.?|≥|>=|ab|mindestens"
# (pattern, whether the number is the lower limit, whether it belongs to the interval itself)
_WORDED: tuple[tuple[str, bool, bool], ...] = (
    (rf"(?:{_UP_TO})\s*{_AMOUNT}", False, True),
    (rf"(?:{_BELOW})\s*{_AMOUNT}", False, False),
    (rf"(?:{_ABOVE})\s*{_AMOUNT}", True, False),
    (rf"(?:{_FROM})\s*{_AMOUNT}", True, True),
    (rf"{_AMOUNT}\s*(?:or|and) (?:more|above|over|higher)", True, True),
    (rf"{_AMOUNT}\s*(?:or|and) (?:less|below|under|lower|fewer)", False, True),
    (rf"{_AMOUNT}\s*\+", True, True),
)
_RANGE = re.compile(rf"(?:from |between |von )?{_AMOUNT}\s*(?:to|and|bis|–|—|-)\s*{_AMOUNT}", re.IGNORECASE)
_PATTERNS = tuple((re.compile(p, re.IGNORECASE), low, inside) for p, low, inside in _WORDED)


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers between two limits, either of which may be missing."""

    low: Decimal | None = None
    high: Decimal | None = None
    low_inside: bool = True
    high_inside: bool = True

    def holds(self, value: Decimal) -> bool:
        """Whether a number lies in it."""
        if self.low is not None and (value < self.low or (value == self.low and not self.low_inside)):
            return False
        return not (
            self.high is not None and (value > self.high or (value == self.high and not self.high_inside))
        )

    @property
    def limits(self) -> tuple[Decimal, ...]:
        return tuple(limit for limit in (self.low, self.high) if limit is not None)


def interval(cell: str) -> Interval | None:
    """The numbers a cell speaks of; None when it words no limit. A plain number is none."""
    text = " ".join(cell.split())
    if text.casefold() in _ANY:
        return Interval()
    for pattern, low, inside in _PATTERNS:
        match = pattern.fullmatch(text)
        if match:
            value = _number(match[1])
            if value is None:
                return None
            return Interval(low=value, low_inside=inside) if low else Interval(high=value, high_inside=inside)
    match = _RANGE.fullmatch(text)
    if match:
        first, second = _number(match[1]), _number(match[2])
        if first is not None and second is not None and first < second:
            return Interval(first, second)
    return None


def bounded(cell: str) -> bool:
    """Whether a cell words a limit."""
    found = interval(cell)
    return found is not None and bool(found.limits)


def is_any(cell: str) -> bool:
    """Whether a cell stands for every value."""
    return cell.casefold().strip() in _ANY


def _number(text: str) -> Decimal | None:
    return number(text.rstrip(".,'").replace("−", "-"))
