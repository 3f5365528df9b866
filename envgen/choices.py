"""Which actions a page offers: the grammar that constrains an agent's action line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ingest.action import (
    CHECKABLE_ROLES,
    CLICKABLE_ROLES,
    FILLABLE_ROLES,
    SELECTABLE_ROLES,
    Action,
    Target,
    target_of,
)
from ingest.snapshot import Node


@dataclass(frozen=True, slots=True)
class Choice:
    """One action line a page offers.

    Attributes:
        text: The canonical line; for an open choice, the part before the value
            (``fill textbox "Search":``, without the space that follows).
        open: Whether free text up to the end of the line follows.
    """

    text: str
    open: bool = False


def choices(page: Node) -> tuple[Choice, ...]:
    """All action lines of a page, in page order, ``done`` last.

    Disabled elements offer nothing. ``press`` and ``goto`` are understood by
    sessions but not offered: what they reach, a click reaches.
    """
    paths = list(_elements(page, (page,)))
    equals = Counter((path[-1].role, path[-1].name) for path in paths)
    found: dict[str, Choice] = {}
    for path in paths:
        for choice in _element_choices(page, path, equals):
            found.setdefault(choice.text, choice)
    return (*found.values(), Choice("done"))


def _elements(node: Node, path: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    yield path
    if node.role in SELECTABLE_ROLES:
        return
    for child in node.children:
        yield from _elements(child, (*path, child))


def _element_choices(
    page: Node, path: tuple[Node, ...], equals: Mapping[tuple[str, str], int]
) -> Iterator[Choice]:
    node = path[-1]
    role = node.role
    interactive = CLICKABLE_ROLES | FILLABLE_ROLES | SELECTABLE_ROLES | CHECKABLE_ROLES
    if role not in interactive or not node.name or node.state("disabled") is not None:
        return
    # What has a name of its own needs no search for others like it.
    unique = equals[role, node.name] == 1 and role != "option"
    target = Target(role=role, name=node.name) if unique else target_of(page, path)
    options = [option for option in node.walk() if option.role == "option"]
    if role in FILLABLE_ROLES or (role == "combobox" and not options):
        # A combobox that offers nothing yet is typed into.
        if node.state("readonly") is not None:
            return
        yield Choice(f"fill {target.text()}:", open=True)
    elif role in SELECTABLE_ROLES:
        for option in options:
            if option.state("disabled") is None:
                yield Choice(Action(verb="select", target=target, value=option.name).text())
    elif role in CHECKABLE_ROLES:
        on = node.state("checked") is not None
        if not on:
            yield Choice(Action(verb="check", target=target).text())
        elif role != "radio":
            yield Choice(Action(verb="uncheck", target=target).text())
    elif role in CLICKABLE_ROLES:
        yield Choice(Action(verb="click", target=target).text())
