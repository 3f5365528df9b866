"""Faults that others trained with for months: each is stopped, or told, in the iteration it shows in."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from train_mini import RL, Mini, MiniSource, probe_of, run_rl, run_sft
from train_tiny import engine

from envgen.session import Score, Task, View
from fde.errors import WorkError
from ingest.action import Action
from serve.agent import Agent, run_episodes
from serve.engine.adapter import AdaptedLinear
from train import rl
from train.lora import Lora
from train.record import Point
from train.update import Updater

pytestmark = pytest.mark.usefixtures("tracked")


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


class Hopeless(Mini):
    """Whatever is done counts for nothing."""

    def potential(self) -> float:
        return 0.0

    def score(self) -> Score:
        return Score(value=0.0)

    def clone(self) -> Mini:
        twin = Hopeless(self.fixed)
        twin.right, twin.pressed = self.right, list(self.pressed)
        return twin


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


# The same within a whole run: noticed within one iteration of having an effect


def test_a_run_whose_weights_are_never_brought_up_to_date_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points: list[Point] = []

    def base_alone(self: AdaptedLinear) -> None:
        self.weight.copy_(self.base)

    monkeypatch.setattr(AdaptedLinear, "merge", base_alone)
    with pytest.raises(WorkError, match="are stale"):
        run_rl(tmp_path, source=MiniSource("Green"), points=points)
    assert points == []


def test_a_run_whose_rollouts_do_without_the_adapter_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points: list[Point] = []
    whole = rl.Rollouts.make

    def without(self: Any, *arguments: Any, **named: Any) -> Any:
        kept = {path: module.weight for path, module in self.engine._adapted.items()}
        for module in self.engine._adapted.values():
            module.weight = torch.nn.Parameter(module.base, requires_grad=False)
        try:
            return whole(self, *arguments, **named)
        finally:
            for path, module in self.engine._adapted.items():
                module.weight = kept[path]

    monkeypatch.setattr(rl.Rollouts, "make", without)
    with pytest.raises(WorkError, match="rollouts are not what is trained on"):
        run_rl(tmp_path, source=MiniSource("Green"), points=points)
    # The adapter begins without effect: the first iteration cannot differ.
    assert len(points) == 1


def test_a_run_whose_rollouts_use_an_older_cache_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points: list[Point] = []
    kept: dict[tuple[int, ...], Any] = {}
    fresh = Agent._prefix_row

    def older(self: Agent, shared: tuple[int, ...]) -> Any:
        if self.temperature and shared not in kept:
            row, lower = fresh(self, shared)
            kept[shared] = (self.engine.fork(row), lower)
        if self.temperature:
            row, lower = kept[shared]
            return self.engine.fork(row), lower
        return fresh(self, shared)

    monkeypatch.setattr(Agent, "_prefix_row", older)
    with pytest.raises(WorkError, match="rollouts are not what is trained on"):
        run_rl(tmp_path, replace(RL, frozen=0.0), MiniSource("Green"), points)
    assert len(points) == 1


@pytest.mark.parametrize("same_length", [False, True])
def test_a_run_whose_text_is_tokenised_again_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_length: bool
) -> None:
    points: list[Point] = []
    whole = rl.Rollouts.make

    def again(self: Any, *arguments: Any, **named: Any) -> Any:
        groups = whole(self, *arguments, **named)
        for group in groups:
            for segment in group.segments:
                if same_length:
                    # What was read differs; every choice is still where it was.
                    first = min((d.offset for d in segment.decisions), default=len(segment.tokens))
                    segment.tokens[: first - 1] = segment.tokens[: first - 1][::-1]
                    segment.lower = None
                else:
                    text = self.engine.tokenizer.decode(segment.tokens)
                    segment.tokens = self.engine.tokenizer.encode(" " + text, add_special_tokens=False)
        return groups

    monkeypatch.setattr(rl.Rollouts, "make", again)
    with pytest.raises(WorkError, match=r"rollouts are not what is trained on|tokenised again"):
        run_rl(tmp_path, source=MiniSource("Green"), points=points)
    assert points == []


def test_rewards_that_are_all_equal_are_told_in_the_first_iteration(tmp_path: Path) -> None:
    points: list[Point] = []
    with pytest.raises(WorkError, match="fared the same in 3 iterations"):
        run_rl(tmp_path, source=MiniSource("Green", Hopeless), points=points)
    assert "fared the same" in points[0].alarms[0] and len(points) == 2


def test_a_session_that_hangs_costs_its_episodes_only() -> None:
    class Hanging(Mini):
        def step(self, action: Action) -> View:
            while action.verb != "done":
                time.sleep(0.01)
            return super().step(action)

    made, source = engine(), MiniSource("Green")
    tasks = source.tasks("train", 2, 0)
    groups = run_episodes(
        made, tasks, lambda task: Hanging("Green") if task is tasks[0] else Mini("Green"), max_actions=2,
        answer_s=0.2,
    )  # fmt: skip
    hung, fine = (group.episodes[0] for group in groups)
    clicked = bool(hung.actions) and hung.actions[0] != "done"
    assert clicked == (hung.error == "TimeoutError: The session did not answer within 0.2 s")
    assert clicked and fine.error is None
