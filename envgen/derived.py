"""Candidates that nobody could copy: sums and counts over rows, and arithmetic on two numbers.

They are only looked for where numbers were entered, and only believed where they come out right for
different numbers: one number is right by accident too easily.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from envgen.arranged import ASCENDING, DESCENDING, comparisons
from envgen.explanations import Example, Values
from envgen.expressions import (
    Aggregate,
    All,
    Among,
    Arithmetic,
    Constant,
    Equal,
    Expression,
    FieldOf,
    Foremost,
    Parameter,
    Test,
    evaluate,
)
from envgen.expressions import test as holds
from envgen.rows import EXACT, ROW, Row, aggregated, calculated, later
from envgen.values import number, parse_date

_CATEGORIES = 12
# A factor is a rate, or a quantity in a box; exchange rates have the most decimals.
_FACTOR_PLACES = 5
_MOST_SOURCES = 24
_MOST_DIGITS = 18
# The product of the numbers of rows, from which a record is not the first of all of them by accident.
_NO_ACCIDENT = 10_000
Rows = list[Mapping[str, str]]


def derived(
    examples: Sequence[Example], values: Values, day_first: bool
) -> Iterator[tuple[Expression, list[str | None]]]:
    """Derived numbers with what they are in every example, where at least two different ones are right.

    Args:
        day_first: How the dates entered are to be read, see :func:`envgen.values.parse_date`.
    """
    yield from _dates(examples, values, day_first)
    outputs = [_amount(example.output) for example in examples]
    if len({out for out in outputs if out is not None}) < 2:
        return
    found: list[tuple[Expression, list[str | None]]] = []
    for expression, texts in itertools.chain(_aggregates(examples), _arithmetic(examples, values)):
        right = {
            out
            for text, out in zip(texts, outputs, strict=True)
            if out is not None and text is not None and number(text) == out
        }
        if len(right) >= 2:
            found.append((expression, texts))
    yield from found


def _amount(text: str) -> Decimal | None:
    """A number that somebody may have calculated: no long code that happens to be digits alone."""
    found = number(text)
    return None if found is None or len(found.as_tuple().digits) > _MOST_DIGITS else found


# Over rows


def _aggregates(examples: Sequence[Example]) -> Iterator[tuple[Expression, list[str | None]]]:
    contexts = [example.context for example in examples]
    for entity in dict.fromkeys(entity for context in contexts for entity in context.seen):
        rows = [[row for _, row in context.rows(entity)] for context in contexts]
        if sum(len(each) >= 2 for each in rows) * 2 <= len(rows):
            continue
        fields = dict.fromkeys(name for each in rows for row in each for name in row)
        numeric = [name for name in fields if _numeric(name, rows)]
        for where, chosen in _selections(entity, [f for f in fields if f not in numeric], examples, rows):
            count = Aggregate(how="count", entity=entity, where=where)
            yield count, [aggregated("count", "", each) for each in chosen]
            for name, how in itertools.product(numeric, ("sum", "largest", "smallest")):
                made = Aggregate.model_validate({"how": how, "entity": entity, "field": name, "where": where})
                yield made, [aggregated(how, name, each) for each in chosen]


def _numeric(name: str, rows: Sequence[Rows]) -> bool:
    return all(number(row[name]) is not None for each in rows for row in each if row.get(name))


def foremost_of(examples: Sequence[Example], entity: str, day_first: bool) -> list[Expression]:
    """Orders in which the record of every example comes first, of all of an entity's rows or of some.

    One among few is first in some order by accident: orders are believed where accident is not.
    """
    rows = [[row for _, row in example.context.rows(entity)] for example in examples]
    found: list[Expression] = []
    fields = dict.fromkeys(name for each in rows for row in each for name in row)
    for where, chosen in _selections(entity, list(fields), examples, rows):
        if math.prod(len(each) for each in chosen) < _NO_ACCIDENT:
            continue
        for name in fields:
            for by in comparisons([row.get(name, "") for each in chosen for row in each], day_first):
                for way in (ASCENDING, DESCENDING):
                    made = Foremost.model_validate(
                        {"entity": entity, "field": name, "by": by, "direction": way, "where": where}
                    )
                    if all(evaluate(made, example.context) == example.output for example in examples):
                        found.append(made)
        if found:
            # What all rows explain needs no choice among them.
            break
    return found


def _selections(
    entity: str, fields: Sequence[str], examples: Sequence[Example], rows: Sequence[Rows]
) -> Iterator[tuple[Test | None, list[Rows]]]:
    """All rows, those that name what the instruction names, those of a category, and those of both."""
    yield None, list(rows)
    named: list[Test] = []
    kinds: list[Test] = []
    for name in fields:
        of = FieldOf(root=ROW + entity, path=(name,))
        texts = dict.fromkeys(row[name] for each in rows for row in each if row.get(name))
        total = sum(len(each) for each in rows)
        for parameter in dict.fromkeys(p for e in examples for p in e.context.parameters):
            asked = [
                (e.context.parameters.get(parameter), each) for e, each in zip(examples, rows, strict=True)
            ]
            if all(any(row.get(name) == text for row in each) for text, each in asked):
                named.append(Equal(left=of, right=Parameter(name=parameter)))
        if 2 <= len(texts) <= _CATEGORIES and len(texts) * 2 <= total:
            kinds += [Among(of=of, texts=(text,)) for text in texts]
    both = (All(tests=pair) for pair in itertools.product(named, kinds))
    for where in itertools.chain(named, kinds, both):
        chosen = [
            [row for row in each if holds(where, Row(example.context, entity, row))]
            for example, each in zip(examples, rows, strict=True)
        ]
        if any(chosen):
            yield where, chosen


# Of two numbers


def _arithmetic(examples: Sequence[Example], values: Values) -> Iterator[tuple[Expression, list[str | None]]]:
    outputs = [_amount(example.output) for example in examples]
    places = max((-int(o.as_tuple().exponent) for o in outputs if o is not None), default=0)
    places = max(places, 0)
    sources: list[tuple[Expression, list[Decimal]]] = []
    for atom, texts in values:
        numbers = [None if text is None else _amount(text) for text in texts]
        known = [value for value in numbers if value is not None]
        if len(known) == len(numbers) and len(set(known)) > 1:
            sources.append((atom, known))
    del sources[_MOST_SOURCES:]
    for (left, a), (right, b) in itertools.permutations(sources, 2):
        for how in ("plus", "minus", "times"):
            if how == "minus" or str(left) < str(right):
                yield _made(how, left, right, a, b, places)
    for atom, known in sources:
        for how, constant in _constants(known, outputs, places):
            right_side = [constant] * len(known)
            yield _made(how, atom, Constant(text=f"{constant:f}"), known, right_side, places)


def _made(
    how: str, left: Expression, right: Expression, a: Sequence[Decimal], b: Sequence[Decimal], places: int
) -> tuple[Expression, list[str | None]]:
    expression = Arithmetic.model_validate({"how": how, "left": left, "right": right, "places": places})
    return expression, [calculated(how, x, y, places) for x, y in zip(a, b, strict=True)]


def _dates(
    examples: Sequence[Example], values: Values, day_first: bool
) -> Iterator[tuple[Expression, list[str | None]]]:
    """A date always so many days after another."""
    outputs = [parse_date(example.output, day_first) for example in examples]
    if len({out[0] for out in outputs if out is not None}) < 2:
        return
    for atom, texts in values:
        dates = [None if text is None else parse_date(text) for text in texts]
        between = {
            (out[0] - found[0]).days
            for found, out in zip(dates, outputs, strict=True)
            if found is not None and out is not None
        }
        if len(between) == 1 and (days := between.pop()):
            expression = Arithmetic(how="days", left=atom, right=Constant(text=str(days)))
            yield expression, [None if text is None else later(text, days) for text in texts]


def _constants(
    known: Sequence[Decimal], outputs: Sequence[Decimal | None], places: int
) -> Iterator[tuple[str, Decimal]]:
    """What was always added, and the shortest factor that explains the largest of the numbers."""
    pairs = [(x, out) for x, out in zip(known, outputs, strict=True) if out is not None]
    differences = {out - x for x, out in pairs}
    if len(differences) == 1 and (added := differences.pop()):
        yield "plus", added
    largest, result = max(pairs, key=lambda pair: abs(pair[0]))
    for digits in range(1, _FACTOR_PLACES + 1) if largest else ():
        factor = EXACT.divide(result, largest).quantize(Decimal(1).scaleb(-digits), context=EXACT).normalize()
        product = calculated("times", largest, factor, places)
        if factor not in (0, 1) and product is not None and number(product) == result:
            yield "times", factor
            return
