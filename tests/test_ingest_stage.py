"""The ingest stages and their commands: kept privately, file by file, resumed and skipped."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fde.engagement import Engagement
from fde.errors import InputError, MissingError
from ingest import stage
from ingest.action import Action
from ingest.formats.fderec import write_recording
from ingest.recording import Effect, RecordedStep, Recording, Snapshot
from ingest.workers import Limits


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


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that are given to a reader."""
    names: list[str] = []
    original = stage.answers

    def counted(job: str, tasks: Sequence[dict[str, Any]], *rest: Any) -> Any:
        names.extend(task["source"] for task in tasks)
        return original(job, tasks, *rest)

    monkeypatch.setattr(stage, "answers", counted)
    return names


def test_a_changed_file_is_read_again_and_no_other(
    engagement: Engagement, inbox: Path, read_files: list[str]
) -> None:
    first = stage.ingest_documents(engagement, [inbox])
    assert sorted(read_files) == ["broken.pdf", "deep/note.txt", "policy.md"]
    read_files.clear()
    again = stage.ingest_documents(engagement, [inbox])
    assert again.id == first.id and read_files == []
    (inbox / "policy.md").write_text("changed")
    changed = stage.ingest_documents(engagement, [inbox])
    assert changed.id != first.id and read_files == ["policy.md"]
    texts = [document.text for document in stage.documents_of(changed)]
    assert texts == ["A note.", "changed"]
    assert [document.text for document in stage.documents_of(first)][1].startswith("# Limits")
    rows = {row["source"]: row["error"] for row in stage.report(changed)["files"]}
    assert "damaged" in rows["broken.pdf"], "why a file was left out is taken over as well"
    raw = sorted(path.name for path in (engagement.raw / "docs").iterdir() if path.stem.startswith("policy"))
    assert len(raw) == 2, "the file as it was before stays"
    (inbox / "policy.md").rename(inbox / "renamed.md")
    read_files.clear()
    stage.ingest_documents(engagement, [inbox])
    assert read_files == ["renamed.md"]


def test_what_other_readers_read_is_not_taken_over(
    engagement: Engagement, inbox: Path, read_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.ingest_documents(engagement, [inbox])
    read_files.clear()
    monkeypatch.setattr(stage, "VERSION", stage.VERSION + 1)
    stage.ingest_documents(engagement, [inbox])
    assert len(read_files) == 3


def test_a_file_that_took_too_long_is_tried_again(
    engagement: Engagement, inbox: Path, read_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = replace(stage._DOCUMENTS, job="ingest_misbehaviour:hang_on_policy")
    with monkeypatch.context() as patch:
        patch.setattr(stage, "_DOCUMENTS", hanging)
        first = stage.ingest_documents(engagement, [inbox], limits=Limits(seconds=8.0))
    rows = {row["source"]: row for row in stage.report(first)["files"]}
    assert rows["policy.md"]["error"] == "it took longer than 8 s"
    assert rows["deep/note.txt"]["error"] is None and first.manifest().counts["failed"] == 2
    read_files.clear()
    second = stage.ingest_documents(engagement, [inbox])
    assert read_files == ["policy.md"] and second.manifest().counts["failed"] == 1


def test_interrupted_work_goes_on_with_the_next_file(
    engagement: Engagement, inbox: Path, read_files: list[str]
) -> None:
    seen: list[str] = []

    def interrupt(name: str) -> None:
        seen.append(name)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.ingest_documents(engagement, [inbox], interrupt, processes=1)
    with pytest.raises(MissingError):
        engagement.latest("ingest-docs")
    read_files.clear()
    run = stage.ingest_documents(engagement, [inbox])
    assert read_files == ["policy.md"], "what was read before the interruption is not read again"
    assert run.manifest().counts["documents"] == 2


def test_parts_that_were_left_out_are_rows(fde: Any, engagement: Engagement, tmp_path: Path) -> None:
    packed = tmp_path / "all.zip"
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("a/rules.md", "# Rules")
        made.writestr("b/old.pdf", b"%PDF-1.4 broken")
    told = fde("-C", engagement.root, "ingest", "docs", packed, "--json")
    assert told.code == 1
    assert [row["source"] for row in told.json["documents"]] == ["all.zip!a/rules.md"]
    assert [row["source"] for row in told.json["failed"]] == ["all.zip!b/old.pdf"]
    assert told.json["failed"][0]["error"].startswith("it is damaged")
    again = fde("-C", engagement.root, "ingest", "docs", packed, "--json")
    assert (again.code, again.json) == (1, told.json)


def test_documents_that_say_nearly_the_same_are_marked(engagement: Engagement, inbox: Path) -> None:
    (inbox / "broken.pdf").unlink()
    text = " ".join(f"Rule {n}: amounts above {n * 500} go to the lead of team {n % 7}." for n in range(60))
    (inbox / "a.md").write_text(text)
    (inbox / "b.txt").write_text(text.replace("Rule 30", "Rule thirty"))
    (inbox / "c.md").write_text(text.replace("amounts", "orders").replace("lead", "head"))
    run = stage.ingest_documents(engagement, [inbox])
    made = {document.source: document for document in stage.documents_of(run)}
    assert made["b.txt"].duplicate_of == made["a.md"].id
    assert all(made[name].duplicate_of is None for name in ("a.md", "c.md", "policy.md", "deep/note.txt"))
    rows = {row["source"]: row["made"][0] for row in stage.report(run)["files"]}
    assert rows["b.txt"]["duplicate_of"] == made["a.md"].id
    (inbox / "a.md").unlink()
    alone = {
        document.source: document
        for document in stage.documents_of(stage.ingest_documents(engagement, [inbox]))
    }
    assert alone["b.txt"].duplicate_of is None, "what was taken over is marked anew"
    assert {document.source: document for document in stage.documents_of(run)} == made


def test_recordings_that_have_not_changed_are_taken_over(
    engagement: Engagement, tmp_path: Path, read_files: list[str]
) -> None:
    files = [recording_file(tmp_path / f"{name}.fderec", "same", name) for name in "abc"]
    first = stage.ingest_recordings(engagement, files)
    read_files.clear()
    second = stage.ingest_recordings(engagement, files[1:])
    assert read_files == []
    ids = {recording.source: recording.id for recording in stage.recordings_of(second)}
    assert ids["b.fderec"] == "same" and ids["c.fderec"].startswith("same-")
    assert len({recording.id for recording in stage.recordings_of(first)}) == 3
    fresh = {recording.source: recording.workflow for recording in stage.recordings_of(second)}
    assert fresh == {"b.fderec": "b", "c.fderec": "c"}
    assert not list(second.path.glob("recordings/.*"))


def test_a_killed_process_leaves_nothing_half_believed(engagement: Engagement, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(120):
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
        "chunks": 120,
        "characters": run.manifest().counts["characters"],
        "documents": 120,
        "failed": 0,
        "files": 120,
        "tables": 0,
        "warnings": 0,
    }
    assert len(stage.documents_of(run)) == 120
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


def test_names_that_are_no_text_are_read_all_the_same(engagement: Engagement, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in (b"caf\xe9.md", b"caf\xe8.md"):
        (folder / os.fsdecode(name)).write_bytes(b"# " + name)
    run = stage.ingest_documents(engagement, [folder])
    assert len(stage.documents_of(run)) == 2 and run.manifest().counts["failed"] == 0


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
