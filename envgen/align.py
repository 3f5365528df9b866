"""Page templates from instances: the trees of one kind of page, aligned node by node.

All instances are aligned level by level. At each level, runs of siblings that are rows
of data (a table under column headers, or siblings whose texts and number change from
page to page) become one ``rows`` node; the rest is aligned into columns.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from envgen.orders import in_one_order
from envgen.templates import CONTROL_ROLES, ENTERED_STATES, MESSAGE_ROLES, TemplateNode, entered, text_below
from envgen.texts import Pattern, induce, tokens, without_order
from ingest.action import FILLABLE_ROLES
from ingest.snapshot import Node

# A different name makes these another element, unless the name is data.
_NAMED_ROLES = CONTROL_ROLES | {
    "button",
    "link",
    "tab",
    "menuitem",
    "columnheader",
    "term",
    "rowheader",
    "clickable",
}
_ROW_ROLES = frozenset({"row", "listitem", "article", "treeitem"})
_CELLS = frozenset({"cell", "rowheader"})
_STATIC_SHARE = 0.5
# Shorter entries stand in messages by accident.
_TELLING = 3
_COMPARED = 20
_SAME_DATA = 1.1
_DIGIT = re.compile(r"\d").search
# Labels that share so many words are sentences, not names.
_SENTENCE = 4


class Data(frozenset[str]):
    """Texts that are data.

    Attributes:
        cells: Those that stand in cells of tables.
        instructions: By recording; pages that show a ticket repeat it.
        entered: By recording, what was typed in it; summaries repeat that.
        choices: Labels of radio buttons that are others in every recording, as names and search results are.
    """

    cells: frozenset[str] = frozenset()
    instructions: Mapping[str, str] = {}
    entered: Mapping[str, frozenset[str]] = {}
    choices: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Instance:
    """One page of the kind, and the recording it is from."""

    recording: str
    node: Node


@dataclass(slots=True)
class _Column:
    """Siblings of different pages that are the same thing."""

    role: str
    nodes: dict[int, Node] = field(default_factory=dict)
    texts: Counter[str] = field(default_factory=Counter)
    rows: dict[int, list[Node]] | None = None

    def add(self, index: int, node: Node) -> None:
        self.nodes[index] = node
        self.texts[own_text(node)] += 1


def own_text(node: Node) -> str:
    """What a node says: its name, else all its text."""
    return node.name or node.text()


def masked(text: str) -> str:
    """A text with its digits masked: ``INV-4821`` and ``INV-7`` are alike."""
    return re.sub(r"\d+", "0", text)


class Aligner:
    """Builds one template.

    Args:
        data: Texts known to be data (values of records); a text that repeats the instruction or something
            typed is one hole.
    """

    def __init__(self, instances: Sequence[Instance], data: Data) -> None:
        self._instances = instances
        self._data = data
        self._wandering: set[str] = set()
        self._alone: set[int] = set()
        self._count = 0

    def template(self) -> TemplateNode:
        nodes = {index: instance.node for index, instance in enumerate(self._instances)}
        return self._node(nodes, optional=False)

    def _recordings(self, indices: Iterable[int]) -> int:
        return len({self._instances[index].recording for index in indices})

    def _next_id(self) -> str:
        self._count += 1
        return f"n{self._count}"

    def _node(self, nodes: dict[int, Node], *, optional: bool) -> TemplateNode:
        node_id = self._next_id()
        first = next(iter(nodes.values()))
        control = first.role in CONTROL_ROLES and not all(map(_only_read, nodes.values()))
        distinct = {id(node): node for node in nodes.values()}.values()
        from_text = not control and all(
            node.children and node.name and node.name == text_below(node) for node in distinct
        )
        name: Pattern = ("",)
        if not from_text:
            name = self._pattern({i: node.name for i, node in nodes.items()}, f"{node_id}.name")
        value: Pattern | None = None
        if not control and any(node.value is not None for node in distinct):
            value = self._pattern({i: node.value or "" for i, node in nodes.items()}, f"{node_id}.value")
        states, flags = _states(list(distinct), control)
        children: tuple[TemplateNode, ...] = ()
        any_order = False
        if not control:
            below, any_order = in_one_order({i: n.children for i, n in nodes.items()})
            children = self._children(below)
        return TemplateNode(
            id=node_id,
            role=first.role,
            kind="control" if control else "plain",
            name=name,
            value=value,
            name_from_text=from_text,
            states=states,
            flags=flags,
            optional=optional,
            any_order=any_order,
            children=children,
        )

    def _pattern(self, texts: dict[int, str], slot: str) -> Pattern:
        recordings = {i: self._instances[i].recording for i in texts}
        told, typed = self._data.instructions, self._data.entered
        if len(set(texts.values())) > 1 and (
            all(" ".join(t.split()) == told.get(recordings[i]) for i, t in texts.items())
            or all(t in typed.get(recordings[i], ()) for i, t in texts.items())
        ):
            return ("", slot, "")
        return induce(texts.values(), slot)

    def _children(self, lists: dict[int, tuple[Node, ...]]) -> tuple[TemplateNode, ...]:
        if not any(lists.values()):
            return ()
        columns = _cells_by_place(lists) or self._columns(lists)
        found: list[TemplateNode] = []
        for column in columns:
            if column.rows is not None:
                found.append(self._rows(column))
            else:
                found += self._variants(column, len(lists))
        return tuple(found)

    def _columns(self, lists: dict[int, tuple[Node, ...]]) -> list[_Column]:
        """The children of all pages, aligned."""
        data_rows = self._data_rows(lists)
        self._wandering = self._labels_that_are_data(lists)
        self._alone = self._only_fields(lists)
        columns: list[_Column] = []
        # Pages with equal child lists need to be aligned only once.
        seen: dict[tuple[object, ...], list[_Column | None]] = {}
        for index, children in sorted(lists.items(), key=lambda item: -len(item[1])):
            signature = tuple((c.role, own_text(c), id(c) in data_rows) for c in children)
            if signature in seen:
                for column, child in zip(seen[signature], children, strict=True):
                    if column is not None:
                        if column.rows is not None:
                            column.rows.setdefault(index, []).append(child)
                        else:
                            column.add(index, child)
                continue
            seen[signature] = self._merge(columns, index, children, data_rows)
        return columns

    def _rows(self, column: _Column) -> TemplateNode:
        node_id = self._next_id()
        instances = [
            Instance(self._instances[index].recording, node)
            for index, nodes in column.rows.items()  # type: ignore[union-attr]
            for node in nodes
        ]
        distinct: dict[Node, Instance] = {}
        for instance in instances:
            distinct.setdefault(instance.node, instance)
        inner = Aligner(list(distinct.values()), self._data)
        inner._count = self._count
        row = inner.template()
        self._count = inner._count
        return TemplateNode(id=node_id, role=row.role, kind="rows", children=(row,))

    def _variants(self, column: _Column, pages: int) -> list[TemplateNode]:
        """Messages that say different things are different nodes, each there or not."""
        groups: list[dict[int, Node]] = [column.nodes]
        if column.role in MESSAGE_ROLES:
            groups = []
            for index, node in column.nodes.items():
                words = _words(node)
                for group in groups:
                    other = _words(next(iter(group.values())))
                    if len(words & other) * 2 > min(len(words), len(other)):
                        group[index] = node
                        break
                else:
                    groups.append({index: node})
        found = []
        for group in groups:
            part = self._node(group, optional=len(group) < pages)
            if column.role in MESSAGE_ROLES:
                part = _with_holes(part, self._entered(group))
            found.append(part)
        return found

    def _entered(self, indices: Iterable[int]) -> list[str]:
        """What each recording of some pages shows entered on one of them at least, the longest first."""
        shown: dict[str, set[str]] = {}
        for index in indices:
            found = shown.setdefault(self._instances[index].recording, set())
            found |= {entered(n) for n in self._instances[index].node.walk() if n.role in CONTROL_ROLES}
        texts = set.intersection(*shown.values())
        return sorted((text for text in texts if len(text) >= _TELLING), key=lambda t: (-len(t), t))

    def _labels_that_are_data(self, lists: dict[int, tuple[Node, ...]]) -> set[str]:
        """Names of fields that are data and not on every page: here one, there another field has them."""
        named = [{c.name for c in children if c.role in CONTROL_ROLES} for children in lists.values()]
        everywhere: set[str] = set.intersection(*named)
        return (set[str]().union(*named) - everywhere) & self._data

    def _only_fields(self, lists: dict[int, tuple[Node, ...]]) -> set[int]:
        """``id()`` of fields that are the only one of their role on every page, under ever other names."""
        found: set[int] = set()
        for role in {c.role for children in lists.values() for c in children if c.role in CONTROL_ROLES}:
            fields = {i: [c for c in children if c.role == role] for i, children in lists.items()}
            names = {c.name for group in fields.values() for c in group}
            recordings = self._recordings(fields)
            if len(names) == recordings > 2 and all(len(group) == 1 for group in fields.values()):
                found |= {id(group[0]) for group in fields.values()}
        return found

    # Rows of data

    def _data_rows(self, lists: dict[int, tuple[Node, ...]]) -> set[int]:
        """``id()`` of the children that are rows of data."""
        found: set[int] = set()
        for role in {child.role for children in lists.values() for child in children}:
            groups = {i: [c for c in children if c.role == role] for i, children in lists.items()}
            if role == "row":
                headed = [g for g in groups.values() if g and _is_header(g[0])]
                if headed:
                    found |= {id(c) for g in groups.values() for c in g if not _is_header(c)}
                    continue
                if any(_is_header(c) for children in lists.values() for c in children):
                    continue
            if role == "radio":
                # Those that stand on every page are fields of their own.
                found |= {id(c) for g in groups.values() for c in g if c.name in self._data.choices}
            if role == "rowgroup" or role not in _ROW_ROLES:
                continue
            if self._varied(groups):
                found |= {id(c) for g in groups.values() for c in g[self._heads(groups) :]}
        return found

    def _heads(self, groups: dict[int, list[Node]]) -> int:
        """1 where the siblings begin with a row of titles: the same on every page, with no digit in it."""
        first = [group[0] for group in groups.values() if group]
        texts = {own_text(node) for node in first}
        if len(texts) != 1 or self._recordings(groups) < 2 or any(map(_DIGIT, texts)):
            return 0
        return int(all(node.role == "row" and len(node.children) > 1 for node in first))

    def _varied(self, groups: dict[int, list[Node]]) -> bool:
        """Whether most of the siblings of a role say something else on other pages."""
        sized = {i: g for i, g in groups.items() if g}
        if not sized or max(len(g) for g in sized.values()) < 2:
            return False
        recordings = self._recordings(sized)
        where: dict[str, set[str]] = {}
        for index, group in sized.items():
            for node in group:
                where.setdefault(_label(node), set()).add(self._instances[index].recording)
        if recordings == 1:
            return False
        if _reordered([[_label(node) for node in group] for group in sized.values()]):
            return True
        fixed = sum(1 for found in where.values() if len(found) >= max(2, _STATIC_SHARE * recordings))
        return fixed * 2 < max(len(g) for g in sized.values())

    # Aligning what is not rows

    def _merge(
        self,
        columns: list[_Column],
        index: int,
        children: Sequence[Node],
        data_rows: set[int],
    ) -> list[_Column | None]:
        """Align one page's children with the columns so far, adding new columns where needed."""
        units: list[list[Node]] = []
        for child in children:
            in_rows = id(child) in data_rows
            if in_rows and units and id(units[-1][0]) in data_rows and units[-1][0].role == child.role:
                units[-1].append(child)
            else:
                units.append([child])
        scores = [
            [self._score(column, unit[0], id(unit[0]) in data_rows) for unit in units] for column in columns
        ]
        best = [[0.0] * (len(units) + 1) for _ in range(len(columns) + 1)]
        for i in range(len(columns) - 1, -1, -1):
            for j in range(len(units) - 1, -1, -1):
                take = scores[i][j] + best[i + 1][j + 1] if scores[i][j] > 0 else -1.0
                best[i][j] = max(take, best[i + 1][j], best[i][j + 1])
        placed: list[_Column | None] = []
        merged: list[_Column] = []
        i = j = 0
        while i < len(columns) or j < len(units):
            if i < len(columns) and j < len(units):
                take = scores[i][j] + best[i + 1][j + 1] if scores[i][j] > 0 else -1.0
                if take >= best[i + 1][j] and take >= best[i][j + 1]:
                    placed += self._place(columns[i], index, units[j])
                    merged.append(columns[i])
                    i, j = i + 1, j + 1
                    continue
                if best[i + 1][j] >= best[i][j + 1]:
                    merged.append(columns[i])
                    i += 1
                    continue
            elif i < len(columns):
                merged.append(columns[i])
                i += 1
                continue
            column = _Column(units[j][0].role, rows={} if id(units[j][0]) in data_rows else None)
            placed += self._place(column, index, units[j])
            merged.append(column)
            j += 1
        columns[:] = merged
        return placed

    @staticmethod
    def _place(column: _Column, index: int, unit: list[Node]) -> list[_Column | None]:
        if column.rows is not None:
            column.rows.setdefault(index, []).extend(unit)
        else:
            column.add(index, unit[0])
        return [column] * len(unit)

    def _score(self, column: _Column, node: Node, in_rows: bool) -> float:
        if column.role != node.role or (column.rows is not None) != in_rows:
            return 0.0
        if in_rows:
            return 3.0
        text = own_text(node)
        if text in column.texts:
            if text in self._wandering:
                return _SAME_DATA
            return 4.0 if text else 1.5
        if node.role in _NAMED_ROLES and node.name:
            known = next(iter(column.texts))
            same = self._is_data(text, known) or _worded_alike(node.role, text, known)
            same = same or id(node) in self._alone or _in_another_order(node.role, text, known)
            return 1.0 if same or node.role == "clickable" else 0.0
        shape = {child.role for child in node.children}
        other = {child.role for child in next(iter(column.nodes.values())).children}
        if not shape and not other:
            return 1.0
        overlap = len(shape & other) / len(shape | other)
        if not overlap:
            return 0.0
        words, known_words = _static_words(node), _static_words(next(iter(column.nodes.values())))
        if words and known_words:
            overlap += len(words & known_words) / len(words | known_words)
        return 0.5 + overlap

    def _is_data(self, text: str, known: str) -> bool:
        if masked(text) == masked(known) and text != known:
            return True
        return text in self._data and known in self._data


def _cells_by_place(lists: Mapping[int, tuple[Node, ...]]) -> list[_Column]:
    """The columns of rows that have equally many cells: the same text may stand in any of them."""
    shapes = {tuple(child.role for child in children) for children in lists.values()}
    if len(shapes) != 1 or not _CELLS.issuperset(*shapes):
        return []
    columns = [_Column(role) for shape in shapes for role in shape]
    for index, children in lists.items():
        for column, child in zip(columns, children, strict=True):
            column.add(index, child)
    return columns


def _only_read(node: Node) -> bool:
    """Whether nothing can be typed into a field: it says something."""
    fixed = node.state("readonly") is not None or node.state("disabled") is not None
    return node.role in FILLABLE_ROLES and fixed


def _worded_alike(role: str, text: str, known: str) -> bool:
    """Whether two labels of fields are one sentence about different things."""
    if role not in CONTROL_ROLES:
        return False
    words, others = set(text.split()), set(known.split())
    return len(words & others) >= _SENTENCE and len(words & others) * 2 > len(words | others)


def _in_another_order(role: str, text: str, known: str) -> bool:
    """Whether two labels are one that says how the rows below it are ordered."""
    if role in CONTROL_ROLES or text == known:
        return False
    label = without_order(text)
    return bool(label) and label == without_order(known)


def _with_holes(node: TemplateNode, texts: Sequence[str]) -> TemplateNode:
    """A message that always said the same, with what was entered on its page taken out: it names that."""

    def holed(pattern: Pattern, slot: str) -> Pattern:
        if len(pattern) > 1:
            return pattern
        for text in texts:
            match = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", pattern[0])
            if match:
                return (pattern[0][: match.start()], slot, pattern[0][match.end() :])
        return pattern

    return node.model_copy(
        update={
            "name": holed(node.name, f"{node.id}.name"),
            "value": None if node.value is None else holed(node.value, f"{node.id}.value"),
            "children": tuple(_with_holes(child, texts) for child in node.children),
        }
    )


def _words(node: Node) -> set[str]:
    return {token for token in tokens(masked(own_text(node))) if not token.isspace()}


def _static_words(node: Node) -> set[str]:
    return {n.name for n in node.walk() if n.name and n.role in _NAMED_ROLES}


def _is_header(row: Node) -> bool:
    """Whether a table's row (or row group) holds column headers only."""
    cells = [child.role for child in row.children]
    return bool(cells) and all(role == "columnheader" for role in cells)


def _label(node: Node) -> str:
    """The first thing a row says, which names it."""
    return next(
        (n.name or n.value or "" for n in node.walk() if n is not node and (n.name or n.value)), node.name
    )


def _reordered(sequences: Iterable[Sequence[str]]) -> bool:
    """Whether two labels follow each other in one order here and in the other there: no fixed form does."""
    before: set[tuple[str, str]] = set()
    for labels in dict.fromkeys(tuple(labels) for labels in sequences):
        pairs = set(itertools.combinations(labels[:_COMPARED], 2))
        if any((b, a) in before and a != b for a, b in pairs):
            return True
        before |= pairs
    return False


def _states(nodes: Sequence[Node], control: bool) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """States on all instances, and the names of those that only some have."""
    counts: Counter[str] = Counter()
    values: dict[str, Counter[str]] = {}
    for node in nodes:
        for key, value in node.states:
            if control and key in ENTERED_STATES:
                continue
            counts[key] += 1
            values.setdefault(key, Counter())[value] += 1
    always = tuple((key, values[key].most_common(1)[0][0]) for key in counts if counts[key] == len(nodes))
    return always, tuple(sorted(key for key in counts if counts[key] < len(nodes)))
