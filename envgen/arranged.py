"""How a list's rows are arranged at the moment: what is searched for, which are shown, in which order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from envgen.values import date_layout, folded, number

if TYPE_CHECKING:
    from envgen.workflow import ListView, Sort

ASCENDING, DESCENDING = "ascending", "descending"
ORDER = ".~"
"""Between a page and a list in the name of what says in which order its rows are."""
NUMBERS, TEXTS, LETTERS = "number", "text", "letters"
"""What columns are compared as: numbers, texts in either case, letter by letter; else dates in a layout."""
CLICKED = ""
"""Stands in place of a control where what is shown was chosen by clicking."""


class Arranged(NamedTuple):
    """The state of one list.

    Attributes:
        offset: Number of the first row that is shown.
        sort: Number of the order in :attr:`envgen.workflow.ListView.sorts`, -1 where nobody chose one.
        clicks: How often it was clicked on end.
        filters: Control (or :data:`CLICKED`) and the value in it (or the node clicked), each once.
    """

    query: str = ""
    offset: int = 0
    sort: int = -1
    clicks: int = 0
    filters: tuple[tuple[str, str], ...] = ()

    def filtered(self, control: str, value: str) -> Arranged:
        """The same list from its beginning, with another value in a filter."""
        others = tuple(pair for pair in self.filters if pair[0] != control)
        return self._replace(offset=0, filters=tuple(sorted((*others, (control, value)))))


def sort_key(by: str) -> Callable[[str], Any] | None:
    """What texts are compared by; a text that is no such value gives None."""
    if by == NUMBERS:
        return number
    if by in (TEXTS, LETTERS):
        return folded if by == TEXTS else str

    def dated(text: str) -> datetime | None:
        try:
            return datetime.strptime(text.strip(), by)
        except ValueError:
            return None

    return dated


def comparisons(texts: Sequence[str]) -> list[str]:
    """What texts can be compared as, the most telling first."""
    said = [text for text in texts if text]
    found = [NUMBERS] if said and all(number(text) is not None for text in said) else []
    layout = date_layout(said)
    return [*found, *([layout] if layout else []), TEXTS, LETTERS]


def direction(sort: Sort, clicks: int) -> str | None:
    """In which direction so many clicks put the rows, "" for their first order; None where nobody saw it."""
    known = len(sort.directions)
    if clicks <= known:
        return sort.directions[clicks - 1]
    return sort.directions[(clicks - 1) % known] if sort.again else None


def in_order(
    keys: Sequence[str], records: Mapping[str, Mapping[str, str]], field: str, by: str, way: str | None
) -> list[str]:
    """Keys in the order of a field, or as they are; what cannot be compared stands with the smallest."""
    key_of = sort_key(by)
    if not way or key_of is None:
        return list(keys)

    def place(key: str) -> tuple[bool, Any]:
        value = key_of(records[key].get(field, ""))
        return (False, Decimal(0)) if value is None else (True, value)

    known = [key for key in keys if place(key)[0]]
    unknown = [key for key in keys if not place(key)[0]]
    known.sort(key=lambda key: place(key)[1], reverse=way == DESCENDING)
    return [*known, *unknown] if way == DESCENDING else [*unknown, *known]


def foremost(records: Mapping[str, Mapping[str, str]], field: str, by: str, way: str) -> str | None:
    """The key of the one record that comes first in an order; None where no one does."""
    key_of = sort_key(by)
    assert key_of is not None
    values = {key: key_of(record.get(field, "")) for key, record in records.items()}
    if not values or any(value is None for value in values.values()):
        return None
    first = (min if way == ASCENDING else max)(values.values())
    keys = [key for key, value in values.items() if value == first]
    return keys[0] if len(keys) == 1 else None


def order_said(view: ListView, arranged: Arranged) -> str:
    """The order in words, "" for the first one."""
    if arranged.sort < 0:
        return ""
    sort = view.sorts[arranged.sort]
    way = direction(sort, arranged.clicks)
    return f"{sort.field} {way}" if way else ""


def seen_order(texts: Collection[str], by: str) -> str | None:
    """In which direction texts stand, "" where all are the same; None where they are in no such order."""
    key_of = sort_key(by)
    assert key_of is not None
    values = [key_of(text) for text in texts]
    if any(value is None for value in values):
        return None
    if len(set(values)) < 2:
        return ""
    if values == sorted(values):
        return ASCENDING
    return DESCENDING if values == sorted(values, reverse=True) else None
