"""What shows only some of a list's rows, learned from recordings.

A field, or links of which one is clicked, filter a list when what a row says explains whether it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from envgen.documents import Knowledge
from envgen.examples import Known
from envgen.explanations import Example
from envgen.expressions import Among, Choose, Constant, Entered, Equal, Expression, FieldOf
from envgen.list_readings import Fields, ListReadings, Shown
from envgen.rows import ROW
from envgen.search import Search
from envgen.values import folded
from envgen.workflow import Filter

YES, NO = Constant(text="yes"), Constant(text="no")
_MAX_LEAVES = 3


def filter_chosen(
    readings: ListReadings, control: str, controls: Mapping[str, str], ordering: Iterable[str]
) -> Filter | None:
    """The filter that a field is; None when it hides nothing, or nothing explains what it hides.

    Args:
        controls: All fields that may filter the list, with what applies them.
        ordering: What is clicked to put the rows in another order.
    """
    shown = list(readings.settled(controls, ordering))
    first = {c: _most(each.values.get(c, "") for each in shown) for c in controls}
    alone = [s for s in shown if all(s.values.get(c, "") == t for c, t in first.items() if c != control)]
    values = sorted({each.values.get(control, "") for each in shown})
    there = {v: [row for s in shown if s.values.get(control, "") == v for row in s.rows] for v in values}
    hidden = {v: _hidden(readings, [s for s in alone if s.values.get(control, "") == v]) for v in values}
    hiding = [v for v in values if hidden[v]]
    if not hiding:
        return None
    asked = Entered(control=f"{readings.kind.id}.{control}", label=readings.kind.label_of(control))
    name = _column(readings, {v: (v, there[v], hidden[v]) for v in hiding}.values())
    if name is not None:
        # Values that hid nothing, and values that nobody chose, are what the column says or they are not.
        every = tuple(v for v in values if any(folded(row.get(name, "")) != folded(v) for row in there[v]))
        where: Expression = _equal(readings, name, asked)
    else:
        tried = {each.values.get(control, "") for each in alone}
        every = tuple(v for v in values if v in tried and v not in hiding)
        where = Constant(text="")
        for value in hiding:
            rule = _rule(readings, there[value], hidden[value])
            if rule is None:
                return None
            where = Choose(test=Among(of=asked, texts=(value,)), then=rule, otherwise=where)
    if every:
        where = Choose(test=Among(of=asked, texts=every), then=YES, otherwise=where)
    return Filter(node=control, where=where, every=every, button=controls[control])


def filters_clicked(readings: ListReadings, taken: set[str]) -> list[Filter]:
    """Links and buttons of which each shows some of the rows, and one perhaps all of them.

    Args:
        taken: What is known to do something else.
    """
    made: list[Filter] = []
    hides = False
    for node, runs in readings.clicked().items():
        every = [visit for run in runs for visit in run]
        if node in taken or not any(map(readings.moved, every)):
            continue
        rests = [readings.shown(v.recording, v.next_reading, {}) for v in every]
        there, hidden = [row for rest in rests for row in rest.rows], _hidden(readings, rests)
        where: Expression | None = YES
        if hidden:
            label = readings.kind.nodes[node].label()
            name = _column(readings, [(label, there, hidden)])
            rule = _rule(readings, there, hidden) if name is None else None
            where = rule if name is None else _equal(readings, name, Constant(text=label))
        if where is not None and there:
            hides = hides or bool(hidden)
            made.append(Filter(node=node, clicked=True, where=where))
    return made if hides else []


def _hidden(readings: ListReadings, shown: Iterable[Shown]) -> list[Fields]:
    """Rows that were not shown, each once."""
    return list({row.get(readings.key_field, ""): row for each in shown for row in each.others}.values())


def _column(
    readings: ListReadings, seen: Iterable[tuple[str, Sequence[Fields], Sequence[Fields]]]
) -> str | None:
    """The column that says what was chosen in every row shown, and in no row hidden."""
    choices = list(seen)
    for name in readings.names:
        if all(
            all(folded(row.get(name, "")) == folded(value) for row in there)
            and all(folded(row.get(name, "")) != folded(value) for row in hidden)
            for value, there, hidden in choices
        ):
            return name
    return None


def _equal(readings: ListReadings, name: str, to: Expression) -> Expression:
    column = FieldOf(root=ROW + readings.entity, path=(name,))
    return Choose(test=Equal(left=column, right=to), then=YES, otherwise=NO)


def _rule(readings: ListReadings, there: Sequence[Fields], hidden: Sequence[Fields]) -> Expression | None:
    """What rows that are shown have in common and others have not."""
    root, nothing = ROW + readings.entity, Knowledge(())
    examples = [
        Example(Known("", 0, nothing, {}, fields={(root, (n,)): t for n, t in row.items()}), answer.text)
        for rows, answer in ((there, YES), (hidden, NO))
        for row in rows
    ]
    names = [name for name in readings.names if name != readings.key_field]
    atoms: list[Expression] = [FieldOf(root=root, path=(name,)) for name in names]
    return Search(examples, atoms, nothing, max_leaves=_MAX_LEAVES, of_rows=root).run().expression


def _most(texts: Iterable[str]) -> str:
    found = list(texts)
    return max(dict.fromkeys(found), key=found.count, default="")
