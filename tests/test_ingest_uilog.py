"""User-interface logs of task-mining tools: columns by their usual names, or as fde.toml says."""

from __future__ import annotations

from pathlib import Path

import pytest
from ingest_scripts import write

from fde.errors import InputError
from ingest.formats.eventlog import LogColumns
from ingest.formats.steps import NO_PAGES
from ingest.recording import Recording
from ingest.recordings import read_recordings

USUAL = """\
Timestamp,Case ID,Event type,Application,Window title,Element name,Control type,Value,URL
2026-11-22 08:00:00,7,Navigate,Chrome,Inbox,,,,http://desk.example/
2026-11-22 08:00:02,7,Left click,Chrome,Inbox,INV-7,Hyperlink,,
2026-11-22 08:00:05,7,Text input,Chrome,Invoice,Cost center,Edit,CC,
2026-11-22 08:00:06,7,Text input,Chrome,Invoice,Cost center,Edit,CC-1,
2026-11-22 08:00:08,7,Select item,Chrome,Invoice,Terms,ComboBox,Net 30,
2026-11-22 08:00:09,7,Left click,Chrome,Invoice,Paid,CheckBox,,
2026-11-22 08:00:10,7,Copy,Chrome,Invoice,,,,
2026-11-22 08:00:12,7,Left click,Chrome,Invoice,,,,
2026-11-22 08:00:14,7,Left click,Chrome,Invoice,Submit,Button,,
2026-11-22 09:00:00,8,Key press,Chrome,Inbox,,,Enter,
"""


def actions(recording: Recording) -> list[str]:
    return [step.action.text() for step in recording.steps]


def test_columns_by_their_usual_names(tmp_path: Path) -> None:
    first, second = read_recordings(write(tmp_path, "log.csv", USUAL)).recordings
    assert first.source_format == "ui-log" and first.workflow == "log"
    assert actions(first) == [
        "goto http://desk.example/",
        'click link "INV-7"',
        'fill textbox "Cost center": CC-1',
        'select combobox "Terms": Net 30',
        'check checkbox "Paid"',
        'click button "Submit"',
    ]
    assert [step.time_s for step in first.steps] == [0.0, 2.0, 6.0, 8.0, 9.0, 14.0]
    assert first.warnings == (
        NO_PAGES,
        "Rows of the kind 'Copy' are no actions and were left out.",
        "row 9: Left click on an element without a name was left out.",
    )
    assert actions(second) == ["press Enter"]


def test_columns_as_the_settings_say(tmp_path: Path) -> None:
    log = "Zeitpunkt;Vorgang;Feld;Eingabe\n08:00:01;Geklickt;Öffnen;\n08:00:03;Getippt;Betrag;12,50\n"
    path = write(tmp_path, "log.csv", log)
    with pytest.raises(InputError, match="not a recording of a known format"):
        read_recordings(path)
    columns = LogColumns(
        time="Zeitpunkt",
        action="Vorgang",
        element="Feld",
        value="Eingabe",
        actions={"Geklickt": "click", "Getippt": "fill"},
    )
    (made,) = read_recordings(path, columns).recordings
    assert actions(made) == ['click clickable "Öffnen"', 'fill textbox "Betrag": 12,50']
    assert [step.time_s for step in made.steps] == [0.0, 2.0]
    with pytest.raises(InputError, match="names the column 'Wert', which is not in the log"):
        read_recordings(path, columns.model_copy(update={"value": "Wert"}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (USUAL.replace("Timestamp", '"Timestamp'), "known format"),
        ("time,event,x,y\n1,click,2,3\n2,click,4\x00,5\n", ""),
        ('{"t": 1, "kind": "click", "x": 1}\n{"t": 2, "kind"', "line 2"),
    ],
)
def test_a_damaged_log(tmp_path: Path, content: str, reason: str) -> None:
    path = write(tmp_path, "log.csv", content)
    if not reason:
        (made,) = read_recordings(path).recordings
        assert any("on an element without a name" in warning for warning in made.warnings)
        return
    with pytest.raises(InputError, match=reason):
        read_recordings(path)
