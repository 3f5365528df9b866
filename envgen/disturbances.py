"""Seeded faults of an instance: what the recordings did not show, but work must survive.

``dialog``: a notice covers the page once and has to be dismissed. ``rows``: lists are in
another order. ``fields``: form fields stand in another order. ``validation``: the first
submission is refused and one field has to be entered again. ``labels``: fields and buttons
are named a little differently. ``timeout``: the session expires once and the work begins
again at the first page. ``slow``: two pages have to be waited for. ``stale``: the record was
changed by somebody else, so the first submission is refused and its form begins anew.
``wording``: the instruction is worded differently. Several together make a task harder.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgen.render import Named, Place, Rendered
from envgen.templates import CONTROL_ROLES
from fde.errors import InputError
from ingest.snapshot import Node

if TYPE_CHECKING:
    from envgen.state import State
    from envgen.workflow import PageModel

DISTURBANCES = ("dialog", "rows", "fields", "validation")
"""Those that disturbed tasks have by turns in training and evaluation, unless others are asked for."""
FAULTS = (*DISTURBANCES, "labels", "timeout", "slow", "stale", "wording")
"""All that can be injected."""
_NOTICES = (
    ("Notice", "The system will be down for maintenance tonight from 22:00.", "Close"),
    ("Session", "You have been signed in for a while. Go on working?", "Continue"),
    ("What is new", "Lists can now be searched by more than one column.", "Got it"),
)
_EXPIRED = ("Session expired", "You were signed out because nothing was done for a while.", "Sign in again")
_LOADING = ("Loading", "The page takes longer than usual.", "Wait")
_WAITS = 2
_TRIPPED, _CHANGED = "validation", "stale"
_BUTTONS = {
    "Submit": ("Send", "Submit now"),
    "Save": ("Save changes", "Store"),
    "Search": ("Find", "Go"),
    "Find": ("Search", "Go"),
    "Open": ("Show", "View"),
    "Next": ("Next page", "Forward"),
    "Back": ("Go back", "Return"),
    "Cancel": ("Discard", "Leave"),
    "Continue": ("Go on", "Proceed"),
    "OK": ("Okay", "Confirm"),
}
_FIELDS = ("{}:", "{} *", "{} (required)", "Enter {}")
_WORDINGS = (
    "{}",
    "Please do this: {}",
    "Your task: {}",
    "Could you take care of this? {}",
    "{} Thank you.",
    "This is open: {}",
    "Next up: {} Nothing else.",
)


def check_disturbances(names: Iterable[str], known: Sequence[str] = FAULTS) -> None:
    """Raise :class:`InputError` on a name that is none of the known disturbances."""
    for name in names:
        if name not in known:
            raise InputError(f"Unknown disturbance {name!r}.", f"There are: {', '.join(known)}.")


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is going to disturb one episode.

    Attributes:
        notice: Title, text and button of the dialog.
        at: The arrival at which the dialog opens, 0 for never; so ``expires``, when the session does.
        slow: Arrivals at pages that have to be waited for.
    """

    notice: tuple[str, str, str]
    at: int
    expires: int
    slow: frozenset[int]
    refusing: bool
    stale: bool
    seed: int

    @classmethod
    def of(cls, names: frozenset[str], seed: int) -> Overlay:
        rng = random.Random(f"disturbances {seed}")
        notice = rng.choice(_NOTICES)
        at = rng.randint(1, 3)
        other = random.Random(f"faults {seed}")
        expires, first = other.randint(2, 3), other.randint(1, 2)
        return cls(
            notice,
            at if "dialog" in names else 0,
            expires if "timeout" in names else 0,
            frozenset({first, first + 1}) if "slow" in names else frozenset(),
            "validation" in names,
            "stale" in names,
            seed,
        )

    def due(self, state: State) -> str:
        """What covers the page that was just arrived at; "" for nothing."""
        if state.arrivals == self.expires:
            return "expired"
        if state.arrivals == self.at:
            return "notice"
        return "waiting 1" if state.arrivals in self.slow else ""

    def dismissed(self, covered: str) -> str:
        """What covers the page after the button of what covers it was pressed."""
        if covered.startswith("waiting ") and int(covered.removeprefix("waiting ")) < _WAITS:
            return f"waiting {int(covered.removeprefix('waiting ')) + 1}"
        return ""

    def shown(self, covered: str) -> tuple[str, str, str]:
        """Title, text and button of what covers the page."""
        if covered == "notice":
            return self.notice
        return _EXPIRED if covered == "expired" else _LOADING

    def refuses(self, state: State) -> str:
        """Why a submission is refused: ``validation`` or ``stale``, each once; "" when it is not."""
        if self.refusing and _TRIPPED not in state.tripped:
            return _TRIPPED
        return _CHANGED if self.stale and _CHANGED not in state.tripped else ""

    def refuse(self, state: State, page: PageModel) -> str:
        """Lose one entered field; returns its label, "" when nothing is entered."""
        state.tripped |= {_TRIPPED}
        entered = [c for c in page.controls if state.drafts.get(c.id) not in (None, "", "off")]
        if not entered:
            return ""
        lost = random.Random(f"lost {self.seed}").choice(entered)
        state.drafts[lost.id] = "off" if state.drafts[lost.id] == "on" else ""
        return lost.label


def overlay_page(below: Rendered, overlay: Overlay, covered: str) -> Rendered:
    """A modal dialog: what lies below cannot be reached, so it is not told."""
    title, text, button = overlay.shown(covered)
    # Pressing the same button again is another page: who waits sees that something happens.
    turn = covered.partition(" ")[2]
    children = (Node("text", value=f"{text} ({turn})" if turn else text), Node("button", button))
    dialog = Node("dialog", title, children=children)
    page = below.page.with_children((dialog,))
    return Rendered(page, [(("button", button), Place(""))])


def reworded(instruction: str, seed: int) -> str:
    """The same instruction in other words around it; what it names stays as it is."""
    return random.Random(f"wording {seed}").choice(_WORDINGS).format(instruction)


def relabelled(rendered: Rendered, seed: int) -> Rendered:
    """The same page with its fields and buttons named a little differently, the same on every page.

    Links are left alone: they name records.
    """
    names: dict[tuple[str, str], str] = {}
    for (role, name), _ in rendered.named:
        if name and (role in CONTROL_ROLES or role == "button"):
            names[role, name] = _other_name(role, name, seed)
    taken = {name for (_, name), _ in rendered.named}
    # A new name that something else has already would make two of one.
    names = {key: new for key, new in names.items() if new not in taken}
    named: list[Named] = [
        ((role, names.get((role, name), name)), place) for (role, name), place in rendered.named
    ]
    return Rendered(_renamed(rendered.page, names), named)


def _other_name(role: str, name: str, seed: int) -> str:
    rng = random.Random(f"labels {seed} {name}")
    if role == "button":
        return rng.choice(_BUTTONS.get(name, (f"{name} now", f"{name} …")))
    return rng.choice(_FIELDS).format(name)


def _renamed(node: Node, names: dict[tuple[str, str], str]) -> Node:
    children = tuple(_renamed(child, names) for child in node.children)
    new = names.get((node.role, node.name), node.name)
    if new == node.name and children == node.children:
        return node
    return replace(node, name=new, children=children)


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
