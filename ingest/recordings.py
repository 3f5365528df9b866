"""Recordings of any supported format, told apart by their content."""

from __future__ import annotations

from pathlib import Path

from fde.errors import InputError, MissingError
from ingest.formats.base import MAX_FILE_BYTES, Importer, Read
from ingest.formats.fderec import FdeRecording
from ingest.formats.miniwob import MiniWob
from ingest.formats.rrweb import Rrweb
from ingest.formats.trace import PlaywrightTrace
from ingest.recording import Recording

IMPORTERS: tuple[Importer, ...] = (FdeRecording(), PlaywrightTrace(), MiniWob(), Rrweb())
HEAD_BYTES = 4096


def read_recordings(path: Path) -> Read:
    """All recordings of a file, with their blobs by name.

    Raises:
        MissingError: when there is no such file.
        InputError: when it is of no known format, or damaged; the message says where.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such file.")
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    if not head:
        raise InputError(f"{path}: the file is empty.", "Copy or record it again.")
    for importer in IMPORTERS:
        if importer.recognises(path, head):
            limit = getattr(importer, "max_bytes", MAX_FILE_BYTES)
            if path.stat().st_size > limit:
                raise InputError(f"{path}: larger than {limit // 10**6} MB.")
            return importer.read(path)
    if head.startswith(b"PK"):
        from ingest.formats.base import Archive

        with Archive(path):  # says what is wrong with it, where it is damaged
            pass
    known = ", ".join(importer.name for importer in IMPORTERS)
    raise InputError(f"{path}: not a recording of a known format ({known}).", "Record with: fde record URL")


def read_recording(path: Path) -> tuple[Recording, dict[str, bytes]]:
    """The one recording of a file, with its blobs by name.

    Raises:
        InputError: as :func:`read_recordings`, and when the file holds several.
    """
    found = read_recordings(path)
    if len(found.recordings) != 1:
        raise InputError(f"{path}: holds {len(found.recordings)} recordings, not one.")
    return found.recordings[0], found.blobs
