"""Normalised documents: text with structure and provenance."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Place(BaseModel):
    """Where in the source a piece stands; ``start``/``end`` are character offsets in the document's text."""

    model_config = ConfigDict(frozen=True)

    page: int | None = None
    sheet: str | None = None
    slide: int | None = None
    start: int = 0
    end: int = 0


class Table(BaseModel):
    """A table with its header; every row has as many cells as the header."""

    model_config = ConfigDict(frozen=True)

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    place: Place = Place()


class Chunk(BaseModel):
    """A passage for retrieval; ``heading`` is the path of headings above it."""

    model_config = ConfigDict(frozen=True)

    text: str
    heading: str = ""
    place: Place = Place()


class Document(BaseModel):
    """One source file (or one attachment of it) as text, tables and chunks.

    Attributes:
        source: Path relative to what was ingested; an attachment is ``file!name``.
        text: The whole text in Markdown.
        dated: ISO date the document says it is of, when known (a mail's date).
        language: ISO 639-1 code of the language most of it is in; None when that cannot be told.
        duplicate_of: Id of an earlier document that says nearly the same.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    source: str
    media_type: str
    title: str = ""
    dated: str | None = None
    language: str | None = None
    duplicate_of: str | None = None
    text: str
    tables: tuple[Table, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    warnings: tuple[str, ...] = ()
