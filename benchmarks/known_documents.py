"""Documents whose tables are known cell by cell, in every format that holds tables: for the benchmark."""

from __future__ import annotations

import io
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

from ingest.browser import launch

Cell = tuple[str, str]  # header, value
ROWS = 60
COLUMNS = ["Category", "Cost centre", "Account", "Limit"]
LINES = [[f"Category {i}", f"CC-{100 + i}", f"A-{6000 + 7 * i}", str(500 + 250 * i)] for i in range(ROWS)]
EXPECTED = {(head, cell) for line in LINES for head, cell in zip(COLUMNS, line, strict=True)}
PARAGRAPH = (
    "Amounts above the limit of section 4 are approved by the head of the team that ordered them. " * 5
)


def make(folder: Path) -> dict[Path, set[Cell]]:
    """Write the documents; which cells their tables have."""
    truth: dict[Path, set[Cell]] = {}
    for name, (data, cells) in {**_office(), **_texts(), **_printed()}.items():
        (folder / name).write_bytes(data)
        truth[folder / name] = cells
    return truth


def make_text_pdf(pages: int) -> bytes:
    """A digital PDF of about this many dense pages without tables."""
    body = "".join(f"<h2>Section {at}</h2>" + f"<p>{PARAGRAPH}</p>" * 7 for at in range(pages))
    return _print(f"<h1>Policy</h1>{body}")


def _office() -> dict[str, tuple[bytes, set[Cell]]]:
    import docx
    import openpyxl
    from pptx import Presentation
    from pptx.util import Inches

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["B2"] = "Coding matrix, version 7"
    sheet.merge_cells("B2:E2")
    for at, line in enumerate([COLUMNS, *LINES], 4):
        for column, cell in enumerate(line, 2):
            sheet.cell(at, column, int(cell) if cell.isdigit() else cell)
    small = [["Function", "Deputy"], ["Team lead", "Head of finance"]]
    beside = [["Country", "Tax"], ["Norway", "N25"], ["Spain", "S21"]]
    for top, left, rows in ((ROWS + 7, 2, small), (4, 8, beside)):
        for down, line in enumerate(rows):
            for right, cell in enumerate(line):
                sheet.cell(top + down, left + right, cell)
    more = {("Function", "Team lead"), ("Deputy", "Head of finance"), ("Country", "Norway"), ("Tax", "S21")}

    word = docx.Document()
    word.add_heading("Policy", 1)
    word.add_paragraph(PARAGRAPH)
    grid = word.add_table(rows=ROWS + 1, cols=4)
    for at, line in enumerate([COLUMNS, *LINES]):
        for cell, text in zip(grid.rows[at].cells, line, strict=True):
            cell.text = text
    for at in range(1, ROWS, 2):  # two lines each share a cost centre
        grid.cell(at + 1, 1).text = ""
        merged = grid.cell(at, 1).merge(grid.cell(at + 1, 1))
        merged.text = LINES[at - 1][1]
    shared = {("Cost centre", line[1]) for line in LINES[1::2]}

    deck = Presentation()
    for start in range(0, ROWS, 12):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = f"Matrix from {start}"
        shape = slide.shapes.add_table(13, 4, Inches(0.5), Inches(1.5), Inches(9), Inches(5))
        for at, line in enumerate([COLUMNS, *LINES[start : start + 12]]):
            for column, text in enumerate(line):
                shape.table.cell(at, column).text = text

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@x.example", "b@x.example", "New matrix"
    mail["Date"] = "Mon, 04 Mar 2024 09:00:00 +0000"
    mail.set_content("The new matrix is attached.")
    sheets = _bytes(book.save)
    mail.add_attachment(sheets, maintype="application", subtype="octet-stream", filename="m.xlsx")
    return {
        "matrix.xlsx": (sheets, EXPECTED | more),
        "policy.docx": (_bytes(word.save), EXPECTED - shared),
        "matrix.pptx": (_bytes(deck.save), EXPECTED),
        "memo.eml": (mail.as_bytes(), EXPECTED),
    }


def _texts() -> dict[str, tuple[bytes, set[Cell]]]:
    text = "\n".join(";".join(line) for line in [COLUMNS, *LINES])
    return {
        "wiki.html": (f"<h1>Wiki</h1>{_table()}".encode(), EXPECTED),
        "export.csv": (text.encode(), EXPECTED),
    }


def _printed() -> dict[str, tuple[bytes, set[Cell]]]:
    ruled = "<style>td, th { border: 1px solid; text-align: left }</style>"
    plain = "<style>table { border-spacing: 14px 4px } th { text-align: left }</style>"
    around = f"<h1>Coding</h1><p>{PARAGRAPH}</p>{{}}<p>{PARAGRAPH}</p>"
    return {
        "ruled.pdf": (_print(ruled + around.format(_table())), EXPECTED),
        "unruled.pdf": (_print(plain + around.format(_table())), EXPECTED),
    }


def _table() -> str:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in LINES)
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _print(page: str) -> bytes:
    with launch() as browser:
        opened = browser.new_page()
        opened.set_content(f"<body style='font: 10pt sans-serif'>{page}</body>")
        return opened.pdf(format="A4")


def _bytes(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()
