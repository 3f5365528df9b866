"""What the start had learned is gone over: found by its runs, in a share of every update, held as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from serve_tiny import make_model
from train_forms import compiled, forms
from train_mini import SFT, Dying, Killed, MiniSource, weights
from train_tiny import engine

from fde.engagement import Engagement, Run
from fde.errors import InputError
from serve.prompt import Prompt
from train.distil import Before, OnPolicy
from train.lessons import ByTurns, Demonstrated, Together
from train.lora import Lora
from train.loss import Divergence
from train.record import Point, read_result
from train.rehearse import learned_by
from train.rl import train_rl
from train.sft import demonstration_trees, train_sft
from train.update import Updater

pytestmark = pytest.mark.usefixtures("tracked")
FIRST, SECOND = "book", "move"
FEW: dict[str, Any] = {
    "demonstrations": "program", "count": 2, "rank": 2, "dev_times": 0, "max_actions": 3, "updates": 4
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def built(tmp_path: Path, base: Path) -> Engagement:
    return forms(tmp_path / "client", base, FIRST, SECOND)


def earlier(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_result(run)["earlier"]
    return found


def rehearsed(run: Run) -> list[str]:
    return [each["workflow"] for each in earlier(run) if each["rehearsed"]]


@pytest.mark.parametrize("objective", ["imitation", "sdft"])
def test_what_the_start_and_its_starts_learned_is_gone_over(built: Engagement, objective: str) -> None:
    first = train_sft(built, name="a", workflow=FIRST, **FEW)
    again = train_rl(
        built, name="a", workflow=FIRST, start=first, iterations=1, groups=2, samples=2,
        rank=2, dev_times=0, max_actions=3,
    )  # fmt: skip
    assert rehearsed(first) == [] and learned_by(built, again) == [FIRST]
    second = train_sft(built, name="b", workflow=SECOND, start=again, objective=objective, **FEW)
    assert rehearsed(second) == [FIRST] and learned_by(built, second) == [FIRST, SECOND]
    back = train_sft(built, name="c", workflow=FIRST, start=second, objective=objective, **FEW)
    assert rehearsed(back) == [SECOND]
    without = train_sft(
        built, name="b", workflow=SECOND, start=again, objective=objective, **FEW, rehearse=0.0
    )
    assert rehearsed(without) == [] and weights(without) != weights(second)
    assert [each["workflow"] for each in earlier(without)] == [FIRST]


def test_a_workflow_that_is_gone_is_told_before_training(built: Engagement) -> None:
    first = train_sft(built, name="a", workflow=FIRST, **FEW)
    compiled(built, SECOND)
    with pytest.raises(InputError, match="learned 'book' before, which cannot be gone over") as told:
        train_sft(built, name="b", workflow=SECOND, start=first, **FEW)
    assert "rehearse=0" in (told.value.hint or "")
    assert not earlier(train_sft(built, name="b", workflow=SECOND, start=first, **FEW, rehearse=0.0))


def test_what_is_left_of_the_earlier_workflow_is_told(built: Engagement) -> None:
    first = train_sft(built, name="a", workflow=FIRST, **FEW)
    measured: dict[str, Any] = {"dev_times": 2, "dev_tasks": 2, "max_actions": 3}
    second = train_sft(built, name="b", workflow=SECOND, start=first, **FEW | measured)
    [told] = earlier(second)
    curve = [Point.of(point) for point in json.loads((second.path / "curve.json").read_text())]
    known = [(point.step, point.retained) for point in curve if point.retained is not None]
    assert [step for step, _ in known] == [0, 2, 4] and told["dev_n"] == 2
    assert told["before"] == known[0][1] and told["after"] == dict(known)[read_result(second)["step"]]
    improved = train_rl(
        built, name="b", workflow=SECOND, start=second, iterations=1, groups=2, samples=2, rank=2, **measured
    )
    [told] = earlier(improved)
    assert told["workflow"] == FIRST and not told["rehearsed"] and told["before"] is not None


@pytest.mark.parametrize("objective", ["imitation", "sdft"])
def test_a_run_that_was_killed_ends_with_the_same_weights(built: Engagement, objective: str) -> None:
    first = train_sft(built, name="a", workflow=FIRST, **FEW)
    settings = {**FEW, "updates": 6, "dev_times": 3, "dev_tasks": 1, "objective": objective, "rehearse": 0.5}
    undisturbed = train_sft(built, name="b", workflow=SECOND, start=first, **settings)
    with pytest.raises(Killed):
        train_sft(built, name="c", workflow=SECOND, start=first, on_point=Dying(5).append, **settings)
    resumed = train_sft(built, name="c", workflow=SECOND, start=first, **settings)
    assert weights(resumed) == weights(undisturbed)


def test_the_earlier_workflow_is_held_as_the_start_does_it() -> None:
    made = engine(split=1)
    lora = Lora(made, rank=4)
    config = replace(SFT, objective="sdft", batch_tokens=200)
    prompt = Prompt(made.tokenizer)
    kept = OnPolicy(made, [MiniSource()], prompt, config, Before(made, lora), Divergence.FORWARD)
    updater = Updater(made, lora)

    def divergence() -> float:
        kept._waiting = []
        batch, _ = kept.batch(0)
        return updater.step(batch, lr=0.0, rule=kept.rule).loss

    assert divergence() == pytest.approx(0.0, abs=1e-5)
    with torch.no_grad():
        for _, b in lora.tensors.values():
            b.normal_(generator=torch.Generator().manual_seed(0))
    lora.merge()
    slipped = divergence()
    assert slipped > 0.01
    for _ in range(30):
        batch, _ = kept.batch(0)
        kept.learned(updater.step(batch, lr=0.01, rule=kept.rule).losses)
    assert divergence() < slipped / 2


def test_every_update_goes_over_both() -> None:
    made = engine()
    lora, config = Lora(made, rank=4), replace(SFT, batch_tokens=1)
    prompt = Prompt(made.tokenizer)

    def some() -> Demonstrated:
        return Demonstrated(lora, demonstration_trees(made, MiniSource(), config, prompt), config)

    told, followed, earlier = some(), some(), some()
    lessons = Together(ByTurns(told, followed, 0.25), earlier)
    assert lessons.tokens == round(told.tokens / 0.75)
    for step in range(8):
        trees, _ = lessons.batch(step)
        assert len(trees) == 2
        lessons.learned([1.0, 2.0])
    assert [sum(each.visits.counts) for each in (told, followed, earlier)] == [6, 2, 8]
    assert set(told.visits.losses) == {1.0, None} and set(earlier.visits.losses) <= {2.0, None}
    twin = Together(ByTurns(some(), some(), 0.25), some())
    twin.restore(json.loads(json.dumps(lessons.state())), {})
    assert twin.state() == lessons.state()
