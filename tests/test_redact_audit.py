"""The audit finds what others left behind, wherever it hides, and does not cry wolf."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from redact_corpus import IBAN, IBAN_SHOWN, ingest, key_file, policy, recording, vendors

from fde.engagement import Engagement
from fde.errors import MissingError
from redact.audit import Report, audit
from redact.stage import redact
from redact.vault import KEY_FILE_VARIABLE

MAIL = "marguerite.okonjo@northgate.example"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An engagement with a finished redaction, shared: every test puts its leak into a file of its own."""
    root = tmp_path_factory.mktemp("audit")
    patch = pytest.MonkeyPatch()
    key_file(patch, root)
    engagement = Engagement.create(root / "client", '[engagement]\nname = "Test"\n\n[redact]\n')
    ingest(engagement, documents=(policy(), vendors()), recordings=(recording(1),))
    redact(engagement)
    yield engagement
    patch.undo()


def audit_with(client: Engagement, name: str, content: str | bytes) -> Report:
    """The audit with one more file of a later stage; the file is removed again."""
    file = client.root / name
    made = [p for p in reversed(file.parents) if not p.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        return audit(client)
    finally:
        file.unlink()
        for folder in reversed(made):
            folder.rmdir()


def test_clean_output_passes(client: Engagement) -> None:
    report = audit(client)
    assert report.passed and report.leaks == 0 and report.leaked_types == {}
    assert report.checked_strings > 100 and report.originals > 20


X = "stages/redact/{run}/x.json"
PAGE = '- text: Signed in\n- cell "Mar"\n- cell "guer"\n- cell "ite Okonjo"'
LEAKS = {
    "exact": ("stages/envgen/r/workflow.json", json.dumps({"a": ["Marguerite Okonjo"]}), "PERSON"),
    "key": ("stages/envgen/r/workflow.json", json.dumps({"Marguerite Okonjo": 1}), "PERSON"),
    "last, first": ("reports/index.html", "<p>Okonjo, Marguerite</p>", "PERSON"),
    "split by tags": ("reports/index.html", "<b>Okon</b><i>jo</i> said", "NAME"),
    "given name alone": ("stages/evaluate/r/rows.jsonl", '{"t": "Ask Marguerite"}\n', "NAME"),
    "capitals": ("reports/notes.md", "MARGUERITE OKONJO", "PERSON"),
    "over two lines": ("reports/notes.md", "by Marguerite\nOkonjo", "PERSON"),
    "accents": ("reports/notes.md", "Márguerite Okönjo", "PERSON"),
    "look-alike letters": ("reports/notes.md", "M\u0430rgu\u0435rite \u041ek\u043enj\u043e", "PERSON"),
    "invisible characters": ("reports/notes.md", "Margu\u200berite Oko\u00adnjo", "PERSON"),
    "user name": ("stages/rl-x/r/curve.json", json.dumps({"who": "margueriteokonjo7"}), "PERSON"),
    "mail": ("stages/sft-x/r/result.json", json.dumps({"x": MAIL}), "EMAIL_ADDRESS"),
    "percent-encoded": ("reports/log.txt", f"GET /?q={quote(MAIL, safe='')}", "EMAIL_ADDRESS"),
    "base64": ("reports/log.txt", base64.b64encode(f"user {MAIL}".encode()).decode(), "EMAIL_ADDRESS"),
    "base64 in percent": (
        "reports/log.txt", quote(base64.b64encode(f"u {MAIL}!!".encode()).decode(), safe=""), "EMAIL_ADDRESS",
    ),
    "hex": ("reports/log.txt", MAIL.encode().hex(), "EMAIL_ADDRESS"),
    "HTML-escaped": (
        "reports/index.html", "marguerite&#46;okonjo&#64;northgate&#46;example", "EMAIL_ADDRESS",
    ),
    "JSON-escaped twice": ("reports/log.txt", r"Okonj\u006f, Marguerite", "PERSON"),
    "account with blanks": ("reports/log.txt", f"to {IBAN_SHOWN}.", "IBAN_CODE"),
    "account": ("stages/envgen/r/workflow.json", json.dumps({"iban": IBAN}), "IBAN_CODE"),
    "phone, other form": ("reports/log.txt", "call 040/55512-318", "PHONE_NUMBER"),
    "employee number": ("reports/log.txt", "EMP 40218", "ID_NUMBER"),
    "national id": ("reports/log.txt", "078051120", "NATIONAL_ID"),
    "date of birth": ("reports/log.txt", "1979/04/23", "DATE_OF_BIRTH"),
    "address": ("reports/log.txt", "Birkenweg 14", "ADDRESS"),
    "password": ("reports/log.txt", "login with Hunter2-xyz! ok", "SECRET"),
    "split over nodes": ("stages/envgen/r/workflow.json", json.dumps({"page": PAGE}), "NAME"),
    "file name": ("reports/Marguerite Okonjo.txt", "nothing", "PERSON"),
    "unknown mail": (X, json.dumps({"t": "a.b@elsewhere.example"}), "EMAIL_ADDRESS"),
    "unknown mail, later": ("reports/log.txt", "write to jo.doe@elsewhere.org", "EMAIL_ADDRESS"),
    "unknown account in a sentence": (X, json.dumps({"t": "To DE02 1203 0000 0000 2020 51."}), "IBAN_CODE"),
    "unknown account": (X, json.dumps({"t": "GB82WEST12345698765432"}), "IBAN_CODE"),
    "unknown phone": (X, json.dumps({"t": "+44 20 7946 0018"}), "PHONE_NUMBER"),
    "unknown person": (X, json.dumps({"t": "It was Ludwig Ostermann who asked for it today."}), "PERSON"),
    "unknown person with a title": (X, json.dumps({"t": "MRS. OSTERMANN"}), "PERSON"),
    "card": ("reports/log.txt", "paid with 4556 7375 8689 9855", "CREDIT_CARD"),
    "unknown national id": ("reports/log.txt", "SSN 219-09-9999", "NATIONAL_ID"),
    "API key": ("reports/log.txt", "key AKIAIOSFODNN7EXAMPLE", "SECRET"),
    "random secret": ("reports/log.txt", "x=q7Rk2ZpL9vTb4XwN8sYd", "SECRET"),
    "log-in in an address": ("reports/log.txt", "http://ann:s3cr3t@host/", "SECRET"),
}  # fmt: skip


@pytest.mark.parametrize("how", LEAKS)
def test_an_injected_leak_is_found_and_not_repeated(client: Engagement, how: str) -> None:
    name, content, kind = LEAKS[how]
    report = audit_with(client, name.format(run=client.latest("redact").id), content)
    assert not report.passed
    assert kind in report.leaked_types, report.leaked_types
    told = json.dumps(report.plain()).lower()
    for value in ("okonjo", "marguerite", "northgate", "0532013000", "elsewhere", "hunter2", "4556", "akia"):
        assert value not in told


FINE = {
    "amounts": ("reports/log.txt", "1,979,042.30 and 40,555,123.18 EUR, 20.354 pieces"),
    "digests": ("reports/log.txt", "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    # The check digits of their first sixteen are an account's, by chance.
    "digests as names of pictures": (
        "stages/redact/{run}/blobs/ba689abd93c9c6a7d08b5b5c04dd27f6d69755ebe9a87fb969e73dfc11660e38.txt",
        "x",
    ),
    "digits at the start of a digest": (X, json.dumps({"t": f"be68539007547034{'7' * 48}"})),
    "firm with a person's name": ("reports/log.txt", "Feldkamp Logistics GmbH was paid"),
    "made-up account of a later stage": (
        "stages/envgen/r/rows.json",
        json.dumps({"iban": "DE02120300000000202051"}),
    ),
    "everyday words": ("reports/log.txt", "Grant the request. Reset the mark, April 2026."),
    "picture in a report": (
        "reports/index.html",
        '<img src="data:image/png;base64,' + "aB3dE6gH9jK2" * 40 + '">',
    ),
    "names of goods on buttons": (X, json.dumps({"t": "Jordan Air", "u": "Add Paige Hoxton to cart"})),
    "people of a later stage": (
        "stages/envgen/r/rows.json",
        json.dumps({"t": "It was Ludwig Ostermann who asked for it today."}),
    ),
    "paths": ("reports/log.txt", "stages/rl-code-invoice/4f2a/adapter_model.safetensors"),
}


@pytest.mark.parametrize("what", FINE)
def test_what_is_not_personal_is_no_leak(client: Engagement, what: str) -> None:
    name, content = FINE[what]
    report = audit_with(client, name.format(run=client.latest("redact").id), content)
    assert report.passed, report.findings


def test_the_tracking_database_and_weights_are_read(client: Engagement) -> None:
    with sqlite3.connect(client.mlflow_db) as database:
        database.execute("CREATE TABLE params (key TEXT, value TEXT)")
        database.execute("INSERT INTO params VALUES ('prompt', 'Dear Marguerite Okonjo')")
    database.close()
    report = audit(client)
    client.mlflow_db.unlink()
    assert [(f.type, f.place) for f in report.findings] == [("PERSON", "mlflow.db#params.value row 1")] or {
        f.type for f in report.findings
    } == {"PERSON", "NAME"}
    header = json.dumps({"__metadata__": {"note": "Marguerite Okonjo"}}).encode()
    weights = len(header).to_bytes(8, "little") + header
    assert "PERSON" in audit_with(client, "models/x/adapter.safetensors", weights).leaked_types


def test_pictures_are_counted_as_not_read(client: Engagement) -> None:
    report = audit_with(client, "reports/shot.png", b"\x89PNG")
    assert report.passed and report.pictures_not_read == 1


def test_an_unreleased_run_is_not_part_of_what_is_read(client: Engagement) -> None:
    assert audit_with(
        client, "stages/redact/unfinished/documents/x.json", '{"t": "Marguerite Okonjo"}'
    ).passed


def test_without_key_or_output_nothing_is_vouched_for(
    engagement: Engagement, client: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "none.key"))
    with pytest.raises(MissingError, match="key is not at"):
        audit(client)
    with pytest.raises(MissingError, match="fde redact run"):
        audit(engagement)
