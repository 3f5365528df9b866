"""Kinds of pages with what they say of records, and recorded moments with their pages read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from envgen.templates import Reading, TemplateNode
from envgen.texts import Pattern, without_order
from envgen.traces import Moment

Records = dict[str, dict[str, dict[str, str]]]
"""Entity -> key -> field -> text."""
# What radio buttons are called that nothing names together.
_CHOICE = "choice"
_MESSAGES = ("alert", "status", "dialog", "alertdialog")


@dataclass(slots=True)
class PageKind:
    """One kind of page: its template and what it says about records.

    Attributes:
        entity: The entity whose record the page shows, "" when none.
        key_slot: The slot that holds the record's key, "" when the page does not say it.
        fields: Slot to field name; slots that are not fields of the record are missing.
        lists: ``rows`` node to what its rows are.
        inherits: The page shows the record opened before, without saying its key.
        session: Slot to field for what is the same on all pages of a recording (who is signed in).
        echoes: Slots that repeat the instruction.
        repeats: Slots that repeat what was entered before, wherever they were seen.
        given: Control to field, for fields of the record that only its form shows.
        next: The link that shows the record after this one, where they are shown one at a time.
    """

    id: str
    address: str
    template: TemplateNode
    entity: str = ""
    key_slot: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    lists: dict[str, RowKind] = field(default_factory=dict)
    inherits: bool = False
    session: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, TemplateNode] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    echoes: set[str] = field(default_factory=set)
    repeats: set[str] = field(default_factory=set)
    given: dict[str, str] = field(default_factory=dict)
    next: str = ""
    previous: str = ""

    @property
    def turns(self) -> set[str]:
        """The links that show another record on the same page."""
        return {node for node in (self.next, self.previous) if node}

    @property
    def told_again(self) -> set[str]:
        """Slots that are data of no record: what they say was said before."""
        return self.echoes | self.repeats

    def __post_init__(self) -> None:
        self.nodes = {node.id: node for node in self.template.walk()}
        self.labels = slot_labels(self.template)

    def label_of(self, node_id: str) -> str:
        """What a node is called; a control whose label is data goes by its place among those."""
        node = self.nodes[node_id]
        label = node.label()
        if node.kind != "control" or not is_data(label):
            return label
        if node.role == "radio":
            return next((self.labels[slot] for slot in node.slots() if self.labels.get(slot)), _CHOICE)
        unnamed = [n.id for n in self.template.walk() if n.kind == "control" and is_data(n.label())]
        return f"field {unnamed.index(node_id) + 1}"

    def make_optional(self, ids: set[str]) -> None:
        """Note that nodes are not always on the page."""

        def rebuilt(node: TemplateNode) -> TemplateNode:
            children = tuple(rebuilt(child) for child in node.children)
            return node.model_copy(update={"children": children, "optional": node.optional or node.id in ids})

        if ids:
            self.template = rebuilt(self.template)
            self.nodes = {node.id: node for node in self.template.walk()}


@dataclass(slots=True)
class RowKind:
    """What the rows of a list are: records of an entity, by the text in the key column.

    Attributes:
        fields: Slot to field name; ``given`` control to field, for what stands in the rows' own controls.
    """

    entity: str
    key_slot: str
    fields: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Visit:
    """A moment with its pages read.

    Attributes:
        target: Template node acted on, "" when none; ``row`` its row's index.
        before_key: Key of the record the page showed.
        index: Position in the trace.
    """

    recording: str
    index: int
    moment: Moment
    page: str
    reading: Reading
    next_page: str
    next_reading: Reading
    target: str = ""
    row: int | None = None
    rows_id: str = ""
    before_key: str = ""
    after_key: str = ""

    @property
    def verb(self) -> str:
        return self.moment.action.verb

    @property
    def value(self) -> str:
        return self.moment.action.value or ""


def is_data(label: str) -> bool:
    """Whether a label with its holes left out says nothing: what it says is data."""
    return not any(c.isalpha() for c in label)


def record_slots(template: TemplateNode, *, everywhere: bool = False) -> list[str]:
    """Slots that can be fields of the page's record: not those of rows, nor of messages.

    Args:
        everywhere: Also those of the page's frame (banner, navigation).
    """
    found: list[str] = []
    labels = slot_labels(template)

    def walk(node: TemplateNode) -> None:
        if node.kind == "rows" or (node.role in _MESSAGES and not _is_output(node, labels)):
            return
        if not everywhere and node.role in ("navigation", "banner", "contentinfo"):
            return
        found.extend(slot for slot in node.name[1::2])
        if node.value is not None:
            found.extend(node.value[1::2])
        for child in node.children:
            walk(child)

    walk(template)
    return found


def _is_output(node: TemplateNode, labels: Mapping[str, str]) -> bool:
    """Whether what could be a message is always there, under a label: the result of a calculation."""
    return node.role == "status" and not node.optional and any(labels.get(slot) for slot in node.slots())


def slot_labels(template: TemplateNode) -> dict[str, str]:
    """What each slot is called on its page: the term, row or column header, or text before it."""
    found: dict[str, str] = {}

    def own(node: TemplateNode, label: str) -> None:
        for pattern in (node.name, node.value):
            if pattern is None or len(pattern) == 1:
                continue
            for index in range(1, len(pattern), 2):
                before = pattern[index - 1].strip().rstrip(":").strip()
                called = node.label() if pattern is node.value else ""
                found.setdefault(pattern[index], before or called or label)

    def walk(node: TemplateNode, label: str, headers: list[str]) -> None:
        own(node, label)
        current = label
        columns = headers
        for position, child in enumerate(node.children):
            header = [_heads(c) for c in child.children if c.role == "columnheader"]
            if child.role == "row" and header and len(header) == len(child.children):
                columns = header
            elif child.role == "rowgroup" and child.children and child.kind != "rows":
                inner = child.children[0]
                header = [_heads(c) for c in inner.children if c.role == "columnheader"]
                columns = header or columns
            if _titles(child, node.children[position + 1 : position + 2]):
                columns = [_heads(c) for c in child.children]
            said_by_cell = child.role == "cell" and not columns and _is_title(child)
            if (
                child.role in ("term", "rowheader")
                or said_by_cell
                or (child.role == "text" and _is_label(child))
            ):
                current = _label_text(child) or current
            inner_label = current
            if node.role == "row" and position < len(columns):
                inner_label = columns[position]
            elif child.role == "heading":
                inner_label = ""
            elif child.kind == "rows" and child.children[0].role == "radio":
                inner_label = node.label() or current or _CHOICE
            walk(child, inner_label, columns)

    walk(template, "", [])
    return found


def _titles(row: TemplateNode, following: Sequence[TemplateNode]) -> bool:
    """Whether a row of mere cells says what the columns of the rows below it are called."""
    return (
        row.role == "row"
        and bool(following)
        and following[0].kind == "rows"
        and len(following[0].children[0].children) == len(row.children)
        and all(_is_title(cell) or not _label_text(cell) for cell in row.children)
    )


def _is_title(cell: TemplateNode) -> bool:
    """Whether a cell always says the same, as titles of fields do."""
    text = _label_text(cell)
    return all(len(pattern) == 1 for pattern in _patterns(cell)) and 0 < len(text) <= 40 and not is_data(text)


def _patterns(node: TemplateNode) -> list[Pattern]:
    return [p for inner in node.walk() for p in (inner.name, inner.value) if p is not None]


def _is_label(node: TemplateNode) -> bool:
    return node.value is not None and len(node.value) == 1 and 0 < len(node.value[0]) <= 40


def _heads(column: TemplateNode) -> str:
    """What a column is called, perhaps by something in its header that can be clicked."""
    return without_order(_label_text(column).replace("…", ""))


def _label_text(node: TemplateNode) -> str:
    text = node.label() or (node.value[0] if node.value is not None and len(node.value) == 1 else "")
    if not text and node.children:
        text = _label_text(node.children[0])
    return text.rstrip(":").strip()
