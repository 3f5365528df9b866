"""Recorded DOMs built again in a real browser, so that they are described as a live page is.

An importer sends operations (documents, changes to them, raw events) in the order
in which they were recorded; what there is to tell comes back: actions with the page
as it was just before, and pages. The browser runs no script and reaches nothing:
scripts are off, every request is refused by the page's policy, by the browser
context and by the resolver.
"""

from __future__ import annotations

import json
import os
import secrets as randomness
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from fde.errors import InputError
from ingest.browser import VIEWPORT, launch
from ingest.inpage import library

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page, Route

HOST = "http://rebuild.invalid/"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
SEALED = ("--host-resolver-rules=MAP * ~NOTFOUND", "--dns-prefetch-disable")
BATCH_CHARACTERS = 500_000
MAX_OPERATION = 64_000_000
LIMIT_S = 600.0
MIN_SIDE, MAX_SIDE = 200, 4000
_PAGES = {"": "<!doctype html><title></title>", "quirks": "<title></title>"}

Message = dict[str, Any]
_shared = threading.local()


@cache
def _library() -> str:
    return library("rebuild.js", "hear.js", exports="apply")


@contextmanager
def shared_browser() -> Iterator[None]:
    """One browser for all recordings that this thread reads inside the block, started when one needs it."""
    outer = getattr(_shared, "keeper", None)
    if outer is not None:
        yield
        return
    with ExitStack() as stack:
        _shared.keeper = _Keeper(stack)
        try:
            yield
        finally:
            _shared.keeper = None


class _Keeper:
    """Holds the shared browser; a new one is started where it died."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._browser: Browser | None = None

    def get(self) -> Browser:
        if self._browser is None or not self._browser.is_connected():
            self._browser = self._stack.enter_context(launch(flags=SEALED))
        return self._browser


class Rebuilder:
    """A page in which a recording is built again; starts the browser with the first batch.

    Use as a context manager. Times are milliseconds since 1970.

    Attributes:
        salt: With which the page hashes passwords, see :class:`ingest.effects.Secrets`.
        lost: Changes to nodes that the recording does not have.
        secret_names: Names and ids of the password fields seen so far.
        longest_s: Seconds the whole recording may take; then the browser is ended.
    """

    def __init__(self, longest_s: float) -> None:
        self.salt = randomness.token_hex(8)
        self.lost = 0
        self.secret_names: set[str] = set()
        self.longest_s = longest_s
        self._batch: list[str] = []
        self._size = 0
        self._stack = ExitStack()
        self._page: Page | None = None
        self._session: CDPSession | None = None
        self._table = ""
        self._mode = ""
        self._texts: dict[str, str] = {}
        self._viewport = dict(VIEWPORT)
        self._expired = False

    def __enter__(self) -> Rebuilder:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def do(self, name: str, time: float, *given: Any) -> list[Message]:
        """Add an operation of ``hear.js``; the answers of a whole batch, mostly none yet.

        Raises:
            InputError: when the recording breaks the browser or takes too long.
        """
        try:
            text = json.dumps([name, time, *given], separators=(",", ":"), allow_nan=False)
        except (ValueError, RecursionError) as error:
            raise InputError(f"An event cannot be read: {error}.") from error
        if len(text) > MAX_OPERATION:
            raise InputError(
                f"A single event holds {len(text) // 10**6} MB; at most {MAX_OPERATION // 10**6} MB are read."
            )
        answers = self.flush() if self._size + len(text) > MAX_OPERATION else []
        self._batch.append(text)
        self._size += len(text)
        return [*answers, *self.flush()] if self._size > BATCH_CHARACTERS else answers

    def load(self, time: float, node: dict[str, Any], url: str, *, fresh: bool = False) -> list[Message]:
        """Show another document.

        Args:
            time: When.
            node: Its serialised document node.
            url: Its address as recorded.
            fresh: Ids begin anew: it is another page, not the same told again.
        """
        answers: list[Message] = []
        first = next(iter(node.get("childNodes") or ()), None)
        doctype = isinstance(first, dict) and first.get("type") == 1
        mode = "" if doctype and node.get("compatMode") != "BackCompat" else "quirks"
        if self._session is None:
            self._mode = mode
        elif mode != self._mode and fresh:
            # The document can only be of the other mode from its beginning; what is unfinished is told first.
            answers = [*self.do("leave", time), *self.flush()]
            self._mode = mode
            self._open()
        return [*answers, *self.do("doc", time, node, {"url": url, "fresh": fresh})]

    def resize(self, width: Any, height: Any) -> list[Message]:
        """Show the page in a window of this size (pixels); what is no size is ignored."""
        sides = [side for side in (width, height) if isinstance(side, int | float)]
        if len(sides) < 2 or not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
            return []
        wanted = {"width": int(width), "height": int(height)}
        if wanted == self._viewport:
            return []
        answers = self.flush()
        self._viewport = wanted
        if self._page is not None:
            self._guarded(lambda: self._resized())
        return answers

    def _resized(self) -> None:
        assert self._page is not None
        self._page.set_viewport_size(self._viewport)  # type: ignore[arg-type]

    def name_text(self, name: str, text: str) -> None:
        """Give a style sheet's text a name by which documents refer to it (``_cssName``)."""
        if name not in self._texts:
            self._texts[name] = text
            self.do("css", 0, name, text)

    def flush(self) -> list[Message]:
        """Carry out what is waiting."""
        if not self._batch:
            return []
        text = f"[{','.join(self._batch)}]"
        self._batch.clear()
        self._size = 0
        if self._session is None:
            self._start()
        answer = json.loads(self._guarded(lambda: self._apply(text)))
        self.lost += answer["lost"]
        self.secret_names.update(answer["secrets"])
        messages: list[Message] = answer["messages"]
        return messages

    def _apply(self, text: str) -> str:
        assert self._session is not None
        reply = self._session.send(
            "Runtime.callFunctionOn",
            {
                "functionDeclaration": "function (text) { return this.apply(text); }",
                "objectId": self._table,
                "arguments": [{"value": text}],
                "returnByValue": True,
            },
        )
        if "exceptionDetails" in reply:
            raise InputError(f"The recorded page cannot be built again: {_reason(reply)}")
        return str(reply["result"]["value"])

    def _guarded(self, work: Any) -> Any:
        from playwright.sync_api import Error

        try:
            return work()
        except Error as error:
            if self._expired:
                raise InputError(
                    f"Reading it took longer than {self.longest_s:.0f} s; given up.",
                    "Cut the recording to one pass through the work.",
                ) from error
            raise InputError(
                f"The browser could not show what was recorded: {error.message.splitlines()[0]}"
            ) from error

    def _start(self) -> None:
        keeper = getattr(_shared, "keeper", None)
        browser = keeper.get() if keeper else self._stack.enter_context(launch(flags=SEALED))
        self._watch(browser)
        context = browser.new_context(
            viewport=self._viewport,  # type: ignore[arg-type]
            locale="en-US",
            java_script_enabled=False,
            offline=True,
            service_workers="block",
            accept_downloads=False,
        )
        self._stack.callback(_close, context)
        context.route("**/*", _answer)
        self._page = context.new_page()
        self._open()

    def _open(self) -> None:
        assert self._page is not None
        page = self._page
        self._guarded(lambda: page.goto(HOST + self._mode))
        self._session = page.context.new_cdp_session(page)
        reply = self._session.send("Runtime.evaluate", {"expression": f"({_library()})(null)"})
        if "exceptionDetails" in reply:
            raise AssertionError(_reason(reply))
        self._table = reply["result"]["objectId"]
        given = [["salt", 0, self.salt], *(["css", 0, *item] for item in self._texts.items())]
        self._guarded(lambda: self._apply(json.dumps(given)))

    def _watch(self, browser: Browser) -> None:
        """End the browser when time is up: nothing else stops a page that never answers."""
        session = browser.new_browser_cdp_session()
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        process = next(each["id"] for each in processes if each["type"] == "browser")

        def end() -> None:
            self._expired = True
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

        timer = threading.Timer(self.longest_s, end)
        timer.daemon = True
        timer.start()
        self._stack.callback(timer.cancel)


def _reason(reply: dict[str, Any]) -> str:
    details = reply["exceptionDetails"]
    text = details.get("exception", {}).get("description") or details.get("text", "")
    return str(text).splitlines()[0]


def _answer(route: Route) -> None:
    from playwright.sync_api import Error

    mode = route.request.url.removeprefix(HOST)
    with suppress(Error):
        if mode not in _PAGES or not route.request.is_navigation_request():
            route.abort()
            return
        headers = {"Content-Security-Policy": POLICY, "X-DNS-Prefetch-Control": "off"}
        route.fulfill(body=_PAGES[mode], content_type="text/html; charset=utf-8", headers=headers)


def _close(context: Any) -> None:
    from playwright.sync_api import Error

    with suppress(Error):
        context.close()
