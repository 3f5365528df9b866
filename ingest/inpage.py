"""The functions that run inside a page, and how they are called.

``dom.js``, ``accname.js`` and ``snapshot.js`` form one function that makes every
snapshot. ``hooks.js`` runs before a page's own scripts where it can. A page is
not trusted: it may have replaced any built-in, so only text crosses the border.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from fde.errors import WorkError

if TYPE_CHECKING:
    from playwright.sync_api import ElementHandle, Frame, Page

# Where the in-page functions are kept: a name no page can know beforehand.
TOKEN = f"__{secrets.token_hex(8)}"


@cache
def source(name: str) -> str:
    """The text of one of this package's script files."""
    return resources.files("ingest").joinpath(name).read_text(encoding="utf-8")


@cache
def library(*more: str, exports: str = "") -> str:
    """The in-page functions as one JavaScript function of ``hooks`` that returns their table.

    Args:
        more: Further script files in the same scope.
        exports: The names from these that the table has as well, with commas between.
    """
    files = ("realm.js", "dom.js", "accname.js", "snapshot.js", "tools.js", *more)
    parts = [source(name) for name in files]
    return (
        "(hooks) => { 'use strict'; if (!window.Element || !document) return null;\n"
        + "\n".join(parts)
        + "\nconst table = realm.Object.freeze({ takeSnapshot, elementAt, pathOf, lastSeen, markText, tools, "
        + exports
        + " });"
        + "\nif (borrowed) borrowed.remove();\nreturn table;\n}"
    )


def _install(hooks: str) -> str:
    return (
        f"const table = ({library()})({hooks});\n"
        f"if (table) Object.defineProperty(window, {json.dumps(TOKEN)}, {{ value: table }});"
    )


def init_script(*extra: str) -> str:
    """What runs in every document before the page's own scripts.

    Args:
        extra: Further JavaScript, run in the same scope: sees ``table``, the in-page functions.
    """
    return "(() => {\n" + "\n".join((source("hooks.js"), _install("hooks"), *extra)) + "\n})()"


def call(frame: Frame, function: str, argument: Any = None) -> str:
    """The text an in-page function returns; the functions are installed where they are not there yet.

    Raises:
        WorkError: when the frame holds no HTML page.
        playwright.sync_api.Error: when the frame goes away meanwhile.
    """
    from playwright.sync_api import Error

    # No arrays cross the border: a page may have replaced what unpacking them needs.
    expression = (
        f"given => {{ const table = window[{json.dumps(TOKEN)}];"
        " return table ? 'ok' + table[given.name](given.argument) : ''; }"
    )
    install = f"() => {{ {_install('null')} }}"
    given = {"name": function, "argument": argument}
    try:
        answer = frame.evaluate(expression, given)
        if not answer:
            frame.evaluate(install)
            answer = frame.evaluate(expression, given)
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


def element_at(frame: Frame, path: Sequence[int]) -> ElementHandle | None:
    """The element behind the node at ``path`` in the frame's last snapshot; None when it is gone."""
    expression = f"given => window[{json.dumps(TOKEN)}].elementAt(given.path)"
    return frame.evaluate_handle(expression, {"path": list(path)}).as_element()
