"""Scripts of other tools carried out against a staging copy, watched as an expert would be.

A test tool's file tells steps without pages. Its own selectors, in their order, find the elements
in a real browser; what the recorder sees meanwhile is the recording.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from fde.errors import FdeError, InputError, WorkError
from ingest.action import CHECKABLE_ROLES, CLICKABLE_ROLES, FILLABLE_ROLES, SELECTABLE_ROLES, Target
from ingest.formats.base import Read
from ingest.formats.steps import ENDED_EARLY, Locator, Script, ScriptStep, limited, recording_of, slug, tidy
from ingest.listener import origin_of
from ingest.page import INPUT_TIMEOUT_MS, element_of, fill_element, see, settle
from ingest.recorder import record
from ingest.recordings import read_recording, script_importer
from ingest.snapshot import Node

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ElementHandle, Page, Route

FIND_LIMIT_S = 5.0
_ROLES = {
    "click": CLICKABLE_ROLES | FILLABLE_ROLES | SELECTABLE_ROLES,
    "fill": FILLABLE_ROLES | SELECTABLE_ROLES | {"button"},
    "select": SELECTABLE_ROLES,
    "check": CHECKABLE_ROLES,
    "uncheck": CHECKABLE_ROLES,
    "press": FILLABLE_ROLES | SELECTABLE_ROLES | CLICKABLE_ROLES,
}


def replay_file(path: Path, url: str, *, browser: Browser | None = None) -> Read:
    """All scripts of a file, each carried out on the staging copy at ``url``.

    A script that comes to a step that cannot be done ends there: what was recorded until then is
    kept, and a warning names the step.

    Raises:
        InputError: when the file is none that can be replayed, or is damaged, or ``url`` is none.
        WorkError: when no script could be begun; the message gives the first reason.
    """
    origin_of(url)
    scripts = script_importer(path).scripts(path)
    found = Read([])
    reasons = []
    for script in scripts:
        if not script.steps:
            found.recordings.append(recording_of(script, path))
            continue
        try:
            made = replay(script, path, url, browser=browser)
        except FdeError as error:
            reasons.append(f"{script.title or path.name}: {error.message}")
            continue
        found.recordings.extend(made.recordings)
        found.blobs.update(made.blobs)
    if reasons and not found.blobs:
        raise WorkError(
            f"{path}: nothing could be replayed on {url}: {reasons[0]}", "Is the copy running there?"
        )
    if reasons:
        first = found.recordings[0]
        lost = limited([*first.warnings, *(f"Not replayed: {reason}" for reason in reasons)])
        found.recordings[0] = first.model_copy(update={"warnings": lost})
    return found


def replay(script: Script, path: Path, url: str, *, browser: Browser | None = None) -> Read:
    """Carry out one script on the staging copy at ``url``; ``path`` names it where it has no title."""
    run = _Run(script, url)
    warnings = [*script.warnings, f"Replayed on {run.origin}."]
    with tempfile.TemporaryDirectory(prefix="fde-replay-") as folder:
        out = Path(folder) / "made.fderec"
        try:
            record(
                run.start,
                out,
                workflow=slug(script.title) or slug(path.stem) or "workflow",
                instruction=script.instruction or script.title,
                script=run.carry_out,
                headless=True,
                browser=browser,
                prepare_context=run.guard,
            )
        except WorkError as error:
            if not out.is_file():
                raise
            warnings.append(f"{ENDED_EARLY}{run.reason or error.message}")
        made, blobs = read_recording(out)
    kept = [warning for warning in made.warnings if not warning.startswith("The recording ended early")]
    if run.refused:
        warnings.append(f"Requests to {', '.join(sorted(run.refused))} were refused: it is not the copy.")
    told = made.model_copy(
        update={"source_format": script.source_format, "warnings": limited([*warnings, *kept])}
    )
    return Read([told], blobs)


@dataclass
class _Run:
    """One script on its way: which tabs it knows, and where it stopped."""

    script: Script
    url: str
    reason: str = ""
    refused: set[str] = field(default_factory=set)
    _pages: dict[str, Page] = field(default_factory=dict)
    _last: str = ""

    def __post_init__(self) -> None:
        self.origin = origin_of(self.url)
        self.steps = list(tidy(self.script.steps))
        first = next((step for step in self.steps if step.verb == "goto"), None)
        self.recorded = origin_of(first.value or "") if first else self.origin
        self.start = self.url
        if self.steps and self.steps[0] is first:
            self.start = self._staged(self.steps.pop(0))
            # A copy whose address has a path is opened there, as it was written.
            if urlsplit(self.start).path in ("", "/") and urlsplit(self.url).path not in ("", "/"):
                self.start = self.url

    def guard(self, context: BrowserContext) -> None:
        """Keep the original application out of reach: only its copy may be worked on."""
        if self.recorded in (self.origin, "file://"):
            return

        def refuse(route: Route) -> None:
            self.refused.add(self.recorded)
            route.abort()

        context.route(re.compile(re.escape(self.recorded) + r"(?![\w.:-])", re.I), refuse)

    def carry_out(self, page: Page) -> None:
        """The script's steps, as :func:`ingest.recorder.record` calls it."""
        from playwright.sync_api import Error

        for step in self.steps:
            try:
                self._do(self._tab(page, step), step)
            except Error as error:
                first = error.message.strip().splitlines()[0]
                self.reason = f"{step.where} ({step.verb}) could not be done: {first}"
                raise WorkError(self.reason) from error
            except FdeError as error:
                self.reason = error.message
                raise

    def _tab(self, first: Page, step: ScriptStep) -> Page:
        """The tab a step is for: a name not heard before is that of the tab opened last."""
        tabs = first.context.pages
        if not self._pages:
            self._pages[step.page] = first
        if step.page not in self._pages:
            free = [tab for tab in tabs if tab not in self._pages.values()]
            self._pages[step.page] = free[-1] if free else tabs[0]
        page = self._pages[step.page]
        return tabs[-1] if page.is_closed() else page

    def _staged(self, step: ScriptStep) -> str:
        """An address of the original application on its copy."""
        address = step.value or ""
        if step.parameters:
            raise WorkError(
                f"{step.where} needs a value for {', '.join(step.parameters)}, which is not told."
            )
        if origin_of(address) == self.origin:
            return address
        if origin_of(address) != self.recorded:
            raise WorkError(f"{step.where} opens {address}, which is not part of the copy at {self.origin}.")
        staging, parts = urlsplit(self.url), urlsplit(address)
        return urlunsplit((staging.scheme, staging.netloc, parts.path, parts.query, parts.fragment))

    def _do(self, page: Page, step: ScriptStep) -> None:
        if step.parameters:
            raise WorkError(
                f"{step.where} needs a value for {', '.join(step.parameters)}, which is not told."
            )
        if step.verb == "goto":
            # What a choice opens by itself is told as an address by some tools.
            if not (self._last in ("select", "check", "uncheck") and page.url == self._staged(step)):
                page.goto(self._staged(step), wait_until="load")
        elif step.verb == "press" and (step.locator is None or not step.locator.ways):
            page.keyboard.press(step.value or "")
        else:
            _act(page, _find(page, step), step)
        self._last = step.verb
        if not page.is_closed():
            settle(page)


def _find(page: Page, step: ScriptStep) -> ElementHandle:
    """The element of a step by the first way that finds one.

    Raises:
        WorkError: naming the step, when none does within :data:`FIND_LIMIT_S`.
    """
    assert step.locator is not None
    deadline = time.monotonic() + FIND_LIMIT_S
    while True:
        for way in step.locator.ways:
            found = _named(page, way, step) if isinstance(way, Target) else _selected(page, way)
            if found is not None:
                return found
        if time.monotonic() > deadline:
            tried = "; ".join(_told(way)[:120] for way in step.locator.ways[:4]) or "no selector at all"
            raise WorkError(f"{step.where} ({step.verb}): nothing on the page {page.url} is found by {tried}")
        page.wait_for_timeout(100)


def _told(way: str | Target) -> str:
    return way if isinstance(way, str) else f"{way.role or 'an element'} named {way.name!r}"


def _selected(page: Page, selector: str) -> ElementHandle | None:
    from playwright.sync_api import Error

    try:
        found = page.locator(selector)
        # What is seen is meant, where a hidden twin comes first.
        for i in range(min(found.count(), 5)):
            if found.nth(i).is_visible():
                return found.nth(i).element_handle(timeout=INPUT_TIMEOUT_MS)
        return found.first.element_handle(timeout=INPUT_TIMEOUT_MS) if found.count() else None
    except Error:  # not in the grammar of selectors, or the page went away meanwhile
        return None


def _named(page: Page, target: Target, step: ScriptStep) -> ElementHandle | None:
    seen = see(page)
    roles: frozenset[str] | set[str] = {target.role} if target.role else _ROLES[step.verb]
    wanted = " ".join(target.name.split()).casefold()
    stack: list[tuple[Node, ...]] = [(seen.tree,)]
    while stack:
        path = stack.pop()
        node = path[-1]
        if node.role in roles and " ".join(node.name.split()).casefold() == wanted:
            return element_of(page, seen, path)
        stack.extend((*path, child) for child in reversed(node.children))
    return None


def _act(page: Page, element: ElementHandle, step: ScriptStep) -> None:
    verbs: dict[str, Callable[[Page, ElementHandle, ScriptStep], None]] = {
        "click": _click,
        "fill": _fill,
        "select": _select,
        "check": _check,
        "uncheck": _check,
        "press": _press,
    }
    verbs[step.verb](page, element, step)


def _click(page: Page, element: ElementHandle, step: ScriptStep) -> None:
    if _tag(element) == "option":
        element.evaluate_handle("option => option.closest('select')").as_element().select_option(  # type: ignore[union-attr]
            value=element.evaluate("option => option.value"), timeout=INPUT_TIMEOUT_MS
        )
        return
    element.click(timeout=INPUT_TIMEOUT_MS)


def _fill(page: Page, element: ElementHandle, step: ScriptStep) -> None:
    value = step.value or ""
    kind = element.evaluate("element => (element.type || '').toLowerCase()")
    if _tag(element) == "select":
        _select(page, element, step)
    elif kind in ("checkbox", "radio"):
        _check(page, element, step)
    elif kind == "file":
        element.set_input_files({"name": value, "mimeType": "application/octet-stream", "buffer": b""})
    else:
        fill_element(page, element, value, see(page))


def _select(page: Page, element: ElementHandle, step: ScriptStep) -> None:
    value = step.value or ""
    if _tag(element) != "select":
        element.click(timeout=INPUT_TIMEOUT_MS)
        locator = Locator(ways=(Target(role="option", name=value), f"text={value}"))
        _find(page, ScriptStep("click", step.where, locator)).click(timeout=INPUT_TIMEOUT_MS)
    elif step.by == "label":
        element.select_option(label=value, timeout=INPUT_TIMEOUT_MS)
    elif step.by == "value":
        element.select_option(value=value, timeout=INPUT_TIMEOUT_MS)
    elif step.by == "index":
        if not value.isdigit():
            raise InputError(f"{step.where}: {value[:60]!r} is no position in a list.")
        element.select_option(index=int(value[:6]), timeout=INPUT_TIMEOUT_MS)
    else:
        element.select_option(value, timeout=INPUT_TIMEOUT_MS)


def _check(page: Page, element: ElementHandle, step: ScriptStep) -> None:
    wanted = step.verb != "uncheck" and (step.value or "true").lower() not in ("false", "off", "0")
    state = "element => element.checked ?? element.getAttribute('aria-checked') === 'true'"
    if bool(element.evaluate(state)) != wanted:
        element.click(timeout=INPUT_TIMEOUT_MS)


def _press(page: Page, element: ElementHandle, step: ScriptStep) -> None:
    element.press(step.value or "", timeout=INPUT_TIMEOUT_MS)


def _tag(element: ElementHandle) -> str:
    return str(element.evaluate("element => element.localName"))
