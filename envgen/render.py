"""Page templates made ready for speed: parts without holes are built once, the rest per look.

Rendering also notes where everything that can be named is, so that finding an action's
target needs no walk over the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from envgen.templates import TemplateNode, only_holds_optional
from envgen.texts import Pattern, fill
from envgen.workflow import Control, PageModel
from ingest.action import CHECKABLE_ROLES, SELECTABLE_ROLES, row_name
from ingest.snapshot import Node


@dataclass(frozen=True, slots=True)
class Place:
    """Where a named node of the rendered page comes from.

    Attributes:
        row: Key of the record whose row it stands in, "" outside rows; ``rows`` the list.
        row_label: What names the row in a target.
    """

    node: str
    disabled: bool = False
    row: str = ""
    rows: str = ""
    row_label: str = ""


Index = dict[tuple[str, str], list[Place]]


class Source(Protocol):
    """What a page is rendered from: the state of an episode."""

    def slot(self, page: str, slot: str) -> str: ...

    def present(self, page: str, part: str) -> bool: ...

    def entered_in(self, control: Control) -> str: ...

    def options_in(self, control: Control) -> tuple[str, ...]: ...

    def rows_of(self, page: str, rows: str) -> Sequence[tuple[str, Mapping[str, str]]]:
        """Key and slots of each row shown now."""
        ...


@dataclass(slots=True)
class Rendered:
    page: Node
    index: Index


@dataclass(slots=True)
class _Context:
    source: Source
    page: str
    index: Index = field(default_factory=dict)
    slots: Mapping[str, str] | None = None
    row: str = ""
    rows: str = ""
    places: list[tuple[tuple[str, str], str, bool]] | None = None

    def note(self, role: str, name: str, node: str, disabled: bool) -> None:
        if self.places is not None:
            self.places.append(((role, name), node, disabled))
        elif name:
            self.index.setdefault((role, name), []).append(Place(node, disabled))


Builder = Callable[[_Context], "Node | None"]
Many = Callable[[_Context], list[Node]]


class PageRenderer:
    """Renders one page model."""

    def __init__(self, model: PageModel) -> None:
        self._model = model
        self._controls = {control.node: control for control in model.controls}
        self._conditioned = {part for part, _ in model.conditions} | set(model.messages)
        for view in model.lists:
            self._conditioned |= {n for n in (view.next, view.previous) if n}
        self._build = self._builder(model.template)

    def render(self, source: Source) -> Rendered:
        """The page as it looks now."""
        context = _Context(source, self._model.id)
        page = self._build(context)
        assert page is not None
        return Rendered(page, context.index)

    def _builder(self, node: TemplateNode) -> Builder:
        if node.kind == "control":
            return self._control(node)
        children: list[tuple[Builder | None, Many | None]] = [
            (None, self._many(child)) if child.kind == "rows" else (self._builder(child), None)
            for child in node.children
        ]
        if self._constant(node):
            return self._fixed(node)
        name, value = _text(node.name), None if node.value is None else _text(node.value)
        node_id, role, optional = node.id, node.role, node.optional
        states, flags, from_text = node.states, node.flags, node.name_from_text
        holder = only_holds_optional(node) and node_id not in self._conditioned

        def build(context: _Context) -> Node | None:
            if optional and not holder and not context.source.present(context.page, node_id):
                return None
            shown = states
            if flags:
                shown = (
                    *states,
                    *((f, "") for f in flags if context.source.present(context.page, f"{node_id}:{f}")),
                )
            text = name(context)
            # A parent stands before its children in page order, so it is noted first.
            disabled = any(key == "disabled" for key, _ in shown)
            if text and not from_text:
                context.note(role, text, node_id, disabled)
            made: list[Node] = []
            for builder, many in children:
                if many is not None:
                    made.extend(many(context))
                elif builder is not None:
                    child = builder(context)
                    if child is not None:
                        made.append(child)
            if holder and not made:
                return None
            below = tuple(made)
            said = None if value is None else (value(context) or None)
            if from_text:
                text = " ".join(t for t in (child.text() for child in below) if t)
            return Node(role, text, said, shown, below)

        return build

    def _constant(self, node: TemplateNode) -> bool:
        return all(
            not part.optional
            and not part.flags
            and part.kind == "plain"
            and len(part.name) == 1
            and (part.value is None or len(part.value) == 1)
            and not part.name_from_text
            for part in node.walk()
        )

    def _fixed(self, node: TemplateNode) -> Builder:
        def make(part: TemplateNode) -> Node:
            value = None if part.value is None else (part.value[0] or None)
            return Node(part.role, part.name[0], value, part.states, tuple(make(c) for c in part.children))

        built = make(node)
        notes = [
            (p.role, p.name[0], p.id, any(key == "disabled" for key, _ in p.states))
            for p in node.walk()
            if p.name[0]
        ]

        def build(context: _Context) -> Node:
            for note in notes:
                context.note(*note)
            return built

        return build

    def _control(self, node: TemplateNode) -> Builder:
        control = self._controls[node.id]
        name, role, optional, node_id = node.name[0], node.role, node.optional, node.id
        label = _text(node.name)
        states, flags = node.states, node.flags
        select, check = role in SELECTABLE_ROLES, role in CHECKABLE_ROLES
        built_options: dict[tuple[tuple[str, ...], str], tuple[Node, ...]] = {}

        def build(context: _Context) -> Node | None:
            source = context.source
            if optional and not source.present(context.page, node_id):
                return None
            shown = states
            if flags:
                shown = (*states, *((f, "") for f in flags if source.present(context.page, f"{node_id}:{f}")))
            text = name if len(node.name) == 1 else label(context)
            disabled = any(key == "disabled" for key, _ in shown)
            context.note(role, text, node_id, disabled)
            value = source.entered_in(control)
            if check:
                if value == "on":
                    shown = (("checked", ""), *shown)
                return Node(role, text, None, shown)
            if not select:
                return Node(role, text, value or None, shown)
            offered = source.options_in(control)
            mark = value if control.marks_selected else ""
            children = built_options.get((offered, mark))
            if children is None:
                children = tuple(
                    Node("option", option, None, (("selected", ""),) if option == mark and mark else ())
                    for option in offered
                )
                if len(built_options) > 256:
                    built_options.clear()
                built_options[offered, mark] = children
            for option in offered:
                context.note("option", option, node_id, False)
            return Node(role, text, value or None, shown, children)

        return build

    def _many(self, node: TemplateNode) -> Many:
        inner = self._builder(node.children[0])
        rows_id = node.id

        def build(context: _Context) -> list[Node]:
            found: list[Node] = []
            for key, slots in context.source.rows_of(context.page, rows_id):
                row = _Context(context.source, context.page, context.index, slots, key, rows_id, [])
                made = inner(row)
                if made is None:
                    continue
                found.append(made)
                label = row_name(made)
                for (role, name), node_id, disabled in row.places or ():
                    if name:
                        place = Place(node_id, disabled, key, rows_id, label if made.role == "row" else "")
                        context.index.setdefault((role, name), []).append(place)
            return found

        return build


def _text(pattern: Pattern) -> Callable[[_Context], str]:
    if len(pattern) == 1:
        constant = pattern[0]
        return lambda context: constant
    names = pattern[1::2]
    single = names[0] if len(pattern) == 3 and not pattern[0] and not pattern[2] else ""

    def text(context: _Context) -> str:
        slots = context.slots
        if single:
            if slots is not None:
                return slots.get(single, "")
            return context.source.slot(context.page, single)
        if slots is None:
            slots = {name: context.source.slot(context.page, name) for name in names}
        return fill(pattern, slots)

    return text
