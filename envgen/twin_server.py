"""The twin served on this machine: real pages for people and for parity with the environment.

::

    with serve(workflow) as twin:
        twin.begin(task)
        browser.open(twin.url + "page")

``/page`` is the application's page alone; ``/`` frames it with the task and its verdict. Nothing
but the twin's own pages may talk to it, and its pages load nothing from elsewhere.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from envgen.compiled import Compiled, compiled_of
from envgen.reading.model import Reading
from envgen.session import Score, Task, View
from envgen.twin import page_html
from envgen.workflow import Workflow
from fde.errors import FdeError
from fde.ports import check_port
from ingest.action import Action, Target

_MAX_BODY = 1_000_000
_PAGES_KEPT = 20
_FILES = {
    "/": ("play.html", "text/html; charset=utf-8"),
    "/play.css": ("play.css", "text/css"),
    "/play.js": ("play.js", "text/javascript"),
    "/twin.css": ("twin.css", "text/css"),
    "/twin.js": ("twin.js", "text/javascript"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    '<link rel="stylesheet" href="twin.css"></head><body>{body}<script src="twin.js"></script></body></html>'
)


class Twin:
    """One person's (or test's) episode in the twin. All dealings are one after the other.

    Attributes:
        url: Where it is served, ending in a slash.
    """

    def __init__(self, compiled: Compiled, url: str = "", *, seed: int = 0) -> None:
        self.url = url
        self.name = compiled.name
        self.env = compiled.environment()
        self._lock = threading.Lock()
        self._tasks = compiled.tasks_of("dev", seed=seed)
        self._number = 0
        self._pages: dict[int, list[Target]] = {}
        self._body = ""
        self._said = ""
        self.task: Task | None = None

    def begin(self, task: Task | None = None) -> Task:
        """Begin a task, another one of the workflow's when none is given."""
        with self._lock:
            self.task = task or next(self._tasks)
            self._said = ""
            self._shown(self.env.reset(self.task))
            return self.task

    def page(self) -> str:
        """The page as a document."""
        with self._lock:
            # The page that loads counts from nought, and asks by that number.
            self._pages[0] = self._pages[self._number]
            return _PAGE.format(title=escape(self._title()), body=self._body)

    def act(self, told: dict[str, Any]) -> dict[str, Any]:
        """Do what was done on the page; what it shows then. ``html`` is None when it shows that already."""
        with self._lock:
            targets = self._pages.get(int(told["page"]), [])
            at = told["at"]
            target = targets[int(at)] if at is not None and 0 <= int(at) < len(targets) else None
            if target is None and told["verb"] != "press":
                return self._answer(None)
            action = Action.model_validate({"verb": told["verb"], "target": target, "value": told["value"]})
            before = self._body
            view = self.env.step(action)
            self._said = view.text.splitlines()[0] if view.text.startswith("Not modelled") else ""
            self._shown(view)
            # A field that only took what was typed needs no new page, in which it would lose the cursor.
            same = action.verb == "fill" and _without(before, target) == _without(self._body, target)
            return self._answer(None if same else self._body)

    def judge(self, answer: str | None) -> Score:
        """The verdict on the work, declared done."""
        with self._lock:
            self.env.step(Action(verb="done", value=answer))
            return self.env.score()

    def _shown(self, view: View) -> None:
        self._number += 1
        self._body, targets = page_html(view.page)
        self._pages[self._number] = targets
        for old in [n for n in self._pages if 0 < n < self._number - _PAGES_KEPT]:
            del self._pages[old]

    def _answer(self, html: str | None) -> dict[str, Any]:
        steps = self.env.steps
        return {
            "page": self._number,
            "html": html,
            "title": self._title(),
            "steps": steps,
            "said": self._said,
        }

    def _title(self) -> str:
        heading = next((n.name or n.text() for n in self.env.page.walk() if n.role == "heading"), "")
        return heading or self.name


def _without(body: str, target: Target | None) -> str:
    """A page's HTML without what is entered in one field."""
    if target is None:
        return body
    head, mark, rest = body.partition(f'aria-label="{escape(target.name)}"')
    before, _, _ = head.rpartition(' value="')
    return before + mark + rest


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not self._own():
            return
        if path == "/page":
            self._send(200, self.server.twin.page().encode(), "text/html; charset=utf-8")
        elif path in _FILES:
            name, kind = _FILES[path]
            self._send(200, files("envgen").joinpath("page", name).read_bytes(), kind)
        else:
            self._send(404, b"There is no such page.", "text/plain")

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        # Pages of elsewhere cannot set this header without being allowed to, which nobody is.
        if not self._own() or self.headers.get("x-twin") != "1" or not 0 <= length <= _MAX_BODY:
            self.close_connection = True
            return self._send(403, b"Refused.", "text/plain")
        twin, path = self.server.twin, self.path
        try:
            told = json.loads(self.rfile.read(length) or b"{}")
            if path == "/act":
                found = twin.act(told)
            elif path == "/done":
                found = twin.judge(told["answer"]).model_dump(mode="json")
            elif path in ("/begin", "/task"):
                task = twin.task
                if path == "/begin" or task is None:
                    task = twin.begin(None if told.get("other") else task)
                found = {"name": task.workflow, "instruction": task.instruction}
            else:
                return self._send(404, b"There is no such page.", "text/plain")
        except (ValueError, KeyError, TypeError, StopIteration, FdeError) as error:
            return self._send(400, str(error).encode(), "text/plain")
        return self._send(200, json.dumps(found).encode(), "application/json")

    def _own(self) -> bool:
        """Whether it was asked for by the name of this machine: other names may be tricks."""
        host = (self.headers.get("host") or "").rpartition(":")[0]
        if host in ("127.0.0.1", "localhost"):
            return True
        self._send(403, b"Refused.", "text/plain")
        return False

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in (
            ("content-type", kind),
            ("content-length", str(len(body))),
            ("content-security-policy", _POLICY),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: what is typed is nobody's business."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, twin: Twin) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.twin = twin


@contextmanager
def serve(
    built: Compiled | Workflow | Reading, *, port: int = 0, seed: int = 0
) -> Iterator[Twin]:
    """Serve an environment's twin while the block runs.

    Args:
        port: 0 for any free one.

    Raises:
        InputError: when the port is not free.
    """
    check_port("127.0.0.1", port)
    twin = Twin(compiled_of(built), seed=seed)
    server = _Server(port, twin)
    twin.url = f"http://127.0.0.1:{server.server_address[1]}/"
    twin.begin()
    thread = threading.Thread(target=server.serve_forever, name="twin", daemon=True)
    thread.start()
    try:
        yield twin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
