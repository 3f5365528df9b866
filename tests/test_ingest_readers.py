"""Readers of single formats: sheets, slides, PDFs, pictures, Outlook's mails, encodings."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ingest_files import box, compound, outlook, pdf, picture_of, rule, text

from fde.errors import InputError
from ingest import ocr
from ingest.document import Document, Table
from ingest.documents import Reading, read_bytes

needs_tesseract = pytest.mark.skipif(ocr.version() is None, reason="tesseract is not installed")


def reading(name: str, data: bytes) -> Reading:
    return read_bytes(data, name, Path(name))


def one(name: str, data: bytes) -> Document:
    (document,) = reading(name, data).documents
    return document


def cells(table: Table) -> list[tuple[str, ...]]:
    return [table.header, *table.rows]


# Sheets


def book(*sheets: dict[str, Any], merged: tuple[str, ...] = (), named: dict[str, str] | None = None) -> bytes:
    """An Excel file of sheets given by cell; ranges of the first are merged, or tables by name."""
    import openpyxl
    from openpyxl.worksheet.table import Table as Marked

    made = openpyxl.Workbook()
    for number, values in enumerate(sheets):
        sheet = made.active if number == 0 else made.create_sheet()
        for place, value in values.items():
            sheet[place] = value
        if number == 0:
            for area in merged:
                sheet.merge_cells(area)
            for name, area in (named or {}).items():
                sheet.add_table(Marked(displayName=name, ref=area))
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def grid(top_left: str, rows: list[list[object]]) -> dict[str, object]:
    """Cells of rows from a corner."""
    from openpyxl.utils.cell import coordinate_from_string, get_column_letter
    from openpyxl.utils.cell import column_index_from_string as index

    letter, row = coordinate_from_string(top_left)
    return {
        f"{get_column_letter(index(letter) + right)}{row + down}": value
        for down, line in enumerate(rows)
        for right, value in enumerate(line)
        if value is not None
    }


LIMITS: list[list[object]] = [["Role", "Limit"], ["Lead", 5000], ["Head", 20000]]
PEOPLE: list[list[object]] = [["Team", "Deputy", "Since"], ["Buying", "Ann", 2021], ["Sales", "Bo", 2019]]


def test_tables_side_by_side_and_below_each_other() -> None:
    values = {**grid("A1", LIMITS), **grid("E1", PEOPLE), **grid("B7", [["City", "Code"], ["Rome", 7]])}
    tables = one("a.xlsx", book(values)).tables
    assert [table.header for table in tables] == [
        ("Role", "Limit"),
        ("Team", "Deputy", "Since"),
        ("City", "Code"),
    ]
    assert tables[1].rows == (("Buying", "Ann", "2021"), ("Sales", "Bo", "2019"))


def test_blank_rows_and_columns_inside_a_table_do_not_divide_it() -> None:
    rows: list[list[object]] = [
        ["Region", None, "Q1", "Q2"],
        ["North", None, 1, 2],
        [None] * 4,
        ["South", None, 3, 4],
    ]
    (table,) = one("a.xlsx", book(grid("A1", rows))).tables
    assert cells(table) == [("Region", "Q1", "Q2"), ("North", "1", "2"), ("South", "3", "4")]


def test_a_note_beside_a_table_is_no_column_of_it() -> None:
    document = one("a.xlsx", book({**grid("A1", [*LIMITS, ["Board", 90000]]), "F2": "Approved by the board"}))
    (table,) = document.tables
    assert table.header == ("Role", "Limit") and "Approved by the board" in document.text


def test_headers_of_two_rows_become_one() -> None:
    rows: list[list[object]] = [
        ["Region", 2023, None, 2024, None],
        [None, "Plan", "Actual", "Plan", "Actual"],
        ["North", 1, 2, 3, 4],
        ["South", 5, 6, 7, 8],
    ]
    expected = ("Region", "2023 Plan", "2023 Actual", "2024 Plan", "2024 Actual")
    merged = one("a.xlsx", book(grid("A1", rows), merged=("A1:A2", "B1:C1", "D1:E1")))
    assert merged.tables[0].header == expected and len(merged.tables[0].rows) == 2
    plain = [["" if cell is None else str(cell) for cell in row] for row in rows]
    plain[1][0] = "Region"
    plain[0][0] = ""
    (table,) = one("a.csv", "\n".join(map(",".join, plain)).encode()).tables
    assert table.header == expected


def test_tables_that_excel_marks_are_taken_as_marked() -> None:
    values = {"A1": "Terms", **grid("A2", LIMITS), **grid("A5", PEOPLE)}  # no blank row between them
    tables = one("a.xlsx", book(values, named={"Limits": "A2:B4", "Table2": "A5:C7"})).tables
    assert [(table.name, table.header) for table in tables] == [
        ("Limits", ("Role", "Limit")),
        ("Sheet", ("Team", "Deputy", "Since")),
    ]


def test_a_cell_far_out_does_not_make_a_sheet_of_billions() -> None:
    document = one("a.xlsx", book({**grid("A1", LIMITS), "XFD1048576": "far"}))
    assert document.tables[0].header == ("Role", "Limit") and document.text.endswith("far")


def test_tables_are_ready_for_pandas() -> None:
    rows: list[list[object]] = [["Id", "Limit", "", "Limit"], ["007", 5, "x", 0.5], ["008", 6, "", None]]
    data = "\n".join(",".join("" if cell is None else str(cell) for cell in row) for row in rows)
    frame = one("a.csv", data.encode()).tables[0].frame()
    assert list(frame.columns) == ["Id", "Limit", "Column 3", "Limit (2)"]
    assert frame["Limit"].sum() == 11 and frame["Limit (2)"].sum() == 0.5
    assert list(frame["Id"]) == ["007", "008"] and frame["Column 3"].isna().sum() == 1


def test_old_excel() -> None:
    import datetime

    import xlwt

    made = xlwt.Workbook()
    sheet = made.add_sheet("Limits")
    sheet.write_merge(0, 0, 0, 2, "Approval limits")
    for column, name in enumerate(("Role", "Share", "From")):
        sheet.write(1, column, name)
    sheet.write(2, 0, "Lead")
    sheet.write(2, 1, 0.075, xlwt.easyxf(num_format_str="0.0%"))
    sheet.write(2, 2, datetime.datetime(2024, 3, 1), xlwt.easyxf(num_format_str="YYYY-MM-DD"))
    sheet.write(3, 0, "Head")
    sheet.write(3, 1, 12)
    made.add_sheet("Empty")
    buffer = io.BytesIO()
    made.save(buffer)
    document = one("limits.xls", buffer.getvalue())
    assert document.media_type == "application/vnd.ms-excel" and document.tables[0].place.sheet == "Limits"
    assert document.tables[0].name == "Approval limits"
    assert cells(document.tables[0]) == [
        ("Role", "Share", "From"),
        ("Lead", "7.5%", "2024-03-01"),
        ("Head", "12", ""),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body><table><tr><th>Id</th><th>Name</th></tr><tr><td>1</td><td>a</td></tr></table>",
        b"Id\tName\n1\ta\n",
    ],
)
def test_tables_of_text_under_excels_name(data: bytes) -> None:
    assert cells(one("export.xls", data).tables[0]) == [("Id", "Name"), ("1", "a")]


def test_csv_with_notes_above_and_below() -> None:
    text = "Report: limits\nPrinted: 2024-03-01\n\nId;Limit\n1;500\n2;700\n\nEnd of report\n"
    document = one("limits.csv", text.encode())
    (table,) = document.tables
    assert cells(table) == [("Id", "Limit"), ("1", "500"), ("2", "700")]
    assert "Report: limits" in document.text and document.text.endswith("End of report")


# Slides


def test_slides() -> None:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    deck = Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Approval"
    frame = first.placeholders[1].text_frame
    frame.text = "Leads up to 5,000"
    deeper = frame.add_paragraph()
    deeper.text, deeper.level = "Heads above", 1
    first.notes_slide.notes_text_frame.text = "Ask finance."
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Numbers"
    shape = second.shapes.add_table(3, 3, Inches(1), Inches(2), Inches(6), Inches(1))
    for at, words in enumerate(["Role", "Limit", "Limit", "Lead", "1", "2", "Head", "3", "4"]):
        shape.table.cell(at // 3, at % 3).text = words
    shape.table.cell(0, 1).merge(shape.table.cell(0, 2))
    data = CategoryChartData()
    data.categories = ["Jan", "Feb"]
    data.add_series("Orders", (3, 4.5))
    place = (Inches(1), Inches(4), Inches(4), Inches(2))
    second.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *place, data)
    buffer = io.BytesIO()
    deck.save(buffer)
    document = one("deck.pptx", buffer.getvalue())
    assert document.title == "Approval" and document.media_type.endswith("presentationml.presentation")
    assert document.text.startswith(
        "# Approval\n\n- Leads up to 5,000\n  - Heads above\n\n## Notes\n\nAsk finance."
    )
    table, chart = document.tables
    assert table.place.slide == 2 and table.rows[0] == ("Lead", "1", "2")
    assert cells(chart) == [("", "Orders"), ("Jan", "3"), ("Feb", "4.5")]
    assert [chunk.place.slide for chunk in document.chunks][:2] == [1, 1]


# PDFs


def ruled(rows: list[list[str]], top: float = 700, width: float = 120, height: float = 18) -> list[str]:
    """A table drawn with lines."""
    drawn = [
        rule(50, top - height * at, 50 + width * len(rows[0]), top - height * at)
        for at in range(len(rows) + 1)
    ]
    drawn += [
        rule(50 + width * at, top, 50 + width * at, top - height * len(rows))
        for at in range(len(rows[0]) + 1)
    ]
    return drawn + [
        text(54 + width * column, top - height * row - 13, cell)
        for row, line in enumerate(rows)
        for column, cell in enumerate(line)
    ]


def aligned(rows: list[list[str]], top: float = 700, width: float = 130) -> list[str]:
    """A table without lines."""
    return [
        text(50 + width * column, top - 14 * row, cell)
        for row, line in enumerate(rows)
        for column, cell in enumerate(line)
        if cell
    ]


GRID = [["Role", "Limit", "Deputy"], ["Lead", "5,000", "Head of team"], ["Head", "20,000", "Director"]]


def test_pdf_tables_with_lines_stand_among_the_text() -> None:
    drawn = [
        text(50, 760, "Limits", 18),
        text(50, 735, "As of March."),
        *ruled(GRID),
        text(50, 600, "Ask first."),
    ]
    document = one("a.pdf", pdf(drawn))
    assert [cells(table) for table in document.tables] == [[tuple(row) for row in GRID]]
    assert document.text.startswith("# Limits\n\nAs of March.\n\n| Role |") and document.text.endswith(
        "|\n\nAsk first."
    )


def test_pdf_tables_of_boxes_and_merged_cells() -> None:
    drawn = [box(50, 640, 100, 40), box(150, 660, 100, 20), box(150, 640, 100, 20), box(250, 660, 100, 20)]
    drawn += [box(250, 640, 100, 20), box(50, 620, 300, 20)]
    drawn += [
        text(55, 655, "both rows"),
        text(155, 667, "a"),
        text(155, 647, "b"),
        text(255, 667, "c"),
        text(255, 647, "d"),
    ]
    drawn += [text(55, 627, "across")]
    (table,) = one("a.pdf", pdf(drawn)).tables
    assert cells(table) == [("both rows", "a", "c"), ("both rows", "b", "d"), ("across", "across", "across")]


def test_pdf_tables_without_lines() -> None:
    rows = [
        ["Vendor", "Terms", "Limit"],
        ["Acme", "Net 30", "500"],
        ["Bolt", "Net 14", "750"],
        ["Core", "", "90"],
    ]
    document = one("a.pdf", pdf([text(50, 730, "Terms by vendor."), *aligned(rows), text(50, 600, "End.")]))
    assert [cells(table) for table in document.tables] == [[tuple(row) for row in rows]]
    assert document.text.startswith("Terms by vendor.") and document.text.endswith("End.")


def test_cells_of_several_lines_are_one_cell() -> None:
    drawn = [
        text(50, 734, "Acme Ltd"),
        text(310, 734, "Date: 2024-03-01"),
        text(50, 720, "Rome"),
        text(310, 720, "No: 55"),
    ]
    for column, name in enumerate(["Item", "Quantity", "Amount"]):
        drawn.append(text(50 + 130 * column, 706, name))
    for at in range(4):  # numbers in the middle of two lines
        y = 690 - 24 * at
        drawn += [text(50, y, f"Part {at} of the"), text(50, y - 11, "larger kind")]
        drawn += [text(180, y - 5.5, str(at)), text(310, y - 5.5, f"{at * 7}.50")]
    document = one("a.pdf", pdf([*drawn, text(50, 560, "Pay soon.")]))
    (table,) = document.tables
    assert table.header == ("Item", "Quantity", "Amount")
    assert table.rows[1] == ("Part 1 of the larger kind", "1", "7.50") and len(table.rows) == 4
    assert document.text.startswith("Acme Ltd Date: 2024-03-01") and document.text.endswith("Pay soon.")


def test_letters_that_only_follow_each_other_are_divided_and_touching_ones_are_not() -> None:
    letters = [text(50 + 200 * at, 700 - 30 * at, letter) for at, letter in enumerate("abc")]
    assert one("a.pdf", pdf(letters)).text.split() == ["a", "b", "c"]
    spaced = ["BT /F1 20 Tf 50 700 Td [(Inv) -5 (oice)] TJ ET\n", text(400, 300, "x"), text(400, 100, "y")]
    assert one("a.pdf", pdf(spaced)).text.split() == ["Invoice", "x", "y"]


def test_what_only_looks_like_a_table_stays_text() -> None:
    form = [["Name:", "Ann Lee"], ["City:", "Rome"], ["Phone:", "555 0199"]]
    document = one("a.pdf", pdf(aligned(form)))
    assert document.tables == () and document.text == "Name: Ann Lee\nCity: Rome\nPhone: 555 0199"
    frame = [box(50, 500, 500, 200), text(60, 650, "A note in a frame.")]
    assert one("a.pdf", pdf(frame)).tables == ()


def test_a_table_that_goes_on_over_the_page_is_one() -> None:
    more = [GRID[0], ["Board", "90,000", "none"]]
    document = one("a.pdf", pdf(ruled(GRID, top=100), ruled(more)))
    assert [len(table.rows) for table in document.tables] == [3]


def test_pdf_columns_are_read_one_after_the_other() -> None:
    left = [f"left line {at} has some words to read" for at in range(8)]
    right = [f"right line {at} has some words too" for at in range(8)]
    drawn = [text(50, 760, "A title over both of the columns of this page", 16)]
    drawn += [text(50, 720 - 13 * at, line) for at, line in enumerate(left)]
    drawn += [text(320, 720 - 13 * at, line) for at, line in enumerate(right)]
    drawn += [
        text(50, 580, "A closing line that runs over the whole width of the page, below both of the columns.")
    ]
    found = one("a.pdf", pdf(drawn)).text
    assert (
        found.index("left line 7")
        < found.index("right line 0")
        < found.index("right line 7")
        < found.index("closing")
    )


def test_pdf_lists_headings_and_rotated_pages() -> None:
    drawn = [
        text(50, 700, "Steps", 10, "F2"),
        text(50, 680, "- open the inbox"),
        text(60, 667, "and look"),
        text(50, 654, "- code it"),
    ]
    assert one("a.pdf", pdf(drawn)).text == "Steps\n\n- open the inbox and look\n- code it"
    turned = [f"0 1 -1 0 600 0 cm\n{text(50, 500, 'First line of it')}{text(50, 480, 'Second line of it')}"]
    document = one("a.pdf", pdf(turned, page="/Rotate 90"))
    assert document.text == "First line of it\nSecond line of it"


def test_pdf_pages_are_told() -> None:
    document = one("a.pdf", pdf([text(50, 700, "One " * 150)], [], [text(50, 700, "Three " * 150)]))
    assert [chunk.place.page for chunk in document.chunks] == [1, 3]


@needs_tesseract
def test_scanned_pages_and_pictures_are_recognised() -> None:
    lines = ["Approval limits for March", "Leads may approve up to 5000", "Heads approve all the rest"]
    for name, kind in (("scan.pdf", "PDF"), ("scan.png", "PNG"), ("scan.tiff", "TIFF")):
        document = one(name, picture_of(lines, kind))
        assert document.text.split() == " ".join(lines).split(), name
        assert document.chunks[0].place.page == 1
    assert document.media_type == "image/tiff"


@pytest.mark.parametrize(("name", "kind"), [("scan.pdf", "PDF"), ("scan.png", "PNG")])
def test_without_tesseract_a_scan_says_what_to_install(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "version", lambda: None)
    data = picture_of(["Text"], kind)
    if kind == "PDF":
        assert any("apt-get install tesseract-ocr" in warning for warning in one(name, data).warnings)
    else:
        with pytest.raises(InputError, match="apt-get install tesseract-ocr"):
            reading(name, data)


@needs_tesseract
def test_recognition_ends_in_time() -> None:
    found = read_bytes(picture_of(["Text"], "PDF"), "a.pdf", Path("a.pdf"), seconds=0.0)
    assert any("Time ran out" in warning for warning in found.documents[0].warnings)


# Outlook


def test_outlook_mails_with_attachments_and_attached_mails() -> None:
    inner = outlook("Inner", "The inner text.", files={"deep.csv": b"Id,Name\n" + b"1,a\n" * 1200})
    table = b"Id,Limit\n" + b"1,500\n" * 800
    data = compound(outlook("Limits", "The limit is 7,500.", files={"t.csv": table, "Inner": inner}))
    found = reading("memo.msg", data)
    assert [document.source for document in found.documents] == [
        "memo.msg",
        "memo.msg!t.csv",
        "memo.msg!Inner.eml",
        "memo.msg!Inner.eml!deep.csv",
    ]
    assert found.left_out == []
    head = found.documents[0]
    assert head.dated == "2024-03-04" and head.title == "Limits"
    assert head.text.startswith("From: Ann Lee <ann@x.example>\nTo: Bob\nDate: Mon, 04 Mar 2024")
    assert head.text.endswith("The limit is 7,500.")
    assert "The inner text." in found.documents[2].text


def test_outlook_mails_that_are_pages() -> None:
    page = "<html><body><p>The <b>limit</b></p><table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>"
    document = one("a.msg", compound(outlook("Page", **{"10130102": page.encode()})))
    assert "The limit" in document.text and document.tables[0].header == ("a", "b")


# Other formats and encodings


def test_rich_text() -> None:
    data = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\f0 Limits\par Gr\'fc\'dfe \u8364?5\par}"
    document = one("a.rtf", data)
    assert document.text == "Limits\n\nGrüße €5" and document.media_type == "application/rtf"


RUSSIAN = "Счёт должен быть утверждён руководителем отдела в течение трёх рабочих дней после получения."
POLISH = "Zażółć gęślą jaźń. Faktura musi zostać zatwierdzona przez kierownika działu w ciągu trzech dni."
GERMAN = "Die Größe der Rechnung wird geprüft; für höhere Beträge muss die Leitung zustimmen."
JAPANESE = "請求書は三日以内に部門長の承認を受けなければなりません。詳しくは担当者に連絡してください。"


@pytest.mark.parametrize(
    ("words", "encoding", "language"),
    [
        (RUSSIAN, "cp1251", "ru"),
        (RUSSIAN, "koi8_r", "ru"),
        (RUSSIAN, "utf-16-le", "ru"),
        (POLISH, "cp1250", "pl"),
        (GERMAN, "cp1252", "de"),
        (GERMAN, "utf-16-be", "de"),
        (GERMAN, "utf-32-le", "de"),
        (JAPANESE, "shift_jis", "ja"),
        (JAPANESE, "utf-8", "ja"),
    ],
)
def test_encodings_and_languages(words: str, encoding: str, language: str) -> None:
    document = one("a.txt", words.encode(encoding))
    assert document.text == words and document.language == language
    assert bool(document.warnings) == (not encoding.startswith("utf"))


def test_damaged_utf8_stays_utf8() -> None:
    document = one("a.txt", (GERMAN * 20).encode()[:-1] + b"\xff\xfe. \nEnde")
    assert document.text.startswith(GERMAN) and "damaged" in document.warnings[0]


def test_a_page_that_would_fetch_is_read_and_says_so() -> None:
    page = b"""<html><head><script src="https://x.example/a.js"></script></head><body><p>Text</p>
    <iframe src="http://x.example/"></iframe><img src="//x.example/p.png"><img src="data:image/gif;base64,R0"></body></html>"""
    document = one("a.html", page)
    assert document.text == "Text"
    assert document.warnings == ("The page refers to 3 addresses on the network; none was asked.",)


def test_a_text_of_one_endless_line_is_cut_between_words() -> None:
    document = one("a.txt", b"word " * 400_000)
    assert len(document.chunks) == 2_000


def test_mails_with_wrong_encodings() -> None:
    mail = b"Subject: Gr\xfc\xdfe\nFrom: a@x.example\nContent-Type: text/plain; charset=utf-8\n"
    document = one("a.eml", mail + b"Content-Transfer-Encoding: 8bit\n\n" + GERMAN.encode("cp1252"))
    assert GERMAN in document.text
    document.model_dump_json()


# What cannot be read


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.docx", compound({"EncryptedPackage": b"x", "EncryptionInfo": b"x"}), "protected by a password"),
        ("a.xlsx", compound({"EncryptedPackage": b"x"}), "protected by a password"),
        ("a.doc", compound({"WordDocument": b"x"}), r"save it as \.docx"),
        ("a.ppt", compound({"PowerPoint Document": b"x"}), r"save it as \.pptx"),
        ("a.xls", compound({"Workbook": b"x"}), "damaged or no Excel file"),
        ("a.msg", compound({"__properties_version1.0": b"x"}), "neither a mail head nor a text"),
        ("a.msg", compound(outlook("Limits"))[:2000], "damaged"),
        ("a.png", picture_of(["x"])[:300], "damaged"),
        ("a.ods", zipfile.ZipFile, r"save it as \.xlsx"),
        ("a.rtf", b"{\\rtf1", None),
    ],
    ids=str,
)
def test_what_cannot_be_read_says_why(name: str, data: Any, reason: str | None) -> None:
    if not isinstance(data, bytes):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as made:
            made.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
            made.writestr("content.xml", "<x/>")
        data = buffer.getvalue()
    if reason is None:
        assert one(name, data).text == ""
        return
    with pytest.raises(InputError, match=reason):
        reading(name, data)
