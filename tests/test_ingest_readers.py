"""Readers of slides, Outlook's mails, rich text and pages; encodings and languages; what cannot be read."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from ingest_files import cells, compound, one, outlook, picture_of, reading

from fde.errors import InputError

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
    grid = "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>"
    page = f"<html><body><p>The <b>limit</b></p>{grid}"
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
    <iframe src="http://x.example/"></iframe><img src="//x.example/p.png">
    <img src="data:image/gif;base64,R0"></body></html>"""
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
