"""rrweb streams: what a person did, out of raw events; changes to the page; what is wrong with a file."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rrweb_events import Stream

from fde.errors import InputError
from ingest.formats import json_stream, rebuilt
from ingest.rebuild import shared_browser
from ingest.recording import Recording
from ingest.recordings import read_recording

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def one_browser() -> Iterator[None]:
    with shared_browser():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recording.json"


def read(path: Path, stream: Stream | list[Any]) -> Recording:
    path.write_text(json.dumps(stream.events if isinstance(stream, Stream) else stream))
    return read_recording(path)[0]


def actions(recording: Recording) -> list[str]:
    return [step.action.text() for step in recording.steps]


def last(recording: Recording) -> str:
    after = recording.steps[-1].after
    assert after is not None
    return after.text


def test_noise_is_folded_into_what_a_person_would_name(path: Path) -> None:
    s = Stream()
    name, note = s.el("input", name="n", aria_label="Name"), s.el("textarea", aria_label="Note")
    paid, terms = s.el("input", type="checkbox"), s.el("select", s.el("option", "10"), s.el("option", "30"))
    terms["attributes"]["aria-label"] = "Terms"
    label = s.el("label", paid, " Paid")
    air, sea = (s.el("input", type="radio", name="r", aria_label=n) for n in ("Air", "Sea"))
    save = s.el("button", "Save", type="button")
    s.page(s.document(name, note, label, terms, air, sea, save))
    s.add(3, {"source": 1, "positions": [{"x": 1, "y": 1, "id": 1, "timeOffset": 0}]})
    s.click(name).type(name, "Ann")
    s.input(name, "An", after_ms=50).input(name, "Ann", after_ms=50)
    s.add(3, {"source": 3, "id": 1, "x": 0, "y": 20})
    s.click(note).type(note, "a\nb")
    s.click(label, focus=False).mouse(2, paid, x=0, y=0).input(paid, "on", True)
    s.mouse(5, terms).input(terms, "30", after_ms=800)
    s.click(sea).input(sea, "on", True).input(air, "on", False)
    s.click(save)
    made = read(path, s)
    assert actions(made)[1:] == [
        'fill textbox "Name": Ann',
        'fill textbox "Note": "a\\nb"',
        'check checkbox "Paid"',
        'select combobox "Terms": 30',
        'check radio "Sea"',
        'click button "Save"',
    ]
    assert not made.warnings
    assert '- radio "Sea" [checked]' in last(made) and '- combobox "Terms": 30' in last(made)


def test_what_a_script_changes_is_not_what_a_person_does(path: Path) -> None:
    s = Stream()
    country, town = s.el("input", aria_label="Country"), s.el("input", aria_label="Town")
    rate = s.el("select", s.el("option", "a"), s.el("option", "b"), aria_label="Rate")
    clear = s.el("button", "Clear", type="button")
    s.page(s.document(country, town, rate, clear))
    s.type(country, "NO").input(town, "Oslo", after_ms=300)
    s.click(clear).input(country, "", after_ms=4).input(rate, "b", after_ms=1)
    made = read(path, s)
    assert actions(made)[1:] == ['fill textbox "Country": NO', 'click button "Clear"']
    assert last(made).startswith('- textbox "Country"\n- textbox "Town": Oslo')


def test_the_first_field_may_have_the_cursor_from_the_beginning(path: Path) -> None:
    s = Stream()
    user, word = s.el("input", aria_label="User", autofocus=""), s.el("input", aria_label="Word")
    s.page(s.document(user, word))
    s.input(user, "ann", after_ms=900).type(word, "x")
    search, total = s.el("input", aria_label="Search"), s.el("input", aria_label="Total")
    s.page(s.document(search, total, first=1), "http://a.example/2")
    s.input(total, "120.00", after_ms=900)  # a script's
    s.input(search, "a", after_ms=900).input(search, "ab", after_ms=100)
    made = read(path, s)
    assert [action for action in actions(made) if not action.startswith("goto")] == [
        'fill textbox "User": ann',
        'fill textbox "Word": x',
        'fill textbox "Search": ab',
    ]


def test_enter_in_a_form_is_a_key_and_leaves_the_page(path: Path) -> None:
    s = Stream()
    find, go = s.el("input", aria_label="Find"), s.el("button", "Go")
    s.page(s.document(s.el("form", find, go)))
    s.type(find, "x").enter(go)
    s.page(s.document(s.el("p", "Found"), first=1), "http://a.example/?q=x")
    alone = s.el("input", aria_label="Again")
    s.page(s.document(s.el("form", alone), first=1), "http://a.example/typed-in")
    s.type(alone, "y")
    s.page(s.document(s.el("p", "End"), first=1), "http://a.example/?again=y")
    made = read(path, s)
    assert actions(made)[1:] == [
        'fill textbox "Find": x',
        "press Enter",
        "goto http://a.example/typed-in",
        'fill textbox "Again": y',
        "press Enter",
    ]
    assert last(made) == "- paragraph: End"
    assert len(made.warnings) == 1 and "Enter key was not recorded" in made.warnings[0]


def test_a_choice_that_is_gone_before_the_button_comes_up(path: Path) -> None:
    s = Stream()
    city, box = s.el("input", aria_label="City"), s.el("ul")
    s.page(s.document(city, box))
    s.type(city, "Os")
    item = s.el("li", "Oslo")
    s.put(box, item)
    s.mouse(1, item, 900).change(removes=[{"parentId": box["id"], "id": item["id"]}])
    s.mouse(0, box).input(city, "Oslo", after_ms=2)
    assert actions(read(path, s))[1:] == ['fill textbox "City": Os', 'click clickable "Oslo"']


def test_frames_shadow_roots_and_adopted_sheets(path: Path) -> None:
    s = Stream()
    frame = s.el("iframe", title="Inner")
    deep = s.el("input", aria_label="Deep", isShadow=True)
    gone = s.el("p", "Hidden by a sheet", isShadow=True, class_="gone")
    host = s.el("x-a", deep, gone, isShadowHost=True)
    s.page(s.document(frame, host))
    field = s.el("input", aria_label="Field")
    inner = s.document(s.el("label", "In a frame"), field)
    s.change(adds=[{"parentId": frame["id"], "nextId": None, "node": inner}], isAttachIframe=True)
    sheet = {"styleId": 1, "rules": [{"rule": ".gone { display: none }", "index": 0}]}
    s.add(3, {"source": 15, "id": host["id"], "styles": [sheet], "styleIds": [1]})
    s.type(field, "in").type(deep, "below")
    made = read(path, s)
    assert actions(made)[1:] == ['fill textbox "Field": in', 'fill textbox "Deep": below']
    assert last(made) == (
        '- iframe "Inner":\n  - text: In a frame\n  - textbox "Field": in\n- textbox "Deep": below'
    )


def test_styles_decide_what_is_seen(path: Path) -> None:
    s = Stream()
    style = s.el("style", _cssText=".a { display: none } x-b:not(:defined) { display: none }")
    link = s.el("link", rel="stylesheet", href="/far.css")
    a, b, c, d = (s.el("p", name, class_=name) for name in "abcd")
    s.page(s.document(a, b, c, d, s.el("x-b", "defined"), head=(style, link)))
    s.add(3, {"source": 8, "id": style["id"], "adds": [{"rule": ".b { display: none }", "index": 1}]})
    s.change(attributes=[{"id": link["id"], "attributes": {"_cssText": ".c { visibility: hidden }"}}])
    s.change(attributes=[{"id": d["id"], "attributes": {"style": {"display": ["none", "important"]}}}])
    assert last(read(path, s)) == "- text: defined"
    s.add(
        3, {"source": 13, "id": style["id"], "index": [1], "set": {"property": "display", "value": "block"}}
    )
    s.change(attributes=[{"id": d["id"], "attributes": {"style": {"display": False}}}])
    assert last(read(path, s)) == "- paragraph: b\n- paragraph: d\n- text: defined"


def test_dialogs_open_and_close(path: Path) -> None:
    s = Stream()
    old, modal = s.el("dialog", "old", open=""), s.el("dialog", "modal")
    s.page(s.document(s.el("p", "below"), old, modal))
    assert last(read(path, s)) == "- paragraph: below\n- dialog: old"
    s.change(attributes=[{"id": modal["id"], "attributes": {"open": "", "rr_open_mode": "modal"}}])
    assert last(read(path, s)) == "- dialog: modal"
    s.change(attributes=[{"id": each["id"], "attributes": {"open": None}} for each in (old, modal)])
    assert last(read(path, s)) == "- paragraph: below"


def test_nodes_move_and_come_in_any_order(path: Path) -> None:
    s = Stream()
    first, box = s.el("p", "first"), s.el("div", s.el("p", "second"))
    s.page(s.document(first, box))
    body = s.events[1]["data"]["node"]["childNodes"][1]["childNodes"][1]
    three, four = s.el("p"), s.el("p", "four")
    text = s.text("three")
    s.change(
        removes=[{"parentId": body["id"], "id": first["id"]}],
        adds=[
            {"parentId": three["id"], "nextId": None, "node": text},
            {"parentId": body["id"], "nextId": four["id"], "node": three},
            {"parentId": body["id"], "nextId": None, "node": four},
            {"parentId": box["id"], "nextId": None, "node": {**first, "childNodes": []}},
        ],
    )
    s.change(texts=[{"id": text["id"], "value": "third"}])
    assert (
        last(read(path, s))
        == "- paragraph: second\n- paragraph: first\n- paragraph: third\n- paragraph: four"
    )


def test_a_check_out_in_the_middle_changes_nothing(path: Path) -> None:
    s = Stream()
    name = s.el("input", aria_label="Name")
    s.page(s.document(name))
    s.type(name, "Ann").mouse(6, name)
    again = s.el("input", aria_label="Name", value="Ann")
    s.page(s.document(again, first=90))
    s.click(again).type(again, "Bob")
    made = read(path, s)
    assert actions(made) == ["goto http://a.example/", 'fill textbox "Name": Ann', 'fill textbox "Name": Bob']


def test_masked_values_and_requests_of_the_network_plugin(path: Path) -> None:
    s = Stream()
    key = s.el("input", type="password", name="key", aria_label="Key")
    send = s.el("button", "Send", type="button")
    s.page(s.document(key, send))
    s.type(key, "hunter2").click(send)
    request = {
        "name": "http://a.example/api?k=hunter2",
        "method": "POST",
        "initiatorType": "fetch",
        "status": 201,
        "startTime": s.time + 1,
        "requestBody": '{"key": "hunter2", "n": 1}',
    }
    s.add(6, {"plugin": "rrweb/network@1", "payload": {"requests": [request, {"name": 1}, "x"]}})
    made = read(path, s)
    assert actions(made)[1:] == ['fill textbox "Key": ••••', 'click button "Send"']
    effect = made.steps[-1].effects[0]
    assert (effect.method, effect.status, effect.body) == ("POST", 201, {"key": "••••", "n": 1})
    assert "hunter2" not in made.model_dump_json()


def packed(event: dict[str, Any]) -> str:
    return zlib.compress(json.dumps({**event, "v": "v1"}).encode()).decode("latin-1")


def test_packed_events_and_other_encodings(path: Path) -> None:
    s = Stream()
    go = s.el("button", "Zurück – 戻る")
    s.page(s.document(go)).click(go)
    plain = json.dumps(s.events, ensure_ascii=False)
    expected = actions(read(path, s))
    for data in (
        gzip.compress(plain.encode()),
        zlib.compress(plain.encode()),
        plain.encode("utf-8-sig"),
        plain.encode("utf-16"),
        json.dumps([packed(event) for event in s.events]).encode(),
        json.dumps([packed(event) for event in s.events], ensure_ascii=False).encode(),
    ):
        path.write_bytes(data)
        assert actions(read_recording(path)[0]) == expected == [expected[0], 'click button "Zurück – 戻る"']


def test_a_stream_without_a_full_snapshot_is_refused(path: Path) -> None:
    s = Stream()
    button = s.el("button", "Go")
    s.click(button).put(button, s.text("x"))
    with pytest.raises(InputError, match="without a full snapshot"):
        read(path, s)


def test_changes_before_the_full_snapshot_are_counted(path: Path) -> None:
    s = Stream()
    button = s.el("button", "Go")
    s.click(button)
    s.page(s.document(button))
    s.change(removes=[{"parentId": 999, "id": 998}])
    made = read(path, s)
    assert set(made.warnings) == {
        "1 changes to nodes that the recording does not have were left out.",
        "4 changes before the first full snapshot were left out.",
    }


def nested(depth: int) -> str:
    opened = '{"type":2,"data":{"node":' + '{"type":2,"tagName":"p","childNodes":[' * depth
    return "[" + opened + "]}" * depth + "}}]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"type":4,"data":{"href":"http://a/"},"timestamp":1},{"type":2,"data":{"no', "cut off"),
        ('[{"type":4,"data":{}},{"type":3,"data":{}}', "does not end"),
        ('[{"type":4,"data":{}}', "does not end"),
        (nested(100_000), "nested too deeply"),
        ('[{"type":2,"data":{"node":{"childNodes":[]}},"timestamp":' + "9" * 5000 + "}]", "too long"),
        ('[{"type":2,"data":{"node":"' + "x" * 3_000_000 + '"}}]', "longer than"),
        ('{"type":2,"data":{"node":"' + "x" * 9_000_000, "longer than"),
        ("[{" + '"type":2,"data":{"node":{"childNodes":[]}}' + "}", "does not end"),
    ],
)
def test_bad_files_are_refused_with_the_reason(
    path: Path, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream.JsonText.value, "__defaults__", (2_000_000,))
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_recording(path)
    assert reason in str(error.value) and str(path) in str(error.value)


def test_a_frame_in_itself_ends(path: Path) -> None:
    s = Stream()
    frame = s.el("iframe", title="Again")
    s.page(s.document(s.el("p", "Top"), frame))
    for _ in range(30):
        inner = {"type": 0, "id": 900, "childNodes": [s.el("html", s.el("body", {**frame}))]}
        s.put(frame, inner)
    box = s.el("div")
    s.put(s.events[1]["data"]["node"]["childNodes"][1], box)
    s.put(box, {**s.events[1]["data"]["node"]["childNodes"][1], "childNodes": []})  # the root below itself
    assert last(read(path, s)).startswith('- paragraph: Top\n- iframe "Again":\n')


def test_a_page_that_never_ends_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s = Stream()
    deep = s.el("i", "x")
    for _ in range(290):
        deep = s.el("div", deep, class_="a")
    style = s.el(
        "style", _cssText=" ".join(f".a:has(.a:nth-child(1) .a.b{i}) p {{ color: red }}" for i in range(3000))
    )
    s.page(s.document(deep, *(s.el("p", str(i), class_="a") for i in range(3000)), head=(style,)))
    for at in range(4000):
        s.change(attributes=[{"id": deep["id"], "attributes": {"class": f"a b{at}"}}])
        s.click(deep, focus=False)
    monkeypatch.setattr(rebuilt, "LIMIT_S", 1.0)
    monkeypatch.setattr(rebuilt, "SLOWEST_BYTES_S", 1e9)
    with pytest.raises(InputError, match="took longer than 1 s"):
        read(path, s)
    monkeypatch.undo()
    ok = Stream()
    ok.page(ok.document(ok.el("p", "on")))
    assert last(read(path, ok)) == "- paragraph: on", "the next recording gets a browser of its own"
