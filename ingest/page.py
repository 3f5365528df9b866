"""Live pages: what they show, and actions carried out on them.

One function inside the page (``dom.js``, ``accname.js``, ``snapshot.js``) makes
every snapshot, so that a recorded page, a live one and an environment's twin
are described in the same words.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from fde.errors import WorkError
from ingest.recording import Snapshot
from ingest.snapshot import Node, render

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Frame, Page

# Where the in-page functions are kept: a name no page can know beforehand.
TOKEN = f"__{secrets.token_hex(8)}"
_prepared: WeakSet[BrowserContext] = WeakSet()
RETRIES = 20


@cache
def _source(name: str) -> str:
    return resources.files("ingest").joinpath(name).read_text(encoding="utf-8")


@cache
def library(*extra: str) -> str:
    """The in-page functions as one JavaScript function of ``known`` that returns their table.

    Args:
        extra: Further script files of this package, run in the same scope.
    """
    parts = [_source(name) for name in ("dom.js", "accname.js", "snapshot.js", *extra)]
    return (
        "(known) => { 'use strict'; if (!window.Element || !document) return null;\n"
        + _source("realm.js")
        + "\n".join(parts)
        + "\nconst table = realm.Object.freeze({ takeSnapshot, elementAt, pathOf });"
        + "\nif (borrowed) borrowed.remove();\nreturn table;\n}"
    )


def _install(known: str) -> str:
    return (
        f"const made = ({library()})({known});\n"
        f"if (made) Object.defineProperty(window, {json.dumps(TOKEN)}, {{ value: made, enumerable: false }});"
    )


def init_script() -> str:
    """What :func:`prepare` runs in every document before the page's own scripts."""
    return f"(() => {{\n{_source('hooks.js')}\n{_install('known')}\n}})()"


def prepare(context: BrowserContext) -> None:
    """Let every page that opens in ``context`` from now on be seen completely.

    Without it, a snapshot cannot know which elements listen for clicks, nor look
    into closed shadow roots. Doing it twice is harmless.
    """
    if context not in _prepared:
        context.add_init_script(script=init_script())
        _prepared.add(context)


@dataclass(frozen=True)
class Seen:
    """A snapshot with its tree, and where in it other frames' trees were put in."""

    snapshot: Snapshot
    tree: Node
    frames: tuple[tuple[tuple[int, ...], Frame], ...]
    secrets: tuple[str, ...]


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


def snapshot_of(raw: dict[str, Any]) -> Snapshot:
    """A snapshot from what the in-page function returns."""
    return Snapshot(url=raw["url"], title=raw["title"], text=render(node_of(raw["tree"])))


def _call(frame: Frame, function: str, argument: Any = None) -> str:
    """The text an in-page function returns; the functions are installed where they are not there yet."""
    from playwright.sync_api import Error

    # No arrays cross the border: a page may have replaced what unpacking them needs.
    call = (
        f"given => {{ const all = window[{json.dumps(TOKEN)}];"
        " return all ? 'ok' + all[given.name](given.argument) : ''; }"
    )
    install = f"() => {{ {_install('null')} }}"
    given = {"name": function, "argument": argument}
    try:
        answer = frame.evaluate(call, given)
        if not answer:
            frame.evaluate(install)
            answer = frame.evaluate(call, given)
    except Error as error:
        if argument is not None or frame.parent_frame or "TypeError" not in error.message:
            raise
        answer = None
    if not answer and argument is None and not frame.parent_frame:
        answer = _call_by_protocol(frame.page, function, install)
    if not isinstance(answer, str) or not answer.startswith("ok"):
        raise WorkError(f"The page {frame.url} cannot be read: it is not an HTML page.")
    return answer[2:]


def _call_by_protocol(page: Page, function: str, install: str) -> Any:
    """Call an in-page function without Playwright's helpers, which some pages break."""
    session = page.context.new_cdp_session(page)
    try:
        name = json.dumps(TOKEN)
        expression = f"window[{name}] || ({install})(); 'ok' + window[{name}].{function}()"
        reply = session.send("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        return reply["result"].get("value")
    finally:
        session.detach()


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
    raw = json.loads(_call(page.main_frame, "takeSnapshot"))
    placed: list[tuple[tuple[int, ...], Frame]] = []
    hidden = list(raw["secrets"])
    if len(page.frames) > 1:
        _put_in(page.main_frame, raw["tree"], (), placed, hidden)
    tree = node_of(raw["tree"])
    snapshot = Snapshot(url=raw["url"], title=raw["title"], text=render(tree))
    return Seen(snapshot, tree, tuple(placed), tuple(hidden))


def _put_in(
    frame: Frame,
    tree: Any,
    above: tuple[int, ...],
    placed: list[tuple[tuple[int, ...], Frame]],
    hidden: list[str],
) -> None:
    """Put the trees of frames that the page's own script may not enter into their iframe nodes."""
    from playwright.sync_api import Error

    for child in frame.child_frames:
        try:
            element = child.frame_element()
            path = json.loads(_call(frame, "pathOf", element))
            if path is None:
                continue
            node = tree
            for step in path:
                node = node[4][step]
            if node[0] != "iframe" or node[4]:
                continue
            raw = json.loads(_call(child, "takeSnapshot"))
        except Error:
            continue
        node[4] = raw["tree"][4]
        hidden.extend(raw["secrets"])
        placed.append(((*above, *path), child))
        _put_in(child, node, (*above, *path), placed, hidden)


def take_snapshot(page: Page) -> Snapshot:
    """The page as it is now. ``dom`` and ``screenshot`` are not taken."""
    return see(page).snapshot
