"""Playwright traces: one click in the form of every version, and traces that tell less."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.rebuild import shared_browser
from ingest.recording import Recording
from ingest.recordings import read_recording

pytestmark = pytest.mark.browser
CSS = b"@import 'more.css'; .gone { display: none }"
HEAD = [
    "HEAD",
    {},
    ["BASE", {"href": "http://a.example/app/"}],
    ["TITLE", {}, "Desk"],
    ["LINK", {"rel": "stylesheet", "href": "s.css"}],
]


@pytest.fixture(scope="module", autouse=True)
def one_browser() -> Iterator[None]:
    with shared_browser():
        yield


def shots(style: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """The page before, with the target marked, and after; each refers to the one before it."""
    form = [
        "FORM",
        {},
        ["INPUT", {"__playwright_value_": "CC-1", "aria-label": "Centre"}],
        ["BUTTON", {}, "Go"],
    ]
    first = [
        "HTML",
        {},
        HEAD,
        ["BODY", {}, form, ["P", {"class": "gone"}, "Hidden"], ["P", {"class": "far"}, "Far"]],
    ]
    # Ended so far: 0 base, 1 Desk, 2 title, 3 link, 4 head, 5 input, 6 Go, 7 button, 8 form, 9 Hidden, 10 p …
    marked = [
        "HTML",
        {},
        [[1, 4]],
        ["BODY", {}, ["FORM", {}, [[1, 5]], ["BUTTON", style["mark"], [[1, 6]]]], [[1, 10]]],
    ]
    after = ["HTML", {}, [[2, 4]], ["BODY", {}, ["P", {"role": "status"}, "Stored"]]]
    made = []
    for number, (html, own) in enumerate(
        zip((first, marked, after), ("before", "input", "after"), strict=True)
    ):
        made.append(
            {
                "type": "frame-snapshot",
                "snapshot": {
                    **style[own],
                    "callId": "c1",
                    "pageId": "p",
                    "frameId": "f",
                    "frameUrl": "http://a.example/app/1",
                    "timestamp": 100 + number,
                    "doctype": "html",
                    "isMainFrame": True,
                    "html": html,
                    "resourceOverrides": [],
                },
            }
        )
    return made


def resource(url: str, content: dict[str, str], **request: Any) -> dict[str, Any]:
    return {
        "type": "resource-snapshot",
        "snapshot": {
            "_frameref": "f",
            "_monotonicTime": 50,
            "startedDateTime": "2024-05-08T21:00:00.102Z" if request else "2024-05-08T20:59:59Z",
            "request": {"method": "GET", "url": url, "headers": [], **request},
            "response": {"status": 200, "headers": [], "content": {"mimeType": "text/css", **content}},
        },
    }


WALL = 1_715_202_000_000  # 2024-05-08T21:00:00Z
NAMES = {name: {"snapshotName": f"{name}@c1"} for name in ("before", "input", "after")}
CALL = {"class": "Frame", "method": "click", "params": {"selector": 'internal:role=button[name="Go"i]'}}


def version_3() -> list[dict[str, Any]]:
    titles = [{"title": name, "snapshotName": f"{name}@c1"} for name in ("before", "input", "after")]
    data = {
        "id": "c1",
        "startTime": 99,
        "endTime": 102,
        "type": "Frame",
        "method": "click",
        "params": {},
        "log": [],
    }
    call = {**data, "wallTime": WALL + 99, "pageId": "p", "snapshots": titles}
    internal = {**data, "id": "c0", "internal": True, "method": "setup", "snapshots": []}
    return [
        {"type": "context-options", "version": 3, "wallTime": WALL, "options": {}},
        *shots({**NAMES, "mark": {"__playwright_target__": "input@c1"}}),
        {"type": "action", "metadata": internal},
        {"type": "action", "metadata": call},
    ]


def named_snapshots(version: int) -> list[dict[str, Any]]:
    """Versions 4 to 8: the call in three events, which name its snapshots."""
    clock = {"monotonicTime": 0} if version >= 7 else {}
    wall = {} if version >= 7 else {"wallTime": WALL + 99}
    begun = {"type": "before", "callId": "c1", "startTime": 99, **CALL, **wall, "pageId": "p"}
    before, marked, after = shots({**NAMES, "mark": {"__playwright_target__": "c1"}})
    return [
        {"type": "context-options", "version": version, "wallTime": WALL, "options": {}, **clock},
        {**begun, "beforeSnapshot": "before@c1"},
        before,
        {"type": "input", "callId": "c1", "inputSnapshot": "input@c1"},
        marked,
        {"type": "after", "callId": "c1", "endTime": 102, "afterSnapshot": "after@c1"},
        after,
    ]


def phases(version: int) -> list[dict[str, Any]]:
    """From version 9 on snapshots name their call and phase, and calls no page."""
    style = {"before": {"phase": "before"}, "input": {"phase": "action"}, "after": {"phase": "after"}}
    before, marked, after = shots({**style, "mark": {"__playwright_target__": ""}})
    return [
        {"type": "context-options", "version": version, "wallTime": WALL, "monotonicTime": 0, "options": {}},
        {"type": "before", "callId": "c1", "startTime": 99, **CALL},
        before,
        {"type": "input", "callId": "c1"},
        marked,
        {"type": "after", "callId": "c1", "endTime": 102},
        after,
    ]


def read(path: Path, events: list[dict[str, Any]], *, files: bool = False) -> Recording:
    key = "_file" if files else "_sha1"
    folder = "resources/"
    stored = [
        resource(f"http://a.example/app/{n}.css", {key: f"{folder if files else ''}{n}.css"})
        for n in ("s", "more")
    ]
    posted = resource(
        "http://a.example/app/go",
        {},
        method="POST",
        postData={"mimeType": "application/x-www-form-urlencoded", key: f"{folder if files else ''}body.dat"},
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("trace.trace", "\n".join(map(json.dumps, events)))
        archive.writestr("trace.network", "\n".join(map(json.dumps, [*stored, posted])))
        archive.writestr("resources/s.css", CSS)
        archive.writestr("resources/more.css", b".far { display: none }")
        archive.writestr("resources/body.dat", b"centre=CC-1")
    return read_recording(path)[0]


VERSIONS = {3: version_3(), **{v: named_snapshots(v) for v in range(4, 9)}, 9: phases(9), 10: phases(10)}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_tells_the_same(version: int, tmp_path: Path) -> None:
    made = read(tmp_path / "t.zip", VERSIONS[version], files=version >= 9)
    assert [step.action.text() for step in made.steps] == ['click button "Go"']
    step = made.steps[0]
    assert step.before is not None and step.after is not None
    assert step.before.text == '- textbox "Centre": CC-1\n- button "Go"'
    assert (step.before.title, step.before.url) == ("Desk", "http://a.example/app/1")
    assert step.after.text == "- status: Stored"
    assert [(e.method, e.url, e.body) for e in step.effects] == [
        ("POST", "http://a.example/app/go", {"centre": "CC-1"})
    ]
    assert made.recorded_at == "2024-05-08T21:00:00+00:00" and not made.warnings


def test_a_trace_without_pages_tells_actions_only(tmp_path: Path) -> None:
    calls = [
        ("goto", {"url": "/desk"}),
        ("fill", {"selector": 'internal:label="Cost center"i', "value": "CC-1"}),
        ("selectOption", {"selector": 'role=combobox[name="Terms"i]', "options": [{"label": "Net 30"}]}),
        ("check", {"selector": 'internal:role=checkbox[name="Paid"s]'}),
        ("click", {"selector": 'internal:role=button[name="Open"i] >> nth=1'}),
        ("click", {"selector": "div > span:nth-child(2)"}),
        ("press", {"selector": "body", "key": "Enter"}),
        ("waitForTimeout", {"timeout": 5}),
    ]  # fmt: skip
    options = {"baseURL": "http://a.example/app/"}
    events: list[dict[str, Any]] = [
        {"type": "context-options", "version": 8, "wallTime": WALL, "monotonicTime": 0, "options": options}
    ]
    for number, (method, params) in enumerate(calls):
        call = {"callId": f"c{number}", "class": "Frame", "method": method, "params": params, "pageId": "p"}
        events.append({"type": "before", "startTime": number * 10, **call})
        events.append({"type": "after", "callId": f"c{number}", "endTime": number * 10 + 5})
    made = read(tmp_path / "t.zip", events)
    assert [step.action.text() for step in made.steps] == [
        "goto http://a.example/desk",
        'fill textbox "Cost center": CC-1',
        'select combobox "Terms": Net 30',
        'check checkbox "Paid"',
        'click button "Open" #2',
        "press Enter",
    ]
    assert all(step.before is None for step in made.steps)
    assert len(made.warnings) == 2
    assert "actions only" in made.warnings[1] and "does not show" in made.warnings[0]
