"""Walks every string of documents, with what is known about its place; pages are in :mod:`redact.pages`.

The same walk serves both passes: in the first the visitor only looks, in the
second it answers with the redacted string. Where a string repeats others (a
row's name is its cells' texts, a chunk is a piece of its document) it is
derived from them, so that they agree afterwards too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Protocol

from ingest.document import Chunk, Document, Place, Table
from redact.labels import kind_of


@dataclass(frozen=True, slots=True)
class Context:
    """Where a string stands.

    Attributes:
        place: ``prose`` (running text), ``cell``, ``field``, ``option``, ``ui``
            (headings, links), ``control`` (buttons, column headers, labels),
            ``url``, ``name`` (file names and ids), ``identifier`` (ids within a page),
            ``joined`` (neighbouring texts run together).
        label: What the label beside it says it is (see :mod:`redact.labels`).
    """

    place: str
    label: str | None = None


# Characters of one string. What is longer is no page and no document: it is left out, not passed through.
MAX_STRING = 10_000_000

PROSE = Context("prose")
UI = Context("ui")
CONTROL = Context("control")
NAME = Context("name")

Edit = tuple[int, int, str]


class Visitor(Protocol):
    """Is shown every string; answers with what is to stand in its place."""

    def text(self, text: str, context: Context) -> str:
        """The string to write instead."""
        ...

    def edits(self, text: str, context: Context) -> list[Edit]:
        """The replacements in a text, in order and apart."""
        ...

    def within(self, texts: Iterable[str]) -> AbstractContextManager[None]:
        """While it is open, the strings visited belong together with ``texts``: a row, a record, a page."""
        ...


def map_document(document: Document, visitor: Visitor) -> Document:
    """The document with every string visited; offsets follow the text."""
    edits = list(_text_edits(document.text, visitor))
    text, moved = apply(document.text, edits)
    return document.model_copy(
        update={
            "id": visitor.text(document.id, NAME),
            "source": visitor.text(document.source, NAME),
            "duplicate_of": document.duplicate_of and visitor.text(document.duplicate_of, NAME),
            "title": visitor.text(document.title, UI),
            "text": text,
            "tables": tuple(_map_table(table, visitor, moved) for table in document.tables),
            "chunks": tuple(
                _map_chunk(chunk, document.text, text, visitor, moved) for chunk in document.chunks
            ),
            "warnings": tuple(visitor.text(w, PROSE) for w in document.warnings),
        }
    )


def _text_edits(text: str, visitor: Visitor) -> Iterator[Edit]:
    """The replacements in a Markdown text; the cells of a table's line belong together."""
    for _, group in groupby(regions(text), key=lambda r: r[3]):
        parts = list(group)
        with visitor.within([text[start:end] for start, end, _, _ in parts] if len(parts) > 1 else ()):
            for start, end, context, _ in parts:
                for a, b, new in visitor.edits(text[start:end], context):
                    yield start + a, start + b, new


class Moved:
    """Where an offset of the old text lies in the new one; inside a replacement: at its end."""

    def __init__(self, edits: list[Edit]) -> None:
        self._edits = edits

    def __call__(self, offset: int) -> int:
        shift = 0
        for start, end, new in self._edits:
            if offset <= start:
                break
            if offset < end:
                return start + shift + len(new)
            shift += len(new) - (end - start)
        return offset + shift


def apply(text: str, edits: list[Edit]) -> tuple[str, Moved]:
    """The text with its edits made, and the map of offsets."""
    out: list[str] = []
    cursor = 0
    for start, end, new in edits:
        out.append(text[cursor:start])
        out.append(new)
        cursor = end
    out.append(text[cursor:])
    return "".join(out), Moved(edits)


def _place(place: Place, visitor: Visitor, moved: Moved) -> Place:
    sheet = None if place.sheet is None else visitor.text(place.sheet, UI)
    return place.model_copy(update={"sheet": sheet, "start": moved(place.start), "end": moved(place.end)})


def _map_table(table: Table, visitor: Visitor, moved: Moved) -> Table:
    labels = [kind_of(header) for header in table.header]
    side = _side_labels(table)
    rows: list[tuple[str, ...]] = []
    # A table of fields and values is one record.
    with visitor.within([cell for row in table.rows for cell in row] if side else ()):
        for r, row in enumerate(table.rows):
            with visitor.within(() if side else row):
                rows.append(
                    tuple(
                        visitor.text(cell, Context("cell", labels[i] or (side.get(r) if i else None)))
                        for i, cell in enumerate(row)
                    )
                )
    return Table(
        name=visitor.text(table.name, UI),
        header=tuple(visitor.text(h, CONTROL) for h in table.header),
        rows=tuple(rows),
        place=_place(table.place, visitor, moved),
    )


def _side_labels(table: Table) -> dict[int, str | None]:
    """Labels from the first column of a two-column table of fields and values."""
    if len(table.header) != 2 or any(kind_of(h) not in (None, "FIXED") for h in table.header[1:]):
        return {}
    kinds = {r: kind_of(row[0]) for r, row in enumerate(table.rows)}
    return kinds if sum(k is not None for k in kinds.values()) * 2 >= len(kinds) else {}


def _map_chunk(chunk: Chunk, old: str, new: str, visitor: Visitor, moved: Moved) -> Chunk:
    start, end = chunk.place.start, chunk.place.end
    place = _place(chunk.place, visitor, moved)
    piece = end > start and old[start:end] == chunk.text
    if piece:
        text = new[place.start : place.end]
    else:
        text = apply(chunk.text, list(_text_edits(chunk.text, visitor)))[0]
    return Chunk(text=text, heading=visitor.text(chunk.heading, UI), place=place)


_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*")


def regions(text: str) -> Iterator[tuple[int, int, Context, int]]:
    """A Markdown text in order as running text and, cell by cell, tables; last: where its line begins."""
    prose = 0
    headers: list[str] = []
    inside = False
    cursor = 0
    for line in text.splitlines(keepends=True):
        start, cursor = cursor, cursor + len(line)
        if not _ROW.fullmatch(line.rstrip("\r\n")):
            inside = False
            continue
        cells = list(_cells(line, start))
        values = [text[a:b] for a, b in cells]
        if not inside:
            headers, inside = values, True
            first = True
        else:
            first = False
        if prose < start:
            yield prose, start, PROSE, prose
        for position, (a, b) in enumerate(cells):
            if a < b and not re.fullmatch(r":?-+:?", text[a:b]):
                label = kind_of(headers[position]) if position < len(headers) else None
                yield a, b, CONTROL if first else Context("cell", label), start
        prose = cursor
    if prose < len(text):
        yield prose, len(text), PROSE, prose


def _cells(line: str, offset: int) -> Iterator[tuple[int, int]]:
    """Ranges of the cells' texts of one table line, without the blanks around them."""
    bars = [m.start() for m in re.finditer(r"(?<!\\)\|", line)]
    for left, right in pairwise(bars):
        cell = line[left + 1 : right]
        lead = len(cell) - len(cell.lstrip())
        body = cell.strip()
        yield offset + left + 1 + lead, offset + left + 1 + lead + len(body)
