"""Where documents say otherwise than what experts do: said side by side, and left to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from envgen.documents import Knowledge, NumberFact
from envgen.explanations import Evidence, Example, Explanation
from envgen.expressions import Choose, Expression, FieldOf, Shown, evaluate, parts
from envgen.expressions import test as holds
from envgen.values import number
from envgen.words import in_words
from envgen.workflow import Finding

_SHOWN = 4
_MOST = 0.6


def contradicted(
    where: str,
    result: Explanation,
    examples: Sequence[Example],
    knowledge: Knowledge,
    control: str = "",
    labels: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """What documents say against an explanation that the recordings gave.

    Args:
        where: What is explained, in words.
        labels: What answers are called, where they are not texts.
    """
    if result.expression is None:
        return
    for table, strays in result.nearly:
        found = [e for e in strays if not _by_message(result.expression, e)]
        following = len(examples) - len(strays)
        if found and following >= _MOST * (following + len(found)):
            yield Finding(
                kind="document",
                severity="warning",
                text=f"{where}: {following} recordings enter what {in_words(table)} says, {len(found)} enter "
                "something else. Is the document out of date, or did they err? The recordings were followed.",
                evidence=tuple(
                    f"{e.context.recording}: entered “{e.output}”; the document says "
                    f"“{evaluate(table, e.context)}”"
                    for e in found[:_SHOWN]
                ),
                about=control,
            )
    for evidence in result.evidence:
        if evidence.fact is None:
            said = list(_otherwise(evidence, examples, knowledge, labels or {}))
            if said:
                yield Finding(
                    kind="document",
                    severity="warning",
                    text=f"{where}: the recordings put the limit on {in_words(evidence.test.of)} between "
                    f"{evidence.low} and {evidence.high}, documents put it elsewhere. The recordings were "
                    "followed.",
                    evidence=(
                        *_seen(evidence, examples),
                        *dict.fromkeys(f"{f.document}: {f.sentence}" for f in said[:_SHOWN]),
                    ),
                    about=control,
                )


def _by_message(expression: Expression, example: Example) -> bool:
    """Whether a message decides about an example: what the application asks for overrules a table."""
    while isinstance(expression, Choose):
        yes = holds(expression.test, example.context)
        if yes and any(isinstance(part, Shown) for part in parts(expression.test)):
            return True
        expression = expression.then if yes else expression.otherwise
    return False


def _otherwise(
    evidence: Evidence, examples: Sequence[Example], knowledge: Knowledge, labels: Mapping[str, str]
) -> Iterator[NumberFact]:
    """Numbers that documents name in one sentence with the field and an answer, none of them a limit here."""
    source = evidence.test.of
    if not isinstance(source, FieldOf):
        return
    answers = list(dict.fromkeys(labels.get(e.output, e.output) for e in examples))
    for fact in dict.fromkeys(knowledge.numbers):
        apart = fact.value < evidence.low or fact.value > evidence.high
        worded = fact.inclusive is not None and knowledge.on_topic(fact, [source.path[-1]])
        if apart and worded and knowledge.on_topic(fact, answers):
            yield fact


def _seen(evidence: Evidence, examples: Sequence[Example]) -> Iterator[str]:
    for bound in (evidence.low, evidence.high):
        for example in examples:
            text = evaluate(evidence.test.of, example.context)
            if text is not None and number(text) == bound:
                yield f"{example.context.recording}: “{example.output}” at {text}"
                break
