"""Pages in HTML: what can be read on them. Nothing they refer to is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ingest.blocks import Block, Content, one_line

if TYPE_CHECKING:
    from bs4.element import Tag

_SKIPPED = frozenset(
    {"script", "style", "noscript", "template", "head", "svg", "object", "embed", "iframe", "button"}
)
# What a browser fetches by itself; links wait for a click.
_FETCHING = ["script", "img", "iframe", "frame", "object", "embed", "link", "video", "audio", "source"]
_BLOCKS = frozenset(
    {
        "p",
        "div",
        "section",
        "article",
        "main",
        "aside",
        "header",
        "footer",
        "nav",
        "blockquote",
        "pre",
        "address",
    }
    | {
        "ul",
        "ol",
        "dl",
        "figure",
        "figcaption",
        "form",
        "fieldset",
        "details",
        "summary",
        "center",
        "body",
        "html",
    }
)


def read_html(data: bytes | str) -> Content:
    """The readable text of a page: headings, paragraphs, lists, definitions and tables.

    What it would fetch (scripts, pictures, frames) is left alone, and counted in a warning.
    """
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(data, "lxml")
    title = one_line(soup.title.get_text()) if soup.title else ""
    content = Content([], title)
    root = soup.body or soup
    _walk(root, _Flow(content.blocks))
    if not title:
        content.title = next((b.text for b in content.blocks if b.kind == "heading"), "")
    fetched = sum(1 for element in soup.find_all(_FETCHING) if _fetches(element))
    if fetched:
        content.warnings.append(f"The page refers to {fetched} addresses on the network; none was asked.")
    return content


def _fetches(element: Tag) -> bool:
    """Whether a browser would ask an address on the network for it."""
    address = str(element.get("src") or element.get("data") or element.get("href") or "").strip().lower()
    return address.startswith(("http:", "https:", "ftp:", "//"))


class _Flow:
    """Collects inline text until a block ends it."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self.text = ""
        self.item: int | None = None

    def close(self) -> None:
        lines = [one_line(line) for line in self.text.split("\x1e")]
        text = "\n".join(line for line in lines if line)
        self.text = ""
        if text and self.item is not None:
            self.blocks.append(Block("item", text.replace("\n", " "), level=self.item))
        elif text:
            self.blocks.append(Block("paragraph", text))


def _walk(element: Tag, flow: _Flow, depth: int = 0) -> None:
    from bs4.element import NavigableString, PreformattedString, Tag

    if depth > 400:
        return
    for child in element.children:
        if isinstance(child, PreformattedString):
            continue  # comments and declarations
        if isinstance(child, NavigableString):
            flow.text += str(child)
        elif isinstance(child, Tag) and not _hidden(child):
            _element(child, flow, depth)


def _hidden(element: Tag) -> bool:
    style = str(element.get("style") or "").replace(" ", "").lower()
    return element.name in _SKIPPED or element.has_attr("hidden") or "display:none" in style


def _element(element: Tag, flow: _Flow, depth: int) -> None:
    name = element.name
    if name == "br":
        flow.text += "\x1e"
    elif re.fullmatch(r"h[1-6]", name):
        flow.close()
        flow.blocks.append(Block("heading", one_line(element.get_text(" ")), level=int(name[1])))
    elif name == "table":
        flow.close()
        _table(element, flow, depth)
    elif name in ("li", "dt", "dd"):
        flow.close()
        outer = flow.item
        lists = len(element.find_parents(["ul", "ol"])) - 1
        flow.item = max(0, lists) if name == "li" else None
        term = flow.blocks[-1] if name == "dd" and flow.blocks and flow.blocks[-1].name == "term" else None
        begun = len(flow.blocks)
        _walk(element, flow, depth + 1)
        flow.close()
        if name == "dt" and len(flow.blocks) == begun + 1:
            flow.blocks[-1].name = "term"
        elif term is not None and len(flow.blocks) > begun and flow.blocks[begun].kind == "paragraph":
            term.text = f"{term.text.rstrip(':')}: {flow.blocks.pop(begun).text}"
            term.name = ""
        flow.item = outer
    elif name == "img":
        flow.text += " " + str(element.get("alt") or "") + " "
    elif name == "input":
        kind = str(element.get("type") or "text")
        if kind in ("checkbox", "radio"):
            flow.text += " [x] " if element.has_attr("checked") else " [ ] "
        elif kind not in ("hidden", "password", "submit", "button"):
            flow.text += " " + str(element.get("value") or "") + " "
    elif name in _BLOCKS:
        flow.close()
        _walk(element, flow, depth + 1)
        flow.close()
    else:
        _walk(element, flow, depth + 1)


def _rows(table: Tag) -> Iterator[Tag]:
    for row in table.find_all("tr"):
        if row.find_parent("table") is table:
            yield row


def _table(table: Tag, flow: _Flow, depth: int) -> None:
    """A table of data; one that only arranges the page is read through."""
    if table.find("table") is not None or table.get("role") in ("presentation", "none"):
        for row in _rows(table):
            for cell in row.find_all(["td", "th"], recursive=False):
                _walk(cell, flow, depth + 1)
                flow.close()
        return
    caption = table.find("caption")
    rows: list[list[str]] = []
    spans: dict[tuple[int, int], str] = {}  # cells reached by a cell further up
    headers = 0
    for at, row in enumerate(_rows(table)):
        cells: list[str] = []
        found = row.find_all(["td", "th"], recursive=False)
        for cell in found:
            while (at, len(cells)) in spans:
                cells.append(spans[at, len(cells)])
            text = one_line(cell.get_text(" "))
            for _ in range(_span(cell, "colspan")):
                for down in range(1, _span(cell, "rowspan")):
                    spans[at + down, len(cells)] = text
                cells.append(text)
        while (at, len(cells)) in spans:
            cells.append(spans[at, len(cells)])
        if headers == len(rows) and found and (all(c.name == "th" for c in found) or _in_head(row)):
            headers += 1
        rows.append(cells)
    name = one_line(caption.get_text(" ")) if caption else ""
    flow.blocks.append(Block("table", rows=rows, header_rows=headers or None, name=name))


def _in_head(row: Tag) -> bool:
    return row.parent is not None and row.parent.name == "thead"


def _span(cell: Tag, key: str) -> int:
    value = str(cell.get(key) or "1")
    return min(100, max(1, int(value))) if value.isdigit() else 1
