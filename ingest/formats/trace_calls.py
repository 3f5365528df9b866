"""Playwright's calls as the actions of a person: which call is which verb, and what it was aimed at."""

from __future__ import annotations

import re
from typing import Any

from ingest.action import Target
from ingest.formats.rebuilt import plain
from ingest.formats.trace_archive import Call

_VERBS = {
    "click": "click",
    "tap": "click",
    "dblclick": "click",
    "mouseClick": "click",
    "fill": "fill",
    "type": "type",
    "keyboardType": "type",
    "keyboardInsertText": "type",
    "press": "press",
    "keyboardPress": "press",
    "selectOption": "select",
    "check": "check",
    "uncheck": "uncheck",
    "setInputFiles": "upload",
    "goto": "goto",
    "reload": "reload",
    "goBack": "history",
    "goForward": "history",
    "focus": "focus",
    "dragAndDrop": "unread",
    "dragTo": "unread",
    "mouseDown": "unread",
}
_NAMED = re.compile(
    r'^(?:internal:)?role=(?P<role>[a-z]+)\[name=(?P<name>"(?:[^"\\]|\\.)*"|\'[^\']*\')[is]?\]'
    r'|^internal:(?P<kind>label|text)=(?P<text>"(?:[^"\\]|\\.)*")[is]?'
    r'|^internal:attr=\[(?:placeholder|title|alt)=(?P<attribute>"(?:[^"\\]|\\.)*")[is]?\]'
)
_NTH = re.compile(r">> nth=(\d+)$")
_ROLES = {
    "fill": "textbox",
    "type": "textbox",
    "select": "combobox",
    "check": "checkbox",
    "uncheck": "checkbox",
}


def verb_of(call: Call) -> str | None:
    """What a call does for a person: a verb of ours, or ``type``, ``upload``, ``reload``, ``history``,
    ``focus``; ``unread`` for what people do and no action says; None for all else."""
    if call.kind in ("Test", "BrowserContext", "APIRequestContext", "Tracing"):
        return None
    if call.method == "dispatchEvent":
        return "click" if call.params.get("type") == "click" else None
    return _VERBS.get(call.method)


def named(call: Call, verb: str) -> Target | None:
    """The target as the call's selector names it, where that is a role and a name."""
    selector = call.params.get("selector")
    if not isinstance(selector, str):
        return None
    match = _NAMED.match(selector)
    if match is None:
        return None
    quoted = match["name"] or match["text"] or match["attribute"]
    name = " ".join(plain(quoted[1:-1].replace('\\"', '"')).split())
    nth = _NTH.search(selector)
    role = match["role"] or _ROLES.get(verb, "clickable")
    return Target(role=role, name=name, nth=int(nth[1]) + 1 if nth else 1)


def text_of(call: Call) -> str:
    """What a call types."""
    for key in ("value", "text"):
        if isinstance(call.params.get(key), str):
            return plain(call.params[key])
    return ""


def key_of(call: Call) -> str:
    """The key a call presses, without modifiers that it had."""
    return plain(call.params.get("key") or "")


def wanted_options(call: Call) -> list[dict[str, Any]]:
    """The options a call chooses, each by ``value``, ``label``, ``index`` or ``either`` of the first two."""
    found = []
    for option in call.params.get("options") or ():
        if isinstance(option, dict):
            wanted = {
                mine: option[theirs]
                for theirs, mine in (
                    ("value", "value"),
                    ("label", "label"),
                    ("index", "index"),
                    ("valueOrLabel", "either"),
                )
                if isinstance(option.get(theirs), str | int)
            }
            if wanted:
                found.append(wanted)
    return found


def file_of(call: Call) -> str:
    """The name of the (first) file a call puts into a file field; empty when it takes it out."""
    for key in ("localPaths", "payloads", "streams", "files"):
        values = call.params.get(key)
        if isinstance(values, list) and values:
            first = values[0].get("name", "") if isinstance(values[0], dict) else values[0]
            return re.split(r"[\\/]", plain(first))[-1]
    return ""
