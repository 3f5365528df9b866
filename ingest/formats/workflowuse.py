"""Workflows of browser-use's workflow-use, as its extension records or its builder writes them."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

from fde.errors import InputError
from ingest.action import Target
from ingest.formats.base import Read
from ingest.formats.selectors import ENTER_FRAME, Facts, of_css, of_xpath
from ingest.formats.steps import Locator, Script, ScriptStep, at, recording_of
from ingest.formats.texts import (
    MAX_YAML_BYTES,
    holds_object,
    objects,
    parse_json,
    parse_yaml,
    read_text,
    word,
)

# A page that opens within this time of an action was opened by it.
CAUSED_MS = 5_000
_LISTED = re.compile(rb"^steps:[ \t]*(#.*)?\r?$", re.M)
_NAMED = re.compile(rb"^(name|version|description|workflow_analysis|input_schema):", re.M)
_NOISE = {"scroll", "wait", "extract", "extract_page_content", "screenshot"}


class WorkflowUse:
    """Reads workflow-use's JSON and YAML."""

    name = "workflow-use"

    def recognises(self, path: Path, head: bytes) -> bool:
        def fits(value: dict[str, Any]) -> bool:
            steps = value.get("steps")
            return (
                isinstance(steps, list)
                and {"name", "version"} <= set(value)
                and all(isinstance(step, dict) and isinstance(step.get("type"), str) for step in steps)
            )

        marks = (rb'"steps"\s*:', rb'"name"\s*:', rb'"version"\s*:', rb'"type"\s*:')
        return holds_object(path, head, fits, marks) or _is_yaml(head)

    def scripts(self, path: Path) -> list[Script]:
        with path.open("rb") as handle:
            as_yaml = _is_yaml(handle.read(4096))
        text = read_text(path, MAX_YAML_BYTES) if as_yaml else read_text(path)
        flow = parse_yaml(text, path) if as_yaml else parse_json(text, path)
        if not isinstance(flow, dict):
            raise InputError(f"{path}: holds a {type(flow).__name__}, not a workflow.", "Export it again.")
        reader = _Workflow()
        for number, step in enumerate(objects(flow.get("steps"), path, "steps"), 1):
            reader.add(step, f"step {number}")
        description = word(flow.get("description"))
        script = Script(
            word(flow.get("name")),
            self.name,
            tuple(reader.steps),
            tuple(reader.lost),
            instruction=description,
        )
        return [script]

    def read(self, path: Path) -> Read:
        return Read([recording_of(script, path) for script in self.scripts(path)])


def _is_yaml(head: bytes) -> bool:
    text = head.removeprefix(codecs.BOM_UTF8)
    return bool(_LISTED.search(text) and _NAMED.search(text)) and not text.lstrip().startswith((b"{", b"["))


class _Workflow:
    def __init__(self) -> None:
        self.steps: list[ScriptStep] = []
        self.lost: list[str] = []
        self._began: float | None = None
        self._acted: float | None = None
        self._address = ""

    def add(self, step: dict[str, Any], where: str) -> None:
        told = step.get("timestamp")
        moment = float(told) if isinstance(told, int | float) and abs(told) < 1e15 else None
        if moment is not None and self._began is None:
            self._began = moment
        time_s = None if moment is None or self._began is None else max(0.0, moment - self._began) / 1000
        kind = word(step.get("type"))
        if kind in ("navigation", "navigate", "go_to_url", "open_tab"):
            self._navigation(step, where, moment, time_s)
        elif kind in _NOISE:
            if kind.startswith("extract"):
                self.lost.append(f"{where}: what was read off the page is no action and was left out.")
        elif kind == "done":
            return
        else:
            made = self._made(kind, step, where)
            if made is not None:
                self.steps.append(at(made, time_s))
                self._acted = moment

    def _navigation(
        self, step: dict[str, Any], where: str, moment: float | None, time_s: float | None
    ) -> None:
        """A page that an action opened, or that was told again, is no step of its own."""
        url = word(step.get("url"))
        caused = (
            moment is not None and self._acted is not None and 0 <= moment - self._acted < CAUSED_MS
        ) or (moment is not None and url == self._address)
        self._address = url
        if not caused:
            page = word(step.get("tabId"))
            self.steps.append(at(ScriptStep("goto", where, value=url, page=page), time_s))

    def _made(self, kind: str, step: dict[str, Any], where: str) -> ScriptStep | None:
        page = word(step.get("tabId"))
        if kind == "key_press":
            return ScriptStep("press", where, _locator(step, ""), word(step.get("key")), page=page)
        if kind == "click":
            return ScriptStep("click", where, _locator(step, ""), page=page)
        if kind == "radio":
            chosen = word(step.get("selectedOption"))
            return ScriptStep("check", where, _locator({**step, "targetText": chosen}, "radio"), page=page)
        if kind == "checkbox":
            verb = "check" if step.get("checked") in (True, "true", None) else "uncheck"
            return ScriptStep(
                "check" if verb == "check" else "uncheck", where, _locator(step, "checkbox"), page=page
            )
        if kind in ("input", "input_text"):
            value = word(step.get("value")) or word(step.get("default_value"))
            return ScriptStep("fill", where, _locator(step, "textbox"), value, page=page)
        if kind in ("select", "select_change", "select_option"):
            value = (
                word(step.get("selectedText")) or word(step.get("selectedOption")) or word(step.get("value"))
            )
            return ScriptStep("select", where, _locator(step, "combobox"), value, by="label", page=page)
        if kind == "agent":
            self.lost.append(f"{where}: work left to an agent ({word(step.get('task'))[:80]}) is no action.")
        else:
            self.lost.append(f"{where}: {kind[:40]} has no action of its own and was left out.")
        return None


def _locator(step: dict[str, Any], role: str) -> Locator:
    path = word(step.get("frameIdPath"))
    frames = path.split(".")[1:] if re.fullmatch(r"\d{1,3}(\.\d{1,3}){0,9}", path) else []
    inside = "".join(f"css=iframe,frame >> nth={index} >> {ENTER_FRAME} >> " for index in frames)
    css, xpath = word(step.get("cssSelector")), word(step.get("xpath"))
    label = word(step.get("targetText")) or word(step.get("target_text")) or word(step.get("fieldName"))
    facts = Facts(tag=word(step.get("elementTag")).lower(), text=word(step.get("elementText"))[:200])
    if label:
        facts.attributes["label"] = " ".join(label.split())
    ways: list[str | Target] = []
    if css:
        ways.append(f"{inside}css={css}")
        facts = facts.add(of_css(css))
    if xpath:
        rooted = xpath if xpath.startswith(("/", "(", "id(")) else f"//{xpath}"
        ways.append(f"{inside}xpath={rooted}")
        facts = facts.add(of_xpath(xpath))
    if label:
        ways.append(Target(role=role, name=facts.attributes["label"]))
        quoted = label.replace("\\", "\\\\").replace('"', '\\"')
        ways.append(f'{inside}css=[id="{quoted}"],[name="{quoted}"]')
    if role and not facts.attributes.get("role"):
        facts.attributes["role"] = role
    return facts.locator(ways, hint=css or xpath)
