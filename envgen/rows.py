"""Rows that expressions are about, and numbers made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal, DivisionByZero, InvalidOperation
from decimal import Context as DecimalContext
from typing import TYPE_CHECKING

from envgen.cells import Cells
from envgen.values import number, parse_date

if TYPE_CHECKING:
    from envgen.expressions import Context

ROW = "@"
"""Prefix of the root that means: the record at hand, of a page or of a row, whichever task it is."""


FILLED_ROWS = ".+"
"""Between a page and a list in the name of what says in how many of its rows something was entered."""

# Digits that are kept; what has more is no number that anybody calculates with.
EXACT = DecimalContext(prec=60, rounding=ROUND_HALF_UP)


def calculated(how: str, left: Decimal, right: Decimal, places: int) -> str | None:
    """Two numbers put together, as a plain number; None where it has too many digits or none.

    Args:
        how: ``plus``, ``minus``, ``times``, or ``percent`` by which the first is more than the second.
    """
    work = {"plus": EXACT.add, "minus": EXACT.subtract, "times": EXACT.multiply, "percent": _percent}[how]
    try:
        return f"{work(left, right).quantize(Decimal(1).scaleb(-places), context=EXACT):f}"
    except (InvalidOperation, DivisionByZero):
        return None


def _percent(left: Decimal, right: Decimal) -> Decimal:
    return EXACT.divide(EXACT.multiply(EXACT.subtract(left, right), Decimal(100)), right)


def days_between(later: str, earlier: str) -> str | None:
    """The days to a date from an earlier one, negative where that is later; None for what is no date."""
    dates = parse_date(later), parse_date(earlier)
    return None if dates[0] is None or dates[1] is None else str((dates[0][0] - dates[1][0]).days)


def worked_out(how: str, left: str, right: str, places: int) -> str | None:
    """What two texts come to, see :class:`envgen.expressions.Arithmetic`; None for other texts."""
    if how == "between":
        return days_between(left, right)
    one, other = number(left), number(right)
    return None if one is None or other is None else calculated(how, one, other, places)


def later(text: str, days: int) -> str | None:
    """A date so many days after another, written as that one is; None for what is no date."""
    found = parse_date(text)
    try:
        return None if found is None else (found[0] + timedelta(days=days)).strftime(found[1])
    except OverflowError:  # after the year 9999
        return None


def aggregated(how: str, field: str, rows: Iterable[Mapping[str, str]]) -> str | None:
    """A plain number over rows; None where one of them has no number, or there is none to choose from."""
    found = list(rows)
    if how == "count":
        return str(len(found))
    numbers = [number(row.get(field, "")) for row in found]
    known = [value for value in numbers if value is not None]
    if len(known) < len(numbers) or (not known and how != "sum"):
        return None
    value = sum(known, Decimal(0)) if how == "sum" else max(known) if how == "largest" else min(known)
    return f"{value:f}"


@dataclass(frozen=True, slots=True)
class Row:
    """A context in which a row is at hand. Everything else is as around it.

    Attributes:
        controls: What is entered in the row's controls, where it has any.
    """

    around: Context
    entity: str
    row: Mapping[str, str]
    controls: Mapping[str, str] | None = None

    def parameter(self, name: str) -> str | None:
        return self.around.parameter(name)

    def field(self, root: str, path: tuple[str, ...]) -> str | None:
        if root == ROW + self.entity:
            return self.row.get(path[0]) if len(path) == 1 else None
        return self.around.field(root, path)

    def entered(self, control: str) -> str | None:
        if self.controls is not None and control in self.controls:
            return self.controls[control]
        return self.around.entered(control)

    def told(self, page: str, slot: str) -> str | None:
        return self.around.told(page, slot)

    def cell(self, table: str, column: str, key_column: str, key: str) -> str | None:
        return self.around.cell(table, column, key_column, key)

    def done(self, write: str) -> bool:
        return self.around.done(write)

    def exists(self, entity: str, key: str) -> bool:
        return self.around.exists(entity, key)

    def says(self, word: str) -> bool:
        return self.around.says(word)

    def told_to(self) -> str:
        return self.around.told_to()

    def rows(self, entity: str) -> Iterable[tuple[str, Mapping[str, str]]]:
        return self.around.rows(entity)

    def next_row(self, page: str) -> str | None:
        return self.around.next_row(page)


@dataclass(frozen=True, slots=True)
class Asked:
    """A context of which no more is known than what an instruction names, some fields, tables and records."""

    parameters: Mapping[str, str]
    fields: Mapping[tuple[str, tuple[str, ...]], str] | None = None
    cells: Cells | None = None
    records: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None

    def parameter(self, name: str) -> str | None:
        return self.parameters.get(name)

    def field(self, root: str, path: tuple[str, ...]) -> str | None:
        return None if self.fields is None else self.fields.get((root, path))

    def entered(self, control: str) -> str | None:
        return None

    def told(self, page: str, slot: str) -> str | None:
        return None

    def cell(self, table: str, column: str, key_column: str, key: str) -> str | None:
        return None if self.cells is None else self.cells.cell(table, column, key_column, key)

    def done(self, write: str) -> bool:
        return False

    def exists(self, entity: str, key: str) -> bool:
        return False

    def says(self, word: str) -> bool:
        return False

    def told_to(self) -> str:
        return ""

    def rows(self, entity: str) -> Iterable[tuple[str, Mapping[str, str]]]:
        return () if self.records is None else self.records.get(entity, {}).items()

    def next_row(self, page: str) -> str | None:
        return None
