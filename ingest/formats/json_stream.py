"""Large JSON files item by item: an array, an object around one, or a value a line; also packed.

The file is never in memory as a whole. An item is decoded when all of it has been
read; one that is larger than :data:`MAX_ITEM` characters is refused.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from fde.errors import InputError

CHUNK = 1 << 20
MAX_ITEM = 48_000_000
MAX_UNPACKED = 4_000_000_000
# What fits into this is decoded as one value, whatever it is.
WHOLE = 4_000_000
_SPACE = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()


class Readable(Protocol):
    """Bytes to be read on."""

    def read(self, size: int, /) -> bytes: ...


class JsonText:
    """The text of a JSON file, decoded piece by piece.

    Raises:
        InputError: when it is damaged; the message says where.
    """

    def __init__(self, path: Path, stream: Readable) -> None:
        self.path = path
        self._stream = stream
        self._decode: codecs.IncrementalDecoder | None = None
        self._text = ""
        self._at = 0
        self._read = 0
        self._ended = False

    def _more(self, size: int = CHUNK) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        try:
            data = self._stream.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{self.path}: damaged: {error}.", "Copy or record it again.") from error
        self._read += len(data)
        if self._read > MAX_UNPACKED:
            raise InputError(f"{self.path}: unpacks to more than {MAX_UNPACKED // 10**9} GB; refused.")
        if self._decode is None:
            wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            self._decode = codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")("replace")
        self._ended = not data
        self._text = self._text[self._at :] + self._decode.decode(data, final=not data)
        self._at = 0
        return not self._ended

    def peek(self) -> str:
        """The next character that is not white space or a comma, empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, character: str) -> None:
        """Step over the next character, which must be this one."""
        found = self.peek()
        if found != character:
            raise InputError(f"{self.path}: {found[:1]!r} stands where {character!r} should; not JSON.")
        self._at += 1

    def value(self, limit: int = MAX_ITEM) -> Any:
        """The next value.

        Raises:
            InputError: when it is no JSON, cut off, or longer than ``limit`` characters.
        """
        size = CHUNK
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > limit:
                    raise InputError(
                        f"{self.path}: a single value is longer than {limit // 10**6} MB.",
                        "Is it a recording? Export it as events, one a line.",
                    ) from error
                if not self._more(size):
                    where = f"character {error.pos}" if error.pos < 100_000 else "the end"
                    raise InputError(
                        f"{self.path}: not JSON, or cut off, at {where}: {error.msg}."
                    ) from error
                size *= 2
            except (ValueError, RecursionError) as error:
                reason = (
                    "a number is too long" if isinstance(error, ValueError) else "it is nested too deeply"
                )
                raise InputError(f"{self.path}: not a recording: {reason}.") from error
            else:
                self._at = end
                return value

    def small(self) -> Any:
        """The next value where it is at most :data:`WHOLE` characters long, else None."""
        self.peek()
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                if len(self._text) - self._at > WHOLE or not self._more(WHOLE):
                    return None
            else:
                return value

    def ahead(self, count: int) -> str:
        """The next characters, without taking them."""
        self.peek()
        while len(self._text) - self._at < count and self._more():
            pass
        return self._text[self._at : self._at + count]

    def items(self) -> Iterator[Any]:
        """The items of the array that comes next; also of one that is cut off, up to there."""
        self.skip("[")
        while (character := self.peek()) != "]":
            if not character:
                raise InputError(f"{self.path}: cut off: its array does not end.", "Copy or record it again.")
            yield self.value()
        self.skip("]")


@contextmanager
def open_json(path: Path) -> Iterator[JsonText]:
    """The JSON text of a file, unpacked on the way where it is packed by gzip or zlib."""
    with path.open("rb") as raw:
        head = raw.read(2)
        raw.seek(0)
        if head == b"\x1f\x8b":
            with gzip.open(raw) as unpacked:
                yield JsonText(path, unpacked)
        elif _is_zlib(head):
            yield JsonText(path, _Inflate(raw))
        else:
            yield JsonText(path, raw)


def _is_zlib(head: bytes) -> bool:
    return len(head) == 2 and head[0] == 0x78 and int.from_bytes(head, "big") % 31 == 0


class _Inflate:
    """A zlib stream as a file to read."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._inflate = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._raw.read(CHUNK)
            if not data:
                raise EOFError("it ends too early")
            out = self._inflate.decompress(data, size)
            if out:
                return out
        return b""


def head_text(head: bytes) -> str:
    """What the first bytes of a file say, unpacked where they are packed. Never raises."""
    try:
        if head[:2] == b"\x1f\x8b":
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, 65_536)
        elif _is_zlib(head[:2]):
            head = zlib.decompressobj().decompress(head, 65_536)
    except zlib.error:
        return ""
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return head.decode(encoding, "replace").lstrip()
