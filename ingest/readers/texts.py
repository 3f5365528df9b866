"""Plain text, Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fde.errors import InputError
from ingest.blocks import Block, Content, one_line

if TYPE_CHECKING:
    from bs4.element import Tag

MAX_ROWS = 200_000


def decode(data: bytes) -> str:
    """Text of unknown encoding: by its mark, as UTF-8, or as Windows Latin.

    Raises:
        InputError: when it is not text.
    """
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(name, "replace")
    if b"\0" in data[:8192]:
        raise InputError("it is a binary file of an unknown kind")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def read_text(data: bytes) -> Content:
    """Paragraphs divided by blank lines."""
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    parts = re.split(r"\n[ \t]*\n+", text)
    return Content([Block("paragraph", part.strip("\n")) for part in parts if part.strip()])


_ATX = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*$")
_ITEM = re.compile(r"([ \t]*)(?:[-*+]|\d{1,4}[.)])[ \t]+(.*)")
_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")


def read_markdown(data: bytes) -> Content:
    """Headings, lists, tables and paragraphs of Markdown."""
    lines = decode(data).replace("\r\n", "\n").split("\n")
    blocks: list[Block] = []
    paragraph: list[str] = []
    title = ""

    def close() -> None:
        if paragraph:
            blocks.append(Block("paragraph", "\n".join(paragraph)))
            paragraph.clear()

    at = 0
    if lines and lines[0].strip() == "---" and "---" in [line.strip() for line in lines[1:60]]:
        end = [line.strip() for line in lines].index("---", 1)
        for line in lines[1:end]:
            key, _, value = line.partition(":")
            title = value.strip().strip("'\"") if key.strip().lower() == "title" else title
        at = end + 1
    while at < len(lines):
        line = lines[at]
        heading = _ATX.fullmatch(line.strip())
        item = _ITEM.fullmatch(line)
        if line.strip().startswith("```"):
            close()
            end = next(
                (i for i in range(at + 1, len(lines)) if lines[i].strip().startswith("```")), len(lines)
            )
            blocks.append(Block("paragraph", "\n".join(lines[at : end + 1])))
            at = end
        elif heading:
            close()
            blocks.append(Block("heading", _plain(heading[2]), level=len(heading[1])))
        elif paragraph and re.fullmatch(r"=+|-{2,}", line.strip()) and len(paragraph) == 1:
            blocks.append(Block("heading", _plain(paragraph.pop()), level=1 if "=" in line else 2))
        elif (
            "|" in line
            and at + 1 < len(lines)
            and "-" in lines[at + 1]
            and _RULE.fullmatch(lines[at + 1].strip())
        ):
            close()
            rows = [_cells(line)]
            at += 2
            while at < len(lines) and "|" in lines[at]:
                rows.append(_cells(lines[at]))
                at += 1
            blocks.append(Block("table", rows=rows, header_rows=1))
            continue
        elif item:
            close()
            blocks.append(Block("item", _plain(item[2]), level=len(item[1].expandtabs(4)) // 2))
        elif not line.strip():
            close()
        elif blocks and blocks[-1].kind == "item" and not paragraph and line.startswith(" "):
            blocks[-1].text += " " + line.strip()
        else:
            paragraph.append(_plain(line.rstrip()))
        at += 1
    close()
    return Content(blocks, title or next((b.text for b in blocks if b.kind == "heading"), ""))


def _plain(text: str) -> str:
    """Markdown without what only decorates: links keep their words, emphasis its text."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text)


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [_plain(cell.replace("\\|", "|").strip()) for cell in re.split(r"(?<!\\)\|", inner)]


def read_csv(data: bytes, name: str) -> Content:
    """A table of comma-, semicolon-, tab- or bar-separated values."""
    text = decode(data)
    sample = text[:20_000]
    try:
        delimiter = csv.Sniffer().sniff(sample, delimiters=",;\t|").delimiter
    except csv.Error:
        delimiter = "\t" if "\t" in sample else ","
    warnings: list[str] = []
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if len(rows) >= MAX_ROWS:
                warnings.append(f"Only the first {MAX_ROWS} rows were read.")
                break
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"its rows cannot be told apart: {error}") from error
    return Content([Block("table", rows=rows, name=name)], name, warnings=warnings)


_SKIPPED = frozenset(
    {"script", "style", "noscript", "template", "head", "svg", "object", "embed", "iframe", "button"}
)
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
    """The readable text of a page: headings, paragraphs, lists, definitions and tables."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(data, "lxml")
    title = one_line(soup.title.get_text()) if soup.title else ""
    content = Content([], title)
    root = soup.body or soup
    _walk(root, _Flow(content.blocks))
    if not title:
        content.title = next((b.text for b in content.blocks if b.kind == "heading"), "")
    return content


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
