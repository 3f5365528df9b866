"""PowerPoint files (.pptx): slide by slide, with titles, lists, tables, charts' numbers and notes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from ingest.blocks import Block, Content, one_line

_MAX_GROUPS = 20
_LINE_BREAK = "\v"


def read_pptx(data: bytes) -> Content:
    """Headings, lists and tables of a presentation; every block knows its slide."""
    from pptx import Presentation

    deck = Presentation(io.BytesIO(data))
    content = Content([], one_line(deck.core_properties.title or ""))
    for number, slide in enumerate(deck.slides, 1):
        content.blocks += _slide(slide, number)
        if slide._element.get("show") == "0":
            content.warnings.append(f"Slide {number} is hidden; it was read.")
    if content.title.lower() in ("", "powerpoint presentation"):
        content.title = next((block.text for block in content.blocks if block.kind == "heading"), "")
    return content


def _slide(slide: Any, number: int) -> list[Block]:
    title = slide.shapes.title
    name = one_line(title.text_frame.text) if title is not None else ""
    blocks = [Block("heading", name or f"Slide {number}", level=1)]
    shapes = [shape for shape in _flat(slide.shapes) if title is None or shape.shape_id != title.shape_id]
    for shape in sorted(shapes, key=_position):
        blocks += _shape(shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = [one_line(line.text) for line in slide.notes_slide.notes_text_frame.paragraphs]
        notes = [line for line in notes if line]
        if notes:
            blocks.append(Block("heading", "Notes", level=2))
            blocks += [Block("paragraph", line) for line in notes]
    for block in blocks:
        block.slide = number
    return blocks


def _flat(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """Shapes, also those in groups."""
    for shape in shapes:
        inner = getattr(shape, "shapes", None)
        if inner is not None and depth < _MAX_GROUPS:
            yield from _flat(inner, depth + 1)
        else:
            yield shape


def _position(shape: Any) -> tuple[int, int]:
    """From top to bottom, then from left to right; placeholders without a place of their own come first."""
    return int(shape.top or 0), int(shape.left or 0)


def _shape(shape: Any) -> list[Block]:
    if getattr(shape, "has_table", False):
        rows, header = _table(shape.table)
        return [Block("table", rows=rows, header_rows=1 if header else None)]
    if getattr(shape, "has_chart", False):
        return _chart(shape.chart)
    if shape.has_text_frame:
        return _paragraphs(shape)
    return []


def _table(table: Any) -> tuple[list[list[str]], bool]:
    """The rows of a table; a merged cell says the same in every place."""
    rows = [[one_line(cell.text) for cell in row.cells] for row in table.rows]
    for at, row in enumerate(table.rows):
        for column, cell in enumerate(row.cells):
            if cell.is_merge_origin:
                for down in range(at, min(len(rows), at + cell.span_height)):
                    for right in range(column, min(len(rows[down]), column + cell.span_width)):
                        rows[down][right] = rows[at][column]
    return rows, bool(table.first_row)


def _chart(chart: Any) -> list[Block]:
    """A chart's numbers as a table: categories down, series across."""
    plot = next(iter(chart.plots), None)
    if plot is None:
        return []
    series = [(one_line(str(one.name or "")), list(one.values)) for one in plot.series]
    categories = [one_line(str(label)) for label in plot.categories]
    longest = max((len(values) for _, values in series), default=0)
    categories += [""] * (longest - len(categories))
    rows = [["", *(name for name, _ in series)]]
    for at, label in enumerate(categories):
        values = [values[at] if at < len(values) else None for _, values in series]
        rows.append([label, *("" if value is None else f"{value:.12g}" for value in values)])
    title = (
        one_line(chart.chart_title.text_frame.text)
        if chart.has_title and chart.chart_title.has_text_frame
        else ""
    )
    return [Block("table", rows=rows, header_rows=1, name=title)] if series else []


def _paragraphs(shape: Any) -> list[Block]:
    """The text of a shape: a list where it is one of several paragraphs in the body, else paragraphs."""
    lines = [
        (one_line(paragraph.text.replace(_LINE_BREAK, " ")), int(paragraph.level or 0))
        for paragraph in shape.text_frame.paragraphs
    ]
    lines = [(text, level) for text, level in lines if text]
    body = shape.is_placeholder and shape.placeholder_format.idx != 0
    if body and (len(lines) > 1 or any(level for _, level in lines)):
        return [Block("item", text, level=level) for text, level in lines]
    return [Block("paragraph", text) for text, _ in lines]
