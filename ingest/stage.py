"""The ingest stages: a client's files copied into the engagement, read, and written in one form.

Each file is read once and on its own: one that cannot be read is a row with its
error in ``report.json``, and the rest goes on. Work that was killed goes on with
the first file that has no row yet.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fde.artifacts import (
    PRIVATE_DIR,
    PRIVATE_FILE,
    copy_file,
    digest,
    digest_file,
    read_json,
    write_bytes,
    write_json,
)
from fde.engagement import Engagement, Run
from fde.errors import FdeError, InputError, MissingError
from ingest.document import Document
from ingest.documents import read_document
from ingest.formats.base import Read
from ingest.rebuild import shared_browser
from ingest.recording import Recording
from ingest.recordings import read_recordings

# Changes whenever the same file would be read differently.
VERSION = 1
_PACKAGES = ("openpyxl", "pdfplumber", "pdfminer.six", "beautifulsoup4", "markitdown")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A file to be read, and what it is called."""

    name: str
    path: Path
    digest: str


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and those in the folders named; hidden ones and links out of them are left out.

    Raises:
        MissingError: when a path is not there.
        InputError: when there is no file at all.
    """
    return [path for path, _ in _named_files(paths)]


def _named_files(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    found: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                relative = file.relative_to(path)
                hidden = any(part.startswith(".") for part in relative.parts)
                # A link out of the folder is not part of what the client handed over.
                inside = file.resolve().is_relative_to(path.resolve())
                if file.is_file() and inside and not hidden:
                    found.setdefault(file.resolve(), relative.as_posix())
        elif path.is_file():
            found.setdefault(path.resolve(), path.name)
        else:
            raise MissingError(f"{path}: no such file or folder.", "Name files or folders that are there.")
    if not found:
        raise InputError("No files: " + (", ".join(map(str, paths)) or "no path was named") + ".")
    return list(found.items())


def _sources(paths: Sequence[Path]) -> list[Source]:
    """The files by names that differ; the same content under the same name is read once."""
    found: dict[str, Source] = {}
    for path, name in _named_files(paths):
        source = Source(name, path, digest_file(path))
        if name in found and found[name].digest != source.digest:
            source = Source(f"{path.parent.name}/{name}", path, source.digest)
        if source.name in found and found[source.name].digest != source.digest:
            source = Source(f"{source.digest[:8]}/{name}", path, source.digest)
        found.setdefault(source.name, source)
    return sorted(found.values(), key=lambda source: source.name)


def ingest_documents(engagement: Engagement, paths: Sequence[Path], progress: Progress | None = None) -> Run:
    """Read documents into ``stages/ingest-docs``: ``documents/<id>.json`` and ``report.json``.

    Args:
        engagement: Where to keep them. The files themselves are copied to ``raw/docs``.
        paths: Files and folders. A run holds exactly these; name them all again to add some.
        progress: Called with each file's name when it is done.

    Raises:
        InputError: when nothing could be read (a single bad file is only a row in the report).
    """
    versions = {name: _version(name) for name in _PACKAGES}
    config = {"reader": VERSION, "packages": versions}
    return _ingest(engagement, "ingest-docs", "docs", paths, config, _read_documents, progress)


def ingest_recordings(engagement: Engagement, paths: Sequence[Path], progress: Progress | None = None) -> Run:
    """Read recordings into ``stages/ingest-recordings``: ``recordings/<id>.json``, blobs, ``report.json``.

    Arguments and errors as for :func:`ingest_documents`; the files are copied to ``raw/recordings``.
    """
    config = {"reader": VERSION}
    with shared_browser():
        return _ingest(
            engagement, "ingest-recordings", "recordings", paths, config, _read_recordings, progress
        )


def report(run: Run) -> dict[str, Any]:
    """The report of a finished ingest run: ``files``, one row each, with ``error`` where one failed."""
    found = read_json(run.path / "report.json")
    assert isinstance(found, dict)
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _ingest(
    engagement: Engagement,
    stage: str,
    folder: str,
    paths: Sequence[Path],
    config: dict[str, Any],
    read: Callable[[Run, Source, set[str]], dict[str, Any]],
    progress: Progress | None,
) -> Run:
    sources = _sources(paths)
    run = engagement.run(stage, inputs={source.name: source.digest for source in sources}, config=config)
    if run.finished:
        engagement.publish(run)
        return run
    with engagement.working(run):
        rows: list[dict[str, Any]] = []
        taken: set[str] = set()
        for source in sources:
            done = run.path / f".row-{digest([source.name, source.digest])[:16]}.json"
            row = _earlier(done)
            if not row:
                copy_raw(engagement, folder, source)
                row = {"source": source.name, "digest": source.digest, "error": None}
                try:
                    row.update(read(run, source, taken))
                except FdeError as error:
                    row["error"] = _without_path(error.message, source)
                write_json(done, row, mode=PRIVATE_FILE)
            taken.update(row.get("ids", ()))
            rows.append(row)
            if progress:
                progress(source.name)
        _finish(run, rows)
    return run


def _earlier(path: Path) -> dict[str, Any]:
    """The row that an interrupted execution left; empty when there is none."""
    try:
        row = read_json(path)
    except (OSError, ValueError):
        return {}
    return row if isinstance(row, dict) else {}


def _without_path(message: str, source: Source) -> str:
    return message.removeprefix(f"{source.path}: ")


def _finish(run: Run, rows: list[dict[str, Any]]) -> None:
    failed = [row for row in rows if row["error"]]
    run.write_json("report.json", {"files": rows})
    if len(failed) == len(rows):
        first = "\n".join(f"  {row['source']}: {row['error']}" for row in failed[:10])
        raise InputError(
            f"Nothing could be read:\n{first}", "Correct or leave out these files and run again."
        )
    names = {key for row in rows for key, value in row.items() if isinstance(value, int)}
    counts = {name: sum(row.get(name, 0) for row in rows) for name in sorted(names)}
    for left in run.path.rglob(".*.tmp"):  # by a process that was killed while it wrote
        left.unlink()
    run.finish(files=len(rows), failed=len(failed), **counts)
    for done in run.path.glob(".row-*.json"):
        done.unlink()


def copy_raw(engagement: Engagement, folder: str, source: Source) -> None:
    """Keep a client's file in ``raw/``, readable by its owner only; an earlier one of that name stays."""
    if source.path.is_relative_to(engagement.raw):
        return
    target = engagement.raw / folder / source.name
    if target.is_file() and digest_file(target) != source.digest:
        target = target.with_name(f"{target.stem}-{source.digest[:8]}{target.suffix}")
    parent = target.parent
    parent.mkdir(parents=True, exist_ok=True)
    while parent != engagement.raw:
        parent.chmod(PRIVATE_DIR)
        parent = parent.parent
    if not target.is_file():
        copy_file(source.path, target, mode=PRIVATE_FILE)


def _private(run: Run, name: str) -> Path:
    folder = run.path / name
    folder.mkdir(exist_ok=True, mode=PRIVATE_DIR)
    return folder


def _read_documents(run: Run, source: Source, taken: set[str]) -> dict[str, Any]:
    documents = read_document(source.path, source.name)
    _private(run, "documents")
    for document in documents:
        run.write_json(f"documents/{document.id}.json", document.model_dump(mode="json"))
    return {"ids": [document.id for document in documents], **_document_counts(documents)}


def _document_counts(documents: Iterable[Document]) -> dict[str, int]:
    made = list(documents)
    return {
        "documents": len(made),
        "characters": sum(len(document.text) for document in made),
        "tables": sum(len(document.tables) for document in made),
        "chunks": sum(len(document.chunks) for document in made),
        "warnings": sum(len(document.warnings) for document in made),
    }


def _read_recordings(run: Run, source: Source, taken: set[str]) -> dict[str, Any]:
    found = read_recordings(source.path)
    _private(run, "recordings")
    blobs = _private(run, "blobs")
    for name, data in found.blobs.items():
        if not (blobs / name).is_file():
            write_bytes(blobs / name, data, mode=PRIVATE_FILE)
    made = [_named(recording, source, taken) for recording in found.recordings]
    for recording in made:
        run.write_json(f"recordings/{recording.id}.json", recording.model_dump(mode="json"))
    return {
        "ids": [recording.id for recording in made],
        "recordings": len(made),
        "steps": sum(len(recording.steps) for recording in made),
        "warnings": sum(len(recording.warnings) for recording in made),
    }


def _named(recording: Recording, source: Source, taken: set[str]) -> Recording:
    """A recording under an id that is a file name and nobody else's."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in recording.id)
    name = plain.strip(".-")[:100] or "recording"
    if name in taken:
        name = f"{name}-{source.digest[:8]}"
    taken.add(name)
    return recording.model_copy(update={"id": name, "source": source.name})


def documents_of(run: Run) -> list[Document]:
    """The documents of a finished run, in the order of their ids."""
    return [
        Document.model_validate(read_json(path)) for path in sorted((run.path / "documents").glob("*.json"))
    ]


def recordings_of(run: Run) -> list[Recording]:
    """The recordings of a finished run, in the order of their ids."""
    folder = run.path / "recordings"
    return [Recording.model_validate(read_json(path)) for path in sorted(folder.glob("*.json"))]


@dataclass(frozen=True)
class Loose:
    """Files read without an engagement: nothing is kept."""

    documents: tuple[Document, ...] = ()
    recordings: tuple[Recording, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def read_loose_documents(paths: Sequence[Path], progress: Progress | None = None) -> Loose:
    """Read documents and keep nothing. Errors as for :func:`ingest_documents`."""
    found: list[Document] = []

    def read(source: Source) -> None:
        found.extend(read_document(source.path, source.name))

    failed = _loose(paths, read, progress)
    return Loose(documents=tuple(found), failed=failed)


def read_loose_recordings(paths: Sequence[Path], progress: Progress | None = None) -> Loose:
    """Read recordings and keep nothing. Errors as for :func:`ingest_documents`."""
    found: list[Recording] = []
    taken: set[str] = set()

    def read(source: Source) -> None:
        made: Read = read_recordings(source.path)
        found.extend(_named(recording, source, taken) for recording in made.recordings)

    with shared_browser():
        failed = _loose(paths, read, progress)
    return Loose(recordings=tuple(found), failed=failed)


def _loose(
    paths: Sequence[Path], read: Callable[[Source], None], progress: Progress | None
) -> tuple[tuple[str, str], ...]:
    sources = _sources(paths)
    failed: list[tuple[str, str]] = []
    for source in sources:
        try:
            read(source)
        except FdeError as error:
            failed.append((source.name, _without_path(error.message, source)))
        if progress:
            progress(source.name)
    if len(failed) == len(sources):
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed[:10])
        raise InputError(
            f"Nothing could be read:\n{reasons}", "Correct or leave out these files and run again."
        )
    return tuple(failed)
