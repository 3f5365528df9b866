"""Recordings of any supported format, told apart by their content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fde.errors import InputError, MissingError
from ingest.formats.base import MAX_FILE_BYTES, Importer, Read
from ingest.formats.chromerec import ChromeRecording
from ingest.formats.codegen import CodegenRecording
from ingest.formats.eventlog import LogColumns
from ingest.formats.fderec import FdeRecording
from ingest.formats.har import HttpArchive, join, read_entries
from ingest.formats.miniwob import MiniWob
from ingest.formats.openadapt import EVENTS, FRAMES, META, OpenAdaptRecording, is_recording_folder
from ingest.formats.rrweb import Rrweb
from ingest.formats.selenium import SeleniumProject
from ingest.formats.steps import ScriptImporter
from ingest.formats.trace import PlaywrightTrace
from ingest.formats.uilog import UiLog
from ingest.formats.video import VIDEO_SUFFIXES, ScreenVideo, event_log
from ingest.formats.workflowuse import WorkflowUse
from ingest.recording import Recording

IMPORTERS: tuple[Importer, ...] = (
    FdeRecording(),
    PlaywrightTrace(),
    MiniWob(),
    Rrweb(),
    WorkflowUse(),
    ChromeRecording(),
    SeleniumProject(),
    CodegenRecording(),
    HttpArchive(),
    OpenAdaptRecording(),
    ScreenVideo(),
    UiLog(),
)
HEAD_BYTES = 4096


def importer_of(path: Path, columns: LogColumns | None = None) -> Importer:
    """The importer of a file, or of a folder that is one recording.

    Args:
        path: The file or folder.
        columns: What ``[ingest.ui_log]`` says of the columns of event logs.

    Raises:
        MissingError: when there is no such file.
        InputError: when it is of no known format.
    """
    head = b""
    if not path.is_dir():
        if not path.is_file():
            raise MissingError(f"{path}: no such file.")
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
        if not head:
            raise InputError(f"{path}: the file is empty.", "Copy or record it again.")
    for importer in IMPORTERS:
        if columns is not None and isinstance(importer, UiLog | ScreenVideo):
            importer = type(importer)(columns)
        if importer.recognises(path, head):
            limit = getattr(importer, "max_bytes", MAX_FILE_BYTES)
            if path.is_file() and path.stat().st_size > limit:
                raise InputError(f"{path}: larger than {limit // 10**6} MB.")
            return importer
    if head.startswith(b"PK"):
        from ingest.formats.base import Archive

        with Archive(path):  # says what is wrong with it, where it is damaged
            pass
    known = ", ".join(importer.name for importer in IMPORTERS)
    raise InputError(f"{path}: not a recording of a known format ({known}).", "Record with: fde record URL")


def read_recordings(path: Path, columns: LogColumns | None = None) -> Read:
    """All recordings of a file or folder, with their blobs by name.

    A HTTP archive of the same name beside it gives the steps their effects.

    Raises:
        MissingError: when there is no such file.
        InputError: when it is of no known format, or damaged; the message says where.
    """
    importer = importer_of(path, columns)
    found = importer.read(path)
    archive = _archive_beside(path)
    if archive is not None and len(found.recordings) == 1 and not isinstance(importer, HttpArchive):
        found = replace(found, recordings=[join(found.recordings[0], read_entries(archive))])
    return found


def script_importer(path: Path) -> ScriptImporter:
    """The importer of a file whose steps can be carried out on a page.

    Raises:
        InputError: as of :func:`importer_of`, and when its format holds pages already, or pictures.
    """
    importer = importer_of(path)
    if not isinstance(importer, ScriptImporter):
        raise InputError(
            f"{path}: a recording of the format {importer.name} cannot be replayed.",
            "Ingest it without --replay.",
        )
    return importer


def parts_of(path: Path) -> list[Path]:
    """All files that a recording is made of, itself first: a folder's files, and what lies beside a file."""
    if path.is_dir():
        frames = sorted(file for file in (path / FRAMES).iterdir() if file.is_file())
        return [file for file in (path / EVENTS, path / META) if file.is_file()] + frames
    log = event_log(path) if path.suffix.lower() in VIDEO_SUFFIXES else None
    return [path, *(part for part in (log, _archive_beside(path)) if part is not None)]


def whole(files: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Files with their names, where several make one recording only the first: a folder, or the video."""
    given = list(files)
    folders: dict[Path, str] = {}
    for path, name in given:
        if path.name == EVENTS and is_recording_folder(path.parent):
            folders[path.parent] = name.rpartition("/")[0] or path.parent.name
    kept = [
        (path, name) for path, name in given if not any(path.is_relative_to(folder) for folder in folders)
    ]
    beside = {part for path, _ in kept for part in parts_of(path)[1:]}
    return [*((path, name) for path, name in kept if path not in beside), *folders.items()]


def _archive_beside(path: Path) -> Path | None:
    """The HTTP archive of the same name; a file that is one itself has none."""
    beside = path.with_suffix(".har")
    return beside if beside != path and beside.is_file() else None


def read_recording(path: Path) -> tuple[Recording, dict[str, bytes]]:
    """The one recording of a file, with its blobs by name.

    Raises:
        InputError: as :func:`read_recordings`, and when the file holds several.
    """
    found = read_recordings(path)
    if len(found.recordings) != 1:
        raise InputError(f"{path}: holds {len(found.recordings)} recordings, not one.")
    return found.recordings[0], found.blobs
