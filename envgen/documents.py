"""What documents say that rules can be made of: tables to look up, and numbers with their wording."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property

from envgen.bands import Bands, bands
from envgen.cells import Cells, TableFact
from envgen.days import DayFact, day_facts
from envgen.paired import paired
from envgen.values import number, parted
from ingest.document import Document

# "over 5,000" leaves 5,000 on the lower side, "at least 5,000" on the upper one.
_ABOVE = re.compile(
    r"\b(over|above|exceed\w*|more than|greater than|beyond|up to|at most|no more than|not more than"
    r"|maximum|max\.?)\b",
    re.IGNORECASE,
)
_FROM = re.compile(r"\b(at least|from|starting at|less than|below|under|minimum|min\.?)\b", re.IGNORECASE)
_FROM_AFTER = re.compile(r"^\W{0,3}(or more|or above|and above|and more|or over)\b", re.IGNORECASE)
# Not parts of dates, section numbers, codes or telephone numbers.
_NUMBER = re.compile(
    r"(?<![\w.,/+-])(?:\d{1,3}(?:[,.']\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?)(?![\w%]|[-/.:,]\d|\.\d)"
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_WINDOW = 40
_STEM = 5


@dataclass(frozen=True, slots=True)
class NumberFact:
    """A number in a sentence.

    Attributes:
        inclusive: Whether a value equal to the number is on the upper side ("at least");
            None when the wording does not say.
    """

    value: Decimal
    document: str
    dated: str
    sentence: str
    inclusive: bool | None


@dataclass
class Knowledge:
    """The tables and numbers of all documents.

    Attributes:
        day_first: How dates are to be read, see :func:`envgen.values.parse_date`.
        pairs: The documents' tables as they are looked up by two keys, see :mod:`envgen.paired`.
        bands: What tables say by numbers from here to there.
    """

    documents: Sequence[Document] = ()
    day_first: bool = False
    tables: list[TableFact] = field(default_factory=list)
    numbers: list[NumberFact] = field(default_factory=list)
    days: list[DayFact] = field(default_factory=list)
    pairs: list[TableFact] = field(default_factory=list)
    bands: list[Bands] = field(default_factory=list)

    def __post_init__(self) -> None:
        for document in self.documents:
            self._add(document)

    def _add(self, document: Document) -> None:
        dated = document.dated or ""
        for index, table in enumerate(document.tables):
            header = _unique(table.header)
            name = table.name or str(index + 1)
            table_id = f"{document.source}: {name}"
            if any(known.id == table_id for known in self.tables):
                table_id += f" ({index + 1})"
            rows = tuple(tuple(cell.strip() for cell in row) for row in table.rows)
            self.tables.append(TableFact(table_id, document.source, dated, header, rows))
            self.pairs += paired(self.tables[-1])
            self.bands += bands(self.tables[-1])
            for row in rows:
                self.numbers += number_facts(" | ".join(row), document.source, dated)
                self.days += day_facts(" | ".join(row), document.source, self.day_first)
        for sentence in _SENTENCE.split(document.text):
            self.numbers += number_facts(sentence.strip(), document.source, dated)
            self.days += day_facts(sentence.strip(), document.source, self.day_first)

    @cached_property
    def _passages(self) -> list[frozenset[str]]:
        """The words of every paragraph and of every table with its header, lower case."""
        texts = [part for document in self.documents for part in re.split(r"\n\s*\n|\n(?=\d)", document.text)]
        texts += [
            " ".join((*table.header, *(cell for row in table.rows for cell in row))) for table in self.tables
        ]
        return [frozenset(_words(text)) for text in texts]

    def relates(self, label: str, others: Iterable[str]) -> bool:
        """Whether some passage speaks of a field together with one of the other texts."""
        own = frozenset(_words(label))
        wanted = [words for words in (frozenset(_words(text)) for text in others) if words]
        if not own or not wanted:
            return False
        return any(own <= passage and any(words <= passage for words in wanted) for passage in self._passages)

    @cached_property
    def vocabulary(self) -> str:
        """All text of the documents, lower case, to ask whether a word is mentioned."""
        texts = [document.text for document in self.documents]
        texts += [" ".join(row) for table in self.tables for row in table.rows]
        return "\n".join(texts).lower()

    def mentions(self, text: str) -> bool:
        return len(text) >= 2 and text.lower() in self.vocabulary

    def table(self, table_id: str) -> TableFact:
        return next(table for table in (*self.tables, *self.pairs) if table.id == table_id)

    @cached_property
    def cells(self) -> Cells:
        """The tables' cells."""
        return Cells(self.table)

    @cached_property
    def _by_value(self) -> tuple[list[Decimal], list[int]]:
        """The numbers' values in order, with where each stands in ``numbers``."""
        order = sorted(range(len(self.numbers)), key=lambda at: self.numbers[at].value)
        return [self.numbers[at].value for at in order], order

    def days_within(self, low: date, high: date, topics: Iterable[str] = ()) -> list[DayFact]:
        """Dates that could be a limit between two seen ones, the best supported first."""
        wanted = tuple(topics)
        found = [fact for fact in self.days if parted(fact.day, fact.inclusive, low, high)]
        return sorted(found, key=lambda f: (self.on_topic(f, wanted), f.inclusive is not None), reverse=True)

    @staticmethod
    def on_topic(fact: NumberFact | DayFact, topics: Iterable[str]) -> bool:
        """Whether the sentence of a number or a date speaks of one of the topics."""
        said = frozenset(_words(fact.sentence))
        wanted = [frozenset(_words(text)) for text in topics]
        return any(words and words <= said for words in wanted)

    def within(self, low: Decimal, high: Decimal, topics: Iterable[str] = ()) -> list[NumberFact]:
        """Numbers that could be a limit between two seen values, the best supported first.

        A number whose sentence speaks of one of the topics outranks others, then one whose
        wording says which side the limit itself is on, then one of a later document.
        """
        wanted = tuple(topics)
        values, order = self._by_value
        near = sorted(order[bisect_left(values, low) : bisect_right(values, high)])
        found = [f for f in (self.numbers[at] for at in near) if parted(f.value, f.inclusive, low, high)]
        return sorted(
            found, key=lambda f: (self.on_topic(f, wanted), f.inclusive is not None, f.dated), reverse=True
        )


def number_facts(sentence: str, source: str, dated: str = "") -> list[NumberFact]:
    """The numbers of a sentence, with what its wording says about the side the number itself is on."""
    found = []
    for match in _NUMBER.finditer(sentence):
        value = number(match[0])
        if value is None:
            continue
        before = sentence[max(0, match.start() - _WINDOW) : match.start()]
        after = sentence[match.end() : match.end() + _WINDOW]
        found.append(NumberFact(value, source, dated, sentence[:300], _inclusive(before, after)))
    return found


def _words(text: str) -> list[str]:
    """Words cut to their beginnings, so that "referred" speaks of "Refer"."""
    return [word[:_STEM] for word in re.findall(r"[^\W_]+", text.lower())]


def _inclusive(before: str, after: str) -> bool | None:
    if _FROM_AFTER.search(after):
        return True
    above = [m.end() for m in _ABOVE.finditer(before)]
    start = [m.end() for m in _FROM.finditer(before)]
    if not above and not start:
        return None
    return max(start, default=-1) > max(above, default=-1)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        base, count = name.strip(), 1
        unique = base
        while unique in found:
            count += 1
            unique = f"{base} ({count})"
        found.append(unique)
    return tuple(found)
