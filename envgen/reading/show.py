"""An environment of questions for a person: in words, and as a page to read and strike out from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from envgen.answers import FILE
from envgen.gate import GateReport
from envgen.reading.model import KINDS, Question, Reading
from envgen.reading.tasks import by_turns
from envgen.sheet import gate_tables, interval, rendered
from envgen.show import gate_lines

_SAMPLES = 3
_OF_A_KIND = {
    "look-up": "what a table says of a record",
    "two steps": "what a table says of what another table says",
    "two documents": "the same, in another document",
    "selection": "which of some records have a value",
    "case": "which of some cases a rule applies to",
    "threshold": "limits, amounts and dates in sentences",
    "definition": "what terms and labels stand for",
    "amended": "what another document changed",
    "unanswerable": "what the documents do not say",
}


def describe(reading: Reading, report: GateReport | None) -> str:
    """The environment as Markdown: kinds with samples, what was left out, guessing, findings, gate."""
    parts = [f"# {reading.name}", "", f"{_made_of(reading)}", ""]
    for kind, about in _OF_A_KIND.items():
        members = _of_kind(reading, kind)
        if members:
            parts += [f"## {kind}: {len(members)} questions", "", f"{about}", ""]
            parts += [line for question in members[:_SAMPLES] for line in _question(reading, question)]
            parts.append("")
    parts += ["## Left out", "", *(f"- {reason}: {count}" for reason, count in reading.dropped.items()), ""]
    parts += ["## Answered without reading", ""]
    parts += [
        f"- {name}: {g.before.hits} of {g.before.total} at first, {g.after.hits} of {g.after.total} of those "
        "that stay"
        for name, g in reading.guessed.items()
    ]
    parts += ["" if reading.closed_book else "- no model was asked", ""]
    for severity, title in (("warning", "Limits"), ("note", "Notes")):
        found = [f for f in reading.findings if f.severity == severity]
        if found:
            parts += [f"## {title}", ""]
            parts += [line for f in found for line in (f"- {f.text}", *(f"  - {e}" for e in f.evidence))]
            parts.append("")
    if report is not None:
        parts += ["## Gate", "", *gate_lines(report), ""]
    return "\n".join(parts).rstrip() + "\n"


def _question(reading: Reading, question: Question) -> Iterator[str]:
    yield f"- {question.text}"
    yield f"  - right: {question.answer or 'the documents do not say'}"
    for group in question.needed:
        yield f"  - from {reading.corpus.cited(group[0])}: {reading.corpus.text(group[0])}"
    yield f"  - if that is wrong, in {FILE}: `{question.id}: no`"


def _made_of(reading: Reading) -> str:
    counted = Counter(question.split for question in reading.questions)
    splits = ", ".join(f"{counted[split]} {split}" for split in ("train", "dev", "test"))
    return (
        f"{len(reading.questions)} questions ({splits}) made of {len(reading.corpus.documents)} documents in "
        f"{len(reading.corpus.sections)} sections."
    )


def _of_kind(reading: Reading, kind: str) -> list[Question]:
    assert set(_OF_A_KIND) == set(KINDS)
    return [question for question in by_turns(list(reading.questions), 0) if question.kind == kind]


def sheet(reading: Reading, report: GateReport | None) -> str:
    """The page for the expert.

    Args:
        report: The gate's, where there is one.
    """
    return rendered(
        "questions.html.j2",
        name=reading.name,
        made_of=_made_of(reading),
        answers=FILE,
        kinds=[
            {
                "name": kind,
                "about": about,
                "count": len(members),
                "samples": [_sample(reading, question) for question in members[:_SAMPLES]],
            }
            for kind, about in _OF_A_KIND.items()
            if (members := _of_kind(reading, kind))
        ],
        dropped=reading.dropped,
        guessed=[
            {
                "name": name,
                "before": f"{g.before.hits} of {g.before.total}",
                "after": f"{g.after.hits} of {g.after.total}",
                "ci": interval(g.after.ci),
            }
            for name, g in reading.guessed.items()
        ],
        closed_book=reading.closed_book.partition(" ")[0],
        findings=[f for f in reading.findings if f.severity != "question"],
        gate=None if report is None else gate_tables(report),
        report=report,
    )


def _sample(reading: Reading, question: Question) -> dict[str, Any]:
    corpus = reading.corpus
    return {
        "id": question.id,
        "text": question.text,
        "answer": question.answer,
        "sources": [(corpus.cited(group[0]), corpus.text(group[0])) for group in question.needed],
        "before": "" if question.stale is None else question.stale.value,
    }
