"""What a selector tells about the element it finds: its role and name, or what stands for them.

CSS, XPath and Playwright's own selectors. Only what is plainly said is taken: a selector by
position tells nothing but a tag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ingest.action import Target
from ingest.formats.steps import Locator

ENTER_FRAME = "internal:control=enter-frame"
MAX_SELECTOR = 10_000
_TAG_ROLES = {
    "a": "link",
    "button": "button",
    "textarea": "textbox",
    "select": "combobox",
    "option": "option",
    "summary": "button",
}
_TYPE_ROLES = {
    "button": "button",
    "submit": "button",
    "reset": "button",
    "image": "button",
    "file": "button",
    "checkbox": "checkbox",
    "radio": "radio",
    "search": "searchbox",
    "number": "spinbutton",
    "range": "slider",
}
_TEXTUAL = {"a", "button", "label", "option", "summary", "span", "div", "li", "td", "th", "p", "h1", "h2"}
_ATTRIBUTE = re.compile(
    r"""\[\s*([\w-]+)\s*[~|^$*]?=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\]\s"']+)\s*[is]?\s*\]"""
)
_XPATH_ATTRIBUTE = re.compile(r"""@([\w-]+)\s*=\s*("[^"]*"|'[^']*')""")
_XPATH_TEXT = re.compile(
    r"""(?:contains\(\s*(?:text\(\)|\.)\s*,|normalize-space\((?:\.|text\(\))?\)\s*=|(?:text\(\)|\.)\s*=)"""
    r"""\s*("[^"]*"|'[^']*')"""
)
_INTERNAL = re.compile(
    r'internal:(?P<engine>[a-z-]+)=(?:\[(?P<attribute>[\w-]+)=)?(?P<quoted>"(?:[^"\\]|\\.)*")?(?P<rest>.*)',
    re.S,
)
_ROLE_PART = re.compile(r"(?:internal:)?role=(?P<role>[a-z]+)(?P<rest>.*)", re.S)
_ROLE_NAME = re.compile(r'\[name=("(?:[^"\\]|\\.)*")[is]?\]')


@dataclass
class Facts:
    """What is known of an element before its role and name are decided."""

    tag: str = ""
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    def locator(self, ways: Iterable[str | Target], hint: str = "") -> Locator:
        """The locator these facts make; ``hint`` is the last resort for a name."""
        told = self.attributes
        kind = told.get("type", "").lower()
        role = told.get("role") or _TYPE_ROLES.get(kind, "") or _TAG_ROLES.get(self.tag, "")
        if kind in ("text", "password", "email", "tel", "url", "date"):
            role = role or "textbox"
        name = told.get("aria-label") or told.get("label") or None
        if name is None and role not in ("textbox", "searchbox", "combobox", "spinbutton"):
            shown = self.text or (told.get("value", "") if role == "button" else "")
            name = shown or told.get("alt") or None
        name = name or told.get("placeholder") or told.get("title") or None
        standing = told.get("id") or told.get("name") or told.get("data-testid") or self.text or hint
        return Locator(
            ways=tuple(dict.fromkeys(ways)),
            role=role if re.fullmatch("[a-z]+", role) else "",
            name=None if name is None else " ".join(name.split()),
            hint=" ".join(standing.split())[:200],
            secret=kind == "password",
        )

    def add(self, other: Facts) -> Facts:
        """These facts, completed by those of another selector of the same element."""
        return Facts(self.tag or other.tag, self.text or other.text, {**other.attributes, **self.attributes})


def of_css(selector: str) -> Facts:
    """What the last compound of a CSS selector says."""
    compound = _last(selector[:MAX_SELECTOR], " >+~")
    facts = Facts()
    for match in _ATTRIBUTE.finditer(compound):
        facts.attributes[match[1].lower()] = _unquoted(match[2])
    plain = _ATTRIBUTE.sub("", compound)
    tag = re.match(r"[a-zA-Z][\w-]*", plain)
    facts.tag = tag[0].lower() if tag else ""
    named = re.search(r"#((?:[\w-]|\\.)+)", plain)
    if named:
        facts.attributes.setdefault("id", re.sub(r"\\(.)", r"\1", named[1]))
    return facts


def of_xpath(selector: str) -> Facts:
    """What the last step of an XPath says."""
    step = _last(selector[:MAX_SELECTOR], "/")
    facts = Facts()
    tag = re.match(r"\(?(?:[a-z-]+::)?([a-zA-Z][\w-]*)(?![\w(-])", step)
    facts.tag = tag[1].lower() if tag else ""
    for match in _XPATH_ATTRIBUTE.finditer(step):
        facts.attributes[match[1].lower()] = match[2][1:-1]
    by_id = re.match(r"\(?id\((\"[^\"]*\"|'[^']*')\)", step)
    if by_id:
        facts.attributes.setdefault("id", by_id[1][1:-1])
    text = _XPATH_TEXT.search(step)
    facts.text = text[1][1:-1] if text else ""
    return facts


def of_playwright(selector: str) -> Locator:
    """The locator of one of Playwright's selectors, as its code generator writes them."""
    parts = [part for part in _parts(selector[:MAX_SELECTOR]) if part != ENTER_FRAME]
    nth, row = 1, None
    facts = Facts()
    for position, part in enumerate(parts):
        inner = position == len(parts) - 1 or all(_only_picks(later) for later in parts[position + 1 :])
        counted = re.fullmatch(r"nth=(-?\d+)", part)
        role = _ROLE_PART.match(part)
        if counted:
            nth = max(0, int(counted[1][:6])) + 1 if inner else 1
        elif role:
            named = _ROLE_NAME.search(role["rest"])
            name = _unquoted(named[1]) if named else ""
            if role["role"] == "row" and not inner:
                row = name or None
            elif inner:
                facts = Facts(attributes={"role": role["role"], **({"aria-label": name} if name else {})})
        elif inner and not _only_picks(part):
            facts = _of_engine(part)
    made = facts.locator([selector], hint=selector)
    return Locator(**{**made.__dict__, "nth": 1 if row else nth, "row": row})


def _of_engine(part: str) -> Facts:
    match = _INTERNAL.match(part)
    if match and match["quoted"]:
        value = _unquoted(match["quoted"])
        engine, attribute = match["engine"], match["attribute"]
        if engine == "label":
            return Facts(attributes={"label": value})
        if engine == "text":
            return Facts(text=value)
        if engine == "testid":
            return Facts(attributes={"data-testid": value})
        if engine == "attr" and attribute:
            return Facts(attributes={attribute: value})
    if part.startswith(("xpath=", "//", "(//")):
        return of_xpath(part.removeprefix("xpath="))
    if part.startswith(("text=", "internal:")):
        return Facts(text=_unquoted(part.removeprefix("text=")) if part.startswith("text=") else "")
    return of_css(part.removeprefix("css="))


def _only_picks(part: str) -> bool:
    """Whether a part of a chain only picks among what was found."""
    return part.startswith(
        ("nth=", "visible=", "internal:has", "internal:and", "internal:or", "internal:visible")
    )


def _bare(selector: str) -> Iterator[tuple[int, str]]:
    """The characters that stand outside quotes and are not escaped, each with its place."""
    quote, skip = "", False
    for i, char in enumerate(selector):
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            yield i, char


def _parts(selector: str) -> list[str]:
    """A chained selector's parts; ``>>`` inside quotes is text."""
    parts, start = [], 0
    for i, char in _bare(selector):
        if char == ">" and selector[i : i + 2] == ">>" and i >= start:
            parts.append(selector[start:i].strip())
            start = i + 2
    parts.append(selector[start:].strip())
    return [part for part in parts if part and part != ">"]


def _last(selector: str, separators: str) -> str:
    """What follows the last separator that is not inside brackets or quotes."""
    depth, start = 0, 0
    for i, char in _bare(selector):
        if char in "[(":
            depth += 1
        elif char in "])":
            depth -= 1
        elif depth <= 0 and char in separators and selector[i + 1 :].strip():
            start = i + 1
    return selector[start:].strip()


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("\\'", "'")
    return text
