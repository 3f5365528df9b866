#!/usr/bin/env python3
"""Ingest: documents per second and what is kept of their tables, against plain markitdown; snapshots of
pages against Playwright's ``aria_snapshot()``.

The documents are the sample company's and some made here, whose tables are known cell by cell: title rows
above a header, merged cells, several tables on a sheet, attachments. A cell counts as kept when it is found
in a table under its own column's header. The page is an old application's: a list of 50 rows that react to
clicks, and a form whose labels are only text nearby.

    python benchmarks/ingest.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SAMPLES = ROOT / "playbooks" / "quickstart" / "documents"
ROWS = 60

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
        results = [*documents(Path(scratch), rounds), *recordings(rounds), *snapshots(rounds * 5)]
    results += [row(*found) for found in pages(options.quick)]
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=1))
        return
    for entry in results:
        against = "" if entry["peer_value"] is None else f"  {entry['peer']}: {entry['peer_value']:.3g}"
        ratio = "" if entry["ratio"] is None else f"  ratio {entry['ratio']:.2f}"
        print(f"{entry['name']:<44} {entry['value']:>9.3g} {entry['unit']}{against}{ratio}")


def pages(quick: bool) -> Iterator[tuple[str, float, str, str | None, float | None]]:
    """Recordings of DOMs, and pages without semantics."""
    from benchmarks.ingest_pages import rows

    return rows(quick)


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


def timed(rounds: int, work: Callable[[], object]) -> float:
    """Seconds of one round, the median after one that warms up."""
    work()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2]


# Documents


def documents(folder: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """Speed and kept tables, format by format."""
    from markitdown import MarkItDown

    from ingest.documents import read_document

    truth = make_documents(folder)
    converter = MarkItDown(enable_plugins=False)
    files = [*sorted(SAMPLES.iterdir()), *sorted(folder.iterdir())]

    def theirs(path: Path) -> str:
        try:
            return converter.convert_local(path).markdown
        except Exception:  # what it cannot read it has not kept
            return ""

    kinds = sorted({path.suffix for path in files})
    total = their_total = 0.0
    for kind in kinds:
        some = [path for path in files if path.suffix == kind]
        ours_s = timed(rounds, lambda some=some: [read_document(path) for path in some])  # type: ignore[misc]
        peer_s = timed(rounds, lambda some=some: [theirs(path) for path in some])  # type: ignore[misc]
        total, their_total = total + ours_s, their_total + peer_s
        yield row(f"documents/s, {kind[1:]}", len(some) / ours_s, "1/s", "markitdown", len(some) / peer_s)
    yield row("documents/s, all", len(files) / total, "1/s", "markitdown", len(files) / their_total)
    kept = their_kept = cells = 0
    for path, expected in truth.items():
        found: set[Cell] = set()
        for document in read_document(path).documents:
            for table in document.tables:
                for line in table.rows:
                    found.update(zip(table.header, line, strict=True))
        cells += len(expected)
        kept += len(expected & found)
        their_kept += len(expected & markdown_cells(theirs(path)))
    yield row(
        "cells kept under their header", 100 * kept / cells, "%", "markitdown", 100 * their_kept / cells
    )


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


def make_documents(folder: Path) -> dict[Path, set[Cell]]:
    """Documents with known tables."""
    import docx
    import openpyxl

    columns = ["Category", "Cost centre", "Account", "Limit"]
    lines = [[f"Category {i}", f"CC-{100 + i}", f"A-{6000 + 7 * i}", str(500 + 250 * i)] for i in range(ROWS)]
    expected = {(head, cell) for line in lines for head, cell in zip(columns, line, strict=True)}
    truth: dict[Path, set[Cell]] = {}

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["B2"] = "Coding matrix, version 7"
    sheet.merge_cells("B2:E2")
    for at, line in enumerate([columns, *lines], 4):
        for column, cell in enumerate(line, 2):
            sheet.cell(at, column, int(cell) if cell.isdigit() else cell)
    sheet.cell(ROWS + 7, 2, "Function")
    sheet.cell(ROWS + 7, 3, "Deputy")
    sheet.cell(ROWS + 8, 2, "Team lead")
    sheet.cell(ROWS + 8, 3, "Head of finance")
    book.save(folder / "matrix.xlsx")
    truth[folder / "matrix.xlsx"] = {*expected, ("Function", "Team lead"), ("Deputy", "Head of finance")}

    word = docx.Document()
    word.add_heading("Policy", 1)
    word.add_paragraph("The limits of section 4. " * 30)
    grid = word.add_table(rows=ROWS + 1, cols=4)
    for at, line in enumerate([columns, *lines]):
        for cell, text in zip(grid.rows[at].cells, line, strict=True):
            cell.text = text
    for at in range(1, ROWS, 2):  # two lines each share a cost centre
        grid.cell(at + 1, 1).text = ""
        merged = grid.cell(at, 1).merge(grid.cell(at + 1, 1))
        merged.text = lines[at - 1][1]
    word.save(str(folder / "policy.docx"))
    shared = {("Cost centre", line[1]) for line in lines[1::2]}
    truth[folder / "policy.docx"] = expected - shared

    buffer = io.BytesIO()
    book.save(buffer)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@x.example", "b@x.example", "New matrix"
    mail["Date"] = "Mon, 04 Mar 2024 09:00:00 +0000"
    mail.set_content("The new matrix is attached.")
    mail.add_attachment(buffer.getvalue(), maintype="application", subtype="octet-stream", filename="m.xlsx")
    (folder / "memo.eml").write_bytes(mail.as_bytes())
    truth[folder / "memo.eml"] = expected

    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines)
    head = "".join(f"<th>{name}</th>" for name in columns)
    html = f"<h1>Wiki</h1><table><caption>Matrix</caption><tr>{head}</tr>{body}</table>"
    (folder / "wiki.html").write_text(html)
    truth[folder / "wiki.html"] = expected
    text = "\n".join(";".join(line) for line in [columns, *lines])
    (folder / "export.csv").write_text(text)
    truth[folder / "export.csv"] = expected
    return truth


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
    for name in ("markitdown", "openpyxl", "pdfplumber", "playwright"):
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
