"""Engagements and runs: atomic, private, resumable, one process at a time."""

from __future__ import annotations

import re
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fde import artifacts
from fde.config import EngagementSettings, ModelSettings, create, section
from fde.engagement import Engagement, Run
from fde.errors import InputError, MissingError
from tests.conftest import RunFde


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make_run(engagement: Engagement, stage: str = "envgen", seed: int = 0) -> Run:
    return engagement.run(stage, inputs={"redact": "abc"}, config={"n": 1}, seed=seed)


def test_a_new_engagement_is_private_where_it_must_be(engagement: Engagement) -> None:
    assert mode(engagement.raw) == 0o700 and mode(engagement.vault) == 0o700
    private = engagement.run("ingest-docs", inputs={}, config={})
    private.write_json("documents/a.json", {"x": 1})
    assert mode(private.path) == 0o700 and mode(private.path.parent) == 0o700
    assert mode(private.path / "documents" / "a.json") == 0o600
    assert mode(make_run(engagement).path) == 0o755


def test_init_makes_it_once_and_checks_what_it_is_told(fde: RunFde, tmp_path: Path) -> None:
    told = fde("init", tmp_path / "acme", "--name", 'A "quoted" \\ é', "--locale", "de-DE", "--json")
    assert told.code == 0 and told.json["engagement"] == str(tmp_path / "acme")
    settings = section(Engagement(tmp_path / "acme"), "engagement", EngagementSettings)
    assert settings.name == 'A "quoted" \\ é' and settings.locale == "de-DE"
    assert fde("init", tmp_path / "acme").code == 2
    told = fde("init", tmp_path / "other", "--currency", "euro")
    assert told.code == 2 and "currency" in told.err
    assert not (tmp_path / "other").exists()
    (tmp_path / "file").write_text("x")
    assert fde("init", tmp_path / "file").code == 2


def test_it_is_found_from_below(engagement: Engagement) -> None:
    below = engagement.reports / "deep"
    below.mkdir()
    assert Engagement.find(below).root == engagement.root


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[engagement]\nname = \n", "line 2", "Invalid value"),
        ("[engagement]\nname = 'x'\nnaem = 'y'\n", "line 3", "naem"),
        ("[engagement]\nname = 3\n", "line 2", "string"),
        ("[engagement]\nname = 'x'\n[modle]\nbase = 'y'\n", "line 3", "modle"),
        ("x = 1\n", "line 1", "no section [x]"),
    ],
)
def test_a_wrong_fde_toml_names_the_line(engagement: Engagement, text: str, line: str, word: str) -> None:
    engagement.config_path.write_text(text)
    with pytest.raises(InputError) as error:
        section(engagement, "engagement", EngagementSettings)
    assert line in str(error.value) and word in str(error.value) and "fde.toml" in str(error.value)


def test_an_fde_toml_that_is_no_text_names_the_line(engagement: Engagement) -> None:
    engagement.config_path.write_bytes(b"[model]\nbase = '\xff'\n")
    with pytest.raises(InputError, match="line 2"):
        section(engagement, "model", ModelSettings)


def test_the_same_work_is_the_same_run(engagement: Engagement) -> None:
    run = make_run(engagement)
    assert not run.finished
    with engagement.working(run):
        run.write_json("result.json", {"x": 1})
    assert make_run(engagement).finished
    assert not make_run(engagement, seed=1).finished
    found = engagement.latest("envgen")
    assert found.id == run.id
    manifest = found.manifest()
    assert manifest.outputs == {"result.json": artifacts.digest_file(run.path / "result.json")}
    assert manifest.inputs == {"redact": "abc"} and manifest.seconds >= 0


def test_what_is_not_finished_is_never_read(engagement: Engagement) -> None:
    run = make_run(engagement)
    with pytest.raises(RuntimeError), engagement.working(run):
        run.write_json("result.json", {})
        raise RuntimeError
    with pytest.raises(MissingError, match="fde envgen build"):
        engagement.latest("envgen")
    with engagement.working(make_run(engagement)) as again:
        assert (again.path / "result.json").exists()
    assert engagement.latest("envgen").id == run.id


WORKER = """
import sys, time
from pathlib import Path
from fde.engagement import Engagement
engagement = Engagement(Path(sys.argv[1]))
run = engagement.run("envgen", inputs={"redact": "abc"}, config={"n": 1})
if run.finished:
    print("skipped")
    raise SystemExit
with engagement.working(run):
    for part in range(3):
        if not (run.path / f"{part}.json").exists():
            run.write_json(f"{part}.json", {"part": part})
        print("part", part, flush=True)
        if len(sys.argv) > 2:
            time.sleep(60)
print("done")
"""


def test_killed_work_goes_on_and_ends_the_same(engagement: Engagement, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WORKER), str(engagement.root)]
    slow = subprocess.Popen([*command, "slow"], stdout=subprocess.PIPE, text=True)
    assert slow.stdout is not None
    with slow.stdout:
        slow.stdout.readline()
        # While it works, nobody else can.
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode != 0 and "Another process is already working" in second.stderr
        slow.send_signal(signal.SIGKILL)
        slow.wait()
    assert not list(engagement.stages.glob("*/*/manifest.json"))
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("done\n")
    outputs = engagement.latest("envgen").manifest().outputs
    clean = create(tmp_path / "clean", name="Test client")
    subprocess.run([*command[:-1], str(clean.root)], capture_output=True, check=True)
    assert clean.latest("envgen").manifest().outputs == outputs
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "skipped\n"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    artifacts.write_json(path, {"old": True})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError) as error:
            artifacts.write_json(path, {"new": "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.errno in (27, 28)
    assert artifacts.read_json(path) == {"old": True}
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_full_disk_is_a_message_and_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 0; exec {sys.executable} -B -m fde.cli.main init {tmp_path}/acme"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "disk is full" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "acme" / "fde.toml").exists()
    done = subprocess.run(
        [sys.executable, "-m", "fde.cli.main", "init", f"{tmp_path}/acme"], capture_output=True, check=False
    )
    assert done.returncode == 0


def test_status_tells_runs_and_the_next_command(engagement: Engagement, fde: RunFde) -> None:
    told = fde("-C", engagement.root, "status", "--json").json
    assert told["runs"] == [] and told["next_command"] == "fde ingest docs PATH…"
    docs = engagement.run("ingest-docs", inputs={}, config={})
    recordings = engagement.run("ingest-recordings", inputs={}, config={})
    for run in (docs, recordings):
        with engagement.working(run):
            run.counts["files"] = 3
    made_from = {"ingest-docs": docs.id, "ingest-recordings": recordings.id}
    with engagement.working(engagement.run("redact", inputs=made_from, config={})):
        pass
    half = make_run(engagement)
    told = fde("-C", engagement.root, "status", "--json").json
    assert told["next_command"] == "fde envgen build"
    rows = {row["stage"]: row for row in told["runs"]}
    assert rows["redact"]["state"] == "done" and rows["redact"]["latest"] and not rows["redact"]["stale"]
    assert rows["ingest-docs"]["counts"] == {"files": 3}
    assert rows["envgen"]["state"] == "interrupted"
    with engagement.working(half):
        told = fde("-C", engagement.root, "status", "--json").json
        assert {row["state"] for row in told["runs"] if row["stage"] == "envgen"} == {"working"}
    with engagement.working(engagement.run("ingest-docs", inputs={"new": "1"}, config={})):
        pass
    told = fde("-C", engagement.root, "status", "--json").json
    assert next(row for row in told["runs"] if row["stage"] == "redact")["stale"]
    assert told["next_command"] == "fde redact run"
    text = fde("-C", engagement.root, "status")
    assert "stale" in text.out and "fde redact run" in text.err


def test_a_damaged_manifest_is_shown_as_such(engagement: Engagement, fde: RunFde) -> None:
    run = make_run(engagement)
    with engagement.working(run):
        pass
    run.manifest_path.write_text("{")
    told = fde("-C", engagement.root, "status", "--json").json
    assert told["runs"][0]["state"] == "damaged"


def test_time_before_an_interruption_counts(engagement: Engagement) -> None:
    run = make_run(engagement)
    with pytest.raises(KeyboardInterrupt), engagement.working(run):
        time.sleep(0.2)
        raise KeyboardInterrupt
    with engagement.working(make_run(engagement)):
        pass
    assert engagement.latest("envgen").manifest().seconds >= 0.2


def test_what_the_template_shows_can_be_said(engagement: Engagement) -> None:
    from envgen.live_config import LiveSettings
    from evaluate.settings import settings as evaluate_settings
    from redact.policy import load as redact_policy
    from serve.service import ServeSettings

    text = engagement.config_path.read_text()
    shown = re.sub(r"^# (\[?[a-z_.]+(?:\]| = ))", r"\1", text, flags=re.MULTILINE)
    assert shown.count("\n# ") < text.count("\n# ") - 15
    engagement.config_path.write_text(shown)
    (engagement.raw / "people.csv").write_text("name\nAnn Example\n")
    assert redact_policy(engagement).people == ("Ann Example",)
    assert evaluate_settings(engagement).tasks == 100
    assert section(engagement, "live", LiveSettings).factory == "package.module:function"
    assert section(engagement, "serve", ServeSettings).port == 8000
    # What the template says is taken when nothing is said.
    engagement.config_path.write_text(text)
    defaults = evaluate_settings(engagement)
    engagement.config_path.write_text(shown)
    assert evaluate_settings(engagement).model_copy(update={"workflow": None}) == defaults.model_copy(
        update={"costs": evaluate_settings(engagement).costs}
    )
