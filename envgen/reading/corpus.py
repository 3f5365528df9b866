"""Documents as sections that are opened, made of lines that are cited."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from pydantic import BaseModel, ConfigDict

from envgen.days import DATE
from envgen.retrieval import Index, words
from envgen.values import parse_date
from ingest.document import Document, Table

Ref = tuple[int, int]
"""A line: the number of its section, and its own in it."""

# What is opened at once: enough to read in one go, little enough for a small model's context.
_ROWS = 10
_LINES = 12
_CHARACTERS = 1500
_LINE = 500
_CELL = 120
_NAME = 90
_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
# A document says of what date it is at its beginning.
_HEAD = 300


class Section(BaseModel):
    """What is opened at once: a heading's text, or some rows of a table under their header.

    Attributes:
        name: What it is opened and cited by; no two sections share one.
        table: Number of the table it shows rows of, None for text; its first line is the header.
        lines: Each is a cell's tuple, or one text.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    document: str
    title: str = ""
    heading: str = ""
    dated: str = ""
    table: int | None = None
    lines: tuple[tuple[str, ...], ...]

    def text(self, line: int) -> str:
        return " | ".join(cell for cell in self.lines[line] if cell)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with where each row stands.

    Attributes:
        headers: The header's line, in every section that shows rows of it.
        rows: The cells of a row, and its line.
    """

    name: str
    document: str
    dated: str
    header: tuple[str, ...]
    headers: tuple[Ref, ...]
    rows: tuple[tuple[tuple[str, ...], Ref], ...]

    def column(self, at: int) -> list[str]:
        return [cells[at] for cells, _ in self.rows]


class Corpus(BaseModel):
    """All sections, in order of document and place."""

    model_config = ConfigDict(frozen=True, ignored_types=(cached_property,))

    sections: tuple[Section, ...]

    @cached_property
    def index(self) -> Index:
        """For searching by words."""
        return Index(
            [
                words(" ".join((s.title, s.heading, s.document, *(s.text(i) for i in range(len(s.lines))))))
                for s in self.sections
            ]
        )

    @cached_property
    def words(self) -> tuple[tuple[frozenset[str], ...], ...]:
        """The words of every line of every section."""
        return tuple(
            tuple(frozenset(words(section.text(line))) for line in range(len(section.lines)))
            for section in self.sections
        )

    @cached_property
    def by_name(self) -> dict[str, int]:
        return {section.name: number for number, section in enumerate(self.sections)}

    @cached_property
    def documents(self) -> tuple[str, ...]:
        """Their sources, each once."""
        return tuple(dict.fromkeys(section.document for section in self.sections))

    @cached_property
    def refs(self) -> tuple[Ref, ...]:
        """All lines."""
        return tuple((s, n) for s, section in enumerate(self.sections) for n in range(len(section.lines)))

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """The tables."""
        found: dict[int, list[int]] = {}
        for number, section in enumerate(self.sections):
            if section.table is not None:
                found.setdefault(section.table, []).append(number)
        return tuple(self._grid(parts) for parts in found.values())

    def _grid(self, parts: Sequence[int]) -> Grid:
        first = self.sections[parts[0]]
        return Grid(
            name=first.heading or first.title,
            document=first.document,
            dated=first.dated,
            header=first.lines[0],
            headers=tuple((part, 0) for part in parts),
            rows=tuple(
                (cells, (part, n))
                for part in parts
                for n, cells in enumerate(self.sections[part].lines)
                if n > 0
            ),
        )

    def text(self, ref: Ref) -> str:
        """A line as it is read."""
        return self.sections[ref[0]].text(ref[1])

    def cited(self, ref: Ref) -> str:
        """What a line is cited as."""
        return f"{self.sections[ref[0]].name}, line {ref[1] + 1}"


def make_corpus(documents: Sequence[Document]) -> Corpus:
    """The corpus of all documents that are no copies of others.

    Names of sections are cut and numbered so that they differ; nothing else of a document is left out.
    """
    sections: list[Section] = []
    used: Counter[str] = Counter()
    table = 0
    for document in sorted(documents, key=lambda each: each.source):
        if document.duplicate_of:
            continue
        dated = _dated(document)
        for heading, lines, is_table in _pieces(document):
            for part in _parts(lines, is_table):
                sections.append(
                    Section(
                        name=_named(document, heading, used),
                        document=document.source,
                        title=document.title,
                        heading=heading,
                        dated=dated,
                        table=table if is_table else None,
                        lines=tuple(part),
                    )
                )
            table += is_table
    return Corpus(sections=tuple(sections))


def _dated(document: Document) -> str:
    if document.dated:
        return document.dated
    for match in DATE.finditer(document.text[:_HEAD]):
        found = parse_date(match[0])
        if found is not None:
            day: date = found[0]
            return day.isoformat()
    return ""


def _named(document: Document, heading: str, used: Counter[str]) -> str:
    name = _plain(f"{document.source}, {heading or document.title}".rstrip(", "))
    if len(name) > _NAME:
        name = name[: _NAME - 1].rstrip() + "…"
    used[name] += 1
    if used[name] == 1:
        return name
    numbered = f"{name} ({used[name]})"
    used[numbered] += 1
    return numbered


Lines = list[tuple[str, ...]]


def _pieces(document: Document) -> Iterator[tuple[str, Lines, bool]]:
    """``(heading, lines, is a table)`` of a document, in order; a table's first line is its header."""
    at_start = {table.place.start: table for table in document.tables if table.place.end > 0}
    placed: set[int] = set()
    heading, offset, in_table = "", 0, False
    paragraph: list[str] = []
    blocks: Lines = []

    def close() -> None:
        if paragraph:
            blocks.extend((piece,) for piece in _pieces_of(" ".join(paragraph)))
            paragraph.clear()

    for line in document.text.split("\n"):
        start, offset = offset, offset + len(line) + 1
        text = _plain(line)
        found = at_start.get(start)
        if found is not None and _usable(found):
            close()
            if blocks:
                yield heading, list(blocks), False
                blocks.clear()
            placed.add(start)
            yield heading or _plain(found.name), _table(found), True
            in_table = True
            continue
        if in_table and text.startswith("|"):
            continue
        in_table = False
        match = _HEADING.fullmatch(text)
        if match:
            close()
            if blocks:
                yield heading, list(blocks), False
                blocks.clear()
            heading = match[2].strip()
        elif not text:
            close()
        elif re.match(r"(?:[-*•]|\d+[.)])\s", text):
            close()
            paragraph.append(text)
        else:
            paragraph.append(text)
    close()
    if blocks:
        yield heading, list(blocks), False
    for table in document.tables:
        if table.place.start not in placed and _usable(table):
            yield _plain(table.name), _table(table), True


def _usable(table: Table) -> bool:
    return bool(table.rows) and any(table.header)


def _table(table: Table) -> Lines:
    return [tuple(_plain(cell)[:_CELL] for cell in row) for row in (table.header, *table.rows)]


def _pieces_of(paragraph: str) -> Iterator[str]:
    """A paragraph, cut between sentences where it is long."""
    while len(paragraph) > _LINE:
        ends = [m.end() for m in _SENTENCE.finditer(paragraph, 0, _LINE)]
        end = ends[-1] if ends else paragraph.rfind(" ", 0, _LINE) + 1 or _LINE
        yield paragraph[:end].strip()
        paragraph = paragraph[end:].strip()
    if paragraph:
        yield paragraph


def _parts(lines: Lines, is_table: bool) -> Iterator[Lines]:
    """The lines of a piece in portions that are opened at once."""
    if is_table:
        header, *rows = lines
        for start in range(0, len(rows), _ROWS):
            yield [header, *rows[start : start + _ROWS]]
        return
    part: Lines = []
    for line in lines:
        if part and (len(part) == _LINES or sum(len(p[0]) for p in part) + len(line[0]) > _CHARACTERS):
            yield part
            part = []
        part.append(line)
    if part:
        yield part


def _plain(text: str) -> str:
    """One line of printable characters: control characters of a document never reach a page."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
