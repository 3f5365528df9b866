"""Training end to end on a tiny model: it learns, resumes exactly, and stops loudly when it is broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from train_mini import Mini, MiniSource, recorder
from train_tiny import engine

from envgen.session import Score, Task, View
from fde.engagement import Run
from fde.errors import InputError, WorkError
from ingest.action import Action
from serve.agent import episodes, run_episodes
from serve.demonstrate import demonstrate
from serve.engine.adapter import WEIGHTS_FILE, first_layer, read
from serve.engine.local import LocalEngine
from serve.prompt import Prompt
from train import checkpoint
from train.algorithms import sft as imitation
from train.begin import Beginning
from train.lora import Lora
from train.loss import Clip
from train.record import Point
from train.rl import RlConfig, improve
from train.sft import SftConfig, fit, make_config
from train.starts import Midway, Start, way
from train.tree import prune
from train.update import Probe, Updater
from train.visits import Visits

SFT = SftConfig(
    demonstrations="program",
    count=6,
    rank=8,
    frozen=0.34,
    rate=1e-2,
    batch_tokens=600,
    passes=60,
    dev_tasks=6,
)
# This model knows nothing at the beginning: everything must be tried, and one lucky group proves little.
RL = RlConfig(
    groups=6,
    samples=6,
    min_p=0.0,
    rate=1e-2,
    batch_tokens=256,
    iterations=12,
    rank=8,
    frozen=0.34,
    dev_tasks=6,
    max_actions=4,
)


@pytest.fixture(autouse=True)
def tracked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """MLflow's database takes longer to make than a tiny model to train; what is logged is kept here."""
    logged: list[dict[str, Any]] = []

    def log_run(_: Any, name: str, params: Any, metrics: Any, series: Any = None, artifacts: Any = ()) -> str:
        logged.append({"name": name, "metrics": dict(metrics), "series": dict(series or {})})
        return "1"

    monkeypatch.setattr("fde.tracking.log_run", log_run)
    return logged


def run_sft(
    folder: Path,
    config: SftConfig = SFT,
    source: Any = None,
    points: list[Point] | None = None,
    begin: Beginning | None = None,
) -> Run:
    made = recorder(folder, "sft-mini", source or MiniSource(), config, points)
    begin = begin or Beginning()
    with made.engagement.working(made.run):
        fit(begin.engine(made, config.frozen, engine()), made.source, config, made, begin)
    return made.run


def run_rl(
    folder: Path,
    config: RlConfig = RL,
    source: Any = None,
    points: list[Point] | None = None,
    begin: Beginning | None = None,
) -> Run:
    made = recorder(folder, "rl-mini", source or MiniSource("Green"), config, points)
    begin = begin or Beginning()
    with made.engagement.working(made.run):
        improve(begin.engine(made, config.frozen, engine()), made.source, config, made, begin)
    return made.run


def weights(run: Run) -> bytes:
    return (run.path / "adapter" / WEIGHTS_FILE).read_bytes()


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
        "moments.safetensors", "result.json",
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
    done = updater.step(trees, lr=1e-2, clip=Clip())
    assert done.clipped == done.decisions > 0 and done.norm == 0.0
    assert lora.digest() == before and updater.updates == 0


class Killed(BaseException):
    """Stands for a process that dies."""


@pytest.mark.parametrize("kind", ["sft", "rl"])
def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path: Path, kind: str) -> None:
    def run(folder: Path, points: list[Point] | None = None) -> Run:
        if kind == "sft":
            return run_sft(folder, replace(SFT, passes=20, dev_times=4), points=points)
        return run_rl(folder, replace(RL, iterations=4), points=points)

    undisturbed = run(tmp_path / "a")

    class Dying(list[Point]):
        def __init__(self, at: int) -> None:
            super().__init__()
            self.at = at

        def append(self, point: Point) -> None:
            if point.step == self.at:
                raise Killed
            super().append(point)

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


# Faults


def probe_of(made: LocalEngine, lora: Lora) -> tuple[Probe, list[Any]]:
    source = MiniSource()
    task = source.tasks("train", 1, 0)[0]
    group = demonstrate(made.grammar, Prompt(made.tokenizer), source.session(task), task)
    trees = prune(group, imitation.targets(group))
    return Probe(made, lora, trees[0]), trees


def test_an_adapter_that_is_not_used_is_noticed() -> None:
    made = engine()
    lora = Lora(made, rank=4)
    probe, trees = probe_of(made, lora)
    updater = Updater(made, lora)
    assert probe.check() < 1e-3
    with pytest.raises(WorkError, match="no effect"):
        probe.check_used()
    updater.step(trees, lr=1e-2)
    assert probe.check() < 1e-3 and probe.check_used() > 0
    made.clear_adapter()
    with pytest.raises(WorkError, match="not in use"):
        probe.check()


def test_weights_that_were_not_brought_up_to_date_are_noticed() -> None:
    made = engine()
    lora = Lora(made, rank=4)
    probe, trees = probe_of(made, lora)
    Updater(made, lora).step(trees, lr=1e-2)
    with torch.no_grad():
        for _, b in lora.tensors.values():
            b.add_(0.5)
    with pytest.raises(WorkError, match="stale"):
        probe.check()


def test_a_cache_that_is_stale_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()
    lora = Lora(made, rank=4)
    probe, trees = probe_of(made, lora)
    old = made.row()
    tokens = probe.tree.tokens[0]
    made.feed([(old, tokens[:-1])])
    Updater(made, lora).step(trees, lr=5e-2)

    def stale(items: Any, **_: Any) -> Any:
        return feed([(made.fork(old), part) if len(part) > 3 else (row, part) for row, part in items])

    feed = made.feed
    monkeypatch.setattr(made, "feed", stale)
    with pytest.raises(WorkError, match="disagree"):
        probe.check()


def test_no_gradient_and_a_loss_that_is_not_a_number_are_errors() -> None:
    made = engine()
    lora = Lora(made, rank=4)
    _, trees = probe_of(made, lora)
    updater = Updater(made, lora)
    for tree in trees:
        tree.targets = [(place, replace(target, advantage=0.0)) for place, target in tree.targets]
    with pytest.raises(WorkError, match="is zero: nothing can be learned"):
        updater.step(trees, lr=1e-2)
    for tree in trees:
        tree.targets = [(place, replace(target, advantage=float("nan"))) for place, target in tree.targets]
    with pytest.raises(WorkError, match="loss of update 1 is nan"):
        updater.step(trees, lr=1e-2)


def test_rewards_that_are_all_equal_stop_the_run(tmp_path: Path) -> None:
    class Hopeless(Mini):
        def potential(self) -> float:
            return 0.0

        def score(self) -> Score:
            return Score(value=0.0)

        def clone(self) -> Mini:
            twin = Hopeless(self.fixed)
            twin.right, twin.pressed = self.right, list(self.pressed)
            return twin

    with pytest.raises(WorkError, match="fared the same in 3 iterations"):
        run_rl(tmp_path, source=MiniSource("Green", Hopeless))


def test_a_reward_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    class Broken(Mini):
        def score(self) -> Score:
            return Score(value=float("nan"))

        def clone(self) -> Mini:
            twin = Broken(self.fixed)
            twin.right, twin.pressed = self.right, list(self.pressed)
            return twin

    with pytest.raises(WorkError, match="the reward is nan"):
        run_rl(tmp_path, source=MiniSource("Green", Broken))


def test_an_environment_that_raises_stops_the_run_when_it_is_the_rule(tmp_path: Path) -> None:
    class Failing(Mini):
        def step(self, action: Action) -> View:
            if self.pressed or action.verb == "done":
                raise OSError("no more")
            return super().step(action)

        def clone(self) -> Mini:
            twin = Failing(self.fixed)
            twin.right, twin.pressed = self.right, list(self.pressed)
            return twin

    class Source(MiniSource):
        def session(self, task: Task) -> Mini:
            return Mini("Green") if task.id.startswith("mini/dev") or "@" not in task.id else Failing("Green")

    with pytest.raises(WorkError, match="rollouts failed; the first: OSError: no more"):
        run_rl(tmp_path, replace(RL, whole=0.0, disturbed=0.0), Source("Green"))


def test_a_program_that_fails_its_own_task_teaches_nothing(tmp_path: Path) -> None:
    class Wrong(Mini):
        def score(self) -> Score:
            return Score(value=0.0, reasons=("a record too many",))

    with pytest.raises(WorkError, match="fails task mini/train/0-0: a record too many"):
        run_sft(tmp_path, source=MiniSource(None, Wrong))


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
    session = Midway(Portal(), cut)
    session.reset(cut.as_task)
    action = session.session.next_action()
    assert action is not None
    ended = session.step(action)
    assert ended.finished and session.score().value is None
    assert all(episode.error is None for episode in episodes(found))
    with pytest.raises(WorkError, match="no scene 9"):
        Midway(Portal(), Start(task, 9)).reset(task)
