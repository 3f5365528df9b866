"""The events of an rrweb recording, out of any of the files in which they are kept.

A JSON array of events, one event a line, or an object around them (``events``,
``snapshots``, ``data``…), also nested; events in batches, with the window's name
before them, as JSON text, or packed by ``@rrweb/packer``; the file plain, by gzip
or by zlib.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fde.errors import InputError
from ingest.formats.json_stream import MAX_ITEM, JsonText, head_text, open_json

Event = dict[str, Any]
MAX_NESTING = 6
_TYPE = re.compile(r'"type"\s*:\s*[0-7]\s*[,}]')
_DATA = re.compile(r'"data"\s*:')
_DOM = re.compile(r'"(childNodes|isAttachIframe|initialOffset|rootId|textContent)"\s*:')
_OWN_DATA = re.compile(r'\{\s*"(node|source|href|plugin|tag|initialOffset)"')
_PACKED = re.compile(r'\[\s*"x[\u0000-\u00ff\\]')


def looks_like_events(head: bytes) -> bool:
    """Whether the beginning of a file (at least some hundred bytes) is one of rrweb events."""
    text = head_text(head).replace('\\"', '"')  # events may be kept as texts
    if not text.startswith(("[", "{")):
        return False
    if _PACKED.match(text):
        return True
    return bool((_TYPE.search(text) and _DATA.search(text)) or (_DATA.search(text) and _DOM.search(text)))


def read_events(path: Path) -> Iterator[Event]:
    """The events in the order of the file; whatever else is in it is passed over.

    Raises:
        InputError: when the file is damaged.
    """
    with open_json(path) as text:
        while character := text.peek():
            if character == "[":
                for item in text.items():
                    yield from _events(path, item)
            elif character == "{":
                found = text.small()
                if found is None:
                    yield from _inside(path, text, 0)
                else:
                    yield from _events(path, found)
            else:
                text.value()


def _inside(path: Path, text: JsonText, depth: int) -> Iterator[Event]:
    """An object too large to be decoded as one: an event, or something around an array of events."""
    if depth > MAX_NESTING:
        raise InputError(f"{path}: no events down to level {MAX_NESTING}; not an rrweb recording.")
    text.skip("{")
    event: Event = {}
    while (character := text.peek()) != "}":
        if character != '"':
            raise InputError(f"{path}: {character[:1]!r} stands where a key should; not JSON, or cut off.")
        key = text.value()
        text.skip(":")
        opened = text.peek()
        if opened == "[":
            for item in text.items():
                yield from _events(path, item)
        elif opened == "{" and not (key == "data" and ("type" in event or _OWN_DATA.match(text.ahead(40)))):
            whole = text.small()
            if whole is None:
                yield from _inside(path, text, depth + 1)
            else:
                event[key] = whole
        else:
            event[key] = text.value()
    text.skip("}")
    if event:
        yield from _events(path, event)


def _events(path: Path, item: Any, depth: int = 0) -> Iterator[Event]:
    if depth > MAX_NESTING:
        return
    if isinstance(item, dict):
        kind = item.get("type")
        if isinstance(kind, int) and not isinstance(kind, bool) and "data" in item:
            yield item
            return
        for value in item.values():
            if isinstance(value, list | dict):
                yield from _events(path, value, depth + 1)
    elif isinstance(item, list):
        for value in item:
            if isinstance(value, list | dict | str):
                yield from _events(path, value, depth + 1)
    elif isinstance(item, str):
        yield from _events(path, _unpacked(path, item), depth + 1)


def _unpacked(path: Path, text: str) -> Any:
    """An event as text: JSON, or JSON packed by zlib into characters 0 to 255."""
    if text.startswith("x"):
        try:
            unpack = zlib.decompressobj()
            data = unpack.decompress(text.encode("latin-1"), MAX_ITEM)
        except (UnicodeEncodeError, zlib.error):
            return None
        if unpack.unconsumed_tail:
            raise InputError(f"{path}: a packed event is larger than {MAX_ITEM // 10**6} MB.")
        text = data.decode("utf-8", "replace")
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
