"""Which actions a page offers: the grammar that constrains an agent's action line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.action import (
    CHECKABLE_ROLES,
    CLICKABLE_ROLES,
    FILLABLE_ROLES,
    SELECTABLE_ROLES,
    Action,
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
    found: dict[str, Choice] = {}
    for path in _elements(page, (page,)):
        for choice in _element_choices(page, path):
            found.setdefault(choice.text, choice)
    return (*found.values(), Choice("done"))


def _elements(node: Node, path: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    yield path
    if node.role in SELECTABLE_ROLES:
        return
    for child in node.children:
        yield from _elements(child, (*path, child))


def _element_choices(page: Node, path: tuple[Node, ...]) -> Iterator[Choice]:
    node = path[-1]
    role = node.role
    interactive = CLICKABLE_ROLES | FILLABLE_ROLES | SELECTABLE_ROLES | CHECKABLE_ROLES
    if role not in interactive or not node.name or node.state("disabled") is not None:
        return
    target = target_of(page, path)
    if role in FILLABLE_ROLES:
        yield Choice(f"fill {target.text()}:", open=True)
    elif role in SELECTABLE_ROLES:
        for option in node.walk():
            if option.role == "option" and option.state("disabled") is None:
                yield Choice(Action(verb="select", target=target, value=option.name).text())
    elif role in CHECKABLE_ROLES:
        on = node.state("checked") is not None
        if not on:
            yield Choice(Action(verb="check", target=target).text())
        elif role != "radio":
            yield Choice(Action(verb="uncheck", target=target).text())
    elif role in CLICKABLE_ROLES:
        yield Choice(Action(verb="click", target=target).text())
