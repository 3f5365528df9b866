"""Files written whole or not at all, and the digests that identify them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write ``data`` to ``path`` atomically: readers see the old file or the new one.

    The bytes are flushed to disk before the rename, so a crash or a full disk
    leaves the previous content in place.
    """
    with _whole(path, mode) as handle:
        handle.write(data)


def copy_file(source: Path, path: Path, *, mode: int = 0o644) -> None:
    """Copy ``source`` to ``path`` as :func:`write_bytes` writes, piece by piece: files may be large."""
    with source.open("rb") as original, _whole(path, mode) as handle:
        shutil.copyfileobj(original, handle, 1 << 20)


@contextmanager
def _whole(path: Path, mode: int) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    write_text(path, text + "\n", mode=mode)


def read_json(path: Path) -> Any:
    """Read a JSON file written by :func:`write_json`."""
    return json.loads(path.read_text(encoding="utf-8"))


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-serialisable value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's content, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_tree(root: Path, paths: Iterable[Path] | None = None) -> str:
    """SHA-256 (hex) over relative names and contents of the files under ``root``.

    Hidden files are left out: they are temporary or the tool's own bookkeeping.
    """
    files = sorted(paths) if paths is not None else sorted(root.rglob("*"))
    entries = [
        (str(file.relative_to(root)), digest_file(file))
        for file in files
        if file.is_file() and not file.name.startswith(".")
    ]
    return digest(entries)
