"""Replay: scripts of other tools carried out in a real browser give what an expert's recording gives."""

# ruff: noqa: F811 - fixtures are imported and then named as parameters

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ingest_pages import Site, site  # noqa: F401
from ingest_scripts import PAGES, WORK, all_formats, chrome, codegen, selenium, write

from fde.errors import InputError, WorkError
from ingest.browser import launch
from ingest.recording import Recording
from ingest.replay import replay_file

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch(slow_mo_ms=60) as running:
        yield running


@pytest.fixture
def desk(site: Site) -> Site:
    site.pages.update(PAGES)
    return site


def actions(recording: Recording) -> list[str]:
    return [step.action.text() for step in recording.steps[1:]]


@pytest.mark.parametrize("kind", ["chrome-recorder", "selenium-ide", "workflow-use", "playwright-codegen"])
def test_every_format_gives_the_same_recording(
    kind: str, desk: Site, browser: Browser, tmp_path: Path
) -> None:
    path = all_formats(tmp_path, "http://production.example")[kind]
    found = replay_file(path, desk.url, browser=browser)
    (made,) = found.recordings
    assert made.steps[0].action.value == f"{desk.url}/", "the copy was opened, not the original"
    assert actions(made) == WORK
    assert made.source_format == kind and f"Replayed on {desk.url}." in made.warnings
    last = made.steps[-1]
    assert last.before is not None and '- textbox "Vendor": Acme' in last.before.text
    assert last.after is not None and last.after.text == "- status: Stored"
    assert last.effects[0].body == {"vendor": "Acme", "t": "b", "p": "on"} and last.effects[0].status == 303
    assert last.after.dom in found.blobs
    assert desk.posts == [("/save", "vendor=Acme&t=b&p=on")]


def test_a_selector_that_finds_nothing_ends_the_replay_and_keeps_what_was_done(
    desk: Site, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.replay.FIND_LIMIT_S", 0.5)
    flow = chrome(desk.url)
    flow["steps"][6]["selectors"] = [["aria/Conditions"], ["#gone"], ["not a [ selector"]]
    (made,) = replay_file(write(tmp_path, "c.json", flow), desk.url, browser=browser).recordings
    assert actions(made) == WORK[:1]
    (told,) = [warning for warning in made.warnings if "ended early" in warning]
    assert "step 7 (fill): nothing on the page" in told and "#gone" in told
    assert desk.posts == []


def test_the_original_application_is_out_of_reach(desk: Site, browser: Browser, tmp_path: Path) -> None:
    """The copy's page links to the original; the same machine under another name plays it here."""
    desk.pages["/"] = f"<a href={desk.other_url}/original>Go</a><img src={desk.other_url}/pixel>"
    desk.pages["/original"] = "<p>The original"
    flow = {
        "title": "x",
        "steps": [
            {"type": "navigate", "url": f"{desk.other_url}/"},
            {"type": "click", "selectors": [["text/Go"]]},
        ],
    }
    (made,) = replay_file(write(tmp_path, "c.json", flow), desk.url, browser=browser).recordings
    assert any(f"Requests to {desk.other_url} were refused" in warning for warning in made.warnings)
    assert not any("The original" in (step.after.text if step.after else "") for step in made.steps)


def test_another_application_is_not_opened(desk: Site, browser: Browser, tmp_path: Path) -> None:
    lines = codegen(desk.url).splitlines()
    lines.insert(7, json.dumps({"name": "navigate", "url": "http://elsewhere.example/", "signals": []}))
    (made,) = replay_file(write(tmp_path, "c.jsonl", "\n".join(lines)), desk.url, browser=browser).recordings
    assert any(
        "line 8 opens http://elsewhere.example/, which is not part of the copy" in w for w in made.warnings
    )


def test_several_tests_of_a_project_and_one_that_cannot_begin(
    desk: Site, browser: Browser, tmp_path: Path
) -> None:
    project = selenium(desk.url)
    nothing = {"name": "empty", "commands": [{"command": "echo", "target": "hi", "value": ""}]}
    asks = {"name": "asks", "commands": [{"command": "open", "target": "${where}", "value": ""}]}
    project["tests"].extend([nothing, asks])
    found = replay_file(write(tmp_path, "p.side", project), desk.url, browser=browser).recordings
    assert [len(made.steps) for made in found] == [5, 0]
    assert any("Not replayed: asks: " in warning for warning in found[0].warnings)


def test_frames_and_new_tabs(desk: Site, browser: Browser, tmp_path: Path) -> None:
    desk.pages["/"] = (
        "<h1>Desk</h1><iframe src=/inner title=Inner></iframe><a href=/tab target=_blank>Tab</a>"
    )
    desk.pages["/inner"] = "<label>Note <input id=note></label><button>Keep</button>"
    desk.pages["/tab"] = "<title>Tab</title><button onclick=\"this.textContent='Done'\">Finish</button>"
    frame = 'iframe[title="Inner"] >> internal:control=enter-frame >> '

    def line(name: str, page: str, **more: object) -> str:
        return json.dumps({"name": name, "pageAlias": page, "signals": [], **more})

    lines = [
        line("navigate", "page", url=f"{desk.url}/"),
        line("fill", "page", selector=f'{frame}internal:label="Note"i', text="hello"),
        line(
            "click",
            "page",
            selector=f'{frame}internal:role=button[name="Keep"i]',
            button="left",
            clickCount=1,
        ),
        line("click", "page", selector='internal:role=link[name="Tab"i]', button="left", clickCount=1),
        line("click", "page1", selector='internal:role=button[name="Finish"i]', button="left", clickCount=1),
    ]
    (made,) = replay_file(write(tmp_path, "c.jsonl", "\n".join(lines)), desk.url, browser=browser).recordings
    assert actions(made) == [
        'fill textbox "Note": hello',
        'click button "Keep"',
        'click link "Tab"',
        'click button "Finish"',
    ]
    assert made.steps[-1].after is not None and 'button "Done"' in made.steps[-1].after.text


def test_what_cannot_be_replayed_says_so(desk: Site, browser: Browser, tmp_path: Path) -> None:
    har = write(tmp_path, "a.har", {"log": {"version": "1.2", "entries": []}})
    with pytest.raises(InputError, match="format har cannot be replayed"):
        replay_file(har, desk.url, browser=browser)
    path = all_formats(tmp_path, desk.url)["chrome-recorder"]
    with pytest.raises(InputError, match="Not an address"):
        replay_file(path, "staging", browser=browser)
    with pytest.raises(WorkError, match="nothing could be replayed"):
        replay_file(path, "http://127.0.0.1:9/", browser=browser)
