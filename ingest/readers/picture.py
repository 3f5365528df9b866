"""Pictures: scanned letters, photographed receipts, screens. Their text is recognised, where tesseract is."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from fde.errors import InputError
from ingest import ocr
from ingest.blocks import Block, Content
from ingest.readers.layout import Span, page_blocks

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PAGES = 200
# Below this a text is more guessed than read.
SURE = 0.6
_SMALL = 1_500  # pixels of width below which letters are too small to be read well


def read_picture(data: bytes, until: float) -> Content:
    """The text of a picture, or of every page of one (TIFF).

    Args:
        until: Time (``time.monotonic``) by which recognition ends.

    Raises:
        MissingError: when tesseract is not installed.
        InputError: when the picture is damaged.
    """
    from PIL import Image as images
    from PIL import ImageSequence

    ocr.open_picture(data)  # says what is wrong with it
    content = Content([])
    with images.open(io.BytesIO(data), formats=ocr.FORMATS) as picture:
        content.media_type = images.MIME.get(picture.format or "", "image/*")
        frames = ImageSequence.Iterator(picture) if picture.format == "TIFF" else [picture]
        for number, frame in enumerate(frames, 1):
            if number > MAX_PAGES or time.monotonic() > until:
                content.warnings.append(f"Pages from {number} on were left out.")
                break
            try:
                content.blocks += recognise(ocr.upright(frame), number, until, content.warnings)
            except InputError:
                raise
            except Exception as error:  # decoders raise their own kinds on damaged pages
                raise InputError(f"page {number} is damaged: {error or type(error).__name__}") from error
    return content


def recognise(picture: Image, page: int, until: float, warnings: list[str]) -> list[Block]:
    """The text of a picture as blocks; a warning where it is more guessed than read."""
    scale = 2.0 if picture.width < _SMALL else 1.0
    words = ocr.read_words(picture, scale=scale, timeout_s=max(1.0, until - time.monotonic()))
    if not words:
        return []
    sure = sum(word.confidence * len(word.text) for word in words) / sum(len(word.text) for word in words)
    if sure < SURE:
        warnings.append(f"The text recognised on page {page} is unsure ({sure:.0%}).")
    spans = [Span(word.text, word.left, word.top, word.right, word.bottom) for word in words]
    return page_blocks(spans, page=page, body=0.0)
