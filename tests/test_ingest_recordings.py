"""Recording files: what is written can be read, and nothing hostile gets through."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fde.errors import InputError, MissingError
from ingest.action import Action
from ingest.formats import base
from ingest.formats.base import blob_name
from ingest.formats.fderec import write_recording
from ingest.recording import Effect, RecordedStep, Recording, Snapshot
from ingest.recordings import read_recording

DOM = b"<p>x</p>"


def example() -> Recording:
    snapshot = Snapshot(url="http://a/", title="A", text='- button "Go"', dom=blob_name(DOM, "html"))
    step = RecordedStep(
        before=snapshot,
        action=Action.parse('click button "Go"'),
        after=snapshot,
        effects=(Effect(method="POST", url="http://a/", status=303, body={"a": ["1", "2"]}, location="/b"),),
        time_s=1.5,
    )
    return Recording(id="r", workflow="w", instruction="Do.", source_format="fderec", steps=(step,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.fderec"


def test_what_is_written_is_read_and_equal_bytes(path: Path) -> None:
    blobs = {blob_name(DOM, "html"): DOM}
    write_recording(path, example(), blobs)
    assert read_recording(path) == (example(), blobs)
    first = path.read_bytes()
    write_recording(path, example(), blobs)
    assert path.read_bytes() == first


def archive(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return path


def content(**changes: Any) -> bytes:
    raw = {"format": 1, **example().model_dump(mode="json"), **changes}
    return json.dumps(raw).encode()


def blob_entry() -> dict[str, bytes]:
    return {f"blobs/{blob_name(DOM, 'html')}": DOM}


HOSTILE: list[tuple[str, dict[str, bytes]]] = [
    ("points out", {"recording.json": content(), "../evil": b"x"}),
    ("points out", {"recording.json": content(), "/etc/evil": b"x"}),
    ("points out", {"recording.json": content(), "a\\..\\..\\evil": b"x"}),
    ("points out", {"recording.json": content(), "C:/evil": b"x"}),
    ("unexpected entry", {"recording.json": content(), **blob_entry(), "extra.txt": b"x"}),
    ("packed like a bomb", {"recording.json": content(), "blobs/big": b"\0" * 5_000_000}),
    ("not JSON", {"recording.json": b"{"}),
    ("not JSON", {"recording.json": b"[" * 200_000}),
    ("not an object", {"recording.json": b"[]"}),
    ("format 99", {"recording.json": content(format=99)}),
    ("format None", {"recording.json": b"{}"}),
    (
        "steps.0.action.verb",
        {"recording.json": content(steps=[{"before": None, "action": {"verb": "hack"}, "after": None}])},
    ),
    (
        "instruction",
        {"recording.json": json.dumps({"format": 1, "id": "x"}).encode().replace(b'"id"', b'"idx"')},
    ),
    ("is missing", {"recording.json": content()}),
    ("digest differs", {"recording.json": content(), f"blobs/{blob_name(DOM, 'html')}": b"changed"}),
]


@pytest.mark.parametrize(
    ("reason", "entries"), HOSTILE, ids=[f"{i}-{reason}" for i, (reason, _) in enumerate(HOSTILE)]
)
def test_a_hostile_archive_is_refused_with_the_reason(
    path: Path, reason: str, entries: dict[str, bytes]
) -> None:
    archive(path, entries)
    with pytest.raises(InputError) as error:
        read_recording(path)
    if reason != "instruction":
        assert reason in str(error.value)
    assert str(path) in str(error.value)
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing is unpacked to disk"


def test_a_snapshot_out_of_the_format_names_step_and_line(path: Path) -> None:
    raw = example().model_dump(mode="json")
    raw["steps"][0]["after"]["text"] = "- fine\nbroken"
    archive(path, {"recording.json": json.dumps({"format": 1, **raw}).encode(), **blob_entry()})
    with pytest.raises(InputError, match=r"step 1: .*line 2"):
        read_recording(path)


def test_any_truncation_is_refused(path: Path) -> None:
    write_recording(path, example(), {blob_name(DOM, "html"): DOM})
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_recording(path)


def test_any_flipped_byte_is_refused_or_harmless(path: Path) -> None:
    write_recording(path, example(), {blob_name(DOM, "html"): DOM})
    whole = path.read_bytes()
    for at in range(0, len(whole), 41):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            found = read_recording(path)[0]
        except InputError:
            continue
        assert found == example()


def test_too_many_entries_and_too_much_content(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(path, {"recording.json": content(), **blob_entry()})
    monkeypatch.setattr(base, "MAX_ENTRIES", 1)
    with pytest.raises(InputError, match="2 entries"):
        read_recording(path)
    monkeypatch.setattr(base, "MAX_ENTRIES", 100)
    monkeypatch.setattr(base, "MAX_TOTAL_BYTES", 100)
    with pytest.raises(InputError, match="unpacks to more"):
        read_recording(path)


def test_an_entry_that_lies_about_its_size_is_refused(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("recording.json", content())
    raw = bytearray(buffer.getvalue())
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    with pytest.raises(InputError):
        read_recording(path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG", b"PK\x03\x04broken"])
def test_other_files_are_no_recordings(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_recording(path)


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(MissingError):
        read_recording(path)
