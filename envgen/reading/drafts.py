"""Questions while they are made: their lines, how to find these, and which split they go to."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from envgen.generators import SPLITS, belongs
from envgen.reading.corpus import Corpus, Ref
from envgen.reading.model import Kind, Other, Question
from envgen.reading.page import FOUND
from envgen.reading.same import same
from envgen.session import Split

_QUERY_WORDS = 12
_OTHERS = 4


@dataclass
class Drafts:
    """Collects questions; what cannot be asked is counted with the reason.

    Attributes:
        not_asked: Lines that no question may show or rest on.
    """

    corpus: Corpus
    seed: int = 0
    not_asked: frozenset[Ref] = frozenset()
    questions: list[Question] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    _texts: set[str] = field(default_factory=set)

    def rng(self, *about: object) -> random.Random:
        """Chance that depends on the seed and on what it is for."""
        return random.Random(f"{self.seed}/{'/'.join(map(str, about))}")

    def add(
        self,
        kind: Kind,
        text: str,
        answer: str,
        needed: Sequence[Sequence[Ref]],
        *,
        about: str,
        group: str,
        queries: Sequence[Sequence[str]],
        items: Sequence[str] = (),
        context: str = "",
        allowed: Iterable[Ref] = (),
        rows: Iterable[Other] = (),
        stale: Other | None = None,
    ) -> None:
        """Add a question unless it is there already, or no search finds what it needs.

        Args:
            about: The record, sentence or case: all questions about one are of one split.
            queries: For each group of ``needed`` searches to try.
        """
        groups = [tuple(ref for ref in refs if ref not in self.not_asked) for refs in needed]
        if not all(groups):
            self.dropped["rests on a line that speaks to its reader"] += 1
            return
        if text in self._texts:
            return
        found = [self._query(tried, refs) for tried, refs in zip(queries, groups, strict=True)]
        if any(query is None for query in found):
            self.dropped["no search finds it"] += 1
            return
        self._texts.add(text)
        others = [other for other in rows if not same(other.value, answer)]
        self.questions.append(
            Question(
                id=f"q{zlib.crc32(f'{kind}/{text}'.encode()):08x}",
                kind=kind,
                split=split_of(about),
                text=text,
                answer=answer,
                items=tuple(items),
                context=context,
                needed=tuple(groups),
                allowed=tuple(dict.fromkeys(allowed)),
                queries=tuple(query for query in found if query is not None),
                rows=tuple(others[:_OTHERS]),
                stale=stale,
                group=group,
            )
        )

    def _query(self, tried: Sequence[str], refs: Sequence[Ref]) -> str | None:
        """The first search that shows the section of one of the lines."""
        wanted = {section for section, _ in refs}
        for text in tried:
            query = " ".join(text.split()[:_QUERY_WORDS])
            if wanted & set(self.corpus.index.find(query, FOUND)):
                return query
        return None


def split_of(about: str) -> Split:
    """The split of everything about one record, sentence or case."""
    return next(split for split in SPLITS if belongs({"about": about}, split))
