"""Event logs in tables: CSV or JSON lines, with columns that every tool calls differently.

Which column holds what is told by ``[ingest.ui_log]`` in ``fde.toml``, else guessed from the
columns' names.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fde.errors import InputError
from ingest.formats.texts import MAX_TEXT_BYTES, json_lines, read_text, word
from ingest.screens.events import EventKind

MAX_ROWS = 200_000
Meaning = Literal["click", "double_click", "fill", "select", "check", "uncheck", "key", "goto", "ignore"]
# What tools call their columns, the more telling name first.
_NAMES = {
    "time": "time timestamp t time_s seconds ts timestamp_ms time:timestamp start_time event_time datetime "
    "date_time created_at",
    "action": "action event event_type type kind activity action_type concept:name eventtype interaction "
    "event_name action_name",
    "x": "x mouse_x screen_x pos_x coordinate_x cursor_x",
    "y": "y mouse_y screen_y pos_y coordinate_y cursor_y",
    "value": "value text input input_value new_value typed_text content tag_value key key_pressed keystrokes "
    "clipboard_content",
    "element": "element element_name control control_name ui_element label target field field_name "
    "object_name tag_label caption name id",
    "role": "role control_type element_type tag_type tag_name object_type element_role",
    "url": "url browser_url page_url address uri",
    "window": "window window_title title screen screen_title page page_title form",
    "case": "case case_id caseid case:concept:name session session_id recording_id trace_id",
}
# What tools call what was done.
_WORDS: dict[Meaning, str] = {
    "click": "click left_click leftclick mouse_click mouseclick single_click singleclick mouse_down "
    "mousedown tap press_button clickbutton clicklink click_button click_link clickcell",
    "double_click": "double_click doubleclick dblclick",
    "fill": "type typing text_input input fill change edit edit_field editfield set_text type_into "
    "enter_text keyboard_input text changefield",
    "select": "select select_item selectoption select_option choose",
    "check": "check tick",
    "uncheck": "uncheck untick",
    "key": "key keypress key_press keydown key_down hotkey press_key presskey send_hotkey",
    "goto": "navigate open_url goto navigation open_page openpage link open_browser",
}
_MEANINGS = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}
_KINDS: dict[Meaning, EventKind] = {
    "click": "click", "double_click": "double_click", "fill": "type", "key": "key", "ignore": "scroll",
    "check": "click", "uncheck": "click", "select": "click", "goto": "other",
}  # fmt: skip


class LogColumns(BaseModel):
    """``[ingest.ui_log]``: which column of an event log holds what; what is not named is guessed.

    Attributes:
        actions: What the values of the action column mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: str | None = None
    action: str | None = None
    element: str | None = None
    role: str | None = None
    value: str | None = None
    x: str | None = None
    y: str | None = None
    url: str | None = None
    window: str | None = None
    case: str | None = None
    actions: dict[str, Meaning] = Field(default_factory=dict)


class LogSettings(BaseModel):
    """``[ingest]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ui_log: LogColumns = LogColumns()


class LogRow(BaseModel):
    """One row of a log in the toolkit's words. ``time_s`` counts from 1970 or from the start."""

    model_config = ConfigDict(frozen=True)

    where: str
    meaning: Meaning
    told: str
    time_s: float | None = None
    x: float | None = None
    y: float | None = None
    value: str = ""
    element: str = ""
    role: str = ""
    url: str = ""
    window: str = ""
    case: str = ""

    @property
    def kind(self) -> EventKind:
        return _KINDS[self.meaning]


def plain(name: str) -> str:
    """A column's or action's name without what tools vary: case, spaces, dashes."""
    return re.sub(r"[\s\-./]+", "_", name.strip().lower()).strip("_")


def table(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a log, each by what names it in messages.

    Raises:
        InputError: when it is neither CSV nor JSON lines, or larger than anybody's work.
    """
    text = read_text(path, MAX_TEXT_BYTES)
    first = text.lstrip()[:1]
    if first == "{":
        return [(f"line {number}", row) for number, row in json_lines(text, path)]
    head = text[:8192].split("\n", 1)[0]
    delimiter = max(",;\t|", key=head.count)
    if not head.count(delimiter):
        raise InputError(f"{path}: its first line names no columns.", "Export it as CSV with a header.")
    rows: list[tuple[str, dict[str, Any]]] = []
    try:
        for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter):
            rows.append(
                (f"row {len(rows) + 2}", {key: value for key, value in row.items() if isinstance(key, str)})
            )
            if len(rows) > MAX_ROWS:
                raise InputError(f"{path}: more than {MAX_ROWS} rows.", "Export fewer sessions at once.")
    except csv.Error as error:
        raise InputError(f"{path}: row {len(rows) + 2} is no CSV: {error}.", "Export it again.") from error
    return rows


def mapping(columns: list[str], settings: LogColumns) -> dict[str, str]:
    """Which column holds what; a named one must be there.

    Raises:
        InputError: when a column that ``fde.toml`` names is not in the log.
    """
    found: dict[str, str] = {}
    by_plain = {plain(column): column for column in reversed(columns)}
    for meaning, names in _NAMES.items():
        told = getattr(settings, meaning)
        if told is not None:
            if told not in columns:
                raise InputError(
                    f"[ingest.ui_log] {meaning} names the column {told!r}, which is not in the log.",
                    f"Its columns are: {', '.join(columns)[:500]}",
                )
            found[meaning] = told
            continue
        column = next((by_plain[name] for name in names.split() if name in by_plain), None)
        if column is not None and column not in found.values():
            found[meaning] = column
    return found


def log_rows(path: Path, settings: LogColumns) -> list[LogRow]:
    """The rows of a log with known meanings.

    Raises:
        InputError: as of :func:`table` and :func:`mapping`, and when no column tells what was done.
    """
    rows = table(path)
    columns = list(dict.fromkeys(column for _, row in rows[:1000] for column in row))
    try:
        at = mapping(columns, settings)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.hint) from error
    if rows and "action" not in at:
        raise InputError(
            f"{path}: no column tells what was done; its columns are {', '.join(columns)[:300]}.",
            'Name it in fde.toml: [ingest.ui_log] action = "…"',
        )
    own = {plain(told): meaning for told, meaning in settings.actions.items()}
    return [_row(where, row, at, own) for where, row in rows]


def _row(where: str, row: Mapping[str, Any], at: dict[str, str], own: dict[str, Meaning]) -> LogRow:
    told = {meaning: word(row.get(column)).strip() for meaning, column in at.items()}
    action = plain(told.get("action", ""))
    value = told.get("value", "") or next(
        (word(row.get(name)) for name in ("text", "key", "value") if row.get(name)), ""
    )
    # A space is a key as well.
    raw = row.get(at.get("value", ""))
    value = raw if isinstance(raw, str) and raw and not raw.strip() else value
    return LogRow(
        where=where,
        meaning=own.get(action) or _MEANINGS.get(action, "ignore"),
        told=told.get("action", "")[:60],
        time_s=_seconds(told.get("time", ""), at.get("time", "")),
        x=_number(told.get("x", "")),
        y=_number(told.get("y", "")),
        value=value,
        element=told.get("element", ""),
        role=told.get("role", ""),
        url=told.get("url", ""),
        window=told.get("window", ""),
        case=told.get("case", ""),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if abs(value) < 1e6 else None


def _seconds(text: str, column: str) -> float | None:
    """A time as seconds: a number (thousandths where it can be nothing else), a clock, or a date."""
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        pass
    else:
        if abs(value) > 1e17:
            return value / 1e9
        milliseconds = abs(value) > 1e11 or plain(column).endswith(("_ms", "millis", "milliseconds"))
        return value / 1000 if milliseconds else value
    clock = re.fullmatch(r"(?:(\d{1,2}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,9})?)", text)
    if clock:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3].replace(",", "."))
    for form in (None, "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S:%f"):
        try:
            moment = datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None


def looks_like_log(head: bytes, path: Path) -> bool:
    """Whether a file's first lines are those of an event log; never raises."""
    try:
        text = head.decode("utf-8-sig", "ignore")
        first = text.lstrip().split("\n", 1)[0]
        if first.startswith("{"):
            row = json.loads(first)
            # Numbers stand for kinds of events in other formats.
            columns = list(row) if isinstance(row, dict) and not isinstance(row.get("type"), int) else []
        else:
            delimiter = max(",;\t|", key=first.count)
            columns = next(csv.reader([first.strip("\r")], delimiter=delimiter), [])
        at = mapping(columns, LogColumns())
    except (ValueError, RecursionError, csv.Error, InputError):
        return False
    return "action" in at and ("time" in at or "x" in at) and len(columns) >= 3
