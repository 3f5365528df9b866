"""Real files, mutated: every importer reads them, or says what is wrong; nothing else ever happens."""

from __future__ import annotations

import io
import json
import random
import re
import socket
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_scripts import SAMPLES, chrome, codegen, selenium, workflow_use
from mutations import mutated_bytes, mutated_value

from fde.errors import InputError
from ingest.recordings import read_recordings

URL = "http://desk.example"
LIMIT_S = 20.0


def har() -> dict[str, Any]:
    request = {"method": "POST", "url": f"{URL}/a/7", "headers": [{"name": "a", "value": "b"}]}
    sent = {"mimeType": "application/json", "text": '{"a": 1}', "params": [{"name": "a", "value": "b"}]}
    answer = {"mimeType": "application/json", "text": '{"id": 4}', "encoding": "base64"}
    return {
        "log": {
            "version": "1.2",
            "pages": [{"id": "p", "title": "T"}],
            "entries": [
                {
                    "startedDateTime": "2026-11-22T08:00:01.000Z",
                    "request": {**request, "postData": sent},
                    "response": {"status": 303, "redirectURL": "/b", "headers": [], "content": answer},
                    "pageref": "p",
                    "_resourceType": "document",
                }
            ],
        }
    }


def openadapt() -> bytes:
    events = [
        {"i": 0, "kind": "click", "x": 3, "y": 4, "t": 1},
        {"i": 1, "kind": "type", "text": "a", "t": 2},
    ]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("events.jsonl", "\n".join(map(json.dumps, events)))
        archive.writestr("meta.json", json.dumps({"app_url": URL, "created_at": "2026-11-22"}))
        archive.writestr("frames/none.txt", "")
    return made.getvalue()


REAL: dict[str, bytes] = {
    "chrome.json": json.dumps(chrome(URL)).encode(),
    "desk.side": json.dumps(selenium(URL)).encode(),
    "flow.json": json.dumps(workflow_use(URL)).encode(),
    "flow.yaml": yaml.safe_dump(workflow_use(URL), sort_keys=False).encode(),
    "codegen.jsonl": codegen(URL).encode(),
    "session.har": json.dumps(har()).encode(),
    "recording.zip": openadapt(),
    "log.csv": b"time,event,x,y,element,value\n1.5,click,3,4,Save,\n2.5,type,3,4,Name,Ann\n",
}
ODD_TEXTS = (
    "../../etc/passwd", "http://[", "file:///etc/passwd", "//*[", "aria/", "nth=99999999999", "\ud800",
    "javascript:alert(1)", "a" * 5000, "iframe >> internal:control=enter-frame", "${x}", "{x}", "9" * 400,
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an importer opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def reads_or_says_why(folder: Path, name: str, data: bytes) -> None:
    """The one thing that must hold for every file."""
    path = folder / name
    path.write_bytes(data)
    began = time.monotonic()
    try:
        found = read_recordings(path)
    except InputError as error:
        assert str(path) in str(error), "the message names the file"
    else:
        for made in found.recordings:
            made.model_dump_json()
            assert all(step.action.text() for step in made.steps)
    assert time.monotonic() - began < LIMIT_S
    assert [file.name for file in folder.iterdir()] == [name], "nothing is written"


def structural(data: bytes, rng: random.Random) -> bytes:
    """The same structure with parts of it replaced, left out or repeated, and an odd text somewhere."""
    made = json.dumps(mutated_value(json.loads(data), rng))
    texts = list(re.finditer(r'"[^"\\]*"', made))
    if texts and rng.random() < 0.5:
        text = rng.choice(texts)
        made = made[: text.start()] + json.dumps(rng.choice(ODD_TEXTS)) + made[text.end() :]
    return made.encode()


@pytest.mark.parametrize("name", sorted(REAL))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_mutated_files(tmp_path_factory: pytest.TempPathFactory, name: str, seed: int) -> None:
    rng = random.Random(seed)
    data = REAL[name]
    as_json = name.endswith((".json", ".side", ".har")) and rng.random() < 0.7
    reads_or_says_why(
        tmp_path_factory.mktemp("m"), name, structural(data, rng) if as_json else mutated_bytes(data, rng)
    )


@pytest.mark.parametrize("folder", ["chrome-recorder", "selenium-ide", "har"])
def test_mutated_foreign_files(tmp_path_factory: pytest.TempPathFactory, folder: str) -> None:
    if not (SAMPLES / folder).is_dir():
        pytest.skip("the samples of other projects are not here")
    rng = random.Random(folder)
    for path in sorted((SAMPLES / folder).iterdir()):
        for turn in range(25):
            mutate = structural if turn % 2 else mutated_bytes
            reads_or_says_why(tmp_path_factory.mktemp("m"), path.name, mutate(path.read_bytes(), rng))


def test_a_long_line_and_deep_nesting(tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, data in {
        "a.json": b'{"steps": [' + b"[" * 200_000,
        "b.json": b'{"title": "' + b"x" * 3_000_000 + b'", "steps": []}',
        "c.jsonl": b'{"browserName":"a","launchOptions":{},"contextOptions":{},"x":"' + b"y" * 3_000_000,
        "d.yaml": b"name: a\nsteps:\n- " + b"{a: " * 3000,
        "e.yaml": b"name: a\nsteps:\n" + b"- &x [*x]\n" * 3,
        "f.csv": b"time,event,x\n" + b'"' * 100_000,
    }.items():
        reads_or_says_why(tmp_path_factory.mktemp("m"), name, data)
