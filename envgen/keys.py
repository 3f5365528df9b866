"""What a parameter can be where rules look it up in a table: the keys that every look-up finds."""

from __future__ import annotations

from collections.abc import Sequence

from envgen.expressions import Expression, Lookup, Parameter, Test
from envgen.workflow import TableData


def table_keys(
    name: str, expressions: Sequence[Expression | Test], tables: Sequence[TableData]
) -> tuple[str, ...]:
    """The values of a parameter by which all look-ups in tables come to something, in the table's order.

    A look-up of what another one found counts with it. Empty where the parameter is looked up nowhere, or
    no value serves all look-ups.
    """
    known = {table.id: table for table in tables}
    lookups = [e for e in expressions if isinstance(e, Lookup) and _root(e) == Parameter(name=name)]
    first = next((e for e in lookups if isinstance(e.of, Parameter)), None)
    if first is None:
        return ()
    table = known[first.table]
    at = table.header.index(first.key_column)
    keys = dict.fromkeys(row[at] for row in table.rows if row[at])
    return tuple(key for key in keys if all(_found(each, key, known) for each in lookups))


def _root(expression: Expression) -> Expression:
    while isinstance(expression, Lookup):
        expression = expression.of
    return expression


def _found(expression: Expression, key: str, known: dict[str, TableData]) -> str:
    """What a chain of look-ups finds for a key; empty for nothing."""
    if not isinstance(expression, Lookup):
        return key
    key = _found(expression.of, key, known).casefold()
    table = known[expression.table]
    key_at, at = table.header.index(expression.key_column), table.header.index(expression.column)
    return next((row[at] for row in table.rows if key and row[key_at].casefold() == key), "")
