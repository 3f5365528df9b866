"""Documents of any supported format: text, tables and passages with their places.

The format is told by content, not by name alone. Attachments of mails and the
files of archives are documents of their own (``mail.eml!table.xlsx``). Nothing
in a file is run and no address in it is asked.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fde.errors import InputError, MissingError
from ingest.blocks import Content, assemble
from ingest.document import Document
from ingest.formats.base import Archive

MAX_BYTES = 100_000_000
MAX_DEPTH = 3
MAX_FILES = 500
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAIL_HEAD = re.compile(
    rb"(?:[A-Za-z][A-Za-z0-9-]*:[^\n]*\n(?:[ \t][^\n]*\n)*)*?(?:From|Subject|Date):", re.IGNORECASE
)
_OFFICE = "application/vnd.openxmlformats-officedocument."
MEDIA_TYPES = {
    "docx": f"{_OFFICE}wordprocessingml.document",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "pptx": f"{_OFFICE}presentationml.presentation",
    "pdf": "application/pdf",
    "html": "text/html",
    "md": "text/markdown",
    "csv": "text/csv",
    "txt": "text/plain",
    "eml": "message/rfc822",
    "zip": "application/zip",
}


@dataclass(frozen=True)
class _File:
    """A file or a part of one, as named to people."""

    source: str
    data: bytes

    @property
    def suffix(self) -> str:
        name = self.source.rpartition("!")[2]
        return Path(name).suffix.lower().lstrip(".")

    @property
    def stem(self) -> str:
        return Path(self.source.rpartition("!")[2]).stem


def read_document(path: Path, source: str | None = None) -> list[Document]:
    """The document of a file, followed by those of its attachments.

    Args:
        path: The file.
        source: What to call it; default: its name.

    Raises:
        MissingError: when there is no such file.
        InputError: when it cannot be read; the message says why.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such file.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{path}: {size // 10**6} MB; at most {MAX_BYTES // 10**6} MB are read.")
    return read_bytes(path.read_bytes(), source or path.name, path)


def read_bytes(data: bytes, source: str, path: Path) -> list[Document]:
    """As :func:`read_document`, for content that is already in memory; ``path`` is for messages."""
    try:
        return _documents(_File(source, data), path, 0)
    except InputError as error:
        message = error.message if str(path) in error.message else f"{path}: {error.message}."
        raise InputError(message, error.hint) from error
    except RecursionError as error:
        raise InputError(f"{path}: it is nested too deeply.") from error


def _documents(file: _File, path: Path, depth: int) -> list[Document]:
    if not file.data.strip():
        raise InputError("it is empty")
    kind = kind_of(file)
    if kind == "zip":
        return _archive(file, depth)
    content = _READERS[kind](file)
    made = assemble(content.blocks)
    warnings = list(content.warnings)
    found: list[Document] = []
    for name, data in content.attachments:
        if depth >= MAX_DEPTH or len(found) >= MAX_FILES:
            warnings.append(f"The attachment {name} was left out: nested too deeply.")
            continue
        try:
            found.extend(_documents(_File(f"{file.source}!{name}", data), path, depth + 1))
        except (InputError, RecursionError) as error:
            reason = error.message if isinstance(error, InputError) else "nested too deeply"
            warnings.append(f"The attachment {name} was left out: {reason}")
    if not made.text:
        warnings.append("No text was found.")
    document = Document(
        id=document_id(file.source, file.data),
        source=file.source,
        media_type=MEDIA_TYPES[kind],
        title=content.title,
        dated=content.dated,
        text=made.text,
        tables=made.tables,
        chunks=made.chunks,
        warnings=tuple(warnings),
    )
    return [document, *found]


def document_id(source: str, data: bytes) -> str:
    """A name for a document that is the same whenever source and content are."""
    slug = re.sub(r"[^a-z0-9]+", "-", source.lower()).strip("-")[-40:].strip("-")
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass") + b"\0" + data).hexdigest()
    return f"{slug or 'document'}-{digest[:8]}"


def kind_of(file: _File) -> str:
    """The format of a file, by its content first and its name second.

    Raises:
        InputError: for formats that are not read, saying what to do about it.
    """
    data = file.data
    if data.startswith(b"%PDF") or b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith(b"PK"):
        with _open(file) as archive:
            names = set(archive.names)
        for name, kind in (
            ("word/document.xml", "docx"),
            ("xl/workbook.xml", "xlsx"),
            ("ppt/presentation.xml", "pptx"),
        ):
            if name in names:
                return kind
        return "zip"
    if data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data[:200_000]:
            raise InputError("it is protected by a password; save it without one")
        better = {"msg": ".eml", "xls": ".xlsx", "ppt": ".pptx"}.get(file.suffix, ".docx")
        raise InputError(f"the old binary Office format is not read; save it as {better}")
    head = data[:2000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if file.suffix in ("eml", "mht", "mhtml") or (file.suffix == "" and _MAIL_HEAD.match(head)):
        return "eml"
    if file.suffix in ("html", "htm", "xhtml") or re.match(rb"<!doctype html|<html", head, re.IGNORECASE):
        return "html"
    return {"md": "md", "markdown": "md", "csv": "csv", "tsv": "csv"}.get(file.suffix, "txt")


def _open(file: _File) -> Archive:
    return Archive(Path(file.source), io.BytesIO(file.data))


def _archive(file: _File, depth: int) -> list[Document]:
    found: list[Document] = []
    problems: list[str] = []
    with _open(file) as archive:
        names = [name for name in archive.names if not name.endswith("/") and not _is_litter(name)]
        if len(names) > MAX_FILES:
            raise InputError(f"the archive holds {len(names)} files; at most {MAX_FILES} are read")
        for name in sorted(names):
            try:
                if depth >= MAX_DEPTH:
                    raise InputError("archives are nested too deeply")
                inner = _File(f"{file.source}!{name}", archive.read(name))
                found.extend(_documents(inner, Path(name), depth + 1))
            except InputError as error:
                problems.append(f"{name} was left out: {error.message}")
    if not found:
        raise InputError("nothing in the archive can be read" + (f" ({problems[0]})" if problems else ""))
    if problems:
        first = found[0]
        found[0] = first.model_copy(update={"warnings": (*first.warnings, *problems)})
    return found


def _is_litter(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".")


def _docx(file: _File) -> Content:
    from ingest.readers.office import read_docx

    with _open(file) as archive:
        return read_docx(archive)


def _xlsx(file: _File) -> Content:
    from ingest.readers.office import read_xlsx

    with _open(file) as archive:
        return read_xlsx(file.data, archive)


def _pdf(file: _File) -> Content:
    from ingest.readers.pdf import read_pdf

    return read_pdf(file.data)


def _html(file: _File) -> Content:
    from ingest.readers.texts import read_html

    return read_html(file.data)


def _md(file: _File) -> Content:
    from ingest.readers.texts import read_markdown

    return read_markdown(file.data)


def _csv(file: _File) -> Content:
    from ingest.readers.texts import read_csv

    return read_csv(file.data, file.stem)


def _txt(file: _File) -> Content:
    from ingest.readers.texts import read_text

    return read_text(file.data)


def _eml(file: _File) -> Content:
    from ingest.readers.mail import read_eml

    return read_eml(file.data)


def _markitdown(file: _File) -> Content:
    """Formats that have no reader of ours yet: Markdown as markitdown makes it."""
    from markitdown import MarkItDown, MarkItDownException, StreamInfo

    from ingest.readers.texts import read_markdown

    try:
        made = MarkItDown(enable_plugins=False).convert_stream(
            io.BytesIO(file.data), stream_info=StreamInfo(extension=f".{file.suffix}")
        )
    except MarkItDownException as error:
        raise InputError(f"it cannot be read: {str(error).splitlines()[0]}") from error
    return read_markdown(made.markdown.encode("utf-8"))


_READERS: dict[str, Callable[[_File], Content]] = {
    "docx": _docx,
    "xlsx": _xlsx,
    "pptx": _markitdown,
    "pdf": _pdf,
    "html": _html,
    "md": _md,
    "csv": _csv,
    "txt": _txt,
    "eml": _eml,
}
