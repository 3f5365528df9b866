"""One of several rows or radio buttons that are others in every recording: which one, compiled and judged."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from envgen_choices import (
    ALL,
    COMPANIES,
    amended,
    candidates,
    cheapest,
    named,
    quantity,
    raised,
    reasons,
    rights,
)

from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.gate import gate
from envgen.parity import compare
from envgen.replay import replay
from envgen.show import in_every_row
from envgen.tasks import make_tasks
from envgen.traces import Parser, trace
from envgen.workflow import Workflow
from ingest.action import Action
from ingest.recording import Recording
from ingest.snapshot import Node

Make = Callable[[int], Recording]
COUNT = 10
each = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
WORDS = {
    named: "for the one Carrier row where “Carrier” equals the instruction's carrier: “Choose” is ticked",
    cheapest: "for the one Carrier row where “Carrier” equals the one with the smallest “Price” of the "
    "Carrier rows: “Choose” is ticked",
    candidates: "for the one Vendor row where “Vendor” equals the instruction's vendor: “Vendor” is ticked; "
    "where there is none, the rest is done all the same",
    quantity: "for the one Item row where “Item” equals the instruction's item: the instruction's quantity "
    "is entered in “Quantity”",
    amended: "for the one Item row where “Item” equals the instruction's item: the instruction's quantity "
    "is entered in “Quantity”",
    raised: "for the one Item row where “Item” equals the instruction's item: “Quantity” + the instruction's "
    "number is entered in “Quantity”",
    rights: "for the one User row where “User” equals the instruction's user: “Read” is ticked",
}


@cache
def compiled(make: Make) -> Workflow:
    return compile_workflow([make(number) for number in range(COUNT)])


@each
def test_which_one_is_chosen_is_a_rule(make: Make) -> None:
    workflow = compiled(make)
    (said,) = [words for plan in workflow.plans if (words := in_every_row(workflow, plan))]
    assert said == WORDS[make]
    assert not [f.text for f in workflow.findings if "not judged" in f.text or f.kind in ("rows", "empty")]


@each
def test_every_recording_replays_in_what_the_others_compile_to(make: Make) -> None:
    recordings, parser = [make(number) for number in range(COUNT)], Parser()
    for one in recordings[:3]:
        workflow = compile_workflow([r for r in recordings if r is not one], parser=parser)
        found = replay(workflow, trace(one, parser))
        assert found.score.passed and not found.different, (one.id, found.score.reasons, found.different)


@each
def test_another_choice_fails_and_so_does_none(make: Make) -> None:
    env = WorkflowEnv(compiled(make))
    tried = 0
    for task in make_tasks(env.workflow, "test", 8):
        done: list[Action] = []
        view = env.reset(task)
        while not view.finished:
            action = env.next_action()
            assert action is not None, view.text
            view = env.step(action)
            done.append(action)
        assert env.score().passed, env.score().reasons
        page = env.reset(task).page
        choices = list(filter(_chooses, done))
        for choice in choices:
            for other in (None, *_others(page, choice)):
                env.reset(task)
                for action in done:
                    made = other if action is choice else action
                    if made is not None:
                        env.step(made)
                assert not env.score().passed, other
                tried += other is not None
    assert tried >= 8


def _chooses(action: Action) -> bool:
    """Whether an action is the choice, of a row or of a candidate."""
    return action.target is not None and bool(action.target.row or action.target.name in COMPANIES)


def _others(page: Node, choice: Action) -> list[Action]:
    """The same done with the other rows or candidates of the page."""
    assert choice.target is not None
    target = choice.target
    if target.row:
        rows = [row.name for row in page.walk() if row.role == "row" and row.children[0].role == "cell"]
        targets = [target.model_copy(update={"row": name}) for name in rows]
    else:
        names = [node.name for node in page.walk() if node.role == "radio" and node.name in COMPANIES]
        targets = [target.model_copy(update={"name": name}) for name in names]
    return [choice.model_copy(update={"target": each}) for each in targets if each != target]


def test_the_twin_shows_what_stands_in_rows_and_one_choice_at_a_time() -> None:
    for make in (named, candidates, raised, rights):
        found = compare(compiled(make), steps=40)
        assert found.steps == 40 and not found.different, found.different


@pytest.mark.parametrize("make", [cheapest, rights], ids=lambda make: make.__name__)
def test_the_gate_proves_the_choice(make: Make) -> None:
    report = gate(compiled(make), [make(number) for number in range(COUNT)], [], cheap_tasks=20)
    killed = {name: (share.hits, share.total) for name, share in report.families.items() if share.total}
    assert not report.reasons and all(hits == total for hits, total in killed.values())
    assert {"row skipped", "wrong row", "skipped entry"} <= killed.keys()


def test_what_is_to_be_entered_in_a_row_does_not_stand_there_already() -> None:
    env = WorkflowEnv(compiled(rights))
    for task in make_tasks(env.workflow, "train", 20):
        env.reset(task)
        (user,) = env.instance.parameters.values()
        assert env.instance.records["User"][user]["Read"] == "off"


@pytest.mark.parametrize("alone", [False, True], ids=["two sets", "one of them in one recording"])
def test_sets_that_come_as_a_whole_stay_fields(alone: bool) -> None:
    recordings = [reasons(number) for number in range(COUNT)]
    returns = [r for r in recordings if r.instruction.startswith("Return")]
    chosen = [r for r in recordings if not alone or r not in returns[1:]]
    workflow = compile_workflow(chosen)
    labels = {control.label for page in workflow.pages for control in page.controls}
    assert {"Broken", "Too late", "Found cheaper"} <= labels
    assert not any(page.lists for page in workflow.pages)
