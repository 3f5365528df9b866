"""Files for the tests of readers, made byte by byte: PDFs, Microsoft's compound files, Outlook's mails."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ingest.document import Document, Table
from ingest.documents import Reading, read_bytes

Drawn = str


def reading(name: str, data: bytes) -> Reading:
    """What a file holds."""
    return read_bytes(data, name, Path(name))


def one(name: str, data: bytes) -> Document:
    """The one document of a file."""
    (document,) = reading(name, data).documents
    return document


def cells(table: Table) -> list[tuple[str, ...]]:
    """A table's header and rows."""
    return [table.header, *table.rows]


def text(x: float, y: float, words: str, size: float = 10, font: str = "F1") -> Drawn:
    """Words at a place of a page of 600 × 800 points; y runs up."""
    safe = words.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /{font} {size} Tf {x} {y} Td ({safe}) Tj ET\n"


def rule(x0: float, y0: float, x1: float, y1: float) -> Drawn:
    """A line."""
    return f"0.5 w {x0} {y0} m {x1} {y1} l S\n"


def box(x: float, y: float, width: float, height: float) -> Drawn:
    """The border of a box."""
    return f"0.5 w {x} {y} {width} {height} re S\n"


def pdf(*pages: Sequence[Drawn] | Drawn, head: str = "", page: str = "") -> bytes:
    """A PDF of the pages drawn; F1 is Helvetica, F2 bold. ``head`` and ``page`` go into trailer and pages."""
    kids = " ".join(f"{5 + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>",
    ]
    for drawn in pages:
        content = "".join(drawn)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(objects) + 2} 0 R {page}"
            " /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}endstream")
    out = "%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {head}>>\nstartxref\n{start}\n%%EOF\n"
    return out.encode("latin-1")


def picture_of(lines: Sequence[str], kind: str = "PNG", size: int = 40) -> bytes:
    """A picture (or, as ``PDF``, a scanned page) of lines of text."""
    made = Image.new("L", (1600, 200 + 80 * len(lines)), 255)
    draw = ImageDraw.Draw(made)
    for at, line in enumerate(lines):
        draw.text((100, 100 + 80 * at), line, fill=0, font=ImageFont.load_default(size))
    buffer = io.BytesIO()
    made.save(buffer, kind)
    return buffer.getvalue()


_SECTOR = 512
_FREE, _END = 0xFFFFFFFF, 0xFFFFFFFE


def compound(streams: dict[str, bytes]) -> bytes:
    """A compound file ([MS-CFB]) with streams by path, padded with zeros so that none is small."""
    tree: dict[str, object] = {}
    for path, data in streams.items():
        *above, name = path.split("/")
        folder = tree
        for part in above:
            folder = folder.setdefault(part, {})  # type: ignore[assignment]
        folder[name] = data.ljust(4096, b"\0")
    entries: list[list[object]] = [["Root Entry", 5, _FREE, _FREE, 0]]
    sectors = b""
    fat: list[int] = []

    def add(folder: dict[str, object]) -> int:
        nonlocal sectors
        first = previous = _FREE
        for name in sorted(folder, key=lambda name: (len(name), name.upper())):
            number = len(entries)
            entry: list[object] = [name, 1, _FREE, _FREE, 0]  # name, type, right, child, data
            entries.append(entry)
            if previous == _FREE:
                first = number
            else:
                entries[previous][2] = number
            previous = number
            inner = folder[name]
            if isinstance(inner, dict):
                entry[1], entry[3] = 1, add(inner)
            else:
                assert isinstance(inner, bytes)
                padded = inner.ljust(-(-len(inner) // _SECTOR) * _SECTOR, b"\0")
                start = len(fat)
                fat.extend(range(start + 1, start + len(padded) // _SECTOR))
                fat.append(_END)
                sectors += padded
                entry[1], entry[4] = 2, (start, len(inner))
        return first

    entries[0][3] = add(tree)
    directory = b""
    for name, kind, right, child, data in entries:
        start, size = data if isinstance(data, tuple) else (_END if kind == 5 else 0, 0)
        encoded = (str(name) + "\0").encode("utf-16-le")
        directory += struct.pack(
            "<64sHBBIII16sIQQIQ",
            encoded,
            len(encoded),
            kind,
            1,
            _FREE,
            right,
            child,
            b"",
            0,
            0,
            0,
            start,
            size,
        )
    directory = directory.ljust(-(-len(directory) // _SECTOR) * _SECTOR, b"\0")
    at_directory = len(fat)
    fat.extend(range(at_directory + 1, at_directory + len(directory) // _SECTOR))
    fat.append(_END)
    tables = 1
    while len(fat) + tables > tables * (_SECTOR // 4):
        tables += 1
    at_fat = len(fat)
    fat.extend([0xFFFFFFFD] * tables)
    packed = struct.pack(f"<{len(fat)}I", *fat).ljust(tables * _SECTOR, b"\xff")
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"",
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        b"",
        0,
        tables,
        at_directory,
        0,
        4096,
        _END,
        0,
        _END,
        0,
    )
    header += struct.pack("<109I", *[at_fat + at if at < tables else _FREE for at in range(109)])
    return header + sectors + directory + packed


def outlook(
    subject: str,
    body: str = "",
    sender: str = "Ann Lee",
    sent: int = 133_540_000_000_000_000,
    files: dict[str, bytes | dict[str, bytes]] | None = None,
    **more: bytes,
) -> dict[str, bytes]:
    """The streams of an Outlook mail; an attached mail is given as its own. ``more`` are streams by tag."""
    table = bytes(32) + struct.pack("<IIQ", 0x0039_0040, 6, sent)
    streams = {
        "__properties_version1.0": table,
        "__substg1.0_0037001F": subject.encode("utf-16-le"),
        "__substg1.0_0C1A001F": sender.encode("utf-16-le"),
        "__substg1.0_0C1F001F": "ann@x.example".encode("utf-16-le"),
        "__substg1.0_0E04001F": "Bob".encode("utf-16-le"),
        **{f"__substg1.0_{tag}": data for tag, data in more.items()},
    }
    if body:
        streams["__substg1.0_1000001F"] = body.encode("utf-16-le")
    for number, (name, data) in enumerate((files or {}).items()):
        folder = f"__attach_version1.0_#{number:08X}/"
        streams[folder + "__substg1.0_3707001F"] = name.encode("utf-16-le")
        streams[folder + "__properties_version1.0"] = bytes(8)
        if isinstance(data, bytes):
            streams[folder + "__substg1.0_37010102"] = data
        else:
            for path, inner in data.items():
                inner = inner[:24] + inner[32:] if path == "__properties_version1.0" else inner
                streams[f"{folder}__substg1.0_3701000D/{path}"] = inner
    return streams
