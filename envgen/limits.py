"""Where the limits of rules are: as documents say, as the expert answers, or as nobody says yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from envgen.answers import FILE, Answers, question_id
from envgen.days import day_facts
from envgen.documents import Knowledge, number_facts
from envgen.explanations import Evidence, Example
from envgen.expressions import Above, Constant, Exceeds, Parameter, evaluate
from envgen.values import compared, number, parse_date, parted
from envgen.words import in_words
from envgen.workflow import Finding

_NAMED = 4


class Limits:
    """Settles limits, and asks about those that nothing settles.

    Args:
        findings: Where questions and notes are added.
        knowledge: What documents say of dates.
        answered: Notes an answer that was put in, see :meth:`envgen.questions.Questions.answered`.
    """

    def __init__(
        self,
        findings: list[Finding],
        answers: Answers,
        knowledge: Knowledge,
        answered: Callable[[str, str, str, str, str], None],
    ) -> None:
        self._findings = findings
        self._answers = answers
        self._knowledge = knowledge
        self._answered = answered

    def settled(
        self, where: str, evidence: Evidence, examples: Sequence[Example], count: int, control: str
    ) -> Evidence:
        """A limit as documents or the expert say, else as it was found, and asked about.

        Args:
            where: What is explained, in words.
            count: Which of the limits on the same source it is, from 1.
        """
        words, low, high = in_words(evidence.test.of), evidence.low, evidence.high
        if evidence.fact is not None:
            if evidence.others:
                self._findings.append(
                    Finding(
                        kind="limit",
                        severity="note",
                        text=f"{where}: the limit on {words} is {evidence.test.limit}, from "
                        f"{evidence.fact.document}; other numbers of the documents would have fitted too.",
                        evidence=(evidence.fact.sentence, *(f.sentence for f in evidence.others[:3])),
                        about=control,
                    )
                )
            return evidence
        name = question_id("limit", where, words, str(count))
        below, above = (_recordings(evidence.test, examples, at) for at in (low, high))
        answer = self._answers.to(name)
        refused = ""
        if answer is not None:
            fact = next(iter(number_facts(answer, FILE)), None)
            if fact is not None and parted(fact.value, fact.inclusive, low, high):
                inclusive = fact.inclusive if fact.inclusive is not None else fact.value == high
                test = evidence.test.model_copy(
                    update={"limit": f"{fact.value.normalize():f}", "inclusive": inclusive}
                )
                self._answered(where, f"the limit on {words}", name, answer, control)
                return Evidence(test, low, high, fact)
            refused = _refused(answer)
        self._findings.append(
            Finding(
                kind="limit",
                severity="question",
                id=name,
                text=f"{where}: where is the limit on {words}? It lies between {low} and {high}, and no "
                f"document names it. {evidence.test.limit} was taken, and counts as below.{refused}",
                evidence=(f"largest below: {low} ({below})", f"smallest above: {high} ({above})"),
                how="over NUMBER, or: at least NUMBER",
                about=control,
            )
        )
        return evidence

    def since(self, where: str, part: Exceeds, examples: Sequence[Example], control: str) -> Exceeds:
        """A date from which on it is otherwise: as documents or the expert say, else asked about."""
        assert isinstance(part.right, Constant)
        texts = [evaluate(part.left, e.context) for e in examples]
        days = sorted({found[0] for text in texts if text and (found := parse_date(text)) is not None})
        (taken, _) = parse_date(part.right.text) or (days[0], "")
        later = [day for day in days if day > taken or (day == taken and part.inclusive)]
        low = max((day for day in days if day not in later), default=taken)
        high = min(later, default=taken)
        if any(f.day == taken and f.inclusive is not None for f in self._knowledge.days_within(low, high)):
            return part
        words = in_words(part.left)
        name = question_id("limit", where, words, "day")
        answer, refused = self._answers.to(name), ""
        if answer is not None:
            fact = next(day_facts(answer, FILE, self._knowledge.day_first), None)
            if fact is not None and parted(fact.day, fact.inclusive, low, high):
                self._answered(where, f"the day on {words}", name, answer, control)
                inclusive = fact.inclusive if fact.inclusive is not None else fact.day > low
                right = Constant(text=fact.day.isoformat())
                return part.model_copy(update={"right": right, "inclusive": inclusive})
            refused = _refused(answer)
        self._findings.append(
            Finding(
                kind="limit",
                severity="question",
                id=name,
                text=f"{where}: from which day on {words} is it otherwise? It lies between {low} and {high}, "
                f"and no document says. {taken} was taken, and counts as later.{refused}",
                evidence=(f"latest before: {low}", f"first after: {high}"),
                how="from DATE, or: after DATE",
                about=control,
            )
        )
        return part

    def exactly(self, where: str, part: Exceeds, examples: Sequence[Example], control: str) -> Exceeds:
        """A comparison that no recording shows at its limit itself: the instruction's wording decides, or the
        expert."""
        pairs = [(evaluate(part.left, e.context), evaluate(part.right, e.context)) for e in examples]
        if any(a is not None and b is not None and compared(a, b) == 0 for a, b in pairs):
            return part
        said = {
            fact.inclusive
            for example, (_, limit) in zip(examples, pairs, strict=True)
            for fact in number_facts(example.context.instruction, "")
            if isinstance(part.right, Parameter) and limit is not None and fact.value == number(limit)
        }
        if len(said) == 1 and (inclusive := said.pop()) is not None:
            return part.model_copy(update={"inclusive": inclusive})
        words = f"{in_words(part.left)} is exactly {in_words(part.right)}"
        name = question_id("equal", where, words)
        answer = (self._answers.to(name) or "").lower()
        if answer in ("above", "below"):
            self._answered(where, f"where {words}, that counts as {answer}", name, answer, control)
            return part.model_copy(update={"inclusive": answer == "above"})
        self._findings.append(
            Finding(
                kind="equal",
                severity="question",
                id=name,
                text=f"{where}: where {words}, does that count as above it, or as below? No recording "
                f"shows it. It was taken to be {'above' if part.inclusive else 'below'}."
                + (f" The answer “{answer}” is refused: it is neither above nor below." if answer else ""),
                how="above, or below",
                about=control,
            )
        )
        return part


def _refused(answer: str) -> str:
    return f" The answer “{answer}” is refused: it does not lie between what the recordings show."


def evidence_words(evidence: Evidence) -> str:
    """Why a limit is where it is."""
    test: Above = evidence.test
    side = f"seen {evidence.low} on one side and {evidence.high} on the other"
    if evidence.fact is None:
        return f"limit {test.limit}: {side}; no document names it"
    return f"limit {test.limit}: {side}; {evidence.fact.document}: {evidence.fact.sentence}"


def _recordings(test: Above, examples: Sequence[Example], at: Decimal) -> str:
    """The recordings that show a value."""
    found = dict.fromkeys(
        e.context.recording
        for e in examples
        if (text := evaluate(test.of, e.context)) is not None and number(text) == at
    )
    return ", ".join(list(found)[:_NAMED]) + (", …" if len(found) > _NAMED else "")
