"""Passages of the redacted documents for a task, by BM25."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envgen.retrieval import Index, words
from ingest.document import Document

MAX_CHARACTERS = 1200


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document as it is given to a model."""

    source: str
    text: str


def passages(documents: Sequence[Document]) -> list[Passage]:
    """The chunks of the documents under their headings; paragraphs where there are no chunks."""
    found: list[Passage] = []
    for document in documents:
        pieces = [f"{chunk.heading}\n{chunk.text}".strip() for chunk in document.chunks]
        if not pieces:
            pieces = [piece.strip() for piece in document.text.split("\n\n")]
        found.extend(Passage(document.source, piece[:MAX_CHARACTERS]) for piece in pieces if piece)
    return found


class Retriever:
    """Finds the passages nearest to a query."""

    def __init__(self, found: Sequence[Passage]) -> None:
        self.passages = list(found)
        self._index = Index([words(passage.text) for passage in self.passages])

    def find(self, query: str, k: int) -> list[Passage]:
        """The best ``k`` passages, best first; fewer when there are fewer or no word is shared."""
        return [self.passages[number] for number in self._index.find(query, k)]
