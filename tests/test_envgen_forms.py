"""Forms and look-ups of web applications: each compiles, and its recordings replay when held out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from envgen_forms import ALL, appointment, contacts, labels, note, shuffled

from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.replay import replay
from envgen.tasks import make_tasks
from envgen.traces import Parser, trace
from envgen.words import in_words
from envgen.workflow import Workflow
from ingest.action import Action
from ingest.recording import Recording

COUNT = 8


def compiled(make: Callable[[int], Recording]) -> Workflow:
    return compile_workflow([make(number) for number in range(COUNT)])


def rules(workflow: Workflow) -> list[str]:
    return [
        "" if rule.expression is None else in_words(rule.expression)
        for plan in workflow.plans
        for rule in plan.entries
    ]


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_every_recording_replays_in_what_the_others_compile_to(make: Callable[[int], Recording]) -> None:
    recordings, parser = [make(number) for number in range(COUNT)], Parser()
    for one in recordings:
        workflow = compile_workflow([r for r in recordings if r is not one], parser=parser)
        found = replay(workflow, trace(one, parser))
        assert found.score.passed, (one.id, found.score.reasons)


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_the_program_passes_fresh_tasks_and_nothing_done_does_not(make: Callable[[int], Recording]) -> None:
    workflow = compiled(make)
    env = WorkflowEnv(workflow)
    for task in make_tasks(workflow, "test", 15):
        view = env.reset(task)
        assert task.instruction and "{" not in task.instruction
        clone = env.clone()
        clone.step(Action(verb="done"))
        assert not clone.score().passed
        while not view.finished:
            action = env.next_action()
            assert action is not None, view.text
            view = env.step(action)
        assert env.score().passed, env.score().reasons


def test_a_time_is_entered_in_the_fields_own_format_and_the_page_repeats_the_instruction() -> None:
    workflow = compiled(appointment)
    assert rules(workflow) == ["the instruction's time written as 19:45"]
    env = WorkflowEnv(workflow)
    for task in make_tasks(workflow, "train", 5):
        assert env.reset(task).text.startswith(task.instruction)


def test_a_field_named_as_a_row_takes_what_the_row_says_and_each_names_another() -> None:
    workflow = compiled(labels)
    assert [to for _, to in workflow.session_entities] == [workflow.entities[0].name] * 2
    env = WorkflowEnv(workflow)
    for task in make_tasks(workflow, "train", 5):
        page = env.reset(task).page
        asked = [node.name for node in page.walk() if node.role == "textbox"]
        cells = [[c.name for c in row.children] for row in page.walk() if row.role == "row"]
        assert len(set(asked)) == 2 and set(asked) <= {first for first, _ in cells}
        swapped = [value for name in reversed(asked) for first, value in cells if first == name]
        for name, value in zip(asked, swapped, strict=True):
            env.step(Action.parse(f'fill textbox "{name}": {value}'))
        env.step(Action.parse('click button "Send"'))
        env.step(Action(verb="done"))
        assert env.score().passed == (swapped[0] == swapped[1])


def test_fields_in_another_order_are_the_same_fields() -> None:
    workflow = compiled(shuffled)
    (page,) = workflow.pages
    assert page.template.any_order
    assert sorted(control.label for control in page.controls) == ["Name", "Street", "Year"]


def test_what_stands_in_a_field_is_data_of_the_case() -> None:
    workflow = compiled(note)
    assert rules(workflow) == ["“Note” (its last word)"]


def test_cards_are_turned_over_and_the_wording_says_what_is_clicked() -> None:
    workflow = compiled(contacts)
    (page,) = workflow.pages
    assert page.next and page.previous
    (plan,) = workflow.plans
    assert plan.exit is not None
    assert "the instruction says “address”" in in_words(plan.exit)
    env = WorkflowEnv(workflow)
    turned = 0
    for task in make_tasks(workflow, "test", 8):
        view = env.reset(task)
        assert 'link "<"' not in view.text, "the first card has none before it"
        first = next(n.name for n in view.page.walk() if n.role == "clickable")
        wrong = env.clone()
        wrong.step(Action.parse(f'click clickable "{first}"'))
        wrong.step(Action(verb="done"))
        action = env.next_action()
        assert action is not None and action.target is not None
        turned += action.target.name == ">"
        assert wrong.score().passed == (action.target.name == first)
        # Nobody turned back while recording; it leads to the card before all the same.
        back = env.clone()
        back.step(Action.parse('click link ">"'))
        assert back.step(Action.parse('click link "<"')).page == view.page and back.unmodelled == 0
    assert turned
