"""Candidates for a whole answer: constants, copies, changes of format, look-ups and learned maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envgen.documents import Knowledge
from envgen.explanations import Candidate, Example, Values
from envgen.expressions import (
    Above,
    Aggregate,
    Arithmetic,
    Choose,
    Constant,
    Convert,
    Entered,
    Expression,
    FieldOf,
    Joined,
    Keep,
    Lookup,
    Mapped,
    Parameter,
    Told,
)
from envgen.joining import joined, places
from envgen.lookups import found_in_tables
from envgen.values import CONVERSIONS, DAY_FIRST, convert

# Shorter texts stand in others by accident.
_TELLING = 4
_Add = Callable[[Expression, Sequence[str | None], float], None]


def as_dates(values: Values) -> Values:
    """The sources, those with dates such as 03/04/2026 read with the day first."""
    found: Values = []
    for atom, texts in values:
        dates = [None if text is None else convert(DAY_FIRST, text) for text in texts]
        said = [date for text, date in zip(texts, dates, strict=True) if text]
        read = bool(said) and None not in said
        found.append((Convert(how=DAY_FIRST, of=atom), dates) if read else (atom, texts))
    return found


class Leaves:
    """Makes the candidates of one search.

    Args:
        typed: The sources as they are converted, see :func:`as_dates`.
        looked_up: What tables say of the sources, see :func:`envgen.lookups.looked_up`.
        more: Further sources, for whole answers only: no test asks about them.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        values: Values,
        typed: Values,
        looked_up: Values,
        knowledge: Knowledge,
        more: Values,
    ) -> None:
        self._examples = examples
        self._values = values
        self._typed = typed
        self._looked_up = looked_up
        self._more = more
        self._knowledge = knowledge
        self._all = (1 << len(examples)) - 1

    def candidates(self) -> list[Candidate]:
        """All candidates, the cheapest first."""
        outputs = [example.output for example in self._examples]
        found: list[Candidate] = []

        def add(expression: Expression, values: Sequence[str | None], cost: float) -> None:
            mask = 0
            for index, (value, output) in enumerate(zip(values, outputs, strict=True)):
                if value == output:
                    mask |= 1 << index
            if mask:
                found.append(Candidate(mask, cost, expression))

        keep = 0
        for index, example in enumerate(self._examples):
            if example.initial is not None and example.initial == example.output:
                keep |= 1 << index
        if keep:
            found.append(Candidate(keep, 0.5, Keep()))
        for text in dict.fromkeys(outputs):
            if not self._own(text):
                add(Constant(text=text), [text] * len(outputs), 0.6)
        dates = [(a, texts) for a, texts in self._typed if isinstance(a, Convert) and a.how == DAY_FIRST]
        plain = [atom.of for atom, _ in dates]
        for atom, values in (*self._values, *dates, *self._more):
            add(atom, values, _atom_cost(atom))
            self._conversions(atom, values, outputs, add, dated=atom not in plain)
        for rule, texts in found_in_tables(self._examples, self._values, self._looked_up, self._knowledge):
            add(rule, texts, _atom_cost(rule))
        self._maps(outputs, found)
        if not any(candidate.mask == self._all for candidate in found):
            for whole, made in joined(outputs, [*self._values, *dates, *self._more]):
                known = (part for part in whole.parts if not isinstance(part, Constant))
                add(whole, made, 1.0 + sum(0.4 * _atom_cost(part) for part in known))
        return sorted(found, key=lambda c: c.cost)

    def _own(self, text: str) -> bool:
        """Whether a text was entered once and names what its task is about, so that no other task has it."""
        found = [example for example in self._examples if example.output == text]
        named = [said for said in found[0].context.parameters.values() if len(said) >= _TELLING]
        return len(found) == 1 and any(said != text and places(said, text) for said in named)

    def _conversions(
        self,
        atom: Expression,
        values: Sequence[str | None],
        outputs: Sequence[str],
        add: _Add,
        *,
        dated: bool,
    ) -> None:
        wanted = {
            how
            for value, output in zip(values, outputs, strict=True)
            if value and output and value != output
            for how in _conversions_of(value, output)
        }
        for how in [how for how in CONVERSIONS if how in wanted and (dated or not how.startswith("date "))]:
            converted = [None if v is None else convert(how, v) for v in values]
            # A short piece of a long text fits by accident too easily.
            cost = 0.6 if how.startswith(("number", "date", "time", "no blanks", "trimmed")) else 1.2
            if any(c and len(c) < 2 for c in converted):
                cost += 1.0
            add(Convert(how=how, of=atom), converted, _atom_cost(atom) + cost)

    def _maps(self, outputs: Sequence[str], found: list[Candidate]) -> None:
        """Maps from a category to an answer that repeat themselves often enough to be believed."""
        for atom, values in self._values:
            pairs: dict[str, str] = {}
            clash = False
            for value, output in zip(values, outputs, strict=True):
                if value is None:
                    clash = True
                    break
                clash = clash or pairs.setdefault(value, output) != output
            if clash or len(pairs) < 2 or len(set(pairs.values())) < 2:
                continue
            repeats = len(outputs) - len(pairs)
            if repeats >= max(2, len(pairs) - 1) or (isinstance(atom, Entered) and repeats >= 2):
                expression = Mapped(of=atom, pairs=tuple(sorted(pairs.items())))
                found.append(Candidate(self._all, _atom_cost(atom) + 1.5 + 0.4 * len(pairs), expression))


def _atom_cost(atom: Expression) -> float:
    if isinstance(atom, Parameter):
        return 1.0
    if isinstance(atom, FieldOf):
        return 1.05 + 0.25 * (len(atom.path) - 1)
    if isinstance(atom, Told):
        return 1.15
    if isinstance(atom, Convert) and atom.how == DAY_FIRST:
        return 0.05 + _atom_cost(atom.of)
    if isinstance(atom, Lookup):
        return 1.0 + _atom_cost(atom.of)
    if isinstance(atom, Joined):
        one, *_, other = atom.parts
        return _atom_cost(one) + 0.5 * _atom_cost(other)
    if isinstance(atom, Choose) and isinstance(atom.test, Above):
        # What a scale says.
        return 1.0 + _atom_cost(atom.test.of)
    if isinstance(atom, Arithmetic):
        return 0.9 + _atom_cost(atom.left) + (0.3 if isinstance(atom.right, Constant) else 0.5)
    if isinstance(atom, Aggregate):
        return 1.5 + (0.0 if atom.where is None else 0.4 * len(getattr(atom.where, "tests", "1")))
    return 1.2


def _conversions_of(value: str, output: str) -> list[str]:
    return [how for how in CONVERSIONS if convert(how, value) == output]
