"""Finds known values in any spelling: one pass over a text's words, whatever stands between them.

A value is known by its folded compact form ("marialindqvist",
"de89370400440532013000"), so that spaces, dots, case, accents and invisible
characters make no difference; a form says which of these differences it bears.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from redact.names import fold
from redact.surrogates import overlay

TOKEN = re.compile(r"[^\W_]+")
_INVISIBLE = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_GAPS = {
    # What may stand between the words of a value.
    "name": re.compile(rf"[\s.,'’‐\-_+&{_INVISIBLE}]{{0,4}}"),
    "number": re.compile(rf"[ \-./()\u00a0{_INVISIBLE}]{{0,3}}"),
    "network": re.compile(rf"[.:\-{_INVISIBLE}]{{0,3}}"),
    "address": re.compile(rf"[\s.,;/|'’\-–#>*?·{_INVISIBLE}]{{0,16}}"),
}
_ANY_GAP = re.compile(rf"[\s.,;:/|'’\-–#>*?·()&+_‐{_INVISIBLE}]{{0,16}}")
MAX_WORDS = 24


@dataclass(frozen=True, slots=True)
class Form:
    """One way a known value is written.

    Attributes:
        kind: The type of span, or ``KEEP`` for what must stay as it is.
        pieces: The value's parts in order, each folded, with its stand-in (None: stays).
        gap: Which characters may stand between words: name, number, network or address.
        capital: Whether its words must begin with capitals.
        apart: Whether it must be written as several words.
        dotted: Whether the one-letter words must be followed by a dot or joined as in a user name.
        exact: When set, only this very spelling.
        style: How the stand-in is written: ``words`` piece by piece, ``overlay``
            its letters and digits in the places of the original's, ``literal`` as it is.
        id: The vault entry it belongs to.
    """

    kind: str
    pieces: tuple[tuple[str, str | None], ...]
    gap: str = "name"
    capital: bool = False
    apart: bool = False
    dotted: bool = False
    exact: str | None = None
    style: str = "words"
    id: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """``text[start:end]`` is ``form``; ``words`` are the words' ranges."""

    start: int
    end: int
    form: Form
    words: tuple[tuple[int, int], ...]


class Lexicon:
    """Known forms by compact key."""

    def __init__(self) -> None:
        self._forms: dict[str, list[Form]] = {}
        self._prefixes: set[str] = set()

    def add(self, form: Form) -> None:
        key = "".join(piece for piece, _ in form.pieces)
        if not key:
            return
        known = self._forms.setdefault(key, [])
        if form in known:
            return
        known.append(form)
        self._prefixes.update(key[:n] for n in range(1, len(key) + 1))

    def __contains__(self, key: str) -> bool:
        return key in self._forms

    def forms(self, key: str) -> list[Form]:
        return self._forms.get(key, [])

    def scan(self, text: str) -> list[Hit]:
        """All hits, overlaps included."""
        tokens = [(m.start(), m.end(), fold(m[0])) for m in TOKEN.finditer(text)]
        hits: list[Hit] = []
        for first, (start, _, _) in enumerate(tokens):
            key = ""
            for last in range(first, min(first + MAX_WORDS, len(tokens))):
                if last > first and not _ANY_GAP.fullmatch(text, tokens[last - 1][1], tokens[last][0]):
                    break
                key += tokens[last][2]
                if key not in self._prefixes:
                    break
                for form in self._forms.get(key, ()):
                    words = tuple((s, e) for s, e, _ in tokens[first : last + 1])
                    if _accepts(form, text, words):
                        hits.append(Hit(start, tokens[last][1], form, words))
        return hits


def _accepts(form: Form, text: str, words: tuple[tuple[int, int], ...]) -> bool:
    if form.exact is not None and text[words[0][0] : words[-1][1]] != form.exact:
        return False
    gap = _GAPS[form.gap]
    for (_, end), (start, _) in pairwise(words):
        if not gap.fullmatch(text, end, start):
            return False
    if form.apart and len(words) < 2:
        return False
    if form.gap == "number" and _inside_number(text, words):
        return False
    joined = len(words) > 1 and all(text[e:s] and text[e:s] in "._-+" for (_, e), (s, _) in pairwise(words))
    if form.capital and not joined and not _capitals(text, words):
        return False
    if form.dotted and not joined:
        for start, end in words:
            if end - start == 1 and not (
                text[start].isupper() and (text[end : end + 1] == "." or text[start] not in "AI")
            ):
                return False
    return True


def _capitals(text: str, words: tuple[tuple[int, int], ...]) -> bool:
    """Whether every word begins with a capital; what follows an invisible character is no new word."""
    for start, end in words:
        inside = start > 0 and text[start - 1] in _INVISIBLE
        if end - start > 1 and not inside and not (text[start].isupper() or text[start].isdigit()):
            return False
    return True


def _inside_number(text: str, words: tuple[tuple[int, int], ...]) -> bool:
    """Whether digits go on to the left or right, as in an amount or a longer number."""
    start, end = words[0][0], words[-1][1]
    return bool(re.search(r"\d[.,]$", text[max(0, start - 2) : start])) or bool(
        re.match(r"[.,]\d", text[end : end + 2])
    )


def longest(hits: Iterable[Hit], free: Iterable[tuple[int, int]] = ()) -> list[Hit]:
    """Hits that do not overlap each other or ``free`` ranges: the longest first, what stays before what "
    "goes."""
    kept: list[Hit] = []
    blocked = list(free)
    for hit in sorted(hits, key=lambda h: (h.start - h.end, h.form.kind != "KEEP", h.start)):
        if all(hit.end <= a or hit.start >= b for a, b in blocked):
            kept.append(hit)
            blocked.append((hit.start, hit.end))
    return sorted(kept, key=lambda h: h.start)


def render(hit: Hit, text: str) -> str:
    """The hit with its pieces' stand-ins in place, spelled like the original."""
    pieces = list(hit.form.pieces)
    if hit.form.style != "words":
        made = "".join(stand_in or folded for folded, stand_in in pieces)
        return made if hit.form.style == "literal" else overlay(text[hit.start : hit.end], made)
    out: list[str] = []
    cursor = hit.start
    p = 0
    w = 0
    while w < len(hit.words):
        start, end = hit.words[w]
        have = fold(text[start:end])
        want = pieces[p][0] if p < len(pieces) else have
        first_piece = p
        p += 1
        w += 1
        while len(have) != len(want):
            if len(have) < len(want) and w < len(hit.words):
                have += fold(text[hit.words[w][0] : hit.words[w][1]])
                end = hit.words[w][1]
                w += 1
            elif p < len(pieces):
                want += pieces[p][0]
                p += 1
            else:
                break
        group = pieces[first_piece:p]
        out.append(text[cursor:start])
        shown = text[start:end]
        out.append(
            "".join(_spelled(made, shown, folded, len(group) > 1) for folded, made in group)
            if any(m for _, m in group)
            else shown
        )
        cursor = end
    out.append(text[cursor : hit.end])
    return "".join(out)


def _spelled(made: str | None, shown: str, folded: str, joined: bool) -> str:
    if made is None:
        return folded if joined else shown
    if not any(c.isalpha() for c in made):
        return made
    letters = [c for c in shown if c.isalpha()]
    if letters and all(c.islower() for c in letters):
        return made.lower()
    if len(letters) > 1 and all(c.isupper() for c in letters):
        return made.upper()
    return made
