"""The HTML of recorded pages: what stays, what is replaced, what goes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html
from redact_corpus import IBAN, KEPT, PERSONAL, ingest, key_file, policy, recording, vendors

from fde.artifacts import write_bytes
from fde.engagement import Engagement
from fde.errors import LeakError
from ingest.browser import launch, new_page
from ingest.page import take_snapshot
from ingest.recording import Recording
from ingest.recordings import read_recordings
from redact.audit import audit
from redact.collect import Observer
from redact.corpus import Context
from redact.markup import map_markup
from redact.stage import redact

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "playbooks" / "quickstart" / "recordings" / "update-bank" / "01.fderec"

PAGE = f"""<!doctype html>
<html lang="en" data-user="margueriteokonjo" onload="hello('Marguerite Okonjo')">
<head>
  <title>Invoice INV-4821 - Marguerite Okonjo</title>
  <meta name="author" content="Marguerite Okonjo">
  <link rel="stylesheet" href="/theme/okonjo.css">
  <style>.okonjo::after {{ content: "Marguerite Okonjo" }}</style>
  <script>var user = "Marguerite Okonjo";</script>
</head>
<body class="okonjo" style="background: url(okonjo.png)">
<!-- Marguerite Okonjo was here -->
<p>Signed in as <b>Mar</b><i>guer</i><span>ite</span> Okonjo</p>
<p>INV-4822<span>Marguerite</span></p>
<a href="/users/tobias.feldkamp?q=marguerite.okonjo%40northgate.example" title="Tobias Feldkamp">
  Feldkamp,
      Tobias</a>
<a href="javascript:alert('Okonjo')">Grant access</a>
<img src="/people/marguerite-okonjo.jpg" alt="Marguerite Okonjo">
<table>
  <thead><tr><th>Vendor</th><th>Contact</th><th>Employee number</th><th>Amount</th></tr></thead>
  <tr id="row-okonjo"><td>Brass Paper</td><td>Lena Whitaker</td><td>4711</td><td>4,120.00</td></tr>
</table>
<dl><dt>SSN</dt><dd>078-05-1120</dd></dl>
<form action="/vendors?by=Lena+Whitaker">
  <label for="f1">IBAN</label><input id="f1" name="x" value="{IBAN}" placeholder="like {IBAN}">
  <input type="password" name="old" value="Hunter2-xyz!">
  <input type="hidden" name="csrf_token" value="Zr8Kq2Lm9Xv4Bn7Tc1Wd">
  <select name="approver"><option value="tobias.feldkamp@northgate.example" selected>Tobias Feldkamp</option>
  <option>Head of finance</option></select>
  <textarea name="note">called Lena Whitaker
about PO-70809</textarea>
</form>
<div data-row='{{"contact": "Whitaker, Lena", "cost_centre": "CC-310", "n": 7}}'
  data-photo="data:image/png;base64,{"QUJD" * 90}" data-okonjo="1" aria-label="Call Lena Whitaker"
  aria-describedby="row-okonjo f1">Net 30</div>
<iframe src="/x" srcdoc="Marguerite Okonjo"></iframe>
<section><template shadowrootmode="open"><em>M. Okonjo</em></template></section>
<template><p>Marguerite Okonjo, unseen</p></template>
<noscript>Okonjo</noscript>
<svg><title>Okonjo</title><path d="M0 0"/><script>okonjo()</script></svg>
<x-okonjo>Packaging</x-okonjo>
</body></html>
"""


def with_page(client: Engagement, page: bytes) -> None:
    ingest(client, documents=(policy(), vendors()), recordings=(recording(1),))
    write_bytes(client.latest("ingest-recordings").path / "blobs" / "dom.html", page)


@pytest.fixture
def client(engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engagement:
    key_file(monkeypatch, tmp_path)
    with_page(engagement, PAGE.encode())
    return engagement


def redacted(client: Engagement) -> str:
    run = redact(client)
    (file,) = (run.path / "blobs").glob("*.html")
    return file.read_text(encoding="utf-8")


def test_nothing_personal_is_left_and_the_structure_is(client: Engagement) -> None:
    text = redacted(client)
    rest = re.sub(r"(?i)feldkamp\s?logistics( gmbh)?", "", text).lower()
    assert [rest[max(0, rest.index(v.lower()) - 60) :][:120] for v in PERSONAL if v.lower() in rest] == []
    assert [
        gone for gone in ("4711", "script", "style", "hello", "<!--", "base64", "iframe") if gone in rest
    ] == []
    page = html.document_fromstring(text)
    kept = (
        "Brass Paper",
        "INV-4821",
        "4,120.00",
        "PO-70809",
        "CC-310",
        "Packaging",
        "Grant access",
        "Net 30",
    )
    assert set(kept) <= set(KEPT) and [value for value in kept if value not in text] == []
    assert [len(row) for row in page.iter("tr")] == [4, 4]
    assert len(page.findall(".//option")) == 2 and page.find(".//option").get("selected") is not None
    assert page.find(".//template").get("shadowrootmode") == "open"
    assert len(page.findall(".//template")) == 1
    row = list(page.iter("tr"))[1]
    assert f"{row.get('id')} f1" == page.find(".//*[@aria-describedby]").get("aria-describedby")
    assert page.find(".//input[@type='password']").get("value") == "••••"
    assert page.find(".//img").attrib.keys() == ["alt"]


def test_it_says_the_same_as_the_snapshot(client: Engagement) -> None:
    run = redact(client)
    (file,) = (run.path / "recordings").glob("*.json")
    step = Recording.model_validate_json(file.read_bytes()).steps[1]
    assert step.before is not None and step.before.dom is not None
    page = html.document_fromstring((run.path / "blobs" / step.before.dom).read_text(encoding="utf-8"))
    title = page.find(".//title").text
    assert title == step.before.title
    full = title.removeprefix("Invoice INV-4821 - ")
    given, family = full.split()
    lines = [" ".join(p.text_content().split()) for p in page.findall(".//p")]
    assert lines == [f"Signed in as {full}", f"INV-4822{given}"]
    assert page.find(".//em").text == f"{given[0]}. {family}"
    assert page.find(".//input[@id='f1']").get("value") in step.action.text() + step.before.text.replace(
        " ", ""
    )
    mail = f"{given}.{family}@northgate.example".lower()
    assert page.find(".//a").get("href").endswith("?q=" + mail.replace("@", "%40"))
    contact = json.loads(page.find(".//div").get("data-row"))
    assert contact["cost_centre"] == "CC-310" and contact["n"] == 7
    assert contact["contact"] == ", ".join(reversed(list(page.iter("td"))[1].text.split()))
    counts = run.manifest().counts
    assert (counts["doms_redacted"], counts["doms_dropped"]) == (9, 0)


def test_a_browser_sees_in_it_what_the_redacted_snapshot_says(
    engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key_file(monkeypatch, tmp_path)
    found = read_recordings(SAMPLE)
    ingest(engagement, recordings=tuple(found.recordings))
    for name, data in found.blobs.items():
        write_bytes(engagement.latest("ingest-recordings").path / "blobs" / name, data)
    run = redact(engagement)
    (file,) = (run.path / "recordings").glob("*.json")
    pages = [s for step in Recording.model_validate_json(file.read_bytes()).steps if (s := step.before)]
    with launch() as browser:
        page = new_page(browser)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for shown in {s.dom: s for s in pages}.values():
            assert shown.dom is not None
            page.set_content((run.path / "blobs" / shown.dom).read_text(encoding="utf-8"))
            assert take_snapshot(page).text == shown.text
        assert asked == []


def test_what_stands_in_the_html_alone_is_found_too(client: Engagement) -> None:
    page = "<table><tr><th>Contact<th>Amount</tr><tr><td>Zebedee Quartermain<td>1.00</tr></table>"
    with_page(client, page.encode())
    text = redacted(client)
    assert "Zebedee" not in text and "Quartermain" not in text and "1.00" in text


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b" \n",
        b"<!-- Okonjo -->",
        b"<div>" * 5_000 + b"Marguerite Okonjo",
        b"<p>Okonjo" + b" x" * 6_000_000,
    ],
    ids=["empty", "blank", "comment", "deep", "huge"],
)
def test_what_cannot_be_read_is_left_out_and_counted(client: Engagement, page: bytes) -> None:
    with_page(client, page)
    run = redact(client)
    counts = run.manifest().counts
    files = list((run.path / "blobs").glob("*"))
    assert all(b"okonjo" not in file.read_bytes().lower() for file in files)
    assert counts["doms_redacted"] + counts["doms_dropped"] == 9 and bool(files) == bool(
        counts["doms_redacted"]
    )


def test_the_audit_reads_the_html(client: Engagement) -> None:
    run = redact(client)
    blob = run.path / "blobs" / "late.html"
    for leak in (
        "<p title='by Marguerite Okonjo'>x</p>",
        "<p>by <b>Mar</b>gue<i>ri</i>te Ok<b>on</b>jo</p>",
        "<td>Mar</td><td>guerite Okonjo</td>",
        "<script>x = 'Okon' + '', 'Marguerite Okonjo'</script>",
        "<p>marguerite&#46;okonjo&#64;northgate&#46;example</p>",
    ):
        blob.write_text(f"<!doctype html><html><body><p>Net 30</p>{leak}</body></html>")
        report = audit(client)
        assert not report.passed, leak
        assert all(
            "late.html" in f.place and "okonjo" not in json.dumps(f.place).lower() for f in report.findings
        )
    blob.unlink()
    assert audit(client).passed


def test_a_leak_in_the_html_blocks_the_release(client: Engagement) -> None:
    hidden = b"tobias.feldkamp@northgate.example".hex()
    with_page(client, f"<p>{hidden}</p>".encode())
    with pytest.raises(LeakError, match="EMAIL_ADDRESS"):
        redact(client)


def shown(page: bytes) -> str:
    return "".join(html.document_fromstring(page.decode()).text_content().split())


class Masking:
    """A visitor that leaves nothing of any text, so that what is left was never shown to it."""

    def __init__(self) -> None:
        self.within = Observer().within

    def text(self, text: str, context: Context) -> str:
        return re.sub(r"\S", "_", text)

    def edits(self, text: str, context: Context) -> list[tuple[int, int, str]]:
        return [(*word.span(), "_" * len(word[0])) for word in re.finditer(r"\S+", text)]


PIECES = st.sampled_from(
    """QZX <b> </b> <p> </p> <table> <tr> <td> </table> <svg> <math> <title> <textarea> </textarea> <style>
    </style> <script> </script> <!-- --> <![CDATA[ ]]> <?x ?> <select> <option> <plaintext> <xmp> <iframe>
    <noscript> &lt; &#1; &#60;script&#62; \x00 \x0b <a_href="QZX"> <a_title='QZX <p_QZX> <p_data-x=QZX> <br>
    <p_data-qzx=1> <QZX> <q:zx> <template> <template_shadowrootmode=open> <p_on=QZX> > " </ < é 😀
    <p_class=QZX_id=QZX> <img_src=QZX_alt=QZX> <a_href=javascript:QZX> <object_data=QZX> <form_action=QZX>
    <input_value=QZX> <base_href=QZX> <meta_content=QZX> <p_data-x='["QZX",_{"QZX":_"QZX"}]'> <!doctype_QZX>
    <a_href='data:text/html,QZX'>""".replace("\x00", "NUL")
    .replace("\x0b", "VT")
    .split()
).map(lambda piece: piece.replace("_", " ").replace("NUL", "\x00").replace("VT", "\x0b"))


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=30))
def test_no_text_passes_that_the_visitor_was_not_shown(pieces: list[str]) -> None:
    page = map_markup("".join(pieces).encode(), Masking())
    if page is not None:
        text = page.decode().lower()
        assert "qzx" not in text
        assert not re.search(
            r"<(?:script|style|iframe|object|base|noscript|xmp|plaintext)\b|javascript:", text
        )
        # What is written is read as it was meant: the same text comes out of it again.
        again = map_markup(page, Masking())
        assert again is not None and shown(again) == shown(page)
