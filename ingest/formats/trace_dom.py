"""Snapshots of a Playwright trace as serialised documents.

A snapshot is ``[tag, {attribute: value}, child…]``, a text, or ``[[n, k]]``: the
node that ends as the k-th in the snapshot n before this one of the same frame.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import urldefrag, urljoin

from ingest.formats.base import Archive
from ingest.formats.rebuilt import moment, plain
from ingest.formats.trace_archive import Context, Frame

TARGET = 1  # the id of the element that a call was aimed at
MAX_NODES = 200_000
MAX_DEPTH = 200
MAX_FRAMES = 8
MAX_IMPORTS = 20
_OWN = "__playwright_"
_SHADOW = "#shadow-root"
_IMPORT = re.compile(
    r"""@import\s+(?:url\(\s*)?["']?(?P<url>[^"'()\s;]+)["']?\s*\)?\s*(?P<media>[^;]*);""", re.IGNORECASE
)

Node = dict[str, Any]


class Documents:
    """Makes documents of a context's snapshots.

    Attributes:
        sheets: The texts of style sheets by the names under which documents refer to them.
        cut: Whether a snapshot was too large to be built whole.
    """

    def __init__(self, context: Context, archive: Archive) -> None:
        self.context = context
        self.archive = archive
        self.sheets: dict[str, str] = {}
        self.cut = False
        self._lists: dict[tuple[str, int], list[Any]] = {}
        self._named: dict[tuple[str, str], list[tuple[Frame, int]]] = {}
        self._pages: dict[str, list[tuple[Frame, int]]] = {}
        self._files: dict[str, str | None] = {}
        self._by_url: dict[str, list[dict[str, Any]]] = {}
        for frame in context.frames.values():
            for index, shot in enumerate(frame.snapshots):
                page = str(shot.get("pageId"))
                self._named.setdefault((page, str(shot.get("snapshotName"))), []).append((frame, index))
                if shot.get("isMainFrame"):
                    self._pages.setdefault(page, []).append((frame, index))
        for resource in context.resources:
            request = resource.get("request")
            if isinstance(request, dict) and request.get("method") == "GET":
                self._by_url.setdefault(str(request.get("url")), []).append(resource)

    def main(self, page: str | None, name: str | None) -> tuple[Frame, int] | None:
        """The main frame's snapshot of this name on a page: of the last attempt, where there were several."""
        named = self._named.get((str(page), str(name)), ())
        return next((each for each in reversed(named) if each[0].snapshots[each[1]].get("isMainFrame")), None)

    def last(self, page: str | None) -> tuple[Frame, int] | None:
        """The last snapshot of a page."""
        found = self._pages.get(str(page))
        return max(found, key=lambda each: _time(each[0].snapshots[each[1]])) if found else None

    def document(self, frame: Frame, index: int, call: str) -> Node:
        """A snapshot as a serialised document; the target of ``call`` has the id :data:`TARGET`."""
        return _Build(self, frame, index, call).document()

    # Style sheets

    def sheet(self, url: str, frame: Frame, index: int) -> str | None:
        """The name of a style sheet's text as it was at a snapshot."""
        url = urldefrag(url)[0]
        key = self._override(url, frame, index) or self._resource(url, frame, index)
        if key is None:
            return None
        if key not in self.sheets:
            self.sheets[key] = self._text(key, url, frame, index, 0)
        return key

    def _text(self, key: str, url: str, frame: Frame, index: int, depth: int) -> str:
        text = self._content(key) or ""

        def imported(match: re.Match[str]) -> str:
            target = urldefrag(urljoin(url, match["url"]))[0]
            found = self._resource(target, frame, index) if depth < MAX_IMPORTS else None
            if found is None:
                return ""
            inner = self._text(found, target, frame, index, depth + 5)
            media = match["media"].strip()
            return f"@media {media} {{ {inner} }}" if media else inner

        return _IMPORT.sub(imported, text)

    def _override(self, url: str, frame: Frame, index: int) -> str | None:
        for _ in range(2):
            for each in frame.snapshots[index].get("resourceOverrides") or ():
                if not isinstance(each, dict) or each.get("url") != url:
                    continue
                file = each.get("file") or (f"resources/{each['sha1']}" if each.get("sha1") else None)
                if file:
                    return str(file)
                back = each.get("ref")
                if isinstance(back, int) and 0 < back <= index:
                    index -= back
                    break
            else:
                return None
        return None

    def _resource(self, url: str, frame: Frame, index: int) -> str | None:
        """The archive's entry with the answer that a snapshot's style sheet was."""
        until = _time(frame.snapshots[index])
        own = other = None
        for each in self._by_url.get(url, ()):
            response = each.get("response")
            if not isinstance(response, dict) or response.get("status") == 304:
                continue
            if moment(each.get("_monotonicTime"), 0.0) >= until > 0:
                continue
            content = response.get("content")
            key = content_key(content) if isinstance(content, dict) else None
            if key and each.get("_frameref") == frame.id:
                own = key
            elif key:
                other = key
        return own or other

    def _content(self, key: str) -> str | None:
        if key.startswith("text:"):
            return key.removeprefix("text:")
        if key not in self._files:
            known = key in self.archive.names
            self._files[key] = self.archive.read(key).decode("utf-8-sig", "replace") if known else None
        return self._files[key]

    def nodes(self, frame: Frame, index: int) -> list[Any]:
        """The nodes of a snapshot in the order in which they end, without those referred to."""
        key = (frame.id, index)
        if key not in self._lists:
            made: list[Any] = []
            _collect(frame.snapshots[index].get("html"), made, 0)
            self._lists[key] = made
        return self._lists[key]


def content_key(content: dict[str, Any]) -> str | None:
    """Where a request's or an answer's body is: an entry of the archive, or ``text:`` and the text itself."""
    file = content.get("_file") or (f"resources/{content['_sha1']}" if content.get("_sha1") else None)
    if file:
        return str(file)
    text = content.get("text")
    if not isinstance(text, str):
        return None
    if content.get("encoding") != "base64":
        return "text:" + text
    try:
        return "text:" + base64.b64decode(text).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None


def _time(snapshot: dict[str, Any]) -> float:
    return moment(snapshot.get("timestamp"), 0.0)


def _is_node(n: Any) -> bool:
    return isinstance(n, list) and bool(n) and isinstance(n[0], str)


def _collect(n: Any, into: list[Any], depth: int) -> None:
    if isinstance(n, str):
        into.append(n)
    elif _is_node(n):
        if depth < MAX_DEPTH:
            for child in n[2:]:
                _collect(child, into, depth + 1)
        into.append(n)


class _Build:
    """One document in the making."""

    def __init__(self, documents: Documents, frame: Frame, index: int, call: str) -> None:
        self.documents = documents
        self.frame, self.index, self.call = frame, index, call
        self.shot = frame.snapshots[index]
        self.name = self.shot.get("snapshotName")
        self.base = str(self.shot.get("frameUrl") or "")
        self.left = MAX_NODES
        self.above: tuple[str, ...] = (frame.id,)
        self.found = False

    def document(self) -> Node:
        made = self._document(self.frame, self.index)
        if self.left <= 0:
            self.documents.cut = True
        return made

    def _document(self, frame: Frame, index: int) -> Node:
        shot = frame.snapshots[index]
        children: list[Node] = []
        if shot.get("doctype"):
            children.append({"type": 1, "name": re.sub(r"[^A-Za-z0-9]", "", str(shot["doctype"])) or "html"})
        document: Node = {"type": 0, "childNodes": children}
        outer = self.frame, self.index, self.base
        self.frame, self.index, self.base = frame, index, str(shot.get("frameUrl") or "")
        root = self._node(shot.get("html"), index, False, document, 0)
        self.frame, self.index, self.base = outer
        if root is not None:
            children.append(root)
        return document

    def _node(self, n: Any, index: int, svg: bool, root: Node, depth: int) -> Node | None:
        if isinstance(n, list) and n and isinstance(n[0], list):
            reference = n[0]
            if len(reference) != 2 or not all(isinstance(part, int) for part in reference):
                return None
            ago, position = reference
            if not (0 <= ago <= index):
                return None
            nodes = self.documents.nodes(self.frame, index - ago)
            if not 0 <= position < len(nodes):
                return None
            return self._node(nodes[position], index - ago, svg, root, depth)
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            self.documents.cut = True
            return None
        if isinstance(n, str):
            return {"type": 3, "textContent": n}
        return self._element(n, index, svg, root, depth) if _is_node(n) else None

    def _element(self, n: list[Any], index: int, svg: bool, root: Node, depth: int) -> Node | None:
        tag = n[0].lower()
        raw = n[1] if len(n) > 1 and isinstance(n[1], dict) else {}
        given = {str(key): value for key, value in raw.items() if isinstance(value, str)}
        if tag == "template" and f"{_OWN}style_sheet_" in given:
            root.setdefault("sheets", []).append(given[f"{_OWN}style_sheet_"])
            return None
        svg = svg or tag == "svg"
        attributes: dict[str, Any] = {k: v for k, v in given.items() if not k.startswith(_OWN)}
        node: Node = {"type": 2, "tagName": tag, "attributes": attributes}
        if svg:
            node["isSVG"] = True
        self._properties(node, tag, given)
        if tag == "base" and attributes.get("href"):
            self.base = urljoin(self.base, attributes["href"])
        if tag == "link":
            self._link(attributes)
        if tag in ("iframe", "frame"):
            self._frame(node, attributes)
        shadow = f"{_OWN}shadow_root_" in given
        children: list[Node] = []
        for child in n[2:]:
            made = self._node(
                child, index, svg and tag != "foreignobject", node if shadow else root, depth + 1
            )
            if made is None:
                continue
            if made.get("tagName") == _SHADOW:
                node["isShadowHost"] = True
                node["sheets"] = made.get("sheets", [])
                children.extend({**each, "isShadow": True} for each in made["childNodes"])
            else:
                children.append(made)
        node["childNodes"] = children
        return {**node, "tagName": _SHADOW} if shadow else node

    def _properties(self, node: Node, tag: str, given: dict[str, str]) -> None:
        if f"{_OWN}value_" in given:
            node["value"] = given[f"{_OWN}value_"]
        if f"{_OWN}checked_" in given:
            node["checked"] = given[f"{_OWN}checked_"] == "true"
        if f"{_OWN}selected_" in given:
            node["selected"] = given[f"{_OWN}selected_"] == "true"
        if f"{_OWN}popover_open_" in given:
            node["popover"] = True
        if f"{_OWN}dialog_open_" in given:
            modal = given[f"{_OWN}dialog_open_"] == "modal"
            node["attributes"]["rr_open_mode"] = "modal" if modal else "non-modal"
        elif tag == "dialog" and "open" in given:  # before version 8
            node["attributes"]["rr_open_mode"] = "non-modal"
        marks = ("", self.call, str(self.name))
        if not self.found and given.get(f"{_OWN}target__") in marks:
            node["id"] = TARGET
            self.found = True

    def _link(self, attributes: dict[str, Any]) -> None:
        rel = str(attributes.get("rel", "")).lower()
        if "stylesheet" in rel and "alternate" not in rel and attributes.get("href"):
            url = urljoin(self.base, str(attributes["href"]))
            name = self.documents.sheet(url, self.frame, self.index)
            if name:
                attributes["_cssName"] = plain(name)

    def _frame(self, node: Node, attributes: dict[str, Any]) -> None:
        inner = self.documents.context.frames.get(str(attributes.pop("src", "")).removeprefix("/snapshot/"))
        if inner is None or inner.id in self.above or len(self.above) > MAX_FRAMES:
            return
        until = _time(self.shot)
        at = [i for i, each in enumerate(inner.snapshots) if each.get("snapshotName") == self.name]
        if not at:
            at = [i for i, each in enumerate(inner.snapshots) if _time(each) <= until]
        if at:
            outer, self.above = self.above, (*self.above, inner.id)
            node["frame"] = self._document(inner, at[-1])
            self.above = outer
