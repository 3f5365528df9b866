"""Videos of a screen (mp4, webm) with a log of clicks and keys beside them.

``session.mp4`` with ``session.csv`` or ``session.jsonl``: times are seconds from the video's start,
or clock times where the video says when it began; coordinates are pixels of the video.
"""

from __future__ import annotations

import io
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fde.doctor import VIDEO_PACKAGE
from fde.errors import InputError, MissingError
from ingest.formats.base import Read
from ingest.formats.eventlog import LogColumns, LogRow, log_rows
from ingest.formats.steps import slug
from ingest.screens.events import MAX_EVENTS, ScreenEvent, read_events

LOG_SUFFIXES = (".csv", ".jsonl", ".tsv")
VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".m4v")
MAX_PIXELS = 40_000_000
DECODE_LIMIT_S = 900
# A screen is recorded a moment after it is shown: the picture of an event is one from before it.
LEAD_S = 0.02
_STARTS = {"start", "video_start", "recording_start", "start_recording"}
# Times beyond this many seconds are clock times, not a position in a video.
CLOCK_S = 10_000_000


class ScreenVideo:
    """Reads a video together with the log beside it."""

    name = "screen-video"
    max_bytes = 4_000_000_000  # it is read frame by frame

    def __init__(self, columns: LogColumns | None = None) -> None:
        self.columns = columns or LogColumns()

    def recognises(self, path: Path, head: bytes) -> bool:
        return _container(head) is not None

    def read(self, path: Path) -> Read:
        log = event_log(path)
        if log is None:
            raise InputError(
                f"{path}: a video alone does not tell what was clicked and typed.",
                f"Put the log of events beside it, as {path.stem}.csv or {path.stem}.jsonl.",
            )
        rows = [row for row in log_rows(log, self.columns) if row.meaning != "ignore" or plain_start(row)]
        if len(rows) > MAX_EVENTS:
            raise InputError(f"{log}: {len(rows)} events; at most {MAX_EVENTS} are read.")
        rows.sort(key=lambda row: row.time_s if row.time_s is not None else 0.0)
        frames = _Frames(path)
        zero = _zero(rows, frames, log)
        rows = [row for row in rows if not plain_start(row)]
        times = [None if row.time_s is None else row.time_s - zero for row in rows]
        frames.take([max(0.0, moment - LEAD_S) for moment in times if moment is not None])
        events, lost = _events(rows, times, frames)
        try:
            return read_events(
                events,
                workflow=slug(path.stem) or "workflow",
                instruction="",
                source_format=self.name,
                recorded_at=None if frames.began is None else _iso(frames.began),
                warnings=lost,
            )
        except InputError as error:
            raise type(error)(f"{path}: {error.message}", error.hint) from error


def event_log(path: Path) -> Path | None:
    """The log beside a video: the same name with another ending."""
    return next((found for suffix in LOG_SUFFIXES if (found := path.with_suffix(suffix)).is_file()), None)


def plain_start(row: LogRow) -> bool:
    """Whether a row marks the moment at which the video begins."""
    return row.told.strip().lower().replace(" ", "_") in _STARTS


def _container(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return "mov"
    return "matroska" if head.startswith(b"\x1a\x45\xdf\xa3") else None


def _zero(rows: list[LogRow], frames: _Frames, log: Path) -> float:
    """The log's time at which the video begins."""
    marked = next((row.time_s for row in rows if plain_start(row) and row.time_s is not None), None)
    if marked is not None:
        return marked
    first = next((row.time_s for row in rows if row.time_s is not None), 0.0)
    if first < CLOCK_S:
        return 0.0
    if frames.began is None:
        raise InputError(
            f"{log}: its times are clock times, and the video does not say when it began.",
            "Add a row with the action video_start, or give seconds from the video's start.",
        )
    return frames.began


def _events(
    rows: list[LogRow], times: list[float | None], frames: _Frames
) -> tuple[list[ScreenEvent], list[str]]:
    lost, events = [], []
    for i, (row, moment) in enumerate(zip(rows, times, strict=True)):
        outside = moment is None or moment < -1.0 or moment > frames.length_s + 1.0
        if outside:
            told = "without a time" if moment is None else f"at {moment:.1f} s"
            lost.append(
                f"{row.where}: an event {told} is not in the video, which is {frames.length_s:.1f} s long."
            )
        following = next((later for later in times[i + 1 :] if later is not None), None)
        after = frames.length_s if following is None else following - LEAD_S
        if (
            row.x is not None
            and row.y is not None
            and not (0 <= row.x < frames.width and 0 <= row.y < frames.height)
        ):
            lost.append(
                f"{row.where}: ({row.x:.0f}, {row.y:.0f}) is outside the picture, "
                f"which is {frames.width} by {frames.height} pixels."
            )
        events.append(
            ScreenEvent(
                kind=row.kind,
                where=row.where,
                time_s=None if moment is None else round(max(0.0, moment), 3),
                x=row.x,
                y=row.y,
                text=row.value if row.kind in ("type", "key") else row.told,
                label=row.element,
                url=row.url,
                title=row.window,
                before=None if outside else _Picture(frames, max(0.0, (moment or 0.0) - LEAD_S)),
                after=None if outside else _Picture(frames, after),
            )
        )
    return events, lost


class _Picture:
    """A frame that is encoded when it is asked for."""

    def __init__(self, frames: _Frames, time_s: float) -> None:
        self.frames, self.time_s = frames, time_s

    def __call__(self) -> bytes | None:
        return self.frames.at(self.time_s)


class _Frames:
    """The frames of a video that are shown at given times."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.width = self.height = 0
        self.length_s = 0.0
        self.began: float | None = None
        self._times: list[float] = []
        self._pictures: list[bytes] = []
        with path.open("rb") as stream, self._opened(stream) as container:
            video = container.streams.video[0]
            self.width, self.height = video.codec_context.width, video.codec_context.height
            if not 0 < self.width * self.height <= MAX_PIXELS:
                raise InputError(f"{path}: frames of {self.width} by {self.height} pixels are no screen's.")
            self.began = _moment(str(container.metadata.get("creation_time", "")))

    @contextmanager
    def _opened(self, stream: io.BufferedReader) -> Iterator[Any]:
        """The container, opened by its kind from the open file: it can name no other."""
        try:
            import av
        except ImportError as error:
            raise MissingError(
                f"{self.path}: videos cannot be read: the package av is not installed.",
                f"Install it with: pip install {VIDEO_PACKAGE}",
            ) from error
        kind = _container(stream.read(12))
        stream.seek(0)
        try:
            with av.open(stream, mode="r", format=kind) as container:
                if not container.streams.video or container.streams.video[0].codec_context is None:
                    raise InputError(f"{self.path}: holds no pictures.")
                yield container
        except (av.FFmpegError, ValueError, OverflowError, EOFError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path}: damaged video: {error}.", "Copy or record it again.") from error

    def take(self, times: list[float]) -> None:
        """Keep the frames shown at these times (seconds, from the start), and the last one."""
        wanted = sorted(set(times))
        deadline = time.monotonic() + DECODE_LIMIT_S
        with self.path.open("rb") as stream, self._opened(stream) as container:
            shown: Any = None
            for frame in container.decode(video=0):
                if time.monotonic() > deadline:
                    raise InputError(f"{self.path}: takes longer than {DECODE_LIMIT_S} s to read.")
                now = float(frame.time or 0.0)
                if (frame.width, frame.height) != (self.width, self.height):
                    raise InputError(f"{self.path}: the picture changes its size at {now:.1f} s.")
                while wanted and wanted[0] < now:
                    self._keep(wanted.pop(0), shown if shown is not None else frame)
                shown, self.length_s = frame, max(self.length_s, now)
            if shown is not None:
                self._keep(self.length_s if not wanted else min(wanted[0], self.length_s), shown)
        if not self._pictures:
            raise InputError(f"{self.path}: holds no pictures.")

    def _keep(self, time_s: float, frame: Any) -> None:
        data = io.BytesIO()
        frame.to_image().save(data, "PNG", compress_level=3)
        self._times.append(time_s)
        self._pictures.append(data.getvalue())

    def at(self, time_s: float) -> bytes | None:
        """The frame shown at a time that was asked for, or the last one."""
        at = bisect_left(self._times, time_s - 1e-6)
        return self._pictures[min(at, len(self._pictures) - 1)]


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")
