"""Recordings of DOMs: the same session gives the same steps in every format."""

# ruff: noqa: F811 - fixtures are imported and then named as parameters

from __future__ import annotations

import difflib
import gzip
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dom_formats import FOLDER, record_at_once
from ingest_pages import Site, site  # noqa: F401
from test_ingest_recorder import SCRIPTED_PAGE, SECRET

from ingest.browser import launch
from ingest.rebuild import shared_browser
from ingest.recorder import SCRIPT_PAUSE_MS
from ingest.recording import Recording, Snapshot
from ingest.recordings import read_recording, read_recordings
from playbooks.quickstart import company

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
FORMATS = ("session.trace.zip", "session.rrweb.json.gz")
# Public recordings that are not part of this repository.
SAMPLES = Path(os.environ.get("FDE_SAMPLES") or Path(__file__).resolve().parents[2] / "shared" / "samples")


@pytest.fixture(scope="module", autouse=True)
def one_browser() -> Iterator[None]:
    with shared_browser():
        yield


@cache
def session(name: str) -> Recording:
    return read_recording(FOLDER / name)[0]


def actions(recording: Recording) -> list[str]:
    return [step.action.text() for step in recording.steps]


def lines(snapshot: Snapshot | None) -> list[str]:
    return snapshot.text.splitlines() if snapshot else []


def share_of_equal_lines(a: Recording, b: Recording) -> float:
    equal = total = 0
    for ours, theirs in zip(a.steps, b.steps, strict=True):
        for one, other in ((ours.before, theirs.before), (ours.after, theirs.after)):
            matcher = difflib.SequenceMatcher(None, lines(one), lines(other), autojunk=False)
            equal += sum(block.size for block in matcher.get_matching_blocks())
            total += max(len(lines(one)), len(lines(other)))
    return equal / total


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_session_gives_the_same_steps(name: str) -> None:
    ours, other = session("session.fderec"), session(name)
    assert len(ours.steps) == 16
    assert actions(other) == actions(ours)
    assert not other.warnings
    assert share_of_equal_lines(ours, other) >= 0.99
    assert [step.masked for step in other.steps] == [step.masked for step in ours.steps]
    urls = [[step.after and step.after.url for step in each.steps] for each in (ours, other)]
    assert urls[0] == urls[1]


def test_a_trace_tells_the_effects() -> None:
    ours, trace = session("session.fderec"), session("session.trace.zip")
    assert [step.effects for step in trace.steps] == [step.effects for step in ours.steps]


@pytest.mark.parametrize("name", FORMATS)
def test_passwords_are_nowhere(name: str) -> None:
    assert sum(step.masked for step in session(name).steps) == 1
    assert company.PASSWORD not in session(name).model_dump_json()


def test_pages_made_by_scripts_from_a_trace(site: Site, tmp_path: Path) -> None:
    site.pages["/"], site.pages["POST /api"] = SCRIPTED_PAGE, '{"n": 1}'

    def work(page: Page) -> None:
        page.get_by_text("Open panel").click()
        page.get_by_text("Far heard").click()
        page.frame_locator("iframe").get_by_label("Inner").fill("in")
        page.get_by_label("Deep").fill("below")
        page.get_by_label("Pick").select_option("2")
        page.locator("#city").press_sequentially("Os")
        page.get_by_text("Oslo").click()
        page.get_by_label("Memo").fill("new")
        page.get_by_text("Sea").click()
        page.locator("#due").focus()
        page.keyboard.type("05312024")
        page.locator("#note").fill("one\ntwo")
        page.get_by_label("Multi").select_option(["A", "C"])
        page.get_by_role("button", name="Confirm").click()
        page.locator("#api").click()

    with launch(slow_mo_ms=SCRIPT_PAUSE_MS) as browser:
        record_at_once(browser, f"{site.url}/", work, tmp_path)
    ours, trace = (
        read_recording(tmp_path / "session.fderec")[0],
        read_recording(tmp_path / "session.trace.zip")[0],
    )
    assert len(ours.steps) == 16
    assert actions(trace) == actions(ours)
    assert share_of_equal_lines(ours, trace) >= 0.99
    assert trace.steps[-1].effects[0].body == {"id": 1, "rows": [{"cc": "CC-1"}]}


def test_a_password_made_readable_stays_one_in_a_trace(site: Site, tmp_path: Path) -> None:
    site.pages["/"] = (
        "<form action=/in><label>P <input type=password name=x id=p></label>"
        "<button type=button onclick=\"p.type='text'\">Show</button><button>In</button></form>"
    )
    site.pages["/in"] = "<title>In</title><p>in</p>"

    def work(page: Page) -> None:
        page.locator("#p").fill("first one")
        page.get_by_role("button", name="Show").click()
        page.locator("#p").fill(SECRET)
        page.keyboard.press("Enter")

    with launch(slow_mo_ms=SCRIPT_PAUSE_MS) as browser:
        record_at_once(browser, f"{site.url}/", work, tmp_path)
    ours, trace = (
        read_recording(tmp_path / "session.fderec")[0],
        read_recording(tmp_path / "session.trace.zip")[0],
    )
    assert actions(trace) == actions(ours)
    assert actions(trace)[-1] == "press Enter" and actions(trace).count('fill textbox "P": ••••') == 2
    text = trace.model_dump_json()
    for secret in (SECRET, SECRET.replace(" ", "+"), "first one"):
        assert secret not in text


EXPECTED = {
    "playwright/trace-1.31.zip": ['click button "Submit"'],
    "playwright/test-trace1.zip": ["goto https://playwright.dev/"],
    "rrweb/rrweb-test-input.json": [
        "goto http://localhost",
        'select combobox "": A',
        'select combobox "": C',
        'fill textbox "": test input',
    ],
    "rrweb/rrweb-test-iframe.json": ["goto http://localhost"],
    "rrweb/rrweb-test-scroll.json": ["goto http://localhost"],
    "rrweb/rrweb-test-document-replacement.json": ["goto http://localhost"],
    "rrweb/rrweb-test-dialog-playback.json": ["goto http://127.0.0.1:5500/test/html/dialog.html"],
    "rrweb/browser-client-can_record_events.json": ["goto about:blank"],
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="FDE_SAMPLES names no folder")
@pytest.mark.parametrize("name", EXPECTED)
def test_public_samples_are_read(name: str) -> None:
    made = read_recording(SAMPLES / name)[0]
    assert actions(made) == EXPECTED[name]
    assert made.steps[-1].after is not None
    if name.endswith("iframe.json"):
        assert "iframe 1" in made.steps[-1].after.text and "iframe 2" in made.steps[-1].after.text


WRAPPERS = {
    "array.json": lambda events: json.dumps(events),
    "lines.jsonl": lambda events: "\n".join(map(json.dumps, events)) + "\n",
    "indented.json": lambda events: json.dumps(events, indent=2),
    "object.json": lambda events: json.dumps({"session": "s", "events": events}),
    "nested.json": lambda events: json.dumps({"version": "1", "data": {"id": "x", "snapshots": events}}),
    "windows.jsonl": lambda events: "\n".join(json.dumps(["w1", event]) for event in events),
    "batches.jsonl": lambda events: "\n".join(
        json.dumps({"window_id": "w", "data": events[at : at + 50]}) for at in range(0, len(events), 50)
    ),
    "headed.json": lambda events: '{"segment_id":0}\n' + json.dumps(events),
    "texts.json": lambda events: json.dumps({"events": [json.dumps(event) for event in events]}),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_every_wrapper_of_events_is_opened(name: str, tmp_path: Path) -> None:
    events = json.loads(gzip.decompress((FOLDER / "session.rrweb.json.gz").read_bytes()))
    path = tmp_path / name
    path.write_text(WRAPPERS[name](events))
    assert actions(read_recordings(path).recordings[0]) == actions(session("session.rrweb.json.gz"))
