"""Dates that documents name, and where a limit between two dates is likely to be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from envgen.values import parse_date

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
DATE = re.compile(
    rf"(?<!\d)(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{4}}|\d{{1,2}} {_MONTH} \d{{4}}"
    rf"|{_MONTH} \d{{1,2}}, \d{{4}})(?!\d)",
    re.IGNORECASE,
)
"""A date in a text."""
_AFTER = re.compile(
    r"\b(?:after|until|through|up to|later than|bis|nach)\W*(?:the|zum|dem)?\W*$", re.IGNORECASE
)
_FROM = re.compile(
    r"\b(?:from|as of|since|starting|beginning|before|prior to|effective|ab|seit|vor)\W*(?:the|dem)?\W*$",
    re.IGNORECASE,
)
_WINDOW = 24


@dataclass(frozen=True, slots=True)
class DayFact:
    """A date in a sentence.

    Attributes:
        inclusive: Whether the day itself is on the later side ("from 1 July"); None where the wording does
            not say.
    """

    day: date
    document: str
    sentence: str
    inclusive: bool | None


def day_facts(sentence: str, source: str, day_first: bool) -> Iterator[DayFact]:
    """The dates of a sentence."""
    for match in DATE.finditer(sentence):
        found = parse_date(match[0], day_first)
        if found is not None:
            before = sentence[max(0, match.start() - _WINDOW) : match.start()]
            inclusive = False if _AFTER.search(before) else True if _FROM.search(before) else None
            yield DayFact(found[0], source, sentence[:300], inclusive)


def first_day(low: date, high: date) -> date:
    """The day in ``(low, high]`` with which something likely begins: a year, a quarter, a month, a week."""
    days = [low + timedelta(days=1 + n) for n in range(min((high - low).days, 800))]

    def rank(day: date) -> int:
        if day.day == 1:
            return 0 if day.month == 1 else 1 if day.month % 3 == 1 else 2
        return 3 if day.weekday() == 0 else 4

    return min(reversed(days), key=rank)
