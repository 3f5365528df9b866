"""Live pages: what they show, and actions carried out on them with real input.

A recorded page, a live one and an environment's twin are described by the same
in-page function, and an action finds its element by that description alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

from fde.errors import WorkError
from ingest.action import CHECKABLE_ROLES, Action, resolve
from ingest.inpage import call, element_at, init_script
from ingest.recording import Snapshot
from ingest.snapshot import Node, render

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Dialog, ElementHandle, Frame, Page, Request

RETRIES = 20
# A busy machine may need seconds to reach an element; one that is covered costs an agent this long.
INPUT_TIMEOUT_MS = 5_000
QUIET_S = 0.05
SETTLE_LIMIT_S = 15.0
# A data request that takes longer is a connection kept open, not part of an answer.
DATA_REQUEST_LIMIT_S = 4.0


@dataclass(frozen=True)
class Seen:
    """A snapshot with its tree, and where in it other frames' trees were put in."""

    snapshot: Snapshot
    tree: Node
    frames: tuple[tuple[tuple[int, ...], Frame], ...]


class Traffic:
    """The requests of a browser context that are not answered yet."""

    def __init__(self, context: BrowserContext) -> None:
        self._began: dict[Request, float] = {}
        context.on("request", self._begin)
        context.on("requestfinished", self._end)
        context.on("requestfailed", self._end)

    def _begin(self, request: Request) -> None:
        if request.resource_type in ("document", "xhr", "fetch"):
            self._began[request] = time.monotonic()

    def _end(self, request: Request) -> None:
        self._began.pop(request, None)

    def waiting(self) -> bool:
        """Whether an answer is still to be expected."""
        now = time.monotonic()
        return any(
            now - began < (SETTLE_LIMIT_S if request.is_navigation_request() else DATA_REQUEST_LIMIT_S)
            for request, began in self._began.items()
        )


_traffic: WeakKeyDictionary[BrowserContext, Traffic] = WeakKeyDictionary()
_last_field: WeakKeyDictionary[Page, ElementHandle] = WeakKeyDictionary()


def prepare(context: BrowserContext, *extra: str) -> Traffic:
    """Let every page that opens in ``context`` from now on be seen completely.

    Without it a snapshot cannot know which elements listen for clicks, nor look
    into closed shadow roots. Doing it twice is harmless.

    Args:
        context: A browser context, best one without pages yet.
        extra: JavaScript to run with the in-page functions (the recorder's listeners).
    """
    if context not in _traffic:
        _traffic[context] = Traffic(context)
        context.add_init_script(script=init_script(*extra))
    return _traffic[context]


def node_of(raw: Any) -> Node:
    """A node from the nested lists that the in-page function makes."""
    role, name, value, states, children = raw
    return Node(
        role=role,
        name=name,
        value=value,
        states=tuple((key, text) for key, text in states),
        children=tuple(node_of(child) for child in children),
    )


def see(page: Page) -> Seen:
    """Look at a live page, with the frames of other origins in their places.

    Raises:
        WorkError: when the page cannot be looked at (it crashed or was closed).
    """
    from playwright.sync_api import Error

    for attempt in range(RETRIES):
        try:
            if attempt:
                page.wait_for_timeout(50)
            return _see(page)
        except Error as error:
            # A page that is being replaced has no script context for a moment.
            if page.is_closed() or "crashed" in error.message or attempt == RETRIES - 1:
                reason = error.message.splitlines()[0]
                raise WorkError(f"The page {page.url} could not be read: {reason}") from error
    raise AssertionError("unreachable")


def _see(page: Page) -> Seen:
    raw = json.loads(call(page.main_frame, "takeSnapshot"))
    placed: list[tuple[tuple[int, ...], Frame]] = []
    if len(page.frames) > 1:
        _put_in(page.main_frame, raw["tree"], (), placed)
    tree = node_of(raw["tree"])
    return Seen(Snapshot(url=raw["url"], title=raw["title"], text=render(tree)), tree, tuple(placed))


def _put_in(
    frame: Frame, tree: Any, above: tuple[int, ...], placed: list[tuple[tuple[int, ...], Frame]]
) -> None:
    """Put the trees of frames that the page's own script may not enter into their iframe nodes."""
    from playwright.sync_api import Error

    for child in frame.child_frames:
        try:
            path = json.loads(call(frame, "pathOf", child.frame_element()))
            if path is None:
                continue
            node = tree
            for step in path:
                node = node[4][step]
            if node[0] != "iframe" or node[4]:
                continue
            raw = json.loads(call(child, "takeSnapshot"))
        except (Error, WorkError):
            continue
        node[4] = raw["tree"][4]
        placed.append(((*above, *path), child))
        _put_in(child, node, (*above, *path), placed)


def take_snapshot(page: Page) -> Snapshot:
    """The page as it is now. ``dom`` and ``screenshot`` are not taken."""
    return see(page).snapshot


def settle(page: Page, *, limit_s: float = SETTLE_LIMIT_S) -> Seen:
    """Wait until the page has reacted: answers are there and nothing changes any more.

    Args:
        page: A page of a prepared context.
        limit_s: Seconds after which the page is taken as it is.
    """
    traffic = prepare(page.context)
    deadline = time.monotonic() + limit_s
    before = see(page)
    while True:
        page.wait_for_timeout(QUIET_S * 1000)
        if traffic.waiting() and time.monotonic() < deadline:
            continue
        now = see(page)
        if now.snapshot == before.snapshot or time.monotonic() >= deadline:
            return now
        before = now


def perform(page: Page, action: Action) -> bool:
    """Carry out an action as a person would, and wait until the page has reacted.

    A field is left after it is filled, as people do, unless suggestions opened.
    Dialogs of the browser (``confirm``) are accepted.

    Returns:
        False when the action names nothing on the page; then nothing was done.
        An element that is there but does not take the action (disabled, covered,
        a malformed date) leaves the page as it is and counts as named.

    Raises:
        WorkError: when the page cannot be read or an address cannot be opened.
    """
    from playwright.sync_api import Error

    prepare(page.context)
    with _accepting_dialogs(page):
        try:
            named = _do(page, action)
        except Error as error:
            if page.is_closed() or "crashed" in error.message:
                raise WorkError(f"The page went away during: {action.text()}") from error
            named = True
        if named and action.verb != "done" and not page.is_closed():
            settle(page)
    return named


@contextmanager
def _accepting_dialogs(page: Page) -> Iterator[None]:
    from playwright.sync_api import Error

    def accept(dialog: Dialog) -> None:
        with suppress(Error):
            dialog.accept()

    page.on("dialog", accept)
    try:
        yield
    finally:
        page.remove_listener("dialog", accept)


def _do(page: Page, action: Action) -> bool:
    if action.verb == "done":
        return True
    if action.verb == "goto":
        return _goto(page, action.value or "")
    if action.verb == "press":
        return _press(page, action.value or "")
    seen = see(page)
    nodes = resolve(seen.tree, action.target) if action.target else None
    if nodes is None and action.target and action.target.role == "clickable":
        # The recorder heard a click there; that it would be heard does not show on the page.
        call(page.main_frame, "markText", action.target.name)
        seen = see(page)
        nodes = resolve(seen.tree, action.target)
    if nodes is None:
        return False
    path = _indices(nodes)
    node = nodes[-1]
    if action.verb == "select":
        return _select(page, seen, path, node, action.value or "")
    element = _element(page, seen, path)
    if element is None:
        return False
    if node.state("disabled") is not None:
        return True
    if action.verb == "click":
        if node.role == "option" and _is(element, "option"):
            return _select(page, seen, path[:-1], nodes[-2], node.name)
        element.click(timeout=INPUT_TIMEOUT_MS)
    elif action.verb == "fill":
        _fill(page, element, node, action.value or "", seen)
    elif node.role not in CHECKABLE_ROLES:
        return False
    elif (node.state("checked") is not None) != (action.verb == "check"):
        element.click(timeout=INPUT_TIMEOUT_MS)
    return True


def _goto(page: Page, address: str) -> bool:
    from playwright.sync_api import Error

    url = urljoin(page.url, address)
    if urlsplit(url).scheme not in ("http", "https", "file", "about"):
        return False
    try:
        page.goto(url, wait_until="load")
    except Error as error:
        reason = error.message.splitlines()[0]
        raise WorkError(
            f"{url} could not be opened: {reason}", "Is the application running there?"
        ) from error
    return True


def _press(page: Page, key: str) -> bool:
    from playwright.sync_api import Error

    field = _last_field.get(page)
    if field is not None:
        with suppress(Error):
            if page.evaluate("() => !document.activeElement || document.activeElement === document.body"):
                field.focus()
    try:
        page.keyboard.press(key)
    except Error as error:
        if "Unknown key" in error.message:
            return False
        raise
    return True


def _indices(nodes: tuple[Node, ...]) -> tuple[int, ...]:
    """A path of nodes (root first) as the position of each among its siblings."""
    return tuple(
        next(i for i, child in enumerate(above.children) if child is below)
        for above, below in pairwise(nodes)
    )


def element_of(page: Page, seen: Seen, nodes: tuple[Node, ...]) -> ElementHandle | None:
    """The element behind the last of ``nodes``, a path from the root of ``seen``; None when it is gone."""
    return _element(page, seen, _indices(nodes))


def _element(page: Page, seen: Seen, path: tuple[int, ...]) -> ElementHandle | None:
    frame, rest = page.main_frame, path
    for prefix, inner in seen.frames:
        if path[: len(prefix)] == prefix:
            frame, rest = inner, path[len(prefix) :]
    return element_at(frame, rest)


def _is(element: ElementHandle, tag: str) -> bool:
    return bool(element.evaluate("(element, tag) => element.localName === tag", tag))


def _fill(page: Page, element: ElementHandle, node: Node, value: str, seen: Seen) -> None:
    if node.state("readonly") is not None:
        return
    if node.role == "button":
        # A file field. The agent names a file; a local file of that name is none of its business.
        element.set_input_files({"name": value, "mimeType": "application/octet-stream", "buffer": b""})
        return
    fill_element(page, element, value, seen)


def fill_element(page: Page, element: ElementHandle, value: str, seen: Seen) -> None:
    """Fill a field as a person does, and leave it unless suggestions opened; ``seen`` is the page before.

    A value that the field's format does not take leaves it as it is.

    Raises:
        playwright.sync_api.Error: when the field cannot be filled.
    """
    from playwright.sync_api import Error

    if not element.evaluate(_TAKES_VALUE, value):
        return
    try:
        element.fill(value, timeout=INPUT_TIMEOUT_MS)
    except Error:
        if _is(element, "input") or _is(element, "textarea"):
            raise
        element.click(timeout=INPUT_TIMEOUT_MS)
        page.keyboard.press("Control+A")
        page.keyboard.type(value)
    _last_field[page] = element
    now = settle(page)
    if _offers(now.tree) <= _offers(seen.tree):
        with suppress(Error):
            element.evaluate("element => element.blur()")


# A field with a format (a date) would be emptied by a value that is not in it.
_TAKES_VALUE = """(element, value) => {
  if (!(element instanceof HTMLInputElement)) return true;
  const blank = document.createElement("input");
  blank.type = element.type;
  if (!blank.type.match(/^(date|time|month|week|datetime-local|color|number)$/)) return true;
  blank.value = value;
  return blank.value !== "" || value === "";
}"""


def _offers(page: Node) -> int:
    """How many things a list of suggestions could be made of are on the page."""
    return sum(node.role in ("option", "clickable", "listitem", "menuitem") for node in page.walk())


def _select(page: Page, seen: Seen, path: tuple[int, ...], node: Node, wanted: str) -> bool:
    element = _element(page, seen, path)
    if element is None:
        return False
    at = next(
        (i for i, child in enumerate(node.children) if child.role == "option" and child.name == wanted), None
    )
    if _is(element, "input"):
        element.fill(wanted, timeout=INPUT_TIMEOUT_MS)
        return True
    if not _is(element, "select"):
        return _select_from_list(page, element, node, wanted)
    if at is None:
        return False
    option = _element(page, seen, (*path, at))
    if option is None:
        return False
    if node.state("disabled") is None and node.children[at].state("disabled") is None:
        # In a list of several, choosing an option again takes it out.
        chosen = element.evaluate(
            "(select, option) => select.multiple ? Array.from(select.options)"
            ".filter(each => each.selected !== (each === option)).map(each => each.index) : [option.index]",
            option,
        )
        element.select_option(index=chosen, timeout=INPUT_TIMEOUT_MS)
    return True


def _select_from_list(page: Page, element: ElementHandle, node: Node, wanted: str) -> bool:
    """Choose from a list made of ARIA roles: open it where it is closed, click the option."""

    def option(tree: Node) -> tuple[Node, ...] | None:
        from ingest.action import Target

        return resolve(tree, Target(role="option", name=wanted))

    seen = see(page)
    found = option(seen.tree)
    if found is None and node.role == "combobox":
        element.click(timeout=INPUT_TIMEOUT_MS)
        seen = settle(page)
        found = option(seen.tree)
    chosen = _element(page, seen, _indices(found)) if found else None
    if chosen is None:
        return False
    chosen.click(timeout=INPUT_TIMEOUT_MS)
    return True
