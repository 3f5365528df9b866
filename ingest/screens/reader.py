"""Pictures of a screen, one after another, read as pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingest.ocr import Word, read_words
from ingest.screens.boxes import Box, Patch, controls, find_patches, luminance
from ingest.screens.layout import lay_out
from ingest.screens.page import Screen

if TYPE_CHECKING:
    from PIL.Image import Image

# Screens show letters of 7 to 12 pixels; tesseract was trained on larger ones.
SCALE = 2
MIN_CONFIDENCE = 0.3
# What changed is read with this much around it, in pixels.
STRIP = 12


class ScreenReader:
    """Reads one picture after another; where little changed, only that is read again."""

    def __init__(self) -> None:
        self._grey: Any = None
        self._words: list[Word] = []

    def read(self, image: Image) -> Screen:
        """Read a picture. Errors as of :func:`ingest.ocr.read_words`."""
        import numpy as np

        coloured = image.convert("RGB")
        pixels = np.asarray(coloured).astype(np.int16)
        patches = find_patches(pixels)
        grey = _dark_on_light(coloured, patches)
        strip = self._changed(grey)
        if strip is None:
            self._words = _read(grey)
        elif strip[0] < strip[1]:
            top, bottom = strip
            below = [
                replace(word, top=word.top + top, bottom=word.bottom + top)
                for word in _read(grey[top:bottom])
            ]
            self._words = [word for word in self._words if word.bottom <= top or word.top >= bottom] + below
        self._grey = grey
        return lay_out(self._words, patches, pixels)

    def _changed(self, grey: Any) -> tuple[int, int] | None:
        """The rows of pixels that differ from the picture before; None when most do."""
        import numpy as np

        if self._grey is None or self._grey.shape != grey.shape:
            return None
        rows = np.flatnonzero(np.abs(grey - self._grey).max(axis=1) > 12)
        if not len(rows):
            return (0, 0)
        top, bottom = int(rows[0]) - STRIP, int(rows[-1]) + STRIP
        # No line of text may be cut.
        for word in sorted(self._words, key=lambda word: word.top):
            if word.top < bottom and word.bottom > top:
                top, bottom = min(top, int(word.top) - 4), max(bottom, int(word.bottom) + 4)
        top, bottom = max(0, top), min(grey.shape[0], bottom)
        return (top, bottom) if bottom - top < grey.shape[0] / 2 else None


def _read(grey: Any) -> list[Word]:
    import numpy as np
    from PIL import Image as Pictures

    image = Pictures.fromarray(grey.astype(np.uint8))
    words = read_words(image, arrangement="sparse", scale=SCALE)
    return [word for word in words if word.confidence >= MIN_CONFIDENCE]


def _dark_on_light(image: Image, patches: list[Patch]) -> Any:
    """The picture in grey, dark and coloured areas as black on white, without the frames of controls.

    Text recognition takes light letters and lines around letters for something else.
    """
    import numpy as np

    grey = np.asarray(image.convert("L")).astype(np.float32)
    for patch in sorted(patches, key=lambda patch: -patch.box.area):
        box = patch.box
        if not (patch.dark or patch.coloured) or patch.full < 0.85 or box.height > image.height // 3:
            continue
        area = grey[box.top : box.bottom, box.left : box.right]
        contrast = np.abs(area - luminance(patch.colour))
        strongest = max(60.0, float(np.quantile(contrast, 0.995)))
        grey[box.top : box.bottom, box.left : box.right] = 255 * (1 - np.minimum(1, contrast / strongest))
    for patch in controls(patches, image.width):
        _unframe(grey, patch.box)
    return grey


def _unframe(grey: Any, box: Box) -> None:
    """Paint over the edge of a rectangle with what is inside it."""
    import numpy as np

    out, inner = 4, 3
    left, top = max(0, box.left - out), max(0, box.top - out)
    ground = float(np.median(grey[box.top : box.bottom, box.left : box.right]))
    kept = grey[box.top + inner : box.bottom - inner, box.left + inner : box.right - inner].copy()
    grey[top : box.bottom + out, left : box.right + out] = ground
    grey[box.top + inner : box.bottom - inner, box.left + inner : box.right - inner] = kept
