"""The task on the real application, in a real browser: the same views as the in-process environment.

A :class:`LiveSession` acts on a staging copy of the application with real input
and tells the agent what :mod:`envgen.observe` and :mod:`envgen.replies` tell it
in the environment, so that the same agent, prompts and scores serve both.

What can break here (the browser, the network, the application) is no fault of
the agent: such an episode ends at once and its score is None, with the reason.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from envgen.observe import Observer
from envgen.replies import field_of, refusal
from envgen.session import Score, Task, View
from fde.errors import FdeError, InputError
from ingest.action import Action, Target, resolve
from ingest.snapshot import Node, parse

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

T = TypeVar("T")
_SECOND_LOOK_MS = 300
# How long a busy machine may take to begin with the page that follows signing in.
_SIGN_IN_LIMIT_S = 10.0
# A second time, because a browser on a busy machine was seen to send the form empty; not more often,
# because applications lock accounts.
_SIGN_IN_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Start:
    """Where a task begins in the staging copy.

    Attributes:
        url: The address opened first.
        sign_in: Actions that sign in. They are done before the agent sees
            anything, and their values are never told to it.
        then: The address opened after signing in; empty to stay where that leads.
    """

    url: str
    sign_in: tuple[Action, ...] = ()
    then: str = ""


class Application(Protocol):
    """A staging copy of the application, as a session needs it. Any method may raise."""

    def begin(self, task: Task) -> Start:
        """Bring the copy into the state in which the task is to be done, and note that state."""
        ...

    def judge(self, task: Task) -> Score:
        """Judge the task's effect: the state now against the state noted by :meth:`begin`."""
        ...

    def close(self) -> None:
        """Give back what the copy holds: processes, ports, files."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take.

    Attributes:
        action_s: One action with the wait for its result; the browser is ended when it
            takes longer (a page whose script never ends cannot be asked to stop).
        episode_s: One episode from its reset, the agent's thinking included.
        max_steps: Actions in an episode.
    """

    action_s: float = 60.0
    episode_s: float = 900.0
    max_steps: int = 80


class _Broken(Exception):
    """The episode cannot go on, for a reason that is not the agent's."""


class LiveSession:
    """One episode at a time on the real application. Implements :class:`envgen.session.Session`.

    To be used from the thread that made it, as the browser's driver demands.

    Args:
        application: The staging copy; closed with the session.
        headless: Without a window.

    Attributes:
        remembered: Labels of facts told again on later pages, as in the compiled environment; None is
            all. Set by whoever knows the workflow: those who make sessions know the application only.
    """

    def __init__(
        self, application: Application, *, headless: bool = True, limits: Limits | None = None
    ) -> None:
        self.remembered: frozenset[str] | None = None
        self.application = application
        self.headless = headless
        self.limits = limits or Limits()
        self._stack = ExitStack()
        self._browser: Browser | None = None
        self._process: int | None = None
        self._context: BrowserContext | None = None
        self._page: Page | None = None
        self._task: Task | None = None
        self._error = ""
        self._finished = True
        self._observer = Observer()
        self._node = Node("document")
        self._steps = 0
        self._deadline = 0.0
        self._origins: frozenset[str] = frozenset()

    @property
    def address(self) -> str:
        """Of the page in front; empty when there is none."""
        pages = [] if self._context is None else self._context.pages
        return pages[-1].url if pages else ""

    def reset(self, task: Task) -> View:
        """Begin the task in a fresh browser profile.

        Raises:
            MissingError: when there is no browser. Everything else that fails is
                told by the score.
        """
        self._end_episode()
        self._task, self._error, self._steps = task, "", 0
        self._observer, self._node = Observer(self.remembered), Node("document")
        self._deadline = time.monotonic() + self.limits.episode_s
        self._ensure_browser()
        return self._guarded(lambda: self._begin(task))

    def step(self, action: Action) -> View:
        """Carry the action out with real input, wait until the page has reacted, and look."""
        if self._task is None:
            raise InputError("The session has no task yet.", "Call reset(task) first.")
        if self._finished:
            return self._view("", finished=True)
        return self._guarded(lambda: self._act(action))

    def score(self) -> Score:
        """Judge the application's state now; None when the episode broke or cannot be judged."""
        if self._task is None:
            raise InputError("The session has no task yet.", "Call reset(task) first.")
        if self._error:
            return Score(value=None, reasons=(self._error,))
        try:
            return self.application.judge(self._task)
        except Exception as error:
            return Score(value=None, reasons=(f"The effect could not be judged: {_reason(error)}",))

    def close(self) -> None:
        """Close the browser and the application's copy. A later reset opens both again."""
        try:
            self._end_episode()
            self._close_browser()
        finally:
            self.application.close()

    # The episode.

    def _begin(self, task: Task) -> View:
        try:
            start = self.application.begin(task)
        except Exception as error:
            raise _Broken(f"The application could not be prepared: {_reason(error)}") from error
        self._origins = frozenset(_origin(url) for url in (start.url, start.then) if url)
        self._open_page()
        self._go(start.url)
        self._sign_in(start)
        self._look()
        return self._view(self._observer.first(self._node))

    def _sign_in(self, start: Start) -> None:
        for attempt in range(_SIGN_IN_ATTEMPTS):
            if attempt:
                self._go(start.url)
            self._write_and_send(start.sign_in)
            asked = self._still_asked(start.sign_in)
            if not asked:
                break
        else:
            raise _Broken(f"Signing in failed: the page still asks for {asked}.")
        if start.then:
            self._go(urljoin(start.url, start.then))

    def _write_and_send(self, actions: Sequence[Action]) -> None:
        from ingest.page import perform

        for number, action in enumerate(actions, 1):
            # Not the value: it may be a password.
            what = f"{action.verb} {action.target.text() if action.target else ''}".rstrip()
            patience = time.monotonic() + _SIGN_IN_LIMIT_S
            while True:
                if not self._timed(partial(perform, self._current(), action)):
                    raise _Broken(
                        f"Signing in failed at step {number}: there is no place for '{what}' on the page."
                    )
                if self._took(action) or time.monotonic() > patience:
                    break

    def _still_asked(self, actions: Sequence[Action]) -> str:
        """The fields that signing in filled, when all of them are still there; empty when not."""
        fields = [a.target for a in actions if a.verb == "fill" and a.target is not None]
        if not fields:
            return ""
        self._look()
        patience = time.monotonic() + _SIGN_IN_LIMIT_S
        while all(self._asks_for(field, filled=True) for field in fields) and time.monotonic() < patience:
            self._timed(partial(self._current().wait_for_timeout, _SECOND_LOOK_MS))
            self._look()
        return " and ".join(f.text() for f in fields) if all(self._asks_for(f) for f in fields) else ""

    def _took(self, action: Action) -> bool:
        """Whether what was written stands in its field: on a busy machine writing can come too late."""
        if action.verb != "fill" or action.target is None or not action.value:
            return True
        self._look(settled=True)
        return not self._asks_for(action.target) or self._asks_for(action.target, filled=True)

    def _asks_for(self, field: Target, *, filled: bool = False) -> bool:
        """Whether the field is on the page; ``filled``: and still holds what was written into it."""
        found = resolve(self._node, field)
        return found is not None and (not filled or bool(found[-1].value))

    def _act(self, action: Action) -> View:
        from ingest.page import perform

        self._steps += 1
        if action.verb == "done":
            return self._view("", finished=True)
        if time.monotonic() > self._deadline:
            raise _Broken(f"The episode took longer than {self.limits.episode_s:g} s.")
        message = self._out_of_bounds(action) or refusal(self._node, action)
        if message:
            self._look()
        else:
            before = self._current()
            if not self._timed(lambda: perform(before, action)):
                message = f"That cannot be done here: {action.text()}"
            shown = self._node
            self._look(settled=self._current() is before)
            if action.verb == "click" and self._node == shown:
                # A window that opens, or an answer that has not begun, shows nothing at first.
                self._timed(lambda: before.wait_for_timeout(_SECOND_LOOK_MS))
                self._look()
        text = self._observer.next(self._node, acted_on=field_of(action), message=message)
        return self._view(text, finished=self._steps >= self.limits.max_steps)

    def _out_of_bounds(self, action: Action) -> str:
        """Addresses outside the application are not opened: the agent works in the staging copy only."""
        if action.verb != "goto":
            return ""
        address = urljoin(self._current().url, action.value or "")
        return "" if _origin(address) in self._origins else f"{action.value} is not part of the application."

    def _look(self, *, settled: bool = False) -> None:
        """Take the page as it is, once it has settled; one that could not be loaded ends the episode."""
        from ingest.page import see, settle

        page = self._current()
        seen = self._timed(lambda: see(page) if settled else settle(page))
        if page.url.startswith("chrome-error:"):
            raise _Broken("The application does not answer.")
        # As the environment does: what is written in a snapshot is what there is.
        self._node = parse(seen.snapshot.text)

    def _view(self, text: str, *, finished: bool = False) -> View:
        self._finished = finished
        return View(page=self._node, text=text, fresh=bool(text) and self._observer.fresh, finished=finished)

    def _guarded(self, work: Callable[[], View]) -> View:
        """Run a part of the episode; whatever breaks it ends it, and becomes the score's reason."""
        from playwright.sync_api import Error

        try:
            return work()
        except (_Broken, FdeError, Error) as error:
            self._error = _reason(error)
            return self._view("", finished=True)

    # The browser.

    def _ensure_browser(self) -> None:
        from ingest.browser import launch

        if self._browser is not None and not self._browser.is_connected():
            self._close_browser()
        if self._browser is None:
            self._browser = self._stack.enter_context(launch(self.headless))
            self._process = _process_id(self._browser)

    def _close_browser(self) -> None:
        self._browser = self._process = None
        with suppress(Exception):
            self._stack.close()
        self._stack = ExitStack()

    def _end_episode(self) -> None:
        self._finished = True
        self._page = None
        context, self._context = self._context, None
        if context is not None:
            with suppress(Exception):
                context.close()

    def _open_page(self) -> None:
        from ingest.browser import new_page

        assert self._browser is not None
        browser = self._browser
        self._page = self._timed(lambda: new_page(browser))
        self._context = self._page.context

    def _current(self) -> Page:
        """The page in front: the newest of the episode that is still open."""
        if self._context is None:
            raise _Broken("The browser is gone.")
        pages = self._context.pages
        if not pages:
            raise _Broken("The application closed its last page.")
        return pages[-1]

    def _go(self, url: str) -> None:
        from playwright.sync_api import Error

        page = self._current()
        try:
            self._timed(lambda: page.goto(url, wait_until="load", timeout=self.limits.action_s * 1000))
        except Error as error:
            raise _Broken(f"The application does not answer at {url}: {_reason(error)}") from error

    def _timed(self, work: Callable[[], T]) -> T:
        """Run one dealing with the browser; when it takes too long the browser is killed."""
        with self._watch() as expired:
            try:
                return work()
            except Exception as error:
                if expired.is_set():
                    raise _Broken(
                        f"The page did not react within {self.limits.action_s:g} s; the browser was ended."
                    ) from error
                raise

    @contextmanager
    def _watch(self) -> Iterator[threading.Event]:
        expired = threading.Event()

        def kill() -> None:
            expired.set()
            if self._process is not None:
                with suppress(OSError):
                    os.kill(self._process, signal.SIGKILL)

        timer = threading.Timer(self.limits.action_s, kill)
        timer.daemon = True
        timer.start()
        try:
            yield expired
        finally:
            timer.cancel()
            timer.join()


def _process_id(browser: Browser) -> int | None:
    """The browser's own process; None when it does not tell."""
    from playwright.sync_api import Error

    with suppress(Error):
        session = browser.new_browser_cdp_session()
        told = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        return next((int(process["id"]) for process in told if process["type"] == "browser"), None)
    return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _reason(error: Exception) -> str:
    """One line about an error."""
    if isinstance(error, FdeError):
        return error.message
    told = str(getattr(error, "message", "") or error).strip().splitlines()
    return told[0] if told else type(error).__name__
