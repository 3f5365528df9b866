"""Normalised documents: text with structure and provenance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pandas import DataFrame

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?")


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

    def frame(self) -> DataFrame:
        """The table for pandas: columns by names that differ; a column of plain numbers is numeric.

        An empty cell is missing. Numbers with leading zeros are names, and stay text.
        """
        import pandas as pd

        names: list[str] = []
        for at, head in enumerate(self.header, 1):
            name, number = head or f"Column {at}", 1
            while name in names:
                number += 1
                name = f"{head or f'Column {at}'} ({number})"
            names.append(name)
        made = pd.DataFrame(list(self.rows), columns=names, dtype=object).replace("", None)
        for name in names:
            cells = [cell for cell in made[name] if cell is not None]
            if cells and all(_NUMBER.fullmatch(cell) for cell in cells):
                made[name] = pd.to_numeric(made[name])
        return made


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
