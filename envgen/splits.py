"""Tests that can tell examples apart: messages, wording, categories, limits, formats and equalities."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property

from envgen.days import first_day
from envgen.documents import Knowledge
from envgen.explanations import Evidence, Example, Split, Values
from envgen.expressions import (
    Above,
    Among,
    Arithmetic,
    Constant,
    Convert,
    Empty,
    Entered,
    Equal,
    Exceeds,
    Exists,
    Expression,
    FieldOf,
    Lookup,
    Parameter,
    Says,
    Shown,
    Test,
    Told,
    Valid,
    Written,
    parts,
)
from envgen.expressions import test as holds
from envgen.rows import worked_out
from envgen.values import FORMATS, compared, convert, number, parse_date
from envgen.wording import words_of

_CATEGORIES = 12
_SEVERAL = 2
_DATE = "date"
# Two sources are some distance apart by accident sooner than one is above a limit.
_APART_COST = 0.5
_Results = Sequence[bool | None]
_Add = Callable[..., None]


class Splits:
    """Makes the tests of one search; the arguments are those of :class:`envgen.search.Search`."""

    def __init__(
        self,
        examples: Sequence[Example],
        values: Values,
        typed: Values,
        knowledge: Knowledge,
        shown: Sequence[Shown],
        writes: Sequence[str],
        topics: Sequence[str],
        spoken: Mapping[str, str] | None,
        *,
        equalities: bool,
        of_rows: str = "",
    ) -> None:
        self._examples = examples
        self._values = values
        self._typed = typed
        self._knowledge = knowledge
        self._shown = shown
        self._writes = writes
        self._topics = topics
        self._spoken = spoken
        self._equalities = equalities
        self._of_rows = of_rows
        self._all = (1 << len(examples)) - 1
        self._entities = list(dict.fromkeys(entity for e in examples for entity in e.context.records))
        self._related: dict[str, bool] = {}

    def splits(self, *, any_word: bool = False) -> list[Split]:
        """All tests that tell some examples from others, the cheapest first.

        Args:
            any_word: Whether words of the instruction are asked about that do not name the answer.
        """
        found: dict[tuple[int, frozenset[str]], Split] = {}

        def add(test: Test, results: _Results, cost: float, evidence: Evidence | None = None) -> None:
            if any(result is None for result in results):
                return
            mask = sum(1 << i for i, result in enumerate(results) if result)
            if mask in (0, self._all):
                return
            sources = _sources(test)
            known = found.get((mask, sources))
            if known is None or cost < known.cost:
                found[mask, sources] = Split(mask, cost, test, sources, evidence)

        contexts = [example.context for example in self._examples]
        for shown in self._shown:
            add(shown, [holds(shown, c) for c in contexts], 0.6)
        for write in self._writes:
            add(Written(write=write), [c.done(write) for c in contexts], 0.8)
        self._said(add, any_word)
        for atom, values in self._values:
            if self._of_rows and not self._of_row(atom):
                continue
            if not isinstance(atom, Told):
                self._categories(atom, values, add)
            self._limits(atom, values, add)
            if isinstance(atom, Told):
                continue
            empty = Empty(of=atom)
            add(empty, [not v for v in values], 1.2 if isinstance(atom, Entered) else 1.6)
            if isinstance(atom, Entered):
                for name, valid in FORMATS.items():
                    checked = [None if v is None else valid(v) for v in values]
                    add(Valid(of=atom, format=name), checked, 1.1 if name in ("IBAN", "card number") else 1.4)
                for entity in self._entities:
                    there = [
                        None if v is None else c.exists(entity, v)
                        for v, c in zip(values, contexts, strict=True)
                    ]
                    add(Exists(of=atom, entity=entity), there, 1.1)
        if self._equalities:
            self._equal(add)
            self._exceeding(add)
            self._apart(add)
        self._since(add)
        return sorted(found.values(), key=lambda s: s.cost)

    def _of_row(self, atom: Expression) -> bool:
        """Whether a source is what the row at hand says."""
        return any(isinstance(p, FieldOf) and p.root == self._of_rows for p in parts(atom))

    def _exceeding(self, add: _Add) -> None:
        """Numbers and dates that are above others: of the row, or around it, where there is one at hand.

        Of all the numbers of a record some are above others by accident: those compared are written alike,
        and either comes out several times.
        """
        pairs = (
            (
                (one, other)
                for one, other in itertools.permutations(self._typed, 2)
                if self._of_row(one[0]) and None not in one[1] and None not in other[1]
            )
            if self._of_rows
            else itertools.combinations(sorted(self._measured, key=str), 2)
        )
        for (left, a, *kind), (right, b, *other) in pairs:
            if kind != other:
                continue
            orders = [compared(x or "", y or "") for x, y in zip(a, b, strict=True)]
            cost = 1.0 if self._of_rows else self._comparing(left, right)
            for inclusive in (False, True):
                results = [None if o is None else o > 0 or (inclusive and o == 0) for o in orders]
                if self._of_rows or _SEVERAL <= sum(map(bool, results)) <= len(orders) - _SEVERAL:
                    add(Exceeds(left=left, right=right, inclusive=inclusive), results, cost)

    def _apart(self, add: _Add) -> None:
        """How much one number, or date, is above another."""
        for (left, a, kind), (right, b, other) in itertools.permutations(self._measured, 2):
            if kind != other or (self._of_rows and not (self._of_row(left) or self._of_row(right))):
                continue
            for how in ("between",) if kind == _DATE else ("minus", "percent"):
                of = Arithmetic.model_validate({"how": how, "left": left, "right": right, "places": 2})
                self._limits(of, [worked_out(how, x, y, 2) for x, y in zip(a, b, strict=True)], add)

    @cached_property
    def _measured(self) -> list[tuple[Expression, list[str], str]]:
        """Sources of which somebody may ask which is more, with what they are, and how that is written.

        Dates, and numbers with as many decimals each time.
        """
        found = []
        for atom, texts in self._typed:
            known = [text for text in texts if text is not None]
            kinds = {_written(text) for text in known} if len(known) == len(texts) else {None}
            kind = kinds.pop() if len(kinds) == 1 else None
            if kind is not None and isinstance(_plain_source(atom), FieldOf | Parameter | Entered):
                found.append((atom, known, kind))
        return found

    def _since(self, add: _Add) -> None:
        """Dates from which on it is otherwise: that documents name, or that likely begin something."""
        for atom, texts, kind in self._measured:
            if kind != _DATE or (self._of_rows and not self._of_row(atom)):
                continue
            days = [found[0] for text in texts if (found := parse_date(text)) is not None]
            for low, high in itertools.pairwise(sorted(set(days))):
                if self._of_rows and not self._answers_change(days, low, high):
                    continue
                facts = self._knowledge.days_within(low, high, self._topics)
                cost, day, inclusive = 2.0 + self._extra(atom), first_day(low, high), True
                if facts:
                    day, inclusive = facts[0].day, facts[0].inclusive is not False
                    cost = 0.9 if facts[0].inclusive is not None else 1.2
                    if not self._knowledge.on_topic(facts[0], self._topics):
                        cost += 0.3 + self._extra(atom)
                since = Exceeds(left=atom, right=Constant(text=day.isoformat()), inclusive=inclusive)
                add(since, [each > day or (inclusive and each == day) for each in days], cost)

    def _comparing(self, left: Expression, right: Expression) -> float:
        """What asking which of two is more costs: less where documents speak of both."""
        entered = sum(isinstance(_plain_source(side), Entered) for side in (left, right))
        known = self._knowledge.relates(called(left), [called(right)])
        return (1.0 if known else 1.6) + 0.1 * entered

    def _extra(self, atom: Expression) -> float:
        """What asking about a source costs more than asking about one the documents relate to the answer."""
        label = called(atom)
        if not label:
            return 0.0
        if label not in self._related:
            self._related[label] = self._knowledge.relates(label, self._topics)
        # What was entered elsewhere on the form follows from the records itself.
        return (0.0 if self._related[label] else 0.4) + (0.3 if isinstance(atom, Entered) else 0.0)

    def _said(self, add: _Add, any_word: bool) -> None:
        """Words of the instruction: those that name the answer; any when nothing else explains it."""
        if self._spoken is None:
            return
        names = [words_of(self._spoken.get(example.output, example.output)) for example in self._examples]
        said = [example.context.words for example in self._examples]
        for word in sorted(frozenset().union(*said)):
            has = [word in words for words in said]
            if all(word in name for name, there in zip(names, has, strict=True) if there):
                add(Says(word=word), has, 0.8)
            elif any_word and 2 <= sum(has) <= len(has) - 2:
                add(Says(word=word), has, 2.4)

    def _categories(self, atom: Expression, values: Sequence[str | None], add: _Add) -> None:
        texts = dict.fromkeys(v for v in values if v is not None)
        if not 2 <= len(texts) <= _CATEGORIES or all(number(t) is not None for t in texts if t):
            return
        if len(texts) * 2 > len(values) + 1:
            # Almost every example has its own text: an identifier, not a category.
            return
        for text in texts:
            if self._knowledge.relates(text, self._topics):
                cost = 1.0
            else:
                cost = 1.4 if self._knowledge.mentions(text) else 2.2
            if values.count(text) == 1 and self._extra(atom):
                # Anything sets a single example apart; without a document that is no reason.
                cost += 1.5
            if not text:
                cost = 1.6
            cost += self._extra(atom)
            add(Among(of=atom, texts=(text,)), [None if v is None else v == text for v in values], cost)

    def _limits(self, atom: Expression, values: Sequence[str | None], add: _Add) -> None:
        numbers = [None if v is None else number(v) for v in values]
        if any(n is None for n in numbers):
            return
        ordered = sorted({n for n in numbers if n is not None})
        for low, high in itertools.pairwise(ordered):
            if self._of_rows and not self._answers_change(numbers, low, high):
                continue
            if isinstance(atom, Arithmetic) and high <= 0:
                # The other way round it is a limit above nothing.
                continue
            test, evidence = self.limit(atom, low, high)
            add_cost = _APART_COST if isinstance(atom, Arithmetic) else self._extra(atom)
            if evidence.fact is None:
                cost = 2.0 + add_cost
            else:
                cost = 0.9 if evidence.fact.inclusive is not None else 1.2
                if not self._knowledge.on_topic(evidence.fact, self._topics):
                    cost += 0.3 + add_cost
            limit = Decimal(test.limit)
            above = [n is not None and (n >= limit if test.inclusive else n > limit) for n in numbers]
            add(test, above, cost, evidence)

    def _answers_change(self, values: Sequence[object], low: object, high: object) -> bool:
        """Whether examples with two neighbouring numbers, or days, have different answers.

        A limit elsewhere parts no more than the next of these (Fayyad and Irani 1992, theorem 1).
        """
        said = {e.output for e, n in zip(self._examples, values, strict=True) if n in (low, high)}
        return len(said) > 1

    def limit(self, atom: Expression, low: Decimal, high: Decimal) -> tuple[Above, Evidence]:
        """Where a limit between two numbers is: where documents say, else at the roundest number."""
        facts = self._knowledge.within(low, high, self._topics)
        if facts:
            fact = facts[0]
            inclusive = fact.inclusive if fact.inclusive is not None else fact.value == high
            test = Above(of=atom, limit=_plain(fact.value), inclusive=inclusive)
            others = tuple(f for f in facts[1:] if f.value != fact.value)
            return test, Evidence(test, low, high, fact, others)
        test = Above(of=atom, limit=_plain(roundest(low, high)))
        return test, Evidence(test, low, high, None)

    def _equal(self, add: _Add) -> None:
        sides: list[tuple[Expression, list[str | None], float]] = []
        for atom, values in self._values:
            sides.append((atom, values, 0.0))
            for how in ("first 2", "first 3", "last 4"):
                if isinstance(atom, Parameter | FieldOf | Entered):
                    cut = [None if v is None else convert(how, v) for v in values]
                    if all(c is not None for c in cut):
                        sides.append((Convert(how=how, of=atom), cut, 0.7))
        for (left, a, extra_a), (right, b, extra_b) in itertools.combinations(sides, 2):
            if extra_a and extra_b:
                continue
            if self._of_rows and not (self._of_row(left) or self._of_row(right)):
                continue
            results = [None if x is None or y is None else x == y for x, y in zip(a, b, strict=True)]
            if any(r is None for r in results) or len(set(results)) < 2:
                continue
            # One thing compared on two records is the most natural equality there is.
            cost = 0.8 if _same_thing(left, right) else 1.5 + extra_a + extra_b
            add(Equal(left=left, right=right), results, cost)


def _same_thing(left: Expression, right: Expression) -> bool:
    return isinstance(left, FieldOf) and isinstance(right, FieldOf) and left.path[-1] == right.path[-1]


def _sources(test: Test) -> frozenset[str]:
    """What a test asks about; comparing one thing on two records asks about one thing, as does comparing it
    with what the task names."""
    if isinstance(test, Equal) and _same_thing(test.left, test.right):
        assert isinstance(test.left, FieldOf)
        return frozenset({f"both {test.left.path[-1]}"})
    if isinstance(test, Exceeds):
        return frozenset({str(test.left)})
    return frozenset(str(p) for p in parts(test) if isinstance(p, Parameter | FieldOf | Entered))


def _written(text: str) -> str | None:
    """How a number or a date is written; None for what is neither."""
    if parse_date(text) is not None:
        return _DATE
    value = number(text)
    return None if value is None else str(value.as_tuple().exponent)


def called(source: Expression) -> str:
    """What a page, or a table, calls a source; empty for what none shows."""
    if isinstance(source, Lookup):
        return source.column
    source = _plain_source(source)
    if isinstance(source, FieldOf):
        return source.path[-1]
    return source.label if isinstance(source, Entered) else ""


def _plain_source(source: Expression) -> Expression:
    while isinstance(source, Convert | Lookup):
        source = source.of
    return source


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def roundest(low: Decimal, high: Decimal) -> Decimal:
    """The number in ``[low, high)`` with the fewest significant digits: where people put limits."""
    for exponent in range(12, -7, -1):
        unit = Decimal(10) ** exponent
        for step in (unit * 5, unit):
            value = (low / step).to_integral_value(rounding="ROUND_CEILING") * step
            if low <= value < high:
                return value
    return low
