"""Plain text, rich text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

from fde.errors import InputError
from ingest.blocks import Block, Content, one_line
from ingest.language import language_of
from ingest.readers.grid import blocks_of

MAX_ROWS = 200_000
_MAX_FIELD = 10_000_000
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# Legacy encodings of Latin script, with the languages written in them; any other language is in the first.
_LATIN: dict[str, tuple[str, ...]] = {
    "cp1252": (),
    "cp1250": ("pl", "cs", "sk", "hu", "ro", "hr", "sl", "bs", "sq"),
    "cp1254": ("tr", "az"),
    "cp1257": ("lt", "lv", "et"),
}
_LEGACY = [
    *_LATIN,
    *("cp1251", "cp1253", "cp1255", "cp1256", "koi8_r"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
]


def decode(data: bytes) -> tuple[str, list[str]]:
    """Text of unknown encoding, and a warning where the encoding is a guess.

    By its mark, as UTF-8, as UTF-16 or UTF-32 without a mark, else the legacy encoding in which it reads
    as a language.

    Raises:
        InputError: when it is not text.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data.decode(name, "replace").removeprefix("\ufeff"), []
    wide = _wide(data[:8192])
    if wide is not None:
        return data.decode(wide, "replace"), []
    if b"\0" in data[:8192] or _controls(data[:8192]) > 0.05:
        raise InputError("it is a binary file of an unknown kind")
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        broken = _broken_utf8(data)
        if broken is not None:
            line = data[: error.start].count(b"\n") + 1
            return broken, [f"Some characters are damaged, the first on line {line}."]
    name = _legacy(data)
    return data.decode(name, "replace"), [f"Its encoding is not said; it was read as {name}."]


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: zeros where they would be, and text that is of one script."""
    if len(data) < 8 or 0 not in data:
        return None
    zeros = [data[at::4].count(0) / len(data[at::4]) for at in range(4)]
    if min(zeros[2:]) > 0.9:
        return "utf-32-le"
    if min(zeros[:2]) > 0.9:
        return "utf-32-be"
    for name, high in (("utf-16-le", data[1::2]), ("utf-16-be", data[0::2])):
        text = data[: len(data) // 2 * 2].decode(name, "replace")
        readable = sum(character.isprintable() or character.isspace() for character in text)
        pages = Counter(high).most_common(2)  # of Unicode: that of the script, and that of blanks
        if readable > 0.97 * len(text) and sum(count for _, count in pages) > 0.8 * len(text):
            return name
    return None


def _controls(data: bytes) -> float:
    """Share of bytes that no text holds."""
    return sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in data) / max(1, len(data))


def _broken_utf8(data: bytes) -> str | None:
    """UTF-8 with a few damaged places; None when most of what is not ASCII is no UTF-8."""
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    good = sum(character > "\x7f" for character in text) - damaged
    return text if good > 10 * damaged else None


def _legacy(data: bytes) -> str:
    """The legacy encoding of a text.

    Scripts are told apart by their letters. Those of Latin script differ in few letters: there the
    language decides, and where it is not known, Windows Latin.
    """
    import charset_normalizer

    found = charset_normalizer.from_bytes(data[:100_000], cp_isolation=_LEGACY).best()
    if found is not None and found.encoding not in _LATIN:
        return str(found.encoding)
    language = language_of(data[:100_000].decode("cp1250", "replace"))
    return next((name for name, spoken in _LATIN.items() if language in spoken), "cp1252")


def read_text(data: bytes) -> Content:
    """Paragraphs divided by blank lines."""
    text, warnings = decode(data)
    return Content(_paragraphs(text), warnings=warnings)


def _paragraphs(text: str) -> list[Block]:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    parts = re.split(r"\n[ \t]*\n+", text)
    return [Block("paragraph", part.strip("\n")) for part in parts if part.strip()]


def read_rtf(data: bytes) -> Content:
    """The text of a rich-text file, in paragraphs."""
    text = rtf_text(data)
    return Content([block for part in text.split("\n") for block in _paragraphs(part)])


def rtf_text(data: bytes) -> str:
    """The text of a rich-text file."""
    from striprtf.striprtf import rtf_to_text

    return str(rtf_to_text(data.decode("latin-1"), errors="replace"))


_ATX = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*$")
_ITEM = re.compile(r"([ \t]*)(?:[-*+]|\d{1,4}[.)])[ \t]+(.*)")
_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")


def read_markdown(data: bytes) -> Content:
    """Headings, lists, tables and paragraphs of Markdown."""
    text, warnings = decode(data)
    lines = text.replace("\r\n", "\n").split("\n")
    blocks: list[Block] = []
    paragraph: list[str] = []
    title = ""

    def close() -> None:
        if paragraph:
            blocks.append(Block("paragraph", "\n".join(paragraph)))
            paragraph.clear()

    at = 0
    if lines and lines[0].strip() == "---" and "---" in [line.strip() for line in lines[1:60]]:
        end = [line.strip() for line in lines].index("---", 1)
        for line in lines[1:end]:
            key, _, value = line.partition(":")
            title = value.strip().strip("'\"") if key.strip().lower() == "title" else title
        at = end + 1
    while at < len(lines):
        line = lines[at]
        heading = _ATX.fullmatch(line.strip())
        item = _ITEM.fullmatch(line)
        if line.strip().startswith("```"):
            close()
            end = next(
                (i for i in range(at + 1, len(lines)) if lines[i].strip().startswith("```")), len(lines)
            )
            blocks.append(Block("paragraph", "\n".join(lines[at : end + 1])))
            at = end
        elif heading:
            close()
            blocks.append(Block("heading", _plain(heading[2]), level=len(heading[1])))
        elif paragraph and re.fullmatch(r"=+|-{2,}", line.strip()) and len(paragraph) == 1:
            blocks.append(Block("heading", _plain(paragraph.pop()), level=1 if "=" in line else 2))
        elif (
            "|" in line
            and at + 1 < len(lines)
            and "-" in lines[at + 1]
            and _RULE.fullmatch(lines[at + 1].strip())
        ):
            close()
            rows = [_cells(line)]
            at += 2
            while at < len(lines) and "|" in lines[at]:
                rows.append(_cells(lines[at]))
                at += 1
            blocks.append(Block("table", rows=rows, header_rows=1))
            continue
        elif item:
            close()
            blocks.append(Block("item", _plain(item[2]), level=len(item[1].expandtabs(4)) // 2))
        elif not line.strip():
            close()
        elif blocks and blocks[-1].kind == "item" and not paragraph and line.startswith(" "):
            blocks[-1].text += " " + line.strip()
        else:
            paragraph.append(_plain(line.rstrip()))
        at += 1
    close()
    title = title or next((block.text for block in blocks if block.kind == "heading"), "")
    return Content(blocks, title, warnings=warnings)


def _plain(text: str) -> str:
    """Markdown without what only decorates: links keep their words, emphasis its text."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text)


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [_plain(cell.replace("\\|", "|").strip()) for cell in re.split(r"(?<!\\)\|", inner)]


def read_csv(data: bytes, name: str) -> Content:
    """Tables of comma-, semicolon-, tab- or bar-separated values; notes above and between them."""
    text, warnings = decode(data)
    sample = text[:20_000]
    try:
        delimiter = csv.Sniffer().sniff(sample, delimiters=",;\t|").delimiter
    except csv.Error:
        delimiter = max("\t;|,", key=sample.count)
    filled: dict[tuple[int, int], str] = {}
    csv.field_size_limit(_MAX_FIELD)
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)):
            if number >= MAX_ROWS:
                warnings.append(f"Only the first {MAX_ROWS} rows were read.")
                break
            filled.update(((number, at), short) for at, cell in enumerate(row) if (short := one_line(cell)))
    except csv.Error as error:
        raise InputError(f"its rows cannot be told apart: {error}") from error
    blocks = blocks_of(filled)
    for block in blocks:
        block.name = block.name or name
    return Content(blocks, name, warnings=warnings)
