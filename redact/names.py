"""What personal names look like: word lists, titles, particles, and the parsing of one name.

Names are folded (lower case, no accents) before they are looked up, so that
"José" and "JOSE" are one name.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent / "data"
# Letters that do not decompose into a base letter and an accent.
_STROKES = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# Cyrillic and Greek letters that look like Latin ones (UTS 39).
_ALIKE = str.maketrans("авекмнорстухіјѕԁһӏαορυνκιτεχβη", "abekmhopctyxijsdhlaopuvkitexbn")
_MIXED = re.compile(r"[^\W\d_]*(?:[a-z][а-ӿα-ω]|[а-ӿα-ω][a-z])[^\W\d_]*")
_UPPER = {ord(chr(a).upper()): chr(b).upper() for a, b in _ALIKE.items() if len(chr(a).upper()) == 1}
_ALIKE_CASED: dict[int, str] = {**_UPPER, **{a: chr(b) for a, b in _ALIKE.items()}}
_MIXED_CASED = re.compile(r"[^\W\d_]*(?:[A-Za-z][Ѐ-ӿΑ-ω]|[Ѐ-ӿΑ-ω][A-Za-z])[^\W\d_]*")
_DISGUISE = re.compile(f"{INVISIBLE.pattern}|[\uff01-\uff5e\u00a0\u2000-\u200a\u202f]")


def fold(text: str) -> str:
    """Lower case without accents and invisible characters; foreign letters inside Latin words made Latin."""
    if text.isascii():
        return text.lower()
    text = _fold(text)
    return _MIXED.sub(lambda match: match[0].translate(_ALIKE), text)


def disguised(text: str) -> bool:
    """Whether invisible characters, foreign letters inside Latin words or other widths are in it."""
    return not text.isascii() and bool(_DISGUISE.search(text) or _MIXED.search(text.casefold()))


def undisguised(text: str) -> tuple[str, list[int]]:
    """A text without its disguise, and for each of its characters where that stood; and the end."""
    kept: list[str] = []
    at: list[int] = []
    for index, char in enumerate(text):
        if INVISIBLE.match(char):
            continue
        plain = unicodedata.normalize("NFKC", char)
        kept.append(plain if len(plain) == 1 else char)
        at.append(index)
    clean = "".join(kept)
    clean = _MIXED_CASED.sub(lambda match: match[0].translate(_ALIKE_CASED), clean)
    return clean, [*at, len(text)]


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFKD", INVISIBLE.sub("", text).casefold().translate(_STROKES))
    return "".join(c for c in text if not unicodedata.combining(c))


@cache
def _words(name: str, key: str) -> tuple[str, ...]:
    lines = json.loads((_DATA / name).read_text(encoding="utf-8"))[key]
    return tuple(" ".join(lines).split())


def word_list(name: str) -> tuple[str, ...]:
    """One of the lists of ``data/lists.json``, in its order."""
    return _words("lists.json", name)


TITLES = frozenset(word_list("titles"))
SUFFIXES = frozenset(word_list("suffixes"))
PARTICLES = frozenset(word_list("particles"))
# Words that say "this is a function, a department or a firm, not a person".
ROLE_WORDS = frozenset(word_list("roles"))
ORG_WORDS = frozenset(word_list("firms"))


@cache
def given_names() -> frozenset[str]:
    """Given names, folded."""
    return frozenset(_words("names.json", "given"))


@cache
def family_names() -> frozenset[str]:
    """Family names, folded."""
    return frozenset(_words("names.json", "family"))


@cache
def nicknames() -> dict[str, frozenset[str]]:
    """Short forms of given names -> the names they are short for, folded."""
    found: dict[str, frozenset[str]] = {}
    for entry in _words("names.json", "short"):
        short, _, longs = entry.partition("=")
        found[short] = frozenset(longs.split(","))
    return found


@cache
def places() -> frozenset[str]:
    """Names of towns, folded, words joined by blanks."""
    return frozenset(entry.replace("_", " ") for entry in _words("places.json", "towns"))


@cache
def country_names() -> frozenset[str]:
    """Names of countries, folded, words joined by blanks."""
    return frozenset(entry.replace("_", " ") for entry in _words("places.json", "countries"))


@cache
def english() -> frozenset[str]:
    """Words of an English dictionary in all their forms, folded."""
    return frozenset(_words("english.json", "words"))


@cache
def words() -> frozenset[str]:
    """Words that are never taken for a name by themselves, folded."""
    return frozenset(_words("words.json", "words")) | ROLE_WORDS


# One word of a name: O'Brien, Smith-Jones, D'Angelo, J., McDonald.
WORD = r"[^\W\d_]+(?:['’][^\W\d_]+)*(?:[-‐][^\W\d_]+(?:['’][^\W\d_]+)*)*\.?"
_TOKEN = re.compile(WORD)
_NAME = re.compile(rf"{WORD}(?:,?[ \u00a0]+{WORD}){{0,6}}")


@dataclass(frozen=True, slots=True)
class Name:
    """A personal name in its parts, as written.

    Attributes:
        given: Given names and initials.
        family: Words of the family name without particles (``("Voet",)`` for "van der Voet").
        title: ``"Dr."`` or empty.
    """

    given: tuple[str, ...]
    family: tuple[str, ...]
    title: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        return self.given + self.family


def is_initial(word: str) -> bool:
    return len(word.rstrip(".")) == 1


def parse(text: str) -> Name | None:
    """Read one personal name: "Dr. Ann M. Lee", "Lee, Ann", "A. Lee", "van der Voet, Jan".

    Returns:
        None when the text does not have the shape of a name: digits, a job
        title, a firm, more than six words, no capital where others have one.
    """
    text = " ".join(text.split())
    if not 2 <= len(text) <= 60 or not _NAME.fullmatch(text):
        return None
    before, comma, after = text.partition(",")
    if comma and fold(after).strip(" .") in SUFFIXES:
        before, comma, after = before, "", ""
    if "," in after:
        return None
    head = _strip(_TOKEN.findall(before))
    tail = _strip(_TOKEN.findall(after))
    title = head[1] or tail[1]
    first, last = head[0], tail[0]
    if not first or (comma and not last):
        return None
    everything = [word for word in first + last if fold(word) not in PARTICLES]
    if not everything or any(_foreign(word) for word in everything):
        return None
    if not all(word[0].isupper() or not word[0].islower() for word in everything):
        return None
    if comma:
        return Name(tuple(w for w in last if fold(w) not in PARTICLES), _family(first), title)
    if len(first) == 1:
        return Name((), _family(first), title) if title else Name(tuple(first), (), title)
    split = next(
        (i for i, w in enumerate(first) if i and fold(w) in PARTICLES and len(w) > 1), len(first) - 1
    )
    given, family = first[:split], first[split:]
    return Name(tuple(given), _family(family), title)


def _strip(found: list[str]) -> tuple[list[str], str]:
    """The words without title and suffix, and the title."""
    title = ""
    while (
        found and fold(found[0]).rstrip(".") in TITLES and (len(found) > 1) and len(found[0].rstrip(".")) > 1
    ):
        title = f"{title} {found.pop(0)}".strip()
    while len(found) > 1 and fold(found[-1]).rstrip(".") in SUFFIXES:
        found.pop()
    return found, title


def _family(found: list[str]) -> tuple[str, ...]:
    kept = tuple(word for word in found if fold(word) not in PARTICLES)
    return kept or tuple(found)


def _foreign(word: str) -> bool:
    folded = fold(word).rstrip(".")
    return folded in ROLE_WORDS or folded in ORG_WORDS


def known_given(word: str) -> bool:
    """Whether a word, or the first half of a hyphenated one, is a known given name."""
    folded = fold(word).rstrip(".")
    return folded in given_names() or (("-" in folded) and folded.split("-")[0] in given_names())


def known_family(word: str) -> bool:
    folded = fold(word).rstrip(".")
    return folded in family_names() or ("-" in folded and folded.split("-")[0] in family_names())


def ambiguous(word: str) -> bool:
    """Whether a word standing alone says nothing about a person: too short, or an everyday word."""
    folded = fold(word).rstrip(".")
    return len(folded) < 3 or folded in words()


def ordinary(text: str) -> bool:
    """Whether a text consists of English words alone and does not begin with a known given name."""
    found = [fold(word).rstrip(".") for word in re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text)]
    found = [re.sub(r"['’]s?$", "", word) for word in found]
    if not found or (len(found) > 1 and known_given(found[0])):
        return False
    return all(word in english() or word in words() for word in found)


def looks_like_firm(text: str) -> bool:
    """Whether a text names a firm: a legal form, a trade, an ampersand."""
    found = [fold(word).rstrip(".") for word in re.findall(r"[^\W\d_]+\.?|&", text)]
    return len(found) > 1 and any(word in ORG_WORDS for word in found[1:])
