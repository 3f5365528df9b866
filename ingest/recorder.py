"""Records a person (or a script) at work in a real browser.

The page's own events are heard inside the page (``record.js``): each action
comes with the page as it was just before, and a page that has come to rest is
told again. Passwords never leave the page. What was heard is put in order by
:mod:`ingest.timeline` and written as one file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fde.errors import InputError, WorkError
from ingest.browser import VIEWPORT, launch
from ingest.formats.fderec import write_recording
from ingest.listener import Listener, origin_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

# A script's actions come this far apart, so that the page between them is seen.
SCRIPT_PAUSE_MS = 200


def record(
    url: str,
    out: Path,
    *,
    workflow: str,
    instruction: str,
    script: Callable[[Page], None] | None = None,
    headless: bool = False,
    origins: Sequence[str] = (),
    recording_id: str | None = None,
    browser: Browser | None = None,
    prepare_context: Callable[[BrowserContext], None] | None = None,
) -> Path:
    """Record one pass through a workflow.

    Without a script a person works in the window until they press Stop, close
    it, or interrupt the program. What was heard is written in any case, also
    when the page crashes or the script fails.

    Args:
        url: Where the work begins.
        out: The file to write (``.fderec``).
        workflow: The workflow's name; recordings of one workflow are compiled together.
        instruction: The task as it was given to the person.
        script: Drives the page in the person's stead.
        headless: Without a window; needs a script.
        origins: Further origins (``https://host``) that are part of the application;
            what happens elsewhere is not recorded.
        recording_id: Default: derived from the content.
        browser: A running browser to use (see :func:`ingest.browser.launch`), best
            with ``slow_mo_ms`` of about 200; by default one is started.
        prepare_context: Called with the fresh browser context, before the first page opens.

    Returns:
        ``out``.

    Raises:
        InputError: for an address or an origin that is none, or nothing to drive the page.
        WorkError: when the application cannot be opened, or the script failed.
    """
    from playwright.sync_api import Error

    allowed = {origin_of(address) for address in (url, *origins)}
    if headless and script is None:
        raise InputError(
            "Nobody can work in a browser without a window.", "Give a script, or leave out --headless."
        )
    failure: BaseException | None = None
    with ExitStack() as stack:
        if browser is None:
            pause = 0 if script is None else SCRIPT_PAUSE_MS
            browser = stack.enter_context(launch(headless, slow_mo_ms=pause))
        context = browser.new_context(viewport=VIEWPORT, locale="en-US")  # type: ignore[arg-type]
        stack.callback(_close, context)
        if prepare_context is not None:
            prepare_context(context)
        heard = Listener(context, allowed, scripted=script is not None, badge=not headless)
        page = context.new_page()
        try:
            heard.begin(page, url)
            if script is None:
                heard.until_stopped()
            else:
                script(page)
        except (Error, Exception, KeyboardInterrupt) as error:
            failure = error
        with suppress(Error, WorkError):
            heard.finish()
        recording = heard.recording(workflow, instruction, recording_id, failure)
        if not recording.steps or (len(recording.steps) == 1 and isinstance(failure, WorkError)):
            raise failure or WorkError("Nothing was recorded.")
        write_recording(out, recording, heard.blobs)
    if failure is not None and not isinstance(failure, KeyboardInterrupt) and script is not None:
        reason = str(failure).splitlines()[0] if str(failure) else type(failure).__name__
        raise WorkError(
            f"The script failed after {len(recording.steps)} steps: {reason}",
            f"What was recorded is in {out}",
        ) from failure
    return out


def _close(context: BrowserContext) -> None:
    from playwright.sync_api import Error

    with suppress(Error):
        context.close()
