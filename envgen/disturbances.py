"""Seeded faults of an instance: what the recordings did not show, but work must survive.

``dialog``: a notice covers the page once and has to be dismissed. ``rows``: lists are in
another order. ``fields``: form fields stand in another order. ``validation``: the first
submission is refused and one field has to be entered again.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgen.render import Place, Rendered
from envgen.templates import CONTROL_ROLES
from fde.errors import InputError
from ingest.snapshot import Node

if TYPE_CHECKING:
    from envgen.state import State
    from envgen.workflow import PageModel

DISTURBANCES = ("dialog", "rows", "fields", "validation")
_NOTICES = (
    ("Notice", "The system will be down for maintenance tonight from 22:00.", "Close"),
    ("Session", "You have been signed in for a while. Go on working?", "Continue"),
    ("What is new", "Lists can now be searched by more than one column.", "Got it"),
)
_TRIPPED = "validation"


def check_disturbances(names: Iterable[str], known: Sequence[str] = DISTURBANCES) -> None:
    """Raise :class:`InputError` on a name that is none of the known disturbances."""
    for name in names:
        if name not in known:
            raise InputError(f"Unknown disturbance {name!r}.", f"There are: {', '.join(known)}.")


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is going to disturb one episode.

    Attributes:
        at: The arrival at which the dialog opens, 0 for never.
    """

    title: str
    text: str
    button: str
    at: int
    refusing: bool
    seed: int

    @classmethod
    def of(cls, names: frozenset[str], seed: int) -> Overlay:
        rng = random.Random(f"disturbances {seed}")
        title, text, button = rng.choice(_NOTICES)
        at = rng.randint(1, 3) if "dialog" in names else 0
        return cls(title, text, button, at, "validation" in names, seed)

    def due(self, state: State) -> bool:
        return self.at > 0 and state.arrivals == self.at

    def refuses(self, state: State) -> bool:
        return self.refusing and _TRIPPED not in state.tripped

    def refuse(self, state: State, page: PageModel) -> str:
        """Lose one entered field; returns its label, "" when nothing is entered."""
        state.tripped |= {_TRIPPED}
        entered = [c for c in page.controls if state.drafts.get(c.id) not in (None, "", "off")]
        if not entered:
            return ""
        lost = random.Random(f"lost {self.seed}").choice(entered)
        state.drafts[lost.id] = "off" if state.drafts[lost.id] == "on" else ""
        return lost.label


def overlay_page(below: Rendered, overlay: Overlay) -> Rendered:
    """A modal dialog: what lies below cannot be reached, so it is not told."""
    children = (Node("text", value=overlay.text), Node("button", overlay.button))
    dialog = Node("dialog", overlay.title, children=children)
    page = below.page.with_children((dialog,))
    return Rendered(page, [(("button", overlay.button), Place(""))])


def reorder_fields(page: Node, seed: int) -> Node:
    """The same page with the form fields of every group in another order."""
    children = [reorder_fields(child, seed) for child in page.children]
    at = [i for i, child in enumerate(children) if child.role in CONTROL_ROLES]
    if len(at) >= 2:
        # Sorting by a keyed digest keeps fields in their places when others come and go.
        moved = sorted(
            (children[i] for i in at), key=lambda node: random.Random(f"{seed} {node.name}").random()
        )
        for i, node in zip(at, moved, strict=True):
            children[i] = node
    return page.with_children(tuple(children))
