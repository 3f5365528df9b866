"""What the headers of a list's columns say of its order: arrows, or words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from envgen.arranged import ASCENDING, DESCENDING, ORDER
from envgen.expressions import Among, Choose, Constant, Entered, Expression
from envgen.ground import Seen
from envgen.kinds import PageKind
from envgen.workflow import Sort

ORDER_LABEL = "order of the rows"


def order_of(page: str, rows: str) -> Entered:
    """In which order a list is, as an expression."""
    return Entered(control=f"{page}{ORDER}{rows}", label=ORDER_LABEL)


def order_marks(
    kind: PageKind, rows: str, sorts: Sequence[Sort], seen: Sequence[Seen]
) -> dict[str, Expression]:
    """By slot of what is clicked for an order: what it says.

    The columns of a list say it in the same way, so one may show what no recording has of another.
    """
    asked = order_of(kind.id, rows)
    said: dict[str, dict[str, set[str]]] = {}
    for sort in sorts:
        slots = list(kind.nodes[sort.node].slots())
        if sort.option or len(slots) != 1:
            continue
        texts: dict[str, set[str]] = defaultdict(set)
        for each in seen:
            if slots[0] in each.reading.slots:
                order = each.context.controls.get(asked.control, "")
                texts[_own(order, sort)].add(each.reading.slots[slots[0]])
        said[slots[0]] = texts
    together: dict[str, set[str]] = defaultdict(set)
    for texts in said.values():
        for way, found in texts.items():
            together[way] |= found
    if any(len(found) > 1 for found in together.values()):
        return {}
    plain = Constant(text=next(iter(together.get("", ("",)))))
    return {
        next(kind.nodes[sort.node].slots()): _marked(asked, sort, together, plain)
        for sort in sorts
        if next(kind.nodes[sort.node].slots(), "") in said
    }


def _own(order: str, sort: Sort) -> str:
    """The direction of an order of rows, where it is that of a column."""
    return next((way for way in (ASCENDING, DESCENDING) if order == f"{sort.field} {way}"), "")


def _marked(
    asked: Entered, sort: Sort, together: Mapping[str, set[str]], otherwise: Expression
) -> Expression:
    for way in (DESCENDING, ASCENDING):
        for text in together.get(way, ()):
            test = Among(of=asked, texts=(f"{sort.field} {way}",))
            otherwise = Choose(test=test, then=Constant(text=text), otherwise=otherwise)
    return otherwise
