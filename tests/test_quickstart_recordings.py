"""The sample company's recordings: whole, right, without secrets, and made again by one command."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from fde.errors import InputError
from ingest.action import resolve
from ingest.recording import Recording
from ingest.recordings import read_recording
from ingest.snapshot import parse
from playbooks.quickstart import company
from playbooks.quickstart.make_recordings import FOLDER, make_recordings
from playbooks.quickstart.plans import WORKFLOWS, Plan, recorded_plans

CASES = [
    pytest.param(workflow, number, id=f"{workflow}-{number:02d}")
    for workflow in WORKFLOWS
    for number in range(1, len(recorded_plans(workflow)) + 1)
]
CONFIRMATIONS = {
    "code-invoice": tuple(f"Routed to {head}" for head in company.APPROVERS),
    "resolve-duplicate": ("Duplicate of INV-", "Reinstated"),
    "update-bank": ("Bank changed, hold None", "Bank changed, hold 30 days"),
}


@cache
def recording(workflow: str, number: int) -> tuple[Recording, dict[str, bytes]]:
    return read_recording(FOLDER / workflow / f"{number:02d}.fderec")


@cache
def plans(workflow: str) -> list[Plan]:
    return recorded_plans(workflow)


@pytest.mark.parametrize(("workflow", "number"), CASES)
def test_recording_shows_its_plan(workflow: str, number: int) -> None:
    made, _ = recording(workflow, number)
    plan = plans(workflow)[number - 1]
    assert (made.workflow, made.instruction, made.warnings) == (workflow, plan.instruction, ())
    assert all(value in made.instruction for value in plan.parameters.values())


@pytest.mark.parametrize(("workflow", "number"), CASES)
def test_recording_ends_on_the_confirmation(workflow: str, number: int) -> None:
    made, _ = recording(workflow, number)
    last = made.steps[-1]
    assert last.after is not None
    shown = [node.text() for node in parse(last.after.text).walk() if node.role == "status"]
    assert len(shown) == 1
    assert shown[0].startswith(CONFIRMATIONS[workflow])
    writes = [
        effect for step in made.steps for effect in step.effects if effect.writes and effect.status == 303
    ]
    assert len(writes) == 2  # the log-in and the work, once


@pytest.mark.parametrize(("workflow", "number"), CASES)
def test_every_target_is_on_the_page_before(workflow: str, number: int) -> None:
    made, _ = recording(workflow, number)
    for step in made.steps:
        if step.action.target is not None:
            assert step.before is not None
            assert resolve(parse(step.before.text), step.action.target) is not None, step.action.text()


@pytest.mark.parametrize(("workflow", "number"), CASES)
def test_password_is_nowhere(workflow: str, number: int) -> None:
    made, blobs = recording(workflow, number)
    assert sum(step.masked for step in made.steps) == 1
    assert company.PASSWORD not in made.model_dump_json()
    assert all(company.PASSWORD.encode() not in data for data in blobs.values())


def test_recordings_vary() -> None:
    assert {workflow: len(plans(workflow)) for workflow in WORKFLOWS} == {
        "code-invoice": 14,
        "resolve-duplicate": 12,
        "update-bank": 14,
    }
    for workflow in WORKFLOWS:
        made = [recording(workflow, number)[0] for number in range(1, len(plans(workflow)) + 1)]
        shapes = {
            tuple((s.action.verb, s.action.target and s.action.target.role) for s in m.steps) for m in made
        }
        assert len(shapes) >= 6
        assert len({m.instruction for m in made}) == len(made)
    people = {text for m in (recording("update-bank", n)[0] for n in range(1, 5)) for text in _clerks(m)}
    assert len(people) == 4


def _clerks(made: Recording) -> set[str]:
    assert made.steps[-1].after is not None
    return {clerk.short for clerk in company.CLERKS if clerk.short in made.steps[-1].after.text}


def test_folder_is_complete_and_small() -> None:
    files = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file())
    assert files == sorted(f"{w}/{n:02d}.fderec" for w in WORKFLOWS for n in range(1, len(plans(w)) + 1))
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.fderec")) <= 8_000_000


def test_what_is_there_is_not_recorded_again() -> None:
    assert list(make_recordings(FOLDER)) == []


def test_unknown_workflow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Unknown workflow 'dance'"):
        list(make_recordings(tmp_path, workflows=["dance"]))


@pytest.mark.browser
def test_recording_again_gives_the_same_actions(tmp_path: Path) -> None:
    number = 14  # a correction, a purchase order, and the reserve
    shutil.copytree(FOLDER / "code-invoice", tmp_path / "code-invoice")
    missing = tmp_path / "code-invoice" / f"{number:02d}.fderec"
    missing.unlink()
    assert list(make_recordings(tmp_path, workflows=["code-invoice"])) == [missing]
    again, _ = read_recording(missing)
    before, _ = recording("code-invoice", number)
    # The address of the portal differs: its port is free at the time.
    assert [s.action.text() for s in again.steps[1:]] == [s.action.text() for s in before.steps[1:]]
    assert [s.after and s.after.text for s in again.steps] == [s.after and s.after.text for s in before.steps]
