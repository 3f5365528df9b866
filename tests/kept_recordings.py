"""Recordings that were made once, by a browser, and lie among the tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from ingest.recorder import record
from ingest.recording import Recording
from ingest.recordings import read_recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@cache
def kept(place: Path, kind: str) -> tuple[Recording, ...]:
    """The recordings of one application."""
    told = json.loads(gzip.decompress(place.read_bytes()))
    return tuple(Recording.model_validate(found) for found in told[kind])


class Application(Protocol):
    """What an expert works in: what there is to do, and how it is done."""

    @property
    def instruction(self) -> str: ...

    def work(self, page: Page) -> None: ...


def recorded(app: Application, kind: str, url: str, out: Path, browser: Browser, host: str) -> Recording:
    """The work recorded under the name of its file; its address, another one each time, as ``host``."""
    record(
        url, out, workflow=kind, instruction=app.instruction, recording_id=out.stem, script=app.work,
        headless=True, browser=browser,
    )  # fmt: skip
    told = read_recording(out)[0].model_dump_json(exclude={"recorded_at"})
    return Recording.model_validate_json(told.replace(url, host))


def keep(place: Path, kinds: Sequence[str], record: Callable[[str, Path], list[Recording]]) -> None:
    """Record all applications anew, side by side."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(len(kinds)) as pool:
        made = pool.map(lambda kind: record(kind, Path(folder)), kinds)
        told = {kind: [r.model_dump(mode="json", exclude_defaults=True) for r in found]
                for kind, found in zip(kinds, made, strict=True)}  # fmt: skip
    place.write_bytes(gzip.compress(json.dumps(told).encode(), mtime=0))
