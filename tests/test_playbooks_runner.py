"""Running a playbook: in processes of its own, resumed after a kill, never twice at once."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from processes import left

from fde.artifacts import read_json
from fde.engagement import Engagement
from playbooks import quickstart
from playbooks.meter import MemoryMeter
from tests.conftest import RunFde

SAMPLE = Path(quickstart.__file__).parent / "recordings" / "code-invoice" / "01.fderec"
PLAYBOOK = """\
name: try
title: Try it
engagement: {folder: demo, config: fde.toml}
stages:
  - {name: documents, uses: ingest.docs, with: {paths: [docs]}}
  - {name: recordings, uses: ingest.recordings, with: {paths: [recordings]}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a playbook of two stages and a document."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "note.md").write_text("# Limits\n\nUp to 500 EUR the clerk decides.\n")
    (tmp_path / "recordings").mkdir()
    shutil.copy(SAMPLE, tmp_path / "recordings")
    (tmp_path / "fde.toml").write_text('[engagement]\nname = "Try"\n')
    (tmp_path / "p.yaml").write_text(PLAYBOOK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_makes_the_engagement_runs_all_and_skips_the_second_time(here: Path, fde: RunFde) -> None:
    told = fde("playbook", "run", "p.yaml", "--json")
    assert told.code == 0, told.err
    first = told.json
    assert [(stage["name"], stage["status"]) for stage in first["stages"]] == [
        ("documents", "done"), ("recordings", "done"),
    ]  # fmt: skip
    assert first["stages"][0]["run"].startswith("ingest-docs/")
    assert first["stages"][1]["seconds"] > 0 and first["stages"][1]["peak_memory_bytes"] > 10_000_000
    assert "share" in told.err and "documents" in told.err
    timings = read_json(here / "demo" / "reports" / "timings.json")
    assert sum(row["share"] for row in timings["stages"]) == pytest.approx(1, abs=0.001)
    content = (here / "demo" / "reports" / "timings.json").read_bytes()

    second = fde("playbook", "run", "p.yaml", "--json").json
    assert [stage["status"] for stage in second["stages"]] == ["skipped", "skipped"]
    assert second["stages"] == [{**stage, "status": "skipped"} for stage in first["stages"]]
    assert (here / "demo" / "reports" / "timings.json").read_bytes() == content

    (here / "docs" / "note.md").write_text("# Limits\n\nUp to 900 EUR the clerk decides.\n")
    third = fde("playbook", "run", "p.yaml", "--json").json
    assert [stage["status"] for stage in third["stages"]] == ["done", "skipped"]
    assert third["stages"][0]["run"] != first["stages"][0]["run"]


def test_a_named_engagement_is_used(here: Path, fde: RunFde) -> None:
    assert fde("-C", here / "other", "playbook", "run", "p.yaml").code == 0
    assert (here / "other" / "fde.toml").read_text() == (here / "fde.toml").read_text()
    assert not (here / "demo").exists()


def test_a_failing_stage_ends_it_with_its_error(here: Path, fde: RunFde) -> None:
    (here / "p.yaml").write_text(PLAYBOOK.replace("[recordings]", "[nowhere]"))
    told = fde("playbook", "run", "p.yaml", "--json")
    assert told.code == 2
    assert "Stage 'recordings'" in told.err and "nowhere" in told.err and "Traceback" not in told.err
    assert [stage["status"] for stage in told.json["stages"]] == ["done", "failed"]
    assert told.json["stages"][1]["seconds"] > 0
    assert "nowhere" in told.json["error"] and told.json["report"] is None
    (here / "p.yaml").write_text(PLAYBOOK)
    assert fde("playbook", "run", "p.yaml").code == 0


def test_a_file_missing_beside_the_playbook(here: Path, fde: RunFde) -> None:
    (here / "fde.toml").unlink()
    told = fde("playbook", "run", "p.yaml")
    assert told.code == 2 and "fde.toml is not there" in told.err
    assert not (here / "demo").exists()


def test_a_corrupt_fde_toml_beside_the_playbook(here: Path, fde: RunFde) -> None:
    (here / "fde.toml").write_text("[engagement]\nname = \n")
    told = fde("playbook", "run", "p.yaml")
    assert told.code == 2 and "line 2" in told.err


@pytest.mark.parametrize("delay_s", [0.0, 0.15, 0.6, 1.0])
def test_killed_at_any_moment_it_goes_on(here: Path, fde: RunFde, delay_s: float) -> None:
    for number in range(30):
        (here / "docs" / f"{number}.md").write_text(f"# Document {number}\n\nText {number}.\n")
    command = [sys.executable, "-m", "fde.cli.main", "playbook", "run", "p.yaml"]
    runner = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert runner.stderr is not None
    with runner.stderr:
        assert "documents" in runner.stderr.readline()
        time.sleep(delay_s)
        children = psutil.Process(runner.pid).children(recursive=True) if runner.poll() is None else []
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    assert not left(children), "a killed runner left a stage working"
    told = fde("playbook", "run", "p.yaml", "--json")
    assert told.code == 0, told.err
    documents = Engagement(here / "demo").latest("ingest-docs")
    clean = fde("-C", here / "clean", "playbook", "run", "p.yaml", "--json")
    assert clean.code == 0
    assert documents.manifest().outputs == Engagement(here / "clean").latest("ingest-docs").manifest().outputs


def test_one_runner_at_a_time(here: Path, fde: RunFde) -> None:
    assert fde("playbook", "run", "p.yaml").code == 0
    with (here / "demo" / "stages" / ".playbook.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = fde("playbook", "run", "p.yaml")
    assert told.code == 2 and "Another process is running a playbook" in told.err


def test_an_interrupt_ends_with_130(here: Path) -> None:
    command = [sys.executable, "-m", "fde.cli.main", "playbook", "run", "p.yaml"]
    runner = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert runner.stderr is not None
    runner.stderr.readline()
    os.killpg(runner.pid, signal.SIGINT)  # as Ctrl-C does
    _, err = runner.communicate(timeout=60)
    assert runner.returncode == 130
    assert "Interrupted" in err and "run the same command" in err


def test_the_meter_sees_what_a_child_of_a_child_takes() -> None:
    grandchild = "x = bytearray(120_000_000); import time; time.sleep(1.5)"
    source = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    child = subprocess.Popen([sys.executable, "-c", source])
    with MemoryMeter(child.pid, every_s=0.1) as meter:
        child.wait()
    assert 120_000_000 < meter.peak_bytes < 400_000_000


def test_a_full_disk_ends_it_with_a_message_and_loses_nothing(here: Path, fde: RunFde) -> None:
    # No file may grow beyond 2 kB: to a program that is the same as a disk without room.
    run = f"{sys.executable} -B -m fde.cli.main playbook run p.yaml"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 2; exec {run}"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "disk is full" in done.stderr and "Traceback" not in done.stderr
    told = fde("playbook", "run", "p.yaml", "--json")
    assert told.code == 0, told.err
    assert Engagement(here / "demo").latest("ingest-recordings").manifest().counts["recordings"] == 1
