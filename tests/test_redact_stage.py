"""The stage over a whole small client: what goes, what stays, and that it goes the same way everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from redact_corpus import (
    IBAN,
    IBAN_SHOWN,
    KEPT,
    NEW_IBAN,
    PERSONAL,
    ROW,
    everything,
    ingest,
    key_file,
    policy,
    recording,
    vendors,
)

from fde.engagement import Engagement, Run
from fde.errors import InputError, LeakError, MissingError
from ingest.action import resolve, row_name
from ingest.document import Document
from ingest.recording import Recording
from ingest.snapshot import parse
from redact.checks import iban
from redact.stage import redact
from redact.vault import Vault


@pytest.fixture
def client(engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engagement:
    key_file(monkeypatch, tmp_path)
    ingest(engagement, documents=(policy(), vendors()), recordings=(recording(1), recording(2)))
    return engagement


def documents(run: Run) -> dict[str, Document]:
    found = [Document.model_validate_json(f.read_bytes()) for f in (run.path / "documents").glob("*.json")]
    return {d.source.rpartition("/")[2]: d for d in found}


def recordings(run: Run) -> list[Recording]:
    return [
        Recording.model_validate_json(f.read_bytes())
        for f in sorted((run.path / "recordings").glob("*.json"))
    ]


def surrogates(client: Engagement) -> dict[str, str]:
    vault = Vault(client)
    try:
        return {e.original: e.surrogate for e in vault.entries("test")}
    finally:
        vault.close()


@pytest.mark.parametrize(
    ("note", "value"),
    [
        ("The address 4f8a:c99e:dc86:faf9:5988:5f63:375e:8a2a is blocked.", "c99e"),
        ("The adapter is 00:1B:44:11:3A:B7 here.", "1B:44"),
        ("hello, my name is marie and i need a new card", "marie"),
        ("hello, this is mr. chad farmer. who are you?", "chad farmer"),
        ("Mr. Ford is a reliable man who grew up here.", "Ford"),
        ("Everyone calls me Christian.", "Christian"),
        ("This is the log of our chat.\n\nuser: catherine ryhänen, on the account", "ryhänen"),
        ("Fax: +1-431-671-9944x060", "9944"),
    ],
)
def test_values_of_running_text_go(client: Engagement, note: str, value: str) -> None:
    ingest(client, documents=(policy(), vendors().model_copy(update={"text": note})))
    assert value not in documents(redact(client))["vendors.xlsx"].text


def test_a_country_called_like_somebody_stays(client: Engagement) -> None:
    note = (
        "Diego Costa signed it. Costa paid. We ship to Costa Rica.\n\n"
        "12 Mill Lane\nSuite 344\nSan Diego\nCosta Rica 10101\n\nMali was fun to visit."
    )
    ingest(client, documents=(policy(), vendors().model_copy(update={"text": note})))
    text = documents(redact(client))["vendors.xlsx"].text
    assert text.count("Costa Rica") == 2 and text.count("Costa") == 2
    assert "Diego" not in text and "Mill Lane" not in text
    assert "Mali was" in text


def test_surnames_that_may_be_a_firm_are_protected_as_names(client: Engagement) -> None:
    note = "The offer of Mayer-Watkins came late. The record made for Sandoval, Holt and Myers sold well."
    ingest(client, documents=(policy(), vendors().model_copy(update={"text": note})))
    text = everything(redact(client).path)
    assert [name for name in ("Mayer", "Sandoval", "Holt", "Myers") if name in text] == []


def test_nothing_personal_is_left_and_nothing_of_the_task_is_altered(client: Engagement) -> None:
    run = redact(client)
    text = everything(run.path)
    lower = text.lower()
    left = [value for value in PERSONAL if value.lower() in lower]
    # "Feldkamp" stays inside the vendor's name, which is not a person.
    assert left == ["Feldkamp"]
    rest = re.sub(r"(?i)feldkamp\s?logistics( gmbh)?", "", text)
    assert "feldkamp" not in rest.lower()
    assert [value for value in KEPT if value not in text] == []


def test_the_same_value_is_replaced_the_same_way_everywhere(client: Engagement) -> None:
    run = redact(client)
    made = surrogates(client)
    full = made["Marguerite Okonjo"]
    given, family = full.split()
    text = documents(run)["policy.docx"].text
    assert f"Owner: {full}, Head of finance" in text
    assert f"| {family}, {given} | Head of finance |" in text
    assert f"When {given} is away" in text
    mail = f"{given}.{family}@northgate.example".lower()
    assert text.count(mail) == 2
    first, second = recordings(run)
    page = first.steps[1].before
    assert page is not None
    assert f"Signed in as {given[0]}. {family}" in page.text
    assert page.title == f"Invoice INV-4821 - {full}"
    assert f"q={mail.replace('@', '%40')}&by={made['Tobias Feldkamp'].replace(' ', '+')}" in page.url
    effect = first.steps[1].effects[0]
    assert effect.body is not None
    assert effect.body["user"] == (given + family).lower()
    assert effect.location == "/users/{}?done={}".format(
        made["Tobias Feldkamp"].replace(" ", ".").lower(), made["Lena Whitaker"].replace(" ", "%20")
    )
    assert effect.body["lines"][0]["contact"] == ", ".join(reversed(made["Lena Whitaker"].split()))
    assert first.steps == second.steps
    assert first.source == f"{made['Tobias Feldkamp'].replace(' ', '.').lower()}/1.fderec"


def test_accounts_stay_valid_and_a_mistyped_one_stays_mistyped(client: Engagement) -> None:
    run = redact(client)
    first = recordings(run)[0]
    step = first.steps[1]
    new = first.steps[2].action.value
    assert new is not None and new != NEW_IBAN and iban(new) and new[:2] == "NL"
    assert step.effects[0].body is not None and step.effects[0].body["iban"] == new
    assert new in first.instruction
    vendor = documents(run)["vendors.xlsx"].tables[0].rows[0]
    assert iban(vendor[4]) and vendor[4] in first.instruction
    shown = " ".join(vendor[4][i : i + 4] for i in range(0, 22, 4))
    assert step.before is not None and f'cell "{shown}"' in step.before.text
    typo = next(n.value for n in parse(step.before.text).walk() if n.role == "textbox")
    assert typo is not None and not iban(typo)
    assert sum(a != b for a, b in zip(typo, new, strict=True)) == 1


def test_actions_still_name_what_is_on_the_page(client: Engagement) -> None:
    run = redact(client)
    for item in recordings(run):
        for step in item.steps:
            if step.before is None or step.action.target is None:
                continue
            page = parse(step.before.text)
            assert resolve(page, step.action.target) is not None, step.action.text()
            for row in (n for n in page.walk() if n.role == "row"):
                cells = " ".join(" ".join(c.text() for c in row.children).split())
                assert row_name(row) == cells
            assert step.action.target.row != ROW


def test_chunks_and_places_follow_the_text(client: Engagement) -> None:
    document = documents(redact(client))["policy.docx"]
    for chunk in document.chunks:
        assert document.text[chunk.place.start : chunk.place.end] == chunk.text
    assert document.chunks[0].text.startswith("Questions go to ")
    assert document.chunks[-1].place.end == len(document.text)


def test_pictures_and_html_do_not_leave_and_the_manifest_says_so(client: Engagement) -> None:
    run = redact(client)
    assert all(
        s is None or (s.dom is None and s.screenshot is None)
        for item in recordings(run)
        for step in item.steps
        for s in (step.before, step.after)
    )
    counts = run.manifest().counts
    assert counts["screenshots_dropped"] == counts["doms_dropped"] == 18
    assert counts["audit_leaks"] == 0
    text = run.manifest_path.read_text() + (run.path / "audit.json").read_text()
    assert "raw" not in text.lower()
    assert not [value for value in PERSONAL if value.lower() in text.lower()]


def test_a_finished_run_is_found_again_and_a_killed_one_is_done_over(client: Engagement) -> None:
    run = redact(client)
    before = {f.name: f.read_bytes() for f in run.path.rglob("*.json") if f.name not in ("manifest.json",)}
    stamp = run.manifest_path.stat().st_mtime_ns
    assert redact(client).id == run.id
    assert run.manifest_path.stat().st_mtime_ns == stamp
    # As if killed while writing: some outputs, a left-over, no manifest.
    run.manifest_path.unlink()
    next((run.path / "documents").glob("*.json")).unlink()
    (run.path / "documents" / "left-over.json").write_text("{}")
    again = redact(client)
    assert again.id == run.id
    after = {f.name: f.read_bytes() for f in run.path.rglob("*.json") if f.name not in ("manifest.json",)}
    assert after == before


def test_a_fresh_vault_with_the_same_key_gives_the_same_stand_ins(client: Engagement) -> None:
    first = everything(redact(client).path)
    (client.vault / "vault.db").unlink()
    run = redact(client)
    run.manifest_path.unlink()
    assert everything(redact(client).path) == first


def test_documents_or_recordings_alone_are_enough_but_not_neither(
    engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key_file(monkeypatch, tmp_path)
    with pytest.raises(MissingError, match="neither documents nor recordings"):
        redact(engagement)
    ingest(engagement, recordings=(recording(1),))
    assert redact(engagement).manifest().counts["documents"] == 0
    ingest(engagement, documents=(policy(),))
    counts = redact(engagement).manifest().counts
    assert (counts["documents"], counts["recordings"]) == (1, 1)


def test_a_leak_blocks_the_release(client: Engagement) -> None:
    hidden = b"tobias.feldkamp@northgate.example".hex()
    ingest(client, documents=(policy(), vendors().model_copy(update={"text": f"Log: {hidden}"})))
    with pytest.raises(LeakError, match="EMAIL_ADDRESS") as caught:
        redact(client)
    assert "tobias" not in str(caught.value)
    with pytest.raises(MissingError):
        client.latest("redact")
    run = next(p for p in (client.stages / "redact").iterdir() if p.is_dir())
    assert not (run / "manifest.json").exists()
    findings = json.loads((run / "audit.json").read_text())["findings"]
    assert findings and all("tobias" not in json.dumps(f) and hidden not in json.dumps(f) for f in findings)


def configure(client: Engagement, text: str) -> None:
    config = client.config_path.read_text()
    client.config_path.write_text(config.replace("[redact]\n", f"[redact]\n{text}\n"))


def test_policy_allow_and_deny_lists(client: Engagement) -> None:
    (client.raw / "people.csv").write_text("name,phone\nQuill Zabriskie,555 010 7788\n")
    note = "Quill Zabriskie runs Project Nightjar. Call 5550107788 or see INV-4821. Contact: Lena Whitaker"
    ingest(client, documents=(policy(), vendors().model_copy(update={"text": note})))
    configure(
        client,
        'allow = ["Lena Whitaker"]\ndeny = ["Project Nightjar", "INV-4821"]\nroster = "raw/people.csv"\n'
        '[redact.policy]\nEMAIL_ADDRESS = "tag"\nIBAN_CODE = "mask"\n',
    )
    run = redact(client)
    text = documents(run)["vendors.xlsx"].text
    assert "Lena Whitaker" in text
    assert not [v for v in ("Quill", "Zabriskie", "Nightjar", "5550107788", "INV-4821") if v in text]
    all_text = everything(run.path)
    assert re.search(r"\[EMAIL_ADDRESS_[0-9a-f]{6}\]", all_text)
    assert IBAN not in all_text and IBAN_SHOWN not in all_text and "*****" in all_text
    assert "Zabriskie" not in run.manifest_path.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("denny = []", "denny"),
        ('[redact.policy]\nPERSON = "hide"', "PERSON"),
        ('[redact.policy]\nPERSONS = "mask"', "PERSONS"),
        ('roster = "raw/none.csv"', "none.csv"),
    ],
)
def test_a_wrong_setting_is_named(client: Engagement, text: str, message: str) -> None:
    configure(client, text)
    with pytest.raises(InputError, match=message):
        redact(client)


def test_a_damaged_input_is_named(client: Engagement) -> None:
    broken = next((client.stages / "ingest-docs").glob("*/documents/vendors.json"))
    broken.write_text('{"id": 3}')
    with pytest.raises(InputError, match=r"vendors\.json is damaged"):
        redact(client)


def test_a_cut_name_and_hostile_text_are_survived(client: Engagement) -> None:
    nasty = "Okon\u200bjo wrote: " + "(" * 3000 + " 1 A" * 3000 + "\u202e %zz %41%ZZ \\u00 " + "=" * 2000
    ingest(client, documents=(policy(), vendors().model_copy(update={"text": nasty})))
    text = documents(redact(client))["vendors.xlsx"].text
    assert "Okon" not in text
    assert text.endswith("=" * 2000)
