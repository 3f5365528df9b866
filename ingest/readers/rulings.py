"""Tables drawn with lines: from the lines of a page to rows of cells, merged cells included.

Lines that cross or touch form a grid. Its smallest boxes are joined where no line
divides them, and each of the cells so found says its text in every box it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.readers.layout import Span, text_of

SNAP = 3.0  # points within which lines are the same line, or touch
MIN_LENGTH = 5.0
MAX_LINES = 4_000
MAX_BOXES = 40_000
# A frame around running text is no table, whatever its shape.
MAX_CELL_WORDS = 80


class Line(NamedTuple):
    """A horizontal (``at`` is y) or vertical (``at`` is x) line from ``start`` to ``end``; y runs down."""

    horizontal: bool
    at: float
    start: float
    end: float


@dataclass
class Ruled:
    """A table as drawn: its box and its rows."""

    left: float
    top: float
    right: float
    bottom: float
    rows: list[list[str]] = field(default_factory=list)

    def holds(self, span: Span) -> bool:
        """Whether a word stands in it."""
        x, y = span.center
        return self.left <= x <= self.right and self.top <= y <= self.bottom


def ruled_tables(lines: Sequence[Line], spans: Sequence[Span]) -> list[Ruled]:
    """The tables that lines draw around words, from top to bottom."""
    if not lines or len(lines) > MAX_LINES:
        return []
    across = _merged([line for line in lines if line.horizontal])
    down = _merged([line for line in lines if not line.horizontal])
    found = []
    for rows, columns in _crossing(across, down):
        table = _table(rows, columns, spans)
        if table is not None:
            found.append(table)
    return sorted(found, key=lambda table: (table.top, table.left))


def _merged(lines: list[Line]) -> list[Line]:
    """Lines as few: those on (nearly) the same line that touch are one."""
    found: list[Line] = []
    group: list[Line] = []
    for line in [*sorted(lines, key=lambda line: line.at), None]:
        if group and (line is None or line.at - group[-1].at > SNAP):
            at = sum(each.at for each in group) / len(group)
            run: Line | None = None
            for each in sorted(group, key=lambda each: each.start):
                if run is not None and each.start <= run.end + SNAP:
                    run = run._replace(end=max(run.end, each.end))
                else:
                    found += [run] if run is not None else []
                    run = each._replace(at=at)
            found += [run] if run is not None else []
            group = []
        if line is not None:
            group.append(line)
    return [line for line in found if line.end - line.start >= MIN_LENGTH]


def _crossing(across: list[Line], down: list[Line]) -> list[tuple[list[Line], list[Line]]]:
    """Groups of lines that hang together, each with lines in both directions."""
    lines = [*across, *down]
    parents = list(range(len(lines)))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    for a, one in enumerate(across):
        for b, other in enumerate(down, len(across)):
            if _touch(one, other):
                parents[root(a)] = root(b)
    groups: dict[int, tuple[list[Line], list[Line]]] = {}
    for at, line in enumerate(lines):
        groups.setdefault(root(at), ([], []))[0 if line.horizontal else 1].append(line)
    return [group for group in groups.values() if len(group[0]) > 1 and len(group[1]) > 1]


def _touch(across: Line, down: Line) -> bool:
    return (
        across.start - SNAP <= down.at <= across.end + SNAP
        and down.start - SNAP <= across.at <= down.end + SNAP
    )


def _table(across: list[Line], down: list[Line], spans: Sequence[Span]) -> Ruled | None:
    ys, xs = sorted({line.at for line in across}), sorted({line.at for line in down})
    height, width = len(ys) - 1, len(xs) - 1
    if height < 1 or width < 1 or height * width < 4 or height * width > MAX_BOXES:
        return None
    box = Ruled(xs[0], ys[0], xs[-1], ys[-1])
    words: dict[int, list[Span]] = {}
    cells = _cells(across, down, ys, xs)
    for span in spans:
        if box.holds(span):
            x, y = span.center
            row = max(at for at in range(height) if ys[at] <= y or at == 0)
            column = max(at for at in range(width) if xs[at] <= x or at == 0)
            words.setdefault(cells[row][column], []).append(span)
    texts = {cell: text_of(inside) for cell, inside in words.items()}
    rows = [[texts.get(cell, "") for cell in row] for row in cells]
    full = [[bool(text) for text in row] for row in rows]
    if sum(map(any, full)) < 2 or sum(map(any, zip(*full, strict=True))) < 2 or len(texts) < 3:
        return None
    if len(texts) * 4 < len({cell for row in cells for cell in row}):
        return None  # lines of a drawing
    if max(map(len, words.values())) > MAX_CELL_WORDS:
        return None
    box.rows = rows
    return box


def _cells(across: list[Line], down: list[Line], ys: list[float], xs: list[float]) -> list[list[int]]:
    """The cell that each box of the grid belongs to: boxes that no line divides are of one cell."""
    height, width = len(ys) - 1, len(xs) - 1
    parents = list(range(height * width))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    walls = {x: [(line.start, line.end) for line in down if line.at == x] for x in xs}
    floors = {y: [(line.start, line.end) for line in across if line.at == y] for y in ys}
    for row in range(height):
        for column in range(width):
            here = row * width + column
            y, x = (ys[row] + ys[row + 1]) / 2, (xs[column] + xs[column + 1]) / 2
            if column + 1 < width and not _covers(walls[xs[column + 1]], y):
                parents[root(here + 1)] = root(here)
            if row + 1 < height and not _covers(floors[ys[row + 1]], x):
                parents[root(here + width)] = root(here)
    return [[root(row * width + column) for column in range(width)] for row in range(height)]


def _covers(ranges: list[tuple[float, float]], at: float) -> bool:
    return any(start <= at <= end for start, end in ranges)
