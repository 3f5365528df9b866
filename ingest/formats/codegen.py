"""Recordings of Playwright's code generator, in its ``jsonl`` target: an action a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from ingest.formats.base import Read
from ingest.formats.selectors import of_playwright
from ingest.formats.steps import Locator, Script, ScriptStep, recording_of
from ingest.formats.texts import json_lines, read_text, word

_ACTIONS = {
    "assertChecked",
    "assertSnapshot",
    "assertText",
    "assertValue",
    "assertVisible",
    "check",
    "click",
    "closePage",
    "fill",
    "hover",
    "navigate",
    "openPage",
    "press",
    "select",
    "setInputFiles",
    "uncheck",
}
_HEADER = {"browserName", "launchOptions", "contextOptions"}
_CONTROL, _ALT, _META = 2, 1, 4
SHORTENED = (
    "The code generator shortens names where a part is enough to find the element; a replay tells them whole."
)


class CodegenRecording:
    """Reads ``playwright codegen --target=jsonl``."""

    name = "playwright-codegen"

    def recognises(self, path: Path, head: bytes) -> bool:
        first = head.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
        try:
            value = json.loads(first)
        except (ValueError, RecursionError):
            return first.startswith((b'{"browserName":', b'{"name":"openPage"', b'{"name":"navigate"'))
        if not isinstance(value, dict):
            return False
        return set(value) >= _HEADER or (
            word(value.get("name")) in _ACTIONS and ("signals" in value or "url" in value)
        )

    def scripts(self, path: Path) -> list[Script]:
        steps: list[ScriptStep] = []
        lost: list[str] = []
        for number, action in json_lines(read_text(path), path):
            if "name" in action:
                steps.extend(
                    step
                    for step in _steps(action, f"line {number}", lost)
                    if not (steps and _opened_by(steps[-1], step))
                )
        if any(step.locator is not None and step.locator.name for step in steps):
            lost.insert(0, SHORTENED)
        return [Script("", self.name, tuple(steps), tuple(lost))]

    def read(self, path: Path) -> Read:
        return Read([recording_of(script, path) for script in self.scripts(path)])


def _steps(action: dict[str, Any], where: str, lost: list[str]) -> list[ScriptStep]:
    kind = word(action.get("name"))
    page = word(action.get("pageAlias")) or word(action.get("pageGuid"))
    if kind in ("openPage", "navigate"):
        url = word(action.get("url"))
        blank = url in ("", "about:blank", "chrome://newtab/")
        return [] if blank else [ScriptStep("goto", where, value=url, page=page)]
    if kind == "closePage":
        return []
    if kind not in _ACTIONS or kind.startswith("assert") or kind == "hover":
        lost.append(
            f"{where}: {kind[:40] or 'a line without a name'} has no action of its own and was left out."
        )
        return []
    locator = _locator(action)
    if kind == "click":
        if action.get("button", "left") != "left":
            lost.append(f"{where}: a click with the {word(action.get('button'))} button was left out.")
            return []
        if action.get("clickCount", 1) != 1:
            lost.append(f"{where}: a double click is taken as a click.")
        if action.get("modifiers"):
            lost.append(f"{where}: the keys held during a click were left out.")
        return [ScriptStep("click", where, locator, page=page)]
    if kind == "press":
        modifiers = action.get("modifiers", 0)
        if isinstance(modifiers, int) and modifiers & (_CONTROL | _ALT | _META):
            lost.append(f"{where}: a key combination with {word(action.get('key'))} was left out.")
            return []
        return [ScriptStep("press", where, locator, word(action.get("key")), page=page)]
    if kind == "select":
        options = action.get("options")
        names = [word(option) for option in options] if isinstance(options, list) else []
        return [ScriptStep("select", where, locator, name, page=page) for name in names]
    if kind == "setInputFiles":
        files = action.get("files")
        name = ", ".join(Path(word(file)).name for file in files) if isinstance(files, list) else ""
        chosen = Locator(**{**locator.__dict__, "role": "button"})
        return [ScriptStep("fill", where, chosen, name, page=page)]
    if kind in ("check", "uncheck"):
        return [ScriptStep("check" if kind == "check" else "uncheck", where, locator, page=page)]
    return [ScriptStep("fill", where, locator, word(action.get("text")), page=page)]


def _opened_by(last: ScriptStep, step: ScriptStep) -> bool:
    """Whether a page opened because of a choice: the generator then tells its address as well."""
    return (
        last.verb == "select"
        and step.verb == "goto"
        and bool(last.value)
        and (last.value or "") in unquote_plus(step.value or "")
    )


def _locator(action: dict[str, Any]) -> Locator:
    return of_playwright(word(action.get("selector")))
