"""Views: what a click puts on a page, or takes off it, though the address stays.

Pages that are drawn by a script show a tab's panel, a record beside its list or a form above everything
under one address, and are much alike otherwise. What came or went by a click as a block, and named more
than buttons, tells such views apart: each is a kind of page of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envgen.paging import NEXT, PREVIOUS
from envgen.templates import CONTROL_ROLES, entered
from envgen.traces import Moment, Page, Trace
from ingest.snapshot import Node

Named = frozenset[tuple[str, str]]
"""Labelled things of a page: role and name."""

# So many labelled things, buttons among them, are a view; fewer are a part of one.
_BLOCK = 3
_EMPTY = ("", "off")


def changes(traces: Sequence[Trace], named: Callable[[Node], Named]) -> list[tuple[Page, Page, Named]]:
    """The page before a click, the one after it, and what came or went as a block."""
    found: list[tuple[Page, Page, Named]] = []
    for trace in traces:
        for moment in trace.moments:
            if moment.action.verb != "click" or moment.before.node is moment.after.node or _sent(moment):
                continue
            before, after = named(moment.before.node), named(moment.after.node)
            blocks = [block for block in (after - before, before - after) if _is_view(block)]
            if blocks and not _carried(moment):
                found += [(moment.before, moment.after, block) for block in blocks]
    return found


def parts_of(blocks: Sequence[Named]) -> list[Named]:
    """What is in the same blocks comes and goes together; what does so alone is no view."""
    distinct = list(dict.fromkeys(blocks))
    together: dict[tuple[bool, ...], set[tuple[str, str]]] = {}
    for thing in sorted(frozenset[tuple[str, str]]().union(*distinct)):
        together.setdefault(tuple(thing in block for block in distinct), set()).add(thing)
    return [frozenset(part) for part in together.values() if len(part) > 1]


def signature(own: Named, parts: Sequence[Named]) -> tuple[bool, ...]:
    """Which of the parts a page shows."""
    return tuple(len(own & part) * 2 > len(part) for part in parts)


def _is_view(block: Named) -> bool:
    telling = [name for role, name in block if not (NEXT.search(name) or PREVIOUS.search(name))]
    return len(telling) >= _BLOCK and any(role != "button" for role, _ in block)


def _sent(moment: Moment) -> bool:
    """Whether something was changed: what the page says then is said by its data."""
    return any(effect.writes for effect in moment.effects)


def _carried(moment: Moment) -> bool:
    """Whether what was entered before stands on the page after: a form that only grew or shrank."""
    before, after = (_filled(page.node) for page in (moment.before, moment.after))
    return bool(before & after)


def _filled(page: Node) -> set[tuple[str, str, str]]:
    return {
        (node.role, node.name, entered(node))
        for node in page.walk()
        if node.role in CONTROL_ROLES and entered(node) not in _EMPTY
    }
