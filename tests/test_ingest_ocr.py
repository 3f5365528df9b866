"""Text recognition: words, their boxes, and reasons for what cannot be recognised."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw, ImageFont

from fde.errors import InputError, MissingError
from ingest import ocr

needs_tesseract = pytest.mark.skipif(ocr.version() is None, reason="tesseract is not installed")


def picture(lines: dict[tuple[int, int], str], size: int = 36, kind: str = "PNG", mode: str = "RGB") -> bytes:
    """A picture with texts at places."""
    background = (255, 255, 255, 0) if mode == "RGBA" else "white"
    made = Image.new(mode, (900, 300), background)
    draw = ImageDraw.Draw(made)
    for place, text in lines.items():
        draw.text(place, text, fill="black", font=ImageFont.load_default(size))
    buffer = io.BytesIO()
    made.save(buffer, kind)
    return buffer.getvalue()


def huge(side: int) -> bytes:
    """The head of a picture that says it has this many pixels in both directions."""
    sizes = (40).to_bytes(4, "little") + side.to_bytes(4, "little") * 2
    return b"BM" + bytes(12) + sizes + b"\1\0\x18\0" + bytes(24)


@needs_tesseract
@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("JPEG", "L"), ("TIFF", "L")])
def test_words_have_boxes_lines_and_confidence(kind: str, mode: str) -> None:
    words = ocr.read_words(picture({(50, 40): "Invoice total", (50, 200): "approved"}, kind=kind, mode=mode))
    assert [word.text for word in words] == ["Invoice", "total", "approved"]
    assert [word.line for word in words] == [0, 0, 1]
    invoice = words[0]
    assert 45 <= invoice.left <= 60 and 40 <= invoice.top < invoice.bottom <= 95 and invoice.right < 250
    assert all(0.5 < word.confidence <= 1 for word in words)


@needs_tesseract
def test_small_text_is_enlarged_and_keeps_its_place() -> None:
    (word,) = ocr.read_words(picture({(500, 150): "Submit"}, size=12), arrangement="sparse", scale=3)
    assert word.text == "Submit"
    assert 498 <= word.left <= 503 and 150 <= word.top <= 158


@needs_tesseract
def test_recognition_keeps_its_time_limit() -> None:
    with pytest.raises(InputError, match="longer than"):
        ocr.read_words(picture({(50, 40): "Invoice"}), timeout_s=0.001)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no picture", "known format"),
        (picture({})[:400], "damaged"),
        (huge(60_000), "too large"),
        (huge(9_300), "too large"),
    ],
)
def test_what_is_no_picture_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ocr.open_picture(data)


def test_without_tesseract_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ocr.version.cache_clear()
    try:
        with pytest.raises(MissingError, match="apt-get install tesseract-ocr"):
            ocr.read_words(picture({}))
    finally:
        monkeypatch.undo()
        ocr.version.cache_clear()
