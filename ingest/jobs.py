"""What a worker does with one file: reads it, writes what was read, answers with a row for the report."""

from __future__ import annotations

import atexit
import hashlib
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from fde.artifacts import PRIVATE_DIR, PRIVATE_FILE, write_bytes, write_json
from ingest.document import Document
from ingest.documents import read_document
from ingest.duplicates import signature
from ingest.formats.eventlog import LogColumns
from ingest.rebuild import shared_browser
from ingest.recording import Recording
from ingest.recordings import read_recordings


def documents(task: dict[str, Any]) -> dict[str, Any]:
    """Read a document.

    Args:
        task: ``path``; ``source``, what it is called; ``folder``, where ``documents/<id>.json`` are written
            (None: nowhere); ``seconds``, the time there is.

    Returns:
        Counts; ``made``, a row for each document; ``left_out``, a row for each part that could not be read;
        ``signatures``, by document id.
    """
    path = Path(task["path"])
    reading = read_document(path, task["source"], seconds=task["seconds"])
    if task["folder"] is not None:
        folder = _private(Path(task["folder"]) / "documents")
        for document in reading.documents:
            write_json(folder / f"{document.id}.json", document.model_dump(mode="json"), mode=PRIVATE_FILE)
    rows = [document_row(document) for document in reading.documents]
    signed = {document.id: signature(document.text) for document in reading.documents}
    return {
        "documents": len(rows),
        "characters": sum(row["characters"] for row in rows),
        "tables": sum(row["tables"] for row in rows),
        "chunks": sum(row["chunks"] for row in rows),
        "warnings": sum(len(row["warnings"]) for row in rows),
        "made": rows,
        "left_out": [{"source": part, "error": reason} for part, reason in reading.left_out],
        "signatures": {name: value for name, value in signed.items() if value is not None},
    }


def document_row(document: Document) -> dict[str, Any]:
    """What is told of a document without its text."""
    return {
        "id": document.id,
        "source": document.source,
        "media_type": document.media_type,
        "title": document.title,
        "dated": document.dated,
        "language": document.language,
        "duplicate_of": document.duplicate_of,
        "characters": len(document.text),
        "tables": len(document.tables),
        "chunks": len(document.chunks),
        "warnings": list(document.warnings),
    }


def recordings(task: dict[str, Any]) -> dict[str, Any]:
    """Read the recordings of a file.

    Args:
        task: As for :func:`documents`; pages and pictures are written to ``blobs/``, recordings under
            hidden names that say the source, until all ids are known. ``replay`` is the address of a
            staging copy on which scripts are carried out, ``columns`` what is said of event logs.

    Returns:
        Counts; ``made``, a row for each recording; ``ids``, as the recordings have them; ``parts``, the
        files written; ``blobs``, their names.
    """
    _share_browser()
    path = Path(task["path"])
    if task["replay"] is not None:
        from ingest.replay import replay_file

        found = replay_file(path, task["replay"])
    else:
        found = read_recordings(path, LogColumns.model_validate(task["columns"]))
    key = hashlib.sha256(task["source"].encode("utf-8", "surrogatepass")).hexdigest()[:16]
    made = [
        recording.model_copy(update={"id": plain_id(recording.id), "source": task["source"]})
        for recording in found.recordings
    ]
    parts = [f".{key}-{number}.json" for number in range(len(made))]
    if task["folder"] is not None:
        folder = _private(Path(task["folder"]) / "recordings")
        blobs = _private(Path(task["folder"]) / "blobs")
        for name, data in found.blobs.items():
            if not (blobs / name).is_file():
                write_bytes(blobs / name, data, mode=PRIVATE_FILE)
        for part, recording in zip(parts, made, strict=True):
            write_json(folder / part, recording.model_dump(mode="json"), mode=PRIVATE_FILE)
    return {
        "recordings": len(made),
        "steps": sum(len(recording.steps) for recording in made),
        "warnings": sum(len(recording.warnings) for recording in made),
        "made": [recording_row(recording) for recording in made],
        "ids": [recording.id for recording in made],
        "parts": parts,
        "blobs": sorted(found.blobs),
    }


@cache
def _share_browser() -> None:
    """Let all recordings that this process reads use one browser, which is closed when it ends."""
    stack = ExitStack()
    stack.enter_context(shared_browser())
    atexit.register(stack.close)


def recording_row(recording: Recording) -> dict[str, Any]:
    """What is told of a recording without its pages."""
    snapshots = {
        (snapshot.url, snapshot.text)
        for step in recording.steps
        for snapshot in (step.before, step.after)
        if snapshot is not None
    }
    return {
        "id": recording.id,
        "workflow": recording.workflow,
        "instruction": recording.instruction,
        "source": recording.source,
        "source_format": recording.source_format,
        "steps": len(recording.steps),
        "actions": [step.action.text() for step in recording.steps],
        "snapshots": len(snapshots),
        "effects": sum(len(step.effects) for step in recording.steps),
        "warnings": list(recording.warnings),
    }


def plain_id(name: str) -> str:
    """An id as a file name."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)
    return plain.strip(".-")[:100] or "recording"


def _private(folder: Path) -> Path:
    folder.mkdir(exist_ok=True, mode=PRIVATE_DIR)
    return folder
