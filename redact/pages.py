"""Walks every string of recordings: pages, actions, addresses, requests."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from ingest.action import Action, Target
from ingest.recording import Effect, RecordedStep, Recording, Snapshot
from ingest.snapshot import Node, parse, render
from redact.broken import mended
from redact.corpus import CONTROL, NAME, PROSE, UI, Context, Visitor
from redact.labels import kind_of

_CONTROLS = frozenset(
    [
        "button",
        "columnheader",
        "menuitem",
        "tab",
        "checkbox",
        "radio",
        "switch",
        "menuitemcheckbox",
        "menuitemradio",
    ]
)
_PROSE_ROLES = frozenset(
    [
        "paragraph",
        "alert",
        "status",
        "blockquote",
        "note",
        "log",
        "dialog",
        "alertdialog",
        "document",
        "article",
        "listitem",
    ]
)
_FIELDS = frozenset(["textbox", "searchbox", "spinbutton", "combobox", "listbox", "slider"])


def map_recording(
    recording: Recording, visitor: Visitor, pages: dict[str, tuple[str, dict[str, str]]]
) -> Recording:
    """The recording with every string visited. ``pages`` remembers snapshots between recordings."""
    steps = tuple(_map_step(step, visitor, pages) for step in recording.steps)
    return recording.model_copy(
        update={
            "id": visitor.text(recording.id, NAME),
            "instruction": visitor.text(recording.instruction, PROSE),
            "source": visitor.text(recording.source, NAME),
            "steps": steps,
            "warnings": tuple(visitor.text(w, PROSE) for w in recording.warnings),
        }
    )


def _map_step(
    step: RecordedStep, visitor: Visitor, pages: dict[str, tuple[str, dict[str, str]]]
) -> RecordedStep:
    before, names = _map_snapshot(step.before, visitor, pages)
    after, _ = _map_snapshot(step.after, visitor, pages)
    return step.model_copy(
        update={
            "before": before,
            "after": after,
            "action": _map_action(step.action, visitor, names),
            "effects": tuple(_map_effect(effect, visitor) for effect in step.effects),
        }
    )


def _map_snapshot(
    snapshot: Snapshot | None, visitor: Visitor, pages: dict[str, tuple[str, dict[str, str]]]
) -> tuple[Snapshot | None, dict[str, str]]:
    if snapshot is None:
        return None, {}
    if snapshot.text not in pages:
        names: dict[str, str] = {}
        page = parse(snapshot.text)
        with visitor.within([snapshot.title, *_texts(page)]):
            tree = map_page(page, visitor, names)
        pages[snapshot.text] = (render(tree), names)
    text, names = pages[snapshot.text]
    # Pixels and HTML have passes of their own (redact.screens, redact.doms).
    return Snapshot(
        url=map_url(snapshot.url, visitor), title=visitor.text(snapshot.title, UI), text=text
    ), names


def _map_action(action: Action, visitor: Visitor, names: dict[str, str]) -> Action:
    target = action.target
    label = kind_of(target.name) if target else None
    value = action.value
    if value is not None:
        if action.verb == "goto":
            value = map_url(value, visitor)
        elif action.verb == "select":
            value = visitor.text(value, Context("option", label))
        elif action.verb != "press":
            value = visitor.text(value, Context("field", label) if target else PROSE)
    if target is not None:
        target = Target(
            role=target.role,
            name=names.get(target.name)
            or visitor.text(target.name, CONTROL if target.role in _CONTROLS | _FIELDS else UI),
            nth=target.nth,
            row=None if target.row is None else names.get(target.row) or visitor.text(target.row, UI),
        )
    return Action(verb=action.verb, target=target, value=value)


def map_page(node: Node, visitor: Visitor, names: dict[str, str]) -> Node:
    """A page with every name, value and text visited.

    Args:
        names: Receives old -> new for names that were derived from their children.
    """
    return _Page(visitor, names).node(node, None, UI)


class _Page:
    def __init__(self, visitor: Visitor, names: dict[str, str]) -> None:
        self.visitor = visitor
        self.names = names

    def node(self, node: Node, label: str | None, around: Context) -> Node:
        role = node.role
        if role in ("table", "grid", "treegrid"):
            return self._table(node)
        if role in _FIELDS:
            return self._field(node)
        context = self._context(role, label, around)
        children = self._children(node, label, context)
        return self._named(node, children, context)

    def _context(self, role: str, label: str | None, around: Context) -> Context:
        if role in _CONTROLS:
            return CONTROL
        if label is not None:
            return Context("cell", label)
        if role in ("cell", "gridcell", "definition", "rowheader"):
            return Context("cell")
        if role in _PROSE_ROLES:
            return PROSE
        return around if role == "text" else UI

    def _children(self, node: Node, label: str | None, context: Context) -> tuple[Node, ...]:
        """Children in order; a term, a row header or "Label:" labels what follows it."""
        out: list[Node] = []
        pending: str | None = None
        inline = context if context.place in ("prose", "cell") else UI
        for child in mended(node.children, self.visitor):
            text = child.text() if child.role in ("term", "rowheader", "text", "strong") else ""
            mine = pending if child.role not in ("term", "rowheader") and pending is not None else label
            is_label = child.role in ("term", "rowheader") or (
                child.role in ("text", "strong") and text.endswith(":")
            )
            out.append(self.node(child, None if is_label else mine, CONTROL if is_label else inline))
            if is_label:
                pending = kind_of(text)
            elif child.role == "definition" or (text and pending is not None):
                pending = None
        return tuple(out)

    def _named(self, node: Node, children: tuple[Node, ...], context: Context) -> Node:
        name = node.name
        if name:
            joined = (
                " ".join(" ".join(child.text() for child in node.children).split()) if node.children else None
            )
            if joined == " ".join(name.split()):
                name = " ".join(" ".join(child.text() for child in children).split())
                self.names[node.name] = name
            else:
                name = self.visitor.text(name, context)
        value = node.value
        if value is not None:
            value = self.visitor.text(
                value, context if node.role != "text" or context.place != "ui" else PROSE
            )
        states = tuple((k, self.visitor.text(v, UI) if len(v) > 3 else v) for k, v in node.states)
        return replace(node, name=name, value=value, states=states, children=children)

    def _field(self, node: Node) -> Node:
        label = kind_of(node.name)
        children = tuple(
            self._named(child, self._children(child, label, UI), Context("option", label))
            for child in node.children
        )
        name = self.visitor.text(node.name, CONTROL) if node.name else ""
        value = node.value
        if value is not None:
            place = "option" if node.role in ("combobox", "listbox") and node.children else "field"
            value = self.visitor.text(value, Context(place, label))
        return replace(node, name=name, value=value, children=children)

    def _table(self, node: Node) -> Node:
        headers: list[str] = []

        def walk(current: Node) -> Node:
            nonlocal headers
            if current.role != "row":
                if current.role in ("rowgroup", "table", "grid", "treegrid"):
                    children = tuple(walk(child) for child in current.children)
                    return self._named(current, children, UI)
                return self.node(current, None, UI)
            found = [c for c in current.children if c.role == "columnheader"]
            if found:
                headers = [c.name or c.text() for c in current.children]
            cells: list[Node] = []
            side: str | None = None
            with self.visitor.within(_texts(current)):
                for position, cell in enumerate(current.children):
                    header = headers[position] if position < len(headers) and not found else ""
                    label = None if cell.role == "columnheader" else kind_of(header) if header else side
                    if cell.role == "rowheader" and not headers:
                        side = kind_of(cell.name or cell.text())
                        cells.append(self.node(cell, None, CONTROL))
                    else:
                        cells.append(self.node(cell, label, Context("cell", label)))
            return self._named(current, tuple(cells), UI)

        return walk(node)


def _texts(node: Node) -> list[str]:
    """What can be read in a node, piece by piece; a name that only repeats its children is left out."""
    return [
        piece
        for n in node.walk()
        for piece in (n.value, "" if n.children and n.role in ("row", "cell", "listitem") else n.name)
        if piece
    ]


def map_url(url: str, visitor: Visitor) -> str:
    """An address with its decoded parts visited; parts that stay are left byte for byte."""
    match = re.fullmatch(
        r"(?P<head>(?:[a-zA-Z][\w+.-]*:)?//[^/?#]*)?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
        url,
        re.DOTALL,
    )
    if match is None:
        return visitor.text(url, Context("url"))
    head = match["head"] or ""
    login, at, host = head.partition("//")[2].rpartition("@")
    if at:
        user, colon, password = login.partition(":")
        user = visitor.text(unquote(user), Context("url", "USERNAME"))
        password = visitor.text(unquote(password), Context("url", "SECRET")) if password else ""
        head = (
            head.partition("//")[0]
            + "//"
            + quote(user, safe="")
            + colon
            + quote(password, safe="")
            + "@"
            + host
        )
    out = head + _segments(match["path"], visitor)
    if match["query"] is not None:
        out += "?" + "&".join(_pair(pair, visitor) for pair in match["query"].split("&"))
    if match["fragment"] is not None:
        fragment = unquote(match["fragment"])
        new = visitor.text(fragment, Context("url"))
        out += "#" + (match["fragment"] if new == fragment else quote(new, safe="/?=&!:"))
    return out


_PEOPLE_SEGMENT = re.compile(
    r"users?|people|persons?|profiles?|employees?|members?|staff|contacts?|~", re.IGNORECASE
)


def _segments(path: str, visitor: Visitor) -> str:
    out: list[str] = []
    before = ""
    for segment in path.split("/"):
        plain = unquote(segment)
        label = (
            "USERNAME"
            if _PEOPLE_SEGMENT.fullmatch(before) and re.search(r"[a-zA-Z]{2}.*[._-]|[a-z]{4}", plain)
            else None
        )
        label = None if plain.lower() in ("new", "edit", "list", "search", "index") else label
        new = visitor.text(plain, Context("url", label)) if plain else ""
        out.append(segment if new == plain else quote(new, safe="@:!$&'()*+,;=~"))
        before = plain
    return "/".join(out)


def _pair(pair: str, visitor: Visitor) -> str:
    key, equals, value = pair.partition("=")
    plain_key, plain = unquote_plus(key), unquote_plus(value)
    new_key = visitor.text(plain_key, CONTROL) if plain_key else ""
    new = visitor.text(plain, Context("field", kind_of(plain_key))) if plain else ""
    encode = quote if "%20" in value else quote_plus
    return (
        (key if new_key == plain_key else quote_plus(new_key))
        + equals
        + (value if new == plain else encode(new, safe="@" if "@" in value else ""))
    )


def _map_effect(effect: Effect, visitor: Visitor) -> Effect:
    return Effect(
        method=effect.method,
        url=map_url(effect.url, visitor),
        status=effect.status,
        body=None if effect.body is None else map_json(effect.body, visitor, ""),
        location=None if effect.location is None else map_url(effect.location, visitor),
        identifiers=tuple(visitor.text(found, Context("field")) for found in effect.identifiers),
    )


def _key(key: str, visitor: Visitor) -> str:
    return visitor.text(key, CONTROL)


def map_json(value: Any, visitor: Visitor, key: str) -> Any:
    """A JSON value; ``key`` labels the strings and numbers below it."""
    if isinstance(value, str):
        if re.match(r"[a-z]+://|/[\w/-]*[?%]", value):
            return map_url(value, visitor)
        return visitor.text(value, Context("field", kind_of(key)))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 99:
        new = visitor.text(str(value), Context("field", kind_of(key)))
        return int(new) if re.fullmatch(r"-?\d+", new) else new
    if isinstance(value, list):
        return [map_json(item, visitor, key) for item in value]
    if isinstance(value, dict):
        with visitor.within([v for v in value.values() if isinstance(v, str)]):
            return {_key(str(k), visitor): map_json(v, visitor, str(k)) for k, v in value.items()}
    return value
