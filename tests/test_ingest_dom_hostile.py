"""Recordings of unknown origin: nothing runs, nothing is fetched, nothing hangs, whatever is in them."""

from __future__ import annotations

import gzip
import io
import json
import random
import socket
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dom_formats import FOLDER
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated_bytes, mutated_value
from rrweb_events import Stream

from fde.errors import InputError
from ingest.formats import trace_dom
from ingest.rebuild import shared_browser
from ingest.recording import Recording
from ingest.recordings import read_recording, read_recordings

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def one_browser() -> Iterator[None]:
    with shared_browser():
        yield


class Ear:
    """Counts connections to a port of this machine."""

    def __init__(self) -> None:
        self.heard = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._socket.accept()[0]
                self.heard += 1
                connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    listening = Ear()
    yield listening
    assert listening.heard == 0
    with socket.create_connection(("127.0.0.1", int(listening.url.rpartition(":")[2]))) as heard:
        assert heard.recv(1) == b""  # it does hear, and hangs up
    listening.close()
    assert listening.heard == 1


def hostile_elements(url: str) -> list[list[Any]]:
    """What fetches, runs or leads away, as a trace writes elements."""
    run = f"fetch('{url}');document.title='RUN'"
    return [
        ["SCRIPT", {"src": f"{url}/s.js"}],
        ["SCRIPT", {}, run],
        ["NOSCRIPT", {}, ["IMG", {"src": f"{url}/n.png"}]],
        ["IMG", {"src": f"{url}/i.png", "srcset": f"{url}/i2.png 2x", "onerror": run, "alt": "seen"}],
        ["IMG", {"src": "data:image/svg+xml,<svg onload=alert(1)>", "onload": run}],
        ["LINK", {"rel": "stylesheet", "href": f"{url}/s.css"}],
        ["LINK", {"rel": "preconnect dns-prefetch prefetch", "href": url}],
        ["META", {"http-equiv": "refresh", "content": f"0;url={url}"}],
        ["BASE", {"href": url}],
        ["STYLE", {}, f"@import url({url}/i.css); body {{ background: url({url}/b.png) }}"],
        ["IFRAME", {"src": f"{url}/f", "srcdoc": f"<script>{run}</script>"}],
        ["IFRAME", {"src": f"javascript:{run}"}],
        ["OBJECT", {"data": f"{url}/o"}],
        ["EMBED", {"src": f"{url}/e"}],
        ["VIDEO", {"src": f"{url}/v.mp4", "poster": f"{url}/p.png", "autoplay": ""}],
        ["AUDIO", {"src": f"{url}/a.mp3"}],
        ["INPUT", {"type": "image", "src": f"{url}/in.png", "autofocus": "", "onfocus": run}],
        ["svg", {"onload": run}, ["image", {"href": f"{url}/x.png"}], ["use", {"href": f"{url}/u.svg#a"}]],
        ["A", {"href": f"javascript:{run}", "ping": url}, "Away"],
        ["FORM", {"action": url}, ["INPUT", {"name": "parentNode"}], ["INPUT", {"name": "attributes"}]],
        ["DIV", {"onclick": run, "style": f"background: url({url}/d.png)"}, "Press"],
        ["TABLE", {"background": f"{url}/t.png"}],
        ["TEMPLATE", {}, ["SCRIPT", {}, run]],
    ]


def as_rrweb(s: Stream, n: Any) -> Any:
    if isinstance(n, str):
        return s.text(n)
    node = s.el(n[0].lower(), *(as_rrweb(s, child) for child in n[2:]))
    node["attributes"] = n[1]
    return node


def as_trace(path: Path, html: Any, **context: Any) -> Path:
    """A trace of one click, on what is marked in ``html``."""
    shot = {
        "callId": "c",
        "pageId": "p",
        "frameId": "f",
        "frameUrl": "http://a.example/",
        "isMainFrame": True,
    }
    lines = [
        {"type": "context-options", "version": 8, "wallTime": 1.79e12, "monotonicTime": 0, **context},
        {"type": "before", "callId": "c", "startTime": 10, "class": "Frame", "method": "click", "params": {},
         "pageId": "p", "beforeSnapshot": "before@c"},
        {"type": "input", "callId": "c", "inputSnapshot": "input@c"},
        {"type": "frame-snapshot", "snapshot": {**shot, "snapshotName": "input@c", "html": html}},
        {"type": "after", "callId": "c", "endTime": 12, "afterSnapshot": "after@c"},
    ]  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("trace.trace", "\n".join(map(json.dumps, lines)))
    return path


def page_of(*children: Any) -> list[Any]:
    return ["HTML", {}, ["HEAD", {}, ["TITLE", {}, "Plain"]], ["BODY", {}, *children]]


GO = ["BUTTON", {"__playwright_target__": ""}, "Go"]


def check(made: Recording) -> None:
    before = made.steps[-1].before
    assert made.steps[-1].action.text() == 'click button "Go"'
    assert before is not None and before.title == "Plain", "no script ran"
    assert '- link "Away"' in before.text and '- clickable "Press"' in before.text
    assert '- img "seen"' in before.text


def test_a_trace_that_fetches_and_runs(tmp_path: Path, ear: Ear) -> None:
    path = as_trace(tmp_path / "t.zip", page_of(*hostile_elements(ear.url), GO))
    check(read_recording(path)[0])


def test_a_stream_that_fetches_and_runs(tmp_path: Path, ear: Ear) -> None:
    s = Stream()
    go = s.el("button", "Go")
    nodes = [as_rrweb(s, each) for each in hostile_elements(ear.url)]
    s.page(s.document(*nodes, go, head=(s.el("title", "Plain"),)))
    style = s.el("style", f"@import '{ear.url}/late.css'")
    s.put(nodes[-2], style)
    image = nodes[3]
    s.change(
        attributes=[{"id": image["id"], "attributes": {"src": f"{ear.url}/late.png", "onload": "alert(1)"}}]
    )
    s.change(attributes=[{"id": nodes[10]["id"], "attributes": {"src": f"{ear.url}/late"}}])
    s.click(go)
    (tmp_path / "r.json").write_text(json.dumps(s.events))
    check(read_recording(tmp_path / "r.json")[0])


@pytest.mark.parametrize(
    ("version", "reason"),
    [(11, "newer Playwright"), (2, "versions 3 to 10"), ("x", "is no number"), (True, "no number")],
)
def test_versions_that_are_not_read(tmp_path: Path, version: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_recordings(as_trace(tmp_path / "t.zip", page_of(GO), version=version))


def test_references_that_double_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_dom, "MAX_NODES", 3000)
    deep: Any = GO
    for _ in range(40):
        deep = ["DIV", {}, deep, [[0, 5]], [[0, 5]]]  # the innermost of these, also in itself
    made = read_recording(as_trace(tmp_path / "t.zip", page_of(deep)))[0]
    assert made.warnings == ("A page is too large to be built whole.",)


def test_a_frame_in_itself_ends(tmp_path: Path) -> None:
    path = as_trace(tmp_path / "t.zip", page_of(GO, ["IFRAME", {"src": "/snapshot/f", "title": "Me"}]))
    before = read_recording(path)[0].steps[0].before
    assert before is not None and before.text == '- button "Go"\n- iframe "Me"'


def test_a_cut_off_trace_is_refused(tmp_path: Path) -> None:
    whole = (FOLDER / "session.trace.zip").read_bytes()
    path = tmp_path / "t.zip"
    for length in range(100, len(whole), len(whole) // 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_recordings(path)


# Mutations

EVENTS = json.loads(gzip.decompress((FOLDER / "session.rrweb.json.gz").read_bytes()))
with zipfile.ZipFile(FOLDER / "session.trace.zip") as _archive:
    ENTRIES = {name: _archive.read(name) for name in _archive.namelist()}
DEMO = {
    "utterance": "Enter x",
    "states": [
        {"time": at, "action": action, "dom": {"tag": "BODY", "ref": 1, "children": [
            {"tag": "INPUT_text", "ref": 2, "value": value, "focused": True, "recordingTarget": True},
            {"tag": "t", "ref": -1, "text": "near", "children": []},
            {"tag": "BUTTON", "ref": 3, "text": "Submit", "children": []}]}}
        for at, action, value in (
            (0, None, ""),
            (10, {"type": "mousedown", "timing": 1}, ""),
            (20, {"type": "keydown", "keyCode": 88, "timing": 1}, ""),
            (30, {"type": "keydown", "keyCode": 13, "timing": 1}, "x"),
        )
    ],
}  # fmt: skip


def mutant(rng: random.Random, url: str) -> tuple[str, bytes]:
    """A file of one of the formats with something wrong in it, and pictures from ``url`` all over."""
    kind = rng.randrange(6)
    if kind == 0:
        return "m.json", json.dumps(mutated_value(DEMO, rng)).encode()
    if kind == 1:
        return "t.zip", mutated_bytes((FOLDER / "session.trace.zip").read_bytes(), rng)
    if kind in (2, 3):
        text = json.dumps(mutated_value(EVENTS, rng)).replace("/static/", f"{url}/")
        return ("r.json", text.encode()) if kind == 2 else ("r.json", mutated_bytes(text.encode(), rng))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in ENTRIES.items():
            if name.endswith((".trace", ".network")):
                lines = mutated_value([json.loads(line) for line in data.splitlines() if line], rng)
                data = "\n".join(map(json.dumps, lines)).replace("/static/", f"{url}/").encode()
            archive.writestr(name, data)
    return "t.zip", buffer.getvalue()


@settings(
    max_examples=20,
    deadline=60_000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 10**9))
def test_mutated_recordings_are_read_or_refused(tmp_path: Path, ear: Ear, seed: int) -> None:
    name, data = mutant(random.Random(seed), ear.url)
    path = tmp_path / name
    path.write_bytes(data)
    try:
        for recording in read_recordings(path).recordings:
            recording.model_dump_json().encode()
    except InputError as error:
        assert str(path) in str(error)
    path.unlink()
    assert not list(tmp_path.iterdir()), "nothing is written beside what was read"
