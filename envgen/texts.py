"""Texts with holes: what several instances of a label have in common, and what varies.

A pattern is an alternation ``(literal, slot, literal, slot, …, literal)``: places at even
positions are literal text, places at odd positions are slot ids. A constant is the
1-tuple of its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

Pattern = tuple[str, ...]

_SEPARATORS = frozenset(":|·→•=;")
_ARROWS = re.compile("[▲▼△▽▴▾▵▿▸▹↑↓⇑⇓⇅⇵↕⬆⬇⌃⌄\ufe0e\ufe0f]")
_ABOUT_ORDER = re.compile(
    r"activate|asc|ascending|click|column|currently|desc|descending|in|invert|no|none|not|order|remove|sort"
    r"|sortable|sorted|sorting|to",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\s+|\w+(?:[.,:/@+&'’-]\w+)*|[^\w\s]")


def tokens(text: str) -> list[str]:
    """Words (with inner punctuation, as in ``INV-4821`` or ``4,120.00``), punctuation, blanks."""
    return _TOKEN.findall(text)


def without_order(text: str) -> str:
    """A label without what it says of the order of rows: ``Amount ▲``, ``Amount: activate to sort``."""
    words = _ARROWS.sub("", text).split()
    while len(words) > 1 and _ABOUT_ORDER.fullmatch(words[-1].strip("():,.")):
        words.pop()
    return " ".join(words).rstrip(":,(").strip()


def is_constant(pattern: Pattern) -> bool:
    return len(pattern) == 1


def slots_of(pattern: Pattern) -> tuple[str, ...]:
    return pattern[1::2]


def fill(pattern: Pattern, values: Mapping[str, str]) -> str:
    """The text of a pattern with its slots filled.

    A slot without a value is left empty, without a blank in its place, as a browser shows it.
    """
    if len(pattern) == 1:
        return pattern[0]
    said = "".join(part if index % 2 == 0 else values.get(part, "") for index, part in enumerate(pattern))
    return said if all(values.get(slot) for slot in pattern[1::2]) else " ".join(said.split())


@lru_cache(maxsize=4096)
def _compiled(pattern: Pattern) -> re.Pattern[str]:
    parts = [re.escape(part) if index % 2 == 0 else "(.*?)" for index, part in enumerate(pattern)]
    return re.compile("".join(parts), re.DOTALL)


def extract(pattern: Pattern, text: str) -> dict[str, str] | None:
    """The slots' values in a text, or None when the text does not fit the pattern."""
    if len(pattern) == 1:
        return {} if text == pattern[0] else None
    if len(pattern) == 3 and not pattern[0] and not pattern[2]:
        return {pattern[1]: text}
    match = _compiled(pattern).fullmatch(text)
    return None if match is None else dict(zip(pattern[1::2], match.groups(), strict=True))


def induce(texts: Iterable[str], slot: str) -> Pattern:
    """The most specific pattern that fits all texts.

    Words common to all texts, in the same order, stay literal when they carry letters;
    everything else becomes slots named ``slot``, ``slot.2``, ``slot.3``, …
    """
    distinct = sorted(set(texts))
    if len(distinct) == 1:
        return (distinct[0],)
    common = tokens(distinct[0])
    for text in distinct[1:]:
        common = _longest_common(common, tokens(text))
        if not common:
            break
    words = [token for token in common if any(c.isalpha() for c in token)]
    if not (words and _carries(common, distinct)) and not _separated(common, distinct):
        return ("", slot, "")
    gaps = [False] * (len(common) + 1)
    for text in distinct:
        gaps = [a or b for a, b in zip(gaps, _gaps(common, tokens(text)), strict=True)]
    pattern = _alternate(common, gaps, slot)
    if all(extract(pattern, text) is not None for text in distinct):
        return pattern
    return ("", slot, "")


def _carries(common: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether the common words are a frame, not words that free texts happen to share."""
    kept = sum(len(token) for token in common if not token.isspace())
    shortest = min(len(text) for text in texts)
    framed = all(text.startswith(common[0]) for text in texts) or all(
        text.endswith(common[-1]) for text in texts
    )
    return framed or kept * 2 >= shortest


def _separated(common: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether one mark separates two values in all texts, as in ``C-12: Approved``."""
    marks = [token for token in common if not token.isspace()]
    return len(marks) == 1 and marks[0] in _SEPARATORS and all(text.count(marks[0]) == 1 for text in texts)


def _longest_common(a: Sequence[str], b: Sequence[str]) -> list[str]:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            table[i][j] = table[i + 1][j + 1] + 1 if a[i] == b[j] else max(table[i + 1][j], table[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            found.append(a[i])
            i, j = i + 1, j + 1
        elif table[i + 1][j] >= table[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _gaps(common: Sequence[str], parts: Sequence[str]) -> list[bool]:
    """Before which of the common tokens (and after the last) one text has something of its own."""
    gaps = [False] * (len(common) + 1)
    position = 0
    for index, token in enumerate(common):
        while parts[position] != token:
            gaps[index] = True
            position += 1
        position += 1
    gaps[len(common)] = position < len(parts)
    return gaps


def _alternate(common: Sequence[str], gaps: Sequence[bool], slot: str) -> Pattern:
    out: list[str] = []
    literal, count = "", 0
    pending = False
    for index in range(len(common) + 1):
        if gaps[index]:
            pending = True
        if index == len(common):
            break
        token = common[index]
        if pending and token.isspace() and any(gaps[index + 1 :][:1]):
            # Blanks between two gaps belong to what varies: a name of two words is one value.
            continue
        if pending:
            count += 1
            out += [literal, slot if count == 1 else f"{slot}.{count}"]
            literal, pending = "", False
        literal += token
    if pending:
        count += 1
        out += [literal, slot if count == 1 else f"{slot}.{count}"]
        literal = ""
    return (*out, literal)
