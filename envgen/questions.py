"""What the recordings leave open, asked as questions an expert can answer, and the answers put in.

A question has a name that stays the same while the workflow does, so that an answer in
``answers.yaml`` finds it again when the workflow is compiled anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from envgen.answers import FILE, Answers, question_id
from envgen.cells import TableFact
from envgen.documents import Knowledge
from envgen.explanations import Example, Explanation
from envgen.expressions import (
    Among,
    Choose,
    Constant,
    Convert,
    Entered,
    Equal,
    Exceeds,
    Expression,
    FieldOf,
    Foremost,
    Keep,
    Lookup,
    Mapped,
    Parameter,
    Told,
    evaluate,
    parts,
    replaced,
)
from envgen.expressions import test as holds
from envgen.limits import Limits, evidence_words
from envgen.splits import called
from envgen.words import in_words
from envgen.workflow import Finding

# A case that every fourth task shows stays unseen in one of ten sets of eight recordings.
ENOUGH = 8


class Questions:
    """Asks about explanations, and puts the expert's answers into them.

    Args:
        findings: Where questions and notes are added.
        knowledge: Where tables from answers are added.
        all_there_is: Fields that name rows of a set table, with all of its keys.
    """

    def __init__(
        self,
        findings: list[Finding],
        answers: Answers,
        knowledge: Knowledge,
        all_there_is: Sequence[tuple[str, frozenset[str]]] = (),
    ) -> None:
        self._findings = findings
        self._answers = answers
        self._knowledge = knowledge
        self._all_there_is = all_there_is
        self._copied: list[str] = []
        self._limits = Limits(findings, answers, knowledge, self.answered)

    def settled(
        self,
        where: str,
        result: Explanation,
        examples: Sequence[Example],
        control: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> tuple[Expression, tuple[str, ...]]:
        """An explanation with the expert's answers in it, and the evidence for its limits in words.

        Args:
            where: What is explained, in words.
            control: Its control, where it is what is entered in one.
            labels: What constants of the explanation are called, where they are not texts.
        """
        assert result.expression is not None
        asked = len(self._findings)
        chosen = self._among_rivals(where, result, control, labels or {})
        if chosen is not result.expression:
            return chosen, ()
        expression = result.expression
        why = []
        seen: Counter[str] = Counter()
        for evidence in result.evidence:
            words = in_words(evidence.test.of)
            seen[words] += 1
            settled = self._limits.settled(where, evidence, examples, seen[words], control)
            if settled.test != evidence.test:
                expression = replaced(expression, evidence.test, settled.test)
            why.append(evidence_words(settled))
        for part in [p for p in parts(expression) if isinstance(p, Exceeds)]:
            settle = self._limits.since if isinstance(part.right, Constant) else self._limits.exactly
            expression = replaced(expression, part, settle(where, part, examples, control))
        expression = self._tables(where, expression, examples, control)
        if not any(finding.severity == "question" for finding in self._findings[asked:]):
            self._few(where, expression, examples, control, labels or {})
        return expression, tuple(why)

    # Rules that few recordings show

    def _few(
        self,
        where: str,
        expression: Expression,
        examples: Sequence[Example],
        control: str,
        labels: Mapping[str, str],
    ) -> None:
        """Few recordings do not show every case: ask whether a rule by cases, or a fixed one, is whole.

        Copies and look-ups fit different values; about all of those of a page one question is enough. Of
        rules that ask several things which no document speaks of, some fit many recordings by accident.
        """
        count = len({example.context.recording for example in examples})
        fixed = isinstance(expression, Constant | Keep) and control
        if count >= ENOUGH and len(examples) >= ENOUGH * self._unspoken(expression, examples):
            return
        if not (fixed or isinstance(expression, Choose | Foremost)):
            if control:
                self._copied.append(f"{where.partition(' on ')[0]} ({in_words(expression)})")
            return
        self.confirm(
            where,
            f"{where}: {count} recordings fit this rule: {_worded(expression, labels)}. Is that all of it?",
            control,
        )

    def _unspoken(self, expression: Expression, examples: Sequence[Example]) -> int:
        """How much a rule asks that no document relates to its answers."""
        answers = list(dict.fromkeys(example.output for example in examples))
        found = set()
        for part in parts(expression):
            if isinstance(part, Among):
                known = all(self._knowledge.relates(text, answers) for text in part.texts)
            elif isinstance(part, Equal | Exceeds) and not isinstance(part.right, Constant):
                sides = [called(part.left), called(part.right)]
                # One thing compared on two records is the most natural there is.
                known = sides[0] == sides[1] or self._knowledge.relates(sides[0], [sides[1], *answers])
            else:
                continue
            if not known:
                found.add(part)
        return len(found)

    def page_done(self, title: str) -> None:
        """All entries of a page are explained: ask once about those that copy or look up."""
        if self._copied:
            self.confirm(
                f"Copies on {title}",
                f"Few recordings show what is entered on “{title}”: {'; '.join(self._copied)}. Is something "
                "else, or nothing, ever entered there?",
                how="no, or record a case that differs",
            )
        self._copied = []

    def confirm(
        self, where: str, text: str, control: str = "", how: str = "yes, or record a case that differs"
    ) -> None:
        """Ask whether something that nothing contradicts is so."""
        name = question_id("confirm", where)
        answer = self._answers.to(name)
        if answer is not None and answer.lower() == how.partition(",")[0]:
            self.answered(where, "the rule is the whole rule", name, answer, control)
            return
        self._findings.append(
            Finding(
                kind="few",
                severity="question",
                id=name,
                text=text,
                how=how,
                about=control,
            )
        )

    # Explanations that fit equally well

    def _among_rivals(
        self, where: str, result: Explanation, control: str, labels: Mapping[str, str]
    ) -> Expression:
        assert result.expression is not None
        rivals = [r for r in result.rivals if differs(r, result.expression)]
        if not rivals:
            return result.expression
        ways = (result.expression, *rivals)
        name = question_id("rule", where)
        answer = self._answers.to(name)
        if answer is not None and answer.isdigit() and 1 <= int(answer) <= len(ways):
            chosen = ways[int(answer) - 1]
            self.answered(where, _worded(chosen, labels), name, answer, control)
            return chosen
        self._findings.append(
            Finding(
                kind="underdetermined",
                severity="question",
                id=name,
                text=f"{where} is explained equally well in {len(ways)} ways. Which one is right? The first "
                "was taken."
                + (
                    "" if answer is None else f" The answer “{answer}” is refused: it is none of the numbers."
                ),
                options=tuple(_worded(way, labels) for way in ways),
                how="the number of the right one",
                about=control,
            )
        )
        return result.expression

    # Tables that no document holds

    def _tables(
        self, where: str, expression: Expression, examples: Sequence[Example], control: str
    ) -> Expression:
        for part in [p for p in parts(expression) if isinstance(p, Mapped)]:
            if self._whole(part):
                continue
            table = self._table(where, part.of, dict(part.pairs), control)
            if table is not None:
                expression = replaced(expression, part, table)
        for chain, source, texts in case_chains(expression):
            pairs = {
                value: entered
                for e in examples
                if _reaches(expression, chain, e)
                and (value := evaluate(source, e.context)) is not None
                and (entered := evaluate(chain, e.context)) is not None
            }
            table = self._table(where, source, pairs, control, texts)
            if table is not None:
                expression = replaced(expression, chain, table)
        return expression

    def _whole(self, mapped: Mapped) -> bool:
        """Whether a map says what is entered for every value that there is."""
        known = {key for key, _ in mapped.pairs}
        if isinstance(mapped.of, Entered):
            return known == {"on", "off"}
        of = mapped.of.path[-1:] if isinstance(mapped.of, FieldOf) else ()
        return any(known >= texts for name, texts in self._all_there_is if (name,) == of)

    def _table(
        self, where: str, source: Expression, pairs: dict[str, str], control: str, texts: tuple[str, ...] = ()
    ) -> Expression | None:
        """The answered table as a look-up; without an answer it is asked for."""
        words = in_words(source)
        name = question_id("map", where, words)
        given = self._answers.table(name)
        if given:
            return self._look_up(where, source, {**given, **pairs}, name, control)
        self._findings.append(
            Finding(
                kind="map",
                severity="question",
                id=name,
                text=f"{where} goes by {words}, case by case, and no document holds the table. What is "
                "entered for values that the recordings do not show?",
                evidence=texts or tuple(f"{a} → {b}" for a, b in sorted(pairs.items())),
                how="one line for each further value: VALUE: WHAT IS ENTERED",
                about=control,
            )
        )
        return None

    def _look_up(
        self, where: str, source: Expression, rows: dict[str, str], name: str, control: str
    ) -> Expression:
        header = (re.sub(r"[“”]", "", in_words(source)), "entered")
        table = TableFact(f"{FILE}: {name}", FILE, "", header, tuple(sorted(rows.items())))
        self._knowledge.tables.append(table)
        self.answered(where, f"a table of {len(rows)} rows", name, f"{len(rows)} rows", control)
        return Lookup(table=table.id, key_column=header[0], column=header[1], of=source)

    # What nothing explains

    def believed(self, where: str, examples: Sequence[Example]) -> list[Example]:
        """The examples without those that an answer says are mistakes."""
        kept = list(examples)
        answer = self._answers.to(question_id("contradiction", where))
        while answer is not None:
            clash = contradiction(kept)
            wrong = [e for e in clash or () if answer not in (e.context.recording, e.output)]
            if len(wrong) != 1:
                break
            kept.remove(wrong[0])
        if len(kept) < len(examples):
            name = question_id("contradiction", where)
            self.answered(where, "which recordings are right", name, answer or "")
        return kept

    def unexplained(self, where: str, control: str, examples: Sequence[Example]) -> bool:
        """Ask about an entry that nothing explains; True when it takes the expert's own words."""
        evidence = tuple(f"{e.context.recording}: {e.output or 'nothing'}" for e in examples)[:8]
        clash = contradiction(examples)
        if clash is not None:
            one, other = clash
            self._findings.append(
                Finding(
                    kind="contradiction",
                    severity="question",
                    id=question_id("contradiction", where),
                    text=f"{where}: recordings {one.context.recording} and {other.context.recording} agree "
                    f"in all that could be seen, but one entered “{one.output}” and the other "
                    f"“{other.output}”. Which is right?",
                    evidence=evidence,
                    options=(
                        f"{one.context.recording}: {one.output}",
                        f"{other.context.recording}: {other.output}",
                    ),
                    how="the name of the recording that is right, or the text that is",
                    about=control,
                )
            )
            return False
        name = question_id("rule", where)
        answer = self._answers.to(name)
        if answer is not None and answer.lower() == "free":
            self.answered(where, "the expert's own words, not judged", name, answer, control)
            return True
        self._findings.append(
            Finding(
                kind="unexplained",
                severity="question",
                id=name,
                text=f"What decides about {where}? Nothing seen before, in the instruction or in the "
                "documents explains what was entered.",
                evidence=evidence,
                how="free (it takes the expert's own words and is not judged), or record once more",
                about=control,
            )
        )
        return False

    def answered(self, where: str, what: str, name: str, answer: str, control: str = "") -> None:
        """Note that the expert's answer to a question has been put in.

        Args:
            where: What it is about, in words.
            what: What it settles, in words.
            name: The question's.
            control: Its control, where it is what is entered in one.
        """
        self._findings.append(
            Finding(
                kind="answered",
                severity="note",
                id=name,
                text=f"{where}: {what}, as {FILE} answers.",
                evidence=(answer,),
                about=control,
            )
        )


def case_chains(expression: Expression) -> list[tuple[Choose, Expression, tuple[str, ...]]]:
    """Parts that go case by case over one source: the part, its source, and the cases; two at least."""
    if not isinstance(expression, Choose):
        return []
    if isinstance(expression.test, Among):
        source, texts = expression.test.of, list(expression.test.texts)
        part: Expression = expression.otherwise
        while isinstance(part, Choose) and isinstance(part.test, Among) and part.test.of == source:
            texts += part.test.texts
            part = part.otherwise
        if len(texts) >= 2 and isinstance(part, Constant):
            return [(expression, source, tuple(texts))]
    return case_chains(expression.then) + case_chains(expression.otherwise)


def _reaches(expression: Expression, part: Expression, example: Example) -> bool:
    """Whether an example is decided by a part of an explanation."""
    while expression != part:
        if not isinstance(expression, Choose):
            return False
        expression = expression.then if holds(expression.test, example.context) else expression.otherwise
    return True


def contradiction(examples: Sequence[Example]) -> tuple[Example, Example] | None:
    """Two examples between which only identifiers differ, with different answers."""
    telling: dict[tuple[object, ...], Example] = {}
    counts: Counter[tuple[object, str]] = Counter()
    for example in examples:
        for place, text in example.context.fields.items():
            counts[place, text] += 1
    for example in examples:
        key = (
            frozenset((p, t) for p, t in example.context.fields.items() if counts[p, t] > 1),
            frozenset(example.context.messages),
        )
        known = telling.setdefault(key, example)
        if known.output != example.output and len(key[0]) >= 2:
            return known, example
    return None


def differs(rival: Expression, best: Expression) -> bool:
    """Whether two explanations would ever disagree: copies of equal fields of other pages would not."""
    if any(isinstance(p, Entered) for e in (rival, best) for p in parts(e)):
        # What is entered follows from rules of its own; asking about it asks about those again.
        return False
    plain = (Constant, FieldOf, Parameter, Convert, Told, Entered)
    if isinstance(rival, plain) and isinstance(best, plain):
        return False
    if isinstance(rival, Lookup) and isinstance(best, Lookup):
        return rival.of != best.of or rival.key_column != best.key_column
    return True


def _worded(expression: Expression, labels: Mapping[str, str]) -> str:
    words = in_words(expression)
    for name, label in labels.items():
        words = words.replace(f"“{name}”", f"“{label}”")
    return words
