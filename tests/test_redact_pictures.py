"""Screenshots: what is covered, what stays, and what happens without text recognition."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from redact_corpus import ingest, key_file

from fde.artifacts import write_bytes
from fde.engagement import Engagement
from fde.errors import LeakError, MissingError
from ingest import ocr
from ingest.action import Action
from ingest.ocr import Word
from ingest.recording import RecordedStep, Recording, Snapshot
from redact.audit import audit
from redact.pictures import Known, Pictures, boxes
from redact.stage import redact

recognises = pytest.mark.skipif(ocr.version() is None, reason=f"tesseract is not installed. {ocr.INSTALL}")

LINES = (
    "Signed in as Marguerite Okonjo",
    "Invoice INV-4821 Packaging 4,120.00",
    "Contact Lena Whitaker",
    "Only in the picture Zebedee Quartermain",
)
TEXT = """- text: Signed in as Marguerite Okonjo
- heading "Invoice INV-4821" [level=1]
- text: Packaging 4,120.00
- term: Contact
- definition: Lena Whitaker
- text: Only in the picture
"""


def drawn(*lines: str) -> bytes:
    from PIL import Image, ImageDraw, ImageFont
    from PIL.PngImagePlugin import PngInfo

    picture = Image.new("RGB", (640, 60 + 60 * len(lines)), "white")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((40, 40 + 60 * number), line, fill="black", font=ImageFont.load_default(size=20))
    notes = PngInfo()
    notes.add_text("Author", "Marguerite Okonjo")
    out = io.BytesIO()
    picture.save(out, "PNG", pnginfo=notes)
    return out.getvalue()


@pytest.fixture
def client(engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engagement:
    key_file(monkeypatch, tmp_path)
    page = Snapshot(url="http://127.0.0.1:8000/", title="Invoice", text=TEXT, screenshot="a.png")
    lost = page.model_copy(update={"screenshot": "lost.png"})
    steps = (
        RecordedStep(before=None, action=Action(verb="goto", value=page.url), after=page),
        RecordedStep(before=page, action=Action(verb="done"), after=lost),
    )
    recording = Recording(
        id="r", workflow="w", instruction="Look at INV-4821.", source_format="fde", steps=steps
    )
    ingest(engagement, recordings=(recording,))
    write_bytes(engagement.latest("ingest-recordings").path / "blobs" / "a.png", drawn(*LINES))
    return engagement


def seen(data: bytes) -> str:
    return " ".join(word.text for word in ocr.read_words(data, scale=2.0))


def configure(client: Engagement, text: str) -> None:
    config = client.config_path.read_text()
    client.config_path.write_text(config.replace("[redact]\n", f"[redact]\n{text}\n"))


@recognises
def test_personal_words_are_covered_and_the_rest_is_to_be_read(client: Engagement) -> None:
    run = redact(client)
    counts = run.manifest().counts
    assert (counts["screenshots_redacted"], counts["screenshots_dropped"]) == (2, 1)
    assert counts["audit_pictures_read"] == 1 and counts["audit_leaks"] == 0
    (file,) = (run.path / "blobs").iterdir()
    after = Recording.model_validate_json(next((run.path / "recordings").glob("*.json")).read_bytes())
    shown = [s.screenshot for step in after.steps for s in (step.before, step.after) if s]
    assert shown == [file.name, file.name, None]
    data = file.read_bytes()
    text = seen(data)
    for word in ("Invoice", "INV-4821", "Packaging", "4,120.00", "Contact", "Signed"):
        assert word in text
    for word in ("Marguerite", "Okonjo", "Lena", "Whitaker", "Zebedee", "Quartermain"):
        assert word not in text
    assert b"Marguerite" not in data and b"Author" not in data


@recognises
def test_the_audit_reads_pictures_of_later_stages(client: Engagement) -> None:
    redact(client)
    write_bytes(client.reports / "shot.png", drawn("The clerk was Marguerite Okonjo"))
    report = audit(client)
    assert not report.passed and "PERSON" in report.leaked_types
    assert any("picture" in f.place and "shot.png" in f.place for f in report.findings)
    write_bytes(client.reports / "shot.png", drawn("The clerk was Margueritte"))
    assert any("misread" in f.how for f in audit(client).findings)
    write_bytes(client.reports / "shot.png", b"\x89PNG no picture")
    report = audit(client)
    assert report.passed and report.pictures_not_read == 1 and report.pictures_read == 1


@recognises
def test_a_leak_in_a_picture_blocks_the_release(client: Engagement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pictures, "hidden", lambda *_: set())
    with pytest.raises(LeakError):
        redact(client)
    with pytest.raises(MissingError):
        client.latest("redact")


def test_without_text_recognition_pictures_are_dropped_and_it_is_said(
    client: Engagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "version", lambda: None)
    told: list[str] = []
    run = redact(client, progress=told.append)
    counts = run.manifest().counts
    assert (counts["screenshots_redacted"], counts["screenshots_dropped"]) == (0, 3)
    assert any("Dropping 3 screenshots: tesseract" in line for line in told)
    assert not (run.path / "blobs").exists()
    configure(client, 'screenshots = "redact"')
    with pytest.raises(MissingError, match="tesseract"):
        redact(client)


def test_pictures_are_dropped_where_the_client_says_so(client: Engagement) -> None:
    configure(client, 'screenshots = "drop"')
    told: list[str] = []
    assert redact(client, progress=told.append).manifest().counts["screenshots_dropped"] == 3
    assert "Dropping 3 screenshots, as fde.toml says" in told


def word(text: str, left: float, width: float, line: int = 0) -> Word:
    return Word(text, left, 20 + 40 * line, left + width, 36 + 40 * line, 0.9, line)


def test_the_width_of_a_box_tells_no_length() -> None:
    short = boxes([word("Bo", 70, 20)], {0}, (800, 100))
    long = boxes([word("Montgomery", 70, 95)], {0}, (800, 100))
    assert short == long
    (box,) = short
    assert box[0] <= 67 and box[2] >= 168 and box[1] < 20 and box[3] > 36


def test_a_visible_word_is_covered_whole_or_not_at_all() -> None:
    words = [word("Ann", 70, 40), word("Packaging", 120, 90), word("Freight", 400, 60)]
    (box,) = boxes(words, {0}, (800, 100))
    assert box[2] >= 210 and box[2] < 400


def test_what_is_not_known_is_covered() -> None:
    def edits(text: str, _context: Any) -> list[tuple[int, int, str]]:
        at = text.find("Ann Lee")
        return [(at, at + 7, "x")] if at >= 0 else []

    pictures = Pictures(edits, {"packaging", "cc-310"})
    known = Known()
    known.learn(["Approved by Ann Lee for Grant"], ["Approved by Kim Oak for Grant"])
    assert known.kept == {"approved", "by", "for", "grant"} and known.gone == {"ann", "lee"}
    shown = ["Approved", "by", "Ann", "Lee", "Anm", "Packaging", "CC-310", "CC-311", "the", "7", "•"]
    words = [word(text, 60 * i, 50) for i, text in enumerate(shown)]
    hidden = pictures.hidden(words, known)
    assert [words[i].text for i in sorted(hidden)] == ["Ann", "Lee", "Anm", "CC-311", "7"]
    # Broken over two lines.
    broken = [word("Ann", 0, 40), word("Lee", 0, 40, line=1)]
    assert pictures.hidden(broken, Known(kept={"ann", "lee"})) == {0, 1}
