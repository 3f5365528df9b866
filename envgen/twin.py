"""A page of the environment as HTML that reads, and reacts, as the page does.

Every node becomes one element with its role and its name, so that a snapshot of the twin is the
node's tree again. What people need to see beside that (labels of fields) is drawn by the style
sheet, which snapshots leave out.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from ingest.action import Target, target_of
from ingest.snapshot import Node

_INPUTS = {"textbox": "text", "searchbox": "search", "spinbutton": "text"}
_CHECKS = {"checkbox": "checkbox", "switch": "checkbox", "radio": "radio"}
_LEAVES = frozenset({"link", "button", "tab", "menuitem", "option", "clickable"})
# Their text is their name: said inside, it is not told twice.
_SAY_NAMES = frozenset({"cell", "columnheader", "rowheader", "heading", "tooltip"}) | _LEAVES
_ARIA = {
    "expanded": "aria-expanded",
    "pressed": "aria-pressed",
    "selected": "aria-selected",
    "required": "aria-required",
    "invalid": "aria-invalid",
}


def page_html(page: Node) -> tuple[str, list[Target]]:
    """The page's body, and what its elements with ``data-at`` are: the target at that position."""
    targets: list[Target] = []
    body = "".join(_element(page, (page, child), targets) for child in page.children)
    return body, targets


def _element(page: Node, path: tuple[Node, ...], targets: list[Target]) -> str:
    node = path[-1]
    if node.role == "text":
        return f"<div>{escape(node.value or '')}</div>"

    def at() -> str:
        targets.append(target_of(page, path))
        return f' data-at="{len(targets) - 1}"'

    def inside() -> str:
        return "".join(_element(page, (*path, child), targets) for child in node.children)

    if node.role in _INPUTS:
        return _input(node, _INPUTS[node.role], at)
    if node.role in _CHECKS:
        state = node.state("checked")
        checked = "" if state is None else ' data-mixed=""' if state == "mixed" else " checked"
        return _labelled(node, f'<input type="{_CHECKS[node.role]}"{_head(node)}{checked}{at()}>')
    if node.role in ("combobox", "listbox"):
        return _select(node, at)
    if node.role == "slider":
        return _labelled(node, f'<div{_head(node)} aria-valuetext="{escape(node.value or "")}"></div>')
    if node.role in ("progressbar", "meter"):
        return f'<div{_head(node)} aria-valuetext="{escape(node.value or "")}"></div>'
    if node.role == "button":
        return f'<button type="button"{_head(node)}{at()}>{escape(node.name)}{inside()}</button>'
    if node.role == "link":
        return f'<a href="#"{_head(node)}{at()}>{escape(node.name)}{inside()}</a>'
    if node.role == "clickable":
        below = inside() or escape(node.name)
        return f'<div class="clickable" onclick=""{_head(node, role=False)}{at()}>{below}</div>'
    if node.role in _LEAVES or node.role == "treeitem":
        said = escape(node.name) if node.role in _LEAVES else ""
        return f'<div tabindex="0"{_head(node)}{at()}>{said}{inside()}</div>'
    return _structure(node, inside())


def _structure(node: Node, below: str) -> str:
    if node.role in _SAY_NAMES:
        below = below or escape(node.name)
    elif not below:
        below = escape(node.value or "")
    return f"<div{_head(node)}>{below}</div>"


def _input(node: Node, kind: str, at: Callable[[], str]) -> str:
    value = escape(node.value or "")
    return _labelled(node, f'<input type="{kind}" autocomplete="off" value="{value}"{_head(node)}{at()}>')


def _select(node: Node, at: Callable[[], str]) -> str:
    options = [child for child in node.children if child.role == "option"]
    if not options:
        # A field that offers something only once something is typed.
        return _input(node, "text", at)
    chosen = node.value or next((o.name for o in options if o.state("selected") is not None), None)
    marked = next((i for i, option in enumerate(options) if option.name == chosen), None)
    inner = "".join(
        f"<option{' selected' if i == marked else ''}"
        f"{' disabled' if option.state('disabled') is not None else ''}>{escape(option.name)}</option>"
        for i, option in enumerate(options)
    )
    none = ' data-none=""' if marked is None else ""
    many = ' size="4"' if node.role == "listbox" else ""
    return _labelled(node, f"<select{_head(node)}{many}{none}{at()}>{inner}</select>")


def _labelled(node: Node, field: str) -> str:
    """A field with its name beside it, drawn by the style sheet."""
    kind = "choice" if node.role in _CHECKS else "field"
    return f'<div class="{kind}" data-label="{escape(node.name)}">{field}</div>'


def _head(node: Node, *, role: bool = True) -> str:
    """Role, name and states as attributes."""
    parts = [f' role="{escape(node.role)}"'] if role else []
    if node.name:
        parts.append(f' aria-label="{escape(node.name)}"')
    for key, value in node.states:
        if key == "level":
            parts.append(f' aria-level="{escape(value)}"')
        elif key == "disabled":
            parts.append(" disabled" if node.role in _NATIVE else ' aria-disabled="true"')
        elif key == "readonly":
            parts.append(" readonly")
        elif key in _ARIA and not (key == "selected" and node.role == "option"):
            parts.append(f' {_ARIA[key]}="true"')
    return "".join(parts)


_NATIVE = frozenset({*_INPUTS, *_CHECKS, "button", "combobox", "listbox"})
