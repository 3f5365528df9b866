"""From words and their places on a page to headings, paragraphs, lists, columns and tables without lines.

The same for the words of a digital PDF and for those that were recognised on a picture.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from ingest.blocks import Block
from ingest.readers.unruled import find_tables

# A heading is set this much larger than the text around it, and is short.
HEADING_SIZE = 1.15
HEADING_WORDS = 14
# In em (the usual height of a word): where a gap between words ends a piece of a line.
PIECE_GAP = 0.75
# Columns of running text: their gutter in em, and how many lines, and words in a line, they have at least.
GUTTER = 0.8
COLUMN_LINES = 3
COLUMN_WORDS = 3.5
_BULLETS = "•◦▪●○■□–‣⁃∙·➢➤✓✔\uf0b7\uf0a7\uf0d8"
_BULLET = re.compile(rf"[{_BULLETS}]\s*|[-*]\s+(?=\S)")


class Span(NamedTuple):
    """A word on a page; y runs down. ``size`` is its font's, 0 where that is not known."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float = 0.0
    bold: bool = False

    @property
    def center(self) -> tuple[float, float]:
        """The middle of its box."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass
class Piece:
    """Words of one line without a wide gap between them."""

    spans: list[Span]

    @property
    def left(self) -> float:
        return self.spans[0].left

    @property
    def right(self) -> float:
        return max(span.right for span in self.spans)

    @property
    def text(self) -> str:
        return " ".join(span.text for span in self.spans)


@dataclass
class Row:
    """What stands at one height."""

    pieces: list[Piece]

    @cached_property
    def spans(self) -> list[Span]:
        return [span for piece in self.pieces for span in piece.spans]

    @cached_property
    def top(self) -> float:
        return min(span.top for span in self.spans)

    @cached_property
    def bottom(self) -> float:
        return max(span.bottom for span in self.spans)

    @cached_property
    def text(self) -> str:
        return " ".join(span.text for span in self.spans)

    @cached_property
    def size(self) -> float:
        return float(statistics.median(span.size for span in self.spans))


def page_blocks(
    spans: Sequence[Span],
    *,
    page: int,
    body: float,
    tables: Sequence[tuple[float, Block]] = (),
) -> list[Block]:
    """The blocks of a page in reading order.

    Args:
        spans: Its words, less those in ``tables``.
        body: The usual size of the document's text, 0 where sizes are not known.
        tables: Tables found already, with their tops.
    """
    blocks: list[tuple[float, Block]] = list(tables)
    if spans:
        em = statistics.median(span.bottom - span.top for span in spans) or 1.0
        tops = [top for top, _ in tables]
        rows = rows_of(spans, em)
        for flow in _columns(rows, em):
            blocks += _flow(flow, tops, body, em)
    # Tables of lines stand among the text by their height; the text itself is in order already.
    ordered: list[Block] = []
    waiting = sorted(tables, key=lambda each: each[0])
    for top, block in blocks[len(tables) :]:
        while waiting and waiting[0][0] <= top:
            ordered.append(waiting.pop(0)[1])
        ordered.append(block)
    ordered += [block for _, block in waiting]
    for block in ordered:
        block.page = page
    return ordered


def text_of(spans: Sequence[Span]) -> str:
    """Words as text, line by line."""
    if not spans:
        return ""
    em = statistics.median(span.bottom - span.top for span in spans) or 1.0
    return " ".join(row.text for row in rows_of(spans, em))


def rows_of(spans: Sequence[Span], em: float) -> list[Row]:
    """Words by their heights on the page, from top to bottom; in a row from left to right."""
    rows: list[list[Span]] = []
    middle = 0.0
    for span in sorted(spans, key=lambda span: span.center[1]):
        height = max(0.5 * em, min(em, span.bottom - span.top))
        if rows and abs(span.center[1] - middle) < 0.5 * height:
            rows[-1].append(span)
        else:
            rows.append([span])
            middle = span.center[1]
    return [_row(sorted(row, key=lambda span: span.left), em) for row in rows]


def _row(spans: list[Span], em: float) -> Row:
    pieces = [Piece([spans[0]])]
    for before, span in pairwise(spans):
        if span.left - before.right > PIECE_GAP * em:
            pieces.append(Piece([span]))
        else:
            pieces[-1].spans.append(span)
    return Row(pieces)


# Columns of running text.

_Gap = tuple[float, float]


def _columns(rows: list[Row], em: float, depth: int = 0) -> Iterator[list[Row]]:
    """Rows in reading order: where text runs in columns, the left column first."""
    if depth > 3 or not _may_have_columns(rows):
        yield rows
        return
    left = min(piece.left for row in rows for piece in row.pieces)
    right = max(piece.right for row in rows for piece in row.pieces)
    gaps = [_gaps(row, left, right, em) for row in rows]
    plain: list[Row] = []
    at = 0
    while at < len(rows):
        found = _gutter(rows, gaps, at, em)
        if found is None:
            plain.append(rows[at])
            at += 1
            continue
        end, gutter = found
        if plain:
            yield plain
            plain = []
        for side in _split(rows[at:end], gutter):
            yield from _columns(side, em, depth + 1)
        at = end
    if plain:
        yield plain


def _may_have_columns(rows: list[Row]) -> bool:
    """Whether enough rows leave their middle free or have several pieces."""
    if len(rows) < 2 * COLUMN_LINES:
        return False
    left = min(piece.left for row in rows for piece in row.pieces)
    right = max(piece.right for row in rows for piece in row.pieces)
    width = right - left
    beside = sum(len(row.pieces) > 1 or row.pieces[0].left > left + width / 4 for row in rows)
    return beside >= COLUMN_LINES


def _gaps(row: Row, left: float, right: float, em: float) -> list[_Gap]:
    """Where a row leaves room, from margin to margin."""
    found = []
    end = left - em
    for piece in row.pieces:
        if piece.left - end >= GUTTER * em:
            found.append((end, piece.left))
        end = max(end, piece.right)
    if right + em - end >= GUTTER * em:
        found.append((end, right + em))
    return found


def _gutter(rows: list[Row], gaps: list[list[_Gap]], start: int, em: float) -> tuple[int, _Gap] | None:
    """The longest run of rows from ``start`` in columns of running text: its end, and their gap."""
    common = gaps[start]
    best: tuple[int, _Gap] | None = None
    for end in range(start + 1, len(rows) + 1):
        for gap in common:
            sides = _split(rows[start:end], gap) if end - start >= 2 * COLUMN_LINES else []
            if len(sides) == 2 and all(_runs(side, gap) for side in sides):
                best = (end, gap)
                break
        if end == len(rows):
            break
        common = [
            (max(a, c), min(b, d))
            for a, b in common
            for c, d in gaps[end]
            if min(b, d) - max(a, c) >= GUTTER * em
        ]
        if not common:
            break
    return best


def _split(rows: list[Row], gap: _Gap) -> list[list[Row]]:
    """The rows left and right of a gap; a single list where one side is empty."""
    middle = sum(gap) / 2
    sides: list[list[Row]] = []
    for wanted in (True, False):
        side = [Row([piece for piece in row.pieces if (piece.left < middle) is wanted]) for row in rows]
        side = [row for row in side if row.pieces]
        if side:
            sides.append(side)
    return sides


def _runs(rows: list[Row], gap: _Gap) -> bool:
    """Whether a column holds running text: enough lines, of several words, most of them about as long."""
    if len(rows) < COLUMN_LINES:
        return False
    words = [sum(len(piece.spans) for piece in row.pieces) for row in rows]
    widths = [row.pieces[-1].right - row.pieces[0].left for row in rows]
    full = sum(width > 0.7 * max(widths) for width in widths)
    return statistics.mean(words) >= COLUMN_WORDS and full * 2 >= len(rows)


# Headings, paragraphs, lists, tables.


def _flow(rows: list[Row], tops: Sequence[float], body: float, em: float) -> Iterator[tuple[float, Block]]:
    """Blocks of rows that follow each other, with their tops."""
    run: list[Row] = []
    tables = {id(found.rows[0]): found for found in find_tables(rows, em)}
    inside: set[int] = {id(row) for found in tables.values() for row in found.rows}
    previous = None
    for row in rows:
        cut = previous is not None and any(previous.bottom <= top <= row.bottom for top in tops)
        heading = _is_heading(row, body)
        if id(row) in inside or cut or heading:
            yield from _paragraphs(run)
            run = []
        previous = row
        if id(row) in tables:
            table = tables[id(row)]
            yield row.top, Block("table", rows=table.cells, header_rows=table.header_rows)
        elif id(row) in inside:
            continue
        elif heading:
            yield row.top, Block("heading", row.text, level=1 if row.size >= body * 1.5 else 2)
        else:
            run.append(row)
    yield from _paragraphs(run)


def _is_heading(row: Row, body: float) -> bool:
    text = row.text.strip()
    if not body or not any(map(str.isalpha, text)) or len(text.split()) > HEADING_WORDS:
        return False
    bold = all(span.bold for span in row.spans)
    return row.size >= body * HEADING_SIZE or (
        bold and row.size > body * 1.02 and not text.endswith((".", ",", ";"))
    )


def _paragraphs(rows: list[Row]) -> Iterator[tuple[float, Block]]:
    """Lines close together are one paragraph; a wider gap or a bullet begins the next."""
    gaps = [after.top - before.bottom for before, after in pairwise(rows)]
    usual = statistics.median(gaps) if gaps else 0.0
    run: list[Row] = []
    for at, row in enumerate(rows):
        wide = run and gaps[at - 1] > usual + max(2.0, 0.4 * (row.bottom - row.top))
        item = run and _BULLET.match(run[0].text) is not None
        back = item and row.pieces[0].left <= run[0].pieces[0].left + 1  # no longer set in below its bullet
        if run and (wide or back or _BULLET.match(row.text)):
            yield run[0].top, _paragraph(run)
            run = []
        run.append(row)
    if run:
        yield run[0].top, _paragraph(run)


def _paragraph(rows: list[Row]) -> Block:
    text = "\n".join(row.text for row in rows)
    bullet = _BULLET.match(text)
    return Block("item", text[bullet.end() :]) if bullet else Block("paragraph", text)
