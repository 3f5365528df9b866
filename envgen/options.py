"""Options nobody recorded: what a dependent select offers for values that only documents know."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median

from envgen.documents import Knowledge
from envgen.expressions import Lookup, parts
from envgen.workflow import Control, PageModel, PagePlan

_TRIES = 50


def complete_options(page: PageModel, plans: Sequence[PagePlan], knowledge: Knowledge) -> PageModel:
    """Give dependent selects options for the values of their controlling field that no recording shows.

    What a document's table names beside the value is offered, among made-up options of the
    same shape, as many as are usual: a choice of one would give the answer away.
    """
    lookups = {
        rule.control: [p for p in parts(rule.expression) if isinstance(p, Lookup)]
        for plan in plans
        for rule in plan.entries
        if rule.expression is not None
    }
    controls = tuple(_completed(control, lookups, page, knowledge) for control in page.controls)
    return page.model_copy(update={"controls": controls})


def _completed(
    control: Control, lookups: dict[str, list[Lookup]], page: PageModel, knowledge: Knowledge
) -> Control:
    if not control.options_by:
        return control
    known = dict(control.options_for)
    by = next(c for c in page.controls if c.id == control.options_by)
    size = round(median(len(options) for value, options in known.items() if value))
    taken = {option for options in known.values() for option in options}
    for own in lookups.get(control.id, ()):
        for other in lookups.get(by.id, ()):
            if own.table != other.table:
                continue
            table = knowledge.table(own.table)
            at, by_at = table.column(own.column), table.column(other.column)
            for value in by.options:
                named = tuple(dict.fromkeys(row[at] for row in table.rows if row[by_at] == value and row[at]))
                if value not in known and named:
                    known[value] = _among_others(named, size, taken, value)
    return control.model_copy(update={"options_for": tuple(sorted(known.items()))})


def _among_others(named: tuple[str, ...], size: int, taken: set[str], value: str) -> tuple[str, ...]:
    rng = random.Random(f"options {value}")
    found = list(named)
    for _ in range(_TRIES):
        if len(found) >= size:
            break
        digits = [i for i, c in enumerate(named[0]) if c.isdigit()]
        if not digits:
            break
        text = list(rng.choice(named))
        for i in digits[-2:]:
            text[i] = rng.choice("0123456789")
        made = "".join(text)
        if made not in found and made not in taken:
            found.append(made)
    return tuple(sorted(found))
