"""Page templates: a page's tree with holes, and reading a concrete page through one.

A template node is a page node whose name and value are patterns (:mod:`envgen.texts`).
Three things vary from page to page: slots in patterns, *optional* nodes (present on some
pages), and *rows* (a template node of kind ``rows`` stands for any number of siblings
shaped like its only child). Form controls keep their label; what is entered in them is
state, not template.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from envgen.orders import as_in
from envgen.texts import Pattern, extract, slots_of
from ingest.action import CHECKABLE_ROLES, FILLABLE_ROLES, SELECTABLE_ROLES
from ingest.snapshot import Node

CONTROL_ROLES = FILLABLE_ROLES | SELECTABLE_ROLES | CHECKABLE_ROLES
# States that say what is entered or chosen; they belong to the control's state.
ENTERED_STATES = frozenset({"checked", "selected"})
_UNNAMED = CONTROL_ROLES | {"button"}
MESSAGE_ROLES = frozenset({"alert", "status", "dialog", "alertdialog"})
NodeKind = Literal["plain", "control", "rows"]

# Weights of the alignment: a missing required node is worse than an unknown extra one.
_MISSING = -4.0
_UNKNOWN = -3.0
_IMPOSSIBLE = -1e9
_HELD = 1.5
_EMPTY = 0.1


class TemplateNode(BaseModel):
    """One node of a page template.

    Attributes:
        id: Unique within the page, ``n1``, ``n2``, …; slots are named after it.
        name_from_text: The name is the text of the children (tables name rows so).
        flags: States that only some pages show, for instance ``disabled``.
        optional: Whether some pages lack the node.
        any_order: Whether its fields stand in another order on every page.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    role: str
    kind: NodeKind = "plain"
    name: Pattern = ("",)
    value: Pattern | None = None
    name_from_text: bool = False
    states: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()
    optional: bool = False
    any_order: bool = False
    children: tuple[TemplateNode, ...] = ()

    def walk(self) -> Iterator[TemplateNode]:
        """This node and all below it, in page order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def slots(self, *, into_rows: bool = False) -> Iterator[str]:
        """Slot ids of this node and below, without those of rows unless asked."""
        yield from slots_of(self.name)
        if self.value is not None:
            yield from slots_of(self.value)
        for child in self.children:
            if child.kind != "rows" or into_rows:
                yield from child.slots(into_rows=into_rows)

    def label(self) -> str:
        """What a person would call the node."""
        return " ".join("…" if i % 2 else part.strip() for i, part in enumerate(self.name)).strip()


@dataclass(slots=True)
class Reading:
    """A concrete page read through a template.

    Attributes:
        slots: Slot id to text.
        controls: Control id to what is entered: text, chosen option, ``on``/``off``.
        options: Id of a select to the options it offers.
        present: Ids of the optional nodes and ``id:flag`` states that are there.
        rows: Id of a ``rows`` node to one reading per row.
        origin: ``id()`` of each page node to its template node and row path.
        missing: Required template nodes that are not on the page.
        unknown: Page nodes the template does not have.
        size: Template nodes that were found.
    """

    slots: dict[str, str] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    rows: dict[str, list[Reading]] = field(default_factory=dict)
    origin: dict[int, tuple[str, int | None]] = field(default_factory=dict)
    missing: int = 0
    unknown: int = 0
    size: int = 0

    def texts(self) -> Iterator[str]:
        """Everything that differs from page to page: what it says, and what is entered."""
        yield from self.slots.values()
        yield from self.controls.values()
        for rows in self.rows.values():
            for row in rows:
                yield from row.texts()

    @property
    def fit(self) -> float:
        """Share of the page and the template that correspond, 0 to 1."""
        total = self.size + self.missing + self.unknown
        return self.size / total if total else 0.0

    def row_of(self, node: Node) -> tuple[str, int | None] | None:
        return self.origin.get(id(node))


def entered(node: Node) -> str:
    """What is entered in a control: its text, its chosen option, or ``on``/``off``."""
    if node.role in CHECKABLE_ROLES:
        return "on" if node.state("checked") not in (None, "false") else "off"
    if node.value is not None or node.role in FILLABLE_ROLES:
        return node.value or ""
    chosen = [o.name for o in node.walk() if o.role == "option" and o.state("selected") is not None]
    return chosen[0] if chosen else ""


def text_below(node: Node) -> str:
    """What the children of a node say; rows and their cells are named without their buttons and fields."""
    without = _UNNAMED if node.role in ("row", "cell") else frozenset()
    return " ".join(text for text in (_said(child, without) for child in node.children) if text)


def _said(node: Node, without: frozenset[str]) -> str:
    if node.role in without:
        return ""
    if not any(inner.role in without for inner in node.walk()):
        return node.text()
    return " ".join(text for text in (_said(child, without) for child in node.children) if text)


def options_of(node: Node) -> tuple[str, ...]:
    """The options a select offers, in order."""
    return tuple(option.name for option in node.walk() if option.role == "option")


def read(template: TemplateNode, page: Node) -> Reading:
    """Read a page through a template. Never fails; see ``missing`` and ``unknown``."""
    reading = Reading()
    _read(template, page, reading, reading, None)
    return reading


def _read(template: TemplateNode, node: Node, into: Reading, top: Reading, row: int | None) -> None:
    top.origin[id(node)] = (template.id, row)
    into.size += 1
    if template.optional:
        into.present.add(template.id)
    for flag in template.flags:
        if node.state(flag) is not None:
            into.present.add(f"{template.id}:{flag}")
    if not template.name_from_text:
        into.slots.update(extract(template.name, node.name) or {})
    if template.kind == "control":
        into.controls[template.id] = entered(node)
        if node.role in SELECTABLE_ROLES:
            into.options[template.id] = options_of(node)
            for option in node.walk():
                top.origin[id(option)] = (template.id, row)
        return
    if template.value is not None and node.value is not None:
        into.slots.update(extract(template.value, node.value) or {})
    below = as_in(template.children, node.children) if template.any_order else node.children
    for part, children in pair(template.children, below):
        if part is None:
            assert children is not None
            into.unknown += sum(1 for _ in children[0].walk())
        elif part.kind == "rows":
            inner = part.children[0]
            found = []
            for index, child in enumerate(children or ()):
                line = Reading()
                _read(inner, child, line, top, index)
                found.append(line)
                into.size += line.size
                into.missing += line.missing
                into.unknown += line.unknown
            into.rows[part.id] = found
        elif children is None:
            if not part.optional:
                into.missing += 1
        else:
            _read(part, children[0], into, top, row)


def compatible(template: TemplateNode, node: Node) -> float:
    """How well one node fits one template node, children aside; very low when it cannot be it."""
    if template.role != node.role:
        return _IMPOSSIBLE
    score = 1.0
    if template.name_from_text:
        score += 1.0
    elif extract(template.name, node.name) is None:
        if template.optional or template.kind == "control" or template.role in ("button", "link", "tab"):
            return _IMPOSSIBLE
        score -= 2.5
    elif node.name:
        score += 2.0 if len(template.name) == 1 else 0.5 + 0.3 * sum(map(bool, template.name[::2]))
    if template.kind != "control" and (template.value is not None or node.value is not None):
        if template.value is None or node.value is None:
            score -= 0.5
        elif extract(template.value, node.value) is None:
            if template.optional:
                return _IMPOSSIBLE
            score -= 2.5
        else:
            score += 2.0 if len(template.value) == 1 else 0.5 + 0.3 * sum(map(bool, template.value[::2]))
    if (template.optional or template.role in MESSAGE_ROLES) and not _says(template, node):
        return _IMPOSSIBLE
    wanted = {child.role for child in template.children if not child.optional}
    if wanted:
        score += len(wanted & {child.role for child in node.children}) / len(wanted)
    if template.optional and not node.name:
        # Siblings that come and go (items of a paging bar) are told apart by what they hold.
        held = {(child.role, child.name) for child in node.children if child.name}
        named = {(child.role, child.name[0]) for child in template.children if len(child.name) == 1}
        score += _HELD * len(held & named)
        if named and not held:
            # An empty one is rather another that is empty as well.
            score -= _EMPTY
    return score


def own_nodes(node: TemplateNode) -> Iterator[TemplateNode]:
    """The node and all below it that are the page's own: not in its rows, nor in the frame of every page."""
    yield node
    for child in node.children:
        if child.kind != "rows" and child.role not in ("navigation", "banner", "contentinfo"):
            yield from own_nodes(child)


def only_holds_optional(node: TemplateNode) -> bool:
    """Whether a node is there exactly when something in it is: a paragraph around paging links."""
    return (
        node.optional
        and bool(node.children)
        and len(node.name) == 1
        and not node.name[0]
        and all(child.optional or child.kind == "rows" for child in node.children)
    )


def _says(template: TemplateNode, node: Node) -> bool:
    """Whether a message's own texts are those of the template: another message is another node."""
    said = [child.value or "" for child in node.children if child.role == "text"]
    wanted = [child.value for child in template.children if child.role == "text" and not child.optional]
    return all(any(extract(value, text) is not None for text in said) for value in wanted if value)


def pair(
    parts: tuple[TemplateNode, ...], nodes: tuple[Node, ...]
) -> list[tuple[TemplateNode | None, list[Node] | None]]:
    """Align a template's children with a page's: ``(part, nodes)`` in page order.

    A part without nodes is absent; nodes without a part are unknown, one each.
    """
    if len(parts) == len(nodes) and all(
        part.kind != "rows" and not part.optional and compatible(part, node) > 0.9
        for part, node in zip(parts, nodes, strict=True)
    ):
        return [(part, [node]) for part, node in zip(parts, nodes, strict=True)]
    width = len(nodes) + 1
    best = [[0.0] * width for _ in range(len(parts) + 1)]
    move = [[""] * width for _ in range(len(parts) + 1)]
    last = len(parts)
    for j in range(len(nodes) - 1, -1, -1):
        best[last][j] = best[last][j + 1] + _UNKNOWN
        move[last][j] = "extra"
    for i in range(last - 1, -1, -1):
        part = parts[i]
        target = part.children[0] if part.kind == "rows" else part
        skip = 0.0 if part.optional or part.kind == "rows" else _MISSING
        for j in range(width - 1, -1, -1):
            score, how = best[i + 1][j] + skip, "skip"
            if j < len(nodes):
                fit = compatible(target, nodes[j])
                stay = i if part.kind == "rows" else i + 1
                if fit + best[stay][j + 1] > score:
                    score, how = fit + best[stay][j + 1], "take"
                if best[i][j + 1] + _UNKNOWN > score:
                    score, how = best[i][j + 1] + _UNKNOWN, "extra"
            best[i][j], move[i][j] = score, how
    found: list[tuple[TemplateNode | None, list[Node] | None]] = []
    i = j = 0
    taken: list[Node] = []
    while i < last or j < len(nodes):
        how = move[i][j]
        if how == "extra":
            found.append((None, [nodes[j]]))
            j += 1
        elif how == "skip":
            found.append((parts[i], taken or None))
            taken = []
            i += 1
        else:
            if parts[i].kind == "rows":
                taken.append(nodes[j])
            else:
                found.append((parts[i], [nodes[j]]))
                i += 1
            j += 1
    return found
