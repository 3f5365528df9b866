"""Recordings of the Recorder panel of Chrome's developer tools, in their JSON export."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ingest.action import Target
from ingest.formats.base import Read
from ingest.formats.selectors import ENTER_FRAME, Facts, of_css, of_xpath
from ingest.formats.steps import Locator, Script, ScriptStep, recording_of
from ingest.formats.texts import holds_object, objects, parse_json, read_text, word

_TYPES = {
    "change",
    "click",
    "close",
    "customStep",
    "doubleClick",
    "emulateNetworkConditions",
    "hover",
    "keyDown",
    "keyUp",
    "navigate",
    "scroll",
    "setViewport",
    "waitForElement",
    "waitForExpression",
}
_NOISE = {"keyUp", "scroll", "setViewport", "emulateNetworkConditions", "waitForElement"}
_MODIFIERS = {"Control", "Shift", "Alt", "Meta", "AltGraph"}
_ARIA = re.compile(r"""aria/(?P<name>.*?)(?:\[role="(?P<role>[a-z]+)"\])?$""", re.S)


class ChromeRecording:
    """Reads what the Recorder panel exports as JSON."""

    name = "chrome-recorder"

    def recognises(self, path: Path, head: bytes) -> bool:
        def fits(value: dict[str, Any]) -> bool:
            steps = value.get("steps")
            return isinstance(steps, list) and all(
                isinstance(step, dict) and word(step.get("type")) in _TYPES for step in steps
            )

        return holds_object(path, head, fits, (rb'"steps"\s*:', rb'"type"\s*:\s*"(setViewport|navigate)"'))

    def scripts(self, path: Path) -> list[Script]:
        flow = parse_json(read_text(path), path)
        steps: list[ScriptStep] = []
        lost: list[str] = []
        held: set[str] = set()
        for number, step in enumerate(objects(flow.get("steps"), path, "steps"), 1):
            where = f"step {number}"
            made = _step(step, where, held, lost)
            if made is not None:
                steps.append(made)
        title = word(flow.get("title"))
        return [Script(title, self.name, tuple(steps), tuple(lost))]

    def read(self, path: Path) -> Read:
        return Read([recording_of(script, path) for script in self.scripts(path)])


def _step(step: dict[str, Any], where: str, held: set[str], lost: list[str]) -> ScriptStep | None:
    kind = word(step.get("type"))
    target = word(step.get("target"))
    page = "" if target == "main" else target
    if kind in ("keyDown", "keyUp") and word(step.get("key")) in _MODIFIERS:
        (held.add if kind == "keyDown" else held.discard)(word(step.get("key")))
        return None
    if kind in _NOISE:
        return None
    if kind == "navigate":
        return ScriptStep("goto", where, value=word(step.get("url")), page=page)
    if kind == "keyDown":
        key = word(step.get("key"))
        if held - {"Shift"}:
            lost.append(f"{where}: the key combination {'+'.join([*sorted(held), key])} was left out.")
            return None
        return ScriptStep("press", where, value=key, page=page)
    if kind in ("click", "doubleClick"):
        if word(step.get("button", "primary")) != "primary":
            lost.append(f"{where}: a click with the {word(step.get('button'))} button was left out.")
            return None
        if kind == "doubleClick":
            lost.append(f"{where}: a double click is taken as a click.")
        return ScriptStep("click", where, _locator(step), page=page)
    if kind == "change":
        locator = _locator(step)
        verb = "select" if locator.role in ("combobox", "listbox") else "fill"
        return ScriptStep(
            "select" if verb == "select" else "fill", where, locator, word(step.get("value")), page=page
        )
    lost.append(f"{where}: {kind} has no action of its own and was left out.")
    return None


def _locator(step: dict[str, Any]) -> Locator:
    """The alternatives in their order; facts from all of them."""
    inside = "".join(
        f"css=iframe,frame >> nth={index} >> {ENTER_FRAME} >> "
        for index in (step["frame"] if isinstance(step.get("frame"), list) else [])
        if isinstance(index, int) and 0 <= index < 1000
    )
    facts = Facts()
    ways: list[str | Target] = []
    given = step.get("selectors")
    for alternative in given if isinstance(given, list) else [given]:
        parts = [word(part) for part in (alternative if isinstance(alternative, list) else [alternative])]
        if not parts or not all(parts):
            continue
        last = parts[-1]
        aria = _ARIA.match(last)
        if aria:
            name = " ".join(aria["name"].split())
            if not inside:
                ways.append(Target(role=aria["role"] or "", name=name))
            facts = Facts(
                facts.tag,
                facts.text,
                {"aria-label": name, **({"role": aria["role"]} if aria["role"] else {}), **facts.attributes},
            )
            continue
        ways.append(inside + " >> ".join(_playwright(part) for part in parts if not part.startswith("aria/")))
        facts = facts.add(_facts(last))
    return facts.locator(ways, hint=next((str(way) for way in ways if isinstance(way, str)), ""))


def _playwright(part: str) -> str:
    if part.startswith("xpath/"):
        return f"xpath={part[6:]}"
    if part.startswith("text/"):
        return f"text={part[5:]}"
    return f"css={part.removeprefix('pierce/')}"


def _facts(part: str) -> Facts:
    if part.startswith("xpath/"):
        return of_xpath(part[6:])
    if part.startswith("text/"):
        return Facts(text=part[5:])
    return of_css(part.removeprefix("pierce/"))
