"""Excel files (.xlsx and .xls): every sheet's cells as people see them, divided into tables and notes."""

from __future__ import annotations

import datetime as dt
import io
import re
import warnings as python_warnings
from typing import TYPE_CHECKING, Any

from fde.errors import InputError
from ingest.blocks import Block, Content, one_line
from ingest.readers.grid import blocks_of

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

    from ingest.formats.base import Archive

MAX_CELLS = 2_000_000
# A merged area repeats its text so far and no further.
_MERGED_ROWS, _MERGED_COLUMNS = 1_000, 200
_NOT_COMPUTED = re.compile(rb"<f[^>]*>[^<]*</f>\s*(?:<v\s*/>|<v>\s*</v>|</c>)")
_GENERIC = re.compile(r"\w+?_?\d+")

_Filled = dict[tuple[int, int], str]
_Merged = list[tuple[int, int, int, int]]  # top, left, bottom, right, all inside


def read_xlsx(data: bytes, archive: Archive) -> Content:
    """The sheets of an Excel file: areas divided by blank rows and columns, tables where Excel has them.

    Cells hold what was last computed; a formula never computed is a warning.
    """
    import openpyxl

    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # parts of a file that openpyxl does not keep
        book = openpyxl.load_workbook(io.BytesIO(data), data_only=True, keep_links=False)
    content = Content([], one_line(str(book.properties.title or "")))
    sheets = [name for name in archive.names if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name)]
    if any(_NOT_COMPUTED.search(archive.read(name)) for name in sheets):
        content.warnings.append("Some formulas were never computed: open the file in Excel and save it.")
    cells = 0
    for sheet in book.worksheets:
        cells += _xlsx_sheet(sheet, content, MAX_CELLS - cells)
    if not content.title and book.worksheets:
        content.title = book.worksheets[0].title
    return content


def _xlsx_sheet(sheet: Worksheet, content: Content, room: int) -> int:
    """Read a sheet; returns how many cells it has."""
    filled: _Filled = {}
    # Only the cells that are there: a single one far out makes a sheet of billions.
    present = sheet._cells
    if len(present) > room:
        content.warnings.append(f"The sheet {sheet.title!r} was left out: more than {MAX_CELLS} cells.")
        return 0
    for (row, column), cell in present.items():
        text = cell_text(cell.value, str(cell.number_format or ""))
        if text:
            filled[row, column] = text
    if sheet.sheet_state != "visible":
        content.warnings.append(f"The sheet {sheet.title!r} is hidden; it was read.")
    merged = [(area.min_row, area.min_col, area.max_row, area.max_col) for area in sheet.merged_cells.ranges]
    tables = []
    for table in sheet.tables.values():
        left, top, right, bottom = _range(table.ref)
        headers = 1 if table.headerRowCount is None else int(table.headerRowCount)
        name = "" if _GENERIC.fullmatch(table.displayName or "") else str(table.displayName or "")
        tables.append((top, left, bottom, right, headers, name))
    _sheet(sheet.title, filled, merged, tables, content)
    return len(present)


def _range(ref: str) -> tuple[int, int, int, int]:
    from openpyxl.utils.cell import range_boundaries

    left, top, right, bottom = range_boundaries(ref)
    return int(left or 1), int(top or 1), int(right or 1), int(bottom or 1)


def _sheet(
    title: str,
    filled: _Filled,
    merged: _Merged,
    tables: list[tuple[int, int, int, int, int, str]],
    content: Content,
) -> None:
    """Put a sheet's blocks into the content."""
    for top, left, bottom, right in merged:
        text = filled.get((top, left), "")
        for row in range(top, min(bottom, top + _MERGED_ROWS) + 1) if text else ():
            for column in range(left, min(right, left + _MERGED_COLUMNS) + 1):
                filled[row, column] = text
    if not filled:
        return
    content.blocks.append(Block("heading", title, level=1, sheet=title))
    known = []
    for top, left, bottom, right, headers, name in tables:
        places = [key for key in filled if top <= key[0] <= bottom and left <= key[1] <= right]
        if len(places) < 2:
            continue
        inside = {key: filled.pop(key) for key in places}
        rows = sorted({row for row, _ in inside})
        columns = sorted({column for _, column in inside})
        cells = [[inside.get((row, column), "") for column in columns] for row in rows]
        known.append((top, left, Block("table", rows=cells, header_rows=headers, name=name, sheet=title)))
    content.blocks += blocks_of(filled, title, known)


def read_xls(data: bytes) -> Content:
    """The sheets of an Excel file of the years before 2007, as :func:`read_xlsx`."""
    import xlrd

    told = io.StringIO()
    try:
        book = xlrd.open_workbook(file_contents=data, formatting_info=True, logfile=told)
    except MemoryError:
        raise
    except Exception as error:  # xlrd lets errors of all kinds through on damaged files
        if "encrypted" in str(error).lower():
            raise InputError("it is protected by a password; save it without one") from error
        raise InputError(f"it is damaged or no Excel file: {error}") from error
    content = Content([])
    cells = 0
    for sheet in book.sheets():
        cells += sheet.nrows * sheet.ncols
        if cells > MAX_CELLS:
            content.warnings.append(f"The sheet {sheet.name!r} was left out: more than {MAX_CELLS} cells.")
            break
        if sheet.visibility:
            content.warnings.append(f"The sheet {sheet.name!r} is hidden; it was read.")
        filled = {
            (row, column): text
            for row in range(sheet.nrows)
            for column in range(sheet.row_len(row))
            if (text := _xls_text(book, sheet.cell(row, column)))
        }
        merged = [(top, left, bottom - 1, right - 1) for top, bottom, left, right in sheet.merged_cells]
        _sheet(sheet.name, filled, merged, [], content)
    content.title = next((name for name in book.sheet_names()), "")
    return content


def _xls_text(book: Any, cell: Any) -> str:
    import xlrd

    value = cell.value
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(value, ""))
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        value = bool(value)
    elif cell.ctype == xlrd.XL_CELL_DATE:
        try:
            date = xlrd.xldate_as_datetime(value, book.datemode)
        except (ValueError, OverflowError):
            return str(value)
        value = date.time() if 0 <= value < 1 else date
    elif cell.ctype == xlrd.XL_CELL_NUMBER and value == int(value):
        value = int(value)
    known = book.format_map.get(book.xf_list[cell.xf_index].format_key) if cell.xf_index is not None else None
    return cell_text(value, known.format_str if known is not None else "")


def cell_text(value: Any, number_format: str) -> str:
    """A cell's value as people read it, without thousands separators: numbers stay comparable."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dt.datetime):
        midnight = value.time() == dt.time(0)
        return value.date().isoformat() if midnight else value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, int | float):
        if "%" in number_format:
            return f"{round(value * 100, 6):.10g}%"
        return str(value) if isinstance(value, int) else f"{value:.12g}" if abs(value) < 1e12 else repr(value)
    return one_line(str(value))
