"""Recordings that were made once, by a browser, and lie among the tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ingest.recording import Recording


@cache
def kept(place: Path, kind: str) -> tuple[Recording, ...]:
    """The recordings of one application."""
    told = json.loads(gzip.decompress(place.read_bytes()))
    return tuple(Recording.model_validate(found) for found in told[kind])


def keep(place: Path, kinds: Sequence[str], record: Callable[[str, Path], list[Recording]]) -> None:
    """Record all applications anew, side by side."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(len(kinds)) as pool:
        made = pool.map(lambda kind: record(kind, Path(folder)), kinds)
        told = {kind: [r.model_dump(mode="json", exclude_defaults=True) for r in found]
                for kind, found in zip(kinds, made, strict=True)}  # fmt: skip
    place.write_bytes(gzip.compress(json.dumps(told).encode(), mtime=0))
