"""Applications of tests that answer with pages, with JSON to a script of theirs, or send the browser on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

import kept_recordings
from local_server import Handler, listening

from ingest.recording import Recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Between two actions, and as long as a person takes to look at what came of one.
PAUSE_MS, LOOK_MS = 150, 400


class Served(kept_recordings.Application, Protocol):
    """What is served: a page as text, JSON as data; an address in a tuple is where to go on."""

    def get(self, path: str) -> Any: ...

    def post(self, path: str, sent: dict[str, Any]) -> Any: ...


@contextmanager
def serving(app: Served) -> Iterator[str]:
    """The application's address while it is served."""

    class Pages(Handler):
        def do_GET(self) -> None:
            self._tell("" if "favicon" in self.path else app.get(self.path))

        def do_POST(self) -> None:
            raw = self.asked().decode()
            if "json" in (self.headers.get("Content-Type") or ""):
                self._tell(app.post(self.path, json.loads(raw)))
            else:
                fields = parse_qs(raw, keep_blank_values=True)
                self._tell(app.post(self.path, {name: texts[0] for name, texts in fields.items()}))

        def _tell(self, found: Any) -> None:
            if isinstance(found, tuple):
                self.answer(303, to=found[0])
            elif isinstance(found, str):
                self.answer(200, found)
            else:
                self.answer(200, json.dumps(found), kind="application/json")

    with listening(Pages) as port:
        yield f"http://127.0.0.1:{port}/"


def recorded_of(app: Served, kind: str, out: Path, browser: Browser) -> Recording:
    """The application's expert at work, recorded."""
    with serving(app) as url:
        return kept_recordings.recorded(app, kind, url, out, browser, f"http://{kind}.test/")
