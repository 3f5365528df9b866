"""The audit's second reading for people: whole names in the output that no stand-in is part of.

Other settings than the first pass: each line by itself instead of paragraphs and cells, capitals
read as ordinary writing, nothing known of the corpus. Only readings that the way of writing
gives away count (a title, a mail header, a known first name with a surname in a sentence): what a
statistical model alone takes for a name is no reason to hold back a release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from redact import people
from redact.names import PARTICLES, SUFFIXES, TITLES, fold

# Readings that say enough wherever they stand, and those that need a sentence around them.
_ANYWHERE = frozenset({"title", "mail header"})
_IN_SENTENCES = frozenset({"name list", "last, first", "announced"})
_SENTENCE = re.compile(r"(?:\b[^\W\d_]+\b[^\w\n]+){5,}")
_WORD = re.compile(r"[^\W\d_]{2,}")


def untouched(texts: Iterable[str], spared: set[str]) -> Iterator[int]:
    """Index of each text that holds a whole name made of no spared word.

    Args:
        spared: Folded words of stand-ins, and of what is left as it is.
    """
    known: dict[str, bool] = {}
    for index, text in enumerate(texts):
        for line in text.splitlines():
            if line not in known:
                known[line] = any(_names(line, spared))
            if known[line]:
                yield index
                break


def _names(line: str, spared: set[str]) -> Iterator[bool]:
    read = line.title() if line.isupper() else line
    sentence = _SENTENCE.search(read) is not None and any(map(str.islower, line))
    for span in people.find(read):
        if span.strength < 2 or not (span.source in _ANYWHERE or (sentence and span.source in _IN_SENTENCES)):
            continue
        found = [fold(w) for w in _WORD.findall(read[span.start : span.end])]
        found = [w for w in found if w not in TITLES | SUFFIXES | PARTICLES]
        whole = len(found) > 1 or (found and span.source == "title")
        yield bool(whole) and not spared & {*found}
