"""The ingest stages and their commands: kept privately, file by file, resumed and skipped."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fde.engagement import Engagement
from fde.errors import InputError, MissingError
from ingest import stage
from ingest.action import Action
from ingest.formats.fderec import write_recording
from ingest.recording import Effect, RecordedStep, Recording, Snapshot


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A client's folder: two readable files, one that is not, one hidden."""
    folder = tmp_path / "inbox"
    (folder / "deep").mkdir(parents=True)
    (folder / "policy.md").write_text("# Limits\n\n| A | B |\n|---|---|\n| 1 | 2 |\n")
    (folder / "deep" / "note.txt").write_text("A note.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (folder / ".hidden").write_text("x")
    return folder


def recording_file(path: Path, name: str = "r1", workflow: str = "w") -> Path:
    page = Snapshot(url="http://a/", title="A", text='- button "Go"')
    step = RecordedStep(
        before=page,
        action=Action.parse('click button "Go"'),
        after=page,
        effects=(Effect(method="POST", url="http://a/"),),
    )
    made = Recording(
        id=name,
        workflow=workflow,
        instruction="Do.",
        source_format="fderec",
        steps=(step, step),
        warnings=("odd",),
    )
    write_recording(path, made, {})
    return path


def test_documents_are_kept_privately_and_one_bad_file_is_a_row(engagement: Engagement, inbox: Path) -> None:
    run = stage.ingest_documents(engagement, [inbox])
    rows = {row["source"]: row["error"] for row in stage.report(run)["files"]}
    assert set(rows) == {"policy.md", "deep/note.txt", "broken.pdf"}
    assert rows["policy.md"] is None and "damaged" in rows["broken.pdf"]
    assert run.manifest().counts["failed"] == 1 and run.manifest().counts["documents"] == 2
    assert [document.source for document in stage.documents_of(run)] == ["deep/note.txt", "policy.md"]
    assert engagement.latest("ingest-docs").id == run.id
    assert (engagement.raw / "docs" / "deep" / "note.txt").read_text() == "A note."
    for path in (*engagement.raw.rglob("*"), *run.path.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.name not in ("manifest.json", "latest"):
            assert mode == (0o700 if path.is_dir() else 0o600), path
    assert not list(run.path.glob(".row-*")), "marks of unfinished work are gone"


def test_the_same_files_are_not_read_again(
    engagement: Engagement, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stage.ingest_documents(engagement, [inbox])

    def never(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(stage, "read_document", never)
    again = stage.ingest_documents(engagement, [inbox])
    assert again.id == first.id
    (inbox / "policy.md").write_text("changed")
    monkeypatch.undo()
    changed = stage.ingest_documents(engagement, [inbox])
    assert changed.id != first.id
    raw = sorted(path.name for path in (engagement.raw / "docs").iterdir() if path.stem.startswith("policy"))
    assert len(raw) == 2, "the file as it was before stays"


def test_interrupted_work_goes_on_with_the_next_file(engagement: Engagement, inbox: Path) -> None:
    seen: list[str] = []

    def interrupt(name: str) -> None:
        seen.append(name)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.ingest_documents(engagement, [inbox], interrupt)
    with pytest.raises(MissingError):
        engagement.latest("ingest-docs")
    read: list[str] = []
    original = stage.read_document

    def counted(path: Path, source: str | None = None) -> Any:
        read.append(str(source))
        return original(path, source)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "read_document", counted)
        run = stage.ingest_documents(engagement, [inbox])
    assert read == ["policy.md"], "what was read before the interruption is not read again"
    assert run.manifest().counts["documents"] == 2


def test_a_killed_process_leaves_nothing_half_believed(engagement: Engagement, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03d}.md").write_text(f"# Page {number}\n\n" + "text " * 200)
    command = [
        sys.executable,
        "-m",
        "fde.cli.main",
        "-C",
        str(engagement.root),
        "ingest",
        "docs",
        str(folder),
    ]
    repository = Path(__file__).parents[1]
    process = subprocess.Popen(
        command,
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows = engagement.stages / "ingest-docs"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and len(list(rows.glob("*/.row-*"))) < 20 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = stage.ingest_documents(engagement, [folder])
    assert run.manifest().counts == {
        "chunks": 300,
        "characters": run.manifest().counts["characters"],
        "documents": 300,
        "failed": 0,
        "files": 300,
        "tables": 0,
        "warnings": 0,
    }
    assert len(stage.documents_of(run)) == 300
    assert not list(run.path.rglob("*.tmp"))


def test_files_of_one_name_are_told_apart(engagement: Engagement, tmp_path: Path) -> None:
    paths = []
    for folder, text in (("a", "one"), ("b", "two"), ("c/b", "three"), ("d", "one")):
        path = tmp_path / folder / "note.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        paths.append(path)
    run = stage.ingest_documents(engagement, paths)
    assert sorted(document.text for document in stage.documents_of(run)) == ["one", "three", "two"]


def test_links_out_of_a_folder_are_not_followed(engagement: Engagement, inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not handed over")
    (inbox / "link.txt").symlink_to(secret)
    run = stage.ingest_documents(engagement, [inbox])
    assert all("handed over" not in document.text for document in stage.documents_of(run))


def test_nothing_readable_is_bad_input(engagement: Engagement, inbox: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"broken\.pdf: it is damaged"):
        stage.ingest_documents(engagement, [inbox / "broken.pdf"])
    with pytest.raises(MissingError):
        engagement.latest("ingest-docs")
    with pytest.raises(MissingError, match="nowhere"):
        stage.ingest_documents(engagement, [tmp_path / "nowhere"])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="No files"):
        stage.ingest_documents(engagement, [empty])


def test_recordings_get_ids_that_are_file_names_of_their_own(engagement: Engagement, tmp_path: Path) -> None:
    files = [
        recording_file(tmp_path / "1.fderec", "same"),
        recording_file(tmp_path / "2.fderec", "same", "other"),
        recording_file(tmp_path / "3.fderec", "../../evil"),
    ]
    run = stage.ingest_recordings(engagement, files)
    made = stage.recordings_of(run)
    assert len(made) == 3 and len({recording.id for recording in made}) == 3
    assert all("/" not in recording.id and not recording.id.startswith(".") for recording in made)
    assert sorted(recording.source for recording in made) == ["1.fderec", "2.fderec", "3.fderec"]
    assert len(list((run.path / "recordings").iterdir())) == 3


# The commands


def test_documents_by_command(fde: Any, engagement: Engagement, inbox: Path) -> None:
    told = fde("-C", engagement.root, "ingest", "docs", inbox, "--json")
    assert told.code == 1, "one file was left out"
    assert "broken.pdf" in told.err
    first = {row["source"]: row for row in told.json["documents"]}["policy.md"]
    assert first["media_type"] == "text/markdown" and first["tables"] == 1 and first["warnings"] == []
    assert first["characters"] > 10 and first["id"].startswith("policy-md-")
    assert told.json["failed"][0]["source"] == "broken.pdf"
    assert told.json["run"] == engagement.latest("ingest-docs").id
    (inbox / "broken.pdf").unlink()
    told = fde("-C", engagement.root, "ingest", "docs", inbox)
    assert told.code == 0 and "policy.md" in told.out


def test_recordings_by_command_with_and_without_an_engagement(
    fde: Any, engagement: Engagement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recording_file(tmp_path / "r.fderec")
    monkeypatch.chdir(tmp_path)
    loose = fde("ingest", "recordings", file, "--json")
    kept = fde("-C", engagement.root, "ingest", "recordings", file, "--json")
    assert (loose.code, kept.code) == (0, 0)
    assert (
        loose.json["recordings"]
        == kept.json["recordings"]
        == [
            {
                "id": "r1",
                "workflow": "w",
                "instruction": "Do.",
                "source": "r.fderec",
                "source_format": "fderec",
                "steps": 2,
                "actions": ['click button "Go"'] * 2,
                "snapshots": 1,
                "effects": 2,
                "warnings": ["odd"],
            }
        ]
    )
    assert loose.json["run"] is None and "nothing is kept" in loose.err
    assert kept.json["run"] == engagement.latest("ingest-recordings").id


def test_bad_input_by_command(fde: Any, engagement: Engagement, inbox: Path, tmp_path: Path) -> None:
    for arguments in (
        ["-C", engagement.root, "ingest", "docs", inbox / "broken.pdf"],
        ["-C", engagement.root, "ingest", "recordings", inbox / "policy.md"],
        ["-C", engagement.root, "ingest", "docs", tmp_path / "nowhere"],
        ["-C", tmp_path / "nowhere", "ingest", "docs", inbox],
        ["ingest", "docs"],
    ):
        told = fde(*arguments)
        assert told.code == 2, arguments
        assert told.out == "" and told.err
