"""What a file is: told by its content first and its name second."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

from fde.errors import InputError
from ingest.formats.base import Archive

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAIL_HEAD = re.compile(
    rb"(?:[A-Za-z][A-Za-z0-9-]*:[^\n]*\n(?:[ \t][^\n]*\n)*)*?(?:From|Subject|Date):", re.IGNORECASE
)
_HTML_HEAD = re.compile(
    rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!doctype html|<html|<head|<body|<table)", re.I | re.S
)
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_OFFICE = "application/vnd.openxmlformats-officedocument."
MEDIA_TYPES = {
    "docx": f"{_OFFICE}wordprocessingml.document",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "pptx": f"{_OFFICE}presentationml.presentation",
    "xls": "application/vnd.ms-excel",
    "pdf": "application/pdf",
    "picture": "image/*",
    "html": "text/html",
    "md": "text/markdown",
    "csv": "text/csv",
    "txt": "text/plain",
    "rtf": "application/rtf",
    "eml": "message/rfc822",
    "msg": "application/vnd.ms-outlook",
    "zip": "application/zip",
}
_BY_NAME = {
    "md": "md",
    "markdown": "md",
    "csv": "csv",
    "tsv": "csv",
    "tab": "csv",
    "xls": "csv",  # tables of text that programs export under Excel's name
    "htm": "html",
    "html": "html",
    "xhtml": "html",
    "eml": "eml",
    "mht": "eml",
    "mhtml": "eml",
}


@dataclass(frozen=True)
class File:
    """A file or a part of one, as named to people: ``file``, or ``file!part``."""

    source: str
    data: bytes

    @property
    def suffix(self) -> str:
        """The end of its name, in small letters and without the dot."""
        end = re.search(r"\.(\w{1,10})$", self.source)
        return end[1].lower() if end else ""

    @property
    def stem(self) -> str:
        """Its name without the end."""
        return Path(self.source.rpartition("!")[2]).stem

    def archive(self) -> Archive:
        """Its entries, where it is a zip archive.

        Raises:
            InputError: when it is damaged or hostile.
        """
        return Archive(Path(self.source), io.BytesIO(self.data))


def kind_of(file: File) -> str:
    """The format of a file: a key of ``MEDIA_TYPES``.

    Raises:
        InputError: for formats that are not read, saying what to do about it.
    """
    data = file.data
    head = data[:4000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"%PDF-") or (b"%PDF-" in data[:1024] and file.suffix in ("pdf", "")):
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _packed(file)
    if data.startswith(_OLE):
        return _compound(file)
    if data.startswith(_PICTURES) or (data.startswith(b"BM") and file.suffix == "bmp"):
        return "picture"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "picture"
    if head.startswith(b"{\\rtf"):
        return "rtf"
    named = _BY_NAME.get(file.suffix, "txt")
    if named == "eml" or (file.suffix == "" and _MAIL_HEAD.match(head)):
        return "eml"
    return "html" if named != "md" and _HTML_HEAD.match(head) else named


def _packed(file: File) -> str:
    with file.archive() as archive:
        names = set(archive.names)
    for name, kind in (
        ("word/document.xml", "docx"),
        ("xl/workbook.xml", "xlsx"),
        ("ppt/presentation.xml", "pptx"),
    ):
        if name in names:
            return kind
    if "xl/workbook.bin" in names:
        raise InputError("the binary Excel format is not read; save it as .xlsx")
    if {"mimetype", "content.xml"} <= names:
        better = {"ods": ".xlsx", "odp": ".pptx"}.get(file.suffix, ".docx")
        raise InputError(f"the OpenDocument format is not read; save it as {better}")
    return "zip"


def _compound(file: File) -> str:
    """Formats inside Microsoft's compound files: by the streams they hold."""
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(file.data)) as opened:
            names = {"/".join(path).lower() for path in opened.listdir(streams=True, storages=True)}
    except Exception as error:  # olefile lets errors of all kinds through on damaged files
        raise InputError(f"it is a damaged Office file: {error}") from error
    if "encryptedpackage" in names:
        raise InputError("it is protected by a password; save it without one")
    if "__properties_version1.0" in names:
        return "msg"
    if names & {"workbook", "book"}:
        return "xls"
    better = ".pptx" if "powerpoint document" in names or file.suffix == "ppt" else ".docx"
    raise InputError(f"the old binary Office format is not read; save it as {better}")
