"""A browser and a small site for tests of the ingest room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from ingest.browser import launch, new_page
from ingest.page import take_snapshot
from ingest.snapshot import parse, render

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser per file: an open one would leave an event loop running under other tests."""
    with launch(slow_mo_ms=0) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One prepared page per file; :func:`shown` empties it."""
    opened = new_page(browser)
    yield opened
    opened.context.close()


def shown(page: Page, html: str) -> str:
    """The snapshot of a page with this HTML; it must survive parsing and rendering."""
    page.goto("about:blank")
    page.set_content(html)
    text = take_snapshot(page).text
    assert render(parse(text)) == text
    return text


class Site:
    """Pages by path, and what was posted to them. A page may be a redirect: ``-> /path``."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.posts: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(site.pages.get(urlsplit(self.path).path, ""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                site.posts.append((self.path, body.decode("utf-8", "replace")))
                self._answer(site.pages.get("POST " + urlsplit(self.path).path, "-> /"))

            def _answer(self, body: str) -> None:
                redirect = body.startswith("-> ")
                self.send_response(303 if redirect else 200 if body else 404)
                if redirect:
                    self.send_header("Location", body[3:])
                data = b"" if redirect else body.encode()
                kind = "application/json" if body.startswith("{") else "text/html; charset=utf-8"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.other_url = f"http://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()
