"""Mutated real files: a reader answers or says why not; it hangs, writes and connects nowhere."""

from __future__ import annotations

import io
import random
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_files import compound, outlook, pdf, picture_of, rule, text

from fde.errors import InputError
from ingest import ocr
from ingest.documents import read_bytes
from ingest.workers import Limits, answers

SECONDS = 30.0


def originals() -> dict[str, bytes]:
    """A sound file for each reader."""
    import docx
    import openpyxl
    import xlwt
    from pptx import Presentation

    rows = [["Role", "Limit"], ["Lead", 5000], ["Head", 20000]]
    word = docx.Document()
    word.add_heading("Policy", 1)
    word.add_paragraph("Up to 5,000.", style="List Bullet")
    table = word.add_table(rows=3, cols=2)
    book = openpyxl.Workbook()
    old = xlwt.Workbook()
    sheet = old.add_sheet("S")
    for at, row in enumerate(rows):
        for column, cell in enumerate(row):
            table.cell(at, column).text = str(cell)
            book.active.cell(at + 1, column + 1, cell)
            sheet.write(at, column, cell)
    deck = Presentation()
    deck.slides.add_slide(deck.slide_layouts[1]).shapes.title.text = "Approval"
    found: dict[str, bytes] = {}
    for name, made in (("a.docx", word), ("a.xlsx", book), ("a.xls", old), ("a.pptx", deck)):
        buffer = io.BytesIO()
        made.save(buffer)
        found[name] = buffer.getvalue()
    mail = EmailMessage()
    mail["From"], mail["Subject"], mail["Date"] = "a@x.example", "Limits", "Mon, 04 Mar 2024 09:00:00 +0000"
    mail.set_content("The limit.")
    mail.add_attachment(found["a.xlsx"], maintype="application", subtype="octet-stream", filename="m.xlsx")
    lines = [rule(50, 700 - 20 * at, 250, 700 - 20 * at) for at in range(4)]
    lines += [rule(50 + 100 * at, 700, 50 + 100 * at, 640) for at in range(3)]
    cells = [text(55 + 100 * (at % 2), 685 - 20 * (at // 2), f"cell {at}") for at in range(6)]
    html = "<h1>Wiki</h1><ul><li>a<li>b</ul><table><tr><th colspan=2>A<th>B<tr><td>1<td>2<td>3</table>"
    found |= {
        "a.eml": mail.as_bytes(),
        "a.msg": compound(outlook("Limits", "The limit.", files={"t.csv": b"a,b\n" + b"1,2\n" * 1100})),
        "a.pdf": pdf([text(50, 740, "Limits", 18), *lines, *cells]),
        "a.html": html.encode(),
        "a.md": b"# Rules\n\n* a\n\n| A | B |\n|---|---|\n| 1 | 2 |\n",
        "a.csv": b'Id;Name\n1;"a; b"\n2;c\n',
        "a.rtf": rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 Limits\par Gr\'fc\'dfe\par}",
        "a.txt": "Größe und Maß.\n\nZweiter Absatz.".encode("cp1252"),
    }
    if ocr.version() is not None:
        found["a.png"] = picture_of(["Text"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("a.docx", "a.csv", "a.pdf"):
            packed.writestr(f"in/{name}", found[name])
    found["a.zip"] = buffer.getvalue()
    return found


FILES = originals()


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed in one of the ways in which files come damaged, or are made to do damage."""
    where = chance.randrange(len(data) + 1)
    length = chance.choice([1, 4, 60, 2_000])
    match chance.randrange(7):
        case 0:
            return data[:where]
        case 1:
            return data[:where] + data[where + length :]
        case 2:
            return data[:where] + data[where : where + length] * chance.choice([2, 50]) + data[where:]
        case 3:
            return data[:where] + chance.randbytes(length) + data[where + length :]
        case 4:
            return data[:where] + b"\xff" * length + data[where + length :]
        case 5:
            numbers = [b"-1", b"0", b"4294967295", b"99999999999999999999", b"1e999"]
            digits = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
            at = chance.choice(digits) if digits else where
            return data[:at] + chance.choice(numbers) + data[at + 1 :]
        case _:
            marks = [b"<", b'"', b"]]>", b"\0", b"&x;", b"{", b"\\bin999999999 ", b"/Length 99999", b"%00"]
            return data[:where] + chance.choice(marks) + data[where:]


def mutated(name: str, seed: int) -> bytes:
    """A file with a few mutations; of an archive mostly one of its entries, so that it still opens."""
    chance = random.Random(f"{name} {seed}")
    data = FILES[name]
    if data.startswith(b"PK") and chance.random() < 0.8:
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
            victim = chance.choice(old.namelist())
            for entry in old.namelist():
                inner = old.read(entry)
                new.writestr(entry, mutate(inner, chance) if entry == victim and inner else inner)
        return buffer.getvalue()
    for _ in range(chance.choice([1, 1, 3])):
        data = mutate(data, chance)
    return data


_watching: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching is None:
        return
    if event.startswith("socket.") and event not in ("socket.gethostname", "socket.__new__"):
        _watching.append(f"{event} {arguments}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        _watching.append(f"open {arguments}")
    if event in ("os.system", "os.exec", "os.remove", "os.rename", "os.mkdir", "shutil.copyfile"):
        _watching.append(f"{event} {arguments}")
    if event == "subprocess.Popen" and "tesseract" not in str(arguments[0]):
        _watching.append(f"{event} {arguments}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collects everything that would touch the network, the disk or another program."""
    global _watching
    _watching = found = []
    try:
        yield found
    finally:
        _watching = None


@pytest.fixture(scope="module", autouse=True)
def warmed() -> None:
    """Read every file once: libraries open their own data files when they are first used."""
    sys.addaudithook(_watch)
    for name, data in FILES.items():
        read_bytes(data, name, Path(name))


def test_the_watch_sees_what_it_is_for(tmp_path: Path) -> None:
    import socket

    with watched() as found:
        (tmp_path / "x").write_text("x")
        with socket.socket() as made, pytest.raises(OSError):
            made.connect(("127.0.0.1", 9))
    assert [line.split()[0] for line in found] == ["open", "socket.connect"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(set(FILES) - {"a.png"})), st.integers(0, 10**6))
def test_a_mutated_file_is_read_or_refused(name: str, seed: int) -> None:
    with watched() as found:
        try:
            reading = read_bytes(mutated(name, seed), name, Path(name))
        except InputError as error:
            assert name in error.message and len(error.message) > len(name) + 10
        else:
            assert reading.documents
    assert found == []


def test_mutated_files_side_by_side_keep_their_limits(tmp_path: Path) -> None:
    tasks = []
    for number, name in enumerate(sorted(FILES) * 5):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(mutated(name, 10**7 + number))
        tasks.append({"path": str(path), "source": name, "folder": None, "seconds": SECONDS})
    for number, answer in answers("ingest.jobs:documents", tasks, Limits(seconds=SECONDS)):
        assert answer.lasting, (tasks[number]["path"], answer.error)
        assert (answer.value is None) is (answer.error is not None)
