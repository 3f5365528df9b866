"""A stretch of text that says something about a person, and which of several readings wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Of readings that overlap, the one named first wins; then the surer, then the longer one.
_RANK = {
    "SECRET": 0, "EMAIL_ADDRESS": 1, "IBAN_CODE": 2, "CREDIT_CARD": 3, "NATIONAL_ID": 4, "MAC_ADDRESS": 4,
    "IP_ADDRESS": 5, "USERNAME": 5, "DATE_OF_BIRTH": 6, "ID_NUMBER": 7, "VEHICLE_ID": 7, "BANK_ACCOUNT": 7,
    "CUSTOMER_NUMBER": 7, "PHONE_NUMBER": 8, "ADDRESS": 9, "PERSON": 10, "URL": 11, "ORGANIZATION": 12,
    "LOCATION": 12, "AGE": 13, "DATE_TIME": 14,
}  # fmt: skip
TYPES = (*_RANK, "CUSTOM")


@dataclass(frozen=True, slots=True)
class Span:
    """``text[start:end]`` is of ``type``; ``source`` names the recogniser.

    Attributes:
        score: Confidence, 0 to 1.
        strength: For people, how much speaks for it: 3 structure, a title or an
            address line; 2 two independent signs; 1 one sign; 0 a guess.
    """

    start: int
    end: int
    type: str
    score: float
    source: str
    strength: int = 2

    def __len__(self) -> int:
        return self.end - self.start

    def shifted(self, offset: int) -> Span:
        return self.moved(self.start + offset, self.end + offset)

    def moved(self, start: int, end: int) -> Span:
        """The same finding at another place."""
        return Span(start, end, self.type, self.score, self.source, self.strength)


def settle(spans: Iterable[Span]) -> list[Span]:
    """Spans that do not overlap, in text order; of one that a better one cuts into, the longer rest is "
    "kept."""
    ordered = sorted(spans, key=lambda s: (_RANK.get(s.type, 10), -s.score, s.start - s.end, s.start))
    kept: list[Span] = []
    for span in ordered:
        start, end = span.start, span.end
        for other in kept:
            if other.end <= start or end <= other.start:
                continue
            left, right = other.start - start, end - other.end
            start, end = (start, other.start) if left >= right else (other.end, end)
        if end - start > 1 and (start, end) == (span.start, span.end):
            kept.append(span)
        elif span.type == "ADDRESS" and 2 * (end - start) >= span.end - span.start:
            kept.append(Span(start, end, span.type, span.score, span.source, span.strength))
    return sorted(kept, key=lambda s: s.start)
