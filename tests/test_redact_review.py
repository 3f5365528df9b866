"""The review: what the page shows, that a browser can decide on it, and that decisions are applied."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from redact_corpus import everything, ingest, key_file, policy, vendors

from fde.engagement import Engagement
from fde.errors import InputError
from redact import decisions
from redact.decisions import Decision, Decisions
from redact.review import items
from redact.stage import redact, review
from redact.vault import Vault

NOTE = "The old yard of Zanthor Quill </script> is closed. Ask Marguerite about Project Nightjar."


@pytest.fixture
def client(engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engagement:
    key_file(monkeypatch, tmp_path)
    ingest(engagement, documents=(policy(), vendors().model_copy(update={"text": NOTE})))
    return engagement


def test_the_page_is_private_complete_and_sorted(client: Engagement) -> None:
    path, found = review(client)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.parent == client.vault
    known = {i.value: i for i in found}
    okonjo = known["Marguerite Okonjo"]
    assert okonjo.type == "PERSON" and okonjo.replaced and okonjo.confidence is not None
    assert okonjo.confidence > 0.9
    assert any("Owner: " in c.before for c in okonjo.contexts)
    sure = [i.confidence for i in found if i.confidence is not None]
    assert sure == sorted(sure) and len(sure) > 10
    vault = Vault(client)
    assert [row["reason"] for row in vault.lookups()] == ["review page"]
    vault.close()


def test_decisions_are_applied_on_the_next_run(client: Engagement) -> None:
    first = redact(client)
    assert "Project Nightjar" in everything(first.path)
    verdicts = (
        Decision(value="Project Nightjar", type="CUSTOM", verdict="add"),
        Decision(value="Tobias Feldkamp", type="PERSON", verdict="reject"),
        Decision(value="Zanthor Quill", type="PERSON", verdict="accept"),
    )
    decisions.keep(client, Decisions(decisions=verdicts))
    second = redact(client)
    text = everything(second.path)
    assert second.id != first.id
    assert "Nightjar" not in text and "Zanthor" not in text and "Quill" not in text
    assert "Tobias" in text and "Marguerite" not in text
    told = {i.value: i.verdict for i in review(client)[1]}
    assert told["Zanthor Quill"] == "accept"
    # The last decision on a value counts.
    decisions.keep(
        client, Decisions(decisions=(Decision(value="tobias feldkamp", type="PERSON", verdict="accept"),))
    )
    assert "Tobias" not in everything(redact(client).path)
    assert stat.S_IMODE(decisions.path_of(client).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "holds no decisions"),
        ('{"decisions": [{"value": "x", "type": "PERSON", "verdict": "add"}]}', "value"),
        ('{"decisions": [{"value": "xyz", "type": "NAMES", "verdict": "add"}]}', "no type 'NAMES'"),
        ('{"decisions": [{"value": "xyz", "type": "PERSON", "verdict": "maybe"}]}', "verdict"),
    ],
)
def test_a_wrong_file_of_decisions_is_explained(
    client: Engagement, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        decisions.read(path)
    with pytest.raises(InputError, match="Cannot read"):
        decisions.read(tmp_path / "none.json")


@pytest.mark.browser
def test_a_browser_decides_and_the_command_keeps_it(fde: Any, client: Engagement, tmp_path: Path) -> None:
    from ingest.browser import launch

    shown = fde("-C", client.root, "redact", "review", "--json")
    assert shown.code == 0
    with launch() as browser:
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda r: problems.append(r.url) if not r.url.startswith(("file:", "blob:")) else None
        )
        page.goto(Path(shown.json["page"]).as_uri())
        assert page.locator("article").count() == shown.json["values"]
        card = page.locator("article", has=page.locator("b", has_text="Marguerite Okonjo")).first
        card.get_by_role("button", name="Reject").click()
        page.get_by_role("button", name="Add a value").click()
        page.get_by_label("Value").fill("Project Nightjar")
        page.locator("#kind").select_option("CUSTOM")
        page.get_by_role("button", name="Add", exact=True).click()
        page.locator("#state").select_option("decided")
        assert page.locator("article:visible").count() == 2
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Save decisions").click()
        waiting.value.save_as(tmp_path / "decisions.json")
        assert problems == []
    saved = json.loads((tmp_path / "decisions.json").read_text())["decisions"]
    assert {(d["value"], d["verdict"]) for d in saved} == {
        ("Marguerite Okonjo", "reject"), ("Project Nightjar", "add"),
    }  # fmt: skip
    kept = fde("-C", client.root, "redact", "review", "--apply", tmp_path / "decisions.json", "--json")
    assert kept.json["decisions"] == {"accept": 0, "reject": 1, "add": 1}
    text = everything(redact(client).path)
    assert "Marguerite Okonjo" in text and "Nightjar" not in text


def test_what_is_found_but_left_is_shown_as_such(client: Engagement) -> None:
    from redact.collect import Collected, Observer
    from redact.corpus import map_document
    from redact.detect import Detector
    from redact.knowledge import Knowledge
    from redact.policy import load

    observer = Observer()
    map_document(vendors().model_copy(update={"text": "Lunch with Zanthor at the yard."}), observer)
    vault = Vault(client, create=True)
    knowledge = Knowledge(Collected(observer.seen, Detector(), load(client), ()), vault)
    vault.close()
    found = items(knowledge, Decisions())
    for item in found:
        if not item.replaced:
            assert item.stand_in == "" and item.contexts
    assert {i.value for i in found if i.replaced} >= {"Grant Holloway"}
