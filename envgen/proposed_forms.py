"""The JSON form in which a language model says rules and conditions, and how it is read.

Sources and tables are numbers of lists that the model was shown; an answer is read with limits on its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from envgen.cells import TableFact
from envgen.expressions import Expression, Test, parts
from envgen.values import CONVERSIONS, number

SHOWN = 60
"""Characters of a text that are shown or told at most."""
_DEPTH, _PARTS = 8, 40
_Read = TypeVar("_Read")
_READ: TypeAdapter[Expression] = TypeAdapter(Expression)
_READ_TEST: TypeAdapter[Test] = TypeAdapter(Test)

TEST_FORMS = """\
{"equal": [RULE, RULE]}
{"one_of": {"of": RULE, "texts": ["...", ...]}}
{"above": {"of": RULE, "limit": "number", "inclusive": false}}
{"more": {"left": RULE, "right": RULE, "inclusive": false}}
{"empty": RULE}
{"not": TEST}
{"all": [TEST, ...]}"""
RULE_FORMS = """\
{"source": NUMBER}
{"text": "a fixed text"}
{"join": [RULE, ...]}
{"lookup": {"table": NUMBER, "key": "column", "column": "column", "of": RULE}}
{"convert": {"how": "name", "of": RULE}}
{"calculate": {"how": "plus|minus|times|percent|days|between", "left": RULE, "right": RULE, "places": 2}}
{"if": {"test": TEST, "then": RULE, "else": RULE}}"""


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties),
        "additionalProperties": False,
    }  # fmt: skip


_RULE, _TEST = {"$ref": "#/$defs/rule"}, {"$ref": "#/$defs/test"}
_STRING = {"type": "string", "maxLength": 120}
_NUMBER, _HOW = {"type": "integer"}, {"enum": ["plus", "minus", "times", "percent", "days", "between"]}
_YES = {"type": "boolean"}
_LANGUAGE: dict[str, Any] = {
    "$defs": {
        "rule": {
            "anyOf": [
                _object(source=_NUMBER),
                _object(text=_STRING),
                _object(join={"type": "array", "items": _RULE, "minItems": 2}),
                _object(lookup=_object(table=_NUMBER, key=_STRING, column=_STRING, of=_RULE)),
                _object(convert=_object(how={"enum": sorted(CONVERSIONS)}, of=_RULE)),
                _object(calculate=_object(how=_HOW, left=_RULE, right=_RULE, places=_NUMBER)),
                _object(**{"if": _object(**{"test": _TEST, "then": _RULE, "else": _RULE})}),
            ]
        },
        "test": {
            "anyOf": [
                _object(equal={"type": "array", "items": _RULE, "minItems": 2, "maxItems": 2}),
                _object(one_of=_object(of=_RULE, texts={"type": "array", "items": _STRING})),
                _object(above=_object(of=_RULE, limit=_STRING, inclusive=_YES)),
                _object(more=_object(left=_RULE, right=_RULE, inclusive=_YES)),
                _object(empty=_RULE),
                _object(**{"not": _TEST}),
                _object(all={"type": "array", "items": _TEST, "minItems": 1}),
            ]
        },
    },
}


def list_form(key: str, most: int, longest: int) -> dict[str, Any]:
    """The JSON schema of an answer: a list of texts named ``key``."""
    texts = {"type": "array", "items": {"type": "string", "maxLength": longest}, "maxItems": most}
    return _object(**{key: texts})


def form(key: str, what: Literal["rule", "test"], most: int) -> dict[str, Any]:
    """The JSON schema of an answer: a list of rules or conditions named ``key``."""
    items = {"type": "array", "items": {"$ref": f"#/$defs/{what}"}, "maxItems": most}
    return {**_object(**{key: items}), **_LANGUAGE}


class Unreadable(ValueError):
    """What was proposed is not in the language."""


def read_rule(said: Any, sources: Sequence[Expression], tables: Sequence[TableFact]) -> Expression:
    """A proposed rule.

    Raises:
        Unreadable: with the reason.
    """
    return _read(_READ, _expression, said, sources, tables)


def read_test(said: Any, sources: Sequence[Expression], tables: Sequence[TableFact]) -> Test:
    """A proposed condition.

    Raises:
        Unreadable: with the reason.
    """
    return _read(_READ_TEST, _test, said, sources, tables)


def _read(
    model: TypeAdapter[_Read],
    read: Callable[[Any, Sequence[Expression], Sequence[TableFact], int], Any],
    said: Any,
    sources: Sequence[Expression],
    tables: Sequence[TableFact],
) -> _Read:
    try:
        found: Any = model.validate_python(read(said, sources, tables, _DEPTH))
    except ValidationError as error:
        raise Unreadable(error.errors()[0]["msg"]) from error
    if sum(1 for _ in parts(found)) > _PARTS:
        raise Unreadable(f"it has more than {_PARTS} parts")
    return cast("_Read", found)


def _expression(said: Any, sources: Sequence[Expression], tables: Sequence[TableFact], depth: int) -> Any:
    """An expression's data; references are resolved, everything else is checked by the language's models."""
    kind, body = _only(said, depth)

    def inner(part: Any) -> Any:
        return _expression(part, sources, tables, depth - 1)

    match kind:
        case "source":
            return _at(sources, body, "source").model_dump()
        case "text":
            return {"kind": "constant", "text": body}
        case "join" if isinstance(body, list) and body:
            return {"kind": "joined", "parts": [inner(part) for part in body]}
        case "lookup":
            table = _at(tables, _part(body, "table"), "table")
            columns = [_part(body, "key"), _part(body, "column")]
            for name in columns:
                if name not in table.header:
                    raise Unreadable(f"{table.id} has no column {str(name)[:SHOWN]!r}")
            return {
                "kind": "lookup", "table": table.id, "key_column": columns[0], "column": columns[1],
                "of": inner(_part(body, "of")),
            }  # fmt: skip
        case "convert":
            if _part(body, "how") not in CONVERSIONS:
                raise Unreadable(f"there is no conversion {str(body['how'])[:SHOWN]!r}")
            return {"kind": "convert", "how": body["how"], "of": inner(_part(body, "of"))}
        case "calculate":
            return {
                "kind": "arithmetic", "how": _part(body, "how"), "left": inner(_part(body, "left")),
                "right": inner(_part(body, "right")), "places": min(max(_whole(body.get("places", 0)), 0), 6),
            }  # fmt: skip
        case "if":
            return {
                "kind": "choose", "test": _test(_part(body, "test"), sources, tables, depth - 1),
                "then": inner(_part(body, "then")), "otherwise": inner(_part(body, "else")),
            }  # fmt: skip
    raise Unreadable(f"there is no {kind[:SHOWN]!r}")


def _test(said: Any, sources: Sequence[Expression], tables: Sequence[TableFact], depth: int) -> Any:
    """A test's data."""
    kind, body = _only(said, depth)

    def inner(part: Any) -> Any:
        return _expression(part, sources, tables, depth - 1)

    match kind:
        case "equal" if isinstance(body, list) and len(body) == 2:
            return {"kind": "equal", "left": inner(body[0]), "right": inner(body[1])}
        case "one_of":
            return {"kind": "among", "of": inner(_part(body, "of")), "texts": _part(body, "texts")}
        case "above":
            limit = number(str(_part(body, "limit"))[:SHOWN])
            if limit is None:
                raise Unreadable(f"{str(body['limit'])[:SHOWN]!r} is no number")
            return {
                "kind": "above", "of": inner(_part(body, "of")), "limit": f"{limit:f}",
                "inclusive": bool(body.get("inclusive")),
            }  # fmt: skip
        case "more":
            return {
                "kind": "exceeds", "left": inner(_part(body, "left")), "right": inner(_part(body, "right")),
                "inclusive": bool(body.get("inclusive")),
            }  # fmt: skip
        case "empty":
            return {"kind": "empty", "of": inner(body)}
        case "not":
            return {"kind": "not", "test": _test(body, sources, tables, depth - 1)}
        case "all" if isinstance(body, list):
            return {"kind": "all", "tests": [_test(part, sources, tables, depth - 1) for part in body]}
    raise Unreadable(f"there is no test {kind[:SHOWN]!r}")


def _only(said: Any, depth: int) -> tuple[str, Any]:
    if depth < 1:
        raise Unreadable(f"it is nested more than {_DEPTH} deep")
    if not isinstance(said, dict) or len(said) != 1:
        raise Unreadable("a part is not an object with one key")
    ((kind, body),) = said.items()
    return kind, body


def _part(body: Any, name: str) -> Any:
    if not isinstance(body, Mapping) or name not in body:
        raise Unreadable(f"{name!r} is missing")
    return body[name]


def _whole(said: Any) -> int:
    if not isinstance(said, int):
        raise Unreadable("'places' is no whole number")
    return said


def _at(entries: Sequence[Any], index: Any, what: str) -> Any:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(entries):
        raise Unreadable(f"there is no {what} {str(index)[:SHOWN]}")
    return entries[index]
