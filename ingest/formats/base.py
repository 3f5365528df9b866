"""What every recording format provides, and the guard for archives of unknown origin."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from fde.errors import InputError
from ingest.recording import Recording

MAX_FILE_BYTES = 200_000_000  # where an importer has no ``max_bytes`` of its own
MAX_ENTRIES = 20_000
MAX_ENTRY_BYTES = 50_000_000
MAX_TOTAL_BYTES = 500_000_000
MAX_RATIO = 200  # deflate reaches about 1000 on zeros; text and pictures stay far below this


@dataclass
class Read:
    """What an importer found: the recordings of one file, and their blobs by name."""

    recordings: list[Recording]
    blobs: dict[str, bytes] = field(default_factory=dict)


class Importer(Protocol):
    """Reads one format."""

    name: str

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the file is of this format; ``head`` is its first 4096 bytes. Never raises."""
        ...

    def read(self, path: Path) -> Read:
        """Read the file.

        Raises:
            InputError: naming the file, what is wrong with it and where.
        """
        ...


def blob_name(data: bytes, extension: str) -> str:
    """The name of a blob: its digest."""
    return f"{hashlib.sha256(data).hexdigest()}.{extension}"


def entry_names(path: Path) -> list[str]:
    """The names in a zip archive, empty when it is none. Never raises."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()[:MAX_ENTRIES]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


class Archive:
    """A zip archive that nobody vouches for: every limit is checked before a byte is unpacked.

    Nothing is ever written to a path named in it: entries are read into memory.
    """

    def __init__(self, path: Path, stream: BinaryIO | None = None) -> None:
        """Open ``path``, or ``stream`` where the archive is in memory and ``path`` only names it."""
        self.path = path
        try:
            self._zip = zipfile.ZipFile(stream or path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            told = str(error).rstrip(".")
            raise InputError(f"{path}: damaged zip archive: {told}.", "Copy or record it again.") from error
        entries = self._zip.infolist()
        try:
            self._check(entries)
        except BaseException:
            self._zip.close()
            raise
        self.names = [entry.filename for entry in entries]

    def _check(self, entries: list[zipfile.ZipInfo]) -> None:
        if len(entries) > MAX_ENTRIES:
            raise InputError(f"{self.path}: {len(entries)} entries; at most {MAX_ENTRIES} are read.")
        total = 0
        seen: set[str] = set()
        for entry in entries:
            name = entry.filename
            parts = name.replace("\\", "/").split("/")
            if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
                raise InputError(f"{self.path}: the entry {name[:100]!r} points out of the archive; refused.")
            if name in seen:
                raise InputError(f"{self.path}: the entry {name[:100]!r} comes twice; refused.")
            seen.add(name)
            if entry.flag_bits & 1:
                raise InputError(
                    f"{self.path}: the entry {name[:100]!r} is encrypted.", "Export it without a password."
                )
            total += entry.file_size
            if entry.file_size > MAX_ENTRY_BYTES or total > MAX_TOTAL_BYTES:
                raise InputError(f"{self.path}: unpacks to more than {MAX_TOTAL_BYTES // 10**6} MB; refused.")
            if entry.file_size > 1_000_000 and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
                raise InputError(f"{self.path}: the entry {name[:100]!r} is packed like a bomb; refused.")

    def read(self, name: str) -> bytes:
        """One entry's bytes.

        Raises:
            InputError: when it is missing, damaged, or larger than it says.
        """
        try:
            with self._zip.open(name) as handle:
                limit = self._zip.getinfo(name).file_size
                data = handle.read(limit + 1)
        except KeyError as error:
            raise InputError(
                f"{self.path}: the entry {name!r} is missing.", "Copy or record it again."
            ) from error
        except (
            zipfile.BadZipFile,
            OSError,
            ValueError,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise InputError(f"{self.path}: the entry {name!r} is damaged: {error}.") from error
        except Exception as error:  # zlib.error is not exported by zipfile
            raise InputError(f"{self.path}: the entry {name!r} is damaged: {error}.") from error
        if len(data) > limit:
            raise InputError(f"{self.path}: the entry {name!r} is larger than it says; refused.")
        return data

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
