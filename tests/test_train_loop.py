"""Training end to end on a tiny model: it learns, resumes exactly, and stops loudly when it is broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from train_mini import (
    RL,
    SFT,
    Dying,
    Killed,
    MiniSource,
    probe_of,
    recorder,
    run_rl,
    run_sft,
    weights,
)
from train_tiny import engine

from fde.engagement import Run
from fde.errors import InputError, WorkError
from serve.agent import episodes, run_episodes
from serve.engine.adapter import first_layer, read
from train import checkpoint
from train.begin import Beginning
from train.lora import Lora
from train.loss import Clip
from train.record import Point
from train.settings import SftConfig, make_config
from train.starts import Midway, Start, way
from train.update import Updater
from train.visits import Visits

pytestmark = pytest.mark.usefixtures("tracked")


def test_imitation_learns_and_leaves_adapter_curve_and_result(
    tmp_path: Path, tracked: list[dict[str, Any]]
) -> None:
    points: list[Point] = []
    run = run_sft(tmp_path, points=points)
    result = json.loads((run.path / "result.json").read_text())
    assert result["dev_success"] == 1.0 and result["dev_n"] == 6
    assert result["adapter"].startswith("mini@") and len(result["adapter"]) == 5 + 64
    curve = json.loads((run.path / "curve.json").read_text())
    assert [point["step"] for point in curve] == list(range(1, len(points) + 1))
    assert curve[-1]["loss"] < curve[0]["loss"] / 5
    assert read(run.path / "adapter").rank == 8
    assert sorted(run.manifest().outputs) == [
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "curve.json",
        "moments.safetensors", "page.html", "result.json", "samples/00079-dev.json",
    ]  # fmt: skip
    assert not list(run.path.glob(".state*"))
    assert tracked[0]["name"].startswith("sft-mini ") and tracked[0]["metrics"]["dev_success"] == 1.0
    assert len(tracked[0]["series"]["loss"]) == len(points)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run = run_sft(tmp_path, replace(SFT, passes=2))
    again = recorder(tmp_path, "sft-mini", MiniSource(), replace(SFT, passes=2)).run
    assert again.id == run.id and again.finished
    other = recorder(tmp_path, "sft-mini", MiniSource(), replace(SFT, passes=3)).run
    assert other.id != run.id and not other.finished


def test_reinforcement_finds_the_right_button_by_itself(tmp_path: Path) -> None:
    points: list[Point] = []
    run = run_rl(tmp_path, points=points)
    result = json.loads((run.path / "result.json").read_text())
    assert points[0].reward is not None and points[0].reward < 0.7
    assert result["dev_success"] == 1.0
    assert result["updates"] >= 5


def test_reinforcement_continues_from_an_adapter(tmp_path: Path) -> None:
    start = Beginning(None, read(run_sft(tmp_path).path / "adapter"))
    assert first_layer(start.weights) == 1
    points: list[Point] = []
    run_rl(tmp_path, replace(RL, iterations=1, rate=1e-4), MiniSource(), points, start)
    assert points[-1].dev_success == 1.0
    assert points[-1].success is None or points[-1].success > 0.5


def test_the_optimizer_goes_on_with_the_moments_of_the_start(tmp_path: Path) -> None:
    begin = run_sft(tmp_path / "sft")
    made = engine()
    lora = Lora(made, rank=8, first_layer=1)
    lora.load(read(begin.path / "adapter"))
    updater = Updater(made, lora)
    file = begin.path / checkpoint.MOMENTS_FILE
    assert checkpoint.adopt_moments(lora, updater.optimizer, file, 1000)
    state = [updater.optimizer.state[tensor] for tensor in lora.parameters()]
    assert all(float(each["exp_avg"].abs().max()) == 0 for each in state)
    assert any(float(each["exp_avg_sq"].max()) > 0 for each in state)
    assert not checkpoint.adopt_moments(Lora(engine(), rank=4), updater.optimizer, file, 1000)
    assert not checkpoint.adopt_moments(lora, updater.optimizer, tmp_path / "none", 1000)
    points: list[Point] = []
    start = Beginning(begin, read(begin.path / "adapter"))
    run_rl(tmp_path / "rl", replace(RL, iterations=2), MiniSource(), points, start)
    assert points[-1].dev_success == 1.0


def test_imitation_continues_from_an_adapter(tmp_path: Path) -> None:
    first = run_sft(tmp_path / "first")
    begin = Beginning(first, read(first.path / "adapter"))
    assert begin.inputs == {"start": f"sft-mini/{first.id}"}
    points: list[Point] = []
    on = run_sft(tmp_path / "on", replace(SFT, rank=4), points=points, begin=begin)
    fresh = json.loads((first.path / "curve.json").read_text())
    assert points[0].loss < fresh[0]["loss"] / 5
    assert read(on.path / "adapter").rank == 8


def test_an_update_whose_choices_are_all_clipped_changes_nothing() -> None:
    made = engine()
    lora = Lora(made, rank=4)
    _, trees = probe_of(made, lora)
    for tree in trees:
        # Much likelier now than when they were sampled, and good: they went far enough.
        tree.targets = [
            (place, replace(target, decision=replace(target.decision, logprob=-15.0)))
            for place, target in tree.targets
        ]
    updater, before = Updater(made, lora), lora.digest()
    done = updater.step(trees, lr=1e-2, rule=Clip())
    assert done.clipped == done.decisions > 0 and done.norm == 0.0
    assert lora.digest() == before and updater.updates == 0


@pytest.mark.parametrize("kind", ["sft", "rl"])
def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path: Path, kind: str) -> None:
    def run(folder: Path, points: list[Point] | None = None) -> Run:
        if kind == "sft":
            return run_sft(folder, replace(SFT, passes=20, dev_times=4), points=points)
        return run_rl(folder, replace(RL, iterations=4), points=points)

    undisturbed = run(tmp_path / "a")

    for at in (2, 3, 4):
        with pytest.raises(Killed):
            run(tmp_path / "b", Dying(at))
    resumed = run(tmp_path / "b")
    assert weights(resumed) == weights(undisturbed)


def test_a_checkpoint_is_whole_or_refused(tmp_path: Path) -> None:
    made = engine()
    lora = Lora(made, rank=4)
    updater = Updater(made, lora)
    assert checkpoint.load(tmp_path) is None
    tensors = checkpoint.training_tensors(lora, updater.optimizer)
    checkpoint.save(tmp_path, 1, {"a": 1}, tensors)
    checkpoint.save(tmp_path, 2, {"a": 2}, tensors)
    assert len(list(tmp_path.glob(".state-*"))) == 1
    loaded = checkpoint.load(tmp_path)
    assert loaded is not None and loaded[0] == {"a": 2}
    with pytest.raises(InputError, match="does not fit the model"):
        other = engine(width=32)
        checkpoint.restore(Lora(other, rank=4), updater.optimizer, loaded[1])
    file = next(tmp_path.glob(".state-*"))
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InputError, match="damaged"):
        checkpoint.load(tmp_path)


def test_unknown_settings_name_the_known_ones() -> None:
    with pytest.raises(InputError, match="Unknown training setting 'learning_rate'"):
        make_config(SftConfig, learning_rate=1.0)


@pytest.mark.parametrize(
    ("setting", "said"), [({"rate": "fast"}, "'rate' is 'fast'"), ({"count": 2.5}, "integer")]
)
def test_a_setting_of_another_type_is_told(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_config(SftConfig, **setting)


# What to look at next


def test_scenes_that_are_known_are_not_visited() -> None:
    visits = Visits(["list"] * 20 + ["form"] * 20, [100] * 40)
    for step in range(40):
        for index in visits.choose(400, f"{step}"):
            visits.note(index, 0.001 if visits.kinds[index] == "list" else 1.0)
    assert sum(visits.counts[:20]) * 10 < sum(visits.counts[20:])
    assert min(visits.counts[20:]) >= 1
    twin = Visits(["list"] * 20 + ["form"] * 20, [100] * 40)
    twin.restore(json.loads(json.dumps(visits.state())))
    assert twin.choose(400, "next") == visits.choose(400, "next")


def test_pages_that_are_each_headed_by_a_name_do_not_take_all_the_time() -> None:
    kinds = ["list"] * 30 + [name for number in range(60) for name in (f"customer {number}",) * 2]
    visits = Visits(kinds, [100] * len(kinds))
    for step in range(30):
        for index in visits.choose(200, f"{step}"):
            visits.note(index, 1.0 if kinds[index] == "list" else 0.001)
    assert sum(visits.counts[:30]) > 20
    assert len(visits.usual) < 30


def test_the_program_says_what_can_be_reached_from_a_start() -> None:
    from train_toy import Portal, make_tasks

    task = make_tasks(1)[0]
    reached = way(Portal(), task).reached
    assert None not in reached and list(reached) == sorted(reached) and reached[0] < reached[2] == 1.0
    assert len(reached) == 3


def test_a_rollout_may_begin_at_a_later_scene_and_end_with_it() -> None:
    from train_toy import Portal, make_tasks

    task = make_tasks(1)[0]
    assert way(Portal(), task).scenes == 3
    made = engine()
    starts = {start.as_task.id: start for start in (Start(task, 2, True), Start(task, 1, False))}
    assert len(starts) == 2
    whole, cut = Start(task, 2, True), Start(task, 1, False)
    view = Midway(Portal(), whole).reset(whole.as_task)
    assert "# Code" in view.text and view.fresh
    found = run_episodes(made, [cut.as_task], lambda t: Midway(Portal(), starts[t.id]), max_actions=3)
    first = found[0].segments[0]
    assert "# Invoice" in made.tokenizer.decode(first.tokens)
    short = Midway(Portal(), whole, most=1)
    short.reset(whole.as_task)
    action = short.session.next_action()
    assert action is not None and short.clone().step(action).finished
    assert short.step(action).finished and short.score().value is None
    assert not short.reset(whole.as_task).finished
    session = Midway(Portal(), cut)
    session.reset(cut.as_task)
    action = session.session.next_action()
    assert action is not None
    ended = session.step(action)
    assert ended.finished and session.score().value is None
    assert all(episode.error is None for episode in episodes(found))
    with pytest.raises(WorkError, match="no scene 9"):
        Midway(Portal(), Start(task, 9)).reset(task)
