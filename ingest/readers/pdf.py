"""PDF files: text in reading order, ruled tables as tables, headings by their size."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from fde.errors import InputError
from ingest.blocks import Block, Content, one_line

MAX_PAGES = 2_000
# A heading is set this much larger than the text around it, and is short.
HEADING_SIZE = 1.15
HEADING_WORDS = 14


def read_pdf(data: bytes) -> Content:
    """Headings, paragraphs and tables of a PDF, with their pages."""
    import pdfplumber
    from pdfminer.pdfdocument import PDFPasswordIncorrect
    from pdfplumber.utils.exceptions import PdfminerException

    content = Content([])
    try:
        with pdfplumber.open(io.BytesIO(data)) as pdf:
            title = pdf.metadata.get("Title")
            content.title = one_line(title) if isinstance(title, str) else ""
            if content.title.lower().strip("()") in ("anonymous", "untitled"):  # what programs put there
                content.title = ""
            pages = pdf.pages[:MAX_PAGES]
            if len(pdf.pages) > MAX_PAGES:
                content.warnings.append(f"Only the first {MAX_PAGES} of {len(pdf.pages)} pages were read.")
            size = _body_size(pages)
            empty = []
            for page in pages:
                blocks = list(_page(page, size))
                content.blocks.extend(blocks)
                if not blocks:
                    empty.append(page.page_number)
                page.close()
    except PdfminerException as error:
        if error.args and isinstance(error.args[0], PDFPasswordIncorrect):
            raise InputError("it is protected by a password; save it without one") from error
        raise InputError(f"it is damaged: {error or type(error.args[0]).__name__}") from error
    except InputError:
        raise
    except Exception as error:  # the PDF libraries let all kinds of errors through on damaged files
        raise InputError(f"it is damaged: {type(error).__name__}: {error}") from error
    if empty:
        listed = ", ".join(map(str, empty[:10])) + ("…" if len(empty) > 10 else "")
        content.warnings.append(f"No text on page {listed}: scanned? Run text recognition first.")
    if not content.title:
        content.title = next((block.text for block in content.blocks if block.kind == "heading"), "")
    return content


def _body_size(pages: list[Any]) -> float:
    sizes = [round(char["size"], 1) for page in pages[:20] for char in page.chars]
    return statistics.mode(sizes) if sizes else 0.0


def _page(page: Any, body: float) -> Iterator[Block]:
    tables = page.find_tables() if page.rects or page.lines or page.curves else []
    tables = [table for table in tables if len(table.rows) > 1 and len(table.rows[0].cells) > 1]
    boxes = [table.bbox for table in tables]
    outside = page
    if boxes:
        outside = page.filter(lambda thing: thing["object_type"] != "char" or not _inside(thing, boxes))
    number = page.page_number
    lines = outside.extract_text_lines(return_chars=True)
    pending = [(table.bbox[1], table) for table in sorted(tables, key=lambda table: table.bbox[1])]
    run: list[Any] = []
    for line in lines:
        while pending and pending[0][0] < line["top"]:
            yield from _paragraphs(run, number)
            run = []
            yield _table(pending.pop(0)[1], number)
        if _is_heading(line, body):
            yield from _paragraphs(run, number)
            run = []
            level = 1 if _size(line) >= body * 1.5 else 2
            yield Block("heading", line["text"], level=level, page=number)
        else:
            run.append(line)
    yield from _paragraphs(run, number)
    for _, table in pending:
        yield _table(table, number)


def _inside(char: Any, boxes: list[tuple[float, float, float, float]]) -> bool:
    x, y = (char["x0"] + char["x1"]) / 2, (char["top"] + char["bottom"]) / 2
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)


def _size(line: Any) -> float:
    return float(statistics.median(char["size"] for char in line["chars"])) if line["chars"] else 0.0


def _is_heading(line: Any, body: float) -> bool:
    text = line["text"].strip()
    if not any(char.isalpha() for char in text) or len(text.split()) > HEADING_WORDS:
        return False
    bold = all("bold" in str(char["fontname"]).lower() for char in line["chars"] if char["text"].strip())
    large = _size(line) >= body * HEADING_SIZE
    return large or (bold and _size(line) > body * 1.02 and not text.endswith((".", ",", ";")))


def _paragraphs(lines: list[Any], page: int) -> Iterator[Block]:
    """Lines close together are one paragraph; a wider gap begins the next."""
    gaps = [after["top"] - before["bottom"] for before, after in pairwise(lines)]
    usual = statistics.median(gaps) if gaps else 0.0
    run: list[str] = []
    for at, line in enumerate(lines):
        if run and gaps[at - 1] > usual + max(2.0, 0.4 * (line["bottom"] - line["top"])):
            yield Block("paragraph", "\n".join(run), page=page)
            run = []
        run.append(line["text"])
    if run:
        yield Block("paragraph", "\n".join(run), page=page)


def _table(table: Any, page: int) -> Block:
    rows = [[one_line(cell or "") for cell in row] for row in table.extract()]
    return Block("table", rows=rows, page=page)
