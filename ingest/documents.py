"""Documents of any supported format: text, tables and passages with their places.

The format is told by content, not by name alone. Attachments of mails and the
files of archives are documents of their own (``mail.eml!table.xlsx``). Nothing
in a file is run and no address in it is asked.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fde.errors import InputError, MissingError
from ingest.blocks import Content, assemble
from ingest.document import Document
from ingest.kinds import MEDIA_TYPES, File, kind_of
from ingest.language import language_of

# Halves of surrogate pairs come from names and texts in unknown encodings; no file can hold them.
_HALVES = re.compile("[\ud800-\udfff]")
MAX_BYTES = 500_000_000
MAX_DEPTH = 5
MAX_FILES = 2_000
DEFAULT_SECONDS = 300.0


@dataclass
class Reading:
    """What a file held.

    Attributes:
        documents: The file's own first, then those of its attachments or entries.
        left_out: Attachments and entries that could not be read, as ``(source, reason)``.
    """

    documents: list[Document] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def read_document(path: Path, source: str | None = None, *, seconds: float = DEFAULT_SECONDS) -> Reading:
    """The documents of a file.

    Args:
        path: The file.
        source: What to call it; default: its name.
        seconds: How long it may take: text recognition ends in time and says what it left out.

    Raises:
        MissingError: when there is no such file.
        InputError: when it cannot be read; the message says why.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such file.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{path}: {size // 10**6} MB; at most {MAX_BYTES // 10**6} MB are read.")
    return read_bytes(path.read_bytes(), source or path.name, path, seconds=seconds)


def read_bytes(data: bytes, source: str, path: Path, *, seconds: float = DEFAULT_SECONDS) -> Reading:
    """As :func:`read_document`, for content that is already in memory; ``path`` is for messages."""
    found = Reading()
    # A part of the time is kept for what comes after text recognition.
    reader = _Reader(found, time.monotonic() + 0.8 * seconds)
    try:
        reader.read(File(source, data), 0)
    except InputError as error:
        told = error.message.removeprefix(f"{path.name}: ").rstrip(".")
        message = error.message if str(path) in error.message else f"{path}: {told}."
        raise InputError(message, error.hint) from error
    except RecursionError as error:
        raise InputError(f"{path}: it is nested too deeply.") from error
    return found


@dataclass
class _Reader:
    """Reads a file and all that is in it."""

    found: Reading
    until: float
    parts: int = 0

    def read(self, file: File, depth: int) -> None:
        if not file.data.strip(b" \t\r\n\0"):
            raise InputError("it is empty")
        kind = kind_of(file)
        if kind == "zip":
            self.unpack(file, depth)
            return
        try:
            content = _READERS[kind](file, self.until)
        except (InputError, MemoryError, RecursionError):
            raise
        except Exception as error:  # what damaged files make libraries do is not foreseen by them either
            raise InputError(f"it is damaged: {type(error).__name__}: {error}") from error
        place = len(self.found.documents)
        warnings = list(content.warnings)
        warnings += self.attached(
            [(f"{file.source}!{name}", data) for name, data in content.attachments], depth
        )
        self.found.documents.insert(place, _document(file, kind, content, warnings))

    def attached(self, parts: list[tuple[str, bytes | InputError]], depth: int) -> list[str]:
        """Read parts of a file; those left out are noted, and told in the warnings returned."""
        warnings: list[str] = []
        for source, data in parts:
            begun = len(self.found.documents), len(self.found.left_out)
            self.parts += 1
            try:
                if isinstance(data, InputError):
                    raise data
                if depth >= MAX_DEPTH:
                    raise InputError("nested too deeply")
                if self.parts > MAX_FILES:
                    raise InputError(f"only {MAX_FILES} parts of a file are read")
                self.read(File(source, data), depth + 1)
            except (InputError, RecursionError) as error:
                reason = error.message if isinstance(error, InputError) else "nested too deeply"
                del self.found.documents[begun[0] :], self.found.left_out[begun[1] :]
                self.found.left_out.append((source, reason.removeprefix(f"{source}: ")))
                warnings.append(f"The part {source.rpartition('!')[2]} was left out: {reason}")
        return warnings

    def unpack(self, file: File, depth: int) -> None:
        begun = len(self.found.documents)
        with file.archive() as archive:
            names = [name for name in archive.names if not name.endswith("/") and not _is_litter(name)]
            if len(names) > MAX_FILES:
                raise InputError(f"the archive holds {len(names)} files; at most {MAX_FILES} are read")
            for name in sorted(names):
                source = f"{file.source}!{name}"
                try:
                    entry: bytes | InputError = archive.read(name)
                except InputError as error:
                    entry = error
                self.attached([(source, entry)], depth)
        if len(self.found.documents) == begun:
            reasons = [reason for _, reason in self.found.left_out[-1:]]
            raise InputError("nothing in the archive can be read" + "".join(f" ({r})" for r in reasons))


def _is_litter(name: str) -> bool:
    parts = name.split("/")
    return (
        parts[0] == "__MACOSX"
        or parts[-1].startswith(".")
        or parts[-1].lower() in ("thumbs.db", "desktop.ini")
    )


def _document(file: File, kind: str, content: Content, warnings: list[str]) -> Document:
    made = assemble(content.blocks)
    if not made.text:
        warnings.append("No text was found.")
    document = Document(
        id=document_id(file.source, file.data),
        source=file.source,
        media_type=content.media_type or MEDIA_TYPES[kind],
        title=content.title,
        dated=content.dated,
        language=language_of(made.text),
        text=made.text,
        tables=made.tables,
        chunks=made.chunks,
        warnings=tuple(warnings),
    )
    if _HALVES.search("".join((made.text, content.title, file.source, *warnings))):
        plain = json.dumps(document.model_dump(mode="json"), ensure_ascii=False)
        document = Document.model_validate_json(plain.encode("utf-8", "replace"))
    return document


def document_id(source: str, data: bytes) -> str:
    """A name for a document that is the same whenever source and content are."""
    slug = re.sub(r"[^a-z0-9]+", "-", source.lower()).strip("-")[-40:].strip("-")
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass") + b"\0" + data).hexdigest()
    return f"{slug or 'document'}-{digest[:8]}"


# Readers are imported when the first file of their kind comes: each brings libraries of its own.


def _docx(file: File, until: float) -> Content:
    from ingest.readers.word import read_docx

    with file.archive() as archive:
        return read_docx(archive)


def _xlsx(file: File, until: float) -> Content:
    from ingest.readers.sheets import read_xlsx

    with file.archive() as archive:
        return read_xlsx(file.data, archive)


def _xls(file: File, until: float) -> Content:
    from ingest.readers.sheets import read_xls

    return read_xls(file.data)


def _pptx(file: File, until: float) -> Content:
    from ingest.readers.slides import read_pptx

    with file.archive():  # refuses hostile archives before another library opens it
        return read_pptx(file.data)


def _pdf(file: File, until: float) -> Content:
    from ingest.readers.pdf import read_pdf

    return read_pdf(file.data, until)


def _picture(file: File, until: float) -> Content:
    from ingest.readers.picture import read_picture

    return read_picture(file.data, until)


def _html(file: File, until: float) -> Content:
    from ingest.readers.html import read_html

    return read_html(file.data)


def _md(file: File, until: float) -> Content:
    from ingest.readers.texts import read_markdown

    return read_markdown(file.data)


def _csv(file: File, until: float) -> Content:
    from ingest.readers.texts import read_csv

    return read_csv(file.data, file.stem)


def _txt(file: File, until: float) -> Content:
    from ingest.readers.texts import read_text

    return read_text(file.data)


def _rtf(file: File, until: float) -> Content:
    from ingest.readers.texts import read_rtf

    return read_rtf(file.data)


def _eml(file: File, until: float) -> Content:
    from ingest.readers.mail import read_eml

    return read_eml(file.data)


def _msg(file: File, until: float) -> Content:
    from ingest.readers.outlook import read_msg

    return read_msg(file.data)


_READERS: dict[str, Callable[[File, float], Content]] = {
    "docx": _docx,
    "xlsx": _xlsx,
    "xls": _xls,
    "pptx": _pptx,
    "pdf": _pdf,
    "picture": _picture,
    "html": _html,
    "md": _md,
    "csv": _csv,
    "txt": _txt,
    "rtf": _rtf,
    "eml": _eml,
    "msg": _msg,
}
