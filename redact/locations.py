"""Recogniser of places: countries, and what stands after words that announce a place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from redact.addresses import COUNTRIES, COUNTRY_NAMES
from redact.names import fold, words
from redact.people import NAME_WORD
from redact.spans import Span

_PLACE = (
    rf"(?:(?:the|la|le|el|los|las|san|den|de|St\.?|Saint|Santa) )?{NAME_WORD}"
    rf"(?:(?: (?:de|la|le|del|di|do|da|am|an der|nad|sur|upon|of)(?: la)?)? {NAME_WORD}|-{NAME_WORD}){{0,3}}"
)
_ANNOUNCED = re.compile(
    rf"\b(?:live[sd]? in|living in|mov(?:ed|ing) (?:here |there )?(?:from|to|in)|(?:is |am |'m |was "
    rf")?(?:originally )?from|born in|"
    rf"grew up in|based in|located in|return(?:ed)? to|arrived? (?:at|in)|(?:hometown|city|town|village|"
    rf"state|country)(?: of)?:?|"
    rf"I(?:'m| am) in|travel(?:led|s|ling)? to|flew to|trip to|visit(?:ed|ing)?|offices? in|[Ww]here:) "
    rf"(?P<v>{_PLACE})(?!\w)"
)
_COUNTRY = re.compile(rf"(?<![\w-])(?:{COUNTRY_NAMES})(?![\w-])")
_COUNTRY_SMALL = re.compile(rf"(?<![\w-])(?:{COUNTRY_NAMES})(?![\w-])", re.IGNORECASE)


def find(text: str) -> Iterator[Span]:
    """Places in running text or in one field."""
    cased = any(c.isupper() for c in text)
    for match in (_COUNTRY if cased else _COUNTRY_SMALL).finditer(text):
        yield Span(*match.span(), "LOCATION", 0.7, "country")
    for match in _ANNOUNCED.finditer(text) if cased else ():
        if fold(match["v"]) not in words() and fold(match["v"]) not in COUNTRIES:
            yield Span(*match.span("v"), "LOCATION", 0.5, "announced place")
