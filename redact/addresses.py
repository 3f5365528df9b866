"""Postal addresses in American and European shapes.

An address grows from an anchor (a street with a number, a P.O. box, what
follows "my address is") to both sides over units, places, states and postcodes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from redact.names import fold, ordinary
from redact.spans import Span

_UPPER = "".join(chr(c) for c in range(0x41, 0x530) if chr(c).isupper())
_DATA = json.loads((Path(__file__).parent / "data" / "addresses.json").read_text(encoding="utf-8"))
_COUNTRIES, _STATES, _SUFFIX, _COMPOUND, _PREFIX = (
    "|".join(_DATA[name]) for name in ("countries", "states", "streets", "compounds", "prefixes")
)
# The rest of the street suffixes of USPS Publication 28: everyday words, so they need more around them.
_RARE_SUFFIX = "|".join(_DATA["rare_streets"])
# Streets of which the name alone, without a number, is taken for a place.
_PLAIN_SUFFIX = "street|road|avenue|lane|drive|boulevard|st|rd|ave|blvd|court|crescent|terrace|parkway"
_SMALL_WORDS = _DATA["small_words"]
COUNTRY_NAMES = _COUNTRIES
COUNTRIES = frozenset(fold(name.replace("\\", "")) for name in _COUNTRIES.split("|"))
_UNIT = (
    r"(?:apt|apartment|suite|ste|unit|flat|floor|fl|room|rm|bldg|building|block|tower|level|p\.?o\.? ?box|"
    r"wohnung|etage|stiege|top|bus|bte|piso|puerta|interno|int|lokal|m\.)\.?[ ]?#?[\w-]{1,6}|#[ ]?\w{1,6}|"
    r"\d{1,3}(?:st|nd|rd|th|\.) (?:floor|og|stock)|\d+º ?\w{0,4}"
)
_ZIP = (
    r"\d{5}-\d{4}|\d{5}(?:-\d{3})?|[A-Za-z]{1,2}\d[A-Za-z\d]?[ ]?\d[A-Za-z]{2}|[A-Za-z]\d[A-Za-z][ "
    r"-]?\d[A-Za-z]\d|"
    r"\d{4}[ ]?[A-Z]{2}|(?:[A-Z]{1,2}[- ])?\d{4,6}|\d{3}[ -]\d{2,4}|\d{2}-\d{3}"
)
_SEP = r"[ \t]{0,3}(?:[,;.·|/–-][ \t]{0,3})?(?:\r?\n[ \t>*|?]{0,12}){0,3}[,;]?[ \t]{0,8}"


def _cases(words: str, *, small: bool = True) -> str:
    """Each word as it may be written: Street, STREET and, if ``small``, street."""
    return "|".join(f"{w.capitalize()}|{w.upper()}" + (f"|{w}" if small else "") for w in words.split("|"))


class _Shapes:
    """The expressions, for text with capitals or for text typed without."""

    def __init__(self, *, capitals: bool) -> None:
        flags = 0 if capitals else re.IGNORECASE
        letter = rf"[{_UPPER}]" if capitals else r"[^\W\d_]"
        word = rf"(?:{letter}[^\W\d_]*(?:['’.-][^\W\d_]+)*\.?|\d{{1,3}}(?:st|nd|rd|th))"
        small = rf"(?:(?:{'|'.join(_SMALL_WORDS)})[ ]|[dlD]['’])"
        number = r"\d{1,5}(?:[ ]?[A-Za-z](?![\w]))?(?:[-/–]\d{1,4}[A-Za-z]?)?"
        suffix = _cases(_SUFFIX)
        direction = r"(?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\.?[ ])?"
        name = rf"(?:{small}{{0,2}}{word}[ ])"
        streets = [
            rf"{number},?[ ]{direction}{name}{{1,4}}(?:{suffix})\b\.?(?:[ ](?:N|S|E|W|NE|NW|SE|SW|North|"
            rf"South|East|West)\b)?",
            rf"(?:{name}{{0,2}})[^\W\d_.-]*(?:[^\W\d_]-?(?i:{_COMPOUND})|(?<=[ -])(?i:{_COMPOUND}))[ "
            rf"]{number}(?![\w.,]?\d)",
            rf"(?:{number}(?:[ ](?:bis|ter))?,?[ ])(?:{_PREFIX}|rue|avenue|boulevard|place|chemin|"
            rf"impasse|quai|allée|via)[ ]{small}{{0,2}}{word}(?:[ ]{small}{{0,2}}{word}){{0,4}}(?:[ "
            rf"]\d{{1,4}}(?![\w.,]?\d))?",
            rf"\b(?:{_PREFIX})[ ]{small}{{0,2}}{word}(?:[ ]{small}{{0,2}}{word}){{0,4}},?[ "
            rf"](?:n[º°o.]{{1,2}}[ ]?)?{number}(?![\w.,]?\d)",
            r"(?:Unit|PSC|CMR)[ ]\d{1,5},?[ ]Box[ ]\d{1,5}|(?:USS|USNV|USNS|USCGC)[ ]\w+(?=[\s,]+[AFD]PO)",
            r"[AFD]PO,?[ ]A[AEP],?[ ]\d{5}",
            r"P\.?[ ]?O\.?[ ]?Box[ ]\d{1,6}|Postfach[ ]\d[\d ]{1,8}|Postbus[ ]\d{1,6}|Apartado[ ]\d{1,6}|"
            r"B\.?P\.?[ ]\d{2,5}",
        ]
        self.streets = [re.compile(rf"(?<![\w.,/-])(?:{s})", flags) for s in streets]
        self.rare = re.compile(
            rf"(?<![\w.,/-])(?P<v>{number},?[ "
            rf"]{direction}{name}{{1,3}}(?:{_cases(_RARE_SUFFIX, small=not capitals)})\b)",
            flags,
        )
        # A number before the street and one after it: the house and the flat, in either order.
        self.between = re.compile(
            rf"(?<![\w.,/-])(?P<v>{number},?[ ](?P<n>{word}(?:[ ](?:u\.|[^\W\d_][\w'’.-]*)){{0,3}})"
            rf"[ ]\d{{1,4}}[A-Za-z]?\.?)"
            rf"(?=[ ]*(?:[,;\n]|$|[ ](?:{_UNIT})))",
            flags,
        )
        self.corner = re.compile(
            rf"\b(?i:(?:the )?corner of|intersection of)[ ]"
            rf"(?P<v>{small}{{0,2}}{word}(?:[ ]{word}){{0,4}}(?:[ ]\d{{1,4}})?"
            rf"[ ](?:and|&)[ ]{small}{{0,2}}{word}(?:[ ]{word}){{0,4}}(?:[ ]\d{{1,4}})?)(?![\w])",
            flags,
        )
        self.named = re.compile(
            rf"\b(?i:on|at|along|off|corner of|lives? on|in|from|near|and)[ ](?P<v>{name}{{1,3}}"
            rf"(?:{_cases(_PLAIN_SUFFIX)})\b\.?)",
            flags,
        )
        city = rf"{small}{{0,1}}{word}(?:[ -]{small}{{0,1}}{word}){{0,3}}"
        state = rf"(?:{_STATES})\b\.?"
        tail = [
            _UNIT,
            rf"(?:{city},?[ ])?{state},?[ ]+(?:{_ZIP})(?![\w])",
            rf"(?:{_ZIP})(?![\w]),?[ ]+{city}",
            rf"{city},?[ ]+(?:{_ZIP})(?![\w])",
            rf"(?:{_COUNTRIES})\b(?:[ ]{{1,3}}(?:{_ZIP})(?![\w-]))?",
            rf"{state}(?![\w])",
            rf"[A-Z]{{2,3}}(?=[\s,]{{1,4}}(?:{_COUNTRIES})?[ ]?\d{{4,6}}(?!\d))",
            rf"(?:{_ZIP})(?![\w-])",
        ]
        self.tail = re.compile(
            rf"{_SEP}(?:{'|'.join(f'(?:{t})' for t in tail)})", re.IGNORECASE if not capitals else 0
        )
        self.country = re.compile(rf"{_SEP}(?:{_COUNTRIES})\b", re.IGNORECASE)
        self.unit = re.compile(rf"{_SEP}(?:{_UNIT})(?![\w])", re.IGNORECASE)
        # A place between street and postcode counts only when something surer follows it.
        self.city = re.compile(rf"{_SEP}(?:{city})(?=\b)", flags)
        self.loose = re.compile(
            rf"(?P<v>{number},?[ ]{small}{{0,2}}{word}(?:[ ]{small}{{0,2}}(?:{word}|\d{{1,4}})){{0,5}})",
            flags,
        )
        # Words without capitals, for lines that go on like an address.
        self.line = re.compile(
            rf"^[ \t>*|?]{{0,8}}(?P<v>{number},?(?:[ ][^\W\d_][\w.'’-]*){{1,4}}(?:[ ]\d{{1,4}})?)(?=[ ]*,?$)",
            re.M,
        )
        self.local = re.compile(
            rf"(?<![\w.,-])(?:{city},?[ ]{state},?[ ]\d{{5}}(?:-\d{{4}})?|[A-Z]{{1,2}}\d[A-Z\d]?[ "
            rf"]\d[A-Z]{{2}}|"
            rf"[A-Z]\d[A-Z][ ]\d[A-Z]\d)(?![\w-])"
        )


_CAPITALS = _Shapes(capitals=True)
_SMALL = _Shapes(capitals=False)
_ANNOUNCED = re.compile(
    r"(?:(?:address|adresse|residence|residing|resides?|lived?|lives|living|located|deliver(?:ed)?|"
    r"ship(?:ped)?|return|moved?|"
    r"sent?|send|taxi|meet(?: me)?|directions|mail|invoice|bill|visit|office|home)"
    r"(?:[^.!?\n\d]{0,30}?(?:\bis|\bto|\bat|\bin|\bwith|\bare|:))?)[ :>\n]{1,10}$",
    re.IGNORECASE,
)
_ZIP_CONTEXT = re.compile(
    r"\b(?:zip(?: ?code)?|post(?:al)? ?code|plz|postcode)(?: is)?[ :]{1,3}(?P<v>[A-Za-z0-9][A-Za-z0-9 "
    r"-]{2,8}[A-Za-z0-9])(?!\w)",
    re.IGNORECASE,
)


def find(text: str) -> Iterator[Span]:
    """Addresses, and parts of addresses that stand alone, in text order within each kind."""
    if not re.search(r"\d", text) and not re.search(
        r"(?:street|road|avenue|lane|drive|boulevard|\bst|\brd|\bave|court|crescent|terrace|parkway)\b",
        text,
        re.IGNORECASE,
    ):
        return
    shapes = _CAPITALS if any(c.isupper() for c in text) else _SMALL
    taken: list[tuple[int, int]] = []

    def fresh(start: int, end: int) -> bool:
        return all(end <= a or start >= b for a, b in taken)

    for pattern in shapes.streets:
        for match in pattern.finditer(text):
            if not fresh(*match.span()) or (
                match[0].lower().startswith(("am ", "im ", "zum ", "zur ")) and _no_street(match[0])
            ):
                continue
            span = _grow(text, match.start(), match.end(), shapes)
            taken.append(span)
            yield Span(*span, "ADDRESS", 0.85, "street")
    for match in shapes.between.finditer(text):
        if fresh(*match.span("v")) and not ordinary(match["n"]):
            span = _grow(text, *match.span("v"), shapes)
            taken.append(span)
            yield Span(*span, "ADDRESS", 0.7, "street between numbers")
    for match in shapes.corner.finditer(text):
        if fresh(*match.span("v")):
            taken.append(match.span("v"))
            yield Span(*match.span("v"), "ADDRESS", 0.7, "corner")
    for match in (*shapes.rare.finditer(text), *shapes.loose.finditer(text), *shapes.line.finditer(text)):
        if not fresh(*match.span("v")):
            continue
        span = _grow(text, *match.span("v"), shapes)
        announced = _ANNOUNCED.search(text[max(0, match.start("v") - 60) : match.start("v")])
        grown = text[match.end("v") : span[1]] if span[1] > match.end("v") else ""
        line_start = not text[: span[0]].rpartition("\n")[2].strip(" >*|?\t")
        line = line_start and re.search(r"\d", grown) and re.search(r"[,\n]", grown)
        if announced or line or span[0] < match.start("v") or _CERTAIN.search(grown):
            taken.append(span)
            yield Span(*span, "ADDRESS", 0.65, "street announced")
    for pattern in (shapes.local, shapes.named, _ZIP_CONTEXT):
        for match in pattern.finditer(text):
            group = "v" if "v" in pattern.groupindex else 0
            if fresh(*match.span(group)) and (
                pattern is not _ZIP_CONTEXT or any(c.isdigit() for c in match["v"])
            ):
                taken.append(match.span(group))
                yield Span(*match.span(group), "ADDRESS", 0.6, "place")


_CERTAIN = re.compile(
    rf"\b(?:apt|apartment|suite|ste|unit|flat|p\.?o\.? ?box)\b|\b(?:{_STATES})\b[ ,]{{1,3}}\d{{5}}|"
    rf"\b(?i:{_COUNTRIES})\b",
    re.IGNORECASE,
)


def _no_street(text: str) -> bool:
    """ "Im Jahr 2024" is no address."""
    return bool(re.search(r"\b(?:19|20)\d{2}$", text))


def _grow(text: str, start: int, end: int, shapes: _Shapes) -> tuple[int, int]:
    stop = end
    for _ in range(6):
        if end > stop and re.search(r"(?<!\d)\d{4,6}$|\d[A-Z]{2}$", text[end - 7 : end]):
            # After the postcode only the country is left.
            country = shapes.country.match(text, end)
            end = country.end() if country else end
            break
        match = shapes.tail.match(text, end) or shapes.unit.match(text, end)
        if match is None:
            city = shapes.city.match(text, end)
            match = city and (shapes.tail.match(text, city.end()))
            if match is None and city and "\n" not in city[0] and "," in city[0][:3]:
                match = city
        if match is None or match.end() <= end:
            break
        end = match.end()
    before = re.search(rf"(?:{_UNIT}){_SEP}$", text[max(0, start - 30) : start], re.IGNORECASE)
    if before:
        start -= len(before[0])
    number = re.search(r"(?<![\w.,/-])\d{1,5},? $", text[max(0, start - 7) : start])
    if number:
        start -= len(number[0])
    return start, end
