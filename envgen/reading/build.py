"""Documents in, an environment of questions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from envgen.answers import FILE, Answer
from envgen.generators import SPLITS
from envgen.reading.ask_prose import meanings, sentences
from envgen.reading.ask_rules import cases
from envgen.reading.ask_tables import look_ups, selections, two_steps
from envgen.reading.corpus import make_corpus
from envgen.reading.drafts import Drafts
from envgen.reading.guesses import compared, few_unanswerable, guessed, without_guessable
from envgen.reading.model import KINDS, Question, Reading
from envgen.reading.nothing import unanswerable
from envgen.reading.prose import Prose
from envgen.reading.tables import Tables
from envgen.statistics import Share
from envgen.workflow import Finding
from fde.errors import FdeError, InputError
from ingest.document import Document

NAME = "documents"
# Raise when the same documents would give other questions.
VERSION = 1
_MOST_OF_A_KIND = 150
_LEAST = 30
_LEAST_IN_A_SPLIT = 3
_SHOWN = 5

Ask = Callable[[Sequence[str]], list[str]]
"""Answers questions without documents, in their order."""


@dataclass(frozen=True, slots=True)
class ClosedBook:
    """A model that is asked without documents, to see what it knows or guesses anyway."""

    model: str
    ask: Ask


def build_reading(
    documents: Sequence[Document],
    *,
    name: str = NAME,
    seed: int = 0,
    closed_book: ClosedBook | None = None,
    answers: Mapping[str, Answer] | None = None,
) -> Reading:
    """Make questions with checkable answers from redacted documents.

    The same documents and seed give the same questions. What the documents say is data: a sentence
    that speaks to whoever reads it is not followed, and not asked about.

    Args:
        answers: Questions by their id that an expert strikes out: ``no``.

    Returns:
        The environment; :func:`enough` says whether there are questions enough to use it.

    Raises:
        InputError: for an answer that is not ``no``, or is to a question nobody asked.
    """
    corpus = make_corpus(documents)
    tables, prose = Tables(corpus), Prose(corpus)
    drafts = Drafts(corpus, seed, frozenset(prose.addressing))
    look_ups(drafts, tables)
    two_steps(drafts, tables)
    selections(drafts, tables)
    cases(drafts, tables)
    sentences(drafts, prose)
    meanings(drafts, prose)
    unanswerable(drafts, tables)
    struck = _struck(drafts.questions, answers or {}, name)
    made = sorted((q for q in drafts.questions if q.id not in struck), key=lambda q: q.id)
    drafts.dropped["an expert struck it out"] += len(struck)
    kept = few_unanswerable(drafts, _few_of_a_kind(drafts, without_guessable(drafts, made)))
    measured = compared(guessed(made), guessed(kept))
    findings, asked = list(_findings(tables, prose)), ""
    if closed_book is not None and _enough(kept):
        try:
            known = _known(kept, closed_book)
        except FdeError as error:
            # A model that cannot be asked is no reason to have no questions.
            findings.append(_not_asked(closed_book, error))
        else:
            asked = closed_book.model
            before = Share.of(len(known), len(kept), [q.text for q in kept if q.id in known])
            drafts.dropped["a model answers it without documents"] += len(known)
            kept = [question for question in kept if question.id not in known]
            measured |= compared(
                {"without documents": before}, {"without documents": Share.of(0, len(kept))}
            )
    return Reading(
        name=name,
        corpus=corpus,
        questions=tuple(kept),
        dropped={reason: count for reason, count in sorted(drafts.dropped.items()) if count},
        guessed=measured,
        closed_book=asked,
        findings=tuple(findings),
    )


def _struck(questions: Sequence[Question], answers: Mapping[str, Answer], name: str) -> frozenset[str]:
    known = {question.id for question in questions}
    for question, answer in answers.items():
        if question not in known or answer != "no":
            why = "A question is struck out with no." if question in known else "There is no such question."
            raise InputError(
                f"{FILE}: {name}: {question}: {answer} is no answer. {why}",
                f"The questions and their names: fde envgen show {name}",
            )
    return frozenset(answers)


def _few_of_a_kind(drafts: Drafts, questions: Sequence[Question]) -> list[Question]:
    """At most so many of each kind, those of every group by turns."""
    kept: list[Question] = []
    for kind in KINDS:
        groups: dict[str, list[Question]] = {}
        members = [q for q in questions if q.kind == kind]
        drafts.rng("few", kind).shuffle(members)
        for question in members:
            groups.setdefault(question.group, []).append(question)
        turns = sorted(
            ((number, group, q) for group, some in groups.items() for number, q in enumerate(some)),
            key=lambda turn: turn[:2],
        )
        chosen = [question for _, _, question in turns[:_MOST_OF_A_KIND]]
        drafts.dropped["as many of its kind are asked"] += len(members) - len(chosen)
        kept += chosen
    return sorted(kept, key=lambda q: q.id)


def _known(questions: Sequence[Question], closed_book: ClosedBook) -> set[str]:
    """What the model answers rightly without documents.

    Questions the documents do not answer are not asked: a model that knows nothing says nothing.
    """
    asked = [question for question in questions if question.answerable]
    said = closed_book.ask([question.text for question in asked])
    return {q.id for q, answer in zip(asked, said, strict=True) if q.right(answer)}


def enough(reading: Reading) -> bool:
    """Whether there are questions enough to train and to judge on."""
    return _enough(reading.questions)


def _enough(questions: Sequence[Question]) -> bool:
    counted = Counter(question.split for question in questions)
    return len(questions) >= _LEAST and all(counted[split] >= _LEAST_IN_A_SPLIT for split in SPLITS)


def _not_asked(closed_book: ClosedBook, error: FdeError) -> Finding:
    return Finding(
        kind="closed-book",
        severity="warning",
        text=f"The model {closed_book.model.partition(' ')[0]} could not be asked the questions without "
        f"documents, so what it knows was not left out: {error.message}",
    )


def too_few(reading: Reading) -> Finding:
    """Why there is no environment of questions."""
    counted = Counter(question.kind for question in reading.questions)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(counted.items())) or "none"
    return Finding(
        kind="few-questions",
        severity="note",
        text=f"Too few questions can be made from the documents ({said}; {_LEAST} are needed): tables with a "
        "header and a column that names every row give most.",
    )


def _findings(tables: Tables, prose: Prose) -> list[Finding]:
    found = []
    conflicts = list(dict.fromkeys(tables.conflicts))
    if conflicts:
        found.append(
            Finding(
                kind="documents-differ",
                severity="warning",
                text=f"In {len(conflicts)} places documents say different things and their dates do not "
                "decide: these are not asked about.",
                evidence=tuple(conflicts[:_SHOWN]),
            )
        )
    corpus = tables.corpus
    for change in prose.amendments:
        text = f"{corpus.cited(change.ref)} amends {corpus.cited(change.amended)}"
        text += f": {change.old} became {change.new}." if change.old and change.new else "."
        found.append(Finding(kind="amendment", severity="note", text=text))
    if prose.addressing:
        found.append(
            Finding(
                kind="addresses-the-reader",
                severity="warning",
                text=f"{len(prose.addressing)} lines speak to a machine that reads them. They are data like "
                "all others: not followed, and not asked about.",
                evidence=tuple(corpus.cited(ref) for ref in prose.addressing[:_SHOWN]),
            )
        )
    return found
