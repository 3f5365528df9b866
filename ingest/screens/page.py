"""What was seen on a screen, in reading order, as the tree of a page."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ingest.screens.boxes import Box
from ingest.snapshot import Node

# A row has cells; what stands in columns at least this often is a table.
COLUMNS, ROWS = 3, 2


@dataclass(frozen=True)
class Item:
    """One thing on the screen."""

    node: Node
    box: Box

    @property
    def is_control(self) -> bool:
        return self.node.role not in ("text", "heading", "cell")


@dataclass(frozen=True)
class Screen:
    """A screen read: its tree, and where each of the tree's items was seen."""

    tree: Node
    items: tuple[Item, ...]

    def at(self, x: float, y: float) -> Item | None:
        """The item under a point: the smallest control that holds it, else the text there or beside it."""
        for margin in (0, 4, 9):
            under = [item for item in self.items if item.box.holds(x, y, margin)]
            if under:
                return min(under, key=lambda item: (not item.is_control, item.box.area))
        return None

    def made_clickable(self, item: Item) -> tuple[Screen, Item]:
        """The screen on which the text of ``item`` is ``clickable``: somebody clicked it."""
        shown = item.node.name or item.node.value or ""
        node = Node("clickable", shown)

        def changed(current: Node) -> Node:
            if current is item.node:
                return current.with_children((node,)) if current.role == "cell" else node
            below = tuple(changed(child) for child in current.children)
            same = all(a is b for a, b in zip(below, current.children, strict=True))
            return current if same else current.with_children(below)

        made = replace(item, node=node)
        items = tuple(made if other is item else other for other in self.items)
        return Screen(changed(self.tree), items), made

    def path(self, item: Item) -> tuple[Node, ...]:
        """The nodes from the tree's root to an item's."""

        def search(above: tuple[Node, ...]) -> tuple[Node, ...] | None:
            if above[-1] is item.node:
                return above
            for child in above[-1].children:
                found = search((*above, child))
                if found:
                    return found
            return None

        path = search((self.tree,))
        assert path is not None, "an item is always part of its screen"
        return path


def arranged(items: list[Item]) -> Screen:
    """Items in reading order, those in columns as rows."""
    lines = _lines(items)
    children: list[Node] = []
    placed: list[Item] = []
    position = 0
    while position < len(lines):
        rows = _rows(lines, position)
        for line in lines[position : position + max(1, rows)]:
            if rows:
                cells = [_cell(item) for item in line]
                name = " ".join(cell.name for cell, _ in cells if cell.name)
                children.append(Node("row", name, children=tuple(cell for cell, _ in cells)))
                placed.extend(item for _, item in cells)
            else:
                children.extend(item.node for item in line)
                placed.extend(line)
        position += max(1, rows)
    return Screen(Node("document", children=tuple(children)), tuple(placed))


def _lines(items: list[Item]) -> list[list[Item]]:
    lines: list[list[Item]] = []
    for item in sorted(items, key=lambda item: (item.box.top + item.box.bottom, item.box.left)):
        line = lines[-1] if lines else None
        if line and line[-1].box.rows_shared(item.box) >= 0.5 * min(line[-1].box.height, item.box.height):
            line.append(item)
        else:
            lines.append([item])
    return [sorted(line, key=lambda item: item.box.left) for line in lines]


def _rows(lines: list[list[Item]], start: int) -> int:
    """How many lines from ``start`` on stand in the same columns; 0 when they are no table."""
    first = lines[start]
    if len(first) < COLUMNS:
        return 0
    count = 1
    for line in lines[start + 1 :]:
        shared = sum(any(_same_column(item, head) for head in first) for item in line)
        if len(line) < COLUMNS or shared < min(len(line), len(first)) - 1:
            break
        count += 1
    return count if count > ROWS else 0


def _same_column(item: Item, head: Item) -> bool:
    left, right = abs(item.box.left - head.box.left), abs(item.box.right - head.box.right)
    return left <= 16 or right <= 12


def _cell(item: Item) -> tuple[Node, Item]:
    """A table's cell, and what was seen in it: text is the cell itself."""
    shown = item.node.name or item.node.value or ""
    if item.node.role in ("text", "heading"):
        cell = Node("cell", shown)
        return cell, replace(item, node=cell)
    return Node("cell", shown, children=(item.node,)), item
