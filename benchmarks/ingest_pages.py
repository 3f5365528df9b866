"""Rows of ``benchmarks/ingest.py`` about recordings of DOMs and pages without semantics.

The stream is a recorded session over and over, with a table that a script fills and empties in between,
as long sessions have. It is read in a process of its own on one core. The pages are of MiniWoB++, where the
package is installed (``pip install --no-deps miniwob==1.1.0``): an element that a task needs counts when
a target by role and name leads to it.
"""

from __future__ import annotations

import difflib
import gzip
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator

ROOT = Path(__file__).resolve().parent.parent
SESSION = ROOT / "tests" / "data" / "dom-formats"
TASKS = ROOT / "benchmarks" / "data" / "miniwob-tasks.json"
START = "() => { Math.seedrandom?.('7'); core.EPISODE_MAX_TIME = 1e9; core.startEpisodeReal(); }"

Row = tuple[str, float, str, str | None, float | None]


def rows(quick: bool) -> Iterator[Row]:
    """Name, value, unit, peer and the peer's value of every row."""
    yield from equal_lines()
    yield from stream(30 if quick else 100)
    yield from miniwob()


def equal_lines() -> Iterator[Row]:
    """How much of the pages that our recorder saw live is the same when built again from other formats."""
    from ingest.rebuild import shared_browser
    from ingest.recordings import read_recording

    ours = read_recording(SESSION / "session.fderec")[0]
    with shared_browser():
        for name in ("session.trace.zip", "session.rrweb.json.gz"):
            other = read_recording(SESSION / name)[0]
            equal = total = 0
            for one, two in zip(ours.steps, other.steps, strict=True):
                for a, b in ((one.before, two.before), (one.after, two.after)):
                    live, built = (each.text.splitlines() if each else [] for each in (a, b))
                    blocks = difflib.SequenceMatcher(None, live, built, autojunk=False).get_matching_blocks()
                    equal += sum(block.size for block in blocks)
                    total += max(len(live), len(built))
            yield f"lines equal to the live page, {other.source_format}", 100 * equal / total, "%", None, None


def stream(megabytes: int) -> Iterator[Row]:
    """Speed and memory of one long rrweb stream on one core."""
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        path = Path(scratch) / "stream.json"
        make_stream(path, megabytes * 1_000_000)
        told = subprocess.run(
            [sys.executable, __file__, str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
        seconds, memory_mib, steps = json.loads(told.stdout)
        size = path.stat().st_size / 1e6
    yield f"rrweb stream of {megabytes} MB, {steps} steps", size / seconds, "MB/s", None, None
    yield "its memory", memory_mib, "MiB", None, None


def read_stream(path: Path) -> None:
    """Read one stream and print seconds, peak memory in MiB and steps."""
    from ingest.recordings import read_recording

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    began = time.perf_counter()
    steps = len(read_recording(path)[0].steps)
    seconds = time.perf_counter() - began
    # Not getrusage: what it tells begins with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps([seconds, peak_kib / 1024, steps]))


def make_stream(path: Path, size: int) -> None:
    """Write a stream of at least ``size`` bytes."""
    events: list[dict[str, Any]] = json.loads(
        gzip.decompress((SESSION / "session.rrweb.json.gz").read_bytes())
    )
    span = events[-1]["timestamp"] - events[0]["timestamp"] + 60_000
    document = [event for event in events if event["type"] == 2][-1]["data"]["node"]
    html = next(node for node in document["childNodes"] if node.get("tagName") == "html")
    body = next(node for node in html["childNodes"] if node.get("tagName") == "body")["id"]
    with path.open("w") as out:
        out.write("[")
        written = sessions = 0
        while written < size:
            for event in (*events, *_table(body, events[-1]["timestamp"])):
                late = {**event, "timestamp": event["timestamp"] + sessions * span}
                written += out.write((",\n" if written else "") + json.dumps(late, separators=(",", ":")))
            sessions += 1
        out.write("]")


def _table(body: int, begin: int) -> Iterator[dict[str, Any]]:
    """A table of 20 rows, filled and emptied 400 times, and a mouse that moves."""
    first = 100_000
    adds = []
    for row in range(20):
        node = {
            "type": 2,
            "tagName": "div",
            "attributes": {"class": "row", "style": "color: red"},
            "childNodes": [],
        }
        adds.append({"parentId": body, "nextId": None, "node": {**node, "id": first + 2 * row}})
        text = {"type": 3, "textContent": f"row {row} lorem ipsum dolor sit amet", "id": first + 2 * row + 1}
        adds.append({"parentId": first + 2 * row, "nextId": None, "node": text})
    removes = [{"parentId": body, "id": first + 2 * row} for row in range(20)]
    moves = [{"x": x, "y": x, "id": body, "timeOffset": -x} for x in range(25)]
    for turn in range(400):
        for data in (
            {"source": 0, "adds": adds, "removes": [], "texts": [], "attributes": []},
            {"source": 1, "positions": moves},
            {"source": 0, "adds": [], "removes": removes, "texts": [], "attributes": []},
        ):
            yield {"type": 3, "data": data, "timestamp": begin + 10 + turn * 100}


def miniwob() -> Iterator[Row]:
    """How many of the elements that the tasks of MiniWoB++ need can be aimed at."""
    from ingest.browser import launch, new_page

    found = importlib.util.find_spec("miniwob")
    if found is None or not found.submodule_search_locations:
        return
    folder = Path(next(iter(found.submodule_search_locations))) / "html" / "miniwob"
    needed = usable = theirs = 0
    tasks = json.loads(TASKS.read_text())
    with launch() as browser:
        page = new_page(browser)
        for task, selectors in tasks.items():
            page.goto((folder / f"{task}.html").as_uri())
            page.evaluate(START)
            page.wait_for_timeout(100)
            for selector in selectors:
                if selector.startswith("click "):
                    page.locator(selector.removeprefix("click ")).first.click()
                    page.wait_for_timeout(700)
                    continue
                for element in page.locator(selector).all():
                    if element.is_visible():
                        needed += 1
                        usable += is_usable(element)
                        theirs += is_named(element.aria_snapshot())
    name = f"elements {len(tasks)} MiniWoB++ tasks need, usable"
    yield name, 100 * usable / needed, "%", "aria_snapshot()", 100 * theirs / needed


def is_usable(element: Locator) -> bool:
    """Whether a target by role and name leads to the element."""
    from ingest.action import resolve, target_of
    from ingest.inpage import TOKEN
    from ingest.page import node_of

    seen = json.loads(element.evaluate("(el, token) => window[token].takeSnapshot(el)", TOKEN))
    if seen["path"] is None:
        return False
    nodes = [node_of(seen["tree"])]
    for index in seen["path"]:
        nodes.append(nodes[-1].children[index])
    target = target_of(nodes[0], tuple(nodes))
    return target.role in _roles() and bool(target.name) and resolve(nodes[0], target) == tuple(nodes)


def is_named(snapshot: str) -> bool:
    """The same of what ``aria_snapshot()`` says about an element: a role that takes an action, and a name."""
    line = snapshot.partition("\n")[0].lstrip("- '")
    return line.partition(" ")[0].rstrip(":") in _roles() and '"' in line


def _roles() -> frozenset[str]:
    from ingest.action import CHECKABLE_ROLES, CLICKABLE_ROLES, FILLABLE_ROLES, SELECTABLE_ROLES

    return CHECKABLE_ROLES | CLICKABLE_ROLES | FILLABLE_ROLES | SELECTABLE_ROLES


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    read_stream(Path(sys.argv[1]))
