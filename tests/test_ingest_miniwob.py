"""MiniWoB++ demonstrations: events and pages become steps."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fde.errors import InputError
from ingest.rebuild import shared_browser
from ingest.recordings import read_recording

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def one_browser() -> Iterator[None]:
    with shared_browser():
        yield


def element(tag: str, ref: int, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"tag": tag, "ref": ref, "left": 0, "top": 0, "children": list(children), **more}


class Demonstration:
    """A form, and the events on it, each before and after the page reacted, as the recorder has them."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []
        self.text, self.checked, self.focus = "", False, 0
        self.time = 0
        self.state(None, 0)

    def page(self, target: int) -> dict[str, Any]:
        def of(tag: str, ref: int, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
            marks = {"focused": True} if ref == self.focus else {}
            aim = {"recordingTarget": True} if ref == target else {}
            return element(tag, ref, *children, **more, **marks, **aim)

        name = of("INPUT_text", 5, value=self.text, text="")
        check = of(
            "LABEL", 6, of("INPUT_checkbox", 7, value=self.checked, text=""), element("t", -1, text="Agree")
        )
        link = of("SPAN", 9, text="no link")
        form = of("DIV", 4, of("LABEL", 10, text="Name"), name, check, of("BUTTON", 8, text="Submit"), link)
        return of("BODY", 1, of("DIV", 2, of("DIV", 3, form, id="area"), id="wrap"))

    def state(self, action: dict[str, Any] | None, target: int) -> None:
        self.time += 20
        self.states.append({"time": self.time, "action": action, "dom": self.page(target)})

    def event(self, kind: str, target: int, **more: Any) -> None:
        for timing in (1, 3):
            self.state({"type": kind, "timing": timing, **more}, target)

    def click(self, ref: int, focus: int = 0) -> None:
        self.event("mousedown", ref)
        self.focus = focus
        self.event("mouseup", ref)
        self.event("click", ref)

    def type(self, text: str) -> None:
        for letter in text:
            self.event("keydown", 5, keyCode=ord(letter.upper()))
            self.event("keypress", 5, keyCode=ord(letter))
            self.text += letter
            self.event("keyup", 5, keyCode=ord(letter.upper()))


def demonstration() -> dict[str, Any]:
    made = Demonstration()
    made.click(5, focus=5)
    made.type("ann")
    made.click(6)
    made.checked = True
    made.event("click", 7)
    made.click(3)
    made.click(8, focus=8)
    return {
        "taskName": "sign",
        "utterance": "Sign as ann.",
        "states": made.states,
        "reward": 0.7,
        "rawReward": 1,
    }


@pytest.mark.parametrize("packed", [False, True])
def test_a_demonstration_becomes_steps(tmp_path: Path, packed: bool) -> None:
    data = json.dumps(demonstration()).encode()
    path = tmp_path / "sign_A1.json.gz"
    path.write_bytes(gzip.compress(data) if packed else data)
    made = read_recording(path)[0]
    assert (made.workflow, made.instruction, made.source_format) == ("sign", "Sign as ann.", "miniwob")
    assert [step.action.text() for step in made.steps] == [
        'fill textbox "Name": ann',
        'check checkbox "Agree"',
        'click button "Submit"',
    ]
    assert not made.warnings and made.recorded_at is None
    last = made.steps[-1].before
    assert last is not None and '- checkbox "Agree" [checked]' in last.text


def test_a_failed_one_says_so_and_one_without_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps({**demonstration(), "rawReward": -1}))
    assert read_recording(path)[0].warnings == ("The demonstration failed (reward -1).",)
    path.write_text(json.dumps({"utterance": "x", "states": [{"time": 1}]}))
    with pytest.raises(InputError, match="without pages"):
        read_recording(path)
