"""Words of a picture and where they stand, by the program tesseract.

The picture is decoded here, within limits, and handed over as plain pixels: no
decoder of tesseract's own sees a client's file. Nothing is written to disk.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from fde.errors import InputError, MissingError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 80_000_000
MAX_LANGUAGES = 4
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
INSTALL = "Install it, for instance with: apt-get install tesseract-ocr"

# Tesseract's page segmentation modes.
Arrangement = Literal["page", "block", "line", "sparse"]
_MODES: dict[Arrangement, str] = {"page": "3", "block": "6", "line": "7", "sparse": "11"}


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it was recognised.

    Attributes:
        left, top, right, bottom: Its box in pixels of the upright picture; y runs down.
        confidence: 0 to 1.
        line: Number of its line in the picture, from 0, in reading order.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float
    line: int


@cache
def version() -> str | None:
    """Version of tesseract; None where it is not installed or does not start."""
    program = shutil.which("tesseract")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout or done.stderr).split("\n", 1)[0].removeprefix("tesseract").strip()


@cache
def languages() -> tuple[str, ...]:
    """Languages that can be recognised here, English first; empty without tesseract."""
    if version() is None:
        return ()
    try:
        done = subprocess.run(
            ["tesseract", "--list-langs"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    names = {line.strip() for line in done.stdout.splitlines()[1:]} - {"", "osd", "equ"}
    return tuple(sorted(names, key=lambda name: (name != "eng", name)))


def open_picture(data: bytes) -> Image:
    """A picture, upright and in grey; of several frames or pages the first.

    Raises:
        InputError: when it is damaged, of another format, or of more than ``MAX_PIXELS``.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        if picture.width * picture.height > MAX_PIXELS:
            raise InputError(f"a picture of {picture.width} × {picture.height} pixels is too large")
        return upright(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError("a picture of so many pixels is too large") from error
    except UnidentifiedImageError as error:
        raise InputError("it is no picture of a known format") from error
    except InputError:
        raise
    except Exception as error:  # decoders raise their own kinds on damaged pictures
        raise InputError(f"the picture is damaged: {error or type(error).__name__}") from error


def upright(picture: Image) -> Image:
    """A picture turned as its camera says, in grey, on white where it is transparent."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("L")
    return picture.convert("L")


def read_words(
    picture: bytes | Image,
    *,
    arrangement: Arrangement = "page",
    scale: float = 1.0,
    spoken: Sequence[str] = (),
    timeout_s: float = 60.0,
) -> list[Word]:
    """The words of a picture, line by line in reading order.

    Args:
        picture: The bytes of a picture file, or a picture in grey.
        arrangement: What is on it: a ``page`` of blocks, one ``block`` of text, one ``line``, or words
            scattered (``sparse``), as on a screen.
        scale: Enlarges the picture before reading; small text (screens at 96 dpi) is read better at 2 or 3.
            Boxes are in the pixels of the picture as it came.
        spoken: Tesseract's names of the languages; default: all installed, at most ``MAX_LANGUAGES``.
        timeout_s: Time limit of the recognition.

    Raises:
        MissingError: when tesseract is not installed.
        InputError: when the picture cannot be decoded, or recognition fails or takes too long.
    """
    if version() is None:
        raise MissingError("text recognition needs the program tesseract, which is not installed", INSTALL)
    image = open_picture(picture) if isinstance(picture, bytes) else picture
    if scale != 1.0:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        if size[0] * size[1] > MAX_PIXELS:
            raise InputError(f"a picture of {size[0]} × {size[1]} pixels is too large")
        image = image.resize(size)
    pixels = io.BytesIO()
    image.save(pixels, "PNG", compress_level=1)
    wanted = "+".join(spoken or languages()[:MAX_LANGUAGES])
    try:
        done = subprocess.run(
            ["tesseract", "stdin", "stdout", "-l", wanted, "--psm", _MODES[arrangement], "tsv"],
            input=pixels.getvalue(),
            capture_output=True,
            timeout=timeout_s,
            check=True,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # files are read side by side already
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"text recognition took longer than {timeout_s:g} s") from error
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise InputError(f"text recognition failed: {told[-1] if told else error.returncode}") from error
    return _words(done.stdout.decode("utf-8", "replace"), scale)


def _words(table: str, scale: float) -> list[Word]:
    found: list[Word] = []
    lines: dict[tuple[str, str, str, str], int] = {}
    for row in csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE):
        text = (row["text"] or "").strip()
        if row["level"] != "5" or not text:
            continue
        key = (row["page_num"], row["block_num"], row["par_num"], row["line_num"])
        left, top = int(row["left"]), int(row["top"])
        found.append(
            Word(
                text,
                left / scale,
                top / scale,
                (left + int(row["width"])) / scale,
                (top + int(row["height"])) / scale,
                max(0.0, float(row["conf"])) / 100,
                lines.setdefault(key, len(lines)),
            )
        )
    return found
