"""Documents: text, tables and passages of every format, and clear reasons for what cannot be read."""

from __future__ import annotations

import io
import zipfile
from email.message import EmailMessage
from pathlib import Path

import ingest_files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fde.errors import InputError, MissingError
from ingest.blocks import MAX_WORDS, Block, assemble, count_words, header_row
from ingest.document import Document
from ingest.documents import read_bytes, read_document

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples" / "docs"


@pytest.fixture(scope="module")
def samples() -> Path:
    """Documents that nobody of this project made; they are not part of it."""
    if not SAMPLES.is_dir():
        pytest.skip(f"the public sample documents are not at {SAMPLES}")
    return SAMPLES


def read(name: str, data: bytes) -> list[Document]:
    return read_bytes(data, name, Path(name)).documents


def one(name: str, data: bytes) -> Document:
    (document,) = read(name, data)
    for chunk in document.chunks:
        assert chunk.text.endswith(document.text[chunk.place.start : chunk.place.end].strip("\n"))
    for table in document.tables:
        assert document.text[table.place.start : table.place.end].startswith("|")
        assert all(len(row) == len(table.header) for row in table.rows)
    return document


# Assembling


_words = st.lists(st.sampled_from(["a", "bb.", "ccc", "d;", "x|y"]), min_size=1, max_size=500).map(" ".join)
_cells = st.sampled_from(["", "a", "b c", "1", "x|y"])
_blocks = st.one_of(
    st.builds(Block, kind=st.just("heading"), text=st.sampled_from(["One", "Two"]), level=st.integers(1, 3)),
    st.builds(Block, kind=st.just("paragraph"), text=_words),
    st.builds(Block, kind=st.just("item"), text=_words, level=st.integers(0, 2)),
    st.builds(
        Block, kind=st.just("table"), rows=st.lists(st.lists(_cells, min_size=1, max_size=4), max_size=80)
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_blocks, max_size=8))
def test_passages_hold_everything_once_in_order(blocks: list[Block]) -> None:
    made = assemble(blocks)
    end = 0
    for chunk in made.chunks:
        assert chunk.place.start >= end, "passages do not overlap"
        between = made.text[end : chunk.place.start]
        gap = [line for line in between.splitlines() if line.strip()]
        assert all(line.startswith(("#", "|")) for line in gap), "only headings and table heads are left out"
        assert chunk.text.endswith(made.text[chunk.place.start : chunk.place.end].strip("\n"))
        assert count_words(chunk.text) <= MAX_WORDS + 60
        end = chunk.place.end
    rest = [line for line in made.text[end:].splitlines() if line.strip()]
    assert all(line.startswith(("#", "|")) for line in rest)


def test_passages_respect_headings() -> None:
    long = " ".join(["word"] * 150)
    made = assemble(
        [
            Block("heading", "A", level=1),
            Block("paragraph", "short"),
            Block("heading", "B", level=2),
            Block("paragraph", long),
            Block("paragraph", "tail"),
            Block("heading", "C", level=1),
            Block("paragraph", "last"),
        ]
    )
    assert [(chunk.heading, count_words(chunk.text)) for chunk in made.chunks] == [
        ("A", 1),
        ("A > B", 150),
        ("A > B", 1),
        ("C", 1),
    ]


def test_a_long_table_repeats_its_head_in_every_passage() -> None:
    rows = [["Id", "Name"], *[[str(i), "a name of five words"] for i in range(100)]]
    made = assemble([Block("table", rows=rows)])
    assert len(made.chunks) > 2
    assert all(chunk.text.startswith("| Id | Name |\n| --- | --- |\n| ") for chunk in made.chunks)


HEADERS = [
    ([["Id", "Name"], ["1", "a"]], 0),
    ([["Approval matrix", ""], ["Id", "Name"], ["1", "a"]], 1),
    ([["Title", "Title", "Title"], ["Id", "Name", "Limit"], ["1", "a", "5"]], 1),
    ([["Title", "", ""], ["as of 2024", "", ""], ["Id", "Name", "Limit"], ["1", "a", "5"]], 2),
    ([["only", "row"]], 0),
    ([["1", "2"], ["3", "4"]], 0),
]


@pytest.mark.parametrize(("rows", "expected"), HEADERS)
def test_the_header_is_found_below_title_rows(rows: list[list[str]], expected: int) -> None:
    assert header_row(rows) == expected


# Formats


def docx(*paragraphs: tuple[str, str], table: list[list[str]] | None = None) -> bytes:
    import docx as word

    made = word.Document()
    for style, text in paragraphs:
        made.add_paragraph(text, style=style)
    if table:
        grid = made.add_table(rows=len(table), cols=len(table[0]))
        for i, row in enumerate(table):
            for j, cell in enumerate(row):
                grid.cell(i, j).text = cell
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def test_word() -> None:
    data = docx(
        ("Title", "Policy"),
        ("Heading 1", "Limits"),
        ("Normal", "Up to 5,000."),
        ("List Bullet", "first"),
        ("List Bullet", "second"),
        table=[["Amount", "Approver"], ["5,000", "Lead"]],
    )
    document = one("policy.docx", data)
    assert document.title == "Policy" and document.media_type.endswith("wordprocessingml.document")
    assert document.text == (
        "# Policy\n\n# Limits\n\nUp to 5,000.\n\n- first\n- second\n\n"
        "| Amount | Approver |\n| --- | --- |\n| 5,000 | Lead |"
    )
    assert document.tables[0].name == "Limits" and document.tables[0].rows == (("5,000", "Lead"),)
    assert document.chunks[0].heading == "Limits"


def repack(data: bytes, changes: dict[str, bytes]) -> bytes:
    """An archive with some entries replaced or added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changes:
                new.writestr(name, old.read(name))
        for name, content in changes.items():
            new.writestr(name, content)
    return buffer.getvalue()


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def test_word_tracked_changes_notes_and_merged_cells() -> None:
    body = (
        "<w:p><w:r><w:t>keep </w:t></w:r><w:ins><w:r><w:t>new</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
        "<w:tbl><w:tr><w:trPr><w:tblHeader/></w:trPr><w:tc><w:p><w:r><w:t>A</w:t></w:r></w:p></w:tc>"
        "<w:tc><w:tcPr><w:gridSpan w:val='2'/></w:tcPr><w:p><w:r><w:t>B</w:t></w:r></w:p></w:tc></w:tr>"
        "<w:tr><w:tc><w:tcPr><w:vMerge w:val='restart'/></w:tcPr><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc>"
        "<w:tc><w:p><w:r><w:t>1</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>2</w:t></w:r></w:p></w:tc></w:tr>"
        "<w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc>"
        "<w:tc><w:p><w:r><w:t>3</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>4</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
    )
    notes = (
        f"<w:footnotes {W}><w:footnote><w:p><w:r><w:t>the note</w:t></w:r></w:p></w:footnote></w:footnotes>"
    )
    data = repack(
        docx(),
        {
            "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>".encode(),
            "word/footnotes.xml": notes.encode(),
        },
    )
    document = one("a.docx", data)
    assert document.text.startswith("keep new\n\n")
    assert document.tables[0].header == ("A", "B", "B")
    assert document.tables[0].rows == (("x", "1", "2"), ("x", "3", "4"))
    assert document.text.endswith("# Footnotes\n\nthe note")


def test_excel() -> None:
    import datetime

    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Limits"
    sheet["B2"] = "Approval limits"
    sheet.merge_cells("B2:D2")
    for column, head in zip("BCD", ("Role", "Limit", "Share"), strict=True):
        sheet[f"{column}3"] = head
    sheet["B4"], sheet["C4"], sheet["D4"] = "Lead", 5000, 0.075
    sheet["D4"].number_format = "0.0%"
    sheet["B5"], sheet["C5"] = "Head", 1234.5
    sheet["B8"], sheet["C8"] = "Valid from", "By"
    sheet["B9"], sheet["C9"] = datetime.datetime(2024, 3, 1), "CFO"
    hidden = book.create_sheet("Old")
    hidden.sheet_state = "hidden"
    hidden["A1"], hidden["A2"] = "=1+1", "x"
    buffer = io.BytesIO()
    book.save(buffer)
    document = one("limits.xlsx", buffer.getvalue())
    first, second = document.tables[0], document.tables[1]
    assert (first.name, first.header) == ("Approval limits", ("Role", "Limit", "Share"))
    assert first.rows == (("Lead", "5000", "7.5%"), ("Head", "1234.5", ""))
    assert first.place.sheet == "Limits"
    assert second.header == ("Valid from", "By") and second.rows == (("2024-03-01", "CFO"),)
    assert any("hidden" in warning for warning in document.warnings)
    assert any("never computed" in warning for warning in document.warnings)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b'Id,Name\n1,"a, b"\n', (("1", "a, b"),)),
        ("\ufeffId;Name\n1;Müller\n".encode(), (("1", "Müller"),)),
        ("Id;Name\n1;Müller\n".encode("cp1252"), (("1", "Müller"),)),
        ("Id\tName\n1\tMüller\n".encode("utf-16"), (("1", "Müller"),)),
    ],
)
def test_csv_of_any_dialect_and_encoding(data: bytes, rows: tuple[tuple[str, ...], ...]) -> None:
    document = one("a.csv", data)
    assert document.tables[0].header == ("Id", "Name") and document.tables[0].rows == rows


def test_html() -> None:
    html = b"""<html><head><title>Wiki</title><style>x</style></head><body><nav><a href=/>Home</a></nav>
    <h1>Coding</h1><p>Use <b>CC-100</b>.<br>Or not.</p>
    <script>evil()</script><p style="display: none">hidden</p>
    <ul><li>one<ul><li>deep</li></ul></li></ul><dl><dt>Terms</dt><dd>Net 30</dd></dl><!-- no -->
    <table><caption>Matrix</caption><tr><th>A</th><th>B</th></tr>
    <tr><td rowspan=2>x</td><td>1</td></tr><tr><td>2</td></tr></table>
    <table><tr><td><table><tr><td>inner</td><td>cell</td></tr></table></td></tr></table></body></html>"""
    document = one("wiki.html", html)
    assert document.title == "Wiki" and document.media_type == "text/html"
    assert document.text.startswith(
        "Home\n\n# Coding\n\nUse CC-100.\nOr not.\n\n- one\n  - deep\n\nTerms: Net 30\n\n| A | B |"
    )
    assert document.tables[0].name == "Matrix" and document.tables[0].rows == (("x", "1"), ("x", "2"))
    assert "| inner | cell |" in document.text
    assert "evil" not in document.text and "hidden" not in document.text and "no" not in document.text.split()


def test_markdown() -> None:
    text = b"---\ntitle: Rules\n---\nIntro [link](http://x) **bold**\n\nHead\n====\n\n## Sub ##\n\n"
    text += b"* a\n  more\n1. b\n\n"
    text += b"| A | B |\n|---|:-:|\n| 1 | x\\|y |\n\n```\n# not a heading\n```\n"
    document = one("rules.md", text)
    assert document.title == "Rules"
    assert document.text == (
        "Intro link bold\n\n# Head\n\n## Sub\n\n- a more\n- b\n\n"
        "| A | B |\n| --- | --- |\n| 1 | x\\|y |\n\n```\n# not a heading\n```"
    )
    assert document.tables[0].rows == (("1", "x|y"),)


def pdf(*lines: tuple[int, str]) -> bytes:
    """A one-page PDF with lines of text of the given sizes."""
    y = 760
    drawn = []
    for size, words in lines:
        drawn.append(ingest_files.text(50, y, words, size))
        y -= size + 6
    return ingest_files.pdf(drawn)


def test_pdf() -> None:
    document = one("process.pdf", pdf((20, "Process"), (10, "First step of it."), (10, "Second step of it.")))
    assert document.text == "# Process\n\nFirst step of it.\nSecond step of it."
    assert document.title == "Process" and document.chunks[0].place.page == 1


def test_an_empty_pdf_is_a_warning() -> None:
    document = one("blank.pdf", pdf())
    assert document.text == "" and document.warnings == ("No text was found.",)


def mail(**parts: bytes) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <a@x.example>", "b@x.example", "Limits"
    message["Date"] = "Mon, 04 Mar 2024 23:30:00 -0500"
    message.set_content("The limit is 7,500.\n\nAnn")
    message.add_alternative("<p>The limit is <b>7,500</b>.</p>", subtype="html")
    for name, data in parts.items():
        message.add_attachment(
            data, maintype="application", subtype="octet-stream", filename=name.replace("_", ".")
        )
    return message.as_bytes()


def test_mail_with_attachments() -> None:
    inner = mail(note_txt=b"deep")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a/rules.md", "# Rules")
        made.writestr("__MACOSX/x", "x")
    found = read(
        "memo.eml",
        mail(t_csv=b"a,b\n1,2\n", fwd_eml=inner, all_zip=buffer.getvalue(), bad_pdf=b"%PDF-1.4 broken"),
    )
    assert [document.source for document in found] == [
        "memo.eml",
        "memo.eml!t.csv",
        "memo.eml!fwd.eml",
        "memo.eml!fwd.eml!note.txt",
        "memo.eml!all.zip!a/rules.md",
    ]
    head = found[0]
    assert head.dated == "2024-03-04" and head.title == "Limits" and head.media_type == "message/rfc822"
    assert (
        head.text.startswith("From: Ann <a@x.example>\nTo: b@x.example\nDate: ")
        and "The limit is 7,500." in head.text
    )
    assert head.text.count("7,500") == 1, "the same text in HTML is not told again"
    assert any("bad.pdf was left out: it is damaged" in warning for warning in head.warnings)
    assert len({document.id for document in found}) == 5


# What cannot be read


def encrypted_pdf() -> bytes:
    data = pdf((10, "secret"))
    entry = (
        b"/Encrypt << /Filter /Standard /V 1 /R 2 /O <"
        + b"00" * 32
        + b"> /U <"
        + b"00" * 32
        + b"> /P -44 >> "
    )
    return data.replace(b"/Root 1 0 R", entry + b"/ID [<00><00>] /Root 1 0 R")


def encrypted_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a.txt", "x")
    raw = bytearray(buffer.getvalue())
    raw[6] |= 1
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def bomb(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(name, b"\0" * 30_000_000)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    data, name = b"text", "a.txt"
    for _ in range(depth):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as made:
            made.writestr(name, data)
        data, name = buffer.getvalue(), "a.zip"
    return data


UNREADABLE = [
    ("a.txt", b"", "empty"),
    ("a.txt", b" \n ", "empty"),
    ("a.bin", b"\x01\0\x02", "binary"),
    ("a.pdf", encrypted_pdf(), "password"),
    ("a.pdf", b"%PDF-1.4 nonsense", "damaged"),
    ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "damaged Office file"),
    ("a.docx", docx(("Normal", "x"))[:2000], "damaged"),
    ("a.docx", repack(docx(), {"word/document.xml": b"<broken"}), "not XML"),
    ("a.xlsx", repack(docx(), {"xl/workbook.xml": b"<x/>", "word/document.xml": b"<x/>"}), None),
    ("a.zip", encrypted_zip(), "password"),
    ("a.zip", bomb("a.txt"), "bomb"),
    ("a.docx", bomb("word/document.xml"), "bomb"),
    ("a.zip", nested(6), "nested"),
    ("a.eml", b"\n\njust text", "no mail head"),
]


@pytest.mark.parametrize(("name", "data", "reason"), UNREADABLE, ids=[f"{n}-{r}" for n, _, r in UNREADABLE])
def test_what_cannot_be_read_says_why(name: str, data: bytes, reason: str | None) -> None:
    if reason is None:
        read(name, data)  # a file of two kinds is read as one of them
        return
    with pytest.raises(InputError, match=reason) as error:
        read(name, data)
    assert name in str(error.value)


def test_entities_are_refused() -> None:
    evil = f'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/hostname"><!ENTITY b "{"x" * 100}">]>'
    evil += f"<w:document {W}><w:body><w:p><w:r><w:t>a&e;&b;z</w:t></w:r></w:p></w:body></w:document>"
    with pytest.raises(InputError, match="entities"):
        read("a.docx", repack(docx(), {"word/document.xml": evil.encode()}))


@settings(max_examples=40, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from(["a.txt", "a.html", "a.md", "a.csv", "a.eml", "a.pdf", "a.docx"])
)
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    try:
        found = read(name, data)
    except InputError:
        return
    assert found


def test_deep_html_is_read_or_refused() -> None:
    try:
        read("deep.html", b"<html>" + b"<div>" * 50_000 + b"x")
    except InputError as error:
        assert "deep" in str(error)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_document(tmp_path / "no.pdf")


# Documents of others


def test_a_receipt_reads_as_expected(samples: Path) -> None:
    name = "RECEIPT-2024-TXN-98765_retail_purchase"
    (document,) = read_document(samples / f"{name}.pdf").documents
    expected = (samples / f"{name}.md").read_text()
    plain = [line.lstrip("# ").strip() for line in document.text.splitlines() if line.strip()]
    assert plain == [line.strip() for line in expected.splitlines() if line.strip()]


def test_foreign_tables(samples: Path) -> None:
    (ducks,) = read_document(samples / "xlsx_05_table_with_title.xlsx").documents
    assert ducks.tables[0].header == ("Year", "Freshwater Ducks") and len(ducks.tables[0].rows) == 6
    assert ducks.tables[0].name == "Number of freshwater ducks per year"
    (word,) = read_document(samples / "word_tables.docx").documents
    assert word.tables[0].header == ("Header 0.0", "Header 0.1", "Header 0.2")
    assert word.tables[1].rows[0] == ("Cell 1.0", "Merged Cell 1.1 1.2", "Merged Cell 1.1 1.2")
    assert word.tables[3].rows[1] == ("Cell 2.0", "Merged Cell 1.1 2.1", "Cell 2.2")
    (boxes,) = read_document(samples / "docx_checkboxes.docx").documents
    assert "[x] Design\n\n[x] Implementation\n\n[ ] Documentation" in boxes.text


def test_foreign_mail_and_comments(samples: Path) -> None:
    found = read_document(samples / "eml_with_attachment.eml").documents
    assert [document.source for document in found] == [
        "eml_with_attachment.eml",
        "eml_with_attachment.eml!test.txt",
    ]
    assert "dummy content" in found[1].text
    (commented,) = read_document(samples / "test_with_comment.docx").documents
    assert "# Comments" in commented.text
    (outlook,) = read_document(samples / "test_outlook_msg.msg").documents
    assert outlook.title == "Test Email Message" and outlook.dated == "2024-12-22"
    assert outlook.text.endswith("\n\nThis is the body of the test email message")


def test_every_foreign_document_is_read(samples: Path) -> None:
    for path in samples.iterdir():
        reading = read_document(path)
        assert reading.left_out == [] and all(document.text for document in reading.documents), path
