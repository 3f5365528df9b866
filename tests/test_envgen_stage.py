"""The stage and its commands, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from envgen_desk import documents, recordings

from envgen.stage import build, load_gate, load_workflow, workflow_names
from fde.cli.main import main
from fde.engagement import Engagement
from fde.errors import MissingError
from ingest.action import Action
from ingest.recording import RecordedStep, Recording


def engagement(tmp_path: Path, found: list[Recording]) -> Engagement:
    """An engagement whose redact stage holds the given recordings and the desk's documents."""
    made = Engagement.create(tmp_path / "client", '[engagement]\nname = "Desk"\n')
    run = made.run("redact", inputs={}, config={"n": len(found)})
    with made.working(run):
        for document in documents():
            run.write_json(f"documents/{document.id}.json", document.model_dump(mode="json"))
        for recording in found:
            run.write_json(f"recordings/{recording.id}.json", recording.model_dump(mode="json"))
    return made


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_build_gate_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = engagement(tmp_path, recordings())
    root = str(made.root)
    assert call("-C", root, "envgen", "build", "--json") == 0
    built = json.loads(capsys.readouterr().out)
    (environment,) = built["environments"]
    wanted = {"name", "held_out_pass", "held_out_total", "kill_rate", "kill_ci", "false_reject_rate"}
    assert wanted | {"false_reject_ci", "mutants", "families", "published"} <= environment.keys()
    assert environment["published"] and built["not_compiled"] == {}
    run = made.latest("envgen")
    assert workflow_names(run) == ["decide-claim"]
    assert load_gate(run, "decide-claim").held_out_pass == 3
    assert load_workflow(run, "decide-claim").name == "decide-claim"
    assert call("-C", root, "envgen", "build") == 0
    capsys.readouterr()
    assert made.latest("envgen").id == run.id, "the same input is not compiled twice"
    assert call("-C", root, "envgen", "gate", "--json") == 0
    assert json.loads(capsys.readouterr().out)["environments"] == built["environments"]
    assert call("-C", root, "envgen", "show", "decide-claim") == 0
    told = capsys.readouterr().out
    assert "teams.xlsx" in told and "above 800" in told and "Published" in told
    page = (made.reports / "decide-claim.html").read_text()
    assert "<svg" in page and "<script" not in page and "teams.xlsx" in page and "Sample tasks" in page
    assert call("-C", root, "envgen", "show", "nothing") == 2
    assert call("-C", root, "envgen", "build", "--accept-risk", "no reason") == 2


def test_too_few_recordings_are_not_published_without_a_reason(tmp_path: Path) -> None:
    bare = Recording(
        id="bare",
        workflow="bare",
        instruction="Click.",
        source_format="test",
        steps=(RecordedStep(before=None, action=Action.parse('click link "A"'), after=None),),
    )
    made = engagement(tmp_path, [*recordings(3), bare])
    assert call("-C", str(made.root), "envgen", "build") == 1
    run = made.latest("envgen")
    assert not load_gate(run, "decide-claim").published
    with pytest.raises(MissingError, match="bare"):
        load_workflow(run, "bare")
    risky = build(made, accept_risk={"decide-claim": "a trial"})
    assert load_gate(risky, "decide-claim").accepted_risk == "a trial"


def test_nothing_redacted_is_said(tmp_path: Path) -> None:
    made = Engagement.create(tmp_path / "client", '[engagement]\nname = "Desk"\n')
    assert call("-C", str(made.root), "envgen", "build") == 2
