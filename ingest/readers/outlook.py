"""Outlook's mails (.msg): the head, the text, and the attachments as files of their own.

The format ([MS-OXMSG]) keeps each property of a message as a stream of its own,
named by the property's number and type. Attached mails are storages with the same
layout; they are made into mails of the plain kind and read as such.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import struct
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from fde.errors import InputError
from ingest.blocks import Block, Content, one_line
from ingest.readers.html import read_html
from ingest.readers.texts import read_text, rtf_text

MAX_ATTACHMENTS = 200
MAX_DEPTH = 10

# Properties by number ([MS-OXPROPS]).
SUBJECT, SENT, HEADERS, RECEIVED = 0x0037, 0x0039, 0x007D, 0x0E06
SENDER, SENDER_ADDRESS, SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
TO, CC = 0x0E04, 0x0E03
BODY, RTF, HTML = 0x1000, 0x1009, 0x1013
CODEPAGE, BODY_CODEPAGE = 0x3FFD, 0x3FDE
DATA, FILE_NAME, LONG_FILE_NAME, DISPLAY_NAME, HIDDEN = 0x3701, 0x3704, 0x3707, 0x3001, 0x7FFE
CONTENT_ID = 0x3712
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp")
_UNICODE, _NARROW, _BINARY, _STORAGE = "001F", "001E", "0102", "000D"
_TIME, _LONG, _BOOLEAN = 0x0040, 0x0003, 0x000B
_EPOCH = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)


def read_msg(data: bytes) -> Content:
    """A mail's head and text as blocks, its date, and its attachments."""
    import olefile

    with olefile.OleFileIO(io.BytesIO(data)) as opened:
        return _content(_Message(opened, ()), 0)


@dataclass
class _Message:
    """A message's (or attachment's) properties; ``path`` is its storage in the file."""

    file: Any
    path: tuple[str, ...]

    def stream(self, number: int, kind: str) -> bytes | None:
        path = [*self.path, f"__substg1.0_{number:04X}{kind}"]
        return bytes(self.file.openstream(path).read()) if self.file.exists(path) else None

    def text(self, number: int) -> str:
        """A property of text; empty when it is not there."""
        data = self.stream(number, _UNICODE)
        if data is not None:
            return data.decode("utf-16-le", "replace").rstrip("\0")
        data = self.stream(number, _NARROW)
        return "" if data is None else self.decode(data).rstrip("\0")

    def decode(self, data: bytes, number: int = CODEPAGE) -> str:
        page = self.fixed(number, _LONG)
        codec = "utf-8" if page == 65001 else f"cp{page}" if page else "cp1252"
        try:
            return data.decode(codec, "replace")
        except LookupError:
            return data.decode("cp1252", "replace")

    def fixed(self, number: int, kind: int) -> int | None:
        """A property of fixed length, from the table of properties."""
        path = [*self.path, "__properties_version1.0"]
        if not self.file.exists(path):
            return None
        table = self.file.openstream(path).read()
        top = not self.path
        start = 32 if top else 24 if self.path[-1].startswith("__substg1.0_3701") else 8
        for at in range(start, len(table) - 15, 16):
            tag, _, value = struct.unpack_from("<IIQ", table, at)
            if tag == number << 16 | kind:
                mask = 0xFFFFFFFF if kind == _LONG else 0xFF if kind == _BOOLEAN else 2**64 - 1
                return int(value) & mask
        return None

    def children(self, prefix: str) -> list[_Message]:
        depth = len(self.path)
        names = {
            path[depth]
            for path in self.file.listdir(streams=True, storages=False)
            if len(path) > depth + 1 and tuple(path[:depth]) == self.path and path[depth].startswith(prefix)
        }
        return [_Message(self.file, (*self.path, name)) for name in sorted(names)]


def _head(message: _Message) -> dict[str, str]:
    address = next(filter(None, (message.text(key) for key in (SENDER_SMTP, SENDER_ADDRESS))), "")
    address = address if "@" in address else ""  # else a name inside Exchange
    sender = one_line(message.text(SENDER))
    if address and address != sender:
        sender = f"{sender} <{address}>".strip()
    sent = message.fixed(SENT, _TIME) or message.fixed(RECEIVED, _TIME)
    head = {
        "From": sender,
        "To": one_line(message.text(TO)),
        "Cc": one_line(message.text(CC)),
        "Date": _time(sent).strftime("%a, %d %b %Y %H:%M:%S +0000") if sent else "",
        "Subject": one_line(re.sub(r"^\x01.", "", message.text(SUBJECT), flags=re.DOTALL)),
    }
    return {name: value for name, value in head.items() if value}


def _time(ticks: int) -> dt.datetime:
    """A point in time given in tenths of microseconds since 1601."""
    try:
        return _EPOCH + dt.timedelta(microseconds=ticks // 10)
    except OverflowError as error:
        raise InputError("its date is out of range") from error


def _content(message: _Message, depth: int) -> Content:
    head = _head(message)
    sent = message.fixed(SENT, _TIME) or message.fixed(RECEIVED, _TIME)
    content = Content(
        [], title=head.get("Subject", ""), dated=_time(sent).date().isoformat() if sent else None
    )
    if head:
        lines = "\n".join(f"{name}: {value}" for name, value in head.items())
        content.blocks.append(Block("paragraph", lines))
    kind, text = _body(message)
    read = read_html(text) if kind == "html" else read_text(text.encode("utf-8", "replace"))
    content.blocks += read.blocks
    if not content.blocks:
        raise InputError("it has neither a mail head nor a text")
    for number, part in enumerate(message.children("__attach_version1.0_"), 1):
        if number > MAX_ATTACHMENTS:
            content.warnings.append(f"Only the first {MAX_ATTACHMENTS} attachments were read.")
            break
        name = part.text(LONG_FILE_NAME) or part.text(FILE_NAME) or part.text(DISPLAY_NAME)
        name = one_line(name).replace("/", "_").replace("\\", "_") or f"attachment-{number}"
        inline = part.text(CONTENT_ID) and name.lower().endswith(PICTURES)
        if part.fixed(HIDDEN, _BOOLEAN) or inline:  # a picture inside the text
            continue
        data = part.stream(DATA, _BINARY)
        inner = _Message(part.file, (*part.path, f"__substg1.0_{DATA:04X}{_STORAGE}"))
        if data:
            content.attachments.append((name, data))
        elif part.file.exists([*inner.path, "__properties_version1.0"]) and depth < MAX_DEPTH:
            mail = name if name.lower().endswith((".eml", ".msg")) else f"{name}.eml"
            content.attachments.append((mail.rsplit(".", 1)[0] + ".eml", _as_mail(inner, depth + 1)))
        else:
            content.warnings.append(f"The attachment {name} is empty, or a link to a file elsewhere.")
    return content


def _body(message: _Message) -> tuple[str, str]:
    """Kind (``plain`` or ``html``) and text: the plain one, else that of the page, else the rich one."""
    plain = message.text(BODY)
    if plain.strip():
        return "plain", plain
    page = message.stream(HTML, _BINARY)
    text = message.decode(page, BODY_CODEPAGE) if page else message.text(HTML)
    if text.strip():
        return "html", text
    rich = message.stream(RTF, _BINARY)
    if rich:
        from compressed_rtf import decompress

        return "plain", rtf_text(decompress(rich))
    return "plain", ""


def _as_mail(message: _Message, depth: int) -> bytes:
    """An attached message as a mail of the plain kind, with its own attachments."""
    mail = EmailMessage()
    for name, value in _head(message).items():
        mail[name] = value
    kind, text = _body(message)
    mail.set_content(text, subtype=kind)
    for name, data in _content(message, depth).attachments:
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()
