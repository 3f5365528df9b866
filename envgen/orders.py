"""Forms whose fields stand in another order on every page: one order for all of them.

A field moves with the text beside it that says its name; what else is on the page stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ingest.action import CHECKABLE_ROLES, FILLABLE_ROLES, SELECTABLE_ROLES
from ingest.snapshot import Node

if TYPE_CHECKING:
    from envgen.templates import TemplateNode

_FIELDS = FILLABLE_ROLES | SELECTABLE_ROLES | CHECKABLE_ROLES
Unit = tuple[str, list[Node]]
"""What its fields are called ("" for what holds none), and the siblings that move together."""


def in_one_order(lists: Mapping[int, tuple[Node, ...]]) -> tuple[dict[int, tuple[Node, ...]], bool]:
    """The siblings of several pages with their fields in the first page's order, and whether any moved.

    Only where every page has the same fields, each under a name of its own, in more than one order.
    """
    units = {index: _units(children) for index, children in lists.items()}
    orders = {tuple(key for key, _ in found if key) for found in units.values()}
    first = next(iter(orders), ())
    if len(orders) < 2 or len(set(first)) < len(first) or any(sorted(o) != sorted(first) for o in orders):
        return dict(lists), False
    order = tuple(key for key, _ in units[min(units)] if key)
    return {index: _arranged(found, order) for index, found in units.items()}, True


def as_in(parts: Sequence[TemplateNode], nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """A page's siblings with their fields in the order of the template's; as they are when others."""
    order = tuple(key for key in (_called(part.walk()) for part in parts) if key)
    units = _units(nodes)
    if sorted(key for key, _ in units if key) != sorted(order):
        return nodes
    return _arranged(units, order)


def _arranged(units: Sequence[Unit], order: Sequence[str]) -> tuple[Node, ...]:
    fields = {key: nodes for key, nodes in units if key}
    wanted = iter(order)
    return tuple(node for key, nodes in units for node in (fields[next(wanted)] if key else nodes))


def _units(children: Sequence[Node]) -> list[Unit]:
    found: list[Unit] = []
    for child in children:
        key = _called(child.walk())
        if key and found and not found[-1][0] and _names(found[-1][1][0], key):
            found[-1] = (key, [*found[-1][1], child])
        elif not key and found and len(found[-1][1]) == 1 and found[-1][0] and _names(child, found[-1][0]):
            found[-1][1].append(child)
        else:
            found.append((key, [child]))
    return found


def _called(nodes) -> str:  # type: ignore[no-untyped-def]
    """What the fields among nodes of a page or a template are called."""
    names = []
    for node in nodes:
        if node.role in _FIELDS:
            names.append(f"{node.role} {node.name if isinstance(node.name, str) else node.label()}")
    return " | ".join(names)


def _names(node: Node, key: str) -> bool:
    """Whether a text is the name of a field beside it."""
    said = node.text().strip().rstrip(":").strip()
    return node.role == "text" and bool(said) and key.endswith(f" {said}")
