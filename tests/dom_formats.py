"""One session recorded in every format of DOMs at once: our recorder, a Playwright trace, rrweb.

``python tests/dom_formats.py --rrweb BUNDLE`` records the sample session of ``tests/data/dom-formats`` anew;
the bundle is ``dist/rrweb.umd.min.cjs`` of the npm package ``rrweb`` (2.2.2 made what is there).
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.browser import VIEWPORT, launch
from ingest.formats.fderec import write_recording
from ingest.listener import Listener, origin_of
from ingest.recorder import SCRIPT_PAUSE_MS
from playbooks.quickstart import company
from playbooks.quickstart.app import seed_database, serve
from playbooks.quickstart.experts import perform, sign_in
from playbooks.quickstart.plans import recorded_plans

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).resolve().parent / "data" / "dom-formats"
WORKFLOW, NUMBER = "code-invoice", 14  # a correction, a purchase order, and the reserve
_START = ";(rrweb.record || rrweb)({ emit: (event) => window.__rrweb_out(JSON.stringify(event)) });"


def record_at_once(
    browser: Browser, url: str, script: Callable[[Page], None], folder: Path, bundle: Path | None = None
) -> None:
    """Write ``session.fderec``, ``session.trace.zip`` and, with a bundle, ``session.rrweb.json.gz``.

    The browser is best slowed by :data:`ingest.recorder.SCRIPT_PAUSE_MS`: what a page's script
    does by itself is told from what a person does by its haste.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport=VIEWPORT, locale="en-US")  # type: ignore[arg-type]
    events: list[Any] = []
    if bundle is not None:
        context.expose_binding("__rrweb_out", lambda _, event: events.append(json.loads(event)))
    heard = Listener(context, {origin_of(url)}, scripted=True, badge=False)
    if bundle is not None:
        code = bundle.read_text(encoding="utf-8")
        context.add_init_script(
            f"if (window === top && location.href !== 'about:blank') {{ {code}\n{_START} }}"
        )
    context.tracing.start(snapshots=True, screenshots=False)
    page = context.new_page()
    heard.begin(page, url)
    script(page)
    heard.finish()
    context.tracing.stop(path=folder / "session.trace.zip")
    recording = heard.recording("session", "", "session", None)
    write_recording(folder / "session.fderec", recording, heard.blobs)
    context.close()
    if bundle is not None:
        data = json.dumps(events, separators=(",", ":")).encode()
        (folder / "session.rrweb.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))


def record_portal(browser: Browser, folder: Path, bundle: Path | None = None) -> None:
    """The sample session: an invoice is coded on the sample application, with a detour and a correction."""
    plan = recorded_plans(WORKFLOW)[NUMBER - 1]
    with tempfile.TemporaryDirectory(prefix="fde-session-") as scratch:
        database = Path(scratch) / "portal.db"
        seed_database(database, plan.seed, wanted=plan.wanted, wanted_vendors=plan.wanted_vendors)
        portal, url = serve(database)

        def work(page: Page) -> None:
            sign_in(page, url, company.CLERKS[0])
            perform(page, plan)

        try:
            record_at_once(browser, url.rstrip("/") + "/login", work, folder, bundle)
        finally:
            portal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rrweb", type=Path, required=True, help="the bundle of the npm package rrweb")
    parser.add_argument("--to", type=Path, default=FOLDER)
    options = parser.parse_args()
    with launch(slow_mo_ms=SCRIPT_PAUSE_MS) as browser:
        record_portal(browser, options.to, options.rrweb)
    for path in sorted(options.to.iterdir()):
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
