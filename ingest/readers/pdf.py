"""PDF files: text in reading order, tables with and without lines, headings by size, scanned pages by OCR."""

from __future__ import annotations

import ctypes
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise, repeat
from typing import Any

from fde.errors import InputError, MissingError
from ingest import ocr
from ingest.blocks import Block, Content, one_line
from ingest.readers.layout import Span, page_blocks
from ingest.readers.letters import Frame, words_of
from ingest.readers.pdfium import address, functions
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
SAMPLED_PAGES = 4
_THIN = 2.5  # points up to which a box is a line
_MAX_DEPTH = 5


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
    body, known = _sample(document)
    empty: list[int] = []
    damaged: list[int] = []
    for number in range(1, min(count, MAX_PAGES) + 1):
        try:
            page = document[number - 1]
        except pdfium.PdfiumError:
            damaged.append(number)
            continue
        try:
            spans = known.pop(number, None) or words_of(page)
            blocks, wanting = _page(page, spans, number, body, until, content.warnings)
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


def _page(
    page: Any, spans: list[Span], number: int, body: float, until: float, warnings: list[str]
) -> tuple[list[Block], bool]:
    """The blocks of a page, and whether it looks as if there were more to read on it."""
    frame = Frame(page)
    letters = "".join(span.text for span in spans)
    unknown = 0 if letters.isprintable() else sum(not character.isprintable() for character in letters)
    unknown += letters.count("\ufffd")
    few = len(letters) < FEW_LETTERS and _has_drawing(page, frame)
    if unknown > UNKNOWN_SHARE * len(letters) or few:
        recognised = _recognised(page, number, until, warnings)
        if recognised is not None and (recognised or not spans):
            return recognised, not recognised
    if not spans:
        return [], _has_drawing(page, frame)
    tables = ruled_tables(list(_lines(page, frame)), spans)
    outside = [span for span in spans if not any(table.holds(span) for table in tables)]
    placed = [(table.top, Block("table", rows=table.rows)) for table in tables]
    return page_blocks(outside, page=number, body=body, tables=placed), False


def _sample(document: Any) -> tuple[float, dict[int, list[Span]]]:
    """The size that most letters of some pages have (0 where they have none); those pages' words."""
    sizes: Counter[float] = Counter()
    words: dict[int, list[Span]] = {}
    for number in range(0, len(document), max(1, len(document) // SAMPLED_PAGES)):
        try:
            page = document[number]
        except Exception:  # told when it is this page's turn
            continue
        words[number + 1] = words_of(page)
        for span in words[number + 1]:
            sizes[span.size] += len(span.text)
        page.close()
    return (sizes.most_common(1)[0][0] if sizes else 0.0), words


def _objects(page: Any, kinds: tuple[int, ...]) -> Iterator[tuple[int, Any, Any]]:
    """Kind and handle of the objects of a page, also of those in forms, with the matrix that leads to it."""
    import pypdfium2 as pdfium
    import pypdfium2.raw as raw

    count = raw.FPDFPage_CountObjects(page)
    yield from _inside(functions().page_object, address(page.raw), count, pdfium.PdfMatrix(), kinds, 0)


def _inside(
    get: Callable[..., int | None], holder: int, count: int, matrix: Any, kinds: tuple[int, ...], depth: int
) -> Iterator[tuple[int, Any, Any]]:
    """As :func:`_objects`, of a page or form. Some have an object for each letter: only its kind is asked."""
    import pypdfium2.raw as raw

    handles = list(map(get, repeat(holder, count), range(count)))
    wanted = {*kinds, raw.FPDF_PAGEOBJ_FORM}
    for handle, kind in zip(handles, map(functions().object_type, handles), strict=True):
        if handle is None or kind not in wanted:
            continue
        found = ctypes.cast(handle, raw.FPDF_PAGEOBJECT)
        if kind in kinds:
            yield kind, found, matrix
        elif depth < _MAX_DEPTH:
            inner = _matrix(found).multiply(matrix)
            inside = raw.FPDFFormObj_CountObjects(found)
            yield from _inside(functions().form_object, address(found), inside, inner, kinds, depth + 1)


def _matrix(found: Any) -> Any:
    """An object's own matrix."""
    import pypdfium2 as pdfium
    import pypdfium2.raw as raw

    matrix = raw.FS_MATRIX()
    return (
        pdfium.PdfMatrix.from_raw(matrix) if raw.FPDFPageObj_GetMatrix(found, matrix) else pdfium.PdfMatrix()
    )


def _lines(page: Any, frame: Frame) -> Iterator[Line]:
    """Horizontal and vertical lines that are drawn on a page, also as thin boxes and as borders of boxes."""
    import pypdfium2.raw as raw

    count = 0
    for _, found, around in _objects(page, (raw.FPDF_PAGEOBJ_PATH,)):
        matrix = _matrix(found).multiply(around)
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


def _has_drawing(page: Any, frame: Frame) -> bool:
    """Whether a page shows a large picture, or enough drawn shapes to be letters."""
    import pypdfium2.raw as raw

    shapes = 0
    for kind, found, matrix in _objects(page, (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH)):
        if kind == raw.FPDF_PAGEOBJ_PATH:
            shapes += 1
            if shapes > 200:
                return True
            continue
        edges = [ctypes.c_float() for _ in range(4)]
        raw.FPDFPageObj_GetBounds(found, *edges)
        left, bottom, right, top = (edge.value for edge in edges)
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
