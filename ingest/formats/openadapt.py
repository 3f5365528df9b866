"""Recordings of OpenAdapt: a folder, or a zip of it, with ``events.jsonl`` and ``frames/``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fde.errors import InputError
from ingest.formats.base import Archive, Read, entry_names
from ingest.formats.steps import slug
from ingest.formats.texts import MAX_TEXT_BYTES, decode, json_lines, parse_json, word
from ingest.screens.events import MAX_EVENTS, MAX_PICTURE_BYTES, EventKind, ScreenEvent, read_events

EVENTS, META, FRAMES = "events.jsonl", "meta.json", "frames"
_KINDS: dict[str, EventKind] = {
    "click": "click",
    "double_click": "double_click",
    "type": "type",
    "key": "key",
    "scroll": "scroll",
}


class OpenAdaptRecording:
    """Reads what OpenAdapt's recorders write."""

    name = "openadapt"

    def recognises(self, path: Path, head: bytes) -> bool:
        if path.is_dir():
            return is_recording_folder(path)
        names = entry_names(path) if head.startswith(b"PK") else []
        return _root(names) is not None

    def read(self, path: Path) -> Read:
        if path.is_dir():
            return _read(path, lambda name: _file(path, name))
        with Archive(path) as archive:
            root = _root(archive.names)
            if root is None:
                raise InputError(f"{path}: holds no {EVENTS}.", "Copy or record it again.")
            names = set(archive.names)
            return _read(path, lambda name: archive.read(root + name) if root + name in names else None)


def is_recording_folder(folder: Path) -> bool:
    """Whether a folder is one recording."""
    return (folder / EVENTS).is_file() and (folder / FRAMES).is_dir()


def _root(names: list[str]) -> str | None:
    """The folder in an archive that holds the events; the archive itself, or one folder in it."""
    for name in names:
        if re.fullmatch(rf"([^/]+/)?{re.escape(EVENTS)}", name):
            root = name.removesuffix(EVENTS)
            if any(other.startswith(f"{root}{FRAMES}/") for other in names):
                return root
    return None


def _file(folder: Path, name: str) -> bytes | None:
    path = folder / name
    # A link out of the folder is not part of what the client handed over.
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return None
    limit = MAX_PICTURE_BYTES if name.startswith(FRAMES) else MAX_TEXT_BYTES
    if path.stat().st_size > limit:
        raise InputError(f"{path}: {path.stat().st_size} bytes; at most {limit} are read.")
    return path.read_bytes()


def _read(path: Path, content: Callable[[str], bytes | None]) -> Read:
    raw = content(EVENTS)
    if raw is None:
        raise InputError(f"{path}: holds no {EVENTS}.", "Copy or record it again.")
    events = json_lines(decode(raw, path), path)
    if len(events) > MAX_EVENTS:
        raise InputError(f"{path}: {len(events)} events; at most {MAX_EVENTS} are read.")
    about: dict[str, Any] = {}
    meta = content(META)
    if meta is not None:
        found = parse_json(decode(meta, path), path, META)
        about = found if isinstance(found, dict) else {}
    address = word(about.get("app_url"))
    made = [_event(event, f"event {number}", address, content) for number, event in events]
    missing = [
        event.where
        for event in made
        if event.kind == "click" and event.before is not None and event.before() is None
    ]
    lost = [f"{', '.join(missing[:10])}: there is no picture of the screen."] if missing else []
    try:
        return read_events(
            made,
            workflow=slug(word(about.get("name"))) or slug(path.stem) or "workflow",
            instruction=word(about.get("task_description")) or word(about.get("instruction")),
            source_format="openadapt",
            recorded_at=word(about.get("created_at")) or None,
            warnings=lost,
        )
    except InputError as error:
        raise type(error)(f"{path}: {error.message}", error.hint) from error


def _event(
    event: dict[str, Any], where: str, address: str, content: Callable[[str], bytes | None]
) -> ScreenEvent:
    kind = word(event.get("kind"))
    number = event.get("i")
    stem = f"{FRAMES}/{number:04d}" if isinstance(number, int) and 0 <= number < 10**6 else None
    told = event.get("structural")
    structural = told if isinstance(told, dict) else {}
    secret = event.get("secret") is True
    text = word(event.get("text")) if kind == "type" else word(event.get("key"))
    if secret and not text:
        text = "••••"
    if kind not in _KINDS:
        text = kind[:40]
    return ScreenEvent(
        kind=_KINDS.get(kind, "other"),
        where=where,
        time_s=_number(event.get("t")),
        x=_number(event.get("x")),
        y=_number(event.get("y")),
        text=text,
        label=word(event.get("field_label")) or word(structural.get("name")),
        role=_role(word(structural.get("role"))),
        secret=secret,
        url=word(event.get("url_before")) or address,
        title=word(event.get("title_before")),
        before=(lambda: content(f"{stem}_before.png")) if stem else None,
        after=(lambda: content(f"{stem}_after.png")) if stem else None,
    )


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if plain else None


def _role(told: str) -> str:
    return told if re.fullmatch("[a-z]{1,30}", told) else ""
