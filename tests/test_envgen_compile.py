"""Compiling the claims desk's recordings: the rules found are the ones the experts worked by."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from envgen_desk import PLANS, Claim, decision, documents, record, recordings
from envgen_rules import rules

from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.replay import replay
from envgen.session import Task
from envgen.tasks import make_tasks
from envgen.texts import extract, fill, induce
from envgen.traces import Parser, trace
from envgen.values import convert, iban_valid, luhn_valid, number
from envgen.workflow import Workflow
from fde.errors import InputError
from ingest.action import Action
from ingest.recording import RecordedStep, Recording
from ingest.recordings import read_recording


@cache
def desk() -> Workflow:
    return compile_workflow(recordings(), documents())


def run(env: WorkflowEnv, task: Task) -> list[Action]:
    view = env.reset(task)
    done: list[Action] = []
    while not view.finished:
        action = env.next_action()
        assert action is not None, view.text
        done.append(action)
        view = env.step(action)
    return done


def test_limits_come_from_the_later_document_and_the_exception_is_found() -> None:
    found = rules(desk())
    assert "above 800" in found["Decision"]
    assert "above 4000" in found["Decision"]
    assert "Gold" in found["Decision"]
    assert "500" not in found["Decision"]
    assert "teams.xlsx" in found["Team"]
    assert "Team Spare" in found["Team"]


def test_program_agrees_with_the_rules_on_new_claims_and_unseen_plans() -> None:
    env = WorkflowEnv(desk())
    plans = set()
    for task in make_tasks(desk(), "test", 60):
        run(env, task)
        assert env.score().passed
        made = dict(env.state.writes[0].values)
        shown = env.instance.records["Claim"][task.parameters["claim"]]
        cents = number(shown["Cost"])
        assert cents is not None
        plans.add(shown["Plan"])
        claim = Claim(task.parameters["claim"], "", shown["Plan"], int(cents * 100), 1)
        assert made["Decision"] == decision(claim)
        assert made["Team"] in (PLANS[shown["Plan"]], "Team Spare")
        assert made["Payout"] == (f"{cents:.2f}" if made["Decision"] == "Approve" else "")
    assert "Senior" in plans, "a plan that only the table knows"


def test_every_recording_replays_in_its_own_instance_page_by_page() -> None:
    for index, recording in enumerate(recordings()):
        found = replay(desk(), trace(recording, Parser()))
        assert found.score.passed, (recording.id, found.score.reasons)
        assert not found.different, found.different
        written = record(index)[1].decided
        assert len(written) == 1


@pytest.mark.parametrize("left_out", range(12))
def test_a_recording_left_out_of_compilation_replays(left_out: int) -> None:
    everything = recordings()
    held = everything.pop(left_out)
    if held.id == "r10":
        pytest.skip("the only recording that shows the message it ends in")
    found = replay(compile_workflow(everything, documents()), trace(held, Parser()))
    assert found.score.passed, found.score.reasons


def test_compiling_without_documents_asks_about_the_limits() -> None:
    questions = [f for f in compile_workflow(recordings()).findings if f.severity == "question"]
    assert any(f.kind == "limit" and "Decision" in f.text for f in questions)
    assert any(f.kind == "map" and "Team" in f.text for f in questions)


def test_contradicting_recordings_are_shown_side_by_side() -> None:
    everything = recordings()
    text = everything[0].model_dump_json()
    chosen = r"combobox \"Decision\": Approve"
    assert chosen in text
    text = text.replace(chosen, chosen.replace("Approve", "Reject")).replace(
        '"value":"Approve"', '"value":"Reject"'
    )
    odd = Recording.model_validate_json(text).model_copy(update={"id": "odd"})
    workflow = compile_workflow([*everything, odd], documents())
    (found,) = [f for f in workflow.findings if f.kind == "contradiction" and "“Decision”" in f.text]
    assert "r00" in found.text and "odd" in found.text
    settled = compile_workflow([*everything, odd], documents(), answers={found.id: "r00"})
    assert "above 800" in rules(settled)["Decision"]


def test_two_workflows_under_one_name_are_told_apart() -> None:
    folder = Path(__file__).parent.parent / "playbooks" / "quickstart" / "recordings"
    both = [
        read_recording(path)[0].model_copy(update={"workflow": "work"})
        for name in ("code-invoice", "update-bank")
        for path in sorted((folder / name).glob("*.fderec"))[:5]
    ]
    (found,) = [f for f in compile_workflow(both).findings if f.kind == "mixed"]
    assert "2 workflows" in found.text
    assert all("code-invoice-01" in line or "update-bank-01" in line for line in found.evidence)
    branches = [read_recording(path)[0] for path in sorted((folder / "resolve-duplicate").glob("*.fderec"))]
    for recordings_of_one in (branches, recordings()):
        assert not [f for f in compile_workflow(recordings_of_one).findings if f.kind == "mixed"]


def test_the_program_goes_only_where_the_instruction_or_a_page_led() -> None:
    """A rule that compares two records must not send it to the second before the first named it."""
    folder = Path(__file__).parent.parent / "playbooks" / "quickstart" / "recordings" / "resolve-duplicate"
    workflow = compile_workflow([read_recording(path)[0] for path in sorted(folder.glob("*.fderec"))])
    env = WorkflowEnv(workflow)
    searched = 0
    for task in make_tasks(workflow, "dev", 20):
        view, known = env.reset(task), task.instruction
        while not view.finished:
            known += view.text
            action = env.next_action()
            assert action is not None, view.text
            if action.verb == "fill":
                searched += action.target is not None and action.target.role == "searchbox"
                assert action.value and action.value in known, (action.text(), known)
            view = env.step(action)
        assert env.score().passed
    assert searched > 10


def test_a_message_seen_once_names_what_is_entered_now() -> None:
    everything = [r for r in recordings() if r.id not in ("r05", "r10")]
    workflow = compile_workflow(everything, documents())
    env = WorkflowEnv(workflow)
    for task in make_tasks(workflow, "dev", 40):
        assert not env.reset(task).unforeseen
        if env.instance.hidden:
            run(env, task)
            assert env.state.struck, "what nobody could know was told"
            told = [text for (_, slot), text in env.state.told.items() if "." in slot]
            assert told and set(told) <= set(PLANS.values()), told
            return
    pytest.fail("no task is struck by the refusal")


def test_single_recording_is_compiled_and_said() -> None:
    workflow = compile_workflow(recordings()[:1], documents())
    assert any(f.kind == "single" for f in workflow.findings)


def test_recordings_without_pages_cannot_be_compiled() -> None:
    bare = Recording(
        id="bare",
        workflow="decide-claim",
        instruction="Decide.",
        source_format="test",
        steps=(RecordedStep(before=None, action=Action.parse('click link "Claims"'), after=None),),
    )
    with pytest.raises(InputError, match="without pages"):
        compile_workflow([bare])
    mixed = compile_workflow([*recordings(), bare], documents())
    assert any(f.kind == "action-only" and "bare" in f.text for f in mixed.findings)


def test_workflow_survives_json() -> None:
    text = desk().model_dump_json()
    assert Workflow.model_validate_json(text) == desk()
    assert "r00" in text and len(text) < 200_000


def test_patterns_keep_what_is_common() -> None:
    assert induce(["Invoice INV-1", "Invoice INV-22"], "s") == ("Invoice ", "s", "")
    assert induce(["Page 1 of 6", "Page 2 of 9"], "s") == ("Page ", "s", " of ", "s.2", "")
    assert induce(["M. Lind", "A. Rahm"], "s") == ("", "s", "")
    pattern = induce(["C-1: Open", "C-22: Closed"], "s")
    assert extract(pattern, "C-3: New") == {"s": "C-3", "s.2": "New"}
    # As a browser shows it: where nothing stands there is no blank either.
    said = ("", "s", " is no  invoice.")
    assert fill(said, {}) == "is no invoice." and fill(said, {"s": "C-3"}) == "C-3 is no  invoice."
    assert fill(pattern, {"s": "C-4", "s.2": "Old"}) == "C-4: Old"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4,120.35", "4120.35"),
        ("5.000,00", "5000.00"),
        ("€ 1,204.50", "1204.50"),
        ("10.000", "10000"),
        ("1,5", "1.5"),
        ("INV-20431", None),
        ("PO-1", None),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, value: str | None) -> None:
    found = number(text)
    assert (None if found is None else str(found)) == value


def test_conversions_and_check_digits() -> None:
    assert convert("number.2", "€ 4,120.5") == "4120.50"
    assert convert("date %d.%m.%Y", "2025-03-01") == "01.03.2025"
    assert iban_valid("DE89 3704 0044 0532 0130 00")
    assert not iban_valid("DE89 3704 0044 0532 0130 01")
    assert luhn_valid("4111 1111 1111 1111")
    assert not luhn_valid("4111 1111 1111 1112")
