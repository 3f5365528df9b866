"""The words of a PDF's page, with their places as the page is seen, and their fonts."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ingest.readers.layout import Span
from ingest.readers.pdfium import address, functions

# What pdfium answers for hyphens at the ends of lines, and blanks that do not break.
_DASH = str.maketrans({"\x02": "-", "\ufffe": "-", "\xad": "-", "\xa0": " "})


class Frame:
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


Box = tuple[float, float, float, float]  # left, top, right, bottom


class _Letters:
    """The letters of a page, asked of pdfium one by one; what holds its answers is made once."""

    def __init__(self, page: Any) -> None:
        import pypdfium2.raw as raw

        self.raw = raw
        self.frame = Frame(page)
        self.page = page.get_textpage()
        self.text = self.page.raw
        self._ask = functions()
        self._handle = address(self.text)
        self._rect, self._matrix = raw.FS_RECTF(), raw.FS_MATRIX()
        self._rect_at, self._matrix_at = ctypes.addressof(self._rect), ctypes.addressof(self._matrix)
        self._name, self._flags = (ctypes.c_char * 128)(), ctypes.c_int()
        self._name_at, self._flags_at = ctypes.addressof(self._name), ctypes.addressof(self._flags)
        # Letters of one font that stand as high are as large: name and height -> size and boldness.
        self._fonts: dict[tuple[bytes, float], tuple[float, bool]] = {}

    def words(self) -> Iterator[Span]:
        """The words of the page, with their boxes and fonts.

        pdfium takes some pages for vertical writing and puts a break after every letter: pieces that it
        alone divided, and that touch, are one word.
        """
        last: tuple[int, Span] | None = None  # and where in the file's order it ended
        for start, end, span in self._pieces():
            if last is not None:
                at, before = last
                height = before.bottom - before.top
                touch = (
                    abs(span.left - before.right) < 0.08 * height
                    and abs(span.top - before.top) < 0.2 * height
                )
                if touch and start > at and self.raw.FPDFText_IsGenerated(self.text, at):
                    box = _around(before[1:5], span[1:5])
                    last = end, Span(before.text + span.text, *box, before.size, before.bold)
                    continue
                yield before
            last = end, span
        if last is not None:
            yield last[1]

    def _pieces(self) -> Iterator[tuple[int, int, Span]]:
        """Runs of letters as pdfium divides them, with their first and last place in the file's order."""
        characters = self._characters()
        for match in re.finditer(r"[^\s\0]+", characters):
            start, end = match.span()
            first = self._box(start)
            last = self._box(end - 1) if end - start > 1 else first
            if first is None or last is None:
                continue
            pieces = [(start, end, _around(first, last))]
            height = max(1.0, first[3] - first[1])
            wide = 2 * height * (end - start)
            if abs(first[1] - last[1]) >= 0.6 * height or not 0 <= last[2] - first[0] < wide:
                pieces = self._apart(start, end)  # letters that only follow each other in the file
            size, bold = self._font(start, height)
            for begin, stop, box in pieces:
                word = characters[begin:stop].translate(_DASH)
                yield begin, stop, Span(word, *box, size or box[3] - box[1], bold)

    def _characters(self) -> str:
        """The page's characters, one for each that pdfium counts."""
        count = self.raw.FPDFText_CountChars(self.text)
        if count <= 0:
            return ""
        buffer = (ctypes.c_ushort * (2 * count + 1))()
        written = self.raw.FPDFText_GetText(self.text, 0, count, buffer)
        found = bytes(buffer)[: 2 * max(0, written - 1)].decode("utf-16-le", "replace")
        if len(found) == count:
            return found
        # Some have no text of their own: asked one by one, each has its place.
        return "".join(_character(self.raw.FPDFText_GetUnicode(self.text, at)) for at in range(count))

    def _box(self, at: int) -> Box | None:
        """The box of a character."""
        rect = self._rect
        if not self._ask.loose_box(self._handle, at, self._rect_at):
            return None
        frame = self.frame
        if frame.turned:
            x0, y0 = frame.point(rect.left, rect.top)
            x1, y1 = frame.point(rect.right, rect.bottom)
        else:
            x0, x1 = rect.left - frame.left, rect.right - frame.left
            y0, y1 = frame.top - rect.top, frame.top - rect.bottom
            if x0 <= x1 and y0 <= y1:
                return x0, y0, x1, y1
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def _font(self, at: int, height: float) -> tuple[float, bool]:
        """Size and boldness of a character of this height."""
        ask = self._ask
        ask.font_info(self._handle, at, self._name_at, 128, self._flags_at)
        key = self._name.value, round(height, 2)
        if key not in self._fonts:
            size = ask.font_size(self._handle, at)
            if ask.matrix(self._handle, at, self._matrix_at):
                size *= (self._matrix.c**2 + self._matrix.d**2) ** 0.5
            self._fonts[key] = round(size, 1), b"bold" in key[0].lower()
        return self._fonts[key]

    def _apart(self, start: int, end: int) -> list[tuple[int, int, Box]]:
        """Characters as words: those that stand beside each other."""
        found: list[tuple[int, int, Box]] = []
        for at in range(start, end):
            box = self._box(at)
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


def words_of(page: Any) -> list[Span]:
    """The words of a page, with their boxes and fonts."""
    letters = _Letters(page)
    try:
        return list(letters.words())
    finally:
        letters.page.close()


def _around(one: Sequence[float], other: Sequence[float]) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _character(code: int) -> str:
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
