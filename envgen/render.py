"""Page templates made ready for speed: what has no holes is built once, rows once per record.

Rendering also notes where everything that can be named is, so that finding an action's
target needs no walk over the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from envgen.templates import TemplateNode, only_holds_optional, text_below
from envgen.texts import Pattern, fill
from envgen.workflow import Control, PageModel
from ingest.action import CHECKABLE_ROLES, SELECTABLE_ROLES, row_name
from ingest.snapshot import Node

# Rows and selects that were shown are kept, so that showing them again costs nothing.
_KEPT = 4096
# Snapshots leave out what has become empty, but for these.
_TOLD_EMPTY = frozenset({"document", "cell", "columnheader", "rowheader"})


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


States = tuple[tuple[str, str], ...]
Named = tuple[tuple[str, str], Place]
"""Role and name of a node, and its place."""


class Source(Protocol):
    """What a page is rendered from: the state of an episode."""

    def slot(self, page: str, slot: str) -> str: ...

    def present(self, page: str, part: str) -> bool: ...

    def present_in_row(self, page: str, part: str, rows: str, key: str) -> bool: ...

    def entered_in(self, control: Control, key: str = "") -> str:
        """What stands in a control; ``key``: of the record whose row it is in."""
        ...

    def options_in(self, control: Control) -> tuple[str, ...]: ...

    def rows_of(self, page: str, rows: str) -> Sequence[tuple[str, Mapping[str, str]]]:
        """Key and record of each row shown now."""
        ...


class Rendered:
    """A page, and what can be named on it, in page order."""

    def __init__(self, page: Node, named: list[Named]) -> None:
        self.page = page
        self.named = named

    @cached_property
    def index(self) -> dict[tuple[str, str], list[Place]]:
        """Places by role and name."""
        found: dict[tuple[str, str], list[Place]] = {}
        for key, place in self.named:
            found.setdefault(key, []).append(place)
        return found


@dataclass(slots=True)
class _Context:
    source: Source
    page: str
    named: list[Named] = field(default_factory=list)
    slots: Mapping[str, str] | None = None
    rows: str = ""
    key: str = ""

    def present(self, part: str) -> bool:
        """Whether an optional part is there, on the page or in the row at hand."""
        if self.rows:
            return self.source.present_in_row(self.page, part, self.rows, self.key)
        return self.source.present(self.page, part)


Builder = Callable[[_Context], "Node | None"]
Many = Callable[[_Context], list[Node]]


class PageRenderer:
    """Renders one page model."""

    def __init__(self, model: PageModel) -> None:
        self._model = model
        self._controls = {control.node: control for control in model.controls}
        self._conditioned = {part for part, _ in model.conditions} | set(model.messages)
        self._conditioned |= {n for n in (model.next, model.previous) if n}
        for view in model.lists:
            self._conditioned |= {n for n in (view.next, view.previous) if n}
        self._row_fields = {view.rows: view.fields for view in model.lists}
        self._build = self._builder(model.template)

    def render(self, source: Source) -> Rendered:
        """The page as it looks now."""
        context = _Context(source, self._model.id)
        page = self._build(context)
        assert page is not None
        return Rendered(page, context.named)

    def _builder(self, node: TemplateNode) -> Builder:
        if node.kind == "control":
            return self._control(node)
        if self._constant(node):
            return self._fixed(node)
        children: list[tuple[Builder | None, Many | None]] = [
            (None, self._many(child)) if child.kind == "rows" else (self._builder(child), None)
            for child in node.children
        ]
        name, value = _text(node.name), None if node.value is None else _text(node.value)
        node_id, role, optional = node.id, node.role, node.optional
        states, flags, from_text = node.states, node.flags, node.name_from_text
        holder = only_holds_optional(node) and node_id not in self._conditioned

        def build(context: _Context) -> Node | None:
            if optional and not holder and not context.present(node_id):
                return None
            shown = states
            if flags:
                shown = _with_flags(context, states, flags, node_id)
            text = name(context)
            # A parent stands before its children in page order, so it is noted first.
            if text and not from_text:
                context.named.append(((role, text), Place(node_id, _disabled(shown))))
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
                text = text_below(Node(role, "", None, (), below))
            holds = bool(children) or value is not None
            if holds and not (below or text or said or role in _TOLD_EMPTY):
                return None
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
        named: list[Named] = [
            ((p.role, p.name[0]), Place(p.id, _disabled(p.states))) for p in node.walk() if p.name[0]
        ]

        def build(context: _Context) -> Node:
            context.named.extend(named)
            return built

        return build

    def _control(self, node: TemplateNode) -> Builder:
        control = self._controls[node.id]
        role, optional, node_id = node.role, node.optional, node.id
        label = _text(node.name)
        states, flags = node.states, node.flags
        select, check = role in SELECTABLE_ROLES, role in CHECKABLE_ROLES
        known: dict[tuple[str, str, tuple[str, ...], States], tuple[Node, list[Named]]] = {}

        def build(context: _Context) -> Node | None:
            source = context.source
            if optional and not context.present(node_id):
                return None
            shown = states
            if flags:
                shown = _with_flags(context, states, flags, node_id)
            text, value = label(context), source.entered_in(control, context.key)
            offered = source.options_in(control) if select else ()
            key = (text, value, offered, shown)
            found = known.get(key)
            if found is None:
                found = make(text, value, offered, shown)
                if len(known) > _KEPT:
                    known.clear()
                known[key] = found
            context.named.extend(found[1])
            return found[0]

        def make(text: str, value: str, offered: tuple[str, ...], shown: States) -> tuple[Node, list[Named]]:
            named: list[Named] = [((role, text), Place(node_id, _disabled(shown)))] if text else []
            if check:
                on = (("checked", ""),) if value == "on" else ()
                return Node(role, text, None, (*on, *shown)), named
            mark = value if control.marks_selected else ""
            children = tuple(
                Node("option", option, None, (("selected", ""),) if option == mark and mark else ())
                for option in offered
            )
            named += [(("option", option), Place(node_id)) for option in offered if option]
            return Node(role, text, value or None, shown, children), named

        return build

    def _many(self, node: TemplateNode) -> Many:
        inner = self._builder(node.children[0])
        rows_id = node.id
        fields = self._row_fields.get(rows_id, ())
        # A row without controls and conditions looks the same for the same record. What is kept holds
        # the record, so that no other one can have its id().
        steady = all(
            part.kind == "plain" and not part.optional and not part.flags for part in node.children[0].walk()
        )
        known: dict[tuple[str, int], tuple[Mapping[str, str], Node | None, list[Named]]] = {}

        def row(context: _Context, key: str, record: Mapping[str, str]) -> tuple[Node | None, list[Named]]:
            slots = {slot: record.get(name, "") for slot, name in fields}
            below = _Context(context.source, context.page, [], slots, rows_id, key)
            made = inner(below)
            if made is None:
                return None, []
            label = row_name(made) if made.role == "row" else ""
            return made, [
                (name, Place(place.node, place.disabled, key, rows_id, label)) for name, place in below.named
            ]

        def build(context: _Context) -> list[Node]:
            found: list[Node] = []
            for key, record in context.source.rows_of(context.page, rows_id):
                kept = known.get((key, id(record))) if steady else None
                if kept is None:
                    kept = (record, *row(context, key, record))
                    if steady:
                        if len(known) > _KEPT:
                            known.clear()
                        known[key, id(record)] = kept
                if kept[1] is not None:
                    found.append(kept[1])
                    context.named.extend(kept[2])
            return found

        return build


def _disabled(states: States) -> bool:
    return any(key == "disabled" for key, _ in states)


def _with_flags(context: _Context, states: States, flags: tuple[str, ...], node_id: str) -> States:
    return (*states, *((flag, "") for flag in flags if context.present(f"{node_id}:{flag}")))


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
