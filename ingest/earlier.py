"""What need not be read: rows of interrupted and earlier runs by the same readers. Ids that differ."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fde.artifacts import digest, read_json
from fde.engagement import Run
from ingest.sources import Source

Row = dict[str, Any]
Outputs = Callable[[Row], dict[str, str]]


def row_path(run: Run, source: Source) -> Path:
    """Where the row of a source is kept until the run is finished."""
    return run.path / f".row-{digest([source.name, source.digest])[:16]}.json"


def rows_so_far(run: Run, sources: Sequence[Source], outputs: Outputs) -> dict[str, Row]:
    """Rows by source name; what they were made into is in the run's folder.

    Args:
        outputs: Files of a row: path in the run it was made in -> path in this one.
    """
    rows: dict[str, Row] = {}
    for source in sources:
        with contextlib.suppress(OSError, ValueError):
            row = read_json(row_path(run, source))
            if row["lasting"]:
                rows[source.name] = row
    wanted = {(source.name, source.digest) for source in sources if source.name not in rows}
    for path in _runs_alike(run):
        if not wanted:
            break
        for row in read_json(path / "report.json")["files"]:
            key = (row["source"], row.get("digest"))
            if key in wanted and row["lasting"] and _take_over(outputs(row), path, run.path):
                wanted.remove(key)
                rows[row["source"]] = row
    return rows


def _runs_alike(run: Run) -> Iterator[Path]:
    """Finished runs of the stage made by the same readers, the newest first."""
    manifests = [(path.stat().st_mtime, path) for path in run.path.parent.glob("*/manifest.json")]
    for _, path in sorted(manifests, reverse=True):
        config = read_json(path)["config"]
        # Limits decide which files fail, not what is read; such failures are not taken over.
        if {**config, "limits": None} == {**run.config, "limits": None}:
            yield path.parent


def _take_over(outputs: dict[str, str], old: Path, new: Path) -> bool:
    """Link what an earlier run made of a file into this one; False where something is missing."""
    for before, after in outputs.items():
        target = new / after
        target.parent.mkdir(exist_ok=True, mode=0o700)
        if target.exists():
            continue
        try:
            link(old / before, target)
        except FileNotFoundError:
            return False
    return True


def link(path: Path, target: Path) -> None:
    """The same file under a second name: files of a run are replaced, never changed."""
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copy2(path, target)


def tell_apart(ids: Sequence[str], digests: Sequence[str]) -> list[str]:
    """Ids that differ: of two equal ones the later gets its file's digest, and a number where need be."""
    taken: dict[str, None] = {}
    for name, key in zip(ids, digests, strict=True):
        wanted, number = name, 1
        while wanted in taken:
            wanted = f"{name}-{key[:8]}" + (f"-{number}" if number > 1 else "")
            number += 1
        taken[wanted] = None
    return list(taken)
