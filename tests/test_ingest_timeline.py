"""What was heard becomes steps: order, causes, pages between, secrets. No browser."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.effects import Secrets, make_effect, parse_body, text_hash
from ingest.recording import Effect
from ingest.timeline import Act, HeardVerb, Look, Request, actions_of, steps_of


def tree(*nodes: list[Any]) -> list[Any]:
    return ["document", "", None, [], list(nodes)]


def node(role: str, name: str = "", value: str | None = None, *states: str, children: Any = ()) -> list[Any]:
    return [role, name, value, [[state, ""] for state in states], list(children)]


def look(time: float, *nodes: list[Any], path: list[int] | None = None, url: str = "http://a/") -> Look:
    return Look(time, {"url": url, "title": "", "tree": tree(*nodes), "path": path, "secrets": []})


def act(time: float, verb: HeardVerb, *nodes: list[Any], path: list[int] | None = None, **given: Any) -> Act:
    seen = given.pop("seen", time)
    return Act(time, verb, before=look(seen, *nodes, path=path), seen=seen, **given)


def request(time: float, method: str = "GET") -> Request:
    return Request(time, Effect(method=method, url="http://a/"))


BUTTON = node("button", "Go")


def test_a_request_belongs_to_the_act_before_it() -> None:
    acts = [
        act(1000, "click", BUTTON, path=[0]),
        act(2000, "fill", node("textbox", "A"), path=[0], value="x", seen=1500.0),
        act(2001, "click", BUTTON, path=[0], seen=1999.0),
    ]
    # Before the first, by the click, by typing, at the same moment on another clock, after the last.
    requests = [request(900), request(1100), request(1600), request(1997), request(2500, "POST")]
    steps, warnings = steps_of(acts, [], requests, Secrets())
    assert [len(step.effects) for step in steps] == [2, 1, 2]
    assert not warnings


def test_the_page_after_is_what_the_next_step_met() -> None:
    acts = [act(1000, "click", BUTTON, path=[0]), act(3000, "click", BUTTON, path=[0], seen=2500.0)]
    looks = [
        look(500, node("text", value="early")),
        look(1100, node("text", value="first")),
        look(1200, node("text", value="second")),
        look(2700, node("text", value="typing")),
        look(3500, node("text", value="end")),
    ]
    steps, _ = steps_of(acts, looks, [], Secrets())
    assert [step.after.text if step.after else None for step in steps] == ["- text: second", "- text: end"]


def test_without_a_rest_the_next_page_before_is_taken() -> None:
    acts = [
        act(1000, "click", BUTTON, path=[0]),
        act(1050, "click", BUTTON, node("text", value="n"), path=[0]),
    ]
    steps, _ = steps_of(acts, [], [], Secrets())
    assert steps[0].after is not None and steps[0].after.text == '- button "Go"\n- text: n'
    assert steps[1].after is None


def test_soft_acts_count_only_when_the_page_reacted() -> None:
    same = [look(1100, BUTTON)]
    soft = act(1000, "press", BUTTON, value="Enter", soft=True)
    assert steps_of([soft], same, [], Secrets())[0] == ()
    assert len(steps_of([soft], same, [request(1001)], Secrets())[0]) == 1
    assert len(steps_of([soft], [look(1100, node("button", "Gone"))], [], Secrets())[0]) == 1
    nothing = act(1000, "click", BUTTON, path=None, soft=True)
    assert steps_of([nothing], [look(1100)], [], Secrets()) == ((), ())


def test_an_act_that_cannot_be_told_is_a_warning() -> None:
    steps, warnings = steps_of([act(1000, "click", BUTTON)], [], [], Secrets())
    assert steps == () and "left out: click" in warnings[0]


def options(*chosen: str) -> list[Any]:
    return [node("option", name, None, *(["selected"] if name in chosen else [])) for name in "ABC"]


CHOICES = [
    ("combobox", ["A"], ("B",), ['select combobox "S": B']),
    ("combobox", ["A"], ("A",), []),
    ("listbox", [], ("A", "C"), ['select listbox "S": A', 'select listbox "S": C']),
    ("listbox", ["A", "B"], ("B",), ['select listbox "S": A']),
    ("listbox", ["A"], ("B",), ['select listbox "S": B']),
]


@pytest.mark.parametrize(("role", "before", "chosen", "expected"), CHOICES)
def test_choices_are_told_by_what_changed(
    role: str, before: list[str], chosen: tuple[str, ...], expected: list[str]
) -> None:
    field = node(role, "S", children=options(*before))
    made, warning = actions_of(act(1, "select", field, path=[0], chosen=chosen))
    assert [action.text() for action in made] == expected and not warning


def test_a_click_on_something_checkable_is_a_check() -> None:
    for states, role, expected in (
        ([], "switch", 'check switch "S"'),
        (["checked"], "switch", 'uncheck switch "S"'),
        (["checked"], "radio", 'check radio "S"'),
    ):
        made, _ = actions_of(act(1, "click", node(role, "S", None, *states), path=[0]))
        assert made[0].text() == expected


BODIES = [
    ("application/x-www-form-urlencoded", b"a=1&b=x+y&b=z&c=", {"a": "1", "b": ["x y", "z"], "c": ""}),
    ("application/json; charset=utf-8", b'{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
    ("application/json", b"[1]", {"json": [1]}),
    ("application/json", b"{broken", None),
    ("application/json", b"[" * 100_000, None),
    ("text/plain", b"a=1", None),
    (
        "multipart/form-data; boundary=X",
        b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--X\r\nContent-Disposition: form-data;'
        b' name="f"; filename="s.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n--X--\r\n',
        {"a": "1", "f": "s.pdf"},
    ),
    ("multipart/form-data", b"garbage", {}),
    ("", None, None),
]


@pytest.mark.parametrize(("kind", "body", "expected"), BODIES)
def test_bodies_are_read(kind: str, body: bytes | None, expected: Any) -> None:
    assert parse_body(kind, body) == expected


def test_secrets_are_masked_by_name_and_by_value() -> None:
    secrets = Secrets(salt="s", names={"x"}, hashes={text_hash("shunter2")})
    effect = make_effect(
        "POST",
        "http://ann:pw@a/in?q=1&k=hunter2",
        status=303,
        content_type="application/json",
        body=b'{"x": "any", "deep": [{"k": "hunter2"}], '
        b'"userPassword": "p", "keep": "me", "n": 7, "on": true}',
        location="http://a/next?k=hunter2#f",
        secrets=secrets,
    )
    assert effect.body == {
        "x": "••••",
        "deep": [{"k": "••••"}],
        "userPassword": "••••",
        "keep": "me",
        "n": 7,
        "on": True,
    }
    assert effect.url == "http://a/in?q=1&k=••••"
    assert effect.location == "/next?k=••••"
