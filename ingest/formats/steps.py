"""Steps that a format tells without pages: where each was aimed, as far as the format says.

Test tools and browser extensions write down selectors, not pages. An importer of such a
format makes a :class:`Script`; :func:`recording_of` makes a recording of actions alone,
and :mod:`ingest.replay` carries the script out to harvest the pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from fde.artifacts import digest
from ingest.action import Action, Target
from ingest.effects import MASK, Secrets
from ingest.formats.base import Read
from ingest.recording import RecordedStep, Recording

MAX_WARNINGS = 60
NO_PAGES = (
    "Actions only: this format holds no pages. Harvest them with: fde ingest recordings FILE --replay URL"
)
# How the warning of a replay begins that could not be carried out to its end.
ENDED_EARLY = "The replay ended early: "
StepVerb = Literal["click", "fill", "select", "check", "uncheck", "press", "goto"]
_ROLES: dict[str, str] = {
    "click": "clickable",
    "fill": "textbox",
    "select": "combobox",
    "check": "checkbox",
    "uncheck": "checkbox",
}
_NOT_BY_ITSELF = {"Tab", "Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock"}
_PARAMETER = re.compile(r"\$?\{[A-Za-z_][A-Za-z0-9_.]*\}")


@dataclass(frozen=True)
class Locator:
    """Where a step was aimed.

    Attributes:
        ways: What finds the element, best first: a selector of Playwright's, or a target by
            role and name (the role is empty where the format does not tell it).
        role: The element's role, as far as the format tells.
        name: Its accessible name; None when the format does not tell it.
        hint: What stands for a name that is not told: an id, or the selector.
        nth: Which of equals, from 1.
        row: The name of the table row around it.
    """

    ways: tuple[str | Target, ...] = ()
    role: str = ""
    name: str | None = None
    hint: str = ""
    nth: int = 1
    row: str | None = None
    secret: bool = False

    def same_as(self, other: Locator | None) -> bool:
        """Whether both certainly mean one element."""
        return other is not None and bool(set(map(str, self.ways)) & set(map(str, other.ways)))


@dataclass(frozen=True)
class ScriptStep:
    """One step. ``where`` names it in messages; ``value`` is text, option, key or address.

    Attributes:
        by: What ``value`` names a select's option by; ``any`` when the format does not tell.
        page: Which tab, where the format tells them apart.
        time_s: Seconds since the script's first step.
    """

    verb: StepVerb
    where: str
    locator: Locator | None = None
    value: str | None = None
    by: Literal["label", "value", "index", "any"] = "any"
    page: str = ""
    time_s: float | None = None

    @property
    def parameters(self) -> list[str]:
        """The placeholders in its value, as they are written."""
        return _PARAMETER.findall(self.value or "") if self.verb in ("fill", "select", "goto") else []


@dataclass(frozen=True)
class Script:
    """A session as a format without pages tells it."""

    title: str
    source_format: str
    steps: tuple[ScriptStep, ...]
    warnings: tuple[str, ...] = ()
    instruction: str = ""
    recorded_at: str | None = None


@runtime_checkable
class ScriptImporter(Protocol):
    """Reads a format that tells steps without pages."""

    name: str

    def recognises(self, path: Path, head: bytes) -> bool: ...

    def scripts(self, path: Path) -> list[Script]:
        """The scripts of the file.

        Raises:
            InputError: naming the file, what is wrong with it and where.
        """
        ...

    def read(self, path: Path) -> Read: ...


def tidy(steps: Iterable[ScriptStep]) -> tuple[ScriptStep, ...]:
    """What a person would name: a click into a field that is then filled is no step of its own,
    typing told bit by bit is one fill, and keys that only move the focus are none."""
    kept: list[ScriptStep] = []
    for step in steps:
        if step.verb == "press" and (step.value or "") in _NOT_BY_ITSELF:
            continue
        last = kept[-1] if kept else None
        if last is not None and last.locator is not None and last.locator.same_as(step.locator):
            into = last.verb == "click" and step.verb in ("fill", "select", "check", "uncheck")
            again = last.verb == step.verb == "fill"
            if into or again:
                kept.pop()
        kept.append(step)
    return tuple(kept)


def recording_of(script: Script, path: Path) -> Recording:
    """A script as a recording of actions alone, saying what could not be told."""
    steps, lost = [], []
    for step in tidy(script.steps):
        action, secret, warning = _action(step)
        if warning:
            lost.append(warning)
        steps.append(RecordedStep(before=None, action=action, after=None, time_s=step.time_s, masked=secret))
    warnings = [NO_PAGES, *script.warnings, *lost]
    if not steps:
        warnings.insert(1, "It holds nothing that a person did to a page.")
    workflow = slug(script.title) or slug(path.stem) or "workflow"
    made = Recording(
        id="",
        workflow=workflow,
        instruction=script.instruction or script.title,
        source_format=script.source_format,
        recorded_at=script.recorded_at,
        steps=tuple(steps),
        warnings=limited(warnings),
    )
    return made.model_copy(update={"id": f"{workflow}-{digest(made.model_dump(mode='json'))[:8]}"})


def limited(warnings: Iterable[str]) -> tuple[str, ...]:
    """Each warning once, and not more than can be read."""
    unique = list(dict.fromkeys(warnings))
    if len(unique) <= MAX_WARNINGS:
        return tuple(unique)
    return (*unique[: MAX_WARNINGS - 1], f"And {len(unique) - MAX_WARNINGS + 1} more of these.")


def slug(text: str) -> str:
    """A name as it can stand in a path and on a command line."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")


def _action(step: ScriptStep) -> tuple[Action, bool, str]:
    """The canonical action, whether its value was hidden, and a warning where something is a guess."""
    if step.locator is None or step.verb in ("goto", "press"):
        value = Secrets().mask_url(step.value or "") if step.verb == "goto" else step.value
        return Action(verb=step.verb, value=value or ""), False, _placeholders(step)
    told = step.locator
    name = told.name if told.name is not None else told.hint
    role = told.role or _ROLES[step.verb]
    action = Action(
        verb=step.verb, target=Target(role=role, name=name, nth=told.nth, row=told.row), value=step.value
    )
    warning = _placeholders(step)
    if told.name is None:
        warning = f"{step.where}: the element's name is not told; {name[:120]!r} stands for it."
    secret = step.verb == "fill" and (told.secret or Secrets().hides(name, step.value or ""))
    if secret and step.value:
        action = action.model_copy(update={"value": MASK})
    return action, secret and bool(step.value), warning


def _placeholders(step: ScriptStep) -> str:
    names = step.parameters
    return f"{step.where}: {', '.join(names)} stands for a value that is not told." if names else ""


def at(step: ScriptStep, time_s: float | None) -> ScriptStep:
    """The step with the time at which it was done."""
    return step if time_s is None else replace(step, time_s=round(time_s, 3))
