"""``[live]`` in fde.toml: a factory or commands, and what is said when they are wrong."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from textwrap import dedent
from urllib.request import urlopen

import pytest

from envgen.live_commands import run_hook
from envgen.live_config import LiveSettings, open_live, sign_in_actions
from envgen.session import Score
from fde.engagement import Engagement
from fde.errors import InputError, MissingError, WorkError
from ingest.action import Action
from playbooks.quickstart.live import PortalCopy
from tests.live_staging import task

# A notebook of one line: POST writes it, the reset empties it, the probe compares it with the task.
SERVER = """
import sys, urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def page(self):
        body = b'<h1>Notes</h1><form method="post"><label>Note <input name="note"></label>'
        if self.path == "/login":
            body = b'<h1>Hello</h1><form action="/notes"><label>Pin <input name="pin"></label>'
        body += b"<button>" + (b"Go" if self.path == "/login" else b"Save") + b"</button></form>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = page
    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        open("note.txt", "w").write(urllib.parse.parse_qs(sent)["note"][0])
        self.page()
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
PROBE = """
import json, pathlib, sys
asked = json.load(sys.stdin)
note = pathlib.Path("note.txt").read_text()
if asked["phase"] == "before":
    print(json.dumps({"note": note}))
else:
    right = asked["before"]["note"] == "" and note == asked["task"]["parameters"]["text"]
    print(json.dumps({"value": float(right), "reasons": [] if right else [f"note is {note!r}"]}))
"""
TASKS = """
import json, sys
asked = json.load(sys.stdin)
print(json.dumps([
    {"id": f"note/test/{i}", "workflow": asked["workflow"], "split": "test", "seed": i,
     "instruction": f"Note w{i}.", "parameters": {"text": f"w{i}"}}
    for i in range(asked["n"])
]))
"""
CONFIG = """
[live]
start = ["python3", "server.py", "{port}"]
url = "http://127.0.0.1:{port}/login"
reset = ["python3", "-c", "open('note.txt', 'w')"]
probe = ["python3", "probe.py"]
tasks = ["python3", "tasks.py"]
sign_in = ['fill textbox "Pin": ${pin}', 'click button "Go"']
[live.credentials]
pin = "env:DESK_PIN"
"""


def engagement(root: Path, live: str) -> Engagement:
    made = Engagement.create(root, dedent(live))
    for name, text in (("server.py", SERVER), ("probe.py", PROBE), ("tasks.py", TASKS)):
        (made.root / name).write_text(text)
    return made


@pytest.mark.browser
def test_commands_drive_a_staging_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_PIN", "4711")
    live = open_live(engagement(tmp_path / "e", CONFIG), "note")
    one, two = live.tasks(2, 0)
    session = live.session()
    try:
        first = session.reset(one)
        assert first.text.startswith("# Notes") and "4711" not in first.text
        session.step(Action.parse('fill textbox "Note": w0'))
        session.step(Action.parse('click button "Save"'))
        assert session.score() == Score(value=1.0)
        session.reset(two)
        assert session.score() == Score(value=0.0, reasons=("note is ''",)), "the reset emptied the note"
        port = session.application._port  # type: ignore[attr-defined]
        urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    finally:
        session.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the application outlived its session"


@pytest.mark.browser
def test_an_application_that_does_not_start_is_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_PIN", "4711")
    config = CONFIG.replace('"server.py", "{port}"', '"-c", "raise SystemExit(\'no licence\')"')
    session = open_live(engagement(tmp_path / "e", config), "note").session()
    try:
        assert session.reset(task()).finished
        score = session.score()
        assert (
            score.value is None
            and "ended with code 1" in score.reasons[0]
            and "no licence" in score.reasons[0]
        )
    finally:
        session.close()


def test_a_factory_gives_tasks_and_sessions(tmp_path: Path) -> None:
    made = engagement(tmp_path / "e", '[live]\nfactory = "playbooks.quickstart.live:make_live"\n')
    live = open_live(made, "update-bank")
    assert [t.workflow for t in live.tasks(3, 0)] == ["update-bank"] * 3
    session = live.session()
    assert isinstance(session.application, PortalCopy)  # type: ignore[attr-defined]
    session.close()


@pytest.mark.parametrize(
    ("live", "told"),
    [
        ('[live]\nfactory = "no_such_thing:make"\n', "cannot be loaded"),
        ('[live]\nfactory = "playbooks.quickstart.live:nothing"\n', "cannot be loaded"),
        ('[live]\nfactory = "platform:system"\n', r"failed: TypeError: system\(\) takes 0"),
        ('[live]\nfactory = "json:dumps"\n', "must return"),
        ('[live]\nurl = "http://127.0.0.1/"\n', "there must be tasks, probe"),
        (CONFIG.replace("{port}", "8000").replace("[live]\n", "[live]\nsessions = 2\n"), "its own copy"),
        ('[live]\nfactory = "a:b"\nurl = "http://127.0.0.1/"\n', "there can be no url"),
        ('[live]\nfactry = "a:b"\n', "factry: there is no such key"),
        (
            CONFIG.replace("click button", "push button").replace("env:DESK_PIN", "1"),
            "sign_in, line 2: Not an action",
        ),
        (CONFIG.replace("${pin}", "${pen}"), r"uses \$\{pen\}, but \[live.credentials\] has: pin"),
        (CONFIG, "the environment has no DESK_PIN"),
        (CONFIG.replace("env:DESK_PIN", "file:pin.txt"), "pin.txt cannot be read"),
    ],
)
def test_wrong_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: str, told: str
) -> None:
    monkeypatch.delenv("DESK_PIN", raising=False)
    with pytest.raises(InputError, match=told):
        open_live(engagement(tmp_path / "e", live), "note")


def test_no_section_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no section \[live\]"):
        open_live(engagement(tmp_path / "e", ""), "note")


def test_credentials_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "pin.txt").write_text("47 11\n")
    settings = LiveSettings.model_validate(
        {
            "url": "http://localhost/",
            "tasks": ["t"],
            "probe": ["p"],
            "sign_in": ['fill textbox "Pin": ${pin}'],
            "credentials": {"pin": "file:pin.txt"},
        }
    )
    assert [action.value for action in sign_in_actions(settings, tmp_path)] == ["47 11"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit('broken')", "failed with code 1: broken"),
        ("print('hello')", "did not answer in JSON"),
        ("import time; time.sleep(60)", "took longer than 0.5 s"),
    ],
)
def test_hooks_that_fail_say_how(tmp_path: Path, code: str, told: str) -> None:
    with pytest.raises(WorkError, match=told):
        run_hook(
            "probe",
            ["python3", "-S", "-c", code],
            {},
            folder=tmp_path,
            timeout_s=0.5 if "sleep" in code else 20,
        )


def test_hooks_that_cannot_start_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be started"):
        run_hook("reset", ["./not-there.sh"], {}, folder=tmp_path, timeout_s=5)


def test_tasks_must_be_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_PIN", "1")
    made = engagement(tmp_path / "e", CONFIG)
    live = open_live(made, "note")
    assert len(live.tasks(3, 0)) == 3
    (made.root / "tasks.py").write_text(f"print({json.dumps(json.dumps([{'id': 'x'}]))})")
    with pytest.raises(WorkError, match="did not answer with a list of tasks"):
        live.tasks(1, 0)
