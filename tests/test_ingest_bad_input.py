"""Bad files among good ones, by command: a row with a clear reason each, and the exit code says so."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from ingest_files import compound, pdf, text

from fde.engagement import Engagement

ZEROS = "00" * 32
PASSWORD = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{ZEROS}> /U <{ZEROS}> /P -44 >> /ID [<00><00>] "


def packed(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    data = packed({"a.txt": b"deep"})
    for _ in range(depth):
        data = packed({"a.zip": data})
    return data


BAD = {
    "truncated.zip": (packed({"a.txt": b"some text " * 50})[:-30], "damaged zip archive"),
    "bomb.zip": (packed({"a.txt": b"\0" * 30_000_000}), "packed like a bomb"),
    "escape.zip": (packed({"../../evil.txt": b"x"}), "points out of the archive"),
    "nested.zip": (nested(9), "nested too deeply"),
    "locked.pdf": (pdf([text(50, 700, "secret")], head=PASSWORD), "protected by a password"),
    "locked.xlsx": (compound({"EncryptedPackage": b"x"}), "protected by a password"),
    "old.doc": (compound({"WordDocument": b"x"}), "save it as .docx"),
    "noise.dat": (bytes(range(256)) * 20, "binary file of an unknown kind"),
    "empty.txt": (b"", "empty"),
}
GOOD = {
    "russian.txt": "Счёт должен быть утверждён руководителем отдела в течение трёх дней.".encode("cp1251"),
    "fetching.html": b'<p>Text</p><img src="http://127.0.0.1:9/x.png"><script src="//x.example/a.js">',
    "cut.zip": packed({"fine.md": b"# Fine", "broken.pdf": b"%PDF-1.4 broken"}),
}


def test_bad_files_among_good_ones(fde: Any, engagement: Engagement, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name, (data, _) in BAD.items():
        (inbox / name).write_bytes(data)
    told = fde("-C", engagement.root, "ingest", "docs", inbox, "--json")
    assert told.code == 2 and told.out == "" and "Nothing could be read" in told.err
    for name, data in GOOD.items():
        (inbox / name).write_bytes(data)
    before = sorted(tmp_path.rglob("*"))
    told = fde("-C", engagement.root, "ingest", "docs", inbox, "--json")
    assert told.code == 1
    reasons = {row["source"]: row["error"] for row in told.json["failed"]}
    assert set(reasons) == {*BAD, "cut.zip!broken.pdf"}
    for name, (_, reason) in BAD.items():
        assert reason in reasons[name] and str(tmp_path) not in reasons[name], name
    warnings = {row["source"]: row["warnings"] for row in told.json["documents"]}
    assert set(warnings) == {"russian.txt", "fetching.html", "cut.zip!fine.md"}
    assert "read as cp1251" in warnings["russian.txt"][0]
    assert "2 addresses on the network; none was asked" in warnings["fetching.html"][0]
    after = [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(engagement.root)]
    assert after == [path for path in before if not path.is_relative_to(engagement.root)]
