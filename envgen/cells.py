"""Tables of documents as rules look things up in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Table(Protocol):
    """What is looked up in: the names of the columns, and rows of as many texts."""

    @property
    def header(self) -> Sequence[str]: ...

    @property
    def rows(self) -> Sequence[Sequence[str]]: ...


@dataclass(frozen=True, slots=True)
class TableFact:
    """A table of a document, ready for look-ups."""

    id: str
    document: str
    dated: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> int:
        return self.header.index(name)


class Cells:
    """The cells of tables by their rows' keys, whatever the case of a key; of two rows the first counts.

    Args:
        table: The table of a name. It may come to know more names, but what one stands for must stay: each
            pair of columns is read once.
    """

    def __init__(self, table: Callable[[str], Table]) -> None:
        self._table = table
        self._columns: dict[tuple[str, str, str], dict[str, str]] = {}

    def cell(self, table: str, column: str, key_column: str, key: str) -> str | None:
        """The text in ``column`` of the row whose ``key_column`` is the key; None where there is none.

        Raises:
            ValueError: when the table has no such column.
        """
        found = self._columns.get((table, column, key_column))
        if found is None:
            data = self._table(table)
            at, key_at = data.header.index(column), data.header.index(key_column)
            found = {row[key_at].casefold(): row[at] for row in reversed(data.rows)}
            self._columns[table, column, key_column] = found
        return found.get(key.casefold())
