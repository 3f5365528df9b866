"""Hand-written rrweb streams, as short as what they show allows."""

from __future__ import annotations

import itertools
from typing import Any

START = 1_790_000_000_000
Event = dict[str, Any]


class Stream:
    """Builds a stream: nodes get ids in the order in which they are made; events come a second apart."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.time = START
        self._ids = itertools.count(1)

    def document(self, *body: Any, head: tuple[Any, ...] = (), first: int | None = None) -> dict[str, Any]:
        if first is not None:
            self._ids = itertools.count(first)
        document = {
            "type": 0,
            "id": next(self._ids),
            "childNodes": [{"type": 1, "name": "html", "id": next(self._ids)}],
        }
        document["childNodes"].append(self.el("html", self.el("head", *head), self.el("body", *body)))
        return document

    def el(self, tag: str, *children: Any, **attributes: Any) -> dict[str, Any]:
        named = {
            name if name.startswith(("_", "rr_")) else name.rstrip("_").replace("_", "-"): value
            for name, value in attributes.items()
        }
        extra = {key: named.pop(key) for key in ("isShadowHost", "isShadow", "isSVG") if key in named}
        nodes = [self.text(child) if isinstance(child, str) else child for child in children]
        return {
            "type": 2,
            "id": next(self._ids),
            "tagName": tag,
            "attributes": named,
            "childNodes": nodes,
            **extra,
        }

    def text(self, text: str) -> dict[str, Any]:
        return {"type": 3, "id": next(self._ids), "textContent": text}

    def add(self, kind: int, data: dict[str, Any], after_ms: int = 1000) -> Stream:
        self.time += after_ms
        self.events.append({"type": kind, "data": data, "timestamp": self.time})
        return self

    def page(self, document: dict[str, Any], url: str = "http://a.example/") -> Stream:
        self.add(4, {"href": url, "width": 1000, "height": 720})
        return self.add(2, {"node": document, "initialOffset": {"left": 0, "top": 0}}, 1)

    def change(self, after_ms: int = 5, **given: Any) -> Stream:
        empty: dict[str, Any] = {"removes": [], "adds": [], "texts": [], "attributes": []}
        return self.add(3, {"source": 0, **empty, **given}, after_ms)

    def put(
        self, parent: dict[str, Any], node: dict[str, Any], before: Any = None, after_ms: int = 5
    ) -> Stream:
        add = {"parentId": parent["id"], "nextId": before["id"] if before else None, "node": node}
        return self.change(after_ms, adds=[add])

    def mouse(self, kind: int, node: dict[str, Any], after_ms: int = 2, **given: Any) -> Stream:
        return self.add(3, {"source": 2, "type": kind, "id": node["id"], "x": 5, "y": 5, **given}, after_ms)

    def click(self, node: dict[str, Any], focus: bool = True) -> Stream:
        self.mouse(1, node, 1000)
        if focus:
            self.mouse(5, node)
        return self.mouse(0, node).mouse(2, node, pointerType=0)

    def enter(self, button: dict[str, Any]) -> Stream:
        """The Enter key in a field of the button's form, as the browser tells it."""
        return self.add(3, {"source": 2, "type": 2, "id": button["id"], "x": 0, "y": 0})

    def input(self, node: dict[str, Any], text: str = "", checked: bool = False, after_ms: int = 3) -> Stream:
        return self.add(3, {"source": 5, "id": node["id"], "text": text, "isChecked": checked}, after_ms)

    def type(self, node: dict[str, Any], text: str) -> Stream:
        self.mouse(5, node, 1000)
        for end in range(1, len(text) + 1):
            self.input(node, text[:end], after_ms=40)
        return self
