"""Candidates for a whole answer: constants, copies, changes of format, look-ups and learned maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from envgen.bands import Bands
from envgen.cells import TableFact
from envgen.documents import Knowledge
from envgen.explanations import Candidate, Example
from envgen.expressions import (
    Aggregate,
    Arithmetic,
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
    evaluate,
)
from envgen.joining import joined, places
from envgen.paired import BETWEEN
from envgen.values import CONVERSIONS, DAY_FIRST, convert, number

# Shorter texts stand in others by accident.
_TELLING = 4
Values = list[tuple[Expression, list[str | None]]]
"""Sources with what they are in every example."""
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


def _known(whole: Expression) -> list[Expression]:
    """What a text was put together from."""
    return [part for part in getattr(whole, "parts", ()) if not isinstance(part, Constant)]


class Leaves:
    """Makes the candidates of one search.

    Args:
        typed: The sources as they are converted, see :func:`as_dates`.
        more: Further sources, for whole answers only: no test asks about them.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        values: Values,
        typed: Values,
        knowledge: Knowledge,
        more: Values,
    ) -> None:
        self._examples = examples
        self._values = values
        self._typed = typed
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
        for table in self._knowledge.tables:
            self._lookups(table.id, outputs, add)
        for table in self._knowledge.pairs:
            self._paired_lookups(table, outputs, add)
        for bands in self._knowledge.bands:
            self._banded(bands, outputs, add)
        self._maps(outputs, found)
        if not any(candidate.mask == self._all for candidate in found):
            for whole, texts in joined(outputs, [*self._values, *dates, *self._more]):
                add(whole, texts, 1.0 + sum(0.4 * _atom_cost(part) for part in _known(whole)))
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

    def _lookups(self, table_id: str, outputs: Sequence[str], add: _Add) -> None:
        table = self._knowledge.table(table_id)
        wanted = set(outputs)
        columns = [
            at for at in range(len(table.header)) if wanted & {row[at] for row in table.rows if row[at]}
        ]
        if not columns or len(table.rows) < 2:
            return
        for key_at, key_name in enumerate(table.header):
            keys = [row[key_at].casefold() for row in table.rows]
            if len(set(keys)) < len(keys) or not key_name:
                continue
            where = dict(zip(keys, table.rows, strict=True))
            for atom, values in self._values:
                rows = [None if v is None else where.get(v.casefold()) for v in values]
                if sum(row is not None for row in rows) * 2 < len(rows):
                    continue
                for at in columns:
                    if at == key_at or not table.header[at]:
                        continue
                    expression = Lookup(table=table_id, key_column=key_name, column=table.header[at], of=atom)
                    add(
                        expression, [None if row is None else row[at] for row in rows], _atom_cost(atom) + 1.0
                    )

    def _paired_lookups(self, table: TableFact, outputs: Sequence[str], add: _Add) -> None:
        """Look-ups by two things at once, see :mod:`envgen.paired`."""
        columns = [at for at in range(1, len(table.header)) if {row[at] for row in table.rows} & set(outputs)]
        if not columns:
            return
        where = {row[0].casefold(): row for row in table.rows}
        sides = [{key.split(BETWEEN)[side] for key in where} for side in (0, 1)]
        one, other = (
            [s for s in self._values if sum((v or "").casefold() in known for v in s[1]) * 2 >= len(outputs)]
            for known in sides
        )
        for (left, a), (right, b) in itertools.product(one, other):
            if left == right:
                continue
            keys = [None if x is None or y is None else x + BETWEEN + y for x, y in zip(a, b, strict=True)]
            rows = [None if key is None else where.get(key.casefold()) for key in keys]
            of = Joined(parts=(left, Constant(text=BETWEEN), right))
            cost = 1.0 + _atom_cost(left) + 0.5 * _atom_cost(right)
            for at in columns:
                made = Lookup(table=table.id, key_column=table.header[0], column=table.header[at], of=of)
                add(made, [None if row is None else row[at] for row in rows], cost)

    def _banded(self, bands: Bands, outputs: Sequence[str], add: _Add) -> None:
        """What a table says by numbers from here to there."""
        if len(set(bands.texts) & set(outputs)) < 2:
            return
        for atom, values in self._values:
            if all(value is not None and number(value) is not None for value in values):
                rule = bands.rule(atom)
                add(rule, [evaluate(rule, e.context) for e in self._examples], 1.0 + _atom_cost(atom))

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
    if isinstance(atom, Arithmetic):
        return 0.9 + _atom_cost(atom.left) + (0.3 if isinstance(atom.right, Constant) else 0.5)
    if isinstance(atom, Aggregate):
        return 1.5 + (0.0 if atom.where is None else 0.4 * len(getattr(atom.where, "tests", "1")))
    return 1.2


def _conversions_of(value: str, output: str) -> list[str]:
    return [how for how in CONVERSIONS if convert(how, value) == output]
