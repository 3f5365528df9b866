"""Passages of the redacted documents for a task, by BM25."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    """Finds the passages nearest to a query (Robertson's BM25, in the form of Lucene)."""

    def __init__(self, found: Sequence[Passage]) -> None:
        self.passages = list(found)
        self._index = None
        if self.passages:
            import bm25s

            self._index = bm25s.BM25()
            self._index.index([_words(p.text) for p in self.passages], show_progress=False)

    def find(self, query: str, k: int) -> list[Passage]:
        """The best ``k`` passages, best first; fewer when there are fewer or no word is shared."""
        words = _words(query)
        if self._index is None or not words:
            return []
        k = min(k, len(self.passages))
        places, scores = self._index.retrieve([words], k=k, show_progress=False)
        return [
            self.passages[int(place)] for place, score in zip(places[0], scores[0], strict=True) if score > 0
        ]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
