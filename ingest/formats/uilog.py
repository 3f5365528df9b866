"""User-interface logs of task-mining tools, exported as CSV or JSON lines: actions by name, no pages."""

from __future__ import annotations

import re
from pathlib import Path

from fde.errors import InputError
from ingest.action import Target
from ingest.formats.base import Read
from ingest.formats.eventlog import LogColumns, LogRow, log_rows, looks_like_log
from ingest.formats.steps import Locator, Script, ScriptStep, recording_of
from ingest.screens.events import key_name

MAX_CASES = 2_000
# What tools and accessibility interfaces call kinds of elements.
_ROLES = {
    "button": "button", "pushbutton": "button", "splitbutton": "button", "submit": "button", "a": "link",
    "hyperlink": "link", "link": "link", "edit": "textbox", "editable_text": "textbox", "textbox": "textbox",
    "text_field": "textbox", "textfield": "textbox", "textarea": "textbox", "document": "textbox",
    "combobox": "combobox", "combo_box": "combobox", "dropdown": "combobox", "select": "combobox",
    "listbox": "listbox", "checkbox": "checkbox", "check_box": "checkbox", "radiobutton": "radio",
    "radio_button": "radio", "radio": "radio", "menuitem": "menuitem", "menu_item": "menuitem", "tab": "tab",
    "tabitem": "tab", "treeitem": "treeitem", "listitem": "option", "option": "option",
}  # fmt: skip


class UiLog:
    """Reads logs whose columns ``[ingest.ui_log]`` names, or whose names are the usual ones."""

    name = "ui-log"

    def __init__(self, columns: LogColumns | None = None) -> None:
        self.columns = columns or LogColumns()

    def recognises(self, path: Path, head: bytes) -> bool:
        if looks_like_log(head, path):
            return True
        first = head.decode("utf-8-sig", "ignore").lstrip().split("\n", 1)[0]
        names = [name.strip().strip('"') for name in re.split(r"[,;\t|]", first)]
        return self.columns.action in names

    def scripts(self, path: Path) -> list[Script]:
        cases: dict[str, list[LogRow]] = {}
        for row in log_rows(path, self.columns):
            cases.setdefault(row.case, []).append(row)
            if len(cases) > MAX_CASES:
                raise InputError(f"{path}: more than {MAX_CASES} cases.", "Export fewer sessions at once.")
        return [_script(rows, self.name) for rows in cases.values()]

    def read(self, path: Path) -> Read:
        return Read([recording_of(script, path) for script in self.scripts(path)])


def _script(rows: list[LogRow], source_format: str) -> Script:
    steps: list[ScriptStep] = []
    lost: list[str] = []
    start = next((row.time_s for row in rows if row.time_s is not None), None)
    for row in rows:
        step = _step(row, lost)
        if step is not None:
            since = None if row.time_s is None or start is None else round(max(0.0, row.time_s - start), 3)
            steps.append(ScriptStep(**{**step.__dict__, "time_s": since}))
    return Script("", source_format, tuple(steps), tuple(lost))


def _step(row: LogRow, lost: list[str]) -> ScriptStep | None:
    if row.meaning == "ignore":
        if row.told:
            lost.append(f"Rows of the kind {row.told!r} are no actions and were left out.")
        return None
    if row.meaning == "goto":
        return ScriptStep("goto", row.where, value=row.url or row.value) if row.url or row.value else None
    if row.meaning == "key":
        key = key_name(row.value)
        return None if key is None else ScriptStep("press", row.where, value=key)
    role = _ROLES.get(re.sub(r"[\s\-]+", "_", row.role.strip().lower()).removeprefix("controltype."), "")
    if not row.element:
        where = f" at ({row.x:.0f}, {row.y:.0f})" if row.x is not None and row.y is not None else ""
        lost.append(f"{row.where}: {row.told}{where} on an element without a name was left out.")
        return None
    name = " ".join(row.element.split())[:300]
    locator = Locator(ways=(Target(role=role, name=name),), role=role, name=name)
    if row.meaning == "double_click":
        lost.append(f"{row.where}: a double click is taken as a click.")
    if row.meaning in ("click", "double_click"):
        ticked = role in ("checkbox", "radio")
        if ticked and row.value.lower() in ("false", "off", "unchecked", "0"):
            return ScriptStep("uncheck", row.where, locator)
        return ScriptStep("check" if ticked else "click", row.where, locator)
    if row.meaning in ("check", "uncheck"):
        return ScriptStep("check" if row.meaning == "check" else "uncheck", row.where, locator)
    chosen = row.meaning == "select" or role in ("combobox", "listbox")
    return ScriptStep("select" if chosen else "fill", row.where, locator, row.value, by="label")
