"""A page that a script draws: its views, dialogs and tabs are learned, replayed, worked through and gated."""

from __future__ import annotations

from functools import cache

import pytest
from envgen_cases import LEVELS, kept
from envgen_episodes import until

from envgen.align import Aligner, Data, Instance
from envgen.compile import compile_workflow
from envgen.environment import NOT_MODELLED, WorkflowEnv
from envgen.gate import gate
from envgen.parity import compare
from envgen.replay import replay
from envgen.tasks import make_tasks
from envgen.templates import read
from envgen.traces import Parser, trace
from envgen.words import in_words
from envgen.workflow import PageModel, Workflow
from ingest.action import Action
from ingest.snapshot import Node

COMPILED = 12


@cache
def compiled() -> Workflow:
    return compile_workflow(kept()[:COMPILED])


def begun(number: int = 0) -> WorkflowEnv:
    env = WorkflowEnv(compiled())
    env.reset(make_tasks(env.workflow, "train", number + 1)[number])
    return env


def page_with(label: str) -> PageModel:
    """The one kind of page that has a field or a way out of that name."""
    (page,) = (
        page for page in compiled().pages
        if label in {found.label for found in page.exits} | {control.label for control in page.controls}
    )  # fmt: skip
    return page


def test_what_a_click_turns_are_pages_of_their_own_though_the_address_stays() -> None:
    workflow = compiled()
    assert {page.address for page in workflow.pages} == {"/"}
    # The list, the levels, the case beside the list, its history, and the form over everything.
    assert len(workflow.pages) == 5
    form, case = page_with("Team"), page_with("Assign")
    assert form is not case and form.entity == case.entity != ""
    assert {control.label for control in form.controls} == {
        "Team", "High", "Normal", "Note", "Due", "Notify manager",
    }  # fmt: skip
    assert not case.controls


def test_the_rules_are_those_by_hand() -> None:
    rules = {
        rule.control: in_words(rule.expression)
        for plan in compiled().plans
        for rule in plan.entries
        if rule.expression is not None
    }
    labels = {control.id: control.label for page in compiled().pages for control in page.controls}
    told = {labels[control]: words for control, words in rules.items()}
    assert told["Team"] == "“Team” of “Tier”"
    assert told["Note"] == "the text [“Customer”]: [“Topic”]"
    assert told["Due"] == "“Reported”"
    assert told["High"].startswith("if “Value” is above 500 then “on”")
    assert "Gold → on" in told["Notify manager"]


def test_what_is_sent_is_traced_back_to_the_form() -> None:
    (write,) = compiled().writes
    assert dict(write.body)["priority"] == "which of “High”, “Normal” is chosen" and not write.unexplained


def test_nothing_is_asked_that_the_recordings_answer() -> None:
    asked = [finding for finding in compiled().findings if finding.severity != "note"]
    # Where the limit is, and whether the sentence's case matters. What every tier means a table says.
    assert sorted(finding.kind for finding in asked) == ["case", "limit"], [f.text for f in asked]


def test_a_set_table_stays_as_it_is() -> None:
    (levels,) = (entity for entity in compiled().entities if entity.fixed)
    env = WorkflowEnv(compiled())
    for task in make_tasks(compiled(), "dev", 5):
        env.reset(task)
        rows = env.instance.records[levels.name]
        assert {key: row["Team"] for key, row in rows.items()} == {t: team for t, (team, _) in LEVELS.items()}


@pytest.mark.parametrize("number", range(COMPILED, len(kept())))
def test_recordings_that_nobody_compiled_replay_page_by_page(number: int) -> None:
    found = replay(compiled(), trace(kept()[number], Parser()))
    assert found.score.passed and not found.different and not found.unmodelled, found


def test_the_program_works_in_new_tasks() -> None:
    env = WorkflowEnv(compiled())
    for task in make_tasks(compiled(), "dev", 20):
        view = env.reset(task)
        while not view.finished and (action := env.next_action()) is not None:
            view = env.step(action)
        assert env.score().passed, (task.id, env.score().reasons)


def test_a_dialog_that_is_declined_leaves_the_form_as_it_was() -> None:
    env = until(begun(), 'click button "Save"')
    filled = env.page
    asked = env.step(Action.parse('click button "Save"'))
    assert "Really assign" in asked.text and not env.state.writes
    env.step(Action.parse('click button "No"'))
    assert env.page == filled and not env.state.writes
    for line in ('click button "Save"', 'click button "Yes"', "done"):
        env.step(Action.parse(line))
    assert env.score().passed, env.score().reasons


def test_one_radio_button_of_a_group_goes_on_and_the_other_off() -> None:
    env = until(begun(), "select combobox")
    checked = []
    for line in ('check radio "High"', 'check radio "Normal"', 'uncheck radio "Normal"'):
        env.step(Action.parse(line))
        checked.append(
            [n.name for n in env.page.walk() if n.role == "radio" and n.state("checked") is not None]
        )
    assert checked == [["High"], ["Normal"], ["Normal"]]


def test_what_nobody_clicked_is_not_modelled() -> None:
    env = until(begun(), "select combobox")
    before = env.page
    assert NOT_MODELLED in env.step(Action.parse('click button "Cancel"')).text and env.page == before


def test_it_passes_its_gate() -> None:
    report = gate(compiled(), kept()[:COMPILED], [])
    assert report.published, report.reasons
    assert report.held_out_pass == report.held_out_total == 3
    caught = {name: share for name, share in report.families.items() if share.total}
    assert all(share.hits == share.total for share in caught.values()), caught
    assert {"skipped entry", "value", "wrong record", "extra write", "state", "early done"} <= caught.keys()


def test_the_twin_shows_the_same() -> None:
    found = compare(compiled(), steps=60, seed=2)
    assert found.steps == 60 and not found.different, found


# Parts


def test_cells_stand_by_their_place_whatever_they_say() -> None:
    rows = [("Bolt", "66", "39"), ("Nut", "31", "31"), ("Hose", "39", "66"), ("Valve", "42", "13")]
    pages = [
        Instance(f"r{at}", Node("row", children=tuple(Node("cell", text) for text in row)))
        for at, row in enumerate(rows)
    ]
    row = Aligner(pages, Data()).template()
    assert [cell.optional for cell in row.children] == [False] * 3
    assert [read(row, page.node).slots for page in pages] == [
        {f"{cell.id}.name": text for cell, text in zip(row.children, texts, strict=True)} for texts in rows
    ]
