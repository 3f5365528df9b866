"""Weighs the readings of one text against each other: who is somebody, and what is a firm or a word."""

from __future__ import annotations

import re

from redact import people
from redact.addresses import COUNTRIES
from redact.locations import EMPLOYER, nobodys_place
from redact.names import (
    PARTICLES,
    TITLES,
    country_names,
    fold,
    known_family,
    known_given,
    looks_like_firm,
    ordinary,
    places,
    words,
)
from redact.spans import Span, settle

# The source of a firm's name that may as well be somebody's.
SURNAMES = "surnames"


def refine(text: str, spans: list[Span]) -> list[Span]:
    """Weigh the readings of one text against each other and settle overlaps.

    The model's people count with what our recognisers say of the same words:
    agreement raises the strength, a firm's or a form's word lowers it.
    """
    cased = any(c.isupper() for c in text)
    ours = [s for s in spans if s.type == "PERSON" and s.source != "model"]
    kept: list[Span] = []
    for span in spans:
        if span.type in ("LOCATION", "ORGANIZATION") and span.source == "model":
            shown = text[span.start : span.end].split("\n")[0].rstrip()
            span = span.moved(span.start, span.start + len(shown))
            if fold(shown) in words() or (span.type == "LOCATION" and nobodys_place(shown)):
                continue
            if span.type == "LOCATION" and looks_like_firm(shown):
                span = Span(span.start, span.end, "ORGANIZATION", span.score, span.source, span.strength)
            elif _is_name(shown):
                span = Span(span.start, span.end, "PERSON", span.score, "model", 1)
        if span.type != "PERSON" or span.source != "model":
            kept.append(span)
            continue
        start, end = trim_person(text, span.start, span.end)
        found = text[start:end]
        if not cased:
            start, end = _named_part(text, start, end)
            found = text[start:end]
        if end - start < 2 or people.foreign(found) or (cased and not any(c.isupper() for c in found)):
            continue
        spoken = known_given(found) and _DOES.match(text, end) is not None
        if ordinary(found) and not spoken and not any(s.start < end and start < s.end for s in ours):
            continue
        agree = [s for s in ours if s.start < end and start < s.end]
        if _apart(agree) > 1:  # several people read as one
            continue
        if agree and max(s.end - s.start for s in agree) >= end - start:
            continue
        value = people.strength(found)
        single = " " not in found.strip()
        if (
            single
            and not spoken
            and (
                fold(found) in words() or (not cased and re.search(r"(?:ing|ed|ly|s)$", found) and not value)
            )
        ):
            continue
        if single and value == 0 and not agree and not cased and len(found) < 4:
            continue
        if single and value == 0 and not agree:
            kept.append(Span(start, end, "PERSON", 0.5, "model", 0))
            continue
        kept.append(Span(start, end, "PERSON", 0.75, "model", min(2, value + 1) if value else 1))
    firms = [s for s in kept if s.type == "ORGANIZATION" and looks_like_firm(text[s.start : s.end])]

    def in_firm(span: Span) -> bool:
        return any(firm.start <= span.start and span.end <= firm.end for firm in firms)

    partners = [match.span() for match in _PARTNERS.finditer(text)]
    listed = [m.span() for m in _LISTED.finditer(text) if any(map(looks_like_firm, _ITEM.findall(m[0])))]

    def beside_firms(span: Span) -> bool:
        around = partners if span.strength == 2 else partners + listed
        return (
            span.type == "PERSON"
            and span.strength < 3
            and any(a <= span.start and span.end <= b for a, b in around)
        )

    kept = [s for s in kept if s.type != "PERSON" or s.strength > 2 or not _no_name(text, s)]

    dropped = [s for s in kept if _probably_firm(text, s) or beside_firms(s)]
    kept = [_two_surnames(text, s) for s in kept if not any(_within(s, firm) for firm in dropped)]
    kept = _partnerships(text, kept)
    towns = [s for s in kept if s.type == "LOCATION" and s.source != "model"]

    def in_town(span: Span) -> bool:
        """San Giuseppe Vesuviano is nobody."""
        return any(t.start <= span.start and span.end <= t.end and len(t) > len(span) for t in towns)

    kept = [
        s for s in kept
        if s.type != "PERSON" or ((s.strength > 2 or not in_firm(s)) and (s.strength > 1 or not in_town(s)))
    ]  # fmt: skip
    return settle(_widest_people(kept))


# What somebody does: before it an English word can be a name after all.
_DOES = re.compile(
    r" (?:is|was|has|had|will|can|said|says|asked|told|wrote|spent|lives|lived|works|worked|went|called|from|"
    r"and I)\b|['’]s "
)


_FIRM_AFTER = re.compile(
    r",? (?:and Sons|And Sons|& Sons|and Associates|And Associates|& Co\b|"
    r"Ltd|LLC|LLP|Inc|Corp|GmbH|PLC|Plc|"
    r"S\.?A\.|AG\b|BV\b|Group|Holdings?|ltd|llc|inc\b|corp\b)"
)
# The rest of a run of capitalised words.
_GOES_ON = re.compile(rf"(?: {people.NAME_WORD}){{1,4}}")
# Before a firm rather than a town.
_AT_A_FIRM = re.compile(r"(?:\b(?:at|for|became|by|joined|bought)|[,:]|\band)[ ]$")
# Several surnames that do something as one: "Ernst and Young is", "the Hubbard, Fox and Gillespie website".
_PARTNERS = re.compile(
    rf"(?<![\w@-])(?:{people.NAME_WORD}, ){{0,3}}{people.NAME_WORD},? (?:and|&) {people.NAME_WORD}"
    r"(?= (?:is|was|has|does|itself|website|offices?|account|invoices?|team|report)\b)"
)
# Lists are of one kind: what stands beside a firm without a first name is one as well.
_ONE = rf"{people.NAME_WORD}(?: (?:{people.NAME_WORD}|&|Of)){{0,5}}(?: Inc\.| Ltd\.)?"
_ITEM = re.compile(_ONE)
_LISTED = re.compile(rf"(?<![\w@-]){_ONE}(?:, {_ONE}){{1,8}},? and {_ONE}(?: and {_ONE})?")
# A shop: "Galyan's" and nothing after it.
_SHOP = re.compile(r"['’]s(?=[ \t]*(?:\n|$|[,;]))")


# A capital within a word, after what is no beginning of names: GnuCash, StDev; not McDonald, LaToya.
_HUMP = re.compile(r"(?P<first>[^\W\d_]*[^\W\d_A-Z])[A-Z]")
_BEGINNINGS = PARTICLES | {"fitz", "ja", "jo", "ka", "ke", "lo"}
_NO_NAME = re.compile(r" [-–/|] |_|\w[(\[{]|[=<>%$#;]|^\d")


def _no_name(text: str, span: Span) -> bool:
    """Whether something is written as no name is: "OnUnload", "a PDF", "Insert - Object"."""
    shown = text[span.start : span.end]
    if _NO_NAME.search(shown) or (people.acronym(shown) and any(map(str.islower, text))):
        return True
    humps = [m["first"] for word in shown.split() if (m := _HUMP.match(word.lstrip("\"'(")))]
    return any(fold(first) not in _BEGINNINGS and not known_given(first) for first in humps)


def _probably_firm(text: str, span: Span) -> bool:
    """Whether what stands around a guess says that it is a firm: "Ortiz LLC", "at Solarlist"."""
    shown, before = text[span.start : span.end], text[max(0, span.start - 12) : span.start]
    if span.type == "PERSON" and span.strength < 3:
        if _FIRM_AFTER.match(text, span.end) or before.endswith(" became "):
            return True
        if span.strength == 0 and (_SHOP.match(text, span.end) or EMPLOYER.search(before)):
            return True
        if " " in shown or span.strength > 1:
            return False  # "Anna Lee Sales Group" is somebody of a group
        rest = _GOES_ON.match(text, span.end)
        if rest and looks_like_firm(shown + rest[0]):
            return True
        return not known_given(shown) and before.endswith(" at ")
    if span.type == "LOCATION" and span.source == "model" and " " not in shown:
        known = fold(shown) in places() | country_names() | COUNTRIES
        if not known and not any(map(str.isupper, text)) and before.endswith((" to ", " from ")):
            return True  # its capital is one that we gave it
        return not known and (_AT_A_FIRM.search(before) or EMPLOYER.search(before)) is not None
    return False


def _within(span: Span, firm: Span) -> bool:
    """Whether a person is a firm's, or no surer part of its name: "became Oliver Wyman"."""
    if span is firm:
        return True
    inside = firm.start <= span.start and span.end <= firm.end
    return span.type == "PERSON" and inside and span.strength <= firm.strength


def _two_surnames(text: str, span: Span) -> Span:
    """A guess of one word that is two surnames, "Mayer-Watkins": a firm's as often as somebody's.

    The type says firm; collecting protects it as a name all the same.
    """
    alone = span.source in ("model", "given name", "family name")
    if span.type != "PERSON" or span.strength > 1 or not alone:
        return span
    first, hyphen, second = text[span.start : span.end].partition("-")
    if not hyphen or known_given(second) or not (known_family(first) and known_family(second)):
        return span
    return Span(span.start, span.end, "ORGANIZATION", span.score, SURNAMES, span.strength)


_SURNAMES = re.compile(
    r"(?<![\w@-])(?P<a>[^\W\d_]{3,}), (?P<b>[^\W\d_]{3,}),? (?:and|&) (?P<c>[^\W\d_]{3,})(?![\w@-])"
)
# Several people do this, a firm does not.
_TOGETHER = re.compile(r" (?:are|were|have|met|meet|both|all|agreed?|attend|attended|will)\b", re.IGNORECASE)

# "our three founders: ", "spoke to ", "by ": the names of people follow.
_SEVERAL = re.compile(r"(?:[:(]|\b(?:by|to|with|told|met|and|are|were))[ \n]$")


def _partnerships(text: str, spans: list[Span]) -> list[Span]:
    """Three surnames in a row that nobody is called by, "Thomas, Holt and Myers", are a firm's, word by word.

    As with two surnames, collecting protects each.
    """
    for match in _SURNAMES.finditer(text):
        parts = [match.span(name) for name in "abc"]
        shown = [match[name] for name in "abc"]
        if (
            _TOGETHER.match(text, match.end())
            or _SEVERAL.search(text[: match.start()])
            or not all(map(known_family, shown))
        ):
            continue
        inside = [s for s in spans if s.start < match.end() and match.start() < s.end]
        sure = any(s.strength > 2 or s.start < match.start() or s.end > match.end() for s in inside)
        called = sum(map(known_given, shown))
        if sure or called > 1 or all(s.type != "PERSON" for s in inside):
            continue
        spans = [s for s in spans if s not in inside]
        spans += [Span(*part, "ORGANIZATION", 0.5, SURNAMES, 1) for part in parts]
    return spans


def _apart(spans: list[Span]) -> int:
    """How many names of several words stand side by side."""
    count, end = 0, -1
    for span in sorted(spans, key=lambda s: s.start):
        if span.start >= end and span.source in ("name list", "initial", "last, first"):
            count, end = count + 1, span.end
    return count


def trim_person(text: str, start: int, end: int) -> tuple[int, int]:
    """A model's person without what it swallows: possessives, punctuation, further lines, titles."""
    found = text[start:end]
    lead = len(found) - len(found.lstrip(" \n\t\"'“‘(*|_->,.:#"))
    start += lead
    found = text[start:end].split("\n")[0]
    found = found.rstrip(" \t\"'”’)*|_-,.:;!?")
    for tail in ("'s", "’s"):
        found = found.removesuffix(tail)
    while " " in found and fold(found.split(" ")[0]).rstrip(".") in TITLES | people.TOLD:
        cut = found.index(" ") + 1
        start, found = start + cut, found[cut:]
    while found and any(c.isdigit() for c in found.split(" ")[-1]):
        found = found.rpartition(" ")[0]
    return start, start + len(found)


def _named_part(text: str, start: int, end: int) -> tuple[int, int]:
    """A model's person in text typed without capitals, less the English words before the name."""
    found = list(re.finditer(r"\S+", text[start:end]))
    while len(found) > 1 and ordinary(found[0][0]) and not known_given(found[0][0]):
        found.pop(0)
    return (start + found[0].start(), end) if found else (start, end)


def _widest_people(spans: list[Span]) -> list[Span]:
    """Of people that overlap, the longest with the best evidence of all of them."""
    rest = [s for s in spans if s.type != "PERSON"]
    found = sorted((s for s in spans if s.type == "PERSON"), key=lambda s: (s.start - s.end, -s.strength))
    kept: list[Span] = []
    for span in found:
        over = next((i for i, k in enumerate(kept) if k.start < span.end and span.start < k.end), None)
        if over is None:
            kept.append(span)
        elif span.strength > kept[over].strength or span.score > kept[over].score:
            old = kept[over]
            kept[over] = Span(
                old.start,
                old.end,
                "PERSON",
                max(old.score, span.score),
                old.source,
                max(old.strength, span.strength),
            )
    return rest + kept


def _is_name(text: str) -> bool:
    """Whether what the model takes for a place or a firm consists of known names only."""
    found = [w for w in text.split() if fold(w) not in PARTICLES]
    if not found or looks_like_firm(text) or people.known_place(text) or fold(text) in COUNTRIES:
        return False
    known = all(known_given(w) or known_family(w) for w in found)
    return known and not any(fold(w) in words() for w in found)
