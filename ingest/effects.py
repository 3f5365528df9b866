"""What a page asked of its server: requests as effects, with secrets taken out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email import policy
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ingest.recording import Effect

MASK = "••••"
MAX_BODY = 1_000_000
_SECRET_WORDS = ("password", "passwd", "passphrase", "pwd")


@dataclass
class Secrets:
    """What must not be written down: fields known to hold passwords, and hashes of their values.

    The values themselves never leave the page; it sends a salted hash, by which
    the same value is known again in the body of a request under any name.
    """

    salt: str = ""
    names: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)

    def hides(self, name: str, value: str) -> bool:
        """Whether this value of this field is to be masked."""
        lowered = name.lower()
        return bool(value) and (
            name in self.names
            or any(word in lowered for word in _SECRET_WORDS)
            or (bool(self.hashes) and text_hash(self.salt + value) in self.hashes)
        )

    def mask(self, value: Any, name: str = "") -> Any:
        """A parsed body with every secret replaced, however deep it lies."""
        if isinstance(value, Mapping):
            return {str(key): self.mask(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.mask(inner, name) for inner in value]
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return MASK if self.hides(name, str(value)) else value
        return value

    def mask_url(self, url: str) -> str:
        """An address with the secrets in its query and user part replaced."""
        try:
            parts = urlsplit(url)
        except ValueError:  # not an address; what may be a query is left out
            return url.partition("?")[0].rpartition("@")[2]
        netloc = parts.netloc.rpartition("@")[2]
        fields = parse_qsl(parts.query, keep_blank_values=True)
        masked = [(name, MASK if self.hides(name, value) else value) for name, value in fields]
        query = parts.query if masked == fields else urlencode(masked).replace(quote(MASK), MASK)
        return urlunsplit((parts.scheme, netloc, parts.path, query, parts.fragment))


def text_hash(text: str) -> str:
    """The hash that ``tools.js`` makes in the page (cyrb53 over UTF-16 code units), in decimal."""
    a, b, low = 0xDEADBEEF, 0x41C6CE57, 0xFFFFFFFF
    raw = text.encode("utf-16-le", "surrogatepass")
    for i in range(0, len(raw), 2):
        code = raw[i] | raw[i + 1] << 8
        a = (a ^ code) * 2654435761 & low
        b = (b ^ code) * 1597334677 & low
    a = ((a ^ a >> 16) * 2246822507 & low) ^ ((b ^ b >> 13) * 3266489909 & low)
    b = ((b ^ b >> 16) * 2246822507 & low) ^ ((a ^ a >> 13) * 3266489909 & low)
    return str(4294967296 * (2097151 & b) + a)


def parse_body(content_type: str, body: bytes | None) -> dict[str, Any] | None:
    """A request's body as a map, None when there is none or it is of no known kind.

    A JSON body that is not an object is found under ``"json"``; a file of a
    multipart form is its name.
    """
    if not body or len(body) > MAX_BODY:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            return _flat(parse_qsl(body.decode("utf-8"), keep_blank_values=True))
        if kind == "application/json" or kind.endswith("+json"):
            value = json.loads(body)
            return value if isinstance(value, dict) else {"json": value}
        if kind == "multipart/form-data":
            return _multipart(content_type, body)
    except (ValueError, RecursionError):
        return None
    return None


def _multipart(content_type: str, body: bytes) -> dict[str, Any]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=policy.HTTP).parsebytes(head + body)
    pairs = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            continue
        file_name = part.get_filename()
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        pairs.append((name, file_name if file_name is not None else text.removesuffix("\r\n")))
    return _flat(pairs)


def _flat(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def make_effect(
    method: str,
    url: str,
    *,
    status: int | None,
    content_type: str,
    body: bytes | None,
    location: str | None,
    secrets: Secrets,
) -> Effect:
    """One request and its answer, with secrets masked and the redirect as path and query."""
    parsed = parse_body(content_type, body)
    target = None
    if location:
        with suppress(ValueError):
            parts = urlsplit(secrets.mask_url(location))
            target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return Effect(
        method=method,
        url=secrets.mask_url(url),
        status=status,
        body=None if parsed is None else secrets.mask(parsed),
        location=target,
    )
