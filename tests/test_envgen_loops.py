"""Work repeated for rows of a list: found, replayed, generated in any number, and judged row by row."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from envgen_clerk import COUNTS, INSPECTED_ABOVE, KINDS, kept, recorded

from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.gate import GateReport, gate
from envgen.parity import compare
from envgen.replay import replay
from envgen.session import Task
from envgen.sheet import sheet
from envgen.show import describe, in_every_row
from envgen.tasks import make_tasks
from envgen.traces import Parser, trace
from envgen.values import number
from envgen.workflow import Finding, RowLoop, Workflow, read_workflow
from envgen.wrong_rows import ROW_FAMILIES
from fde.artifacts import write_json
from ingest.action import Action
from ingest.recording import Recording

WORDS = {
    "approve": "for every Invoice row where “Amount” is below the instruction's number and “State” is "
    "“Open”: “Approve” is clicked; where there is none, the work is over",
    "remind": "for every Item row where “Due” is below “Today” and “State” is “Open”: “Remind” is ticked; "
    "where there is none, the work is over",
    "settle": "for every Claim row where “Customer” equals the instruction's customer and “State” is “Open”: "
    "it is opened and worked on; where there is none, the work is over",
}


@cache
def office(kind: str) -> Workflow:
    return compile_workflow(kept(kind))


def loop_of(workflow: Workflow) -> RowLoop:
    (found,) = [plan.loop for plan in workflow.plans if plan.loop is not None]
    return found


def questions(workflow: Workflow) -> list[Finding]:
    return [finding for finding in workflow.findings if finding.severity == "question"]


def meant(kind: str, env: WorkflowEnv) -> dict[str, str]:
    """By hand: the rows that a task is about, and what is decided about each."""
    (records,) = env.instance.records.values()
    asked, found = env.instance.parameters, {}
    for key, row in records.items():
        cents = number(row.get("Amount", row.get("Damage", ""))) or 0
        if kind == "approve" and row["State"] == "Open" and cents < float(asked["number"]):
            found[key] = "Approved"
        elif kind == "remind" and row["State"] == "Open" and row["Due"] < env.instance.session["Today"]:
            found[key] = "on"
        elif kind == "settle" and row["State"] == "Open" and row["Customer"] == asked["customer"]:
            found[key] = "Inspect" if cents > INSPECTED_ABOVE else "Pay"
    return found


def expected(kind: str, env: WorkflowEnv) -> dict[str, str]:
    """What the verifier expects of the task at hand, by row."""
    writes = env.expected.writes
    if kind == "remind":
        assert len(writes) <= 1
        return {label.removeprefix("Remind of "): value for w in writes for label, value in w.values}
    return {w.key: "Approved" if kind == "approve" else dict(w.values)["Decision"] for w in writes}


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_and_what_is_done_with_them_are_found(kind: str) -> None:
    workflow = office(kind)
    (plan,) = [plan for plan in workflow.plans if plan.loop is not None]
    assert in_every_row(workflow, plan) == WORDS[kind]
    assert loop_of(workflow).counts == tuple(sorted(COUNTS))
    assert WORDS[kind] in describe(workflow, None)
    page = sheet(workflow, None)
    assert WORDS[kind].partition(":")[0][1:15] in page and "The list says" in page
    # What no document says of the damage is asked; the rows leave nothing open.
    assert [q.kind for q in questions(workflow)] == (["limit"] if kind == "settle" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_recording_held_out_replays_page_by_page(kind: str) -> None:
    recordings, parser = kept(kind), Parser()
    for one in recordings:
        others = [r for r in recordings if r is not one]
        workflow = compile_workflow(others, parser=parser)
        found = replay(workflow, trace(one, parser))
        assert not found.different and not found.refused, (one.id, found.different, found.refused)
        if kind == "remind" and not COUNTS[recordings.index(one)]:
            # Only this recording shows that nothing is sent then: the others leave it open, and it is asked.
            assert found.score.value is None and [q.kind for q in questions(workflow)] == ["empty"]
        else:
            assert found.score.passed, (one.id, found.score.reasons)


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_ask_for_none_one_or_several_rows_and_right_is_what_the_rule_by_hand_says(kind: str) -> None:
    env = WorkflowEnv(office(kind))
    counts = set()
    for at, task in enumerate(make_tasks(office(kind), "test", 120)):
        view = env.reset(task)
        right = meant(kind, env)
        assert expected(kind, env) == right, task.id
        counts.add(min(len(right), 2))
        while at < 30 and not view.finished:
            action = env.next_action()
            assert action is not None
            view = env.step(action)
        assert at >= 30 or env.score().passed, (task.id, env.score().reasons)
    assert counts == {0, 1, 2}


def click_rows(env: WorkflowEnv, task: Task, keys: list[str]) -> list[str]:
    """Approves rows by hand; why the work is wrong, nothing when it is right."""
    env.reset(task)
    env.step(Action.parse('click link "List"'))
    for key in keys:
        record = env.state.records["Invoice"][key]
        row = " ".join((key, record["Vendor"], record["Amount"], record["State"]))
        env.step(Action.parse(f'click button "Approve" in row "{row}"'))
    env.step(Action(verb="done"))
    return list(env.score().reasons)


def test_work_on_rows_is_judged_row_by_row() -> None:
    env = WorkflowEnv(office("approve"))
    checked = 0
    for task in make_tasks(office("approve"), "dev", 20):
        env.reset(task)
        right = list(meant("approve", env))
        dear = [
            k for k, r in env.instance.records["Invoice"].items() if r["State"] == "Open" and k not in right
        ]
        assert click_rows(env, task, right[::-1]) == [], "any order will do"
        if not right or not dear:
            continue
        checked += 1
        (missing,) = click_rows(env, task, right[1:])
        assert right[0] in missing and "missing" in missing
        (extra,) = click_rows(env, task, [*right, dear[0]])
        assert (dear[0] in extra and "no part" in extra) or "not part" in extra
        assert len(click_rows(env, task, [dear[0], *right[1:]])) == 2
        # The row has no button any more: nothing is done twice.
        assert click_rows(env, task, [*right, right[0]]) == []
    assert checked >= 5


def test_what_is_ticked_is_sent_as_it_stands() -> None:
    env = WorkflowEnv(office("remind"))
    checked = 0
    for task in make_tasks(office("remind"), "dev", 10):
        env.reset(task)
        right = sorted(meant("remind", env))
        if len(right) < 2:
            continue
        checked += 1
        for ticks, reasons in ((2, [f"Remind of {right[0]} of the form is “”, should be “on”."]), (3, [])):
            env.reset(task)
            while (action := env.next_action()) is not None and action.verb != "done":
                if action.text() == 'click button "Send reminders"':
                    # The same box again and again: what counts is how it stands when it is sent.
                    row = next(row for row in env.page.walk() if row.role == "row" and right[0] in row.name)
                    for _ in range(ticks - 1):
                        env.step(Action.parse(f'click checkbox "Remind" in row "{row.name}"'))
                env.step(action)
            env.step(Action(verb="done"))
            assert list(env.score().reasons) == reasons
    assert checked


@cache
def report(kind: str) -> GateReport:
    return gate(office(kind), kept(kind), [], cheap_tasks=30)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gate_catches_rows_left_out_added_exchanged_and_done_twice(kind: str) -> None:
    found = report(kind)
    assert found.kill_rate == 1.0 and found.false_reject_rate == 0.0
    assert found.held_out_pass == found.held_out_total == 3 and found.page_parity == 1.0
    for family in ROW_FAMILIES:
        # Where the application itself prevents it, nothing is done twice.
        assert found.families[family].total or (family == "row done twice" and kind != "remind"), family
    assert found.cheap["do nothing"].hits == 0


def test_what_is_one_click_a_row_of_a_short_list_can_be_guessed_and_the_gate_says_so() -> None:
    assert report("remind").published and report("settle").published
    assert not report("approve").published
    assert "reward-seeking search" in " ".join(report("approve").reasons)


def test_the_file_says_the_same(tmp_path: Path) -> None:
    for kind in KINDS:
        write_json(tmp_path / kind, office(kind).model_dump(mode="json"))
        assert read_workflow(tmp_path / kind) == office(kind)


def test_without_a_case_of_no_row_it_is_asked_what_is_done_then() -> None:
    recordings = [r for r, count in zip(kept("remind"), COUNTS, strict=True) if count]
    workflow = compile_workflow(recordings)
    (asked,) = questions(workflow)
    assert asked.kind == "empty" and loop_of(workflow).empty == "unknown"
    env = WorkflowEnv(workflow)
    for task in make_tasks(workflow, "train", 40):
        env.reset(task)
        assert env.expected.writes
    for answer, empty in (("over", "over"), ("on", "on")):
        answered = compile_workflow(recordings, answers={asked.id: answer})
        assert loop_of(answered).empty == empty and not questions(answered)
    (again,) = questions(compile_workflow(recordings, answers={asked.id: "perhaps"}))
    assert "refused" in again.text


def reworded(recording: Recording, instruction: str) -> Recording:
    return recording.model_copy(update={"instruction": instruction})


def test_rows_that_nothing_explains_are_asked_about_and_not_guessed() -> None:
    # Nobody is told the limit: it is another one in every recording.
    workflow = compile_workflow([reworded(r, "Approve what may be approved.") for r in kept("approve")])
    assert not [plan for plan in workflow.plans if plan.loop is not None]
    (asked,) = [q for q in questions(workflow) if q.kind == "rows"]
    assert asked.evidence[1] == "approve-1: none"
    env = WorkflowEnv(workflow)
    env.reset(make_tasks(workflow, "train", 1)[0])
    assert env.score().value is None, "what right work is was not found out"


def beside_the_limit(wording: str) -> list[Recording]:
    """Approvals in which no amount is exactly the limit, asked for in other words."""
    found = []
    for one in kept("approve"):
        limit = one.instruction.split()[-1].rstrip(".")
        told = one.model_dump_json().replace(f"{float(limit):,.2f}", f"{float(limit) + 1:,.2f}")
        found.append(reworded(Recording.model_validate_json(told), wording.format(limit)))
    return found


@pytest.mark.parametrize(
    ("wording", "words"),
    [
        ("Approve what is open and below {}.", "is below the"),
        ("Approve all open up to {}.", "is at most the"),
    ],
)
def test_the_instructions_wording_says_on_which_side_the_limit_itself_is(wording: str, words: str) -> None:
    workflow = compile_workflow(beside_the_limit(wording))
    (plan,) = [plan for plan in workflow.plans if plan.loop is not None]
    assert words in in_every_row(workflow, plan) and not questions(workflow)


def test_where_the_wording_does_not_say_it_is_asked() -> None:
    made = beside_the_limit("Approve what is open, limit {}.")
    (asked,) = questions(compile_workflow(made))
    assert asked.kind == "equal" and "exactly the instruction's number" in asked.text
    for answer, words in (("above", "is below the"), ("below", "is at most the")):
        workflow = compile_workflow(made, answers={asked.id: answer})
        (plan,) = [plan for plan in workflow.plans if plan.loop is not None]
        assert words in in_every_row(workflow, plan) and not questions(workflow)
    (again,) = questions(compile_workflow(made, answers={asked.id: "both"}))
    assert "refused" in again.text


def test_few_recordings_ask_whether_the_rule_is_whole() -> None:
    workflow = compile_workflow(kept("settle")[:5])
    assert any(q.kind == "few" and "worked on" in q.text for q in questions(workflow))


@pytest.mark.browser
@pytest.mark.parametrize("kind", KINDS)
def test_the_recordings_are_those_of_the_recorder(kind: str, tmp_path: Path) -> None:
    (made,) = recorded(kind, [COUNTS.index(1)], tmp_path)
    one = kept(kind)[COUNTS.index(1)]
    assert made.instruction == one.instruction
    for new, old in zip(made.steps, one.steps, strict=True):
        assert new.action == old.action
        assert (new.before and new.before.text) == (old.before and old.before.text)
        assert [(e.method, e.status) for e in new.effects] == [(e.method, e.status) for e in old.effects]


@pytest.mark.browser
def test_the_twin_shows_rows_with_fields_as_the_environment_does() -> None:
    same = compare(office("remind"), steps=30, seed=1)
    assert same.steps == 30 and not same.different, same.different[:3]
