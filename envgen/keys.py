"""What a parameter can be where rules look it up in a table: the keys that every look-up finds."""

from __future__ import annotations

from collections.abc import Sequence

from envgen.cells import Cells
from envgen.expressions import Expression, Lookup, Parameter, Test, evaluate
from envgen.rows import Asked
from envgen.workflow import TableData


def table_keys(
    name: str, expressions: Sequence[Expression | Test], tables: Sequence[TableData]
) -> tuple[str, ...]:
    """The values of a parameter by which all look-ups in tables come to something, in the table's order.

    A look-up of what another one found counts with it. Empty where the parameter is looked up nowhere, or
    no value serves all look-ups.

    Args:
        expressions: Everything the rules are made of: a look-up in another one's stands there by itself too.
    """
    known = {table.id: table for table in tables}
    lookups = [e for e in expressions if isinstance(e, Lookup) and _root(e) == Parameter(name=name)]
    first = next((e for e in lookups if isinstance(e.of, Parameter)), None)
    if first is None:
        return ()
    table = known[first.table]
    at = table.header.index(first.key_column)
    keys = dict.fromkeys(row[at] for row in table.rows if row[at])
    cells = Cells(known.__getitem__)
    asked = {key: Asked({name: key}, cells=cells) for key in keys}
    return tuple(key for key in keys if all(evaluate(each, asked[key]) for each in lookups))


def _root(expression: Expression) -> Expression:
    while isinstance(expression, Lookup):
        expression = expression.of
    return expression
