"""PDF files: text in reading order, tables with and without lines, headings by size, scanned pages by OCR."""

from __future__ import annotations

import ctypes
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from fde.errors import InputError, MissingError
from ingest import ocr
from ingest.blocks import Block, Content, one_line
from ingest.readers.layout import Span, page_blocks
from ingest.readers.picture import recognise
from ingest.readers.rulings import MAX_LINES, Line, ruled_tables

MAX_PAGES = 5_000
# Pages are drawn for recognition at this resolution, as far as they then have no more pixels than this.
OCR_DPI = 300
OCR_PIXELS = 25_000_000
# A page whose letters are unknown to this share, or with fewer letters than this beside a large picture, is
# recognised instead.
UNKNOWN_SHARE = 0.2
FEW_LETTERS = 50
LARGE_PICTURE = 0.5
SAMPLED_PAGES = 6
_THIN = 2.5  # points up to which a box is a line
_MAX_DEPTH = 5
_DASH = str.maketrans({"\x02": "-", "\ufffe": "-", "\xad": "-", "\xa0": " "})


def read_pdf(data: bytes, until: float) -> Content:
    """Headings, paragraphs, lists and tables of a PDF, with their pages.

    Args:
        until: Time (``time.monotonic``) by which text recognition ends.

    Raises:
        InputError: when it is damaged or protected by a password.
    """
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise InputError("it is protected by a password; save it without one") from error
        raise InputError(f"it is damaged: {error}") from error
    content = Content([])
    try:
        title = one_line(document.get_metadata_value("Title") or "")
        # What programs put there.
        content.title = "" if title.lower().strip("()") in ("anonymous", "untitled") else title
        _pages(document, content, until)
    except pdfium.PdfiumError as error:
        raise InputError(f"it is damaged: {error}") from error
    finally:
        document.close()
    if not content.title:
        content.title = next((block.text for block in content.blocks if block.kind == "heading"), "")
    return content


def _pages(document: Any, content: Content, until: float) -> None:
    import pypdfium2 as pdfium

    count = len(document)
    if count == 0:
        raise InputError("it is damaged: it has no pages")
    if count > MAX_PAGES:
        content.warnings.append(f"Only the first {MAX_PAGES} of {count} pages were read.")
    body = _body_size(document)
    empty: list[int] = []
    damaged: list[int] = []
    for number in range(1, min(count, MAX_PAGES) + 1):
        try:
            page = document[number - 1]
        except pdfium.PdfiumError:
            damaged.append(number)
            continue
        try:
            blocks, wanting = _page(page, number, body, until, content.warnings)
        finally:
            page.close()
        _go_on(content.blocks, blocks)
        if wanting:
            empty.append(number)
    if len(damaged) == count:
        raise InputError("it is damaged: none of its pages can be opened")
    if damaged:
        content.warnings.append(f"Damaged and left out: page {_listed(damaged)}.")
    if empty and ocr.version() is None:
        content.warnings.append(
            f"No text on page {_listed(empty)}: scanned? Text recognition needs tesseract. {ocr.INSTALL}"
        )
    elif empty:
        content.warnings.append(f"No text was found on page {_listed(empty)}.")


def _listed(pages: list[int]) -> str:
    return ", ".join(map(str, pages[:10])) + ("…" if len(pages) > 10 else "")


def _page(page: Any, number: int, body: float, until: float, warnings: list[str]) -> tuple[list[Block], bool]:
    """The blocks of a page, and whether it looks as if there were more to read on it."""
    frame = _Frame(page)
    text = page.get_textpage()
    try:
        spans = list(_words(text, frame))
    finally:
        text.close()
    letters = [character for span in spans for character in span.text]
    unknown = sum(not character.isprintable() or character == "\ufffd" for character in letters)
    if unknown > UNKNOWN_SHARE * len(letters) or (len(letters) < FEW_LETTERS and _has_drawing(page, frame)):
        recognised = _recognised(page, number, until, warnings)
        if recognised is not None and (recognised or not spans):
            return recognised, not recognised
    if not spans:
        return [], _has_drawing(page, frame)
    tables = ruled_tables(list(_lines(page, frame)), spans)
    outside = [span for span in spans if not any(table.holds(span) for table in tables)]
    placed = [(table.top, Block("table", rows=table.rows)) for table in tables]
    return page_blocks(outside, page=number, body=body, tables=placed), False


class _Frame:
    """From a page's own coordinates to those of the page as it is seen: upright, y running down."""

    def __init__(self, page: Any) -> None:
        self.left, self.bottom, self.right, self.top = page.get_bbox()
        self.turned = page.get_rotation() % 360
        sideways = self.turned in (90, 270)
        across, up = self.right - self.left, self.top - self.bottom
        self.width, self.height = (up, across) if sideways else (across, up)

    def point(self, x: float, y: float) -> tuple[float, float]:
        if self.turned == 90:
            return y - self.bottom, x - self.left
        if self.turned == 180:
            return self.right - x, y - self.bottom
        if self.turned == 270:
            return self.top - y, self.right - x
        return x - self.left, self.top - y


def _words(text: Any, frame: _Frame) -> Iterator[Span]:
    """The words of a page, with their boxes and fonts.

    pdfium takes some pages for vertical writing and puts a break after every letter: pieces that it alone
    divided, and that touch, are one word.
    """
    import pypdfium2.raw as raw

    last: tuple[int, Span] | None = None  # and where in the file's order it ended
    for start, end, span in _pieces(text, frame):
        if last is not None:
            at, before = last
            height = before.bottom - before.top
            touch = (
                abs(span.top - before.top) < 0.2 * height and abs(span.left - before.right) < 0.08 * height
            )
            if touch and start > at and raw.FPDFText_IsGenerated(text, at):
                box = _around(before[1:5], span[1:5])
                last = end, Span(before.text + span.text, *box, before.size, before.bold)
                continue
            yield before
        last = end, span
    if last is not None:
        yield last[1]


def _pieces(text: Any, frame: _Frame) -> Iterator[tuple[int, int, Span]]:
    """Runs of letters as pdfium divides them, with their first and last place in the file's order."""
    import pypdfium2.raw as raw

    count = raw.FPDFText_CountChars(text)
    characters = _characters(text, count)
    for match in re.finditer(r"[^\s\0]+", characters):
        start, end = match.span()
        first, last = _box(text, start, frame), _box(text, end - 1, frame)
        if first is None or last is None:
            continue
        pieces = [(start, end, _around(first, last))]
        height = max(1.0, first[3] - first[1])
        together = abs(first[1] - last[1]) < 0.6 * height and 0 <= last[2] - first[0] < 2 * height * (
            end - start
        )
        if not together:  # letters of several places that only follow each other in the file
            pieces = _apart(text, start, end, frame)
        size, bold = _font(text, start)
        for begin, stop, (left, top, right, bottom) in pieces:
            word = characters[begin:stop].translate(_DASH)
            yield begin, stop, Span(word, left, top, right, bottom, size or bottom - top, bold)


_Box = tuple[float, float, float, float]  # left, top, right, bottom


def _box(text: Any, at: int, frame: _Frame) -> _Box | None:
    """The box of a character."""
    import pypdfium2.raw as raw

    found = raw.FS_RECTF()
    if not raw.FPDFText_GetLooseCharBox(text, at, found):
        return None
    x0, y0 = frame.point(found.left, found.top)
    x1, y1 = frame.point(found.right, found.bottom)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _around(one: _Box, other: _Box) -> _Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _apart(text: Any, start: int, end: int, frame: _Frame) -> list[tuple[int, int, _Box]]:
    """Characters as words: those that stand beside each other."""
    found: list[tuple[int, int, _Box]] = []
    for at in range(start, end):
        box = _box(text, at, frame)
        if box is None:
            continue
        if found:
            begin, _, before = found[-1]
            height = max(1.0, before[3] - before[1])
            if abs(box[1] - before[1]) < 0.6 * height and -height < box[0] - before[2] < 0.5 * height:
                found[-1] = (begin, at + 1, _around(before, box))
                continue
        found.append((at, at + 1, box))
    return found


def _characters(text: Any, count: int) -> str:
    """The page's characters, one for each that pdfium counts."""
    import pypdfium2.raw as raw

    if count <= 0:
        return ""
    buffer = (ctypes.c_ushort * (2 * count + 1))()
    written = raw.FPDFText_GetText(text, 0, count, buffer)
    found = bytes(buffer)[: 2 * max(0, written - 1)].decode("utf-16-le", "replace")
    if len(found) == count:
        return found
    # Some have no text of their own: asked one by one, each has its place.
    return "".join(_character(raw.FPDFText_GetUnicode(text, at)) for at in range(count))


def _character(code: int) -> str:
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"


def _font(text: Any, at: int) -> tuple[float, bool]:
    """Size and boldness of a character."""
    import pypdfium2.raw as raw

    matrix = raw.FS_MATRIX()
    size = raw.FPDFText_GetFontSize(text, at)
    if raw.FPDFText_GetMatrix(text, at, matrix):
        size *= (matrix.c**2 + matrix.d**2) ** 0.5
    name = (ctypes.c_char * 128)()
    flags = ctypes.c_int()
    raw.FPDFText_GetFontInfo(text, at, name, 128, flags)
    return round(size, 1), b"bold" in name.value.lower()


def _body_size(document: Any) -> float:
    """The size that most letters of some pages have; 0 where they have none."""
    sizes: Counter[float] = Counter()
    for number in range(0, len(document), max(1, len(document) // SAMPLED_PAGES)):
        try:
            page = document[number]
        except Exception:  # told when it is this page's turn
            continue
        text = page.get_textpage()
        for span in _words(text, _Frame(page)):
            sizes[span.size] += len(span.text)
        text.close()
        page.close()
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _objects(page: Any, kinds: tuple[int, ...]) -> Iterator[tuple[Any, Any]]:
    """Objects of a page and of the forms in it, with the matrix that leads to the page."""
    import pypdfium2 as pdfium
    import pypdfium2.raw as raw

    for found in page.get_objects(filter=list(kinds), max_depth=_MAX_DEPTH):
        matrix = pdfium.PdfMatrix()
        around = found.container
        while around is not None:
            matrix = matrix.multiply(around.get_matrix())
            around = around.container
        if found.type == raw.FPDF_PAGEOBJ_PATH:
            matrix = found.get_matrix().multiply(matrix)
        yield found, matrix


def _lines(page: Any, frame: _Frame) -> Iterator[Line]:
    """Horizontal and vertical lines that are drawn on a page, also as thin boxes and as borders of boxes."""
    import pypdfium2.raw as raw

    count = 0
    for found, matrix in _objects(page, (raw.FPDF_PAGEOBJ_PATH,)):
        points: list[tuple[float, float]] = []
        for number in range(min(MAX_LINES, raw.FPDFPath_CountSegments(found))):
            segment = raw.FPDFPath_GetPathSegment(found, number)
            x, y = ctypes.c_float(), ctypes.c_float()
            raw.FPDFPathSegment_GetPoint(segment, x, y)
            place = frame.point(*matrix.on_point(x.value, y.value))
            kind = raw.FPDFPathSegment_GetType(segment)
            if kind == raw.FPDF_SEGMENT_MOVETO:
                yield from _edges(points)
                points = []
            elif kind == raw.FPDF_SEGMENT_BEZIERTO:
                points = []
                break
            points.append(place)
            count += 1
        yield from _edges(points)
        if count > 5 * MAX_LINES:  # a drawing
            return


def _edges(points: list[tuple[float, float]]) -> Iterator[Line]:
    """The lines of a path of straight segments."""
    if len(points) < 2:
        return
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    if bottom - top <= _THIN and right - left > _THIN:
        yield Line(True, (top + bottom) / 2, left, right)
        return
    if right - left <= _THIN and bottom - top > _THIN:
        yield Line(False, (left + right) / 2, top, bottom)
        return
    closed = [*points, points[0]] if len(points) == 4 else points
    for (x0, y0), (x1, y1) in pairwise(closed):
        if abs(y0 - y1) < 0.5 < abs(x0 - x1):
            yield Line(True, (y0 + y1) / 2, min(x0, x1), max(x0, x1))
        elif abs(x0 - x1) < 0.5 < abs(y0 - y1):
            yield Line(False, (x0 + x1) / 2, min(y0, y1), max(y0, y1))


def _has_drawing(page: Any, frame: _Frame) -> bool:
    """Whether a page shows a large picture, or enough drawn shapes to be letters."""
    import pypdfium2.raw as raw

    shapes = 0
    for found, matrix in _objects(page, (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH)):
        if found.type == raw.FPDF_PAGEOBJ_PATH:
            shapes += 1
            if shapes > 200:
                return True
            continue
        left, bottom, right, top = found.get_bounds()
        a, b = matrix.on_point(left, bottom), matrix.on_point(right, top)
        if abs((b[0] - a[0]) * (b[1] - a[1])) > LARGE_PICTURE * frame.width * frame.height:
            return True
    return False


def _recognised(page: Any, number: int, until: float, warnings: list[str]) -> list[Block] | None:
    """The text of a drawn page; None where it cannot be recognised."""
    if time.monotonic() > until:
        warnings.append(f"Time ran out before page {number} could be recognised.")
        return None
    width, height = page.get_size()
    scale = min(OCR_DPI / 72, (OCR_PIXELS / max(1.0, width * height)) ** 0.5)
    picture = page.render(scale=scale, grayscale=True).to_pil()
    try:
        return recognise(picture, number, until, warnings)
    except MissingError:
        return None
    except InputError as error:
        warnings.append(f"Page {number} could not be recognised: {error.message}.")
        return None


def _go_on(blocks: list[Block], after: list[Block]) -> None:
    """Add a page's blocks; a table that begins with the header of the one before goes on with it."""
    if blocks and after and blocks[-1].kind == after[0].kind == "table":
        before, rest = blocks[-1].rows, after[0].rows
        if len(before) > 1 and before[0] == rest[0] and any(before[0]):
            before += rest[1:]
            after = after[1:]
    blocks += after
