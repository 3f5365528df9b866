"""Recordings of other tools through the command line: kept, read once, replayed."""

# ruff: noqa: F811 - fixtures are imported and then named as parameters

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import RunFde
from ingest_pages import Site, site  # noqa: F401
from ingest_scripts import PAGES, WORK, all_formats, chrome, write

HAR = {
    "log": {
        "version": "1.2",
        "entries": [
            {
                "startedDateTime": "2026-11-22T08:00:00Z",
                "request": {"method": "GET", "url": "http://desk.example/", "headers": []},
                "response": {"status": 200, "content": {"mimeType": "text/html"}},
                "_resourceType": "document",
            }
        ],
    }
}
LOG = "Wann,Was,Wo,Eingabe\n1,Klick,Save,\n"
COLUMNS = '\n[ingest.ui_log]\naction = "Was"\nelement = "Wo"\nactions = { Klick = "click" }\n'


def test_every_kind_at_once_and_again(engagement: Any, fde: RunFde, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    all_formats(folder, "http://desk.example")
    write(folder, "codegen.har", HAR)
    write(folder, "log.csv", LOG)
    write(folder, "broken.side", '{"suites": [], "tests": [{"commands": [')
    with engagement.config_path.open("a") as handle:
        handle.write(COLUMNS)
    told = fde("-C", engagement.root, "ingest", "recordings", folder, "--json")
    assert told.code == 1 and [row["source"] for row in told.json["failed"]] == ["broken.side"]
    assert "not JSON" in told.json["failed"][0]["error"]
    found = {row["source"]: row for row in told.json["recordings"]}
    assert {name: row["source_format"] for name, row in found.items()} == {
        "chrome.json": "chrome-recorder",
        "codegen.jsonl": "playwright-codegen",
        "desk.side": "selenium-ide",
        "log.csv": "ui-log",
        "workflow.json": "workflow-use",
    }
    assert found["codegen.jsonl"]["effects"] == 1, "the archive beside it is part of it"
    assert found["log.csv"]["actions"] == ['click clickable "Save"']
    assert all(row["snapshots"] == 0 and row["warnings"] for row in found.values())
    kept = sorted(path.name for path in (engagement.raw / "recordings").iterdir())
    assert kept == sorted(path.name for path in folder.iterdir())
    again = fde("-C", engagement.root, "ingest", "recordings", folder, "--json")
    assert again.json == told.json
    write(folder, "codegen.har", {**HAR, "x": 1})
    changed = fde("-C", engagement.root, "ingest", "recordings", folder, "--json")
    assert changed.json["run"] != told.json["run"], "a changed part changes the source"


@pytest.mark.browser
def test_replay_from_the_command_line(engagement: Any, fde: RunFde, site: Site, tmp_path: Path) -> None:
    site.pages.update(PAGES)
    path = all_formats(tmp_path, "http://production.example")["chrome-recorder"]
    told = fde("-C", engagement.root, "ingest", "recordings", path, "--replay", site.url, "--json")
    assert told.code == 0, told.err
    (row,) = told.json["recordings"]
    assert row["actions"][1:] == WORK and row["snapshots"] > 3 and row["effects"] > 1
    assert site.posts == [("/save", "vendor=Acme&t=b&p=on")]
    again = fde("-C", engagement.root, "ingest", "recordings", path, "--replay", site.url, "--json")
    assert again.json == told.json and len(site.posts) == 1, "what was replayed is not done again"
    flow = chrome(site.url)
    flow["steps"][-1]["selectors"] = [["#gone"]]
    stopped = fde("ingest", "recordings", write(tmp_path, "c.json", flow), "--replay", site.url, "--json")
    assert stopped.code == 1 and stopped.json["recordings"][0]["actions"][1:] == WORK[:-1]
    assert any("step 9 (click): nothing on the page" in w for w in stopped.json["recordings"][0]["warnings"])


def test_an_address_that_is_none(engagement: Any, fde: RunFde, tmp_path: Path) -> None:
    path = all_formats(tmp_path, "http://desk.example")["selenium-ide"]
    told = fde("-C", engagement.root, "ingest", "recordings", path, "--replay", "staging")
    assert told.code == 2 and "Not an address: 'staging'" in told.err
