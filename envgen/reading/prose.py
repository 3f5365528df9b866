"""What sentences state: limits, what a term means, and which section another document amends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from envgen.documents import number_facts
from envgen.reading.corpus import Corpus, Ref
from envgen.values import number

# Not after an initial, "M. Woodhurst".
_SENTENCE = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)\s+")
_LEAST_WORDS, _LONGEST_SENTENCE = 6, 300
_LONGEST_VALUE = 60
GAP = "___"
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_CURRENCY = "EUR|USD|GBP|CHF|[€$£]"
# A number that says something: a limit, a date, an amount of money, a share, a quantity with its unit.
_GAPPED = re.compile(
    rf"(?<![\w.,/§+-])(?:(?P<money>(?:{_CURRENCY})\s?\d[\d.,']*\d|\d[\d.,']*\s?(?:{_CURRENCY}|%))"
    rf"|(?P<date>\d{{1,2}} (?:{_MONTHS}) \d{{4}}|\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}\.\d{{1,2}}\.\d{{4}})"
    r"|(?P<number>\d[\d,']*(?:\.\d+)?))(?![\w%]|[-/.:,]\d|\.\d)"
)
_UNITS = (
    "days?|weeks?|months?|years?|hours?|minutes?|percent|per cent|euro|kg|km|employees|copies|"
    "Tage?n?|Wochen?|Monate?n?|Jahre?n?|Stunden?|Minuten?"
)
_UNIT_AFTER = re.compile(rf"^\s?(?:(?:working|business|calendar) )?(?:{_UNITS})\b")
_LABELLED = re.compile(
    r"(?:^|(?<=[.;] ))(?P<label>[A-Z][\w-]*(?: [\w-]+){0,3}): (?P<value>[^:;]+?)(?=\.(?:\s|$)|;|$)"
)
_MEANS = re.compile(
    r"(?:^|(?<=[.;] ))[“\"']?(?P<term>[A-Z][\w -]{1,40}?)[”\"']? "
    r"(?:means|refers to|stands for|is defined as|denotes|bedeutet|bezeichnet) (?P<value>[^.;]{3,160})[.;]?"
)
_AMENDS = re.compile(
    r"\b(?:supersed|replac|amend|rais|lower|increas|reduc|chang|revok|repeal|ersetz|geändert|erhöht|gesenkt)"
    r"\w*\b",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"(?:sections?|clauses?|paragraphs?|articles?|§+|abschnitt|ziffer)\s*(\d+(?:\.\d+)+|\d+[a-z]?)",
    re.IGNORECASE,
)
_AMOUNT = r"[€$£]?\s?\d[\d.,']*\d|\d"
_FROM_TO = re.compile(
    rf"\b(?:from|von)\s+(?P<old>{_AMOUNT})\s*(?:[%€]|[A-Za-z]+)?\s+(?:to|auf)\s+(?P<new>{_AMOUNT})",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"^(\d+(?:\.\d+)*)[.)]?\s")
# Sentences that speak to a machine that reads are data like all others, but make no good question:
# their words would stand in a task.
_TO_A_READER = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:instruction|prompt|above|previous)"
    r"|\b(?:system prompt|language model|AI (?:agent|model|assistant)|you are (?:now )?an?)\b"
    r"|\b(?:fill|click|select|press|goto)\s+(?:textbox|link|button|checkbox|combobox|\")",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Gap:
    """A sentence with one of its values taken out; ``kind`` is limit, number, money or date."""

    ref: Ref
    sentence: str
    value: str
    kind: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a line says a term is."""

    ref: Ref
    term: str
    value: str
    labelled: bool


@dataclass(frozen=True, slots=True)
class Amendment:
    """A line that changes another document's section.

    Attributes:
        old, new: The numbers it names, "" where it names none.
    """

    ref: Ref
    amended: Ref
    old: str = ""
    new: str = ""


@dataclass
class Prose:
    """The sentences of a corpus that are not in tables."""

    corpus: Corpus

    @cached_property
    def lines(self) -> list[tuple[Ref, str]]:
        corpus = self.corpus
        return [(ref, corpus.text(ref)) for ref in corpus.refs if corpus.sections[ref[0]].table is None]

    @cached_property
    def addressing(self) -> list[Ref]:
        """Lines that speak to a machine that reads them."""
        return [ref for ref in self.corpus.refs if _TO_A_READER.search(self.corpus.text(ref))]

    @cached_property
    def amendments(self) -> list[Amendment]:
        """Lines that change a section of another document, by its number."""
        found = []
        clauses: dict[str, list[Ref]] = {}
        for ref, text in self.lines:
            match = _CLAUSE.match(text)
            if match:
                clauses.setdefault(match[1], []).append(ref)
        for ref, text in self.lines:
            for sentence in sentences(text):
                if not _AMENDS.search(sentence):
                    continue
                for named in _REFERENCE.findall(sentence):
                    amended = self._amended(ref, clauses.get(named, []))
                    if amended is not None:
                        change = _FROM_TO.search(sentence)
                        old, new = (change["old"].strip(), change["new"].strip()) if change else ("", "")
                        found.append(Amendment(ref, amended, old, new))
        return found

    def _amended(self, by: Ref, candidates: list[Ref]) -> Ref | None:
        """The one of the sections with that number that a line can mean: of the document it names."""
        sections = self.corpus.sections
        mine = sections[by[0]]
        others = [ref for ref in candidates if sections[ref[0]].document != mine.document]
        whole = " ".join(
            sections[s].text(n) for s, n in self.corpus.refs if sections[s].document == mine.document
        ).casefold()
        named = [
            ref
            for ref in others
            if any(
                name and name.casefold() in whole
                for name in (sections[ref[0]].title, sections[ref[0]].document)
            )
        ]
        fitting = named or others
        return fitting[0] if len(fitting) == 1 else None

    def gaps(self) -> Iterator[Gap]:
        """Sentences with a telling value that stands in them once."""
        for ref, text in self.lines:
            if ref in self.addressing:
                continue
            for sentence in sentences(text):
                if len(sentence.split()) < _LEAST_WORDS or len(sentence) > _LONGEST_SENTENCE:
                    continue
                yield from _gaps(ref, sentence)

    def meanings(self) -> Iterator[Meaning]:
        """Terms with what they mean, and labels with what stands after them."""
        for ref, text in self.lines:
            if ref in self.addressing:
                continue
            body = _CLAUSE.sub("", text)
            for match in _MEANS.finditer(body):
                yield Meaning(ref, match["term"].strip(), match["value"].strip(), labelled=False)
            for match in _LABELLED.finditer(body):
                said = match["value"].strip()
                if len(said) <= _LONGEST_VALUE and "@" not in said.split(" ")[0]:
                    yield Meaning(ref, match["label"].strip(), said, labelled=True)


def sentences(text: str) -> list[str]:
    """A line's sentences, the number of its clause taken off."""
    return [part.strip() for part in _SENTENCE.split(_CLAUSE.sub("", text)) if part.strip()]


def _gaps(ref: Ref, sentence: str) -> Iterator[Gap]:
    limits = {fact.value for fact in number_facts(sentence, "") if fact.inclusive is not None}
    for match in _GAPPED.finditer(sentence):
        said = match[0]
        kind = str(match.lastgroup)
        if kind == "number":
            read = number(said)
            worded = read in limits if read is not None else False
            if not worded and not _UNIT_AFTER.match(sentence[match.end() :]):
                continue
            kind = "limit" if worded else "number"
        gapped = f"{sentence[: match.start()]}{GAP}{sentence[match.end() :]}"
        if len(re.findall(rf"(?<![\w.,]){re.escape(said)}(?![\w]|[.,]\d)", sentence)) == 1:
            yield Gap(ref, gapped, said, kind)


def numbers_of(text: str) -> set[Decimal]:
    """The numbers in a line that are no parts of dates or section numbers."""
    return {fact.value for fact in number_facts(_CLAUSE.sub("", text), "")}
