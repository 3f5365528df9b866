"""Texts in scripts that the language model does not read: names in them would pass unseen."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from redact.corpus import Context

Scripts = Literal["auto", "stop", "leave", "drop"]
# Up to this share of the texts, such lines are left out without asking.
FEW = 0.05
# First words of Unicode's names of letters.
_FOREIGN = frozenset(
    [
        "ARABIC", "ARMENIAN", "BENGALI", "CJK", "CYRILLIC", "DEVANAGARI", "ETHIOPIC", "GEORGIAN", "GREEK",
        "GUJARATI", "GURMUKHI", "HANGUL", "HEBREW", "HIRAGANA", "KANNADA", "KATAKANA", "KHMER", "LAO",
        "MALAYALAM", "MONGOLIAN", "MYANMAR", "SINHALA", "SYRIAC", "TAMIL", "TELUGU", "THAI", "TIBETAN",
    ]
)  # fmt: skip
# Fewer letters are a sign or a unit, or Latin words in disguise.
_FEWEST = 6
_PLACES = frozenset({"prose", "cell", "field"})
_LINE = re.compile(r"[^\n]+")
# Addresses and codes are Latin in every language.
_CODE = re.compile(r"[@/\d]")


def passages(text: str, context: Context) -> Iterator[tuple[int, int, str]]:
    """Start, end and script of each line that is for the most part in a foreign script.

    Only where data stands; a value whose label says what it is needs no language model.
    """
    if text.isascii() or context.place not in _PLACES or context.label is not None:
        return
    for match in _LINE.finditer(text):
        if match[0].isascii():
            continue
        letters = [c for word in match[0].split() if not _CODE.search(word) for c in word if c.isalpha()]
        found = Counter(name for c in letters if not c.isascii() and (name := _script(c)) in _FOREIGN)
        if (count := found.total()) >= _FEWEST and 2 * count > len(letters):
            yield match.start(), match.end(), found.most_common(1)[0][0].capitalize()


def _script(char: str) -> str:
    return unicodedata.name(char, "").partition(" ")[0]


def unread(seen: Mapping[str, Iterable[Context]]) -> Counter[str]:
    """How many of these strings hold such a line, by script."""
    counts: Counter[str] = Counter()
    for text, contexts in seen.items():
        counts.update({script for context in contexts for _, _, script in passages(text, context)})
    return counts
