"""Towards a teacher: the divergence is the formula's, the teacher is shown how, and it is learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_mini import SFT, Dying, Killed, Mini, MiniSource, run_sft, weights
from train_tiny import engine
from train_tiny import tokenizer as make_tokenizer

from fde.errors import InputError, WorkError
from serve.engine.adapter import read
from serve.prompt import Prompt, opening
from train.begin import Beginning
from train.distil import Larger, OnPolicy, Shown
from train.lora import Lora
from train.loss import Divergence, distillation_loss, forward
from train.record import Point
from train.settings import SftConfig, make_config
from train.sft import check_objective
from train.tree import pack
from train.update import Updater

pytestmark = pytest.mark.usefixtures("tracked")

SDFT = replace(SFT, objective="sdft", count=6, updates=4, passes=1, batch_tokens=200)


def lessons(config: SftConfig = SDFT) -> OnPolicy:
    made = engine(split=1)
    lora = Lora(made, rank=4)
    prompt = Prompt(made.tokenizer)
    teacher = Shown(made, lora, prompt, 0.25)
    return OnPolicy(made, [MiniSource()], prompt, config, teacher, Divergence.FORWARD)


@pytest.mark.parametrize("towards", list(Divergence))
def test_the_divergence_is_that_over_all_that_was_possible(towards: Divergence) -> None:
    given = lessons()
    batch, tokens = given.batch(0)
    assert tokens > 0
    packed = pack(batch)
    hidden, _ = given.engine.body.run(packed.ids, packed.positions, packed.plan, lower=packed.lower)
    hidden = hidden[packed.predictors].detach().requires_grad_()
    losses = distillation_loss(given.engine, hidden, packed.targets, 7.0, towards)
    (gradient,) = torch.autograd.grad(losses.value, hidden)
    plain = hidden.detach().clone().requires_grad_()
    total = torch.zeros(())
    for place, target in enumerate(packed.targets):
        logits = given.engine.body.logits(plain[place : place + 1])[0]
        if target.decision.allowed:
            mine = logits[torch.tensor(target.decision.allowed)].log_softmax(-1)
        else:
            mine = logits[given.engine.free_tokens()].log_softmax(-1)
        theirs = target.teacher
        theirs = theirs if target.decision.allowed else theirs[given.engine.free_tokens()]
        if towards is Divergence.FORWARD:
            total = total + (theirs.exp() * (theirs - mine)).sum()
        else:
            total = total + (mine.exp() * (mine - theirs)).sum()
    (total / 7.0).backward()
    assert float(losses.value.detach()) == pytest.approx(float(total.detach()) / 7.0, rel=1e-4)
    assert float((gradient - plain.grad).norm() / plain.grad.norm()) < 1e-4
    assert float(losses.value.detach()) > 0


def test_the_teacher_sees_the_demonstration_and_judges_the_same_choices() -> None:
    given = lessons()
    (tree, *_), _ = given.batch(0)
    scene = given.scenes[given._chosen[0]]
    prompt = given.prompt
    told = opening(scene.start.task.instruction, Mini().text())
    first = len(prompt.shared_tokens()) + len(prompt.first_tokens(told))
    seen = given.teacher.context(scene, tree, first)
    text = given.engine.tokenizer.decode(seen.tokens[0])
    assert all(line in text for line in scene.lines) and scene.lines
    assert "An expert did this here" not in given.engine.tokenizer.decode(tree.tokens[0])
    for (_, ours), (_, theirs) in zip(tree.targets, seen.targets, strict=True):
        moved = theirs.decision.offset - ours.decision.offset
        assert moved == len(seen.tokens[0]) - len(tree.tokens[0]) > 0
    # What the model said is not tokenised again.
    assert seen.tokens[0][first + moved :] == tree.tokens[0][first:]


def test_the_teacher_follows_slowly_and_leaves_the_adapter_alone() -> None:
    given = lessons()
    teacher = given.teacher
    assert isinstance(teacher, Shown)
    lora = teacher.trained
    path = next(iter(lora.tensors))
    with torch.no_grad():
        lora.tensors[path][1].fill_(1.0)
    lora.merge()
    trained = lora.modules[path].weight.clone()
    with teacher.used():
        assert not torch.equal(lora.modules[path].weight, trained)
    assert torch.equal(lora.modules[path].weight, trained)
    teacher.follow()
    assert torch.allclose(teacher.weights.pairs[path][1], torch.full_like(trained[:, :4], 0.25))
    other = lessons().teacher
    other.restore(teacher.tensors())
    assert torch.equal(other.weights.pairs[path][1], teacher.weights.pairs[path][1])


def test_leaving_out_all_tokens_of_an_answer_is_told() -> None:
    with pytest.raises(WorkError, match="No scene left a decision"):
        lessons(replace(SDFT, skip=500)).batch(0)


def test_self_distillation_moves_the_model_towards_what_it_was_shown(tmp_path: Path) -> None:
    start = Beginning(None, read(run_sft(tmp_path / "start", replace(SFT, passes=4)).path / "adapter"))
    points: list[Point] = []
    config = replace(SDFT, updates=24, dev_times=1)
    run = run_sft(tmp_path / "sdft", config, points=points, begin=start)
    losses = [point.loss for point in points if point.loss is not None]
    assert sum(losses[-6:]) < sum(losses[:6])
    assert json.loads((run.path / "result.json").read_text())["config"]["objective"] == "sdft"


def test_a_distillation_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    config = replace(SDFT, updates=6, dev_times=3, dev_tasks=2)
    undisturbed = run_sft(tmp_path / "a", config)
    with pytest.raises(Killed):
        run_sft(tmp_path / "b", config, points=Dying(4))
    assert weights(run_sft(tmp_path / "b", config)) == weights(undisturbed)


def test_a_larger_model_teaches_by_the_reverse_divergence() -> None:
    student, teacher = engine(0), engine(1, width=96)
    lora = Lora(student, rank=8)
    config = replace(SDFT, objective="distil", teacher="larger")
    larger = Larger(teacher, student)
    prompt = Prompt(student.tokenizer)
    given = OnPolicy(student, [MiniSource()], prompt, config, larger, Divergence.REVERSE)
    assert given.rule is Divergence.REVERSE
    updater = Updater(student, lora)
    losses = []
    for step in range(24):
        batch, _ = given.batch(step)
        done = updater.step(batch, lr=1e-2, rule=given.rule)
        given.learned(done.losses)
        losses.append(done.loss)
    assert sum(losses[-6:]) < 0.7 * sum(losses[:6])


def test_a_teacher_with_other_tokens_is_refused() -> None:
    student, teacher = engine(0), engine(1)
    teacher.tokenizer = make_tokenizer()
    teacher.tokenizer.add_tokens(["another"])
    with pytest.raises(InputError, match="has other tokens"):
        Larger(teacher, student)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"objective": "sdft", "demonstrations": "recordings"}, "takes an environment"),
        ({"objective": "distil"}, "go together"),
        ({"teacher": "smollm2-135m"}, "go together"),
        ({"objective": "sdft", "ema": 0.0}, "ema 0.0"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_objective(make_config(SftConfig, **settings))


def test_an_objective_that_is_not_known_is_told() -> None:
    with pytest.raises(InputError, match="'objective' is 'dpo'"):
        make_config(SftConfig, objective="dpo")


def test_the_trainer_finds_the_models_own_work_as_it_was_sampled() -> None:
    """The teacher judges what the model did: its decisions must be found as they were sampled."""
    given = lessons()
    batch, _ = given.batch(0)
    packed = pack(batch)
    with torch.no_grad():
        found = forward(given.engine, packed)
    sampled = torch.tensor([target.decision.logprob for target in packed.targets])
    assert float((found - sampled).abs().max()) < 1e-3
