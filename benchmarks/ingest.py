#!/usr/bin/env python3
"""Ingest: documents per second and what is kept of their tables, against plain markitdown (and docling where
it is installed); the whole stage; snapshots of pages against Playwright's ``aria_snapshot()``.

The documents are the sample company's and some made here, whose tables are known cell by cell: title rows
above a header, merged cells, several tables on a sheet, attachments, printed tables with and without lines.
A cell counts as kept when it is found in a table under its own column's header. The page is an old
application's: a list of 50 rows that react to clicks, and a form whose labels are only text nearby.

    python benchmarks/ingest.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SAMPLES = ROOT / "playbooks" / "quickstart" / "documents"
# Documents that nobody of this project made; they are no part of it.
RECEIPTS = ROOT.parent / "shared" / "samples" / "docs"

Cell = tuple[str, str]  # header, value


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under five minutes on 2 cores")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    rounds = 3 if options.quick else 15
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        folder = Path(scratch)
        (folder / "known").mkdir()
        results = [
            *documents(folder / "known", rounds),
            *stages(folder, 200 if options.quick else 1_000),
            *recordings(rounds),
            *snapshots(rounds * 5),
        ]
    results += [row(*found) for found in pages(options.quick)]
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=1))
        return
    for entry in results:
        against = "" if entry["peer_value"] is None else f"  {entry['peer']}: {entry['peer_value']:.3g}"
        ratio = "" if entry["ratio"] is None else f"  ratio {entry['ratio']:.2f}"
        print(f"{entry['name']:<44} {entry['value']:>9.3g} {entry['unit']}{against}{ratio}")


def pages(quick: bool) -> Iterator[tuple[str, float, str, str | None, float | None]]:
    """Recordings of DOMs, pages without semantics, and the memory of many files."""
    from benchmarks import ingest_memory, ingest_pages

    yield from ingest_pages.rows(quick)
    yield from ingest_memory.rows(quick)


def row(name: str, value: float, unit: str, peer: str | None, peer_value: float | None) -> dict[str, Any]:
    """One result; ``ratio`` is ours by the peer's."""
    ratio = value / peer_value if peer_value else None
    return {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "peer": peer,
        "peer_value": None if peer_value is None else round(peer_value, 4),
        "ratio": None if ratio is None else round(ratio, 3),
    }


def timed(rounds: int, work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one round, the median after one that warms up."""
    work()
    taken = []
    for _ in range(rounds):
        began = clock()
        work()
        taken.append(clock() - began)
    return sorted(taken)[len(taken) // 2]


# Documents


def documents(folder: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """Speed and kept tables, format by format, against each peer that is installed."""
    from benchmarks import known_documents
    from ingest.documents import read_document

    truth = known_documents.make(folder)
    files = [*sorted(SAMPLES.iterdir()), *sorted(truth)]
    kinds = sorted({path.suffix for path in files})
    ours_s = {
        kind: timed(rounds, partial(each, read_document, [path for path in files if path.suffix == kind]))
        for kind in kinds
    }
    kept = {path: expected & our_cells(path) for path, expected in truth.items()}
    cells = sum(map(len, truth.values()))
    share = 100 * sum(map(len, kept.values())) / cells
    for peer, convert in peers().items():
        total = 0.0
        for kind in kinds:
            some = [path for path in files if path.suffix == kind]
            taken = timed(rounds if peer == "markitdown" else 1, partial(each, convert, some))
            total += taken
            yield row(f"documents/s, {kind[1:]}", len(some) / ours_s[kind], "1/s", peer, len(some) / taken)
        every = len(files) / sum(ours_s.values())
        yield row("documents/s, all", every, "1/s", peer, len(files) / total)
        their_kept = {path: expected & markdown_cells(convert(path)) for path, expected in truth.items()}
        for path, expected in truth.items():
            ours, theirs = (100 * len(found[path]) / len(expected) for found in (kept, their_kept))
            yield row(f"cells kept under their header, {path.name}", ours, "%", peer, theirs)
        theirs = 100 * sum(map(len, their_kept.values())) / cells
        yield row("cells kept under their header, all", share, "%", peer, theirs)
        yield from pdfs(folder, rounds, peer, convert)


def each(work: Callable[[Path], object], paths: list[Path]) -> None:
    """Do the work for every file."""
    for path in paths:
        work(path)


def peers() -> dict[str, Callable[[Path], str]]:
    """What turns a file into Markdown, by name; what a peer cannot read it has not kept."""
    from markitdown import MarkItDown

    plain = MarkItDown(enable_plugins=False)
    found = {"markitdown": lambda path: str(plain.convert_local(path).markdown)}
    with contextlib.suppress(ImportError):
        from docling.document_converter import DocumentConverter  # type: ignore[import-not-found,unused-ignore]

        thorough = DocumentConverter()
        found["docling"] = lambda path: str(thorough.convert(path).document.export_to_markdown())

    def guarded(convert: Callable[[Path], str]) -> Callable[[Path], str]:
        def safe(path: Path) -> str:
            try:
                return convert(path)
            except Exception:
                return ""

        return safe

    return {name: guarded(convert) for name, convert in found.items()}


def pdfs(folder: Path, rounds: int, peer: str, convert: Callable[[Path], str]) -> Iterator[dict[str, Any]]:
    """Pages of digital text per second of processor time, and the expected text of a receipt in order."""
    import pypdfium2

    from benchmarks.known_documents import make_text_pdf
    from ingest.documents import read_document

    path = folder / "text.pdf"
    path.write_bytes(make_text_pdf(20))
    with contextlib.closing(pypdfium2.PdfDocument(path)) as opened:
        pages = len(opened)
    clock = time.process_time
    ours = pages / timed(rounds, lambda: read_document(path), clock)
    theirs = pages / timed(1, lambda: convert(path), clock)
    path.unlink()
    yield row("pages/s of digital text, one core", ours, "1/s", peer, theirs)
    for receipt in sorted(RECEIPTS.glob("RECEIPT-*.pdf")):
        expected = receipt.with_suffix(".md").read_text()
        ours = in_order(expected, read_document(receipt).documents[0].text)
        yield row("characters of a receipt in order", ours, "%", peer, in_order(expected, convert(receipt)))


def in_order(expected: str, found: str) -> float:
    """Percentage of the expected characters (white space aside) that are found in their order."""
    from difflib import SequenceMatcher

    wanted, given = ("".join(text.split()) for text in (expected, found))
    blocks = SequenceMatcher(None, wanted, given, autojunk=False).get_matching_blocks()
    return 100 * sum(block.size for block in blocks) / len(wanted)


def our_cells(path: Path) -> set[Cell]:
    """The cells of all tables of a file, under their headers."""
    from ingest.documents import read_document

    return {
        cell
        for document in read_document(path).documents
        for table in document.tables
        for line in table.rows
        for cell in zip(table.header, line, strict=True)
    }


def markdown_cells(text: str) -> set[Cell]:
    """The cells of all Markdown tables in a text, under their headers."""
    found: set[Cell] = set()
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if "|" in line else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif not set("".join(cells)) <= {"-", " ", ":"}:
            found.update(zip(header, cells, strict=False))
    return found


def stages(scratch: Path, count: int) -> Iterator[dict[str, Any]]:
    """The stage over many files: documents per second with all cores, and a second run without changes."""
    from fde.config import create
    from ingest.stage import ingest_documents

    inbox = scratch / "inbox"
    inbox.mkdir()
    known = sorted(path for path in (scratch / "known").iterdir())
    for number in range(count):
        path = known[number % len(known)]
        (inbox / f"{number:04d}-{path.name}").write_bytes(path.read_bytes())
    time.sleep(2.5)  # files this fresh are digested again
    engagement = create(scratch / "client", name="Benchmark")
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        run = ingest_documents(engagement, [inbox])
        seconds.append(time.perf_counter() - began)
    assert run.manifest().counts["failed"] == 0
    yield row("documents/s, stage, all cores", count / seconds[0], "1/s", None, None)
    yield row("second run, share of the first", 100 * seconds[1] / seconds[0], "%", None, None)


# Recordings and pages


def recordings(rounds: int) -> Iterator[dict[str, Any]]:
    """Reading recordings that are kept in the repository."""
    from ingest.recordings import read_recording

    files = sorted((SAMPLES.parent / "recordings").rglob("*.fderec"))[:12]
    if files:
        seconds = timed(rounds, lambda: [read_recording(path) for path in files])
        yield row("recordings/s", len(files) / seconds, "1/s", None, None)
        size = sum(path.stat().st_size for path in files) / len(files) / 1000
        yield row("size of a recording", size, "kB", None, None)


FORM = ("Cost centre", "Account", "Approver", "PO number", "Due date")
OLD_PAGE = (
    "<style>tr.r,div.c{cursor:pointer}</style><h1>Inbox</h1><table><tr><th>Id<th>Vendor<th>Amount<th>Due</tr>"
    + "".join(
        f"<tr class=r onclick=1><td>INV-{4000 + i}<td>Vendor {i}<td>{100 + i}.00<td>2024-05-{1 + i % 28:02}"
        for i in range(50)
    )
    + "</table><table>"
    + "".join(f"<tr><td>{name}:</td><td><input name=f{i}></td></tr>" for i, name in enumerate(FORM))
    + "</table><div class=c onclick=1>Submit</div><a href=#><img src=/icons/print.gif></a>"
)
TO_USE = 50 + len(FORM) + 2


def snapshots(rounds: int) -> Iterator[dict[str, Any]]:
    """Time, length and completeness of a snapshot of an old page."""
    from envgen.choices import choices
    from ingest.browser import launch, new_page
    from ingest.page import take_snapshot
    from ingest.snapshot import parse

    with launch() as browser:
        page = new_page(browser)
        page.set_content(OLD_PAGE)
        ours_s = timed(rounds, lambda: take_snapshot(page))
        peer_s = timed(rounds, lambda: page.locator("body").aria_snapshot())
        ours, theirs = take_snapshot(page).text, page.locator("body").aria_snapshot()
    usable = len(choices(parse(ours))) - 1
    # What an agent could aim at by role and name: quoted names of roles that take an action.
    roles = ("link", "button", "textbox", "combobox", "checkbox", "clickable")
    aims = tuple(f'{role} "' for role in roles)
    named = sum(line.strip(" -").startswith(aims) for line in theirs.splitlines())
    peer = "aria_snapshot()"
    yield row("snapshot of an old page", 1000 * ours_s, "ms", peer, 1000 * peer_s)
    yield row("its length", len(ours), "characters", peer, len(theirs))
    yield row("usable elements that have a name", 100 * usable / TO_USE, "%", peer, 100 * named / TO_USE)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    versions = {}
    for name in ("markitdown", "docling", "openpyxl", "pypdfium2", "playwright"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": versions,
    }


if __name__ == "__main__":
    main()
