"""Our own recording format: a zip with ``recording.json`` and ``blobs/<sha256>.<ext>``."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from fde.artifacts import write_bytes
from fde.errors import InputError, first_fault
from ingest.formats.base import Archive, Read, entry_names
from ingest.recording import Recording
from ingest.snapshot import parse

RECORDING = "recording.json"
VERSION = 1
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip can hold: equal recordings give equal files
_BLOB = re.compile(r"blobs/(?P<digest>[0-9a-f]{64})\.(?P<extension>html|webp|jpg|png)")


class FdeRecording:
    """Reads what ``fde record`` writes."""

    name = "fderec"

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"PK") and RECORDING in entry_names(path)

    def read(self, path: Path) -> Read:
        with Archive(path) as archive:
            recording = _recording(path, archive.read(RECORDING))
            blobs = {}
            for name in archive.names:
                match = _BLOB.fullmatch(name)
                if match is None:
                    if name != RECORDING:
                        raise InputError(f"{path}: unexpected entry {name[:100]!r}.")
                    continue
                data = archive.read(name)
                if hashlib.sha256(data).hexdigest() != match["digest"]:
                    raise InputError(f"{path}: the entry {name!r} was changed: its digest differs.")
                blobs[name.removeprefix("blobs/")] = data
        for number, step in enumerate(recording.steps, 1):
            for snapshot in filter(None, (step.before, step.after)):
                for blob in filter(None, (snapshot.dom, snapshot.screenshot)):
                    if blob not in blobs:
                        raise InputError(
                            f"{path}: step {number} names the blob {blob[:80]!r}, which is missing."
                        )
                try:
                    parse(snapshot.text)
                except InputError as error:
                    raise InputError(f"{path}: step {number}: {error.message}") from error
        return Read([recording], blobs)


def _recording(path: Path, data: bytes) -> Recording:
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {RECORDING} is not JSON: {error}.", "Copy or record it again.") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: {RECORDING} holds a {type(raw).__name__}, not an object.")
    version = raw.pop("format", None)
    if version != VERSION:
        raise InputError(
            f"{path}: recording format {version!r}; this version reads {VERSION}.",
            "Use a newer version of the toolkit." if isinstance(version, int) else "Record it again.",
        )
    try:
        return Recording.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{path}: {RECORDING}: {first_fault(error)}.") from error


def write_recording(path: Path, recording: Recording, blobs: Mapping[str, bytes]) -> None:
    """Write a recording atomically; the same recording gives the same bytes."""
    content = {"format": VERSION, **recording.model_dump(mode="json")}
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, RECORDING, text.encode("utf-8"))
        for name in sorted(blobs):
            _add(archive, f"blobs/{name}", blobs[name])
    write_bytes(path, buffer.getvalue())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = 0o600 << 16
    packed = name.endswith((".json", ".html"))
    entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    archive.writestr(entry, data, compresslevel=9 if packed else None)
