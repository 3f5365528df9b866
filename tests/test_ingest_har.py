"""HTTP archives: what was asked of a server, alone and joined to a recording."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from ingest_scripts import all_formats, samples, write

from fde.errors import InputError
from ingest.formats.har import ALONE
from ingest.recordings import parts_of, read_recording, read_recordings, whole

URL = "http://desk.example"


def entry(
    second: float,
    method: str,
    path: str,
    *,
    status: int = 200,
    kind: str = "text/html",
    posted: dict[str, Any] | None = None,
    to: str = "",
    answer: str = "",
    **more: Any,
) -> dict[str, Any]:
    request: dict[str, Any] = {"method": method, "url": f"{URL}{path}", "headers": [], "queryString": []}
    if posted is not None:
        request["postData"] = posted
    return {
        "startedDateTime": f"2026-11-22T08:00:{second:06.3f}Z",
        "time": 5,
        "request": request,
        "response": {
            "status": status,
            "redirectURL": to,
            "headers": [],
            "content": {"mimeType": kind, "text": answer},
        },
        **more,
    }


def archive(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"log": {"version": "1.2", "creator": {"name": "t"}, "pages": [], "entries": list(entries)}}


FORM = {"mimeType": "application/x-www-form-urlencoded", "text": "cc=CC-1&terms=a&terms=b&password=hidden"}
SESSION = archive(
    entry(1, "GET", "/"),
    entry(1.1, "GET", "/logo.png", kind="image/png"),
    entry(1.2, "GET", "/style.css", kind="text/css"),
    entry(4, "GET", "/api/terms", kind="application/json", answer="[]"),
    entry(6.1, "POST", "/invoices/INV-7/code", status=303, posted=FORM, to="/done/7731?x=1"),
    entry(6.2, "GET", "/done/7731?x=1"),
)


def test_requests_alone(tmp_path: Path) -> None:
    made, _ = read_recording(write(tmp_path, "session.har", SESSION))
    assert [step.action.text() for step in made.steps] == [f"goto {URL}/"]
    assert made.warnings == (ALONE,) and made.recorded_at == "2026-11-22T08:00:01.000+00:00"
    effects = made.steps[0].effects
    assert [(effect.method, effect.status) for effect in effects] == [
        ("GET", 200), ("GET", 200), ("POST", 303), ("GET", 200),
    ]  # fmt: skip
    posted = effects[2]
    assert posted.body == {"cc": "CC-1", "terms": ["a", "b"], "password": "••••"}
    assert posted.location == "/done/7731?x=1" and posted.identifiers == ("INV-7", "7731")


def test_an_answer_names_what_was_made(tmp_path: Path) -> None:
    answer = json.dumps({"id": 4711, "orderId": "A-9", "name": "not an id", "nested": {"id": 3}})
    sent = {"mimeType": "application/json", "text": '{"a": [1]}'}
    coded = entry(1, "POST", "/api/orders", kind="application/json", posted=sent)
    coded["response"]["content"].update(text=base64.b64encode(answer.encode()).decode(), encoding="base64")
    made, _ = read_recording(write(tmp_path, "a.har", archive(coded)))
    (effect,) = made.steps[0].effects
    assert effect.identifiers == ("4711", "A-9") and effect.body == {"a": [1]}
    assert made.steps[0].action.text() == f"goto {URL}/", "what was not opened is known by its origin alone"


def test_an_archive_beside_a_recording_gives_its_steps_their_effects(tmp_path: Path) -> None:
    path = all_formats(tmp_path, URL)["workflow-use"]
    write(tmp_path, "workflow.har", SESSION)
    made, _ = read_recording(path)
    assert [step.time_s for step in made.steps] == [0.0, 2.5, 4.0, 5.0, 6.0]
    assert [[effect.method for effect in step.effects] for step in made.steps] == [
        ["GET"], ["GET"], [], ["POST", "GET"], [],
    ]  # fmt: skip


def test_a_recording_without_times_is_joined_by_its_pages(tmp_path: Path) -> None:
    path = all_formats(tmp_path, URL)["playwright-codegen"]
    write(tmp_path, "codegen.har", SESSION)
    made, _ = read_recording(path)
    assert [len(step.effects) for step in made.steps] == [4, 0, 0, 0, 0]
    assert any("there are no times to go by" in warning for warning in made.warnings)


def test_what_lies_beside_a_recording_is_no_recording_of_its_own(tmp_path: Path) -> None:
    flow = all_formats(tmp_path, URL)["workflow-use"]
    har, other = write(tmp_path, "workflow.har", SESSION), write(tmp_path, "other.har", SESSION)
    given = [(path, path.name) for path in (flow, har, other)]
    assert whole(given) == [(flow, flow.name), (other, "other.har")]
    assert parts_of(flow) == [flow, har]


HOSTILE = [
    ('{"log": {"entries": [', "not JSON"),
    ('{"log": {"entries": {}}}', "not a list"),
    ('{"log": {"entries": [1]}}', "not an object"),
    ('{"log": {"version": "1.2"}}', "not a list"),
]


@pytest.mark.parametrize(("content", "reason"), HOSTILE)
def test_a_damaged_archive_is_refused_with_the_reason(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_recordings(write(tmp_path, "a.har", content))


def test_foreign_samples() -> None:
    made, _ = read_recording(samples("har") / "playwright-har-fulfill.har")
    assert made.instruction == "Hey"
    assert [step.action.text() for step in made.steps] == ["goto http://no.playwright/"]
    assert [effect.method for step in made.steps for effect in step.effects if effect.writes] == ["POST"]
