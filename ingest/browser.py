"""The one browser of the toolkit: an installed Chromium, driven by Playwright.

::

    with launch() as browser:
        page = new_page(browser)
        page.goto("http://127.0.0.1:8000/")
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fde.errors import InputError, MissingError, WorkError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

BROWSER_VARIABLE = "FDE_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
# Nothing a client's page shows may leave the machine through the browser's own services.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
VIEWPORT = {"width": 1000, "height": 720}

_drivers = threading.local()


def executable() -> Path:
    """The browser to use: ``$FDE_BROWSER``, else an installed one, else Playwright's own.

    Raises:
        InputError: when ``$FDE_BROWSER`` names no file.
        MissingError: when there is no browser at all.
    """
    named = os.environ.get(BROWSER_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise InputError(f"{BROWSER_VARIABLE} names {named}: no such file.", "Correct or unset it.")
        return Path(named)
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    with _driver() as playwright:
        own = Path(playwright.chromium.executable_path)
    if own.is_file():
        return own
    raise MissingError(
        f"No browser: none of {', '.join(NAMES[:4])} is installed, nor Playwright's own Chromium.",
        f"Install one (for instance: apt-get install chromium, or: playwright install chromium), "
        f"or name one in {BROWSER_VARIABLE}.",
    )


@contextmanager
def _driver() -> Iterator[Playwright]:
    """Playwright's driver: one per thread, shared by nested users, stopped by the last."""
    from playwright.sync_api import sync_playwright

    users: int = getattr(_drivers, "users", 0)
    if users == 0:
        _drivers.playwright = sync_playwright().start()
    _drivers.users = users + 1
    try:
        yield _drivers.playwright
    finally:
        _drivers.users -= 1
        if _drivers.users == 0:
            _drivers.playwright.stop()
            del _drivers.playwright


@contextmanager
def launch(headless: bool = True, *, slow_mo_ms: float = 0, flags: Sequence[str] = ()) -> Iterator[Browser]:
    """A running browser, closed with everything it opened when the block ends.

    Args:
        headless: Without a window.
        slow_mo_ms: Pause after every action of Playwright, in milliseconds.
        flags: Further command-line flags of the browser.

    Raises:
        MissingError: when there is no browser.
        WorkError: when the browser does not start.
    """
    from playwright.sync_api import Error

    path = executable()
    with _driver() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=str(path), headless=headless, args=[*FLAGS, *flags], slow_mo=slow_mo_ms
            )
        except Error as error:
            reason = error.message.strip().splitlines()[0]
            hint = "" if headless else "A window needs a display; try again with --headless."
            raise WorkError(
                f"The browser {path} did not start: {reason}", hint or "Look at: fde doctor"
            ) from error
        try:
            yield browser
        finally:
            with suppress(Error):
                browser.close()


def new_page(browser: Browser, **options: Any) -> Page:
    """A page in a fresh profile, prepared so that snapshots see all they can.

    Args:
        browser: From :func:`launch`.
        options: Passed on to Playwright's ``Browser.new_context``.
    """
    from ingest.page import prepare

    context = browser.new_context(**{"viewport": VIEWPORT, "locale": "en-US", **options})
    prepare(context)
    return context.new_page()
