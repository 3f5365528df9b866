"""Cells of a sheet divided into what belongs together: tables, their titles, notes beside them.

Sheets hold several tables side by side and one below the other, divided by blank
rows and columns. A blank row inside a table does not end it when what follows goes
on in the same columns without a header of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fde.errors import InputError
from ingest.blocks import Block, is_number

Cells = Mapping[tuple[int, int], str]
_NOTE_CHARACTERS = 100
_MAX_GRID = 20_000_000


@dataclass
class _Area:
    """Rows of cells without a blank row or column that divides them; ``top`` and ``left`` of the sheet."""

    top: int
    left: int
    rows: list[list[str]]


def blocks_of(
    cells: Cells, sheet: str | None = None, known: Sequence[tuple[int, int, Block]] = ()
) -> list[Block]:
    """Tables and notes of a sheet, from top to bottom.

    Args:
        cells: Texts by row and column, of cells that are not empty; a merged cell's text in all its places.
        sheet: The sheet's name, for the blocks' places.
        known: Tables that the file itself marks, with their top row and left column.

    Raises:
        InputError: when the cells are so scattered that they form no sheet.
    """
    areas = _joined(_areas(*_close_together(cells)))
    placed = [*known, *((area.top, area.left, _block(area, sheet)) for area in areas)]
    blocks = [block for _, _, block in sorted(placed, key=lambda each: each[:2])]
    for before, table in pairwise(blocks):  # a short note right above a table is its title
        short = "\n" not in before.text and len(before.text) <= _NOTE_CHARACTERS
        if before.kind == "paragraph" and short and table.kind == "table" and not table.name:
            table.name = before.text
    return blocks


def _close_together(cells: Cells) -> tuple[list[list[str]], list[int], list[int]]:
    """The cells as a grid in which any gap is one blank row or column; with the sheet's numbers of both."""
    rows = _with_gaps({row for (row, _), text in cells.items() if text})
    columns = _with_gaps({column for (_, column), text in cells.items() if text})
    if len(rows) * len(columns) > _MAX_GRID:
        raise InputError("the cells of a sheet are too scattered to be a table")
    grid = [[cells.get((row, column), "") for column in columns] for row in rows]
    return grid, rows, columns


def _with_gaps(numbers: set[int]) -> list[int]:
    found: list[int] = []
    for number in sorted(numbers):
        if found and number > found[-1] + 1:
            found.append(found[-1] + 1)
        found.append(number)
    return found


def _areas(grid: list[list[str]], rows: list[int], columns: list[int]) -> list[_Area]:
    """Divide a grid by blank rows, then by blank columns where both sides stand for themselves."""
    found: list[_Area] = []
    for first, last in _bands([any(row) for row in grid]):
        band = grid[first : last + 1]
        for left, right in _columns(band):
            part = [row[left : right + 1] for row in band]
            bands = _bands([any(row) for row in part])
            if len(bands) == 1:
                a, b = bands[0]
                found.append(_Area(rows[first + a], columns[left], part[a : b + 1]))
            else:
                found += _areas(part, rows[first : last + 1], columns[left : right + 1])
    return found


def _bands(filled: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last of each run of filled rows."""
    found: list[tuple[int, int]] = []
    for at, there in enumerate(filled):
        if there and found and found[-1][1] == at - 1:
            found[-1] = (found[-1][0], at)
        elif there:
            found.append((at, at))
    return found


def _columns(band: list[list[str]]) -> list[tuple[int, int]]:
    """Runs of columns; neighbours across a blank column stay one where the right one needs the left."""
    runs = _bands([any(row[at] for row in band) for at in range(len(band[0]))])
    found = runs[:1]
    for run in runs[1:]:
        before = found[-1]
        if _apart(_cut(band, before), _cut(band, run)):
            found.append(run)
        else:
            found[-1] = (before[0], run[1])
    return found


def _cut(band: list[list[str]], run: tuple[int, int]) -> list[tuple[int, list[str]]]:
    """The filled rows of some columns, with their numbers."""
    rows = [(at, row[run[0] : run[1] + 1]) for at, row in enumerate(band)]
    return [(at, row) for at, row in rows if any(row)]


def _apart(left: list[tuple[int, list[str]]], right: list[tuple[int, list[str]]]) -> bool:
    """Whether two runs of columns are no one table: a note beside one, or two with keys of their own."""
    if min(len(left), len(right)) == 1:
        return max(len(left), len(right)) > 2
    if min(len(left[0][1]), len(right[0][1])) < 2:
        return (left[0][0], left[-1][0]) != (right[0][0], right[-1][0]) and not _within(left, right)
    keys = [row[0] for _, row in right[1:] if row[0]]
    return sum(1 for key in keys if not is_number(key)) * 2 >= len(keys) > 0


def _within(left: list[tuple[int, list[str]]], right: list[tuple[int, list[str]]]) -> bool:
    """Whether a single column begins with the other's header: it is its last column, with gaps."""
    return left[0][0] == right[0][0]


def _joined(areas: list[_Area]) -> list[_Area]:
    """Areas in the order of the sheet; one that goes on with the table above it is joined to it."""
    found: list[_Area] = []
    for area in sorted(areas, key=lambda area: (area.top, area.left)):
        above = next((other for other in reversed(found) if other.left == area.left), None)
        if above is not None and _goes_on(above, area):
            above.rows += area.rows
        else:
            found.append(area)
    return found


def _goes_on(above: _Area, area: _Area) -> bool:
    """Whether rows are of the table above: as wide, and with numbers where it has numbers from the start."""
    width = len(area.rows[0])
    if len(above.rows) < 2 or width < 2 or width != len(above.rows[0]):
        return False
    numbers = [column for column in range(width) if is_number(above.rows[-1][column])]
    return bool(numbers) and all(is_number(area.rows[0][column]) for column in numbers)


def _block(area: _Area, sheet: str | None) -> Block:
    """An area as a table; one that says a single thing in each of few rows is a note."""
    rows = area.rows
    if len(rows) <= 3 and all(len({cell for cell in row if cell}) == 1 for row in rows):
        text = "\n".join(next(cell for cell in row if cell) for row in rows)
        return Block("paragraph", text, sheet=sheet)
    return Block("table", rows=rows, sheet=sheet)
