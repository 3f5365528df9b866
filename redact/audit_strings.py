"""Every string a later stage can read, with its place: JSON, text, HTML, SQLite, file names."""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fde.engagement import PRIVATE_STAGES, Engagement
from fde.errors import InputError
from ingest import ocr
from ingest.snapshot import parse

_TEXT = frozenset(
    [
        ".txt",
        ".md",
        ".html",
        ".htm",
        ".csv",
        ".tsv",
        ".yaml",
        ".yml",
        ".toml",
        ".log",
        ".xml",
        ".svg",
        ".j2",
        ".py",
        ".js",
        ".css",
        ".jsonl",
    ]
)
_DATABASES = frozenset([".db", ".sqlite", ".sqlite3"])
_PICTURES = frozenset([".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tiff"])
# The key of strings that were recognised in a picture: letters may be misread.
PICTURE = "picture"
# Other settings than those of the first pass: what that one overlooked is not overlooked alike.
_PICTURE_SCALE = 3.0
_WEIGHTS = frozenset([".safetensors", ".gguf", ".bin", ".pt", ".npz", ".npy"])
_LINES = 40


@dataclass(slots=True)
class Found:
    """A distinct string: where it stands first, and how often.

    Attributes:
        place: File and position; never the string itself.
        key: The last key above it, for instance ``run`` or ``sha256``.
        published: Whether it is in the redacted output itself (not made by a later stage).
    """

    place: str
    key: str = ""
    count: int = 1
    published: bool = False


# A string as it was read, where it stands, and under which encoding it was found.
Reading = tuple[str, Found, str]


@dataclass(slots=True)
class Strings:
    """The distinct strings of a tree of files."""

    found: dict[str, Found] = field(default_factory=dict)
    files: int = 0
    pictures_read: int = 0
    pictures_unread: int = 0
    unread: int = 0

    def add(self, text: str, place: str, key: str = "", *, published: bool = False) -> None:
        if len(text) < 3:
            return
        known = self.found.get(text)
        if known is None:
            self.found[text] = Found(place, key, published=published)
        else:
            known.count += 1
            known.published = known.published or published


def readable_files(engagement: Engagement) -> list[Path]:
    """What a later stage can read: every stage after ingestion, models, reports and the tracking database."""
    roots = (
        [p for p in engagement.stages.iterdir() if p.is_dir() and p.name not in PRIVATE_STAGES]
        if engagement.stages.is_dir()
        else []
    )
    files = [
        f
        for root in (*roots, engagement.models, engagement.reports)
        if root.is_dir()
        for f in root.rglob("*")
    ]
    files += [engagement.mlflow_db, *engagement.root.glob("mlruns/**/*"), *engagement.root.glob("*.log")]
    redacted = engagement.stages / "redact"
    return sorted(
        f for f in files
        # An unfinished redaction was never released; no later stage reads it.
        if f.is_file() and not (redacted in f.parents and f.parent != redacted and not _run_of(f, redacted))
    )  # fmt: skip


def _run_of(file: Path, redacted: Path) -> bool:
    return (redacted / file.relative_to(redacted).parts[0] / "manifest.json").exists()


def collect(engagement: Engagement, files: list[Path]) -> Strings:
    """Read all strings of the files."""
    strings = Strings()
    _pictures(engagement, [f for f in files if f.suffix.lower() in _PICTURES], strings)
    for file in files:
        place = str(file.relative_to(engagement.root))
        published = place.startswith("stages/redact/")
        strings.files += 1
        strings.add(
            file.name,
            f"{file.parent.relative_to(engagement.root)}/* (file name)",
            "name",
            published=published,
        )
        suffix = file.suffix.lower()
        if suffix in _PICTURES:
            continue
        if suffix in _DATABASES:
            _database(file, place, strings)
        elif suffix in _WEIGHTS:
            _header(file, place, strings)
        else:
            _text(file, place, strings, published)
    return strings


def _pictures(engagement: Engagement, files: list[Path], strings: Strings) -> None:
    """Lines of text in pictures, and each with the one before it: a value may be broken over two lines."""
    if ocr.version() is None:
        strings.pictures_unread += len(files)
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for file, words in zip(files, pool.map(_words, files), strict=True):
            if words is None:
                strings.pictures_unread += 1
                continue
            strings.pictures_read += 1
            place = str(file.relative_to(engagement.root))
            lines: dict[int, list[str]] = {}
            for word in words:
                lines.setdefault(word.line, []).append(word.text)
            before = ""
            for number, pieces in enumerate(lines.values(), 1):
                line = " ".join(pieces)
                where = f"{place} (picture, line {number})"
                strings.add(line, where, PICTURE, published=place.startswith("stages/redact/"))
                if before:
                    strings.add(f"{before} {line}", where, PICTURE)
                before = line


def _words(file: Path) -> list[ocr.Word] | None:
    try:
        return ocr.read_words(file.read_bytes(), arrangement="sparse", scale=_PICTURE_SCALE)
    except (InputError, OSError):
        return None


def _text(file: Path, place: str, strings: Strings, published: bool) -> None:
    try:
        text = file.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        strings.unread += 1
        return
    if file.suffix == ".json":
        try:
            _json(json.loads(text), place + "#", "", strings, published)
            return
        except (json.JSONDecodeError, RecursionError):
            pass
    if file.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            try:
                _json(json.loads(line), f"{place}:{number}#", "", strings, published)
            except (json.JSONDecodeError, RecursionError):
                strings.add(line, f"{place}:{number}", published=published)
        return
    if file.suffix in (".html", ".htm", ".svg", ".xml"):
        _markup(text, place, strings, published)
        return
    lines = text.splitlines()
    for start in range(0, len(lines), _LINES):
        # Blocks overlap by a line: a value may be broken over two lines.
        strings.add("\n".join(lines[start : start + _LINES + 1]), f"{place}:{start + 1}", published=published)


# Tags that begin or end no line on a page: a value may be broken over them.
_MARKS = re.compile(
    r"</?(?:a|abbr|b|bdi|big|cite|code|del|em|font|i|ins|kbd|label|mark|q|s|small|span|strike|strong|sub|sup|"
    r"time|tspan|tt|u|var|wbr)[\s/>]",
    re.IGNORECASE,
)


def _markup(text: str, place: str, strings: Strings, published: bool) -> None:
    """HTML, tag by tag and text by text, whatever a parser would make of it; and texts that tags divide."""
    text = re.sub(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+", "data:", text)
    runs: list[str] = [""]
    line = 1
    for number, match in enumerate(re.finditer(r"<[^>]*>|<?[^<]+|<", text), 1):
        piece = match[0]
        tag = piece.startswith("<")
        strings.add(piece.strip(), f"{place}:{line} (piece {number})", published=published)
        if tag and not _MARKS.match(piece):
            runs.append("")
        elif not tag:
            runs[-1] += piece
        line += piece.count("\n")
    shown = [" ".join(html.unescape(run).split()) for run in runs]
    shown = [run for run in shown if run]
    for number, run in enumerate(shown, 1):
        strings.add(run, f"{place} (text {number})", published=published)
    _neighbours(shown, place, strings, published)


def _json(value: Any, place: str, key: str, strings: Strings, published: bool) -> None:
    if isinstance(value, str):
        strings.add(value, place, key, published=published)
        if value.startswith("- ") or "\n- " in value:
            _page(value, place, strings, published)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float):
        strings.add(str(value), place, key, published=published)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _json(item, f"{place}/{index}", key, strings, published)
    elif isinstance(value, dict):
        for index, (name, item) in enumerate(value.items()):
            strings.add(str(name), f"{place} (key {index})", "key", published=published)
            _json(
                item,
                f"{place}/{name if re.fullmatch('[a-z_]{1,32}', str(name)) else index}",
                str(name),
                strings,
                published,
            )


def _page(text: str, place: str, strings: Strings, published: bool) -> None:
    """Texts of neighbouring nodes of a page, joined: a value may be split over them."""
    try:
        nodes = list(parse(text).walk())
    except InputError:
        return
    shown = [piece for node in nodes if node.role != "option" for piece in (node.name, node.value) if piece]
    _neighbours(shown, place, strings, published)


def _neighbours(shown: list[str], place: str, strings: Strings, published: bool) -> None:
    for width in (2, 3):
        for start in range(len(shown) - width + 1):
            pieces = shown[start : start + width]
            if sum(map(len, pieces)) < 120:
                strings.add(
                    "".join(pieces),
                    f"{place} (node {start + 1} and its neighbours)",
                    "split",
                    published=published,
                )


def _database(file: Path, place: str, strings: Strings) -> None:
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            tables = [
                row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            for number, table in enumerate(tables):
                quoted = table.replace('"', '""')
                cursor = database.execute(f'SELECT rowid, * FROM "{quoted}"')
                columns = [c[0] for c in cursor.description]
                name = table if re.fullmatch(r"\w{1,40}", table) else str(number)
                for row in cursor:
                    for column, value in zip(columns[1:], row[1:], strict=True):
                        if isinstance(value, str):
                            strings.add(value, f"{place}#{name}.{column} row {row[0]}", column)
    except sqlite3.DatabaseError:
        strings.unread += 1
    finally:
        if "database" in locals():
            database.close()


def _header(file: Path, place: str, strings: Strings) -> None:
    """The metadata of a safetensors file; weights are not text."""
    if file.suffix != ".safetensors":
        return
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length > 10_000_000:
            strings.unread += 1
            return
        try:
            header = json.loads(handle.read(length))
        except ValueError:
            strings.unread += 1
            return
    _json(header.get("__metadata__", {}), place + "#", "", strings, False)


# Letters of other scripts that look like Latin ones.
_LOOKALIKES = str.maketrans("авекмнорстухіјѕԁɡɩοαρυνκιτεχв", "abekmhopctyxijsdgioapuvkitexb")


def _normal(text: str) -> str:
    if text.isascii():
        return text.lower()
    text = "".join(
        c
        for c in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.category(c).startswith(("M", "Cf"))
    )
    return (
        text.translate(_LOOKALIKES).replace("ß", "ss").replace("ł", "l").replace("ø", "o").replace("đ", "d")
    )


def compact(text: str) -> str:
    """Letters and digits only, without case, accents and look-alikes: as the audit compares."""
    text = _normal(text)
    return text if text.isalnum() else "".join(c for c in text if c.isalnum())


_B64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{12,}={0,2}(?![A-Za-z0-9+/_-])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}){8,4000}(?![0-9A-Za-z])")


def decoded(text: str, depth: int = 2) -> Iterator[tuple[str, str]]:
    """Readings of a string under usual encodings, as (text, encoding), nested up to ``depth``."""
    new: list[tuple[str, str]] = []
    if "%" in text and (plain := unquote(text.replace("+", " "))) != text:
        new.append((plain, "percent-encoded"))
    if "&" in text and ";" in text and (plain := html.unescape(text)) != text:
        new.append((plain, "HTML-escaped"))
    if "\\u" in text or "\\x" in text:
        plain = re.sub(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1] or m[2], 16)), text)
        if plain != text:
            new.append((plain, "escaped"))
    for match in _B64.finditer(text):
        if hidden := readable_base64(match[0]):
            new.append((hidden, "base64"))
    for match in _HEX.finditer(text):
        try:
            plain = bytes.fromhex(match[0]).decode("utf-8")
        except ValueError:
            continue
        if plain.isprintable():
            new.append((plain, "hex"))
    for plain, how in new:
        yield plain, how
        if depth > 1:
            for deeper, further in decoded(plain, depth - 1):
                yield deeper, f"{how}, {further}"


def readable_base64(text: str) -> str | None:
    """The readable text behind base64, or None."""
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        plain = base64.b64decode(body + "=" * (-len(body) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    readable = len(plain) > 3 and re.sub(r"[\n\r\t]", " ", plain).isprintable()
    return plain if readable else None
