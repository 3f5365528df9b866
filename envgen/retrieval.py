"""Finding texts by words (Robertson's BM25, in the form of Lucene)."""

from __future__ import annotations

import re
from collections.abc import Sequence


def words(text: str) -> list[str]:
    """The words of a text, lower case, in order."""
    return re.findall(r"\w+", text.lower())


class Index:
    """An index of texts that are given as words."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self._size = len(texts)
        self._index = None
        if any(texts):
            import bm25s

            self._index = bm25s.BM25()
            self._index.index([list(text) for text in texts], show_progress=False)

    def find(self, query: str, k: int) -> list[int]:
        """Numbers of the best ``k`` texts, best first; fewer when there are fewer or no word is shared."""
        asked = words(query)
        if self._index is None or not asked:
            return []
        places, scores = self._index.retrieve([asked], k=min(k, self._size), show_progress=False)
        return [int(place) for place, score in zip(places[0], scores[0], strict=True) if score > 0]
