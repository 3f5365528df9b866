"""Rows of ``benchmarks/ingest.py`` about memory: the stage over few and over many different files.

Every file is another one (words drawn at random as Markdown, HTML and CSV), so that nothing is kept
for being a copy. Memory is what the stage's processes hold for themselves (USS), summed ten times a second;
each size has a process of its own.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
Row = tuple[str, float, str, str | None, float | None]


def rows(quick: bool) -> Iterator[Row]:
    """Name, value, unit, peer and the peer's value of every row."""
    for count in (200, 1_000) if quick else (1_000, 5_000):
        command = [sys.executable, __file__, str(count)]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        mib, characters = json.loads(told.stdout.splitlines()[-1])
        name = f"memory of the stage, {count:,} files, {characters / 1e6:.0f} million characters"
        yield name, mib, "MiB", None, None


def fill(folder: Path, count: int) -> None:
    """Write ``count`` files of some 13,000 characters on average."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrst", k=rng.randint(2, 9))) for _ in range(5_000)]
    for number in range(count):
        paragraphs = [" ".join(rng.choices(words, k=80)) for _ in range(30)]
        if number % 3 == 0:
            text, kind = f"# Manual {number}\n\n" + "\n\n".join(paragraphs), "md"
        elif number % 3 == 1:
            text, kind = f"<h1>Manual {number}</h1>" + "".join(f"<p>{p}</p>" for p in paragraphs), "html"
        else:
            lines = [",".join(rng.choices(words, k=3)) for _ in range(500)]
            text, kind = "a,b,c\n" + "\n".join(lines), "csv"
        (folder / f"{number:05}.{kind}").write_text(text, encoding="utf-8")


def measure(count: int) -> tuple[float, float]:
    """Peak memory in MiB and the characters that were read."""
    from fde.config import create
    from ingest.stage import ingest_documents

    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        me = psutil.Process()
        while not over.wait(0.1):
            try:
                held = [p.memory_full_info().uss for p in (me, *me.children(recursive=True))]
            except psutil.Error:  # one of them has just ended
                continue
            peak = max(peak, sum(held))

    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        inbox = Path(scratch) / "inbox"
        inbox.mkdir()
        fill(inbox, count)
        time.sleep(2.5)  # files this fresh are digested again
        engagement = create(Path(scratch) / "client", name="Benchmark")
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            run = ingest_documents(engagement, [inbox])
        finally:
            over.set()
            watcher.join()
        return peak / 2**20, float(run.manifest().counts["characters"] or 0)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    print(json.dumps(measure(int(sys.argv[1]))))
