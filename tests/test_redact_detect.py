"""What is found in single texts, what is left alone, and that nothing is fetched to do it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fde.errors import MissingError
from redact import addresses, detect, names, patterns, people
from redact.checks import IDENTIFIERS, card, compact, iban, luhn
from redact.detect import Detector
from redact.labels import kind_of
from redact.spans import Span, settle


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def found(detector: Detector, text: str) -> set[tuple[str, str]]:
    return {(s.type, text[s.start : s.end]) for s in detector.find([text])[0]}


PERSONAL = [
    ("Write to ann.b-lee+x@mail.example, please", ("EMAIL_ADDRESS", "ann.b-lee+x@mail.example")),
    ("Pay to GB82 WEST 1234 5698 7654 32 today", ("IBAN_CODE", "GB82 WEST 1234 5698 7654 32")),
    ("card 4556-7375-8689-9855 expires", ("CREDIT_CARD", "4556-7375-8689-9855")),
    ("Call +44 (0)20 7946 0018.", ("PHONE_NUMBER", "+44 (0)20 7946 0018")),
    ("Tel. 040/55512-318", ("PHONE_NUMBER", "040/55512-318")),
    ("(312) 555-0123 ext 44 is the desk", ("PHONE_NUMBER", "(312) 555-0123 ext 44")),
    ("ask on extension 417", ("PHONE_NUMBER", "417")),
    ("SSN 078-05-1120", ("NATIONAL_ID", "078-05-1120")),
    ("NI number AB 12 34 56 C", ("NATIONAL_ID", "AB 12 34 56 C")),
    ("DNI 12345678Z", ("NATIONAL_ID", "12345678Z")),
    ("codice fiscale RSSMRA85T10A562S", ("NATIONAL_ID", "RSSMRA85T10A562S")),
    ("AHV 756.9217.0769.85", ("NATIONAL_ID", "756.9217.0769.85")),
    ("passport no. C01X00T47", ("NATIONAL_ID", "C01X00T47")),
    ("born on 23 April 1979 in", ("DATE_OF_BIRTH", "23 April 1979")),
    ("DOB: 04/23/1979", ("DATE_OF_BIRTH", "04/23/1979")),
    ("employee no. EMP-40218", ("ID_NUMBER", "EMP-40218")),
    ("Customer no. C-104418 called", ("CUSTOMER_NUMBER", "C-104418")),
    ("Ihre Kundennummer: 5520417", ("CUSTOMER_NUMBER", "5520417")),
    ("badge number 40218", ("ID_NUMBER", "40218")),
    ("from 203.0.113.77 at", ("IP_ADDRESS", "203.0.113.77")),
    ("host 2001:db8::8a2e:370:7334 up", ("IP_ADDRESS", "2001:db8::8a2e:370:7334")),
    ("see https://wiki.example/users/ann.lee today", ("USERNAME", "ann.lee")),
    ("password: Tr0ub4dor&3", ("SECRET", "Tr0ub4dor&3")),
    ("Authorization: Bearer abcDEF0123456789xyz", ("SECRET", "abcDEF0123456789xyz")),
    ("key sk-proj-abcdefghij0123456789ABCD", ("SECRET", "sk-proj-abcdefghij0123456789ABCD")),
    (
        "Ship to 12 Mill Lane, Springfield, IL 62704 by noon",
        ("ADDRESS", "12 Mill Lane, Springfield, IL 62704"),
    ),
    ("wohnt Hauptstraße 12, 10115 Berlin", ("ADDRESS", "Hauptstraße 12, 10115 Berlin")),
    ("12 rue de Rivoli, 75001 Paris", ("ADDRESS", "12 rue de Rivoli, 75001 Paris")),
    ("10 Downing Street, London SW1A 2AA", ("ADDRESS", "10 Downing Street, London SW1A 2AA")),
    ("P.O. Box 443, Denver, CO 80201", ("ADDRESS", "P.O. Box 443, Denver, CO 80201")),
    ("Approved by Dr. Marguerite Okonjo.", ("PERSON", "Dr. Marguerite Okonjo")),
    ("The deputy is Brandt, Eleanor.", ("PERSON", "Brandt, Eleanor")),
    ("J. Whitfield and others", ("PERSON", "J. Whitfield")),
    ("Jan van der Voet signed", ("PERSON", "Jan van der Voet")),
    ("From: Lena Whitaker <lw@x.example>", ("PERSON", "Lena Whitaker")),
    ("O. Dahl I. Castellanos D. Mbeki", ("PERSON", "I. Castellanos")),
    ("my name is tracy sukhorukova", ("PERSON", "tracy sukhorukova")),
    ("She moved here from Bosnia", ("LOCATION", "Bosnia")),
]


@pytest.mark.parametrize(("text", "span"), PERSONAL)
def test_personal_data_is_found(detector: Detector, text: str, span: tuple[str, str]) -> None:
    assert span in found(detector, text)


HARMLESS = [
    "Invoice INV-4821 of 4,120.00 is due on 2026-03-01, PO-70809.",
    "Cost centre CC-310, account 6410, category Packaging, terms Net 30.",
    "above 1,000.00, up to and including 10,000.00: Head of finance",
    "Version 10.2.0.1 of the software; section 4.1 Approval; 12 345 678 pieces",
    "Team lead", "Different reference", "Called back", "Approval routing", "Sign out", "Grant access",
    "GL account 61100000", "SSN 000-00-0000", "IBAN check digits", "20260218-0012",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
]  # fmt: skip
SOFT = {"DATE_TIME", "ORGANIZATION"}


@pytest.mark.parametrize("text", HARMLESS)
def test_the_words_and_numbers_of_the_work_are_left_alone(detector: Detector, text: str) -> None:
    assert {(kind, shown) for kind, shown in found(detector, text) if kind not in SOFT} == set()


def test_check_digits() -> None:
    assert iban("DE89370400440532013000") and not iban("DE89370400440532013001") and not iban("DE8937")
    assert luhn("79927398713") and not luhn("79927398710")
    assert card("4556737586899855") and not card("4556737586899856") and not card("1111111111111117")


VALID_IDS = {
    "UK NHS number": "9434765919", "German tax number": "86095742719", "French NIR": "255081416802538",
    "Spanish DNI": "X1234567L", "Italian codice fiscale": "RSSMRA85T10A562S", "Dutch BSN": "111222333",
    "Polish PESEL": "44051401359", "Swedish personnummer": "811218-9876",
    "Finnish personal code": "131052-308T",
    "Swiss AHV number": "756.9217.0769.85", "Belgian national number": "85.07.30-033.28",
    "Canadian SIN": "130 692 544",
    "Australian TFN": "123 456 782", "Brazilian CPF": "529.982.247-25", "Indian Aadhaar": "2341 2341 2346",
}  # fmt: skip


@pytest.mark.parametrize("name", VALID_IDS)
def test_national_identifiers_tell_right_from_wrong(name: str) -> None:
    text = VALID_IDS[name]
    specs = [s for s in IDENTIFIERS if s.name == name and s.pattern.fullmatch(text)]
    assert any(s.valid(compact(text)) for s in specs)
    last = text[-1]
    wrong = text[:-1] + (str((int(last) + 1) % 10) if last.isdigit() else chr((ord(last) - 64) % 26 + 65))
    assert not any(s.valid(compact(wrong)) for s in specs)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Dr. Ann M. Lee", (("Ann", "M."), ("Lee",))),
        ("Lee, Ann", (("Ann",), ("Lee",))),
        ("van der Voet, Jan", (("Jan",), ("Voet",))),
        ("José O'Brien-Smith, PhD", (("José",), ("O'Brien-Smith",))),
        ("Head of finance", None),
        ("Harbor Paper", None),
        ("INV-4821", None),
        ("CFO", None),
    ],
)
def test_names_are_parsed(text: str, parts: tuple[tuple[str, ...], tuple[str, ...]] | None) -> None:
    name = names.parse(text)
    assert (None if name is None else (name.given, name.family)) == parts


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Contact", "PERSON"), ("contactEmail", "EMAIL_ADDRESS"), ("Vendor contact", "PERSON"),
        ("SSN", "NATIONAL_ID"),
        ("Vendor", "FIRM"), ("Cost centre", "FIXED"), ("PO number", "FIXED"), ("csrf_token", "SECRET"),
        ("Employee number", "ID_NUMBER"), ("account_number", "BANK_ACCOUNT"), ("GL account number", "FIXED"),
        ("Called back", None), ("", None), ("x" * 500, None),
    ],
)  # fmt: skip
def test_labels(label: str, kind: str | None) -> None:
    assert kind_of(label) == kind


def test_of_overlapping_readings_the_better_wins() -> None:
    spans = [
        Span(0, 22, "PHONE_NUMBER", 0.9, "a"),
        Span(0, 22, "IBAN_CODE", 1.0, "b"),
        Span(10, 60, "ADDRESS", 0.8, "c"),
        Span(70, 80, "PERSON", 0.5, "d"),
        Span(70, 90, "PERSON", 0.5, "e"),
    ]
    assert [(s.start, s.end, s.type) for s in settle(spans)] == [
        (0, 22, "IBAN_CODE"), (22, 60, "ADDRESS"), (70, 90, "PERSON"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["1 " * 8000, "A " * 8000, "1 A" * 5000, "a@" * 8000, "a." * 8000 + "@", "+1 " * 6000, "(" * 16000,
     "Aa, " * 4000, "DE89 " * 3000, "a:" * 8000, "password=" * 1500, "-----BEGIN PRIVATE KEY" * 700,
     "A. " * 5000, "%41" * 5000],
)  # fmt: skip
def test_hostile_text_takes_no_more_than_its_length(text: str) -> None:
    began = time.perf_counter()
    for finder in (patterns.find, addresses.find, people.find):
        list(finder(text))
    assert time.perf_counter() - began < 8


def test_long_texts_are_read_in_pieces_with_right_offsets(detector: Detector) -> None:
    text = "Nothing to see here.\n" * 1500 + "Write to ann.lee@mail.example or Marguerite Okonjo."
    spans = {text[s.start : s.end] for s in detector.find([text])[0]}
    assert {"ann.lee@mail.example", "Marguerite Okonjo"} <= spans


def test_without_a_model_nothing_is_passed_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingError, match="no_such_model is not installed"):
        Detector("no_such_model")
    monkeypatch.setattr(detect, "MODELS", ("no_such_model",))
    with pytest.raises(MissingError, match="pip install"):
        Detector()


SCRIPT = """
import socket, sys
sys.path.insert(0, sys.argv[1])
calls = []
def refuse(*arguments, **named):
    calls.append(arguments)
    raise OSError("no network in this test")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
import os
os.environ.pop("TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS", None)
from pathlib import Path
import redact_corpus as corpus
from fde.engagement import Engagement
from redact.stage import redact
client = Engagement.create(Path(sys.argv[2]) / "client", "[redact]\\n")
corpus.ingest(client, documents=(corpus.policy(),), recordings=(corpus.recording(1),))
redact(client)
assert not calls, calls
assert "torch" not in sys.modules
print("done")
"""


def test_the_stage_opens_no_connection(tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(here.parent),
        "FDE_VAULT_KEY_FILE": str(tmp_path / "the.key"),
    }
    command = [sys.executable, "-c", SCRIPT, str(here), str(tmp_path)]
    unshare = shutil.which("unshare")
    if unshare and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0:
        command = [unshare, "-rn", *command]  # an empty network namespace: not even loopback is up
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "done", done.stderr[-2000:]


def test_each_label_names_the_person_beside_it() -> None:
    text = "Buyer: Lena Whitaker\nApprover: Tobias\nAmount: 4,120.00"
    labelled = [text[s.start : s.end] for s in people.find(text) if s.source == "label"]
    assert labelled == ["Lena Whitaker", "Tobias"]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Davis, Reynolds and Williamson is the firm that audits us.", set()),
        ("Davis, Reynolds and Williamson are the engineers who came.", {"Williamson"}),
        ("See the Hubbard, Fox and Gillespie website for more.", set()),
        ("We asked Ceiba Solutions, Hoover, Morris and Johnson for a price.", set()),
        ("We asked Brass Paper Ltd, Tobias Feldkamp and Lena Holm.", {"Tobias Feldkamp", "Lena Holm"}),
        ("The agency later became Oliver Wyman in 1965.", set()),
        ("The index of T Rowe Price fell.", set()),
        ("The offer of Mayer-Watkins came late.", set()),
        ("The record made for Sandoval, Holt and Myers sold well.", set()),
        ("Our three founders: Sandoval, Holt and Myers.", {"Sandoval", "Holt", "Myers"}),
        ("Sandoval, Holt and Myers agreed on it.", {"Sandoval", "Holt", "Myers"}),
        ("Anna Mayer-Watkins sent the offer.", {"Anna Mayer-Watkins"}),
        ("Write to Anne-Lise about it.", {"Anne-Lise"}),
    ],
)
def test_firms_are_told_from_people_by_what_stands_around_them(text: str, who: set[str]) -> None:
    found = {text[s.start : s.end] for s in Detector().find([text])[0] if s.type == "PERSON"}
    assert found >= who
    assert who or not found


@pytest.mark.parametrize(
    "text",
    [
        "Hold down CommandCtrl, then open OnUnload in GnuCash.",
        "Choose Insert - OLE Object, and give its UNO command or its JDBC driver.",
        "Select the sheets with Hide Sheets, then Character Styles and Manage Styles.",
        "See the page of Frequently Asked Questions; the table is named EmployeeData.",
        "It calls ReplaceChar(inputstr and ends.",
    ],
)
def test_what_is_written_as_no_name_is_nobody(text: str) -> None:
    assert [text[s.start : s.end] for s in Detector().find([text])[0] if s.type == "PERSON"] == []


@pytest.mark.parametrize(
    "name",
    ["Ewan McGregor", "LaToya Jackson", "Leonardo DiCaprio", "JoAnn Walker", "Anna O'Hara", "MARTIN WOLF"],
)
def test_names_with_capitals_inside_are_names(name: str) -> None:
    text = f"We met {name} on Friday."
    assert name in [text[s.start : s.end] for s in Detector().find([text])[0] if s.type == "PERSON"]
