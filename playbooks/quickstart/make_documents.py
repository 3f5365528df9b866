"""Write the sample company's documents: ``python -m playbooks.quickstart.make_documents``.

The same texts always give the same files, apart from compression and the browser's way of
writing a PDF: time stamps inside the files are those of the documents, not of the run.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from html import escape
from pathlib import Path

from docx import Document as new_docx
from docx.oxml import OxmlElement
from openpyxl import Workbook
from openpyxl.styles import Font

from fde.artifacts import write_bytes
from fde.errors import FdeError
from ingest.browser import launch
from playbooks.quickstart import company, texts
from playbooks.quickstart.texts import Block, Grid, Heading

FOLDER = Path(__file__).parent / "documents"
DOCX_TYPE = ("application", "vnd.openxmlformats-officedocument.wordprocessingml.document")
_ZIP_TIME = (2025, 1, 1, 0, 0, 0)
_PDF_TIMES = re.compile(rb"\(D:[0-9]{14}[^)]*\)")


def docx(blocks: Sequence[Block], dated: str) -> bytes:
    """A Word document."""
    document = new_docx()
    moment = datetime.fromisoformat(dated)
    properties = document.core_properties
    properties.author = company.NAME
    properties.created = properties.modified = moment
    properties.title = next(block.text for block in blocks if isinstance(block, Heading))
    for block in blocks:
        if isinstance(block, Heading):
            document.add_heading(block.text, block.level)
        elif isinstance(block, Grid):
            table = document.add_table(rows=1, cols=len(block.header), style="Table Grid")
            for row in (block.header, *block.rows):
                cells = table.rows[0].cells if row is block.header else table.add_row().cells
                for cell, text in zip(cells, row, strict=True):
                    cell.text = text
            # Says which row is the header, as Word's "repeat header row" does.
            table.rows[0]._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
        else:
            document.add_paragraph(block.text)
    buffer = io.BytesIO()
    document.save(buffer)
    return _fixed(buffer.getvalue(), dated)


def xlsx(sheets: dict[str, Grid], dated: str) -> bytes:
    """A workbook; every sheet begins with its header row."""
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, grid in sheets.items():
        sheet = book.create_sheet(name)
        for row in (grid.header, *grid.rows):
            sheet.append(list(row))
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for number, width in enumerate(_widths(grid)):
            sheet.column_dimensions["ABCDEFGHIJ"[number]].width = width
        sheet.freeze_panes = "A2"
    buffer = io.BytesIO()
    book.save(buffer)
    return _fixed(buffer.getvalue(), dated)


def _widths(grid: Grid) -> list[int]:
    columns = zip(grid.header, *grid.rows, strict=True)
    return [max(len(text) for text in column) + 3 for column in columns]


def _fixed(data: bytes, dated: str) -> bytes:
    """An Office file with the document's own date in place of the moment it was written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                stamp = f">{dated}T00:00:00Z</dcterms:".encode()
                content = re.sub(rb">[^<]*</dcterms:", stamp, content)
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, content)
    return buffer.getvalue()


def html(blocks: Sequence[Block]) -> str:
    """A web page."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            tag = f"h{block.level + 1}"
            parts.append(f"<{tag}>{escape(block.text)}</{tag}>")
        elif isinstance(block, Grid):
            head = "".join(f"<th>{escape(text)}</th>" for text in block.header)
            rows = "".join(
                "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>\n" for row in block.rows
            )
            parts.append(f"<table>\n<tr>{head}</tr>\n{rows}</table>")
        else:
            parts.append(f"<p>{escape(block.text)}</p>")
    title = escape(next(block.text for block in blocks if isinstance(block, Heading)))
    style = (
        "body { font: 11pt/1.5 sans-serif; max-width: 46rem; margin: 2rem auto; } "
        "table { border-collapse: collapse; } "
        "th, td { border: 1px solid #999; padding: 4px 8px; text-align: left; }"
    )
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def pdf(blocks: Sequence[Block], dated: str) -> bytes:
    """A PDF, printed by the browser.

    Raises:
        MissingError: when there is no browser.
    """
    with launch() as browser:
        page = browser.new_page()
        page.set_content(html(blocks))
        data = page.pdf(format="A4", print_background=False)
    # The stamp keeps its length: a PDF finds its parts by byte offsets.
    stamp = f"(D:{dated.replace('-', '')}000000+00'00')".encode()
    return _PDF_TIMES.sub(lambda found: stamp if len(found[0]) == len(stamp) else found[0], data)


def memo_mail() -> bytes:
    """The mail that carries the memo as an attachment."""
    mail = EmailMessage(policy=SMTP)
    sender, recipients = texts.PRIYA, (*company.CLERKS, *company.MANAGERS[:2])
    mail["From"] = f"{sender.name} <{sender.mail}>"
    mail["To"] = ", ".join(f"{person.name} <{person.mail}>" for person in recipients)
    mail["Subject"] = "Approval limits from 1 March 2026"
    mail["Date"] = datetime.fromisoformat(f"{texts.MEMO_DATE}T09:12:00").replace(tzinfo=UTC)
    mail["Message-ID"] = f"<approval-limits-2026@{company.MAIL_DOMAIN}>"
    mail.set_content(texts.MEMO_MAIL)
    maintype, subtype = DOCX_TYPE
    mail.add_attachment(
        docx(texts.MEMO, texts.MEMO_DATE),
        maintype=maintype,
        subtype=subtype,
        filename="memo-payment-holds.docx",
    )
    mail.set_boundary("=_meridian-memo")
    return mail.as_bytes()


MAKERS: dict[str, Callable[[], bytes]] = {
    "ap-policy.docx": lambda: docx(texts.POLICY, texts.POLICY_DATE),
    "approval-matrix.xlsx": lambda: xlsx(
        {"Matrix": texts.MATRIX_SHEET, "Approvers": texts.APPROVER_SHEET}, texts.POLICY_DATE
    ),
    "vendor-master.xlsx": lambda: xlsx({"Vendors": texts.VENDOR_SHEET}, texts.WIKI_DATE),
    "memo-payment-holds.eml": memo_mail,
    "coding-process.pdf": lambda: pdf(texts.PROCESS, texts.PROCESS_DATE),
    "payables-wiki.html": lambda: html(texts.WIKI).encode("utf-8"),
}
"""File name -> what writes its bytes."""


def make_documents(folder: Path = FOLDER) -> list[Path]:
    """Write all documents into ``folder`` and return their paths."""
    made = []
    for name, make in MAKERS.items():
        write_bytes(folder / name, make())
        made.append(folder / name)
    return made


def main() -> int:
    """Write the documents and print their paths."""
    parser = argparse.ArgumentParser(
        prog="python -m playbooks.quickstart.make_documents", description=__doc__
    )
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder to write to")
    options = parser.parse_args()
    try:
        for path in make_documents(options.to):
            print(path)
    except FdeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
