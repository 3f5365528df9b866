"""Typed readings of texts, and the changes of format people make when they copy a value.

A *conversion* is a named function from text to text. Names are data (they stand in
compiled workflows), so they never change their meaning.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TypeVar

CURRENCY = r"(?:EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|PLN|CZK|CAD|AUD|INR|CNY|BRL|[$€£¥])"
_NUMBER = re.compile(
    rf"(?P<sign>[-−(]?)\s*(?:{CURRENCY}\s*)?(?P<sign2>[-−]?)"
    r"(?P<digits>\d{1,3}(?:[,.' ]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?)"
    rf"\s*(?:{CURRENCY}|%)?\s*\)?"
)
_DATE_FORMATS = (
    "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d %b %Y", "%d %B %Y",
    "%b %d, %Y", "%B %d, %Y", "%Y/%m/%d", "%d-%m-%Y",
)  # fmt: skip
_DAY_FIRST = ("%d/%m/%Y", *(layout for layout in _DATE_FORMATS if layout != "%d/%m/%Y"))
_SLASHED = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2})/\d{4}(?![\d/])")
DAY_FIRST = "day first"
"""The conversion of a date such as 03/04/2026, the third of April, into one that says so itself."""


_Ordered = TypeVar("_Ordered", Decimal, date)


@lru_cache(maxsize=65536)
def folded(text: str) -> str:
    """A text as applications read it that take either case: most compare lower-cased texts."""
    return text.lower()


def number(text: str) -> Decimal | None:
    """The number a text says: ``4,120.35``, ``$ 5.000,00``, ``(12.50)``, ``15 %``; else None.

    A single separator followed by exactly three digits groups thousands.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    digits = match["digits"].replace("'", "").replace(" ", "")
    last = max(digits.rfind("."), digits.rfind(","))
    if last >= 0:
        mark = digits[last]
        other = "," if mark == "." else "."
        grouped = len(digits) - last - 1 == 3 and other not in digits
        if grouped and not (digits.startswith("0") and digits.count(mark) == 1):
            digits = digits.replace(mark, "")
        else:
            digits = digits.replace(other, "").replace(mark, ".")
            if digits.count(".") > 1:
                return None
    try:
        value = Decimal(digits)
    except InvalidOperation:
        return None
    return -value if match["sign"] or match["sign2"] else value


@lru_cache(maxsize=16384)
def parse_date(text: str, day_first: bool = False) -> tuple[date, str] | None:
    """The date a text says and the format it is in, or None.

    Args:
        day_first: What ``03/04/2026`` begins with, which it does not say itself.
    """
    text = text.strip()
    if not 8 <= len(text) <= 18 or not any(c.isdigit() for c in text):
        return None
    for layout in _layouts(day_first):
        found = date_in(text, layout)
        if found is not None:
            return found, layout
    return None


def date_in(text: str, layout: str) -> date | None:
    """The date that a text is in a format, or None."""
    try:
        return datetime.strptime(text.strip(), layout).date()
    except ValueError:
        return None


def date_layout(texts: Iterable[str], day_first: bool = False) -> str | None:
    """The format in which all of these texts are dates: what one leaves open, another may say.

    Args:
        day_first: See :func:`parse_date`; where the texts say it themselves, that counts.
    """
    said = list(texts)
    if not said or parse_date(said[0]) is None:
        return None
    layouts = _layouts(day_first)
    return next((way for way in layouts if all(date_in(text, way) is not None for text in said)), None)


def begins_with_day(texts: Iterable[str]) -> bool:
    """Whether dates such as 03/04/2026 begin with the day where these texts come from.

    Those of which only one reading is a date say so; where none does, they begin with the month.
    """
    pairs = {(int(found[1]), int(found[2])) for text in texts for found in _SLASHED.finditer(text)}
    return sum(first > 12 for first, _ in pairs) > sum(second > 12 for _, second in pairs)


def _layouts(day_first: bool) -> tuple[str, ...]:
    return _DAY_FIRST if day_first else _DATE_FORMATS


def compared(one: str, other: str) -> int | None:
    """-1, 0 or 1 as one date, or one number, is below, the same as or above another; None for other texts."""
    dates = parse_date(one), parse_date(other)
    if dates[0] is not None and dates[1] is not None:
        return (dates[0][0] > dates[1][0]) - (dates[0][0] < dates[1][0])
    left, right = number(one), number(other)
    return None if left is None or right is None else (left > right) - (left < right)


def parted(limit: _Ordered, inclusive: bool | None, low: _Ordered, high: _Ordered) -> bool:
    """Whether a limit leaves a value below it and another on or above it.

    Args:
        inclusive: Whether the limit itself is on the upper side; None where nobody says.
    """
    return (low <= limit < high and inclusive is not True) or (low < limit <= high and inclusive is not False)


_TIME = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
TIME_LAYOUTS = ("24 h", "12 h")


@lru_cache(maxsize=16384)
def parse_time(text: str) -> tuple[int, int, str] | None:
    """Hour (0 to 23), minute and layout (``24 h`` or ``12 h``) of a time of day: ``19:45``, ``7:45 PM``."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute = int(match["hour"]), int(match["minute"])
    if minute > 59 or not (1 <= hour <= 12 if match["half"] else hour <= 23):
        return None
    if not match["half"]:
        return hour, minute, "24 h"
    return hour % 12 + (12 if match["half"] in "Pp" else 0), minute, "12 h"


def write_time(hour: int, minute: int, layout: str) -> str:
    """A time of day in one of :data:`TIME_LAYOUTS`."""
    if layout == "24 h":
        return f"{hour:02d}:{minute:02d}"
    return f"{hour % 12 or 12}:{minute:02d} {'PM' if hour >= 12 else 'AM'}"


def _timed(layout: str) -> Callable[[str], str | None]:
    def convert(text: str) -> str | None:
        found = parse_time(text)
        return None if found is None else write_time(found[0], found[1], layout)

    return convert


def _plain(places: int | None, group: str = "") -> Callable[[str], str | None]:
    def convert(text: str) -> str | None:
        value = number(text)
        if value is None:
            return None
        if places is None:
            value = value.normalize()
            shown = f"{value:f}"
        else:
            shown = f"{value:,.{places}f}" if group else f"{value:.{places}f}"
        return shown

    return convert


def _dated(layout: str) -> Callable[[str], str | None]:
    def convert(text: str) -> str | None:
        found = parse_date(text)
        return None if found is None else found[0].strftime(layout)

    return convert


def _day_first(text: str) -> str | None:
    found = date_in(text, "%d/%m/%Y")
    return None if found is None else found.isoformat()


def _split(separator: str, last: bool) -> Callable[[str], str | None]:
    def convert(text: str) -> str | None:
        if separator not in text:
            return None
        part = text.rpartition(separator)[2] if last else text.partition(separator)[0]
        return part.strip()

    return convert


def _word(at: int) -> Callable[[str], str | None]:
    """The first or last word without the punctuation around it; None for a text of one word."""

    def convert(text: str) -> str | None:
        words = text.split()
        return words[at].strip(".,;:!?()\"'") if len(words) > 1 else None

    return convert


def _head(length: int) -> Callable[[str], str | None]:
    return lambda text: text[:length] if len(text) > length else None


def _tail(length: int) -> Callable[[str], str | None]:
    return lambda text: text[-length:] if len(text) > length else None


CONVERSIONS: dict[str, Callable[[str], str | None]] = {
    "number": _plain(None),
    "number.2": _plain(2),
    "number.0": _plain(0),
    "number,2": _plain(2, ","),
    "number,0": _plain(0, ","),
    **{f"date {layout}": _dated(layout) for layout in _DATE_FORMATS},
    DAY_FIRST: _day_first,
    **{f"time {layout}": _timed(layout) for layout in TIME_LAYOUTS},
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "no blanks": lambda text: re.sub(r"\s+", "", text),
    "digits": lambda text: re.sub(r"\D+", "", text),
    "trimmed": str.strip,
    "first word": _split(" ", False),
    "last word": _split(" ", True),
    "first word bare": _word(0),
    "last word bare": _word(-1),
    "before -": _split("-", False),
    "after -": _split("-", True),
    "before (": _split("(", False),
    "before ,": _split(",", False),
    "after ,": _split(",", True),
    "before :": _split(":", False),
    "after :": _split(":", True),
    "before @": _split("@", False),
    "before /": _split("/", False),
    "after /": _split("/", True),
    **{f"first {n}": _head(n) for n in (1, 2, 3, 4)},
    **{f"last {n}": _tail(n) for n in (2, 3, 4, 5)},
}
_LAST_DAY = date(2026, 12, 31)
CONVERSION_WORDS = {
    DAY_FIRST: "as a date",
    "number": "as a plain number",
    "number.2": "with two decimals",
    "number.0": "without decimals",
    "number,2": "with thousands separated and two decimals",
    "number,0": "with thousands separated",
    "no blanks": "without blanks",
    "digits": "digits only",
    "trimmed": "without blanks around it",
    "upper": "in capitals",
    "lower": "in small letters",
    "title": "with each word capitalised",
    **{f"date {layout}": f"written as {_LAST_DAY.strftime(layout)}" for layout in _DATE_FORMATS},
    "time 24 h": "written as 19:45",
    "time 12 h": "written as 7:45 PM",
    **{f"first {n}": f"(its first {n} characters)" for n in (2, 3, 4)},
    **{f"last {n}": f"(its last {n} characters)" for n in (2, 3, 4, 5)},
    "first 1": "(its first character)",
    "first word": "(up to its first blank)",
    "last word": "(after its last blank)",
    "first word bare": "(its first word)",
    "last word bare": "(its last word)",
}


@lru_cache(maxsize=65536)
def convert(how: str, text: str) -> str | None:
    """Apply a named conversion; None when it does not apply to the text."""
    return CONVERSIONS[how](text)


def written_otherwise(text: str) -> list[str]:
    """Other ways in which people write the same date, time of day, or word."""
    dated = parse_date(text)
    if dated is not None:
        return [way for layout in _DATE_FORMATS if (way := dated[0].strftime(layout)) != text]
    timed = parse_time(text)
    if timed is not None:
        return [way for layout in TIME_LAYOUTS if (way := write_time(timed[0], timed[1], layout)) != text]
    if len(text) < 3 or not any(c.isalpha() for c in text):
        return []
    return [way for way in dict.fromkeys((text.upper(), text.lower(), text.title())) if way != text]


def kind_of(text: str) -> str:
    """``number``, ``date``, ``id`` (letters and digits mixed), ``word`` or ``text``."""
    if parse_date(text) is not None:
        return "date"
    if number(text) is not None:
        return "number"
    words = text.split()
    if len(words) == 1 and any(c.isdigit() for c in text):
        return "id"
    return "word" if len(words) <= 4 else "text"


def iban_valid(text: str) -> bool:
    """Whether a text is an IBAN with right check digits (ISO 13616, ISO 7064 mod 97-10)."""
    compact = text.replace(" ", "").upper()
    return bool(re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", compact)) and _mod97(compact) == 1


def _mod97(compact: str) -> int:
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97


def make_iban(rng: random.Random, country: str, shape: str) -> str:
    """A valid IBAN of a country, with the blanks and the account's shape of another."""
    compact = shape.replace(" ", "")
    body = "".join(str(rng.randint(0, 9)) if c.isdigit() else c for c in compact[4:])
    check = 98 - _mod97(f"{country}00{body}")
    made = f"{country}{check:02d}{body}"
    return " ".join(made[i : i + 4] for i in range(0, len(made), 4)) if " " in shape else made


def luhn_valid(text: str) -> bool:
    """Whether a text is a number with a right Luhn check digit (ISO/IEC 7812-1), as card numbers have."""
    digits = [int(c) for c in re.sub(r"[ -]", "", text) if c.isdigit()]
    if len(digits) < 12 or not re.fullmatch(r"[\d -]+", text):
        return False
    doubled = [d if i % 2 == 0 else (d * 2 - 9 if d > 4 else d * 2) for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


FORMATS: dict[str, Callable[[str], bool]] = {
    "IBAN": iban_valid,
    "card number": luhn_valid,
    "e-mail address": lambda text: bool(re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", text)),
    "number": lambda text: number(text) is not None,
    "date": lambda text: parse_date(text) is not None,
}
"""What forms check by themselves: name -> whether a text is a valid one."""
