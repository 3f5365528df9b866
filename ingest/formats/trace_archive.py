"""What lies in a Playwright trace: calls, snapshots, requests; of versions 3 to 10 in one form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fde.errors import InputError
from ingest.formats.base import Archive
from ingest.formats.rebuilt import moment

OLDEST, NEWEST = 3, 10
UNNUMBERED = 6  # traces of the test runner had no number before 7


@dataclass
class Call:
    """One call of Playwright's. Times are on the trace's own clock, in milliseconds."""

    id: str
    kind: str
    method: str
    params: dict[str, Any]
    start: float
    end: float
    input_snapshot: str
    before_snapshot: str
    after_snapshot: str
    page: str | None = None
    point: dict[str, Any] | None = None
    failed: bool = False
    wall: float | None = None


@dataclass
class Frame:
    """The snapshots of one frame, in the order in which they refer to each other."""

    id: str
    snapshots: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Context:
    """One browser context: what happened in it."""

    version: int
    title: str = ""
    wall: float = 0.0
    monotonic: float = 0.0
    origin: str = "library"
    calls: dict[str, Call] = field(default_factory=dict)
    frames: dict[str, Frame] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    viewport: dict[str, Any] = field(default_factory=dict)
    base_url: str = ""

    def wall_time(self, time: float) -> float:
        """A time of the trace's clock in milliseconds since 1970."""
        return self.wall + time - self.monotonic


def read_contexts(path: Path, archive: Archive) -> list[Context]:
    """The contexts of a trace.

    Raises:
        InputError: when it is of a version that is not read, or damaged.
    """
    prefixes = sorted(name.removesuffix(".trace") for name in archive.names if name.endswith(".trace"))
    found = []
    for prefix in prefixes:
        context = _Reader(path, prefix)
        for name in (f"{prefix}.trace", f"{prefix}.network"):
            if name in archive.names:
                for number, event in _lines(path, name, archive.read(name)):
                    context.take(name, number, event)
        if context.made is not None:
            found.append(context.made)
    return found


def _lines(path: Path, name: str, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: {name}, line {number} is not JSON, or cut off.", "Copy or record it again."
            ) from error
        if isinstance(event, dict):
            yield number, event


class _Reader:
    """Puts the events of one context in one form."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path = path
        self.prefix = prefix
        self.made: Context | None = None

    def take(self, name: str, number: int, event: dict[str, Any]) -> None:
        kind = event.get("type")
        try:
            if kind == "context-options" or self.made is None:
                self._begin(event)
            assert self.made is not None
            if kind in ("action", "before"):
                self._call(event.get("metadata", event))
            elif kind == "input":
                self._known(event, input_snapshot="inputSnapshot", point="point")
            elif kind == "after":
                self._after(event)
            elif kind == "frame-snapshot":
                self._snapshot(event["snapshot"])
            elif kind == "resource-snapshot" and isinstance(event.get("snapshot"), dict):
                self.made.resources.append(event["snapshot"])
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(
                f"{self.path}: {name}, line {number}: not as a trace has it: {type(error).__name__} {error}."
            ) from error

    def _begin(self, event: dict[str, Any]) -> None:
        version = event.get("version", UNNUMBERED)
        if isinstance(version, bool) or not isinstance(version, int):
            raise InputError(f"{self.path}: trace version {version!r} is no number.")
        if version > NEWEST:
            raise InputError(
                f"{self.path}: a trace of version {version}, made by a newer Playwright; "
                f"versions {OLDEST} to {NEWEST} are read.",
                "Update the toolkit, or record with Playwright 1.65 or older.",
            )
        if version < OLDEST:
            raise InputError(
                f"{self.path}: a trace of version {version}; versions {OLDEST} to {NEWEST} are read.",
                "Record it again with Playwright 1.21 or newer.",
            )
        if event.get("type") != "context-options":
            self.made = Context(version)
            return
        options = event.get("options")
        options = options if isinstance(options, dict) else {}
        viewport = options.get("viewport")
        self.made = Context(
            version,
            title=str(event.get("title") or ""),
            wall=moment(event.get("wallTime"), 0.0),
            monotonic=moment(event.get("monotonicTime"), 0.0),
            origin=str(event.get("origin") or "library"),
            viewport=viewport if isinstance(viewport, dict) else {},
            base_url=str(options.get("baseURL") or ""),
        )

    def _call(self, event: dict[str, Any]) -> None:
        """A call that begins; before version 4 it came when it had ended, with all about it."""
        assert self.made is not None
        context = self.made
        id_ = str(event.get("callId", event.get("id")))
        params = event.get("params")
        start = moment(event.get("startTime"), 0.0)
        shots = {
            each.get("title"): each.get("snapshotName")
            for each in event.get("snapshots", ())
            if isinstance(each, dict)
        }
        wall = moment(event.get("wallTime"), 0.0)
        if not context.monotonic and wall:
            # Versions before 7 tell both clocks with every call only.
            context.wall, context.monotonic = wall, start
        context.calls[id_] = Call(
            id_,
            str(event.get("class", event.get("type"))),
            str(event["method"]),
            params if isinstance(params, dict) else {},
            start,
            moment(event.get("endTime"), start),
            # From version 9 on a snapshot tells its call and phase, before it has a name that the call tells.
            before_snapshot=str(event.get("beforeSnapshot") or shots.get("before") or f"before@{id_}"),
            input_snapshot=str(event.get("inputSnapshot") or shots.get("input") or f"action@{id_}"),
            after_snapshot=str(event.get("afterSnapshot") or shots.get("after") or f"after@{id_}"),
            page=event.get("pageId"),
            point=event.get("point"),
            failed=bool(event.get("error")),
        )

    def _known(self, event: dict[str, Any], **fields: str) -> Call | None:
        assert self.made is not None
        call = self.made.calls.get(str(event.get("callId")))
        for name, key in fields.items():
            if call is not None and event.get(key) is not None:
                setattr(call, name, event[key])
        return call

    def _after(self, event: dict[str, Any]) -> None:
        call = self._known(event, after_snapshot="afterSnapshot", point="point")
        if call is not None:
            call.end = moment(event.get("endTime"), call.start)
            call.failed = bool(event.get("error"))

    def _snapshot(self, snapshot: dict[str, Any]) -> None:
        assert self.made is not None
        id_ = str(snapshot["frameId"])
        if not snapshot.get("snapshotName"):
            snapshot["snapshotName"] = f"{snapshot.get('phase')}@{snapshot.get('callId')}"
        call = self.made.calls.get(str(snapshot.get("callId")))
        if call is not None and call.page is None and snapshot.get("isMainFrame"):
            call.page = str(snapshot.get("pageId"))
        self.made.frames.setdefault(id_, Frame(id_)).snapshots.append(snapshot)
