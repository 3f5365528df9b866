"""The sample company's documents: readable, current, and carrying the rules the work needs."""

from __future__ import annotations

import email
import email.policy
import io
import zipfile
from pathlib import Path

import docx
import openpyxl
import pdfplumber
import pytest

from playbooks.quickstart import company, make_documents, texts, truth

FOLDER = make_documents.FOLDER
OFFICE = ("ap-policy.docx", "approval-matrix.xlsx", "vendor-master.xlsx")


def docx_text(data: bytes) -> str:
    document = docx.Document(io.BytesIO(data))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([paragraph.text for paragraph in document.paragraphs] + cells)


def attachment() -> tuple[str, bytes]:
    mail = email.message_from_bytes(
        (FOLDER / "memo-payment-holds.eml").read_bytes(), policy=email.policy.default
    )
    (part,) = mail.iter_attachments()
    return str(mail["Date"]), part.get_content()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_every_document_is_there() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(make_documents.MAKERS)


@pytest.mark.parametrize("name", OFFICE)
def test_office_files_are_what_the_generator_makes(name: str) -> None:
    assert members((FOLDER / name).read_bytes()) == members(make_documents.MAKERS[name]())


def test_mail_and_page_are_what_the_generator_makes() -> None:
    assert (FOLDER / "payables-wiki.html").read_text(encoding="utf-8") == make_documents.html(texts.WIKI)
    assert members(attachment()[1]) == members(make_documents.docx(texts.MEMO, texts.MEMO_DATE))


def test_matrix_is_the_truth() -> None:
    sheet = openpyxl.load_workbook(FOLDER / "approval-matrix.xlsx")["Matrix"]
    header, *rows = sheet.iter_rows(values_only=True)
    assert header == ("Category", "Cost centre", "Account", "Approver")
    assert {str(row[0]): tuple(str(cell) for cell in row[1:]) for row in rows} == truth._MATRIX


def test_memo_amends_the_policy_later() -> None:
    policy = docx_text((FOLDER / "ap-policy.docx").read_bytes())
    date, memo = attachment()
    assert "is above 4" in policy
    assert "is above 4" not in docx_text(memo)
    assert "above 6" in docx_text(memo)
    assert "18 Feb 2026" in date
    assert texts.MEMO_DATE > texts.POLICY_DATE


def test_pdf_can_be_read() -> None:
    with pdfplumber.open(FOLDER / "coding-process.pdf") as pdf:
        text = " ".join(page.extract_text() for page in pdf.pages)
    assert "Resolve a rejected invoice" in text
    assert "Aisha Rahman" in text


def test_people_appear_under_several_names_and_nobody_is_real() -> None:
    policy = docx_text((FOLDER / "ap-policy.docx").read_bytes())
    wiki = (FOLDER / "payables-wiki.html").read_text(encoding="utf-8")
    maria = company.CLERKS[0]
    for form in (maria.short, maria.listed, maria.number, maria.mail, maria.phone):
        assert form in policy
    assert maria.name in wiki
    assert all(person.mail.endswith(".example") for person in company.EMPLOYEES)
    assert all(vendor.mail.endswith(".example") for vendor in company.VENDORS)


def test_ibans_are_well_formed() -> None:
    for vendor in company.VENDORS:
        assert company.iban_remainder(vendor.iban) == 1
        assert len(vendor.iban) == company.IBAN_LENGTH[vendor.country]
    assert company.iban_remainder("DE89370400440532013000") == 1
    assert company.iban_remainder("DE88370400440532013000") != 1


def test_documents_can_be_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        make_documents,
        "MAKERS",
        {name: make for name, make in make_documents.MAKERS.items() if "pdf" not in name},
    )
    made = make_documents.make_documents(tmp_path)
    assert {path.name for path in made} == set(make_documents.MAKERS)
