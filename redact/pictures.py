"""Screenshots without personal data: what is not known to be harmless is covered.

Text recognition says which words are in the picture and where; the page's own text says
which of them were replaced and which stayed. A word stays visible only when it stayed in
the page's text (or is a plain word of the corpus) and nothing personal was recognised in
its line. So what recognition misreads is covered, not shown.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil, floor

from fde.errors import InputError
from ingest import ocr
from redact.corpus import Context, Edit
from redact.names import english, fold
from redact.names import words as plain_words

_FILL = (110, 110, 110)
# Edges of covered boxes lie on a grid of so many heights of the line: a width tells no length.
_GRID = 4
_UNIT = 8
_MARGIN = 3
_LINE = Context("ui")
# Screens are small print for text recognition: it reads them better enlarged.
SCALE = 2.0

Edits = Callable[[str, Context], list[Edit]]


@dataclass(slots=True)
class Known:
    """What the texts of the pages behind one picture say.

    Attributes:
        kept: Words that stand in them before and after redaction.
        gone: Words that redaction took away.
    """

    kept: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def learn(self, before: Iterable[str], after: Iterable[str]) -> None:
        """Add a page's texts as they were and as they are now, in the same order."""
        old = {word for text in before for word in words_of(text)}
        new = {word for text in after for word in words_of(text)}
        self.kept |= old & new
        self.gone |= old - new


def words_of(text: str) -> Iterator[str]:
    """The words of a text between blanks, folded, without punctuation around them."""
    for piece in text.split():
        word = _stripped(piece)
        if word:
            yield word


def _stripped(piece: str) -> str:
    return re.sub(r"^[\W_]+|[\W_]+$", "", fold(piece))


class Pictures:
    """Covers what is personal in pictures.

    Args:
        edits: The second pass over a text: what it would replace (:class:`redact.rewrite.Rewriter`).
        kept: Words of the whole corpus that stay, from :func:`words_of`.
    """

    def __init__(self, edits: Edits, kept: set[str]) -> None:
        self._edits = edits
        self._kept = kept

    def covered(self, pictures: Sequence[tuple[bytes, Known]]) -> list[bytes | None]:
        """Each picture covered, as lossless WebP without metadata; None where it cannot be read."""
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            # Recognition is a program of its own: threads are enough to keep all cores busy.
            read = list(pool.map(lambda item: _recognised(item[0]), pictures))
        return [
            None if words is None else self._cover(data, words, known)
            for (data, known), words in zip(pictures, read, strict=True)
        ]

    def _cover(self, data: bytes, words: list[ocr.Word], known: Known) -> bytes | None:
        from PIL import Image, ImageDraw, ImageOps

        try:
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data), formats=ocr.FORMATS)).convert(
                "RGB"
            )
        except (OSError, ValueError):
            return None
        hidden = self.hidden(words, known)
        draw = ImageDraw.Draw(picture)
        for left, top, right, bottom in boxes(words, hidden, picture.size):
            draw.rectangle((left, top, right - 1, bottom - 1), fill=_FILL)
        # Pixels alone are written: no metadata of the original goes with them.
        out = io.BytesIO()
        Image.frombytes("RGB", picture.size, picture.tobytes()).save(out, "WEBP", lossless=True, method=4)
        return out.getvalue()

    def hidden(self, words: Sequence[ocr.Word], known: Known) -> set[int]:
        """Which of the recognised words must be covered."""
        hidden: set[int] = set()
        lines: dict[int, list[int]] = {}
        for index, word in enumerate(words):
            lines.setdefault(word.line, []).append(index)
        previous: list[int] = []
        for line in lines.values():
            # A value may be broken over two lines.
            hidden |= self._edited(words, line) | self._edited(words, [*previous, *line])
            previous = line
        hidden |= {i for i, word in enumerate(words) if i not in hidden and not self._harmless(word, known)}
        return hidden

    def _edited(self, words: Sequence[ocr.Word], line: Sequence[int]) -> set[int]:
        text = ""
        spots: list[tuple[int, int, int]] = []
        for index in line:
            start = len(text) + (1 if text else 0)
            text = f"{text} {words[index].text}" if text else words[index].text
            spots.append((start, len(text), index))
        touched = self._edits(text, _LINE)
        return {i for start, end, i in spots if any(a < end and start < b for a, b, _ in touched)}

    def _harmless(self, word: ocr.Word, known: Known) -> bool:
        shown = _stripped(word.text)
        if len(shown) < 2:
            return not shown.isdigit() or shown in known.kept
        if shown in known.kept:
            return True
        if shown in known.gone:
            return False
        if any(char.isdigit() for char in shown):
            return shown in self._kept
        return all(
            piece in plain_words() or piece in english() or (piece in self._kept and piece not in known.gone)
            for piece in re.findall(r"[^\W\d_]+", shown)
        )


def _recognised(data: bytes) -> list[ocr.Word] | None:
    try:
        return ocr.read_words(data, scale=SCALE)
    except InputError:  # damaged, or too slow: the picture is dropped
        return None


def boxes(
    words: Sequence[ocr.Word], hidden: set[int], size: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) in pixels over the hidden words, with edges on a coarse grid.

    Neighbours of one line are covered together. A visible word that a box would cut is covered whole.
    """
    found: list[tuple[int, int, int, int]] = []
    for group in _groups(words, hidden):
        top = min(words[i].top for i in group)
        bottom = max(words[i].bottom for i in group)
        height = max(8.0, min(bottom - top, 3 * min(words[i].bottom - words[i].top for i in group)))
        grid, unit = _GRID * height, _UNIT * height
        begin = min(words[i].left for i in group) - _MARGIN
        # Where the words before it end is seen anyway.
        before = [w.right for i, w in enumerate(words) if i not in hidden and _beside(w, top, bottom, begin)]
        left = max([floor(begin / grid) * grid, *before])
        width = max(words[i].right for i in group) + _MARGIN - left
        right = left + ceil(width / unit) * unit
        for other, word in enumerate(words):
            crosses = word.top < bottom and top < word.bottom and word.left < right and left < word.right
            if crosses and other not in hidden:
                left, right = min(left, word.left - _MARGIN), max(right, word.right + _MARGIN)
        found.append(
            (
                max(0, floor(left)),
                max(0, floor(top) - _MARGIN),
                min(size[0], ceil(right)),
                min(size[1], ceil(bottom) + _MARGIN),
            )
        )
    return found


def _beside(word: ocr.Word, top: float, bottom: float, begin: float) -> bool:
    """Whether a word ends before ``begin``, on the same height."""
    return word.top < bottom and top < word.bottom and word.right <= begin + _MARGIN


def _groups(words: Sequence[ocr.Word], hidden: set[int]) -> Iterator[list[int]]:
    group: list[int] = []
    for index in sorted(hidden):
        if group and (words[index].line != words[group[-1]].line or index != group[-1] + 1):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def blob_name(data: bytes) -> str:
    """The name of a picture is the digest of what it shows."""
    return f"{hashlib.sha256(data).hexdigest()}.webp"
