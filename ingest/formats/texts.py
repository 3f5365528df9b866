"""Text files of unknown origin: decoded, and parsed as JSON or YAML, without trusting them."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from fde.errors import InputError

# A recorded session without pages is some kilobytes; nobody has clicked 20 MB.
MAX_TEXT_BYTES = 20_000_000
MAX_YAML_BYTES = 1_000_000
MAX_ALIASES = 100
_AGAIN = "Export or copy it again."
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes, path: Path) -> str:
    """Text in UTF-8, or in what its byte order mark says.

    Raises:
        InputError: naming the first byte that is not text.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not text in {encoding.removesuffix('-sig').upper()}: byte {error.start} is not.",
            "Save it in UTF-8 and try again.",
        ) from error


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """A whole text file of at most ``limit`` bytes."""
    size = path.stat().st_size
    if size > limit:
        raise InputError(f"{path}: {size} bytes; at most {limit} are read of a file of this kind.")
    return decode(path.read_bytes(), path)


def parse_json(text: str, path: Path, what: str = "") -> Any:
    """JSON; ``what`` says which part of the file, in front of the reason."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{path}: {what + ': ' if what else ''}not JSON: {reason}.", _AGAIN) from error


def json_lines(text: str, path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a file with one JSON object a line, each with its line's number."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        value = parse_json(line, path, f"line {number}")
        if not isinstance(value, dict):
            raise InputError(f"{path}: line {number} holds a {type(value).__name__}, not an object.", _AGAIN)
        found.append((number, value))
    return found


class _Loader(yaml.SafeLoader):
    """Plain data only, with a limit on aliases: a few nested ones stand for more than memory holds."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.YAMLError(f"more than {MAX_ALIASES} aliases")
        return super().compose_node(parent, index)


def parse_yaml(text: str, path: Path) -> Any:
    """YAML of plain data: tags of programming languages are refused, aliases are limited."""
    try:
        return yaml.load(text, Loader=_Loader)
    # Constructors of dates and numbers raise what they like.
    except (yaml.YAMLError, ValueError, RecursionError, ArithmeticError, TypeError, AttributeError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise InputError(f"{path}: not plain YAML: {reason[:300]}.", _AGAIN) from error


def holds_object(
    path: Path, head: bytes, fits: Callable[[dict[str, Any]], bool], marks: tuple[bytes, ...]
) -> bool:
    """Whether a file is a JSON object that ``fits``; never raises.

    A damaged one is told by ``marks``, patterns that all occur in its first bytes, so that
    its importer can say what is wrong with it.
    """
    if not head.lstrip(codecs.BOM_UTF8).lstrip().startswith((b"{", b"\xff\xfe", b"\xfe\xff")):
        return False
    try:
        status = path.stat()
        if status.st_size > MAX_TEXT_BYTES:
            return False
        value = _parsed(path, status.st_size, status.st_mtime_ns)
    except (OSError, InputError):
        return all(re.search(mark, head) for mark in marks)
    return isinstance(value, dict) and fits(value)


@lru_cache(maxsize=1)  # one file is shown to several importers in a row
def _parsed(path: Path, size: int, changed: int) -> Any:
    return parse_json(read_text(path), path)


def objects(value: Any, path: Path, where: str) -> list[dict[str, Any]]:
    """A list of objects, as it must be at ``where``."""
    if not isinstance(value, list):
        raise InputError(f"{path}: {where} is a {type(value).__name__}, not a list.", _AGAIN)
    for number, item in enumerate(value, 1):
        if not isinstance(item, dict):
            raise InputError(f"{path}: {where}, number {number}: a {type(item).__name__}, not an object.")
    return value


def word(value: Any) -> str:
    """A scalar as text, anything else as none: nobody vouches that a field holds what it should."""
    if isinstance(value, str):
        # Half a character (a lone surrogate) can be written in JSON, but not in a file.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) and abs(value) < 1e300 else ""


def clean(value: Any) -> Any:
    """Parsed JSON with every text in it such that it can be written down again."""
    if isinstance(value, dict):
        return {word(key): clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    return word(value) if isinstance(value, str) else value
