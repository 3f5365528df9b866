"""A small made-up client for the redactor's tests: two documents and two recordings of one application."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fde.engagement import Engagement
from ingest.action import Action
from ingest.document import Chunk, Document, Place, Table
from ingest.recording import Effect, RecordedStep, Recording, Snapshot
from redact.vault import KEY_FILE_VARIABLE

IBAN = "DE89370400440532013000"
IBAN_SHOWN = "DE89 3704 0044 0532 0130 00"
NEW_IBAN = "NL91ABNA0417164300"
TYPO_IBAN = "NL91ABNA0417164380"

# Every personal value of the corpus: none of them may stand in the output.
PERSONAL = (
    "Marguerite", "Okonjo", "Tobias", "Feldkamp", "Whitaker", "margueriteokonjo",
    "marguerite.okonjo@northgate.example", "tobias.feldkamp@northgate.example",
    "l.whitaker@brasspaper.example",
    "+49 40 55512 318", "EMP-40218", IBAN, IBAN_SHOWN, NEW_IBAN, TYPO_IBAN, "Birkenweg 14",
    "20354", "1979-04-23",
    "078-05-1120", "Hunter2-xyz!", "Zr8Kq2Lm9Xv4Bn7Tc1Wd",
)  # fmt: skip

# What the work is about: all of it must still be there.
KEPT = (
    "Brass Paper", "Feldkamp Logistics GmbH", "northgate.example", "INV-4821", "INV-4822", "4,120.00",
    "2,500.00", "PO-70809", "CC-310", "Packaging", "Head of finance", "Team lead", "Grant access",
    "2026-02-18",
    "Cost centre", "Net 30",
)  # fmt: skip

POLICY = f"""# Payables policy

Version of 2026-02-18. Owner: Marguerite Okonjo, Head of finance.
Brass Paper and Feldkamp Logistics GmbH are vendors.

Invoices above 2,500.00 go to the Head of finance; the Team lead approves the rest.
Packaging is booked on CC-310.

Questions go to Marguerite Okonjo (employee no. EMP-40218), phone +49 40 55512 318,
marguerite.okonjo@northgate.example. When Marguerite is away, T. Feldkamp stands in.
Ask Tobias, extension 318.

| Name | Function | Employee number | Email |
| --- | --- | --- | --- |
| Okonjo, Marguerite | Head of finance | EMP-40218 | marguerite.okonjo@northgate.example |
| Feldkamp, Tobias | Team lead | EMP-40555 | tobias.feldkamp@northgate.example |

Marguerite Okonjo was born on 1979-04-23 and lives at Birkenweg 14, 20354 Hamburg. Her SSN is 078-05-1120.
The account of Brass Paper is {IBAN_SHOWN}. The old portal password: Hunter2-xyz!
"""

PAGE = f"""- text: Signed in as M. Okonjo
- heading "Invoice INV-4821" [level=1]
- table:
  - row "Vendor Contact IBAN Amount":
    - columnheader "Vendor"
    - columnheader "Contact"
    - columnheader "IBAN"
    - columnheader "Amount"
  - row "Brass Paper Lena Whitaker {IBAN_SHOWN} 4,120.00 Open":
    - cell "Brass Paper":
      - link "Brass Paper"
    - cell "Lena Whitaker"
    - cell "{IBAN_SHOWN}"
    - cell "4,120.00"
    - cell "Open":
      - link "Open"
  - row "Feldkamp Logistics GmbH Grant Holloway {NEW_IBAN} 12.00 Open":
    - cell "Feldkamp Logistics GmbH":
      - link "Feldkamp Logistics GmbH"
    - cell "Grant Holloway"
    - cell "{NEW_IBAN}"
    - cell "12.00"
    - cell "Open":
      - link "Open"
- term: Buyer
- definition: Feldkamp, Tobias
- term: Category
- definition: Packaging
- term: PO
- definition: PO-70809
- combobox "Approver": Head of finance
  - option "Team lead"
  - option "Head of finance" [selected]
- combobox "Cost centre": CC-310
  - option "CC-310" [selected]
- combobox "Terms": Net 30
  - option "Net 30" [selected]
- textbox "IBAN": {TYPO_IBAN}
- button "Grant access"
- link "INV-4822"
"""

ROW = f"Brass Paper Lena Whitaker {IBAN_SHOWN} 4,120.00 Open"


def policy() -> Document:
    start = POLICY.index("Questions go")
    end = POLICY.index("| Name")
    people = (
        ("Okonjo, Marguerite", "Head of finance", "EMP-40218", "marguerite.okonjo@northgate.example"),
        ("Feldkamp, Tobias", "Team lead", "EMP-40555", "tobias.feldkamp@northgate.example"),
    )
    return Document(
        id="policy-of-marguerite-okonjo",
        source="hr/Marguerite Okonjo/policy.docx",
        media_type="text/markdown",
        title="Payables policy",
        text=POLICY,
        tables=(Table(name="People", header=("Name", "Function", "Employee number", "Email"), rows=people),),
        chunks=(
            Chunk(text=POLICY[start:end], place=Place(start=start, end=end)),
            Chunk(text=POLICY[end:], heading="People", place=Place(start=end, end=len(POLICY))),
        ),
    )


def vendors() -> Document:
    rows = (
        ("V-1", "Brass Paper", "Whitaker, Lena", "l.whitaker@brasspaper.example", IBAN),
        (
            "V-2",
            "Feldkamp Logistics GmbH",
            "Grant Holloway",
            "g.holloway@feldkamplogistics.example",
            NEW_IBAN,
        ),
    )
    text = "| Number | Vendor | Contact | E-mail | IBAN |\n| --- | --- | --- | --- | --- |\n" + "\n".join(
        "| " + " | ".join(row) + " |" for row in rows
    )
    header = ("Number", "Vendor", "Contact", "E-mail", "IBAN")
    return Document(
        id="vendors", source="vendors.xlsx", media_type="text/markdown", text=text,
        tables=(Table(name="Vendors", header=header, rows=rows),),
    )  # fmt: skip


def recording(number: int) -> Recording:
    page = Snapshot(
        url="http://127.0.0.1:8000/vendors?q=marguerite.okonjo%40northgate.example&by=Tobias+Feldkamp",
        title="Invoice INV-4821 - Marguerite Okonjo",
        text=PAGE,
        dom="dom.html",
        screenshot="page.png",
    )
    posted = {
        "user": "margueriteokonjo", "iban": NEW_IBAN, "csrf_token": "Zr8Kq2Lm9Xv4Bn7Tc1Wd",
        "cost_centre": "CC-310",
        "note": "called Lena Whitaker", "lines": [{"contact": "Whitaker, Lena", "amount": "4,120.00"}],
    }  # fmt: skip
    effect = Effect(
        method="POST", url="http://127.0.0.1:8000/invoices/INV-4821", status=303, body=posted,
        location="/users/tobias.feldkamp?done=Lena%20Whitaker",
    )  # fmt: skip
    steps = (
        RecordedStep(before=None, action=Action(verb="goto", value=page.url), after=page),
        RecordedStep(
            before=page,
            action=Action.parse(f'click link "Open" in row "{ROW}"'),
            after=page,
            effects=(effect,),
        ),
        RecordedStep(before=page, action=Action.parse(f'fill textbox "IBAN": {NEW_IBAN}'), after=page),
        RecordedStep(before=page, action=Action.parse('select combobox "Approver": Team lead'), after=page),
        RecordedStep(before=page, action=Action(verb="done", value="Tobias Feldkamp was told"), after=page),
    )
    return Recording(
        id=f"change-{number}",
        workflow="change-bank",
        instruction=f"Lena Whitaker of Brass Paper moved: change {IBAN} to {NEW_IBAN} (INV-4821).",
        source_format="fde",
        source=f"tobias.feldkamp/{number}.fderec",
        steps=steps,
    )


def ingest(
    engagement: Engagement, *, documents: tuple[Document, ...] = (), recordings: tuple[Recording, ...] = ()
) -> None:
    """Put documents and recordings where their stages would have left them."""
    for stage, kind, items in (
        ("ingest-docs", "documents", documents),
        ("ingest-recordings", "recordings", recordings),
    ):
        if items:
            dumped = [item.model_dump(mode="json") for item in items]
            run = engagement.run(stage, inputs={}, config={"items": dumped})
            if not run.finished:
                with engagement.working(run):
                    for item, plain in zip(items, dumped, strict=True):
                        run.write_json(f"{kind}/{item.id}.json", plain)
            engagement.publish(run)


def key_file(monkeypatch: pytest.MonkeyPatch, folder: Path, secret: bytes = b"k" * 32) -> Path:
    """Keep the vault's key in a folder of the test; the same key, so the same stand-ins, every time."""
    path = folder / "keys" / "vault.key"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(base64.urlsafe_b64encode(secret))
    path.chmod(0o600)
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(path))
    return path


def strings(value: Any) -> list[str]:
    """All strings of a JSON value, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [s for item in value for s in strings(item)]
    if isinstance(value, dict):
        return [s for k, v in value.items() for s in (k, *strings(v))]
    return []


def everything(folder: Path) -> str:
    """All strings of a run's outputs and their file names as one text."""
    files = [f for f in sorted(folder.rglob("*.json")) if f.name not in ("audit.json", "manifest.json")]
    return "\n".join(s for f in files for s in (f.name, *strings(json.loads(f.read_text()))))
