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
    for row in [*rows, None]:
        near = row is not None and (not run or row.top - run[-1].bottom <= MAX_GAP * em)
        if row is not None and near and (len(row.pieces) > 1 or (run and _continues(row, run))):
            run.append(row)
            continue
        found += _tables(run, em)
        run = [row] if row is not None and len(row.pieces) > 1 else []
    return found


def _continues(row: Row, run: list[Row]) -> bool:
    """Whether a row of one piece is the rest of a cell that did not fit, below one that is not the first."""
    piece = row.pieces[0]
    close = row.top - run[-1].bottom < 0.5 * (row.bottom - row.top)
    return close and any(abs(piece.left - above.left) < 2.0 for above in run[-1].pieces[1:])


def _tables(run: list[Row], em: float) -> list[Found]:
    """The table of a run of rows; a first row that does not fit (a title, a wide header) is left out."""
    for first in range(min(3, max(0, len(run) - MIN_ROWS + 1))):
        made = _table(run[first:], em)
        if made is not None:
            return [made]
    return []


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
        if cells and not line[0] and tight and len(row.pieces) < len(columns):
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
    header = all(cells[0]) and not any(is_number(cell) for cell in cells[0])
    if width == 2:
        return len(cells) >= MIN_ROWS_OF_TWO and header and numbers[1]
    return header or any(numbers)
