"""MiniWoB++ demonstrations: an utterance, and the page with the event at every moment of the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fde.errors import InputError
from ingest.formats.base import Read
from ingest.formats.json_stream import head_text, open_json
from ingest.formats.rebuilt import Heard, file_name, limit_s, moment, plain
from ingest.rebuild import Rebuilder

CAPTURING, TARGET = 1, 2  # the phases of an event in which the page has not reacted yet
_KEYS = {13: "Enter", 27: "Escape"}
# What holds the whole page; a click there misses everything.
_AROUND = ("body", "form", "html")
MAX_DEPTH = 300

Dom = dict[str, Any]


class MiniWob:
    """Reads demonstrations of MiniWoB++, plain or packed by gzip."""

    name = "miniwob"
    max_bytes = 40_000_000

    def recognises(self, path: Path, head: bytes) -> bool:
        text = head_text(head)
        return text.startswith("{") and '"utterance"' in text and '"states"' in text

    def read(self, path: Path) -> Read:
        with open_json(path) as text:
            demo = text.value()
        states = demo.get("states") if isinstance(demo, dict) else None
        if not isinstance(states, list) or not any(_dom(state) for state in states):
            raise InputError(f"{path}: a demonstration without pages (states with a dom).")
        name = plain(demo.get("taskName") or file_name(path).partition("_")[0])
        with Rebuilder(limit_s(path)) as rebuilder:
            made = _Demonstration(rebuilder, f"miniwob:{name}")
            try:
                made.run(states)
            except InputError as error:
                raise InputError(f"{path}: {error.message.removeprefix(f'{path}: ')}", error.hint) from error
            reward = demo.get("rawReward", demo.get("reward"))
            if isinstance(reward, int | float) and reward <= 0:
                made.heard.warn(f"The demonstration failed (reward {reward}).")
            instruction = plain(demo.get("utterance") or "")
            return Read([made.heard.recording(path, self.name, workflow=name, instruction=instruction)])


def _dom(state: Any) -> Dom | None:
    dom = state.get("dom") if isinstance(state, dict) else None
    return dom if isinstance(dom, dict) and isinstance(dom.get("tag"), str) else None


class _Demonstration:
    """One demonstration in the making."""

    def __init__(self, rebuilder: Rebuilder, url: str) -> None:
        self.rebuilder = rebuilder
        self.heard = Heard(rebuilder)
        self.url = url
        self._time = 0.0
        self._values: dict[int, Any] = {}
        self._focus: int | None = None
        self._first = True

    def _do(self, name: str, *given: Any) -> None:
        self.heard.take(self.rebuilder.do(name, self._time, *given))

    def run(self, states: list[Any]) -> None:
        for state in states:
            dom = _dom(state)
            if dom is not None and not self.heard.full:
                self._time = max(self._time, moment(state.get("time"), self._time))
                self._state(dom, state.get("action"))
        self._do("flush")
        self._time += 1
        self._do("look")
        self.heard.take(self.rebuilder.flush())

    def _state(self, dom: Dom, action: Any) -> None:
        page = _Page()
        root = page.node(dom, 0)
        for ref, value in page.values.items():
            if ref in self._values and self._values[ref] != value:
                checked = value if isinstance(value, bool) else False
                self._do("input", ref, "" if isinstance(value, bool) else plain(value), checked)
        self._values = page.values
        document = {
            "type": 0,
            "childNodes": [
                {"type": 1, "name": "html"},
                {"type": 2, "tagName": "html", "attributes": {}, "childNodes": [root]},
            ],
        }
        self.heard.take(self.rebuilder.load(self._time, document, self.url, fresh=self._first))
        self._first = False
        if page.focus != self._focus:
            if self._focus is not None and self._focus in page.refs:
                self._do("blur", self._focus)
            if page.focus is not None:
                self._do("focus", page.focus)
            self._focus = page.focus
        if isinstance(action, dict) and action.get("timing", CAPTURING) in (CAPTURING, TARGET):
            self._event(action, page)

    def _event(self, action: dict[str, Any], page: _Page) -> None:
        kind, target = action.get("type"), page.target
        if target is None:
            return
        if page.target_tag == "select":
            self.heard.warn("What was chosen in a list is not part of this format.")
        if kind == "mousedown":
            self._do("press", target)
        elif kind == "mouseup":
            self._do("release", target)
        elif kind == "click":
            # That the page reacted often shows in the reward alone: it ends there.
            self._do("click", target, False, page.target_tag not in _AROUND)
        elif kind == "keydown" and action.get("keyCode") in _KEYS:
            self._do("key", target, _KEYS[action["keyCode"]])


class _Page:
    """One page: its nodes, and what is said about them besides."""

    def __init__(self) -> None:
        self.refs: set[int] = set()
        self.values: dict[int, Any] = {}
        self.focus: int | None = None
        self.target: int | None = None
        self.target_tag = ""

    def node(self, dom: Dom, depth: int) -> dict[str, Any]:
        given = plain(dom.get("tag") or "div")
        if given == "t":
            return {"type": 3, "textContent": plain(dom.get("text") or "") + " "}
        tag, _, kind = given.lower().partition("_")
        ref = dom.get("ref")
        attributes: dict[str, Any] = {
            name: plain(dom[key])
            for key, name in (("id", "id"), ("classes", "class"))
            if isinstance(dom.get(key), str) and dom[key]
        }
        node: dict[str, Any] = {"type": 2, "tagName": tag, "attributes": attributes}
        if tag == "input":
            attributes["type"] = kind or "text"
        if tag == "a":
            attributes["href"] = "#"  # that it is one is all that is told
        if tag in ("svg", "g", "rect", "circle", "ellipse", "polygon", "path", "text", "line"):
            node["isSVG"] = True
        value = dom.get("value")
        if isinstance(value, bool):
            node["checked"] = value
        elif isinstance(value, str):
            node["value"] = plain(value)
            if kind in ("submit", "button", "reset"):
                attributes["value"] = node["value"]
        if isinstance(ref, int) and not isinstance(ref, bool):
            node["id"] = ref
            self.refs.add(ref)
            if isinstance(value, bool | str):
                self.values[ref] = value
            if dom.get("focused") and tag != "body":
                self.focus = ref
            if dom.get("recordingTarget"):
                self.target, self.target_tag = ref, "" if attributes.get("id") == "area" else tag
        text = dom.get("text")
        children = [{"type": 3, "textContent": plain(text)}] if isinstance(text, str) and text else []
        inner = dom.get("children")
        if isinstance(inner, list) and depth < MAX_DEPTH:
            children.extend(self.node(child, depth + 1) for child in inner if isinstance(child, dict))
        node["childNodes"] = children if tag != "textarea" else []
        return node
