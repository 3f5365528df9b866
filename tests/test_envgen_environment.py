"""The environment of the claims desk: what it shows, answers and judges, and how the gate sees it."""

from __future__ import annotations

from functools import cache

import pytest
from envgen_desk import documents, recordings

from envgen import demonstrations
from envgen.choices import choices
from envgen.compile import compile_workflow
from envgen.disturbances import FAULTS
from envgen.environment import NOT_MODELLED, WorkflowEnv
from envgen.gate import gate
from envgen.generators import belongs
from envgen.session import Task
from envgen.statistics import wilson
from envgen.tasks import make_tasks
from envgen.workflow import Workflow
from fde.errors import InputError
from ingest.action import Action


@cache
def desk() -> Workflow:
    return compile_workflow(recordings(), documents())


def path(env: WorkflowEnv, task: Task) -> list[Action]:
    view = env.reset(task)
    found: list[Action] = []
    while not view.finished:
        action = env.next_action()
        assert action is not None
        offered = choices(view.page)
        text = action.text()
        assert any(c.text == text or (c.open and text.startswith(c.text)) for c in offered), text
        found.append(action)
        view = env.step(action)
    return found


def play(env: WorkflowEnv, task: Task, lines: list[str]) -> list[str]:
    env.reset(task)
    return [env.step(Action.parse(line)).text for line in lines]


def test_same_seed_same_episode_and_disjoint_splits() -> None:
    tasks = {split: make_tasks(desk(), split, 40) for split in ("train", "dev", "test")}
    parameters = [{t.parameters["claim"] for t in found} for found in tasks.values()]
    assert not parameters[0] & parameters[1] and not parameters[0] & parameters[2]
    assert not parameters[1] & parameters[2]
    assert all(belongs(t.parameters, split) for split, found in tasks.items() for t in found)
    task = tasks["dev"][0]
    one, other = WorkflowEnv(desk()), WorkflowEnv(desk())
    assert one.reset(task) == other.reset(task)
    assert task.parameters["claim"] in task.instruction


@pytest.mark.parametrize("disturbance", ["", *FAULTS])
def test_the_program_does_every_task_also_when_disturbed(disturbance: str) -> None:
    env = WorkflowEnv(desk())
    names = (disturbance,) if disturbance else ()
    plain = [len(path(env, task)) for task in make_tasks(desk(), "dev", 15, seed=3)]
    disturbed = []
    for task in make_tasks(desk(), "dev", 15, seed=3, disturbances=names):
        disturbed.append(len(path(env, task)))
        assert env.score().passed, env.score().reasons
        assert env.state.unmodelled == 0
    if disturbance in ("dialog", "validation", "timeout", "slow", "stale"):
        assert sum(disturbed) > sum(plain)


def test_faults_show_and_nothing_is_saved_through_them() -> None:
    env = WorkflowEnv(desk())
    (plain,) = make_tasks(desk(), "dev", 1, seed=3)
    right = path(env, plain)

    def faulty(name: str) -> Task:
        (task,) = make_tasks(desk(), "dev", 1, seed=3, disturbances=(name,))
        assert task.parameters == plain.parameters and task.id.endswith(f"+{name}")
        return task

    said: dict[str, list[str]] = {}
    for name in ("labels", "timeout", "slow", "stale"):
        view = env.reset(faulty(name))
        told = [view.text]
        for action in right:
            told.append(env.step(action).text)
        said[name] = told
        # The work as recorded does not survive the fault.
        assert env.score().value == 0.0, name
    assert any("Sign in again" in text for text in said["timeout"])
    assert any('button "Wait"' in text for text in said["slow"])
    assert any("Somebody else changed this record" in text for text in said["stale"])
    assert 'searchbox "Find"' not in said["labels"][0] and "Find" in said["labels"][0]
    worded = make_tasks(desk(), "dev", 8, seed=3, disturbances=("wording",))
    plainly = {task.instruction for task in make_tasks(desk(), "dev", 8, seed=3)}
    assert sum(task.instruction in plainly for task in worded) < 6
    assert all(task.parameters["claim"] in task.instruction for task in worded)


def test_all_faults_at_once_are_survived() -> None:
    env = WorkflowEnv(desk())
    for task in make_tasks(desk(), "dev", 6, seed=3, disturbances=FAULTS):
        path(env, task)
        assert env.score().passed, env.score().reasons


def test_unknown_disturbance_and_foreign_task_are_refused() -> None:
    with pytest.raises(InputError, match="earthquake"):
        make_tasks(desk(), "dev", 1, disturbances=("earthquake",))
    task = make_tasks(desk(), "dev", 1)[0].model_copy(update={"workflow": "other"})
    with pytest.raises(InputError, match="other"):
        WorkflowEnv(desk()).reset(task)


def test_wrong_actions_change_nothing_and_are_answered() -> None:
    env = WorkflowEnv(desk())
    task = make_tasks(desk(), "dev", 1)[0]
    env.reset(task)
    before = env.rendered.page
    assert "no button" in env.step(Action.parse('click button "Delete"')).text
    assert env.rendered.page == before
    assert NOT_MODELLED in env.step(Action.parse("goto http://desk.test/")).text
    assert env.unmodelled == 1
    env.step(Action.parse("done"))
    assert env.score().value == 0.0
    assert any("missing" in reason for reason in env.score().reasons)


def test_verdicts_name_what_is_wrong() -> None:
    env = WorkflowEnv(desk())
    task = next(t for t in make_tasks(desk(), "dev", 20) if not path(env, t) or not env.instance.hidden)
    right = path(env, task)
    changed = [
        a.model_copy(update={"value": "Reject" if a.value != "Reject" else "Refer"})
        if a.target is not None and a.target.name == "Decision"
        else a
        for a in right
    ]
    env.reset(task)
    for action in changed:
        env.step(action)
    assert any("Decision" in reason and "should be" in reason for reason in env.score().reasons)
    env.reset(task)
    for action in right[:-1]:
        env.step(action)
    assert env.score().reasons == ("The work was not declared done.",)


def test_a_refusal_nobody_can_foresee_strikes_the_tasks_record_and_hides_no_other_change() -> None:
    env = WorkflowEnv(desk())
    struck = 0
    for task in make_tasks(desk(), "train", 30):
        right = path(env, task)
        if not env.instance.hidden:
            continue
        struck += 1
        other = next(k for k in env.instance.records["Claim"] if k != task.parameters["claim"])
        env.reset(task)
        for action in right[:-1]:
            env.step(action)
        for line in (
            'click link "Claims"', f'fill searchbox "Find": {other}', 'click button "Find"',
            f'click link "{other}"', 'click button "Decide"', 'select combobox "Decision": Refer',
            'select combobox "Team": Team North', 'check checkbox "Notify member"',
            'click button "Save"', "done",
        ):  # fmt: skip
            env.step(Action.parse(line))
        assert [write.key for write in env.state.writes] == [task.parameters["claim"], other]
        assert any("not part of the task" in reason for reason in env.score().reasons)
    assert struck


def test_the_program_recovers_from_wrong_entries_and_wrong_pages() -> None:
    env = WorkflowEnv(desk())
    for task in make_tasks(desk(), "dev", 10):
        view = env.reset(task)
        other = next(k for k in env.instance.records["Claim"] if k != task.parameters["claim"])
        env.step(Action.parse(f'fill searchbox "Find": {other}'))
        env.step(Action.parse('click button "Find"'))
        env.step(Action.parse(f'click link "{other}"'))
        view = env.step(Action.parse('click button "Decide"'))
        view = env.step(Action.parse('select combobox "Decision": Reject'))
        while not view.finished:
            action = env.next_action()
            assert action is not None
            view = env.step(action)
        assert env.score().passed, env.score().reasons


def test_potential_grows_to_one_along_the_program() -> None:
    env = WorkflowEnv(desk())
    view = env.reset(make_tasks(desk(), "dev", 1)[0])
    seen = [view.potential]
    while not view.finished:
        action = env.next_action()
        assert action is not None
        view = env.step(action)
        seen.append(view.potential)
    numbers = [p for p in seen if p is not None]
    assert numbers[0] == 0.0 and numbers[-1] == 1.0


def test_a_clone_lives_its_own_life() -> None:
    env = WorkflowEnv(desk())
    task = make_tasks(desk(), "dev", 1)[0]
    env.reset(task)
    env.step(Action.parse(f'fill searchbox "Find": {task.parameters["claim"]}'))
    copy = env.clone()
    copy.step(Action.parse('click button "Find"'))
    assert copy.rendered.page != env.rendered.page
    assert env.state.lists != copy.state.lists
    assert env.step(Action.parse('click button "Find"')).page == copy.rendered.page


def test_demonstrations_offer_only_possible_actions() -> None:
    for recording in recordings():
        shown = demonstrations.recorded(recording, desk())
        assert shown.steps[-1][1].verb == "done"
        for view, action in shown.steps:
            text = action.text()
            assert any(c.text == text or (c.open and text.startswith(c.text)) for c in choices(view.page))
    env = WorkflowEnv(desk())
    made = demonstrations.program(env, make_tasks(desk(), "train", 1)[0])
    assert made.steps[0][0].fresh and made.steps[-1][1].verb == "done"


def test_the_gate_publishes_the_desk_and_catches_all_wrong_work() -> None:
    report = gate(desk(), recordings(), documents())
    assert report.published, report.reasons
    assert report.held_out_pass == report.held_out_total == 3
    assert report.kill_rate is not None and report.kill_rate >= 0.99
    assert report.false_reject_rate == 0.0
    assert {"truncated", "value", "skipped entry", "wrong record", "duplicate"} <= report.families.keys()
    assert all(share.total and share.rate == 1.0 for share in report.families.values()), report.families
    assert report.cheap.keys() == {"do nothing", "random actions", "same action", "reward-seeking search"}
    assert all(share.total == 100 and share.hits == 0 for share in report.cheap.values()), report.cheap


def test_the_gate_refuses_a_verifier_that_does_not_look() -> None:
    blind = desk().model_copy(
        update={"free_fields": tuple(c for write in desk().writes for c in write.controls)}
    )
    report = gate(blind, recordings()[:3], documents(), cheap_tasks=20)
    assert not report.published
    assert (report.families["value"].rate or 0.0) < 0.95
    accepted = gate(blind, recordings()[:3], documents(), accept_risk="a trial", cheap_tasks=5)
    assert accepted.published and accepted.accepted_risk == "a trial"


def test_wilson_intervals() -> None:
    assert wilson(0, 0) is None
    low, high = wilson(10, 10) or (0.0, 0.0)
    assert 0.72 < low < 0.73 and high == pytest.approx(1.0)
