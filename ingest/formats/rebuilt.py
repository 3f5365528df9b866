"""What all recordings of DOMs have in common: what is told while they are built again becomes a recording."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.effects import MASK, Secrets
from ingest.rebuild import LIMIT_S, Message, Rebuilder
from ingest.recording import Recording
from ingest.timeline import Act, Look, Request, steps_of

# Of one recording: what it shows is kept in memory until it is written.
MAX_PAGES_CHARACTERS = 150_000_000
MAX_ACTS = 20_000
SLOWEST_BYTES_S = 100_000
SINCE_2000 = 946_684_800_000.0  # an earlier time is no date but counts from a beginning of its own
_ENDS = ("zip", "json", "jsonl", "ndjson", "gz", "rrweb")


def limit_s(path: Path) -> float:
    """How long reading a recording may take, in seconds: longer for a larger one."""
    return LIMIT_S + path.stat().st_size / SLOWEST_BYTES_S


def plain(text: Any) -> str:
    """A text that can be written as UTF-8."""
    return str(text).encode("utf-8", "replace").decode("utf-8")


def file_name(path: Path) -> str:
    """A file's name without the ends that only tell its format."""
    name = path.name
    while (end := name.rpartition(".")[2].lower()) in _ENDS and len(name) > len(end) + 1:
        name = name[: -len(end) - 1]
    return name


def moment(value: Any, otherwise: float) -> float:
    """A time in milliseconds, or ``otherwise`` where ``value`` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    return float(value) if 0 <= value < 1e15 and math.isfinite(value) else otherwise


class Heard:
    """Collects what a :class:`ingest.rebuild.Rebuilder` tells.

    Attributes:
        maybe: Actions that count only when nothing else explains what followed, by their time.
        left: The page as it was when it was left, by the time.
        answers: The answers to ``ask``, by their key.
        full: Whether there is more than is kept of one recording.
    """

    def __init__(self, rebuilder: Rebuilder) -> None:
        self.rebuilder = rebuilder
        self.secrets = Secrets(salt=rebuilder.salt)
        self.acts: list[Act] = []
        self.looks: list[Look] = []
        self.requests: list[Request] = []
        self.maybe: dict[float, Act] = {}
        self.left: dict[float, Look] = {}
        self.answers: dict[Any, Message] = {}
        self.links: dict[int, str] = {}
        self.warnings: list[str] = []
        self.full = False
        self._characters = 0
        self._last: tuple[str, Look] | None = None

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message["kind"] == "act":
                self._act(message)
            elif message["kind"] == "look":
                self.looks.append(self.look(message["time"], message["before"]))
            elif message["kind"] == "left":
                self.left[message["time"]] = self.look(message["time"], message["before"])
            elif message["kind"] == "ask":
                self.answers[message["key"]] = message
            elif message["kind"] == "trouble":
                self.warn(f"An event could not be read: {plain(message['text'])[:200]}")

    def look(self, time: float, page: str) -> Look:
        """A page; the same one as before is kept once."""
        self._characters += len(page)
        self.full = self.full or self._characters > MAX_PAGES_CHARACTERS or len(self.acts) > MAX_ACTS
        if self._last and self._last[0] == page:
            self._characters -= len(page)
            return self._last[1].at(time)
        found = Look(time, page)
        self._last = (page, found)
        return found

    def _act(self, message: Message) -> None:
        value, masked = message.get("value"), bool(message.get("masked"))
        if message.get("hash"):
            self.secrets.hashes.add(message["hash"])
        if value and not masked and message["verb"] == "fill" and set(value) == {"*"}:
            value, masked = MASK, True
            self.warn("The recorder had masked values that were typed; they are not known.")
        act = Act(
            time=message["time"],
            verb=message["verb"],
            before=self.look(message["seen"], message["before"]),
            seen=message["seen"],
            value=None if value is None else plain(value),
            chosen=tuple(plain(name) for name in message.get("chosen") or ()),
            soft=bool(message.get("soft")),
            masked=masked,
        )
        if message.get("maybe"):
            self.maybe[act.time] = act
            return
        if message.get("href"):
            self.links[id(act)] = message["href"]
        self.acts.append(act)

    def recording(
        self, path: Path, source_format: str, *, workflow: str = "", instruction: str = "", suffix: str = ""
    ) -> Recording:
        """The recording, under the file's name."""
        self.secrets.names.update(self.rebuilder.secret_names)
        if self.rebuilder.lost:
            self.warn(
                f"{self.rebuilder.lost} changes to nodes that the recording does not have were left out."
            )
        if self.full:
            self.warn("The recording is longer than is read; its end was left out.")
        steps, warnings = steps_of(self.acts, self.looks, self.requests, self.secrets)
        if not steps:
            self.warn("Nobody does anything in it.")
        began = min((act.time for act in self.acts), default=0.0)
        date = datetime.fromtimestamp(began / 1000, UTC) if began > SINCE_2000 else None
        name = file_name(path)
        return Recording(
            id=f"{name}{suffix}",
            workflow=workflow or name,
            instruction=instruction,
            source_format=source_format,
            recorded_at=date.isoformat(timespec="seconds") if date else None,
            steps=steps,
            warnings=tuple(dict.fromkeys((*self.warnings, *warnings))),
        )
