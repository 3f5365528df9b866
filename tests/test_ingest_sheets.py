"""Sheets: several tables, headers of two rows, notes, old files, text under their name; tables for pandas."""

from __future__ import annotations

import io
from typing import Any

import pytest
from ingest_files import cells, one


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
    from openpyxl.utils.cell import column_index_from_string as index
    from openpyxl.utils.cell import coordinate_from_string, get_column_letter

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
