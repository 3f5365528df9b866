"""The recorded HTML of recordings: which pages have it, and the redacted pages in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from fde.artifacts import write_bytes
from ingest.recording import Recording
from redact.corpus import Visitor
from redact.markup import map_markup
from redact.screens import Blobs, inside, snapshots

# Each page waits for the disk; so many wait at once.
_WRITERS = 8


def observe_doms(recordings: Iterable[Recording], folder: Path, visitor: Visitor) -> None:
    """Show a visitor all texts of the recorded HTML, and write nothing."""
    for name in _names(recordings, folder):
        map_markup((folder / name).read_bytes(), visitor)


def redact_doms(recordings: list[Recording], folder: Path, out: Path, visitor: Visitor) -> Blobs:
    """Write the redacted HTML of all recordings; what cannot be read as a whole is dropped.

    Args:
        recordings: As ingested.
        folder: Where the ingested pages lie.
        out: Where the redacted ones go.
    """
    names: dict[str, str] = {}
    with ThreadPoolExecutor(_WRITERS) as pool:
        written: list[Future[None]] = []
        for name in _names(recordings, folder):
            page = map_markup((folder / name).read_bytes(), visitor)
            if page is not None:
                names[name] = f"{hashlib.sha256(page).hexdigest()}.html"
                written.append(pool.submit(write_bytes, out / names[name], page))
        for each in written:
            each.result()
    return Blobs.counted(names, [s.dom for r in recordings for s in snapshots(r) if s.dom])


def _names(recordings: Iterable[Recording], folder: Path) -> list[str]:
    return sorted({s.dom for r in recordings for s in snapshots(r) if s.dom and inside(folder, s.dom)})
