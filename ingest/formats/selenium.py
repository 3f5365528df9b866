"""Projects of Selenium IDE (``.side``): every test is a recording."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin

from fde.errors import InputError
from ingest.action import Target
from ingest.formats.base import Read
from ingest.formats.selectors import ENTER_FRAME, Facts, of_css, of_xpath
from ingest.formats.steps import Locator, Script, ScriptStep, recording_of
from ingest.formats.texts import holds_object, objects, parse_json, read_text, word

MAX_TESTS = 1000
MAX_STEPS = 20_000
MAX_RUN_DEPTH = 5
# They do nothing to a page, or only what belongs to a click that is told as well.
_NOISE = re.compile(
    r"(set window size|setWindowSize|set speed|setSpeed|mouse\w+|pause|echo|debugger|close|wait\w*|"
    r"choose\w+|webdriver\w+|)$"
)
_CHECKS = re.compile(r"(assert|verify|store)\w*$")
_FLOW = {"if", "elseIf", "else", "end", "while", "times", "do", "repeatIf", "forEach"}
_KEY = re.compile(r"\$\{KEY_([A-Z_0-9]+)\}")
_KEYS = {
    "ENTER": "Enter",
    "RETURN": "Enter",
    "ESC": "Escape",
    "ESCAPE": "Escape",
    "BKSP": "Backspace",
    "BACKSPACE": "Backspace",
    "DEL": "Delete",
    "DELETE": "Delete",
    "TAB": "Tab",
    "SPACE": " ",
    "UP": "ArrowUp",
    "DOWN": "ArrowDown",
    "LEFT": "ArrowLeft",
    "RIGHT": "ArrowRight",
    "HOME": "Home",
    "END": "End",
    "PGUP": "PageUp",
    "PAGE_UP": "PageUp",
    "PGDN": "PageDown",
    "PAGE_DOWN": "PageDown",
}


class SeleniumProject:
    """Reads Selenium IDE's project files, versions 1 to 3."""

    name = "selenium-ide"

    def recognises(self, path: Path, head: bytes) -> bool:
        def fits(value: dict[str, Any]) -> bool:
            tests = value.get("tests")
            return (
                isinstance(tests, list)
                and ("suites" in value or bool(tests))
                and all(isinstance(test, dict) and "commands" in test for test in tests)
            )

        return holds_object(path, head, fits, (rb'"tests"\s*:\s*\[', rb'"commands"\s*:\s*\['))

    def scripts(self, path: Path) -> list[Script]:
        project = parse_json(read_text(path), path)
        tests = objects(project.get("tests"), path, "tests")
        if len(tests) > MAX_TESTS:
            raise InputError(f"{path}: {len(tests)} tests; at most {MAX_TESTS} are read.")
        by_name = {word(test.get("name")): test for test in tests}
        found = []
        for number, test in enumerate(tests, 1):
            reader = _Test(path, word(project.get("url")), by_name)
            reader.run(test, word(test.get("name")) or f"test {number}", 0)
            found.append(
                Script(
                    word(test.get("name")) or word(project.get("name")),
                    self.name,
                    tuple(reader.steps),
                    tuple(reader.lost),
                )
            )
        return found

    def read(self, path: Path) -> Read:
        return Read([recording_of(script, path) for script in self.scripts(path)])


class _Test:
    """Follows the commands of one test; variables that it stores itself are put in."""

    def __init__(self, path: Path, base: str, tests: dict[str, dict[str, Any]]) -> None:
        self.path, self.base, self.tests = path, base, tests
        self.steps: list[ScriptStep] = []
        self.lost: list[str] = []
        self.frames: list[str] = []
        self.page = ""
        self.variables: dict[str, str] = {}

    def run(self, test: dict[str, Any], name: str, depth: int) -> None:
        for number, command in enumerate(objects(test.get("commands"), self.path, f"{name}: commands"), 1):
            if len(self.steps) > MAX_STEPS:
                raise InputError(f"{self.path}: {name}: more than {MAX_STEPS} steps.")
            where = f"{name}, command {number}"
            try:
                self._command(command, where, depth)
            except ValueError as error:  # an address that is none
                self.lost.append(f"{where}: left out: {error}")

    def _command(self, command: dict[str, Any], where: str, depth: int) -> None:
        kind = word(command.get("command"))
        value, target = self._put_in(word(command.get("value"))), self._put_in(word(command.get("target")))
        if kind.startswith("//") or _NOISE.match(kind):
            return
        if kind == "open":
            self.frames = []
            self.steps.append(ScriptStep("goto", where, value=urljoin(self.base, target), page=self.page))
        elif kind == "selectFrame":
            self._frame(target)
        elif kind == "selectWindow":
            self.page, self.frames = target, []
        elif kind == "store":
            self.variables[value] = target
        elif kind == "run" and target in self.tests and depth < MAX_RUN_DEPTH:
            self.run(self.tests[target], target, depth + 1)
        elif kind in ("click", "clickAt", "doubleClick", "doubleClickAt"):
            if kind.startswith("double"):
                self.lost.append(f"{where}: a double click is taken as a click.")
            self._add("click", where, command, target)
        elif kind in ("check", "uncheck"):
            self._add("check" if kind == "check" else "uncheck", where, command, target)
        elif kind in ("type", "editContent"):
            self._add("fill", where, command, target, value)
        elif kind == "sendKeys":
            self._send(where, command, target, value)
        elif kind in ("select", "addSelection", "removeSelection"):
            by, option = _option(value)
            self._add("select", where, command, target, option, by)
        elif kind == "submit":
            self.steps.append(
                ScriptStep("press", where, self._locator(command, target), "Enter", page=self.page)
            )
            self.lost.append(f"{where}: a form sent by the tool is taken as Enter.")
        elif kind in _FLOW:
            self.lost.append(
                "Conditions and loops are not followed: their commands stand once, in their order."
            )
        elif _CHECKS.match(kind):
            self.lost.append("Checks and stored values of the test are no actions and were left out.")
        else:
            self.lost.append(f"{where}: {kind[:60]} was left out.")

    def _put_in(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: self.variables.get(match[1], match[0]), text)

    def _add(
        self,
        verb: Literal["click", "fill", "select", "check", "uncheck"],
        where: str,
        command: dict[str, Any],
        target: str,
        value: str | None = None,
        by: Literal["label", "value", "index", "any"] = "any",
    ) -> None:
        self.steps.append(
            ScriptStep(verb, where, self._locator(command, target), value, by=by, page=self.page)
        )

    def _send(self, where: str, command: dict[str, Any], target: str, value: str) -> None:
        """Keys go into a field as it is: text is added to what an earlier command typed."""
        locator = self._locator(command, target)
        for i, part in enumerate(_KEY.split(value)):
            if i % 2:
                if part in _KEYS:
                    self.steps.append(ScriptStep("press", where, locator, _KEYS[part], page=self.page))
                else:
                    self.lost.append(f"{where}: the key {part} was left out.")
            elif part:
                last = self.steps[-1] if self.steps else None
                typed = (
                    last.value or "" if last and last.verb == "fill" and locator.same_as(last.locator) else ""
                )
                self.steps.append(ScriptStep("fill", where, locator, typed + part, page=self.page))

    def _frame(self, target: str) -> None:
        kind, _, name = target.partition("=")
        if target == "relative=parent":
            self.frames = self.frames[:-1]
        elif target == "relative=top":
            self.frames = []
        elif kind == "index" and name.isdigit():
            self.frames.append(f"css=iframe,frame >> nth={name[:4]} >> {ENTER_FRAME} >> ")
        else:
            self.frames.append(f"{_way(target)[0]} >> {ENTER_FRAME} >> ")

    def _locator(self, command: dict[str, Any], target: str) -> Locator:
        given = command.get("targets")
        others = [
            self._put_in(word(pair[0]))
            for pair in (given if isinstance(given, list) else [])
            if isinstance(pair, list) and pair and isinstance(pair[0], str)
        ]
        inside = "".join(self.frames)
        ways: list[str | Target] = []
        facts = Facts()
        for locator in dict.fromkeys([target, *others]):
            if locator:
                selector, more = _way(locator)
                ways.append(inside + selector)
                facts = facts.add(more)
        return facts.locator(ways, hint=target)


def _way(locator: str) -> tuple[str, Facts]:
    """A locator of Selenium's as a selector of Playwright's, and what it tells."""
    kind, _, rest = locator.partition("=")
    if locator.startswith(("//", "(/")):
        return f"xpath={locator}", of_xpath(locator)
    if kind == "xpath":
        return f"xpath={rest}", of_xpath(rest)
    if kind in ("id", "name", "identifier"):
        attribute = "name" if kind == "name" else "id"
        quoted = rest.replace("\\", "\\\\").replace('"', '\\"')
        return f'css=[{attribute}="{quoted}"]', Facts(attributes={attribute: rest})
    if kind in ("linkText", "partialLinkText", "link"):
        quoted = rest.removeprefix("exact:").replace('"', '\\"')
        engine = "has-text" if kind == "partialLinkText" else "text-is"
        return f'css=a:{engine}("{quoted}")', Facts(tag="a", text=rest)
    if kind == "css":
        return f"css={rest}", of_css(rest)
    return f'css=[id="{locator}"]', Facts(attributes={"id": locator})


def _option(value: str) -> tuple[Literal["label", "value", "index", "any"], str]:
    kind, found, rest = value.partition("=")
    if found and kind == "label":
        return "label", rest.removeprefix("exact:")
    if found and kind == "value":
        return "value", rest
    if found and kind == "index":
        return "index", rest
    return ("any", rest) if found and kind == "id" else ("label", value)
