"""Text inside text: percent-encoded and base64 pieces, read and written again in the same way."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

_PERCENT = re.compile(r"[^\s\"'<>|]*%[0-9A-Fa-f]{2}[^\s\"'<>|]*")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{16,}={0,2}(?![A-Za-z0-9+/=_-])")


@dataclass(frozen=True, slots=True)
class Piece:
    """``text[start:end]`` of the outer text says ``plain`` when it is decoded; ``how`` is the encoding."""

    start: int
    end: int
    plain: str
    how: str
    shown: str

    def again(self, new: str) -> str:
        """``new`` encoded as the original was."""
        if self.how == "percent":
            return quote(new, safe="/:?&=@#+,;!$'()*~")
        made = base64.b64encode(new.encode()).decode()
        if re.search(r"[-_]", self.shown):
            made = made.replace("+", "-").replace("/", "_")
        return made if self.shown.endswith("=") or len(self.shown) % 4 == 0 else made.rstrip("=")


def pieces(text: str) -> Iterator[Piece]:
    """The encoded pieces of a text that hold readable text, in order within each encoding."""
    if "%" in text:
        for match in _PERCENT.finditer(text):
            plain = unquote(match[0])
            if plain != match[0]:
                yield Piece(*match.span(), plain, "percent", match[0])
    if len(text) < 16:
        return
    for match in _BASE64.finditer(text):
        decoded = decode_base64(match[0])
        if decoded is not None:
            yield Piece(*match.span(), decoded, "base64", match[0])


def decode_base64(text: str) -> str | None:
    """The readable text behind base64 of either alphabet, padded or not; None when there is none."""
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(body + "=" * (-len(body) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    readable = len(decoded) > 5 and decoded.translate(_BREAKS).isprintable()
    return decoded if readable else None


_BREAKS = {ord(c): " " for c in "\n\r\t"}
