"""Conditions and distractors by a language model: what stands, what becomes of it, what is dropped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from envgen_matching import SUPPLIERS, late_by_5_days, record

from envgen.answers import Answer
from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.gate import gate
from envgen.proposals import Proposal, Proposals
from envgen.tasks import make_tasks
from envgen.traces import Parser
from envgen.workflow import Finding, Workflow

COMPILED = 12
PARSER = Parser()
ALIKE = ("Alder Limited", "Alders Ltd", "Birch and Co", "Cedar GmbH & Co", "Elms plc")


class Says:
    """A proposer that knows its sources by name: ``SOURCE Delivered`` becomes the number of that source."""

    model = "says"

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers

    def ask(self, prompt: str, form: Mapping[str, Any]) -> str:
        (key,) = form["properties"]
        said = json.dumps({key: self.answers.get(key, [])})
        for line in prompt.splitlines():
            if line.startswith("source "):
                number, name = line.removeprefix("source ").split(": ")[:2]
                said = said.replace(json.dumps(f"SOURCE {name}", ensure_ascii=True), number)
        return said


def source(name: str) -> dict[str, str]:
    return {"source": f"SOURCE {name}"}


def compiled(
    answers: Mapping[str, Answer] | None = None, **said: list[Any]
) -> tuple[Workflow, list[Proposal]]:
    proposals = Proposals(Says(**said), more=True)
    recordings = [record(number) for number in range(COMPILED)]
    return compile_workflow(recordings, answers=answers, proposals=proposals, parser=PARSER), proposals.record


def questions(workflow: Workflow) -> list[Finding]:
    return [finding for finding in workflow.findings if finding.kind == "check"]


DATED = {"equal": [
    source("the chosen “Value date”"), {"convert": {"how": "day first", "of": source("“Delivered”")}},
]}  # fmt: skip


def test_a_condition_that_recordings_and_rules_keep_is_noted_and_asks_nothing() -> None:
    workflow, proposals = compiled(checks=[DATED])
    assert [(p.kind, p.reason) for p in proposals] == [("check", "")]
    assert not questions(workflow)
    assert any(f.kind == "proposals" and "1 check" in f.text for f in workflow.findings)


def test_a_condition_that_the_rules_break_on_new_tasks_is_a_question_until_it_is_answered() -> None:
    # True of the recorded suppliers' memos, and of nobody else's.
    recorded = sorted({s.action.value or "" for n in range(COMPILED) for s in record(n).steps})
    memos = [text for text in recorded if any(name in text for name in SUPPLIERS)]
    narrow = {"one_of": {"of": source("the chosen “Memo”"), "texts": memos}}
    workflow, proposals = compiled(checks=[{"all": [narrow, DATED]}])
    assert [p.reason for p in proposals] == [""]
    (asked,) = questions(workflow)
    assert asked.severity == "question" and "a language model says" in asked.text and asked.evidence
    settled, _ = compiled({asked.id: "yes"}, checks=[{"all": [narrow, DATED]}])
    assert not questions(settled) and not any(f.kind == "unasked" for f in settled.findings)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"equal": [source("“Billed”"), source("“Ordered”")]}, "nothing that is entered"),
        ({"equal": [source("the chosen “Memo”"), {"text": "x"}]}, "recordings break it"),
        ({"not": {"empty": source("the chosen “Memo”")}}, "just as well"),
        ({"system": "rm -rf"}, "no test 'system'"),
        ({"equal": [{"source": 999}, {"source": 0}]}, "no source 999"),
        ("approve everything", "not an object"),
    ],
)
def test_what_says_nothing_or_is_no_condition_is_dropped(said: Any, reason: str) -> None:
    workflow, (dropped,) = compiled(checks=[said])
    assert dropped.kind == "check" and reason in dropped.reason
    assert not questions(workflow)


def test_distractors_stand_in_records_that_no_task_is_about() -> None:
    recordings = [record(number, late_by_5_days) for number in range(24)]
    proposals = Proposals(Says(texts=[*ALIKE, SUPPLIERS[0], "Zebra", "Alder 77", 4, "Alder\nLtd"]), more=True)
    workflow = compile_workflow(recordings, proposals=proposals, parser=PARSER)
    stand = {p.text for p in proposals.record if p.kind == "distractor" and not p.reason}
    assert stand == set(ALIKE)
    env, near, right = WorkflowEnv(workflow), 0, 0
    for task in make_tasks(workflow, "train", 40):
        env.reset(task)
        (number,) = task.parameters.values()
        (records,) = env.instance.records.values()
        right += records[number]["Supplier"] in stand
        near += sum(shown.get("Supplier") in stand for shown in records.values())
    assert near and not right
    report = gate(workflow, recordings, [], parser=PARSER)
    assert report.kill_rate == 1.0 and report.false_reject_rate == 0.0


def test_fields_that_rules_ask_about_get_no_distractors() -> None:
    workflow, proposals = compiled(texts=list(ALIKE))
    # The memo names the supplier.
    assert not [p for p in proposals if p.kind == "distractor" and "“Supplier”" in p.about]
    assert not any(f.alike for e in workflow.entities for f in e.fields if f.name == "Supplier")
