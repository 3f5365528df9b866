"""Rows that go away, on several pages, with fields of their own, and before something else is done."""

from __future__ import annotations

import pytest
from envgen_ledger import COUNTS, Ways, code, handbook, meant, record

from envgen.answers import Answer
from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.gate import gate
from envgen.replay import replay
from envgen.show import in_every_row
from envgen.tasks import make_tasks
from envgen.traces import Parser, trace
from envgen.values import number
from envgen.workflow import Finding, Workflow
from ingest.recording import Recording

WAYS = {
    "in place": Ways(),
    "vanishing": Ways(vanish=True),
    "paged": Ways(paged=True),
    "coded": Ways(coded=True),
    "closed": Ways(closed=True),
    "all of it": Ways(vanish=True, paged=True, coded=True, closed=True),
}


def recordings(ways: Ways) -> list[Recording]:
    return [record(ways, index) for index in range(len(COUNTS))]


def rule(workflow: Workflow) -> str:
    return next(in_every_row(workflow, plan) for plan in workflow.plans if plan.loop is not None)


def questions(workflow: Workflow) -> dict[str, Finding]:
    return {f.kind: f for f in workflow.findings if f.severity == "question"}


@pytest.mark.parametrize("ways", WAYS.values(), ids=list(WAYS))
def test_every_recording_held_out_replays_page_by_page(ways: Ways) -> None:
    made, parser = recordings(ways), Parser()
    for index, one in enumerate(made):
        workflow = compile_workflow([r for r in made if r is not one], [handbook()], parser=parser)
        found = replay(workflow, trace(one, parser))
        assert not found.different and not found.refused, (one.id, found.different, found.refused)
        if ways.closed and not COUNTS[index]:
            assert found.score.value is None and "empty" in questions(workflow)
        else:
            assert found.score.passed, (one.id, found.score.reasons)


@pytest.mark.parametrize("ways", WAYS.values(), ids=list(WAYS))
def test_right_on_new_data_is_what_the_rule_by_hand_says(ways: Ways) -> None:
    workflow = compile_workflow(recordings(ways), [handbook()])
    assert not questions(workflow), "the handbook names both limits"
    env, counts = WorkflowEnv(workflow), set()
    for at, task in enumerate(make_tasks(workflow, "train", 100)):
        view = env.reset(task)
        (rows,) = env.instance.records.values()
        right = {}
        for key, row in rows.items():
            cents = round(100 * (number(row["Amount"]) or 0))
            # Where they vanish, no row that is shown is paid, and the list has nothing to say of it.
            if meant(row["Kind"], cents, row.get("State", "New")):
                right[key] = code(cents) if ways.coded else ""
        paid = [write for write in env.expected.writes if write.key]
        assert {write.key: "".join(text for _, text in write.values) for write in paid} == right
        assert len(env.expected.writes) - len(paid) == ways.closed
        counts.add(min(len(right), 2))
        while at < 20 and not view.finished:
            action = env.next_action()
            assert action is not None
            view = env.step(action)
        assert at >= 20 or env.score().passed, env.score().reasons
    assert counts == {0, 1, 2}


def test_the_gate_publishes_what_cannot_be_guessed() -> None:
    made = recordings(WAYS["all of it"])
    report = gate(compile_workflow(made, [handbook()]), made, [handbook()], cheap_tasks=20)
    assert report.published, report.reasons
    assert report.kill_rate == 1.0 and report.false_reject_rate == 0.0 and report.page_parity == 1.0
    for family in ("value", "skipped entry", "row skipped", "extra row", "wrong row"):
        assert report.families[family].total >= 10


def test_a_limit_lies_between_the_rows_that_it_decides_about_and_is_asked_for() -> None:
    made = recordings(WAYS["in place"])
    workflow = compile_workflow(made)
    asked = questions(workflow)["limit"]
    low, high = (number(line.split(": ")[1].split(" ")[0]) for line in asked.evidence)
    new = [row for r in made for row in rows_of(r) if row[1] == "Travel" and row[3] == "New"]
    amounts = sorted(number(row[2]) or 0 for row in new)
    # Not the next amount in the list, of a bill that is no travel: that says nothing of the limit.
    assert low == max(a for a in amounts if a <= 500) and high == min(a for a in amounts if a > 500)
    for answer, words in ((f"at least {high}", f"is below {high}"), ("over 500", "is at most 500")):
        given: dict[str, Answer] = {asked.id: answer}
        assert words in rule(compile_workflow(made, answers=given))


def rows_of(recording: Recording) -> list[list[str]]:
    """The rows of the list as it is when it is opened."""
    last = recording.steps[0].after
    assert last is not None
    lines = [line.strip().removeprefix('- row "') for line in last.text.splitlines() if '- row "B' in line]
    return [line.split('"')[0].split(" ") for line in lines if not line.startswith("Bill ")]
