"""Formats that tell steps without pages: what is read of them, and what they say was lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ingest_scripts import all_formats, chrome, codegen, samples, selenium, workflow_use, write

from fde.errors import InputError
from ingest.formats.codegen import SHORTENED
from ingest.formats.selectors import of_css, of_playwright, of_xpath
from ingest.formats.steps import NO_PAGES
from ingest.recording import Recording
from ingest.recordings import read_recording, read_recordings

URL = "http://desk.example"


def actions(recording: Recording) -> list[str]:
    return [step.action.text() for step in recording.steps]


def test_codegen_tells_everything_by_role(tmp_path: Path) -> None:
    made, blobs = read_recording(all_formats(tmp_path, URL)["playwright-codegen"])
    assert actions(made) == [
        f"goto {URL}/",
        'fill textbox "Vendor": Acme',
        'select combobox "Terms": b',
        'check checkbox "Paid"',
        'click button "Save"',
    ]
    assert made.source_format == "playwright-codegen" and not blobs
    lost = "line 10: assertVisible has no action of its own and was left out."
    assert made.warnings == (NO_PAGES, SHORTENED, lost)
    assert all(step.before is None and step.after is None for step in made.steps)


def test_what_a_choice_opens_is_no_step(tmp_path: Path) -> None:
    lines = codegen(URL).splitlines()
    opened = {"name": "navigate", "url": f"{URL}/?terms=b+1", "signals": []}
    lines.insert(7, json.dumps(opened))
    lines[6] = lines[6].replace('["b"]', '["b 1"]')
    made, _ = read_recording(write(tmp_path, "c.jsonl", "\n".join(lines)))
    assert [step.action.verb for step in made.steps] == ["goto", "fill", "select", "check", "click"]


def test_the_recorder_panel(tmp_path: Path) -> None:
    made, _ = read_recording(all_formats(tmp_path, URL)["chrome-recorder"])
    assert (made.workflow, made.instruction) == ("save-vendor", "Save vendor")
    assert actions(made) == [
        f"goto {URL}/",
        'fill textbox "Vendor": Acme',
        'select combobox "Terms": b',
        'click checkbox "Paid"',
        'click button "Save"',
    ]


def test_selenium_names_what_only_its_ids_tell(tmp_path: Path) -> None:
    made, _ = read_recording(all_formats(tmp_path, URL)["selenium-ide"])
    assert actions(made) == [
        f"goto {URL}/",
        'fill textbox "v": Acme',
        'select combobox "terms": Net 30',
        'click clickable "paid"',
        'click button "Save"',
    ]
    told = [warning for warning in made.warnings if "stands for it" in warning]
    assert [warning.partition(":")[0] for warning in told] == [
        "Save vendor, command 4",
        "Save vendor, command 5",
        "Save vendor, command 6",
    ]


def test_workflow_use_folds_what_the_extension_hears(tmp_path: Path) -> None:
    made, _ = read_recording(all_formats(tmp_path, URL)["workflow-use"])
    assert made.instruction == "Store a vendor's terms."
    assert actions(made) == [
        f"goto {URL}/",
        'fill textbox "Vendor": Acme',
        'select combobox "Terms": Net 30',
        'click checkbox "Paid"',
        'click button "Save"',
    ]
    assert [step.time_s for step in made.steps] == [0.0, 2.5, 4.0, 5.0, 6.0]


def test_workflow_use_in_yaml_with_parameters(tmp_path: Path) -> None:
    flow = {
        "workflow_analysis": "Think.",
        "name": "Form",
        "description": "Fill the form.",
        "version": "1.0",
        "steps": [
            {"type": "navigation", "description": "Open", "url": f"{URL}/form"},
            {"type": "input", "target_text": "Last name", "value": "{last_name}"},
            {"type": "input", "target_text": "Password", "value": "secret words"},
            {"type": "select_option", "target_text": "Topic", "value": "Order"},
            {"type": "checkbox", "target_text": "I agree", "checked": False},
            {"type": "click", "target_text": "Send"},
            {"type": "extract_page_content", "goal": "the number", "output": "n"},
            {"type": "agent", "task": "do the rest"},
            {"type": "done"},
        ],
        "input_schema": [{"name": "last_name", "type": "string", "required": True}],
    }
    path = write(tmp_path, "form.workflow.yaml", yaml.safe_dump(flow, sort_keys=False))
    made, _ = read_recording(path)
    assert made.source_format == "workflow-use"
    assert actions(made) == [
        f"goto {URL}/form",
        'fill textbox "Last name": {last_name}',
        'fill textbox "Password": ••••',
        'select combobox "Topic": Order',
        'uncheck checkbox "I agree"',
        'click clickable "Send"',
    ]
    assert [step.masked for step in made.steps] == [False, False, True, False, False, False]
    assert made.warnings == (
        NO_PAGES,
        "step 7: what was read off the page is no action and was left out.",
        "step 8: work left to an agent (do the rest) is no action.",
        "step 2: {last_name} stands for a value that is not told.",
    )


def test_selenium_frames_windows_variables_and_keys(tmp_path: Path) -> None:
    project = selenium(URL)
    commands = project["tests"][0]["commands"]
    commands[:] = [
        {"command": "store", "target": "4711", "value": "number"},
        {"command": "selectFrame", "target": "index=0", "value": ""},
        {"command": "type", "target": "name=q", "value": "INV-${number}"},
        {"command": "sendKeys", "target": "name=q", "value": "-7${KEY_ENTER}"},
        {"command": "selectFrame", "target": "relative=parent", "value": ""},
        {"command": "if", "target": "${number} == 1", "value": ""},
        {"command": "executeScript", "target": "return 1", "value": "x"},
        {"command": "end", "target": "", "value": ""},
        {"command": "run", "target": "again", "value": ""},
    ]
    again = {"name": "again", "commands": [{"command": "click", "target": "linkText=Next", "value": ""},
                                           {"command": "run", "target": "again", "value": ""}]}  # fmt: skip
    project["tests"].append(again)
    found = read_recordings(write(tmp_path, "p.side", project)).recordings
    assert len(found) == 2
    assert actions(found[0])[:2] == ['fill textbox "q": INV-4711-7', "press Enter"]
    assert actions(found[0])[2:] == ['click link "Next"'] * 5, (
        "a test that runs itself is followed a few times"
    )
    told = " ".join(found[0].warnings)
    assert "Conditions and loops are not followed" in told and "executeScript was left out" in told


@pytest.mark.parametrize(
    ("selector", "role", "name", "hint"),
    [
        ('internal:role=button[name="Save \\"all\\""i]', "button", 'Save "all"', ""),
        ('internal:label="Cost center"i', "", "Cost center", ""),
        ('internal:attr=[placeholder="Your name"i]', "", "Your name", ""),
        ('internal:text="Open >> it"i', "", "Open >> it", ""),
        ('internal:testid=[data-testid="go"s]', "", None, "go"),
        ("#main > input[name=\"a.b\"][type='search']", "searchbox", None, "a.b"),
        ("div:nth-child(3)", "", None, "div:nth-child(3)"),
    ],
)
def test_what_a_selector_of_the_code_generator_tells(
    selector: str, role: str, name: str | None, hint: str
) -> None:
    told = of_playwright(selector)
    assert (told.role, told.name) == (role, name)
    assert name is not None or told.hint == hint


def test_equals_and_rows_in_a_chain() -> None:
    second = of_playwright('internal:role=link[name="Open"i] >> nth=1')
    assert (second.role, second.name, second.nth, second.row) == ("link", "Open", 2, None)
    inside = of_playwright('internal:role=row[name="INV-2 Open"i] >> internal:role=link[name="Open"i]')
    assert (inside.name, inside.nth, inside.row) == ("Open", 1, "INV-2 Open")
    frame = of_playwright(
        'iframe[name="f"] >> internal:control=enter-frame >> internal:role=button[name="Go"i]'
    )
    assert (frame.role, frame.name) == ("button", "Go")


def test_css_and_xpath_tell_tag_id_and_text() -> None:
    assert of_css("form.a > #x\\:y").attributes == {"id": "x:y"}
    assert of_css("a[href='/b > c']:first-child").tag == "a"
    assert of_xpath("//div[@class='k']/a[contains(text(),'Next page')]").text == "Next page"
    assert of_xpath('id("male")').attributes == {"id": "male"}
    assert of_xpath("(//input[@placeholder='Search here'])[1]").attributes == {"placeholder": "Search here"}


HOSTILE = [
    ("chrome.json", '{"title": "x", "steps": [{"type": "navigate", "url": ', "not JSON"),
    (
        "chrome.json",
        '{"title": "x", "steps": [{"type": "navigate", "url": "a"}], "x": ' + "[" * 50_000,
        "JSON",
    ),
    ("flow.yaml", "name: x\nversion: 1\nsteps:\n- !!python/object/apply:os.system [ls]\n", "not plain YAML"),
    ("flow.yaml", "name: x\nsteps:\n- &a [" + "x, " * 9 + "]\n" + "- *a\n" * 200, "aliases"),
    ("flow.yaml", "name: x\nsteps:\n- {type: " + "[" * 5000, "YAML"),
    ("flow.yaml", "name: x\nsteps:\n  a: b\n", "steps is a dict"),
    ("p.side", '{"tests": [{"commands": [1]}], "suites": []}', "not an object"),
    ("c.jsonl", '{"browserName":"chromium","launchOptions":{},"contextOptions":{}}\n{"name": "cl', "line 2"),
    ("c.jsonl", '{"browserName":"chromium","launchOptions":{},"contextOptions":{}}\n[1]\n', "line 2"),
]


@pytest.mark.parametrize(("name", "content", "reason"), HOSTILE, ids=[f"{i}" for i in range(len(HOSTILE))])
def test_a_damaged_or_hostile_file_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InputError) as error:
        read_recordings(path)
    assert reason in str(error.value) and str(path) in str(error.value)


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "chrome.json"
    flow = chrome(URL)
    flow["title"] = "Lieferant öffnen"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(json.dumps(flow, ensure_ascii=False).encode(encoding))
        assert read_recording(path)[0].instruction == "Lieferant öffnen"
    path.write_bytes(json.dumps(flow, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_recordings(path)


def test_a_value_that_is_none_where_text_should_be(tmp_path: Path) -> None:
    flow = workflow_use(URL)
    for step in flow["steps"]:
        step.update({"cssSelector": {"a": 1}, "xpath": None, "value": 7, "url": 3, "timestamp": "soon"})
    made, _ = read_recording(write(tmp_path, "w.json", flow))
    assert made.steps, "what can be read is read"


@pytest.mark.parametrize("folder", ["chrome-recorder", "selenium-ide"])
def test_foreign_samples(folder: str) -> None:
    for path in sorted(samples(folder).iterdir()):
        found = read_recordings(path)
        assert found.recordings, path.name
        assert {made.source_format for made in found.recordings} == {folder}
        assert all(NO_PAGES in made.warnings for made in found.recordings)


def test_a_foreign_form(tmp_path: Path) -> None:
    made, _ = read_recording(samples("selenium-ide") / "form-select-checkbox.side")
    assert actions(made)[:5] == [
        "goto https://automationintesting.com/selenium/testpage/",
        'fill textbox "firstname": Bob',
        'fill textbox "surname": Sapp',
        'select combobox "gender": My Business!',
        'click clickable "blue"',
    ]
