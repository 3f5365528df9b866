"""How a list's rows are arranged at the moment: what is searched for, which are shown, in which order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from envgen.values import date_in, date_layout, folded, number

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


def sort_key(by: str) -> Callable[[str], Any]:
    """What texts are compared by; a text that is no such value gives None."""
    if by == NUMBERS:
        return number
    if by in (TEXTS, LETTERS):
        return folded if by == TEXTS else str
    return lambda text: date_in(text, by)


def comparisons(texts: Sequence[str], day_first: bool) -> list[str]:
    """What texts can be compared as, the most telling first.

    Args:
        day_first: How dates are to be read, see :func:`envgen.values.parse_date`.
    """
    said = [text for text in texts if text]
    found = [NUMBERS] if said and all(number(text) is not None for text in said) else []
    layout = date_layout(said, day_first)
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
    if not way:
        return list(keys)
    values = _values(keys, records, field, by)
    known = [key for key in keys if values[key] is not None]
    unknown = [key for key in keys if values[key] is None]
    known.sort(key=lambda key: values[key], reverse=way == DESCENDING)
    return [*known, *unknown] if way == DESCENDING else [*unknown, *known]


def foremost(records: Mapping[str, Mapping[str, str]], field: str, by: str, way: str) -> str | None:
    """The key of the one record that comes first in an order; None where no one does."""
    values = _values(records, records, field, by)
    if not values or any(value is None for value in values.values()):
        return None
    first = (min if way == ASCENDING else max)(values.values())
    keys = [key for key, value in values.items() if value == first]
    return keys[0] if len(keys) == 1 else None


def _values(
    keys: Iterable[str], records: Mapping[str, Mapping[str, str]], field: str, by: str
) -> dict[str, Any]:
    """What each record is compared by, None where it is no such value or not known."""
    key_of = sort_key(by)
    texts = {key: records[key].get(field) for key in keys}
    return {key: None if text is None else key_of(text) for key, text in texts.items()}


def order_said(view: ListView, arranged: Arranged) -> str:
    """The order in words, "" for the first one."""
    if arranged.sort < 0:
        return ""
    sort = view.sorts[arranged.sort]
    way = direction(sort, arranged.clicks)
    return f"{sort.field} {way}" if way else ""


def seen_order(texts: Collection[str], by: str) -> str | None:
    """In which direction texts stand, "" where all are the same; None where they are in no such order."""
    values = [*map(sort_key(by), texts)]
    if any(value is None for value in values):
        return None
    if len(set(values)) < 2:
        return ""
    if values == sorted(values):
        return ASCENDING
    return DESCENDING if values == sorted(values, reverse=True) else None
