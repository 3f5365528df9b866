"""Whether two texts say the same: numbers, money, dates, names, quantities with units, codes, lists."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal

from envgen.values import number, parse_date

_CURRENCIES = {
    "€": "EUR", "euro": "EUR", "eur": "EUR", "$": "USD", "usd": "USD", "dollar": "USD", "£": "GBP",
    "gbp": "GBP", "pound": "GBP", "¥": "JPY", "jpy": "JPY", "chf": "CHF", "sek": "SEK", "nok": "NOK",
    "dkk": "DKK", "pln": "PLN", "czk": "CZK", "cad": "CAD", "aud": "AUD", "inr": "INR", "cny": "CNY",
    "brl": "BRL",
}  # fmt: skip
_UNITS = {
    "percent": "%", "per cent": "%", "pct": "%", "hr": "hour", "h": "hour", "min": "minute",
    "kilogram": "kg", "kilo": "kg", "kilometre": "km", "kilometer": "km", "metre": "m", "meter": "m",
    "tag": "day", "tage": "day", "tagen": "day", "monat": "month", "monate": "month", "jahr": "year",
    "jahre": "year", "woche": "week", "wochen": "week", "stunde": "hour", "stunden": "hour",
}  # fmt: skip
_SPELT = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_QUANTITY = re.compile(
    r"(?P<before>[€$£¥]|[A-Za-z]{3}(?=[\s\d-]))?\s*(?P<number>[-−]?\d[\d.,' ]*|[a-z]+)"
    r"\s*(?P<after>%|[€$£¥]|[^\d]{1,30})?",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b(?:\s+of\b)?", re.IGNORECASE)
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/\d{4}")
_TITLE = re.compile(r"^(?:mr|mrs|ms|dr|prof|herr|frau)\.?\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|a|an)\s+", re.IGNORECASE)
_LAST_FIRST = re.compile(r"([^\W\d_][\w'’-]*(?: [\w'’-]+)?),\s*([^\W\d_][\w'’.-]*(?: [\w'’.-]+)?)")
_BETWEEN = re.compile(r"\s*(?:[;\n]|,|\band\b|\bund\b|&)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Value:
    """What a text says, however it is written. ``unit`` is a currency, a percent sign or a unit's name."""

    kind: Literal["number", "date", "code", "words"]
    core: Hashable
    unit: str = ""


@lru_cache(maxsize=65536)
def value(text: str) -> Value:
    """Read a text as a value."""
    plain = unicodedata.normalize("NFKC", text)
    plain = " ".join(plain.split()).strip("\"'“”‘’«»`()[]").rstrip(".,;:!").strip()
    dated = _date(plain)
    if dated is not None:
        return Value("date", dated)
    quantity = _quantity(plain)
    if quantity is not None:
        return quantity
    if any(c.isdigit() for c in plain):
        return Value("code", "".join(c for c in plain.casefold() if c.isalnum()))
    return Value("words", _words(plain))


def _date(text: str) -> date | None:
    text = _ORDINAL.sub("", text)
    slashed = _SLASHED.fullmatch(text)
    if slashed and slashed[1] != slashed[2] and int(slashed[1]) <= 12 and int(slashed[2]) <= 12:
        # Which is the month depends on the country: it says neither date for certain.
        return None
    found = parse_date(re.sub(r"\s+", " ", text))
    return None if found is None else found[0]


def _quantity(text: str) -> Value | None:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    written = match["number"].strip()
    if written.casefold() in _SPELT:
        written = str(_SPELT.index(written.casefold()))
    elif not written[-1].isdigit() or re.match(r"[-−]?0\d", written):
        # Numbers with leading zeros are names.
        return None
    read = number(written.replace("−", "-"))
    if read is None:
        return None
    before, after = (match["before"] or ""), (match["after"] or "").strip()
    if before and before.casefold() not in _CURRENCIES:
        return None
    if before and after and unit(before) != unit(after):
        return None
    return Value("number", read.normalize(), unit(before or after))


def unit(text: str) -> str:
    """A unit by the one name it has here; "" for none."""
    plain = text.casefold().strip(" .,;()")
    for form in (plain, plain.removesuffix("s")):
        if form in _CURRENCIES:
            return _CURRENCIES[form]
        if form in _UNITS:
            return _UNITS[form]
    return plain.removesuffix("s") if len(plain) > 2 else plain


def _words(text: str) -> str:
    text = _ARTICLE.sub("", _TITLE.sub("", text))
    turned = _LAST_FIRST.fullmatch(text)
    if turned:
        text = f"{turned[2]} {turned[1]}"
    kept = re.sub(r"[^\w\s&+/@-]", " ", text.casefold())
    return " ".join(kept.replace("-", " ").split())


def same(said: str, right: str, context: str = "") -> bool:
    """Whether ``said`` is the value ``right``, written in whatever way.

    A unit that is said must be the right one; where the right value has none, one that ``context``
    (a column's header) names. A unit that is not said is missing.
    """
    mine, wanted = value(said), value(right)
    if (mine.kind, mine.core) != (wanted.kind, wanted.core):
        return False
    if mine.unit == wanted.unit:
        return True
    return not wanted.unit and mine.unit in {unit(word) for word in re.findall(r"[^\s()\[\]/,:]+", context)}


def items(text: str) -> tuple[str, ...]:
    """The items of a list that is written out with commas, semicolons or ``and``."""
    return tuple(part for part in _BETWEEN.split(text.strip().rstrip(".")) if part)


def same_items(said: str, right: str) -> bool:
    """Whether two lists name the same things, in any order, each once."""
    mine = sorted((value(item).kind, str(value(item).core)) for item in items(said))
    return mine == sorted((value(item).kind, str(value(item).core)) for item in items(right))


def stands_in(wanted: str, text: str) -> bool:
    """Whether a text holds a value as words of its own (not within a longer word or number)."""
    pattern = rf"(?<![\w.,-]){re.escape(wanted)}(?![\w-]|[.,]\d)"
    return re.search(pattern, text, re.IGNORECASE) is not None
