"""What tables of documents say: by one key, by two, by numbers from here to there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from envgen.bands import Bands
from envgen.cells import TableFact
from envgen.documents import Knowledge
from envgen.explanations import Example, Values
from envgen.expressions import Constant, Expression, Joined, Lookup, evaluate
from envgen.paired import BETWEEN
from envgen.values import number

_MOST_SOURCES = 24
_Made = tuple[Expression, list[str | None]]


def looked_up(values: Values, knowledge: Knowledge) -> Values:
    """What tables say of sources that they always know: sources that rules can go on from."""
    found: Values = []
    for table in knowledge.tables:
        for lookup, texts in by_key(table, values):
            if None not in texts and len(set(texts)) > 1 and texts not in (known for _, known in values):
                found.append((lookup, texts))
    return found[:_MOST_SOURCES]


def found_in_tables(
    examples: Sequence[Example], values: Values, further: Values, knowledge: Knowledge
) -> Iterator[_Made]:
    """Look-ups of which some may be answers, with what they are in every example.

    Args:
        further: What was looked up already: the keys of look-ups in another table.
    """
    outputs = {example.output for example in examples}
    for table in knowledge.tables:
        said = {text for row in table.rows for text in row}
        if said & outputs:
            yield from by_key(table, [*values, *further])
    for table in knowledge.pairs:
        if {text for row in table.rows for text in row[1:]} & outputs:
            yield from _by_two_keys(table, values)
    for bands in knowledge.bands:
        if len(set(bands.texts) & outputs) > 1:
            yield from _by_number(bands, examples, values)


def by_key(table: TableFact, values: Values) -> Iterator[_Made]:
    """Look-ups by what names a row, for sources that are such names at least half of the time."""
    if len(table.rows) < 2:
        return
    for key_at, key_name in enumerate(table.header):
        keys = [row[key_at].casefold() for row in table.rows]
        if len(set(keys)) < len(keys) or not key_name:
            continue
        where = dict(zip(keys, table.rows, strict=True))
        for atom, texts in values:
            rows = [None if text is None else where.get(text.casefold()) for text in texts]
            if sum(row is not None for row in rows) * 2 < len(rows):
                continue
            if isinstance(atom, Lookup) and atom.table == table.id:
                continue
            for at, name in enumerate(table.header):
                if at != key_at and name:
                    made = Lookup(table=table.id, key_column=key_name, column=name, of=atom)
                    yield made, [None if row is None else row[at] for row in rows]


def _by_two_keys(table: TableFact, values: Values) -> Iterator[_Made]:
    """Look-ups by two things at once, see :mod:`envgen.paired`."""
    where = {row[0].casefold(): row for row in table.rows}
    sides = [{key.split(BETWEEN)[side] for key in where} for side in (0, 1)]
    one, other = (
        [s for s in values if sum((text or "").casefold() in known for text in s[1]) * 2 >= len(s[1])]
        for known in sides
    )
    for (left, a), (right, b) in itertools.product(one, other):
        if left == right:
            continue
        keys = [None if x is None or y is None else x + BETWEEN + y for x, y in zip(a, b, strict=True)]
        rows = [None if key is None else where.get(key.casefold()) for key in keys]
        of = Joined(parts=(left, Constant(text=BETWEEN), right))
        for at, name in enumerate(table.header[1:], 1):
            made = Lookup(table=table.id, key_column=table.header[0], column=name, of=of)
            yield made, [None if row is None else row[at] for row in rows]


def _by_number(bands: Bands, examples: Sequence[Example], values: Values) -> Iterator[_Made]:
    """What a scale says of numbers."""
    for atom, texts in values:
        if all(text is not None and number(text) is not None for text in texts):
            rule = bands.rule(atom)
            yield rule, [evaluate(rule, example.context) for example in examples]
