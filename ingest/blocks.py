"""What readers make of a file (headings, paragraphs, tables, in order), and the document made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from ingest.document import Chunk, Place, Table

# A passage for retrieval: long enough to say something, short enough for a small model's prompt.
MIN_WORDS = 120
MAX_WORDS = 200
MAX_COLUMNS = 200


@dataclass
class Block:
    """One piece of a document.

    ``text`` is a heading, a paragraph or a list item; a table has ``rows``, as
    they stand in the file, and the number of its header rows (None: find out).
    """

    kind: Literal["heading", "paragraph", "item", "table"]
    text: str = ""
    level: int = 0
    rows: list[list[str]] = field(default_factory=list)
    header_rows: int | None = None
    name: str = ""
    page: int | None = None
    sheet: str | None = None
    slide: int | None = None

    def place(self, start: int, end: int) -> Place:
        """Where it stands in the source, and from where to where in the text."""
        return Place(page=self.page, sheet=self.sheet, slide=self.slide, start=start, end=end)


@dataclass
class Content:
    """What a reader found in a file."""

    blocks: list[Block]
    title: str = ""
    dated: str | None = None
    warnings: list[str] = field(default_factory=list)
    attachments: list[tuple[str, bytes]] = field(default_factory=list)
    media_type: str = ""  # where a reader reads several


@dataclass(frozen=True)
class Assembled:
    """The text of a document in Markdown, its tables, and its passages."""

    text: str
    tables: tuple[Table, ...]
    chunks: tuple[Chunk, ...]


@dataclass
class _Piece:
    """A block as it stands in the text."""

    start: int
    end: int
    heading: str
    block: Block
    words: int
    lines: list[tuple[int, int]] = field(default_factory=list)  # of a table: header, then rows

    def belongs_with(self, other: _Piece) -> bool:
        """Whether both stand under the same headings, on the same sheet or slide."""
        mine, its = self.block, other.block
        return (self.heading, mine.sheet, mine.slide) == (other.heading, its.sheet, its.slide)


def count_words(text: str) -> int:
    """Words of a text; the bars of a table are none."""
    return sum(1 for part in text.split() if any(map(str.isalnum, part)))


def one_line(text: str) -> str:
    """Text with runs of white space as single spaces."""
    return " ".join(text.split())


def assemble(blocks: Sequence[Block]) -> Assembled:
    """Put blocks together: every table and passage knows where in the text it stands."""
    parts: list[str] = []
    length = 0
    pieces: list[_Piece] = []
    tables: list[Table] = []
    headings: list[tuple[int, str]] = []
    previous = ""

    def add(text: str) -> tuple[int, int]:
        nonlocal length
        parts.append(text)
        length += len(text)
        return length - len(text), length

    for block in blocks:
        table = _table(block, headings, len(tables) + 1) if block.kind == "table" else None
        if table is None and not block.text.strip():
            continue
        if parts:
            add("\n" if block.kind == "item" and previous == "item" else "\n\n")
        previous = block.kind
        if block.kind == "heading":
            level = min(6, max(1, block.level))
            text = one_line(block.text)
            headings = [above for above in headings if above[0] < level] + [(level, text)]
            add("#" * level + " " + text)
            continue
        path = " > ".join(text for _, text in headings)
        if table is not None:
            lines = [add(("\n" if row else "") + text) for row, text in enumerate(_markdown(table))]
            words = sum(count_words(text) for text in parts[-len(lines) :])
            pieces.append(_Piece(lines[0][0], length, path, block, words, lines))
            tables.append(table.model_copy(update={"place": block.place(lines[0][0], length)}))
        else:
            text = block.text.strip()
            start, end = add("  " * block.level + "- " + one_line(text) if block.kind == "item" else text)
            pieces.append(_Piece(start, end, path, block, count_words(text)))
    text = "".join(parts).rstrip("\n")
    return Assembled(text, tuple(tables), tuple(_chunks(text, pieces)))


def _table(block: Block, headings: list[tuple[int, str]], number: int) -> Table | None:
    rows = [[one_line(cell) for cell in row] for row in block.rows]
    rows = [row for row in rows if any(row)]
    width = min(MAX_COLUMNS, max((len(row) for row in rows), default=0))
    rows = [[*row[:width], *[""] * (width - len(row))] for row in rows]
    used = [column for column in range(width) if any(row[column] for row in rows)]
    rows = [[row[column] for column in used] for row in rows]
    if not rows:
        return None
    titles: list[str] = []
    if block.header_rows is None:
        first, last = header_rows(rows)
        titles = [one_line(" ".join(dict.fromkeys(filter(None, row)))) for row in rows[:first]]
        header, body = _one_header(rows[first : last + 1]), rows[last + 1 :]
    elif block.header_rows:
        count = min(block.header_rows, len(rows))
        header, body = _one_header(rows[:count]), rows[count:]
    else:
        header, body = [""] * len(used), rows
    name = block.name or " ".join(titles) or (headings[-1][1] if headings else "") or f"Table {number}"
    return Table(name=name, header=tuple(header), rows=tuple(tuple(row) for row in body))


_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?\d[\d.,'  ]*\s?(?:%|[A-Z]{3}|[$€£¥])?\)?|\d{4}-\d{2}-\d{2}.*")


_YEAR = re.compile(r"(?:19|20)\d\d")


def is_number(text: str) -> bool:
    """Whether a cell holds an amount, a share or an ISO date rather than words."""
    return _NUMBER.fullmatch(text) is not None


def _one_header(rows: Sequence[Sequence[str]]) -> list[str]:
    """Header rows as one: each column's labels from top to bottom, each said once."""
    return [one_line(" ".join(dict.fromkeys(filter(None, column)))) for column in zip(*rows, strict=True)]


def header_rows(rows: list[list[str]]) -> tuple[int, int]:
    """First and last row of the header: two where one row of groups stands above the columns' own names.

    A group's name is repeated in its columns (merged cells), or stands in the first of them only; then it
    is filled in, in place.
    """
    at = header_row(rows)
    if at + 2 < len(rows) and _repeats(rows[at]) and _names(rows[at + 1], rows[at]):
        return at, at + 1
    if at > 0 and len(set(filter(None, rows[at]))) < sum(map(bool, rows[at])):
        groups = [cell for cell in rows[at - 1] if cell]
        if len(set(groups)) >= 2:
            filled, group = list(rows[at - 1]), ""
            for column, cell in enumerate(filled):
                group = cell or group
                filled[column] = group
            if len(set(zip(filled, rows[at], strict=True))) == len(filled):
                rows[at - 1] = filled
                return at - 1, at
    return at, at


def _repeats(row: Sequence[str]) -> bool:
    return any(cell and cell == after for cell, after in pairwise(row))


def _names(row: Sequence[str], groups: Sequence[str]) -> bool:
    """Whether a row names columns apart that a row of groups above it leaves equal.

    A row of words below one repeated label may as well be data; below several groups, with the same names
    in each, or beside labels that reach over both rows, it is not.
    """
    together = list(zip(groups, row, strict=True))
    repeated = {cell for cell, after in pairwise(groups) if cell == after}
    sure = len(repeated) > 1 or len(set(row)) < len(row) or any(group == name for group, name in together)
    return sure and all(row) and not any(map(_is_value, row)) and len(set(together)) == len(together)


def _is_value(cell: str) -> bool:
    """A number that is no year: years head columns as often as they stand in them."""
    return is_number(cell) and not _YEAR.fullmatch(cell)


def header_row(rows: Sequence[Sequence[str]]) -> int:
    """Which row is the header: the first that names (nearly) all columns, below any title rows.

    A title row fills few cells, or says the same in all (merged cells).
    """
    width = len(rows[0])
    filled = [sum(1 for cell in row if cell) for row in rows]
    most = max(filled)
    for at, row in enumerate(rows[:10]):
        distinct = {cell for cell in row if cell}
        if at + 1 == len(rows):
            break
        if filled[at] < min(most, max(2, (width + 1) // 2)) or (most > 1 and len(distinct) < 2):
            continue
        if any(_is_value(cell) for cell in row) and at > 0:
            break
        return at
    return 0


def _markdown(table: Table) -> list[str]:
    """A table in Markdown: the header with its rule, then one line per row."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + " --- |" * len(table.header)
    return [f"{line(table.header)}\n{rule}", *(line(row) for row in table.rows)]


def _chunks(text: str, pieces: Sequence[_Piece]) -> list[Chunk]:
    found: list[Chunk] = []
    run: list[_Piece] = []

    def close() -> None:
        if run:
            found.append(_chunk(text, run[0], run[0].start, run[-1].end))
            run.clear()

    for piece in pieces:
        size = sum(each.words for each in run)
        same = bool(run) and run[-1].belongs_with(piece)
        if run and (not same or size + piece.words > MAX_WORDS or size >= MIN_WORDS):
            close()
        if piece.words <= MAX_WORDS:
            run.append(piece)
        elif piece.lines:
            found.extend(_table_chunks(text, piece))
        else:
            found.extend(
                _chunk(text, piece, start, end) for start, end in _sentences(text, piece.start, piece.end)
            )
    close()
    return found


def _chunk(text: str, piece: _Piece, start: int, end: int, head: str = "") -> Chunk:
    place = piece.block.place(start, end)
    return Chunk(text=head + text[start:end].strip("\n"), heading=piece.heading, place=place)


def _table_chunks(text: str, piece: _Piece) -> list[Chunk]:
    """A long table in passages of rows, each under the header."""
    head = text[slice(*piece.lines[0])] + "\n"
    found: list[Chunk] = []
    start, size = None, 0
    for row_start, row_end in piece.lines[1:]:
        row_words = count_words(text[row_start:row_end])
        if start is not None and size + row_words > MAX_WORDS:
            found.append(_chunk(text, piece, start, row_start, head))
            start, size = None, 0
        start = row_start if start is None else start
        size += row_words
    if start is not None:
        found.append(_chunk(text, piece, start, piece.end, head))
    return found


_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|\n+")


def _sentences(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """A long paragraph cut between sentences (or, where there is none, between words)."""
    cuts = [match.end() for match in _SENTENCE_END.finditer(text, start, end)] + [end]
    found: list[tuple[int, int]] = []
    begin, size, last = start, 0, start
    for cut in cuts:
        count = len(text[last:cut].split())
        if size and size + count > MAX_WORDS:
            found.append((begin, last))
            begin, size = last, 0
        if count > MAX_WORDS:
            ends = [last + gap.end() for gap in re.finditer(r"\S+\s*", text[last:cut])]
            for split in ends[MAX_WORDS - 1 : -1 : MAX_WORDS]:
                found.append((begin, split))
                begin = split
            count, size = (len(ends) - 1) % MAX_WORDS + 1, 0
        size += count
        last = cut
    if text[begin:end].strip():
        found.append((begin, end))
    return found
