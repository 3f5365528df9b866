"""Word files (Office Open XML), read from their parts without running anything in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fde.errors import InputError
from ingest.blocks import Block, Content, one_line

if TYPE_CHECKING:
    from ingest.formats.base import Archive

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_W14 = "{http://schemas.microsoft.com/office/word/2010/wordml}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_DC = "{http://purl.org/dc/elements/1.1/}"


def _xml(data: bytes) -> Any:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise InputError(f"a part of it is not XML: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise InputError("a part of it declares entities, which no Office file does; refused")
    return root


def read_docx(archive: Archive) -> Content:
    """Headings, paragraphs, lists and tables of a Word file; deleted text of tracked changes is left out.

    Notes, comments, headers and footers follow at the end, under headings of their own.
    """
    levels, lists = _styles(archive)
    body = _xml(archive.read("word/document.xml")).find(f"{_W}body")
    content = Content([])
    if body is not None:
        _body(body, content.blocks, levels, lists)
    for part, heading in (("footnotes", "Footnotes"), ("endnotes", "Endnotes"), ("comments", "Comments")):
        name = f"word/{part}.xml"
        if name in archive.names:
            notes = [_text(note) for note in _xml(archive.read(name)) if note.get(f"{_W}type") is None]
            _append(content.blocks, heading, notes)
    margins: dict[str, None] = {}
    for name in archive.names:
        if re.fullmatch(r"word/(?:header|footer)\d*\.xml", name):
            margins[_text(_xml(archive.read(name)))] = None
    _append(content.blocks, "Headers and footers", list(margins))
    content.title = _core_title(archive) or next((b.text for b in content.blocks if b.kind == "heading"), "")
    return content


def _append(blocks: list[Block], heading: str, texts: list[str]) -> None:
    texts = [text for text in map(one_line, texts) if text]
    if texts:
        blocks.append(Block("heading", heading, level=1))
        blocks.extend(Block("paragraph", text) for text in texts)


def _core_title(archive: Archive) -> str:
    if "docProps/core.xml" not in archive.names:
        return ""
    return one_line(_xml(archive.read("docProps/core.xml")).findtext(f"{_DC}title") or "")


def _styles(archive: Archive) -> tuple[dict[str, int], set[str]]:
    """Heading level by style id, and the ids of list styles. Names are the same in every language."""
    levels: dict[str, int] = {}
    lists: set[str] = set()
    if "word/styles.xml" not in archive.names:
        return levels, lists
    for style in _xml(archive.read("word/styles.xml")).iter(f"{_W}style"):
        key = style.get(f"{_W}styleId") or ""
        label = style.find(f"{_W}name")
        name = str(label.get(f"{_W}val") or "").lower() if label is not None else ""
        heading = re.fullmatch(r"heading ([1-9])", name)
        outline = style.find(f"{_W}pPr/{_W}outlineLvl")
        if heading:
            levels[key] = int(heading[1])
        elif name == "title":
            levels[key] = 1
        elif outline is not None and (outline.get(f"{_W}val") or "9") < "9":
            levels[key] = int(outline.get(f"{_W}val")) + 1
        if name.startswith("list"):
            lists.add(key)
    return levels, lists


def _body(parent: Any, blocks: list[Block], levels: dict[str, int], lists: set[str]) -> None:
    for element in _parts(parent):
        if element.tag == f"{_W}p":
            _paragraph(element, blocks, levels, lists)
        elif element.tag == f"{_W}tbl":
            rows, headers = _rows(element)
            blocks.append(Block("table", rows=rows, header_rows=headers))


def _parts(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables, also those inside content controls and accepted insertions."""
    for element in parent:
        if element.tag in (f"{_W}p", f"{_W}tbl"):
            yield element
        elif element.tag == f"{_W}sdt":
            inner = element.find(f"{_W}sdtContent")
            if inner is not None:
                yield from _parts(inner)
        elif element.tag in (f"{_W}ins", f"{_W}customXml", f"{_W}moveTo"):
            yield from _parts(element)


def _paragraph(element: Any, blocks: list[Block], levels: dict[str, int], lists: set[str]) -> None:
    text = _text(element).strip()
    if not text:
        return
    properties = element.find(f"{_W}pPr")
    style, level, indent = "", 0, None
    if properties is not None:
        named = properties.find(f"{_W}pStyle")
        style = named.get(f"{_W}val") if named is not None else ""
        outline = properties.find(f"{_W}outlineLvl")
        if outline is not None and (outline.get(f"{_W}val") or "9") < "9":
            level = int(outline.get(f"{_W}val")) + 1
        numbering = properties.find(f"{_W}numPr")
        if numbering is not None:
            depth = numbering.find(f"{_W}ilvl")
            indent = int(depth.get(f"{_W}val") or 0) if depth is not None else 0
    level = level or levels.get(style, 0)
    if level:
        blocks.append(Block("heading", text, level=level))
    elif indent is not None or style in lists:
        blocks.append(Block("item", text, level=min(8, indent or 0)))
    else:
        blocks.append(Block("paragraph", text))


_LEFT_OUT = frozenset(
    {f"{_W}del", f"{_W}moveFrom", f"{_W}pPr", f"{_W}rPr", f"{_W}instrText", f"{_MC}Fallback"}
)


def _text(element: Any, depth: int = 0) -> str:
    parts: list[str] = []
    if depth > 200:
        return ""
    for child in element:
        tag = child.tag
        if tag in _LEFT_OUT or not isinstance(tag, str):
            continue
        if tag == f"{_W}t":
            parts.append(child.text or "")
        elif tag == f"{_W}tab":
            parts.append("\t")
        elif tag in (f"{_W}br", f"{_W}cr"):
            parts.append("\n")
        elif tag == f"{_W}noBreakHyphen":
            parts.append("-")
        elif tag == f"{_W14}checkbox":
            continue
        else:
            inner = _text(child, depth + 1)
            parts.append(inner + "\n" if tag == f"{_W}p" and inner else inner)
    box = element.find(f"{_W}sdtPr/{_W14}checkbox/{_W14}checked") if element.tag == f"{_W}sdt" else None
    if box is not None:
        return "[x]" if box.get(f"{_W14}val") in ("1", "true") else "[ ]"
    return "".join(parts)


def _rows(table: Any) -> tuple[list[list[str]], int | None]:
    """The rows of a table, and how many are marked as header. Merged cells say the same in every place."""
    rows: list[list[str]] = []
    headers = 0
    above: dict[int, str] = {}
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue
        if row.find(f"{_W}trPr/{_W}tblHeader") is not None and headers == len(rows):
            headers += 1
        skipped = row.find(f"{_W}trPr/{_W}gridBefore")
        cells = [""] * min(50, int(skipped.get(f"{_W}val") or 0) if skipped is not None else 0)
        for cell in _cells(row):
            properties = cell.find(f"{_W}tcPr")
            span, merged = 1, None
            if properties is not None:
                wide = properties.find(f"{_W}gridSpan")
                span = min(100, max(1, int(wide.get(f"{_W}val") or 1))) if wide is not None else 1
                merged = properties.find(f"{_W}vMerge")
            column = len(cells)
            goes_on = merged is not None and merged.get(f"{_W}val") != "restart"
            text = above.get(column, "") if goes_on else one_line(_text(cell))
            if merged is not None:
                above[column] = text
            cells.extend([text] * span)
        rows.append(cells)
    return rows, headers or None


def _cells(row: Any) -> Iterator[Any]:
    for element in row:
        if element.tag == f"{_W}tc":
            yield element
        elif element.tag == f"{_W}sdt":
            inner = element.find(f"{_W}sdtContent")
            if inner is not None:
                yield from _cells(inner)
