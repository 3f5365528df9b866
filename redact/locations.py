"""Recogniser of places: countries, towns of a gazetteer, and what words announce as a place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from redact.addresses import COUNTRIES, COUNTRY_NAMES
from redact.names import (
    ORG_WORDS,
    PARTICLES,
    country_names,
    english,
    fold,
    known_family,
    known_given,
    ordinary,
    places,
    words,
)
from redact.people import NAME_WORD
from redact.spans import Span

_SMALL = (
    r"(?:de|la|le|del|di|do|da|dos|das|am|an der|an|im|ob|bei|nad|pod|u|v|na|sur|upon|of|and|y|les|lès|el|al)"
)
_PLACE = (
    rf"(?:(?:the|la|le|el|los|las|san|den|de|St\.?|Saint|Santa) )?{NAME_WORD}"
    rf"(?:(?: {_SMALL}(?: la)?)? {NAME_WORD}){{0,4}}"
)
_WORDS_BEFORE = (
    r"(?:live[sd]? in|living in|mov(?:ed|ing) (?:here |there )?(?:from|to|in)|(?:is |am |'m |was )?"
    r"(?:originally )?from|born in|grew up in|raised in|based in|located in|return(?:ed)? to|"
    r"arrived? (?:at|in)|"
    r"(?:home ?town|home city|city|town|village|state|country)(?: of)?:?|I(?:'m| am) in|"
    r"travel(?:led|ed|s|ling|ing)? to|flew to|trip to|visit(?:ed|ing)?|offices? in|branch in|where:)"
)
_ANNOUNCED = re.compile(rf"\b(?i:{_WORDS_BEFORE}) (?P<v>{_PLACE})(?!\w)")
_ANNOUNCED_SMALL = re.compile(
    rf"\b{_WORDS_BEFORE} (?P<v>[^\W\d_]{{3,}}(?:[ -][^\W\d_]{{2,}}){{0,3}}?)(?=[.,?!;]|$| country club| and )"
)
_IN = re.compile(rf"\b(?:[Ii]n|[Nn]ear|[Ff]rom|[Oo]utside|[Vv]ia) (?P<v>{_PLACE})(?![\w'’])")
_RUN = re.compile(
    rf"(?<![\w@./-])(?:St\.? )?{NAME_WORD}(?:(?: {_SMALL}){{0,2}}[ ]{NAME_WORD}){{0,4}}(?![\w@])"
)
_COUNTRY = re.compile(rf"(?<![\w-])(?:{COUNTRY_NAMES})(?![\w-])")
_COUNTRY_SMALL = re.compile(rf"(?<![\w-])(?:{COUNTRY_NAMES})(?![\w-])", re.IGNORECASE)
_REPUBLIC = (
    r"(?:(?:(?i:people's|democratic|islamic|federal|united|socialist) ){0,3}"
    r"(?i:republic|kingdom|state)s? of (?:the )?)"
)
# "She is from Lisbon", but as often "she is from Acme".
EMPLOYER = re.compile(r"(?:\bis|['’]s|\bwas|\bare|\bam|['’]m) from $")
# A building or a place of work is no part of the town's name before it.
_FACILITY = re.compile(
    r" (?:Country Club|Airport|Station|Hotel|University|Hospital|Park|Center|Centre|Mall|Stadium|Museum|"
    r"Church|School|College|Inn|Office|Branch)(?: .*)?$"
)
_WORD = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*")


def nobodys_place(shown: str) -> bool:
    """Whether what a model took for a place is English words alone, and neither a town nor a country."""
    return ordinary(shown) and fold(shown) not in places() | country_names() | COUNTRIES


def find(text: str) -> Iterator[Span]:
    """Places in running text or in one field."""
    cased = any(c.isupper() for c in text)
    for match in (_COUNTRY if cased else _COUNTRY_SMALL).finditer(text):
        yield Span(*match.span(), "LOCATION", 0.7, "country")
    yield from _countries(text, cased=cased)
    if not cased:
        for match in _ANNOUNCED_SMALL.finditer(text):
            employer = EMPLOYER.search(text[: match.start("v")][-12:])
            known = fold(match["v"]) in places() | country_names()
            if not ordinary(match["v"]) and (known or not employer):
                yield Span(*match.span("v"), "LOCATION", 0.5, "announced place")
        return
    for match in _ANNOUNCED.finditer(text):
        end = match.end("v") - len(found[0]) if (found := _FACILITY.search(match["v"])) else match.end("v")
        shown = text[match.start("v") : end]
        if EMPLOYER.search(text[: match.start("v")][-12:]) and fold(shown) not in places() | country_names():
            continue
        short = shown.isupper() and len(shown) < 5  # "from HR"
        if fold(shown) not in words() and fold(shown) not in COUNTRIES and not _firm(shown) and not short:
            yield Span(match.start("v"), end, "LOCATION", 0.65, "announced place")
    for match in _IN.finditer(text):
        shown = match["v"]
        known = fold(shown) in places()
        if not known and EMPLOYER.search(text[: match.start("v")][-12:]):
            continue
        short = shown.isupper() and len(shown) < 5
        if known or not (ordinary(shown) or _firm(shown) or short or known_given(shown.split(" ")[0])):
            yield Span(*match.span("v"), "LOCATION", 0.45, "after a preposition")
    for match in _RUN.finditer(text):
        yield from _towns(text, match)


def _firm(shown: str) -> bool:
    return fold(shown.split(" ")[-1]).rstrip(".") in ORG_WORDS


def _countries(text: str, *, cased: bool) -> Iterator[Span]:
    """Countries of the gazetteer, with what they call themselves before the name."""
    found = list(_WORD.finditer(text))
    folded = [fold(m[0]) for m in found]
    index = 0
    while index < len(found):
        for count in _lengths("countries").get(folded[index], ()):
            last = min(index + count, len(found)) - 1
            start, end = found[index].start(), found[last].end()
            capital = not cased or found[index][0][0].isupper()
            named = " ".join(folded[index : index + count]) in country_names()
            if capital and named and "\n" not in text[start:end]:
                before = re.search(rf"{_REPUBLIC}$", text[max(0, start - 40) : start])
                yield Span(start - len(before[0]) if before else start, end, "LOCATION", 0.7, "country")
                index = last
                break
        index += 1


def _towns(text: str, run: re.Match[str]) -> Iterator[Span]:
    """Towns of the gazetteer within a run of capitalised words: the longest first."""
    found = list(re.finditer(r"[^\s-]+", run[0]))
    index = 0
    while index < len(found):
        start = run.start() + found[index].start()
        for count in _lengths("towns").get(fold(found[index][0]), ()):
            if index + count > len(found):
                continue
            end = run.start() + found[index + count - 1].end()
            name = fold(text[start:end])
            if name in places() and (not ordinary(name) if count > 1 else _telling(name)):
                yield Span(start, end, "LOCATION", 0.5, "town")
                index += count - 1
                break
        index += 1


@cache
def _lengths(kind: str) -> dict[str, tuple[int, ...]]:
    """First word of a name -> how many words such names have, the longest first."""
    found: dict[str, set[int]] = {}
    for name in country_names() if kind == "countries" else places():
        words_of = re.findall(r"[^\s-]+", name)
        found.setdefault(words_of[0], set()).add(len(words_of))
    return {first: tuple(sorted(counts, reverse=True)) for first, counts in found.items()}


def _telling(name: str) -> bool:
    """Whether one word alone is a town and hardly anything else."""
    usual = name in english() or name in words() or name in PARTICLES
    return len(name) > 4 and not usual and not known_given(name) and not known_family(name)
