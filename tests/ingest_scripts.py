"""The same work at a desk as several tools write it down, and where the foreign samples lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples"
# What the desk's site shows (see desk_site), done by any of the tools.
WORK = [
    'fill textbox "Vendor": Acme',
    'select combobox "Terms": Net 30',
    'check checkbox "Paid"',
    'click button "Save"',
]
FORM = (
    "<title>Desk</title><form method=post action=/save><p><label for=v>Vendor</label> "
    "<input id=v name=vendor></p><p><label>Terms <select id=terms name=t><option value=a>Net 10"
    "<option value=b>Net 30</select></label></p>"
    "<p><label><input type=checkbox id=paid name=p> Paid</label></p><button>Save</button></form>"
)
PAGES = {"/": FORM, "POST /save": "-> /done", "/done": "<title>Done</title><p role=status>Stored</p>"}


def samples(folder: str) -> Path:
    """A folder of the foreign samples; without it the test is skipped."""
    if not (SAMPLES / folder).is_dir():
        pytest.skip("the samples of other projects are not here")
    return SAMPLES / folder


def chrome(url: str) -> dict[str, Any]:
    """As the Recorder panel exports it."""
    at = {"target": "main", "offsetX": 5, "offsetY": 5}
    return {
        "title": "Save vendor",
        "steps": [
            {"type": "setViewport", "width": 900, "height": 700, "deviceScaleFactor": 1},
            {
                "type": "navigate",
                "url": f"{url}/",
                "assertedEvents": [{"type": "navigation", "url": f"{url}/"}],
            },
            {"type": "click", "selectors": [["aria/Vendor"], ["#v"], ['xpath///*[@id="v"]']], **at},
            {"type": "change", "value": "Acme", "selectors": [["aria/Vendor"], ["#v"]], "target": "main"},
            {"type": "keyDown", "key": "Tab", "target": "main"},
            {"type": "keyUp", "key": "Tab", "target": "main"},
            {
                "type": "change",
                "value": "b",
                "selectors": [['aria/Terms[role="combobox"]'], ["#terms"]],
                "target": "main",
            },
            {"type": "click", "selectors": [['aria/Paid[role="checkbox"]'], ["#paid"]], **at},
            {"type": "click", "selectors": [["button"], ["text/Save"]], **at},
        ],
    }


def selenium(url: str) -> dict[str, Any]:
    """As Selenium IDE saves a project."""

    def command(name: str, target: str, value: str = "", *others: str) -> dict[str, Any]:
        pairs = [[locator, locator.partition("=")[0]] for locator in (target, *others)]
        return {
            "id": name,
            "comment": "",
            "command": name,
            "target": target,
            "targets": pairs,
            "value": value,
        }

    return {
        "id": "p",
        "version": "2.0",
        "name": "Desk",
        "url": url,
        "tests": [
            {
                "id": "t",
                "name": "Save vendor",
                "commands": [
                    command("open", "/"),
                    command("setWindowSize", "900x700"),
                    command("click", "id=gone", "", "id=v", "xpath=//input[@id='v']"),
                    command("type", "id=v", "Acme"),
                    command("select", "id=terms", "label=Net 30"),
                    command("click", "css=#paid"),
                    command("//click", "id=off"),
                    command("click", "xpath=//button[contains(.,'Save')]"),
                ],
            }
        ],
        "suites": [{"id": "s", "name": "all", "tests": ["t"]}],
    }


def workflow_use(url: str) -> dict[str, Any]:
    """As the recording extension of workflow-use writes it."""
    page = {"url": f"{url}/", "frameUrl": f"{url}/", "frameIdPath": "0", "tabId": 7}

    def at(seconds: float, kind: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "timestamp": 1_754_866_228_000 + int(seconds * 1000), **page, **more}

    return {
        "name": "Save vendor",
        "description": "Store a vendor's terms.",
        "version": "1.0.0",
        "input_schema": [],
        "steps": [
            at(0, "navigation"),
            at(0.1, "scroll", scrollX=0, scrollY=7),
            at(1, "click", xpath='id("v")', cssSelector="input#v", elementTag="INPUT", elementText=""),
            at(2, "input", xpath='id("v")', cssSelector="input#v", elementTag="INPUT", value="Ac"),
            at(2.5, "input", xpath='id("v")', cssSelector="input#v", elementTag="INPUT", value="Acme",
               targetText="Vendor"),
            at(3, "key_press", xpath='id("v")', cssSelector="input#v", elementTag="INPUT", key="Tab"),
            at(4, "select_change", cssSelector="select#terms", selectedText="Net 30", selectedValue="b",
               elementTag="SELECT", targetText="Terms"),
            at(5, "click", xpath='id("paid")', cssSelector='input[id="paid"][type="checkbox"]',
               elementTag="INPUT", targetText="Paid", elementText=""),
            at(6, "click", xpath="body/form[1]/button[1]", cssSelector="button", elementTag="BUTTON",
               elementText="Save"),
            at(6.4, "navigation", url=f"{url}/done"),
        ],
    }  # fmt: skip


def codegen(url: str) -> str:
    """As Playwright's code generator prints it with the target jsonl."""

    def line(name: str, **more: Any) -> str:
        return json.dumps({"name": name, **more, "signals": [], "pageGuid": "page@1"})

    lines = [
        json.dumps({"browserName": "chromium", "launchOptions": {"headless": False}, "contextOptions": {}}),
        line("openPage", url="about:blank"),
        line("navigate", url=f"{url}/"),
        line(
            "click",
            selector='internal:role=textbox[name="Vendor"i]',
            button="left",
            modifiers=0,
            clickCount=1,
        ),
        line("fill", selector='internal:role=textbox[name="Vendor"i]', text="Acme"),
        line("press", selector='internal:role=textbox[name="Vendor"i]', key="Tab", modifiers=0),
        line("select", selector='internal:role=combobox[name="Terms"i]', options=["b"]),
        line("check", selector='internal:role=checkbox[name="Paid"i]'),
        line(
            "click", selector='internal:role=button[name="Save"i]', button="left", modifiers=0, clickCount=1
        ),
        line("assertVisible", selector="internal:role=status"),
        line("closePage"),
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def all_formats(folder: Path, url: str) -> dict[str, Path]:
    """The work as every tool writes it, by format."""
    return {
        "chrome-recorder": write(folder, "chrome.json", chrome(url)),
        "selenium-ide": write(folder, "desk.side", selenium(url)),
        "workflow-use": write(folder, "workflow.json", workflow_use(url)),
        "playwright-codegen": write(folder, "codegen.jsonl", codegen(url)),
    }
