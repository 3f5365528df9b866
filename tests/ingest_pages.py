"""A browser and a small site for tests of the ingest room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from local_server import Handler, listening

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
    """Pages by path, and what was posted to them. A page may be a redirect: ``-> /path``.

    Attributes:
        url: Where it is served; ``other_url`` is the same under another name.
    """

    url: str
    other_url: str

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.posts: list[tuple[str, str]] = []
        site = self

        class Pages(Handler):
            def do_GET(self) -> None:
                self._answer(site.pages.get(urlsplit(self.path).path, ""))

            def do_POST(self) -> None:
                site.posts.append((self.path, self.asked().decode("utf-8", "replace")))
                self._answer(site.pages.get("POST " + urlsplit(self.path).path, "-> /"))

            def _answer(self, body: str) -> None:
                if body.startswith("-> "):
                    self.answer(303, to=body[3:])
                else:
                    kind = "application/json" if body.startswith("{") else ""
                    self.answer(200 if body else 404, body, kind=kind)

        self.handler = Pages


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    with listening(running.handler) as port:
        running.url = f"http://127.0.0.1:{port}"
        running.other_url = f"http://localhost:{port}"
        yield running
