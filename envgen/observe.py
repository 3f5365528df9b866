"""What an agent is told about a page: only what can be read or acted on, and only once.

A page is written one line per readable or usable thing::

    # Invoice INV-4821
    Vendor: Harbor Paper
    link "INV-4821" | Harbor Paper | 4,120.00
    textbox "Cost center": CC-100
    combobox "Terms": Net 30 (Net 30, Net 60)
    button "Submit"

After an action only the lines that were not on the screen just before are told,
so that a long form is read once and an error message stands out.
"""

from __future__ import annotations

from ingest.action import CLICKABLE_ROLES, FILLABLE_ROLES, SELECTABLE_ROLES
from ingest.snapshot import Node

_ROW_ROLES = frozenset({"row", "listitem"})
_FIELD_ROLES = FILLABLE_ROLES | SELECTABLE_ROLES | CLICKABLE_ROLES
# Told without role: they carry text only.
_TOLD_STATES = ("disabled", "checked", "expanded", "required", "invalid")


class Observer:
    """Turns the pages of one episode into what the agent is told. One per episode."""

    def __init__(self) -> None:
        self._shown: list[str] = []

    def first(self, page: Node) -> str:
        """The whole page, for the beginning of an episode."""
        self._shown = lines(page)
        return "\n".join(self._shown)

    def next(self, page: Node, *, acted_on: tuple[str, str] | None = None, message: str = "") -> str:
        """What is new since the last call; empty when only the field acted on changed.

        Args:
            acted_on: Role and name of the field whose value the agent just set:
                its line is what the agent already knows.
            message: What the session has to say about the action, told first.
        """
        before = set(self._shown)
        now = lines(page)
        self._shown = now
        head = None if acted_on is None else _head(*acted_on)
        new = [
            text
            for text in now
            if text not in before and not (head is not None and text.startswith(head))
        ]
        return "\n".join(([message] if message else []) + new)


def lines(page: Node) -> list[str]:
    """A page as the lines an agent reads, in page order."""
    found: list[str] = []
    _collect(page, found)
    return found


def _collect(node: Node, out: list[str]) -> None:
    if node.role in _ROW_ROLES and node.children:
        cells = [cell for cell in (_row_part(child) for child in node.children) if cell]
        if cells:
            out.append(" | ".join(cells))
        return
    if node.role == "heading":
        out.append(f"# {node.name or node.text()}")
        return
    if node.role in _FIELD_ROLES:
        out.append(field(node))
        return
    if node.role in ("term", "rowheader") and not node.children:
        out.append((node.name or node.value or "") + ":")
        return
    if node.role == "definition" and out and out[-1].endswith(":") and not _has_field(node):
        out[-1] = f"{out[-1]} {node.text()}"
        return
    if node.role in ("alert", "status", "dialog", "alertdialog") and not _has_field(node):
        out.append(f"! {node.text()}")
        return
    if not node.children:
        text = node.value if node.role == "text" else " ".join(filter(None, (node.name, node.value)))
        if text:
            out.append(text)
        return
    for child in node.children:
        _collect(child, out)


def _row_part(node: Node) -> str:
    if _has_field(node):
        parts = [field(child) for child in node.walk() if child.role in _FIELD_ROLES]
        return " ".join(parts)
    return node.text()


def _has_field(node: Node) -> bool:
    return any(child.role in _FIELD_ROLES for child in node.walk())


def _head(role: str, name: str) -> str:
    return f'{role} "{name}"'


def field(node: Node) -> str:
    """One usable element: role, name, states, value, and the options of a select."""
    text = _head(node.role, node.name)
    for state in _TOLD_STATES:
        if node.state(state) is not None:
            text += f" [{state}]"
    if node.role in SELECTABLE_ROLES:
        options = [option for option in node.walk() if option.role == "option"]
        chosen = node.value or next((o.name for o in options if o.state("selected") is not None), "")
        return f"{text}: {chosen} ({', '.join(option.name for option in options)})"
    if node.value:
        return f"{text}: {node.value}"
    return text
