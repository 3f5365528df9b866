"""Tables that are looked up by two things at once: by two columns, or by a row and the head of a column."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from envgen.cells import TableFact

BETWEEN = " · "
"""What stands between the two parts of a key."""
_MOST_ROWS = 2_000
_MOST_COLUMNS = 12


def paired(table: TableFact) -> Iterator[TableFact]:
    """The table as look-ups by two keys see it: its first column is both, see :data:`BETWEEN`."""
    if not table.rows or any(BETWEEN in cell for row in (table.header, *table.rows) for cell in row):
        return
    columns = list(zip(*table.rows, strict=True))
    if not 2 < len(columns) <= _MOST_COLUMNS or len(columns) * len(table.rows) > _MOST_ROWS:
        return
    for one, other in itertools.combinations(range(len(columns)), 2):
        keys = [BETWEEN.join(pair) for pair in zip(columns[one], columns[other], strict=True)]
        if _known(keys) and not (_known(columns[one]) or _known(columns[other])):
            rest = [at for at in range(len(columns)) if at not in (one, other)]
            yield replace(
                table,
                id=f"{table.id} by {table.header[one]} and {table.header[other]}",
                header=(BETWEEN.join((table.header[one], table.header[other])), *_named(table.header, rest)),
                rows=tuple((key, *_named(row, rest)) for key, row in zip(keys, table.rows, strict=True)),
            )
    if _known(columns[0]):
        heads = table.header[1:]
        cells = [
            (BETWEEN.join((row[0], head)), text)
            for row in table.rows
            for head, text in zip(heads, row[1:], strict=True)
        ]
        yield replace(
            table,
            id=f"{table.id} by {table.header[0] or 'row'} and column",
            header=(BETWEEN.join((table.header[0] or "row", "column")), "entry"),
            rows=tuple((key, text) for key, text in cells if text),
        )


def _named(row: Sequence[str], places: Sequence[int]) -> list[str]:
    return [row[at] for at in places]


def _known(keys: Sequence[str]) -> bool:
    """Whether every text names one row."""
    folded = [key.casefold() for key in keys]
    return all(folded) and len(set(folded)) == len(folded)
