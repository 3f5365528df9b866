"""Numbers that stand nowhere: counted and added up over rows, and calculated."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from envgen_items import COUNT, Item, due, record, right
from envgen_rules import rules

from envgen.compile import compile_workflow
from envgen.draws import near
from envgen.environment import WorkflowEnv
from envgen.gate import gate
from envgen.replay import replay
from envgen.rows import aggregated, calculated, later
from envgen.tasks import make_tasks
from envgen.traces import Parser, trace
from envgen.workflow import Workflow, read_workflow
from fde.artifacts import write_json
from ingest.action import Action


@cache
def settled() -> Workflow:
    return compile_workflow([record(number) for number in range(COUNT)])


def test_rules_count_and_add_up_the_rows_that_the_task_is_about() -> None:
    found = rules(settled())
    rows = "the Item rows where “Vendor” equals the instruction's vendor and “State” is “Open”"
    assert found["Items"] == f"the number of {rows}"
    assert found["Total"].startswith(f"the sum of “Amount” over {rows}")
    assert found["Largest"].startswith(f"the largest of “Amount” over {rows}")
    assert found["Fee"] == "the chosen “Total” × “0.025”"
    assert " plus 14 days" in found["Due"]


def test_every_recording_replays_in_what_the_others_compile_to() -> None:
    recordings, parser = [record(number) for number in range(COUNT)], Parser()
    for one in recordings[:4]:
        workflow = compile_workflow([r for r in recordings if r is not one], parser=parser)
        found = replay(workflow, trace(one, parser))
        assert found.score.passed, (one.id, found.score.reasons)


def shown(env: WorkflowEnv) -> list[Item]:
    """The items of the task at hand, as the list shows them, over all its pages."""
    (records,) = env.instance.records.values()
    return [
        Item(key, row["Vendor"], round(100 * float(row["Amount"].replace(",", ""))), row["State"])
        for key, row in records.items()
    ]


@pytest.mark.parametrize("wrong", [None, "Items", "Total", "Largest", "Fee", "Due"])
def test_work_on_new_data_is_judged_as_the_rule_by_hand_says(wrong: str | None) -> None:
    env = WorkflowEnv(settled())
    for task in make_tasks(settled(), "test", 6):
        env.reset(task)
        vendor = task.parameters["vendor"]
        found = shown(env)
        (day,) = env.instance.session.values()
        values = {**right(found, vendor), "Due": due(date.fromisoformat(day.split()[-1]))}
        if wrong == "Due":
            values["Due"] = due(date.fromisoformat(day.split()[-1]) + timedelta(days=1))
        elif wrong is not None:
            # The same over all of the vendor's items, or a little off where that is no other value.
            every = right([Item(i.number, i.vendor, i.cents, "Open") for i in found], vendor)[wrong]
            values[wrong] = every if every != values[wrong] else values[wrong] + "1"
        env.step(Action.parse('click link "Settle"'))
        for name, value in {"Reference": task.parameters["reference"], **values}.items():
            env.step(Action.parse(f'fill textbox "{name}": {value}'))
        env.step(Action.parse('click button "Send"'))
        env.step(Action(verb="done"))
        assert env.score().passed == (wrong is None), (task.instruction, values, env.score().reasons)


def test_the_program_reads_the_whole_list_before_it_adds_up() -> None:
    env = WorkflowEnv(settled())
    for task in make_tasks(settled(), "train", 6):
        view, seen = env.reset(task), set[str]()
        while not view.finished:
            seen |= {row.children[0].name for row in view.page.walk() if row.role == "row" and row.children}
            action = env.next_action()
            assert action is not None
            if action.verb == "fill":
                (records,) = env.instance.records.values()
                assert set(records) <= seen
            view = env.step(action)
        assert env.score().passed, env.score().reasons


def test_the_gate_publishes_and_the_file_says_the_same(tmp_path: Path) -> None:
    report = gate(settled(), [record(number) for number in range(COUNT)], [], cheap_tasks=30)
    assert report.kill_rate == 1.0 and report.false_reject_rate == 0.0, report
    path = tmp_path / "workflow.json"
    write_json(path, settled().model_dump(mode="json"))
    assert read_workflow(path) == settled()


def test_a_sum_over_rows_without_a_number_is_unknown() -> None:
    assert aggregated("sum", "Amount", [{"Amount": "1.50"}, {"Amount": "n/a"}]) is None
    assert aggregated("sum", "Amount", []) == "0" and aggregated("largest", "Amount", []) is None
    assert aggregated("sum", "Amount", [{"Amount": "1,200.50"}, {"Amount": "99.50"}]) == "1300.00"


def test_a_near_number_is_another_number() -> None:
    for seed in range(200):
        for text in ("5", "50", "0.50", "1"):
            assert near(random.Random(seed), text) != text


def test_numbers_and_dates_beyond_all_bounds_are_no_results() -> None:
    long = Decimal("9" * 40)
    assert calculated("times", long, long, 2) is None
    assert calculated("plus", Decimal("1.005"), Decimal("0"), 2) == "1.01"
    assert later("9999-12-31", 30) is None and later("2026-01-31", 1) == "2026-02-01"
