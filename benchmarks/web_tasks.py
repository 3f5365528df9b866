"""MiniWoB++ pages recorded by our recorder, compiled, and each recording held out and replayed.

::

    pip install miniwob==1.0.1
    python benchmarks/web_tasks.py [--recordings N] [--task NAME] [--keep FOLDER] [--json]

The pages come inside the package; nothing is downloaded. A scripted expert works on the real page in
headless Chromium, and only work that the page itself rewards is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.web_experts import EXPERTS, Look  # noqa: E402
from envgen.compile import compile_workflow  # noqa: E402
from envgen.replay import replay  # noqa: E402
from envgen.statistics import wilson  # noqa: E402
from envgen.traces import Parser, trace  # noqa: E402
from fde.errors import FdeError, MissingError, WorkError  # noqa: E402
from ingest.action import Action  # noqa: E402
from ingest.browser import launch, new_page  # noqa: E402
from ingest.page import perform, prepare, see  # noqa: E402
from ingest.recorder import SCRIPT_PAUSE_MS, record  # noqa: E402
from ingest.recording import Recording  # noqa: E402
from ingest.recordings import read_recording  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# The page counts down and shows its count, which is no part of the work.
_BEGIN = """seed => {
  core.EPISODE_MAX_TIME = 1e8;
  document.getElementById("reward-display").style.display = "none";
  Math.seedrandom(seed);
  core.startEpisodeReal();
}"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Nothing."""


@contextmanager
def pages() -> Iterator[str]:
    """The package's pages on this machine; the address ends in a slash."""
    found = find_spec("miniwob")
    if found is None or found.origin is None:
        raise MissingError("miniwob is not installed.", "pip install miniwob==1.0.1")
    handler = partial(_Quiet, directory=str(Path(found.origin).parent / "html"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/miniwob/"
    finally:
        server.shutdown()
        server.server_close()


def begin(page: Page, seed: str) -> str:
    """Begin the task of a seed on an open page; its instruction."""
    page.evaluate(_BEGIN, seed)
    return " ".join(page.evaluate("core.getUtterance()").split())


def record_one(task: str, seed: int, folder: Path, browser: Browser, base: str) -> Path:
    """One recording; the page's own reward must be 1."""
    url = f"{base}{task}.html"
    look_page = new_page(browser)
    look_page.goto(url)
    instruction = begin(look_page, f"{task} {seed}")
    look_page.context.close()

    def work(page: Page) -> None:
        begin(page, f"{task} {seed}")
        prepare(page.context)
        look: Look = lambda: see(page).tree  # noqa: E731
        for line in EXPERTS[task](instruction, look):
            if not perform(page, Action.parse(line)):
                raise WorkError(f"{task}: nothing is named so: {line}")
        reward = page.evaluate("WOB_RAW_REWARD_GLOBAL")
        if reward != 1:
            raise WorkError(f"{task} {seed}: the page rewards {reward}: {instruction}")

    path = folder / f"{task}-{seed:02d}.fderec"
    record(
        url, path, workflow=task, instruction=instruction, script=work, headless=True,
        recording_id=f"{task}-{seed:02d}", browser=browser,
    )  # fmt: skip
    return path


def recordings_of(task: str, count: int, folder: Path) -> list[Recording]:
    """Recordings of a task; those that lie in the folder already are taken from there."""
    wanted = [seed for seed in range(count) if not (folder / f"{task}-{seed:02d}.fderec").exists()]
    if wanted:
        with pages() as base, launch(slow_mo_ms=SCRIPT_PAUSE_MS) as browser:
            for seed in wanted:
                record_one(task, seed, folder, browser, base)
    return [read_recording(folder / f"{task}-{seed:02d}.fderec")[0] for seed in range(count)]


def held_out(recordings: list[Recording]) -> list[tuple[str, bool, str]]:
    """Each recording replayed in what the others compile to: its name, whether it passes, why not."""
    parser = Parser()
    found = []
    for one in recordings:
        others = [r for r in recordings if r.id != one.id]
        try:
            score = replay(compile_workflow(others, parser=parser), trace(one, parser)).score
            found.append((one.id, score.passed, "; ".join(score.reasons)))
        except FdeError as error:
            found.append((one.id, False, error.message))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=int, default=12, help="of each task")
    parser.add_argument("--task", action="append", choices=sorted(EXPERTS), help="only this; repeatable")
    parser.add_argument("--keep", type=Path, help="where recordings lie, to be used again")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    right = total = 0
    with tempfile.TemporaryDirectory(prefix="miniwob-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for task in options.task or EXPERTS:
            try:
                outcomes = held_out(recordings_of(task, options.recordings, folder))
            except FdeError as error:
                outcomes = [(task, False, error.message)]
            passed = sum(passes for _, passes, _ in outcomes)
            right, total = right + passed, total + len(outcomes)
            results.append({"name": f"{task}: held out", "value": passed, "unit": f"of {len(outcomes)}",
                            "peer": None, "peer_value": None, "ratio": None})  # fmt: skip
            if not options.json:
                print(f"{task:<20} {passed:>3} of {len(outcomes)} held-out recordings pass", flush=True)
                for name, passes, why in outcomes:
                    if not passes:
                        print(f"  {name}: {why[:300]}", flush=True)
    if options.json:
        print(json.dumps({"results": results}, indent=1))
    else:
        low, high = wilson(right, total) or (0.0, 0.0)
        print(f"{'all':<20} {right:>3} of {total} ({right / total:.1%}; 95%: {low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
