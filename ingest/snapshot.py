"""A page as an accessibility tree, in the YAML style of Playwright's ``aria_snapshot()``.

One line per node, children indented by two spaces::

    - heading "Invoice INV-4821" [level=1]
    - textbox "Cost center" [required]: CC-100
    - row "INV-4821 Acme":
      - cell "INV-4821":
        - link "INV-4821"
    - text: Total due
    - clickable "Open"

``role "name" [state] [key=value]: value``. The name is a JSON string; a value
or text that would be ambiguous bare is a JSON string as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fde.errors import InputError

MAX_LINES = 20_000
MAX_DEPTH = 200

_LINE = re.compile(
    r'(?P<role>[a-z]+)(?: (?P<name>"(?:[^"\\]|\\.)*"))?'
    r"(?P<states>(?: \[[^\]\n]*\])*)(?P<colon>:(?: (?P<value>.*))?)?"
)
_STATE = re.compile(r"\[([a-z]+)(?:=([^\]]*))?\]")


@dataclass(frozen=True, slots=True)
class Node:
    """One element of a page.

    Attributes:
        role: ARIA role, or ``text`` (a run of text), ``clickable`` (reacts to
            clicks but has no role) and ``document`` (the root).
        name: Accessible name; for ``text`` it is empty and the text is ``value``.
        value: Current value of a field, or the text of a ``text`` node.
        states: ``(key, value)`` pairs such as ``("disabled", "")`` or ``("level", "1")``.
    """

    role: str
    name: str = ""
    value: str | None = None
    states: tuple[tuple[str, str], ...] = ()
    children: tuple[Node, ...] = field(default=())

    def state(self, key: str) -> str | None:
        """The state's value (``""`` for a plain flag), or None when it is not set."""
        return next((value for name, value in self.states if name == key), None)

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in page order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def with_children(self, children: tuple[Node, ...]) -> Node:
        return replace(self, children=children)

    def text(self) -> str:
        """Everything readable in this node, in page order, joined by single spaces."""
        return " ".join(" ".join(self._parts()).split())

    def _parts(self) -> Iterator[str]:
        if self.role == "option":
            return
        if self.name and not (self.children and self.role in ("row", "cell", "listitem")):
            yield self.name
        if self.value:
            yield self.value
        if self.name and self.role in ("columnheader", "rowheader"):
            # The name of a header is what stands in it, or what is said instead of that.
            return
        for child in self.children:
            yield from child._parts()


def parse(text: str) -> Node:
    """Parse snapshot text into a ``document`` node.

    Raises:
        InputError: naming the line that is not in the format.
    """
    lines = text.split("\n")  # values may hold the other characters that splitlines() splits at
    if len(lines) > MAX_LINES:
        raise InputError(f"Snapshot has {len(lines)} lines; at most {MAX_LINES} are read.")
    stack: list[tuple[int, Node, list[Node]]] = [(-1, Node("document"), [])]

    def close(depth: int) -> None:
        while stack[-1][0] >= depth:
            _, node, children = stack.pop()
            stack[-1][2].append(node.with_children(tuple(children)) if children else node)

    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        body = line.lstrip(" ")
        indent = len(line) - len(body)
        match = _LINE.fullmatch(body[2:]) if body.startswith("- ") else None
        if match is None or indent % 2 or indent // 2 > min(stack[-1][0] + 1, MAX_DEPTH):
            raise InputError(f"Snapshot line {number} is not in the format: {line[:120]!r}")
        depth = indent // 2
        close(depth)
        stack.append((depth, _node(match), []))
    close(0)
    _, root, children = stack[0]
    return root.with_children(tuple(children))


def _node(match: re.Match[str]) -> Node:
    name = match["name"]
    value = match["value"]
    return Node(
        role=match["role"],
        name=json.loads(name) if name else "",
        value=_unquote(value) if value is not None else None,
        states=tuple((m[1], m[2] or "") for m in _STATE.finditer(match["states"] or "")),
    )


def _unquote(value: str) -> str:
    if value.startswith('"'):
        try:
            decoded = json.loads(value)
        except json.JSONDecodeError:
            return value
        return decoded if isinstance(decoded, str) else value
    return value


def quote_value(value: str) -> str:
    """A value as written after the colon: bare, or a JSON string where bare is ambiguous."""
    plain = value and value == value.strip() and not value.startswith('"') and value.isprintable()
    return value if plain else json.dumps(value, ensure_ascii=False)


def line(node: Node) -> str:
    """One node as its snapshot line, without indent, dash and children."""
    parts = [node.role]
    if node.name:
        parts.append(json.dumps(node.name, ensure_ascii=False))
    parts.extend(f"[{key}={value}]" if value else f"[{key}]" for key, value in node.states)
    text = " ".join(parts)
    if node.value is not None:
        return f"{text}: {quote_value(node.value)}"
    return f"{text}:" if node.children else text


def render(node: Node) -> str:
    """The inverse of :func:`parse`: the children of ``document``, one line per node."""
    lines: list[str] = []

    def add(current: Node, depth: int) -> None:
        lines.append(f"{'  ' * depth}- {line(current)}")
        for child in current.children:
            add(child, depth + 1)

    for child in node.children if node.role == "document" else (node,):
        add(child, 0)
    return "\n".join(lines)
