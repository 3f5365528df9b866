"""Stand-ins for dates: one offset for all dates of a person, so that their order and intervals hold."""

from __future__ import annotations

import re
from datetime import date, timedelta

from redact.names import word_list
from redact.patterns import MONTHS, parse_date
from redact.vault import Key

_ENGLISH = word_list("months")
_OLDEST = 89  # HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i)(C): ages over 89 become one group


class Offsets:
    """How far the dates of each person are moved: 30 to 364 days, back or forth, by the key."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def days(self, owner: str) -> int:
        """Days for one person; dates of nobody known (``""``) share one offset of the engagement."""
        number = self._key.number("dates", owner)
        return (number % 335 + 30) * (1 if number >> 32 & 1 else -1)

    def shifted(self, shown: str, owner: str) -> str | None:
        """``shown`` moved by its owner's offset in its own format; None when it is no date."""
        parsed = parse_date(shown)
        return None if parsed is None else shift_date(shown, parsed[0], self.days(owner))


def generalise(kind: str, shown: str) -> str:
    """A date as its year, an age over 89 as "90+"; what cannot be read is left out altogether."""
    if kind == "AGE":
        digits = re.search(r"\d{1,3}", shown)
        return shown if digits and int(digits[0]) <= _OLDEST else "90+"
    parsed = parse_date(shown)
    return "" if parsed is None else str(parsed[0].year)


def shift_date(shown: str, day: date, days: int) -> str:
    """``shown``, which says ``day``, moved by ``days`` and written in the same way."""
    try:
        moved = day + timedelta(days=days)
    except OverflowError:
        moved = day
    numbers = re.findall(r"\d+", shown)
    word = re.search(r"[^\W\d_]{3,}", re.sub(r"\d(?:st|nd|rd|th)\b|\bof\b", "  ", shown))
    if word and word[0].lower()[:3] in MONTHS:
        full = _ENGLISH[moved.month - 1]
        name = full if len(word[0]) > 3 else full[:3]
        name = name.upper() if word[0].isupper() else name.capitalize() if word[0][0].isupper() else name
        values = iter((f"{moved.day:0{len(numbers[0])}d}", str(moved.year)))
        with_month = shown.replace(word[0], "\x00", 1)
        return re.sub(r"\d+", lambda m: next(values, m[0]), with_month).replace("\x00", name)
    if len(numbers) != 3:
        return moved.isoformat()
    if len(numbers[0]) == 4:
        order = (moved.year, moved.month, moved.day)
    elif int(numbers[1]) > 12 or (
        "/" in shown and int(numbers[0]) == day.month and int(numbers[1]) == day.day
    ):
        order = (moved.month, moved.day, moved.year)
    else:
        order = (moved.day, moved.month, moved.year)
    widths = iter(zip(order, numbers, strict=True))

    def piece(_match: re.Match[str]) -> str:
        value, old = next(widths)
        return f"{value % 100:02d}" if len(old) == 2 and value > 99 else f"{value:0{len(old)}d}"

    return re.sub(r"\d+", piece, shown)
