"""Lists that can be put in other orders and shown in part: learned, replayed, worked through and gated."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache

import pytest
from envgen_queue import KINDS, LARGE, ORDERS, PAGE, WAYS, kept

from envgen.arranged import direction, foremost, in_order, seen_order
from envgen.compile import compile_workflow
from envgen.environment import NOT_MODELLED, WorkflowEnv
from envgen.gate import gate
from envgen.parity import compare
from envgen.replay import replay
from envgen.session import Split
from envgen.sheet import sheet
from envgen.tasks import make_tasks
from envgen.texts import without_order
from envgen.traces import Parser, trace
from envgen.values import date_layout
from envgen.words import in_words
from envgen.workflow import ListView, Sort, Workflow
from ingest.action import Action, Target

HEADED = ("server", "script")
STATES = ("All", "Open", "Waiting", "Closed")


@cache
def compiled(kind: str) -> Workflow:
    return compile_workflow(kept(kind))


def tickets(workflow: Workflow) -> ListView:
    (view,) = (view for page in workflow.pages for view in page.lists)
    return view


def at_the_list(kind: str, number: int = 0) -> WorkflowEnv:
    env = WorkflowEnv(compiled(kind))
    env.reset(make_tasks(env.workflow, "train", number + 1)[number])
    env.step(Action.parse('click link "Tickets"'))
    return env


def shown(env: WorkflowEnv) -> list[dict[str, str]]:
    """The rows on the screen."""
    view, page = tickets(env.workflow), env.state.page
    return [dict(env.state.records[view.entity][key]) for key in env.shown_keys(page, view)]


def head(env: WorkflowEnv, column: str) -> Action:
    """A click on what stands above a column."""
    for (role, name), places in env.rendered.index.items():
        if role in ("link", "button") and without_order(name) == column and places:
            return Action(verb="click", target=Target(role=role, name=name))
    raise AssertionError(column)


def choose(env: WorkflowEnv, state: str | None = None, large: bool | None = None) -> str:
    """Filter the list, as a person does."""
    text = ""
    if state is not None:
        text = env.step(Action.parse(f'select combobox "State": {state}')).text
    if large is not None:
        text = env.step(Action.parse(f'{"check" if large else "uncheck"} checkbox "Large"')).text
    return env.step(Action.parse('click button "Show"')).text if button(env) else text


def button(env: WorkflowEnv) -> bool:
    return ("button", "Show") in env.rendered.index


def amounts(rows: Sequence[dict[str, str]]) -> list[Decimal]:
    return [Decimal(row["Amount"].replace(",", "")) for row in rows]


# What is learned


@pytest.mark.parametrize("kind", HEADED)
def test_orders_and_filters_are_learned(kind: str) -> None:
    view = tickets(compiled(kind))
    assert {(s.field, s.by, s.directions) for s in view.sorts} == {
        ("Customer", "text", ("ascending", "descending")),
        ("Opened", "%d/%m/%Y", ("ascending", "descending")),
        ("Amount", "number", ("ascending", "descending")),
    }
    state, large = view.filters
    assert in_words(state.where).endswith(
        "if “State” equals the chosen “State” then “yes”, else “no”"
    ) and state.every == ("All",)
    assert "“Amount” is above" in in_words(large.where) and large.every == ("off",)
    told = [f.text for f in compiled(kind).findings if f.kind == "filter"]
    assert len(told) == 2 and "“Amount” is above" in told[1]
    # A form that is sent anew loses the order, a script keeps it.
    assert view.begins_anew == (kind == "server")
    assert (view.page_size == PAGE) == (kind == "server")


@pytest.mark.parametrize("kind", KINDS)
def test_what_arranges_a_list_is_no_entry_and_no_way_out(kind: str) -> None:
    workflow = compiled(kind)
    assert {rule.control.split(".")[0] for plan in workflow.plans for rule in plan.entries} == {"p3"}
    labels = {found.label for page in workflow.pages for found in page.exits}
    assert not labels & {"Customer", "Opened", "Amount", "Show", *STATES}


@pytest.mark.parametrize("kind", KINDS)
def test_every_recording_replays_in_what_the_others_compile_to(kind: str) -> None:
    recordings, parser = list(kept(kind)), Parser()
    # Nobody else chooses the order of the third recording from a field: each option is its own.
    for number in (4, 9, 13) if kind == "tabs" else (2, 9, 13):
        one = recordings[number]
        workflow = compile_workflow([r for r in recordings if r is not one], parser=parser)
        found = replay(workflow, trace(one, parser))
        assert found.score.passed and not found.unmodelled, (one.id, WAYS[number], found)
        assert not found.different, (one.id, found.different)


# What it does


@pytest.mark.parametrize("kind", HEADED)
@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("Amount", lambda row: Decimal(row["Amount"].replace(",", ""))),
        ("Opened", lambda row: row["Opened"].split("/")[::-1]),
        ("Customer", lambda row: row["Customer"].lower()),
    ],
)
def test_a_click_above_a_column_puts_its_rows_in_order(
    kind: str, column: str, key: Callable[[dict[str, str]], object]
) -> None:
    env = at_the_list(kind)
    everything = list(env.state.records[tickets(env.workflow).entity].values())
    for down in (False, True):
        env.step(head(env, column))
        rows = shown(env)
        wanted = sorted((key(dict(row)) for row in everything), reverse=down)  # type: ignore[type-var]
        assert [key(row) for row in rows] == wanted[: len(rows)]
    before = env.page
    # What a third click does nobody showed.
    assert NOT_MODELLED in env.step(head(env, column)).text and env.page == before


@pytest.mark.parametrize("kind", HEADED)
def test_filters_hold_together_and_are_taken_back(kind: str) -> None:
    env = at_the_list(kind)
    first = shown(env)
    choose(env, "Open")
    assert {row["State"] for row in shown(env)} == {"Open"}
    choose(env, large=True)
    assert {row["State"] for row in shown(env)} <= {"Open"} and all(a > LARGE for a in amounts(shown(env)))
    choose(env, "All", large=False)
    assert shown(env) == first


def test_links_choose_what_is_shown_and_a_field_the_order() -> None:
    view = tickets(compiled("tabs"))
    assert {s.option: (s.field, *s.directions) for s in view.sorts} == {
        option: (field, "descending" if down else "ascending") for option, (field, down) in ORDERS.items()
    }
    assert len(view.filters) == len(STATES) and all(f.clicked for f in view.filters)
    env = at_the_list("tabs")
    first = shown(env)
    env.step(Action.parse('click link "Waiting"'))
    assert {row["State"] for row in shown(env)} == {"Waiting"} and len(shown(env)) < len(first)
    env.step(Action.parse('select combobox "Order": Amount, highest first'))
    assert amounts(shown(env)) == sorted(amounts(shown(env)), reverse=True)
    env.step(Action.parse('click link "All"'))
    assert amounts(shown(env)) == sorted(amounts(first), reverse=True)
    for state in ("Open", "Closed", "Waiting"):
        env.reset(make_tasks(env.workflow, "train", 1)[0])
        env.step(Action.parse('click link "Tickets"'))
        env.step(Action.parse(f'click link "{state}"'))
        while (action := env.next_action()) is not None and not env.step(action).finished:
            pass
        assert env.score().passed


def test_the_record_that_comes_first_in_an_order_is_found() -> None:
    workflow = compiled("first")
    (key,) = (plan.key for plan in workflow.plans if plan.key is not None)
    assert in_words(key) == "the one with the smallest “Opened” of the Ticket rows where “State” is “Open”"
    assert "The list says" in sheet(workflow, None)
    env = WorkflowEnv(workflow)
    for task in make_tasks(workflow, "dev", 10):
        env.reset(task)
        rows = env.instance.records["Ticket"]
        due = {n: row["Opened"].split("/")[::-1] for n, row in rows.items() if row["State"] == "Open"}
        (write,) = env.expected.writes
        assert write.key == min(due, key=lambda n: due[n])
    assert len({" ".join(instance_keys(workflow, split)) for split in ("train", "dev", "test")}) == 3


def instance_keys(workflow: Workflow, split: Split) -> list[str]:
    """The tickets of a split's first task: without parameters they are what no other split has."""
    env = WorkflowEnv(workflow)
    env.reset(make_tasks(workflow, split, 1)[0])
    return sorted(env.instance.records["Ticket"])


def test_another_record_than_the_first_is_wrong_work() -> None:
    report = gate(compiled("first"), kept("first"), [])
    assert report.published, report.reasons
    for family in ("wrong record", "duplicate", "extra write", "stale overwrite"):
        assert report.families[family].hits == report.families[family].total > 0, family


def test_few_recordings_do_not_show_which_one_comes_first() -> None:
    workflow = compile_workflow(kept("first")[:4])
    assert [f.severity for f in workflow.findings if f.kind == "record"] == ["question"]


def test_a_form_that_is_sent_anew_begins_with_the_first_order() -> None:
    server, script = at_the_list("server"), at_the_list("script")
    for env in (server, script):
        first = shown(env)
        env.step(head(env, "Amount"))
        assert shown(env) != first
        choose(env, "All")
        assert (shown(env) == first) == (env is server)
        assert amounts(shown(env)) == sorted(amounts(shown(env))) or env is server


def test_headers_say_the_order_and_the_pages_of_a_sorted_list_follow_on() -> None:
    env = at_the_list("server")
    env.step(head(env, "Amount"))
    assert ("link", "Amount ▲") in env.rendered.index
    env.step(head(env, "Amount"))
    assert ("link", "Amount ▼") in env.rendered.index and ("link", "Opened") in env.rendered.index
    seen = amounts(shown(env))
    env.step(Action.parse('click link "Next"'))
    assert seen and min(seen) >= max(amounts(shown(env)))


def test_what_is_chosen_and_was_never_seen_is_not_modelled() -> None:
    recordings = [r for n, r in enumerate(kept("script")) if "Large" not in WAYS[n]]
    env = WorkflowEnv(compile_workflow(recordings))
    env.reset(make_tasks(env.workflow, "train", 1)[0])
    env.step(Action.parse('click link "Tickets"'))
    before = shown(env)
    env.step(Action.parse('check checkbox "Large"'))
    assert shown(env) == before


# What rests on it


@pytest.mark.parametrize("kind", HEADED)
def test_the_program_finds_its_record_however_the_list_is_arranged(kind: str) -> None:
    env, rng = WorkflowEnv(compiled(kind)), random.Random(3)
    for task in make_tasks(env.workflow, "train", 25):
        env.reset(task)
        env.step(Action.parse('click link "Tickets"'))
        for _ in range(4):
            choose(env, rng.choice(STATES), large=rng.random() < 0.5)
            env.step(head(env, rng.choice(("Amount", "Opened", "Customer"))))
        for _ in range(30):
            action = env.next_action()
            if action is None or env.step(action).finished:
                break
        assert env.score().passed, (task.id, env.score().reasons)


def test_it_passes_its_gate() -> None:
    report = gate(compiled("server"), kept("server"), [])
    assert report.published, report.reasons


def test_the_twin_shows_the_same() -> None:
    found = compare(compiled("script"), steps=60, seed=2)
    assert found.steps == 60 and not found.different, found


# Parts


def test_what_labels_say_of_an_order_is_left_out() -> None:
    assert without_order("Amount ▲") == without_order("Amount") == "Amount"
    assert without_order("Amount: activate to sort column ascending") == "Amount"
    assert without_order("Due date (sorted descending)") == "Due date"
    assert without_order("Sort order") == "Sort" and without_order("Order") == "Order"


def test_orders_are_told_by_the_texts_themselves() -> None:
    assert seen_order(["9", "10", "200"], "number") == "ascending"
    assert seen_order(["9", "10", "200"], "text") is None
    assert seen_order(["b", "A"], "text") == "descending" and seen_order(["a", "a"], "text") == ""
    assert seen_order(["03/02/2026", "01/13/2026"], "%d/%m/%Y") is None
    sort = Sort(node="n1", field="a", by="number", directions=("ascending", "descending", ""), again=True)
    records = {"x": {"a": "2"}, "y": {"a": "?"}, "z": {"a": "1"}}
    ways = [direction(sort, clicks) for clicks in (1, 2, 3, 4)]
    orders = [in_order(list(records), records, "a", "number", way) for way in ways]
    assert orders == [["y", "z", "x"], ["x", "z", "y"], ["x", "y", "z"], ["y", "z", "x"]]


def test_the_first_of_all_is_one_that_is_known() -> None:
    rows = {"x": {"a": "10"}, "y": {"a": "9"}}
    assert (
        foremost(rows, "a", "number", "ascending") == "y" and foremost(rows, "a", "text", "ascending") == "x"
    )
    assert foremost({**rows, "z": {"a": "9"}}, "a", "number", "ascending") is None
    assert foremost({**rows, "z": {"a": "?"}}, "a", "number", "ascending") is None
    assert foremost({}, "a", "number", "ascending") is None
    # What is not known of most of them puts none of them first.
    assert foremost({"x": {"a": "Gold"}, "y": {}}, "a", "text", "descending") is None


def test_one_date_says_in_which_format_the_others_are() -> None:
    assert date_layout(["03/02/2026"]) == "%m/%d/%Y"
    assert date_layout(["03/02/2026", "25/02/2026"]) == "%d/%m/%Y"
    assert date_layout(["03/02/2026", "x"]) is None and date_layout([]) is None
