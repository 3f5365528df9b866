"""What is heard in a browser while somebody works: actions, pages and requests.

The messages of ``record.js`` and the browser's requests are collected with the
times at which they happened; :mod:`ingest.timeline` makes steps of them.
"""

from __future__ import annotations

import base64
import json
import secrets as randomness
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fde.artifacts import digest
from fde.errors import InputError, WorkError
from ingest.effects import Secrets, make_effect
from ingest.formats.base import blob_name
from ingest.inpage import TOKEN, source
from ingest.page import Traffic, prepare, see
from ingest.recording import Recording
from ingest.timeline import Act, Look, Request, steps_of

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, CDPSession, Dialog, Page
    from playwright.sync_api import Request as BrowserRequest

REST_S = 0.5
REST_LIMIT_S = 10.0
PICTURE = {"format": "webp", "quality": 40}
# A new page that opens within this time of an action was opened by it.
CAUSED_MS = 5_000


def origin_of(address: str) -> str:
    """The origin of an address, as ``https://host``; ``file://`` for all local files.

    Raises:
        InputError: when it is not an address of a page.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        return "file://"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"Not an address: {address!r}.", "Write for instance: http://intranet.example/inbox")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


class Listener:
    """Hears everything in one browser context; :meth:`recording` says what it was."""

    def __init__(self, context: BrowserContext, allowed: set[str], *, scripted: bool, badge: bool) -> None:
        self.context = context
        self.allowed = allowed
        self.scripted = scripted
        self.secrets = Secrets(salt=randomness.token_hex(8))
        self.acts: list[Act] = []
        self.looks: list[Look] = []
        self.requests: list[BrowserRequest] = []
        self.arrived: dict[BrowserRequest, float] = {}
        self.blobs: dict[str, bytes] = {}
        self.warnings: list[str] = []
        self.stopped = False
        self.paused = False
        self.last_heard = time.monotonic()
        self.started = datetime.now(UTC)
        self._left: set[Page] = set()  # pages that are on their way elsewhere by themselves
        self._known: set[Page] = set()
        self._addresses: dict[Page, tuple[float, str, BrowserRequest]] = {}
        self._asked: dict[int, BrowserRequest] = {}  # the request of a goto, by the act's identity
        self._sessions: dict[Page, CDPSession] = {}
        self._others = 0
        self._key = f"__{randomness.token_hex(8)}"
        binding = f"__{randomness.token_hex(8)}"
        context.expose_binding(binding, self._hear)
        given = {
            "TOKEN": TOKEN,
            "BINDING": binding,
            "KEY": self._key,
            "SALT": self.secrets.salt,
            "BADGE": badge,
            "SCRIPTED": scripted,
        }
        constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
        self.traffic: Traffic = prepare(context, constants + source("record.js"))
        context.on("request", self._request)
        context.on("page", self._page)
        context.on("dialog", self._dialog)

    def begin(self, page: Page, url: str) -> None:
        from playwright.sync_api import Error

        self._known.add(page)
        self._left.add(page)  # this load is the first step, not one more
        try:
            began = Act(time.time() * 1000, "goto", value=self.secrets.mask_url(url))
            self.acts.append(began)
            page.goto(url)
        except Error as error:
            reason = error.message.splitlines()[0]
            raise WorkError(f"{url} could not be opened: {reason}", "Is the application running?") from error
        self.rest()

    def until_stopped(self) -> None:
        while not self.stopped and self.context.pages:
            self.context.pages[-1].wait_for_timeout(100)

    def rest(self) -> None:
        """Wait until all requests are answered and nothing has been heard for a moment."""
        deadline = time.monotonic() + REST_LIMIT_S
        self.last_heard = max(self.last_heard, time.monotonic() - REST_S / 2)
        while time.monotonic() < deadline and self.context.pages:
            quiet = time.monotonic() - self.last_heard > REST_S
            if quiet and not self.traffic.waiting():
                return
            self.context.pages[-1].wait_for_timeout(50)

    def finish(self) -> None:
        """Have unfinished input told, and see the page at rest."""
        from playwright.sync_api import Error

        for page in self.context.pages:
            for frame in page.frames:
                with suppress(Error):
                    frame.evaluate(f"() => window[{json.dumps(self._key)}]?.flush()")
        self.rest()

    # What is heard

    def _hear(self, source: dict[str, Any], text: str) -> str:
        try:
            message = json.loads(text)
            kind = message["kind"]
            page: Page = source["page"]
            if kind == "control":
                self.paused = message["what"] == "pause"
                self.stopped = self.stopped or message["what"] == "stop"
            elif kind == "load":
                self._loaded(page, message)
                return "paused" if self.paused else "recording"
            elif kind == "leaving":
                self._left.add(page)
            elif kind == "trouble":
                self._warn(f"An event could not be read: {message['text'][:200]}")
            elif kind == "act":
                self._act(source, message)
            elif kind == "state":
                self._state(source, message)
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            self._warn(f"A message of the page could not be read: {type(error).__name__}: {error}")
        return ""

    def _allowed(self, url: str) -> bool:
        if url.startswith(("about:", "data:", "blob:", "chrome")):
            return False
        try:
            return origin_of(url) in self.allowed
        except InputError:
            return False

    def _act(self, source: dict[str, Any], message: dict[str, Any]) -> None:
        if self.paused:
            return
        self.last_heard = time.monotonic()
        page = json.loads(message["before"]) if isinstance(message["before"], str) else message["before"]
        if not self._allowed(page["url"]) and not (
            page["url"].startswith("about:") and source["frame"].parent_frame
        ):
            self._others += 1
            return
        self.secrets.names.update(page["secrets"])
        if message.get("hash"):
            self.secrets.hashes.add(message["hash"])
        look = Look(message["seen"], page, self._blob(message["dom"]))
        self.acts.append(
            Act(
                time=message["time"],
                verb=message["verb"],
                seen=message["seen"],
                before=look,
                value=message.get("value"),
                chosen=tuple(message.get("chosen", ())),
                soft=message.get("soft", False),
                masked=message.get("masked", False),
            )
        )
        if source["frame"].parent_frame is not None and page["url"] == source["frame"].url:
            self._put_in_page(look, source)
        elif self.looks:
            _fill_frames(look.page["tree"], self.looks[-1].page["tree"])
            look.changed()

    def _put_in_page(self, look: Look, source: dict[str, Any]) -> None:
        """An event in a frame of another origin: put what the frame saw into the page around it."""
        try:
            seen = see(source["page"])
        except WorkError:
            return
        prefix = next((path for path, frame in seen.frames if frame is source["frame"]), None)
        if prefix is None:
            return
        raw = _raw(seen.tree)
        node = raw
        for step in prefix:
            node = node[4][step]
        node[4] = look.page["tree"][4]
        look.page = {**look.page, "url": seen.snapshot.url, "title": seen.snapshot.title, "tree": raw}
        if look.page["path"] is not None:
            look.page["path"] = [*prefix, *look.page["path"]]

    def _state(self, source: dict[str, Any], message: dict[str, Any]) -> None:
        page: Page = source["page"]
        if self.paused or not self._allowed(message["page"]["url"]):
            return
        self.last_heard = time.monotonic()
        self.secrets.names.update(message["page"]["secrets"])
        look = Look(message["time"], message["page"], self._blob(message["dom"]))
        if source["frame"].parent_frame is not None or self._has_strangers(page):
            try:
                seen = see(page)
            except WorkError:
                return
            look.dom = look.dom if source["frame"].parent_frame is None else None
            look.page = {
                **look.page,
                "url": seen.snapshot.url,
                "title": seen.snapshot.title,
                "tree": _raw(seen.tree),
            }
        self.looks.append(look)
        acts = len(self.acts)
        picture = None if message["page"]["bare"] else self._picture(page)
        if picture is not None and acts == len(self.acts):  # else it may show what came after
            look.screenshot = picture

    def _has_strangers(self, page: Page) -> bool:
        """Whether frames of other origins that are part of the application stand in the page."""
        own = page.url.split("/", 3)[:3]
        return any(frame.url.split("/", 3)[:3] != own and self._allowed(frame.url) for frame in page.frames)

    def _blob(self, dom: str | None) -> str | None:
        if dom is None:
            return None
        data = dom.encode("utf-8", "replace")
        name = blob_name(data, "html")
        self.blobs[name] = data
        return name

    def _picture(self, page: Page) -> str | None:
        from playwright.sync_api import Error

        try:
            session = self._sessions.get(page)
            if session is None:
                session = self._sessions[page] = self.context.new_cdp_session(page)
            # Of the window as it is: a clip or a scale makes the browser lay out anew, and frames of
            # other origins then miss clicks.
            reply = session.send("Page.captureScreenshot", PICTURE)
        except Error:
            return None
        data = base64.b64decode(reply["data"])
        name = blob_name(data, "webp")
        self.blobs[name] = data
        return name

    def _loaded(self, page: Page, message: dict[str, Any]) -> None:
        """A document began: a step where neither the page nor an action asked for it (address bar)."""
        self.last_heard = time.monotonic()
        asked = page in self._left
        self._left.discard(page)
        opened = page not in self._known
        self._known.add(page)
        if message["url"].startswith("about:") or asked or self.paused:
            return
        began, address, _ = self._addresses.get(page, (message["time"], message["url"], None))
        if opened and any(0 <= began - act.time < CAUSED_MS for act in self.acts if act.verb != "goto"):
            return
        if self._allowed(address):
            before = self._latest(began)
            self._goto(Act(began, "goto", value=self.secrets.mask_url(address), before=before), page)

    def _goto(self, act: Act, page: Page) -> None:
        self.acts.append(act)
        if page in self._addresses:
            self._asked[id(act)] = self._addresses[page][2]

    def _latest(self, until: float) -> Look | None:
        before = [look for look in self.looks if look.time <= until]
        return before[-1] if before else None

    def _request(self, request: BrowserRequest) -> None:
        from playwright.sync_api import Error

        self.last_heard = time.monotonic()
        now = time.time() * 1000
        if request.resource_type not in ("document", "xhr", "fetch", "ping"):
            return
        with suppress(Error):  # the page of a request may not be there yet
            frame = request.frame
            if request.is_navigation_request() and not frame.parent_frame and not request.redirected_from:
                self._addresses[frame.page] = (now, request.url, request)
        if not self.paused and self._allowed(request.url):
            self.requests.append(request)
            self.arrived[request] = now

    def _page(self, page: Page) -> None:
        page.on("crash", lambda _: self._crashed())

    def _crashed(self) -> None:
        self._warn("The page crashed.")
        self.stopped = True

    def _dialog(self, dialog: Dialog) -> None:
        """Without anybody to answer, a script's dialogs are accepted."""
        from playwright.sync_api import Error

        self._warn(f"A dialog was shown: {dialog.message[:200]}")
        # Playwright has no public way to ask whether the script answers dialogs itself.
        listeners = getattr(getattr(dialog.page, "_impl_obj", None), "listeners", None)
        if self.scripted and not (listeners and listeners("dialog")):
            with suppress(Error):
                dialog.accept()

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    # What becomes of it

    def recording(
        self, workflow: str, instruction: str, recording_id: str | None, failure: BaseException | None
    ) -> Recording:
        if self._others:
            self._warn(f"{self._others} actions on pages of other origins were left out.")
        if failure is not None and not isinstance(failure, KeyboardInterrupt):
            self._warn(
                f"The recording ended early: {str(failure).splitlines()[0] if str(failure) else 'unknown'}"
            )
        for act in self.acts:
            if id(act) in self._asked:
                act.time = min(act.time, _began(self._asked[id(act)], act.time))
        steps, warnings = steps_of(self.acts, self.looks, self._effects(), self.secrets)
        used = {
            name
            for step in steps
            for snapshot in (step.before, step.after)
            if snapshot is not None
            for name in (snapshot.dom, snapshot.screenshot)
        }
        self.blobs = {name: data for name, data in self.blobs.items() if name in used}
        made = Recording(
            id=recording_id or "",
            workflow=workflow,
            instruction=instruction,
            source_format="fderec",
            recorded_at=self.started.isoformat(timespec="seconds"),
            steps=steps,
            warnings=(*self.warnings, *warnings),
        )
        if recording_id:
            return made
        return made.model_copy(update={"id": f"{workflow}-{digest(made.model_dump(mode='json'))[:8]}"})

    def _effects(self) -> list[Request]:
        from playwright.sync_api import Error

        found = []
        for request in self.requests:
            status = None
            location = None
            body = None
            began = self.arrived[request]
            response = getattr(request, "existing_response", None)
            if response is not None:
                status = response.status
                location = response.headers.get("location")
                began = _began(request, began)
            with suppress(Error):
                body = request.post_data_buffer
            effect = make_effect(
                request.method,
                request.url,
                status=status,
                content_type=request.headers.get("content-type", ""),
                body=body,
                location=location,
                secrets=self.secrets,
            )
            found.append(Request(began, effect))
        return found


def _fill_frames(tree: Any, known: Any) -> None:
    """Frames that the page's own script may not enter hold what was last seen in them."""
    empty = [node for node in _walk(tree) if node[0] == "iframe" and not node[4]]
    full = {node[1]: node[4] for node in _walk(known) if node[0] == "iframe" and node[4]}
    for node in empty:
        node[4] = full.get(node[1], [])


def _walk(raw: Any) -> Iterator[Any]:
    yield raw
    for child in raw[4]:
        yield from _walk(child)


def _began(request: BrowserRequest, otherwise: float) -> float:
    """When a request started, in milliseconds since 1970; known once it is answered."""
    start = request.timing.get("startTime", 0)
    return float(start) if start > 0 else otherwise


def _raw(node: Any) -> list[Any]:
    """A node as the nested lists of the in-page function."""
    return [
        node.role,
        node.name,
        node.value,
        [list(state) for state in node.states],
        [_raw(each) for each in node.children],
    ]
