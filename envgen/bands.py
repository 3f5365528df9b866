"""Tables that say what goes for numbers from here to there: scales of approval, fees by amount."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from envgen.cells import TableFact
from envgen.expressions import Above, Choose, Constant, Expression
from envgen.values import CURRENCY, number

_LOW = re.compile(r"(?:\b(?:over|above|exceed\w*|more than|greater than|beyond|über|mehr als)|>)\W*$", re.I)
_FROM = re.compile(r"(?:\b(?:from|at least|starting at|min(?:imum)?\.?|ab|von|mindestens)|≥|>=)\W*$", re.I)
_TO = re.compile(
    r"(?:\b(?:up to|at most|(?:no|not) more than|max(?:imum)?\.?|until|to|bis(?: zu)?|höchstens)|≤|<=)\W*$",
    re.I,
)
_BELOW = re.compile(r"(?:\b(?:under|below|less than|unter|weniger als)|<)\W*$", re.I)
_MORE = re.compile(r"^\W{0,2}(?:\+|(?:or|and|und|oder)\s+(?:more|above|over|mehr|darüber))", re.I)
_LESS = re.compile(r"^\W{0,2}(?:or|and|und|oder)\s+(?:less|below|under|weniger|darunter)", re.I)
_CURRENCY = re.compile(CURRENCY)
_NUMBER = re.compile(r"(?<![\w.,])\d[\d.,' ]*\d|(?<![\w.,])\d")
_BETWEEN = re.compile(r"^\s*(?:-|–|—|to|bis|and|und|\.\.\.?|…)\s*$", re.I)


@dataclass(frozen=True, slots=True)
class Bands:
    """What a column says for each band of numbers.

    Attributes:
        limits: Where one band ends, ascending, and whether that number itself is in the upper one.
        texts: One more than limits.
    """

    table: str
    limits: tuple[tuple[Decimal, bool], ...]
    texts: tuple[str, ...]

    def rule(self, of: Expression) -> Expression:
        """What the bands say for a number."""
        rule: Expression = Constant(text=self.texts[0])
        for (limit, inclusive), text in zip(self.limits, self.texts[1:], strict=True):
            above = Above(of=of, limit=f"{limit.normalize():f}", inclusive=inclusive)
            rule = Choose(test=above, then=Constant(text=text), otherwise=rule)
        return rule


@dataclass(frozen=True, slots=True)
class _Band:
    """A row's: from ``low`` to ``high``, None where it is open; whether these numbers are inside."""

    low: Decimal | None
    high: Decimal | None
    low_inside: bool | None
    high_inside: bool | None


def bands(table: TableFact) -> Iterator[Bands]:
    """What a table says by bands, for each column that says something."""
    width = len(table.header)
    used: set[int] = set()
    for places in [*((at, at + 1) for at in range(width - 1)), *((at,) for at in range(width))]:
        if used & set(places) or (len(places) > 1 and not all(_mere(table, at) for at in places)):
            continue
        rows = [(_band(table.header, row, places), row) for row in table.rows]
        found = [(band, row) for band, row in rows if band is not None]
        if len(found) < 2 or len(found) < len(table.rows):
            continue
        found.sort(key=lambda pair: _position(pair[0]))
        limits = [_limit(one, other) for (one, _), (other, _) in itertools.pairwise(found)]
        known = [limit for limit in limits if limit is not None]
        if len(known) < len(limits) or any(a[0] >= b[0] for a, b in itertools.pairwise(known)):
            continue
        used |= set(places)
        # Of bands such as 0–500 and 500–3,000 both claim 500: it is said in both ways, and asked about.
        ways = (False, True) if any(inclusive is None for _, inclusive in known) else (False,)
        for at, way in itertools.product(range(width), ways):
            texts = tuple(row[at] for _, row in found)
            if at not in places and all(texts):
                settled = tuple((value, way if inside is None else inside) for value, inside in known)
                yield Bands(table.id, settled, texts)


def _mere(table: TableFact, at: int) -> bool:
    """Whether a column holds mere numbers, some of which may be missing."""
    texts = [row[at] for row in table.rows if row[at]]
    return bool(texts) and all(number(text) is not None for text in texts)


def _band(header: Sequence[str], row: Sequence[str], places: Sequence[int]) -> _Band | None:
    """The band that the cells at some places say; the columns' heads say how where cells are mere numbers."""
    texts = [row[at] for at in places]
    if len(places) > 1 or number(texts[0]) is not None:
        texts = [f"{header[at]} {row[at]}" for at in places if row[at]]
    text = _CURRENCY.sub(" ", " ".join(texts))
    found = [(match, value) for match in _NUMBER.finditer(text) if (value := number(match[0])) is not None]
    if not 1 <= len(found) <= 2:
        return None
    low = high = None
    low_inside = high_inside = None
    between = text[found[0][0].end() : found[1][0].start()] if len(found) == 2 else ""
    for index, (match, value) in enumerate(found):
        before, after = text[: match.start()], text[match.end() :]
        if index:
            before = between
        if _TO.search(before) or _LESS.match(after) or (index and _BETWEEN.match(before)):
            high, high_inside = value, True
        elif _BELOW.search(before):
            high, high_inside = value, False
        elif _FROM.search(before) or _MORE.match(after) or (not index and _BETWEEN.match(between)):
            low, low_inside = value, True
        elif _LOW.search(before):
            low, low_inside = value, False
        else:
            return None
    if (low is not None) + (high is not None) < len(found):
        return None
    return _Band(low, high, low_inside, high_inside)


def _position(band: _Band) -> tuple[Decimal, int]:
    """Where a band stands among others: one without an end is the last, one without a beginning before it."""
    if band.high is not None:
        return band.high, 0
    assert band.low is not None
    return band.low, 1


def _limit(one: _Band, other: _Band) -> tuple[Decimal, bool | None] | None:
    """Where a band ends and the next begins, and whether that number is in the next; None where they overlap.

    Both may claim it, as in 0–500 and 500–3,000: None instead of yes or no.
    """
    if one.high is None:
        begin = other.low is not None and other.high is None and one.low is not None and one.low < other.low
        return (other.low, bool(other.low_inside)) if begin and other.low is not None else None
    if other.low is None or other.low > one.high:
        # Of bands such as 0–500 and 501–3,000 the first ends with its number.
        return one.high, not one.high_inside
    if other.low < one.high:
        return None
    if one.high_inside and other.low_inside:
        return one.high, None
    return one.high, bool(other.low_inside)
