"""PDFs and pictures: reading order, columns, tables with and without lines, text recognition."""

from __future__ import annotations

from pathlib import Path

import pytest
from ingest_files import box, cells, one, pdf, picture_of, reading, rule, text

from fde.errors import InputError
from ingest import ocr
from ingest.documents import read_bytes

needs_tesseract = pytest.mark.skipif(ocr.version() is None, reason="tesseract is not installed")


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
