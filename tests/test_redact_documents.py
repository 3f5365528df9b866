"""The walk over a document's strings: what names another document is redacted as that document's name is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from ingest.document import Document
from redact.corpus import Context, Edit, map_document


class Shouting:
    """Answers with capitals and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    def text(self, text: str, context: Context) -> str:
        self.shown.append((text, context.place))
        return text.upper()

    def edits(self, text: str, context: Context) -> list[Edit]:
        return []

    def within(self, texts: Iterable[str]) -> AbstractContextManager[None]:
        return nullcontext()


def test_a_duplicate_still_names_its_original() -> None:
    visitor = Shouting()
    first = Document(id="cv-ann-lee-1", source="cv ann lee.txt", media_type="text/plain", text="x")
    copy = first.model_copy(update={"id": "cv-ann-lee-2", "duplicate_of": first.id, "language": "en"})
    made = [map_document(document, visitor) for document in (first, copy)]
    assert made[1].duplicate_of == made[0].id == "CV-ANN-LEE-1"
    assert ("cv-ann-lee-1", "name") in visitor.shown
    assert made[0].duplicate_of is None and made[1].language == "en"
