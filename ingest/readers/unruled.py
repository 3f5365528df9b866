"""Tables without lines, where they can be told safely: pieces of text in line with each other, row after row.

What only looks a little like a table stays text: a wrong table hides more than a missed one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.blocks import is_number

if TYPE_CHECKING:
    from ingest.readers.layout import Row

MIN_ROWS = 3
# Two columns may be labels and values, or the lines of a form: they need a header and numbers below it.
MIN_ROWS_OF_TWO = 4
MAX_WORDS = 6.0
MIN_FILLED = 0.6
# Rows above a header that may be in line with its columns by chance.
MAX_BEFORE = 5
# In em: rows further apart than this are of different tables.
MAX_GAP = 2.5


@dataclass
class Found:
    """A table: the rows it stands in, its cells and how many of its rows are the header."""

    rows: list[Row]
    cells: list[list[str]]
    header_rows: int | None = None


def find_tables(rows: Sequence[Row], em: float) -> list[Found]:
    """The tables among the rows of a page or column."""
    found: list[Found] = []
    run: list[Row] = []
    parts: dict[int, list[Row]] = {}
    for row, of in [*_together(rows), (None, [])]:
        near = row is not None and (not run or row.top - run[-1].bottom <= MAX_GAP * em)
        if row is not None and near and (len(row.pieces) > 1 or (run and _continues(row, run))):
            run.append(row)
            parts[id(row)] = of
            continue
        for table in _tables(run, em):
            table.rows = [part for row in table.rows for part in parts[id(row)]]
            found.append(table)
        run = [row] if row is not None and len(row.pieces) > 1 else []
        parts = {id(row): of} if row is not None else {}
    return found


def _together(rows: Sequence[Row]) -> list[tuple[Row, list[Row]]]:
    """Rows with those they overlap in height: cells set in the middle of taller ones beside them."""
    found: list[tuple[Row, list[Row]]] = []
    for row in rows:
        if found:
            above, of = found[-1]
            overlap = of[-1].bottom - row.top
            if overlap > 0.25 * (row.bottom - row.top):
                pieces = sorted([*above.pieces, *row.pieces], key=lambda piece: piece.left)
                found[-1] = (type(row)(pieces), [*of, row])
                continue
        found.append((row, [row]))
    return found


def _continues(row: Row, run: list[Row]) -> bool:
    """Whether a row of one piece is the rest of a cell that did not fit, within the cell's column."""
    piece = row.pieces[0]
    close = row.top - run[-1].bottom < 0.5 * (row.bottom - row.top)
    above = run[-1].pieces
    ends = [after.left for after in above[1:]] + [float("inf")]
    return close and any(
        abs(piece.left - cell.left) < 2.0 and (piece.right < end or cell is not above[0])
        for cell, end in zip(above, ends, strict=True)
    )


def _tables(run: list[Row], em: float) -> list[Found]:
    """The table of a run of rows: from its header on where it has one, else from the first row that fits."""
    starts = range(min(MAX_BEFORE, max(0, len(run) - MIN_ROWS + 1)))
    found = [made for first in starts if (made := _table(run[first:], em)) is not None]
    return [next((made for made in found if _has_header(made.cells)), found[0])] if found else []


def _table(rows: list[Row], em: float) -> Found | None:
    columns = _columns_of(rows)
    cells: list[list[str]] = []
    kept: list[Row] = []
    for row in rows:
        line = [""] * len(columns)
        for piece in row.pieces:
            at = next(at for at, (a, b) in enumerate(columns) if a <= piece.left <= b)
            line[at] = f"{line[at]} {piece.text}".strip()
        tight = kept and row.top - kept[-1].bottom < 0.25 * em
        rest = not line[0] and len(row.pieces) < len(columns)
        if cells and tight and (rest or len(row.pieces) == 1):
            cells[-1] = [f"{above} {below}".strip() for above, below in zip(cells[-1], line, strict=True)]
        else:
            cells.append(line)
        kept.append(row)
    return Found(kept, cells) if _is_table(cells) else None


def _columns_of(rows: list[Row]) -> list[tuple[float, float]]:
    """Where columns begin and end: pieces that overlap are of one column."""
    ranges = sorted((piece.left, piece.right) for row in rows for piece in row.pieces)
    found = [ranges[0]]
    for left, right in ranges[1:]:
        if left <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], right))
        else:
            found.append((left, right))
    return found


def _is_table(cells: list[list[str]]) -> bool:
    width = len(cells[0])
    filled = [cell for row in cells for cell in row if cell]
    if width < 2 or len(cells) < MIN_ROWS or len(filled) < MIN_FILLED * width * len(cells):
        return False
    if statistics.mean(len(cell.split()) for cell in filled) > MAX_WORDS:
        return False
    # The key column has to be there in nearly every row.
    if sum(1 for row in cells if row[0]) < 0.8 * len(cells):
        return False
    numbers = [
        sum(1 for row in cells[1:] if is_number(row[at])) >= 0.8 * (len(cells) - 1) for at in range(width)
    ]
    header = _has_header(cells)
    if width == 2:
        return len(cells) >= MIN_ROWS_OF_TWO and header and numbers[1]
    return header or any(numbers)


def _has_header(cells: list[list[str]]) -> bool:
    return all(cells[0]) and not any(is_number(cell) for cell in cells[0])
