"""Rules that compare two fields of a record, and dates that are written with the day first."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cache

import pytest
from envgen_matching import (
    COUNT,
    FIELDS,
    SUPPLIERS,
    case,
    late_by_5_days,
    over_by_5_percent,
    over_by_100,
    record,
    right,
    slashed,
)
from envgen_rules import rules

from envgen.answers import Answer
from envgen.compile import compile_workflow
from envgen.days import first_day
from envgen.documents import Knowledge
from envgen.environment import WorkflowEnv
from envgen.examples import Known
from envgen.explanations import Example
from envgen.expressions import FieldOf
from envgen.gate import gate
from envgen.replay import replay
from envgen.search import Search
from envgen.tasks import make_tasks
from envgen.traces import Parser, trace
from envgen.values import begins_with_day, date_layout, parse_date
from envgen.words import in_words
from envgen.workflow import Workflow
from ingest.action import Action
from ingest.document import Document

COMPILED = 16
SINCE = "if “Delivered” as a date is {} then “Dispute”, else left as it is"
Rule = Callable[[dict[str, str]], dict[str, str]]


@cache
def matched() -> Workflow:
    return compile_workflow([record(number) for number in range(COMPILED)])


def test_rules_compare_fields_and_read_dates_with_the_day_first() -> None:
    assert rules(matched()) == {
        "Value date": "“Delivered” as a date",
        "Pay by": "“Delivered” as a date plus 30 days written as 31/12/2026",
        "Memo": "if “Billed” is above “Ordered” then the text Dispute [the instruction's number]: please see "
        "[“Supplier”], else if “Delivered” as a date is above “Promised” as a date then the text Deduct [the "
        "instruction's number]: please see [“Supplier”], else the text [“Supplier”]/[the instruction's "
        "number], delivered [the chosen “Value date” written as 31.12.2026]",
        "Decision": "if “Billed” is above “Ordered” then “Dispute”, else if “Delivered” as a date is above "
        "“Promised” as a date then “Deduct”, else left as it is",
    }
    assert [finding.kind for finding in matched().findings] == ["case"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (over_by_100, "“Billed” − “Ordered” is above 100"),
        (over_by_5_percent, "the per cent by which “Billed” is more than “Ordered” is above 5"),
        (late_by_5_days, "the days from “Promised” as a date to “Delivered” as a date is above 5"),
    ],
)
def test_rules_ask_how_far_two_fields_are_apart(rule: Rule, said: str) -> None:
    recordings, parser = [record(number, rule) for number in range(36)], Parser()
    found = compile_workflow(recordings[:24], parser=parser)
    assert rules(found)["Decision"] == f"if {said} then “Dispute”, else left as it is"
    assert [f.kind for f in found.findings if f.kind == "limit" and f.severity == "question"]
    for one in recordings[24:]:
        assert replay(found, trace(one, parser)).score.passed
    env, near, changed = WorkflowEnv(found), 0, 0
    for task in make_tasks(found, "test", 40):
        env.reset(task)
        (number,) = task.parameters.values()
        (records,) = env.instance.records.values()
        changed += rule(records[number])["Decision"] == "Dispute"
        for name, by in (("Billed", "0.01"), ("Delivered", "1")):
            near += rule(_less(records[number], name, by)) != rule(records[number])
    assert near and 5 <= changed <= 35


def test_recordings_that_were_not_compiled_replay() -> None:
    parser = Parser()
    for number in range(COMPILED, COUNT):
        found = replay(matched(), trace(record(number), parser))
        assert found.score.passed, (number, found.score.reasons)


def from_july(shown: dict[str, str]) -> dict[str, str]:
    """Another client's rule: other terms hold from July on."""
    day = as_day(shown["Delivered"])
    return {**right(shown), "Memo": "Checked", "Decision": "Dispute" if day >= date(2026, 7, 1) else "Pay"}


def test_a_day_from_which_on_it_is_otherwise_is_asked_about_or_found_in_documents() -> None:
    recordings, parser = [record(number, from_july) for number in range(36)], Parser()
    open_ = compile_workflow(recordings[:24], parser=parser)
    assert rules(open_)["Decision"] == SINCE.format("at least “2026-07-01”")
    (asked,) = (f for f in open_.findings if f.kind == "limit")
    assert asked.severity == "question" and "from which day on" in asked.text
    for answer, said in (
        ("from 30 June 2026", "at least “2026-06-30”"),
        ("after 30/06/2026", "above “2026-06-30”"),
    ):
        settled = compile_workflow(recordings[:24], answers={asked.id: answer}, parser=parser)
        assert rules(settled)["Decision"] == SINCE.format(said)
    refused = compile_workflow(recordings[:24], answers={asked.id: "from 1 January 2020"}, parser=parser)
    assert any("is refused" in f.text for f in refused.findings if f.kind == "limit")
    text = (
        "Deliveries until 30/06/2026 are paid, later ones disputed. The contract was signed on 12 March 2026."
    )
    policy = Document(id="d1", source="policy.docx", media_type="text/markdown", text=text)
    told = compile_workflow(recordings[:24], [policy], parser=parser)
    assert "is above “2026-06-30”" in rules(told)["Decision"]
    assert not any(f.kind == "limit" and f.severity == "question" for f in told.findings)
    for one in recordings[24:]:
        assert replay(told, trace(one, parser)).score.passed


@pytest.mark.parametrize(
    ("low", "high", "day"),
    [
        ("2025-11-20", "2026-02-03", "2026-01-01"),
        ("2026-02-03", "2026-05-09", "2026-04-01"),
        ("2026-05-03", "2026-06-20", "2026-06-01"),
        ("2026-05-05", "2026-05-13", "2026-05-11"),
        ("2026-05-05", "2026-05-06", "2026-05-06"),
    ],
)
def test_something_likely_begins_with_a_year_a_quarter_a_month_or_a_week(
    low: str, high: str, day: str
) -> None:
    assert first_day(date.fromisoformat(low), date.fromisoformat(high)).isoformat() == day


def as_day(text: str) -> date:
    return datetime.strptime(text, "%d/%m/%Y").date()


def _less(shown: dict[str, str], name: str, by: str) -> dict[str, str]:
    """The same invoice with a field that is a cent, or a day, less."""
    if name == "Delivered":
        day = as_day(shown[name])
        return {**shown, name: slashed(day - timedelta(days=int(by)))}
    return {**shown, name: f"{float(shown[name].replace(',', '')) - float(by):,.2f}"}


@pytest.mark.parametrize("wrong", [None, *FIELDS, "Decision"])
def test_work_on_new_invoices_is_judged_as_the_rule_by_hand_says(wrong: str | None) -> None:
    env, same = WorkflowEnv(matched()), 0
    for task in make_tasks(matched(), "test", 30):
        env.reset(task)
        (number,) = task.parameters.values()
        (records,) = env.instance.records.values()
        shown = records[number]
        same += shown["Billed"] == shown["Ordered"] or shown["Promised"] == shown["Delivered"]
        values = right(shown)
        if wrong == "Decision":
            values[wrong] = "Dispute" if values[wrong] == "Deduct" else "Deduct"
        elif wrong == "Memo":
            values[wrong] = values[wrong].replace(number, f"{number}0")
        elif wrong is not None:
            # The same date with month and day exchanged, or a day later where that is no other date.
            first, second, third = values[wrong].replace("-", "/").split("/")
            exchanged = f"{second}/{first}/{third}" if wrong == "Pay by" else f"{first}-{third}-{second}"
            values[wrong] = exchanged if exchanged != values[wrong] else "01/01/2020"
        env.step(Action.parse(f'click link "{number}"'))
        for name in FIELDS:
            env.step(Action.parse(f'fill textbox "{name}": {values[name]}'))
        env.step(Action.parse(f'select combobox "Decision": {values["Decision"]}'))
        env.step(Action.parse('click button "Book"'))
        env.step(Action(verb="done"))
        assert env.score().passed == (wrong is None), (shown, values, env.score().reasons)
    assert same, "no instance shows what is done exactly at a limit"


def test_the_gate_finds_no_wrong_work_that_passes() -> None:
    recordings, parser = [record(number) for number in range(COMPILED)], Parser()
    report = gate(matched(), recordings, [], parser=parser)
    assert report.published and report.kill_rate == 1.0 and report.false_reject_rate == 0.0


def test_what_no_recording_shows_exactly_at_a_limit_is_asked() -> None:
    unlike = [number for number in range(40) if case(number).billed != case(number).ordered]
    recordings = [record(number) for number in unlike[:COMPILED]]
    asked = [f for f in compile_workflow(recordings).findings if f.kind == "equal"]
    assert asked and all(f.severity == "question" and "exactly" in f.text for f in asked)
    answers: dict[str, Answer] = {finding.id: "above" for finding in asked}
    settled = compile_workflow(recordings, answers=answers)
    assert "“Billed” is at least “Ordered”" in rules(settled)["Decision"]
    assert not [f for f in settled.findings if f.kind == "equal"]


@pytest.mark.parametrize("trial", range(10))
def test_answers_that_go_by_nothing_are_never_explained_in_silence(trial: int) -> None:
    def guessed(shown: dict[str, str]) -> dict[str, str]:
        decision = random.Random(f"{trial} {shown['Number']}").choice(["Pay", "Dispute"])
        return {**right(shown), "Memo": "Checked", "Decision": decision}

    found = compile_workflow([record(100 * trial + number, guessed) for number in range(12)])
    asked = [f for f in found.findings if f.severity == "question" and "“Decision”" in f.text]
    assert asked, rules(found)["Decision"]


def test_what_a_document_says_no_of_is_no_reason_for_a_no() -> None:
    text = f"No invoice of the supplier {SUPPLIERS[4]} is checked."
    policy = Document(id="d1", source="policy.docx", media_type="text/markdown", text=text)
    knowledge = Knowledge([policy])

    def example(at: int, supplier: str, status: str, output: str) -> Example:
        fields = {("number", ("Supplier",)): supplier, ("number", ("Status",)): status}
        return Example(Known(f"r{at}", 0, knowledge, {}, fields), output)

    found = [example(at, SUPPLIERS[at % 4], ("Held", "Paid")[at // 12], "yes") for at in range(24)]
    found.append(example(24, SUPPLIERS[4], "New", "no"))
    atoms = [FieldOf(root="number", path=(name,)) for name in ("Supplier", "Status")]
    result = Search(found, atoms, knowledge).run().expression
    assert result is not None and "“Supplier”" not in in_words(result), in_words(result)


def test_other_dates_say_what_a_date_begins_with() -> None:
    assert begins_with_day(["due 25/04/2026", "03/04/2026"])
    assert not begins_with_day(["04/25/2026", "03/04/2026"]) and not begins_with_day(["03/04/2026"])
    assert parse_date("03/04/2026", True) != parse_date("03/04/2026")
    assert date_layout(["03/04/2026"], True) == "%d/%m/%Y"
    assert date_layout(["03/04/2026", "04/25/2026"], True) == "%m/%d/%Y"
