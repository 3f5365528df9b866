"""What an expert or an agent does to a page, in its canonical one-line text form.

::

    click link "INV-4821"
    click button "Open" in row "INV-4821 Acme"
    fill textbox "Cost center": CC-100
    select combobox "Terms": Net 30
    check checkbox "Paid"
    press Enter
    goto http://127.0.0.1:8000/
    done
    done "answer text"

``#2`` after the name picks the second of equals.
"""

from __future__ import annotations

import json
import re
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from fde.errors import InputError
from ingest.snapshot import Node, quote_value

Verb = Literal["click", "fill", "select", "check", "uncheck", "press", "goto", "done"]
VERBS: tuple[str, ...] = get_args(Verb)
CLICKABLE_ROLES = frozenset(
    {"link", "button", "clickable", "tab", "menuitem", "radio", "option", "checkbox", "switch", "treeitem"}
)
FILLABLE_ROLES = frozenset({"textbox", "searchbox", "spinbutton"})
SELECTABLE_ROLES = frozenset({"combobox", "listbox"})
CHECKABLE_ROLES = frozenset({"checkbox", "radio", "switch"})

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TARGETED = re.compile(
    rf"(?P<verb>click|fill|select|check|uncheck) (?P<role>[a-z]+) (?P<name>{_QUOTED})"
    rf"(?: #(?P<nth>[1-9][0-9]*))?(?: in row (?P<row>{_QUOTED}))?(?:: ?(?P<value>.*))?"
)
_PLAIN = re.compile(rf"(?P<verb>press|goto|done)(?: (?P<value>{_QUOTED}|\S.*))?")


class Target(BaseModel):
    """An element by role and accessible name; ``nth`` counts equals from 1."""

    model_config = ConfigDict(frozen=True)

    role: str
    name: str
    nth: int = 1
    row: str | None = None

    def text(self) -> str:
        parts = [self.role, json.dumps(self.name, ensure_ascii=False)]
        if self.nth > 1:
            parts.append(f"#{self.nth}")
        if self.row is not None:
            parts.append("in row " + json.dumps(self.row, ensure_ascii=False))
        return " ".join(parts)


class Action(BaseModel):
    """One action. ``value`` is the text filled, option chosen, key, address or answer."""

    model_config = ConfigDict(frozen=True)

    verb: Verb
    target: Target | None = None
    value: str | None = None

    def text(self) -> str:
        """The canonical one-line form."""
        if self.target is not None:
            head = f"{self.verb} {self.target.text()}"
            return head if self.value is None else f"{head}: {quote_value(self.value)}"
        if self.value is None:
            return self.verb
        if self.verb == "done":
            return f"done {json.dumps(self.value, ensure_ascii=False)}"
        return f"{self.verb} {self.value}"

    @classmethod
    def parse(cls, text: str) -> Action:
        """Read the canonical form.

        Raises:
            InputError: when the line is not an action; the message says what is expected.
        """
        line = text.strip()
        match = _TARGETED.fullmatch(line)
        if match:
            value = match["value"]
            needs_value = match["verb"] in ("fill", "select")
            if needs_value != (value is not None):
                wants = "needs ': value' at the end" if needs_value else "takes no value"
                raise InputError(f"Action {line[:120]!r}: {match['verb']} {wants}.")
            row = match["row"]
            return cls.model_validate(
                {
                    "verb": match["verb"],
                    "target": Target(
                        role=match["role"],
                        name=_string(match["name"]),
                        nth=int(match["nth"] or 1),
                        row=_string(row) if row else None,
                    ),
                    "value": None if value is None else _string(value),
                }
            )
        match = _PLAIN.fullmatch(line)
        if match and (match["verb"] == "done" or match["value"]):
            value = match["value"]
            plain = None if value is None else _string(value)
            return cls.model_validate({"verb": match["verb"], "value": plain})
        raise InputError(
            f"Not an action: {line[:120]!r}.",
            'Write for instance: click link "Open", fill textbox "Name": Ann, or done.',
        )


def _string(text: str) -> str:
    if text.startswith('"'):
        try:
            decoded = json.loads(text)
        except json.JSONDecodeError:
            return text
        return decoded if isinstance(decoded, str) else text
    return text


def resolve(page: Node, target: Target) -> tuple[Node, ...] | None:
    """Find the element a target names.

    Returns:
        The path from the page's root to the element (root first), or None when
        nothing on the page has that role and name. Disabled elements are found:
        what they do with an action is the application's business.
    """
    found = _matches(page, (page,), target)
    return found[target.nth - 1] if len(found) >= target.nth else None


def _matches(node: Node, path: tuple[Node, ...], target: Target) -> list[tuple[Node, ...]]:
    hits: list[tuple[Node, ...]] = []
    if node.role == target.role and node.name == target.name:
        in_row = target.row is None or any(
            above.role == "row" and row_name(above) == target.row for above in path
        )
        if in_row:
            hits.append(path)
    for child in node.children:
        hits.extend(_matches(child, (*path, child), target))
    return hits


def row_name(row: Node) -> str:
    """What names a row in a target: its accessible name, else all its text."""
    return row.name or row.text()


def target_of(page: Node, path: tuple[Node, ...]) -> Target:
    """The canonical target of the element at the end of ``path`` (root first).

    A row qualifies the target only when the element's name is not unique on the
    page and the row's name is; otherwise equals are counted.
    """
    element = path[-1]
    plain = Target(role=element.role, name=element.name)
    equals = _matches(page, (page,), plain)
    if len(equals) <= 1:
        return plain
    row = next((above for above in reversed(path) if above.role == "row"), None)
    if row is not None:
        in_row = plain.model_copy(update={"row": row_name(row)})
        if len(_matches(page, (page,), in_row)) == 1:
            return in_row
    position = next(i for i, equal in enumerate(equals, 1) if equal[-1] is element)
    return plain.model_copy(update={"nth": position})
