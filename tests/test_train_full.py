"""Full fine-tuning: all weights of the upper layers learn, are kept, handed on, evaluated and served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
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
from train_tiny import engine, model, tokenizer

from fde.engagement import Run
from fde.errors import InputError, WorkError
from serve.engine.adapter import CONFIG_FILE, AdapterWeights, first_layer, read
from serve.engine.full import FullWeights
from serve.engine.local import LocalEngine
from train.begin import Beginning
from train.full import Full
from train.memory import needed, shapes
from train.record import Point
from train.settings import FULL_RATE, RATE, RlConfig, SftConfig, make_config
from train.update import Updater
from train.workers.recipe import Recipe

pytestmark = pytest.mark.usefixtures("tracked")

# This model is 64 wide: a tenth of the adapter's rate is still much for it.
FULL = replace(SFT, tune="full", rate=1e-3)
RL_FULL = replace(RL, tune="full", rate=1e-3)


def begin_of(run: Run) -> Beginning:
    return Beginning(run, read(run.path / "adapter"))


def log_probs(made: LocalEngine) -> torch.Tensor:
    row = made.row()
    hidden = made.feed([(row, [5, 9, 30, 44, 51])]).hidden
    return made.body.logits(hidden).log_softmax(-1)


# Learning


def test_all_weights_above_the_frozen_layers_learn_and_nothing_else(tmp_path: Path) -> None:
    points: list[Point] = []
    run = run_sft(tmp_path, FULL, points=points)
    assert points[-1].loss < points[0].loss / 5 and points[-1].dev_success == 1.0
    found = read(run.path / "adapter")
    assert isinstance(found, FullWeights) and first_layer(found) == 1
    base = dict(model().named_parameters())
    upper = {name for name in base if any(f".layers.{layer}." in name for layer in (1, 2))}
    assert set(found.tensors) == upper
    assert all(not torch.equal(found.tensors[name], base[name]) for name in upper)
    assert any(name.endswith("input_layernorm.weight") for name in upper)
    told = json.loads((run.path / "adapter" / CONFIG_FILE).read_text())
    assert told == {"tuned": "full", "base_model_name_or_path": "tiny", "layers_to_transform": [1, 2]}
    assert json.loads((run.path / "result.json").read_text())["adapter"].startswith("mini@")


def test_the_gradients_are_those_of_the_model_itself() -> None:
    """Against a plain forward of transformers, without our engine."""
    made = engine(split=1)
    full = Full(made)
    _, trees = probe_of(made, full)
    tree = trees[0]
    tree.targets = tree.targets[:1]
    (_, target), tokens = tree.targets[0], tree.tokens[0]
    updater = Updater(made, full, max_norm=float("inf"))
    seen: dict[str, torch.Tensor] = {}
    updater.optimizer.step = lambda: seen.update(  # type: ignore[method-assign,assignment,return-value]
        {name: tensor.grad.clone() for name, tensor in full.named().items()}  # type: ignore[union-attr]
    )
    updater.step([tree], lr=0.0)
    plain = model()
    logits = plain(torch.tensor([tokens[: target.decision.offset]])).logits[0, -1]
    allowed = list(target.decision.allowed)
    logs = logits[allowed].log_softmax(-1)
    (-logs[allowed.index(target.decision.chosen)]).backward()
    for name, parameter in plain.named_parameters():
        if name in seen:
            assert parameter.grad is not None
            error = (seen[name] - parameter.grad).norm() / parameter.grad.norm()
            assert float(error) < 1e-4, name
    assert len(seen) == 18


def test_reinforcement_tunes_the_weights_too(tmp_path: Path) -> None:
    points: list[Point] = []
    run = run_rl(tmp_path, RL_FULL, points=points)
    assert points[0].reward is not None and points[0].reward < 0.7
    assert json.loads((run.path / "result.json").read_text())["dev_success"] == 1.0


def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    config = replace(RL_FULL, iterations=4)
    whole = run_rl(tmp_path / "whole", config)
    for at in (2, 4):
        with pytest.raises(Killed):
            run_rl(tmp_path / "killed", config, points=Dying(at))
    assert weights(run_rl(tmp_path / "killed", config)) == weights(whole)


def test_in_bf16_what_is_trained_is_kept_in_fp32() -> None:
    made = LocalEngine(model().to(torch.bfloat16), tokenizer(), split=1, name="tiny")
    full = Full(made)
    probe, trees = probe_of(made, full)
    assert {tensor.dtype for tensor in full.parameters()} == {torch.float32}
    assert {tensor.dtype for tensor in full.weights().tensors.values()} == {torch.bfloat16}
    before = {name: tensor.clone() for name, tensor in full.named().items()}
    # Less than bf16 can add to most of the weights.
    Updater(made, full).step(trees, lr=1e-5)
    assert all(not torch.equal(before[name], tensor) for name, tensor in full.named().items())
    assert probe.check() < 0.15
    with torch.no_grad():
        full.parameters()[0].add_(1.0)
    with pytest.raises(WorkError, match="are stale"):
        probe.check()


def test_weights_that_are_not_in_use_are_noticed() -> None:
    made = engine(split=1)
    full = Full(made)
    probe, trees = probe_of(made, full)
    Updater(made, full).step(trees, lr=1e-3)
    assert probe.check() < 1e-3 and probe.check_used() > 0
    made.clear_adapter()
    with pytest.raises(WorkError, match="not in use"):
        probe.check()


# Handing on


def test_the_engine_swaps_tuned_weights_and_adapters_exactly(tmp_path: Path) -> None:
    full, lora = run_sft(tmp_path / "full", FULL), run_sft(tmp_path / "lora")
    made = engine()
    base = log_probs(made)
    found = {}
    for run in (full, lora, full, lora):
        made.load_adapter(run.path / "adapter")
        now = log_probs(made)
        assert torch.equal(found.setdefault(run.path, now), now) and not torch.equal(now, base)
        in_use = made.adapter_in_use()
        assert in_use is not None and in_use.digest() == read(run.path / "adapter").digest()
    made.clear_adapter()
    assert torch.equal(log_probs(made), base) and made.adapter_in_use() is None
    # Arms share the lower layers, which none of them changed.
    made.share_lower(1)
    made.load_adapter(full.path / "adapter")
    assert torch.equal(log_probs(made), found[full.path])


def test_tuning_goes_on_from_weights_and_from_an_adapter(tmp_path: Path) -> None:
    lora = run_sft(tmp_path / "lora")
    for number, start in enumerate((lora, run_sft(tmp_path / "full", FULL))):
        points: list[Point] = []
        config = replace(RL_FULL, iterations=1, rate=1e-6)
        run = run_rl(tmp_path / f"on-{number}", config, MiniSource(), points, begin_of(start))
        assert points[-1].dev_success == 1.0
        assert isinstance(read(run.path / "adapter"), FullWeights)


def test_an_adapter_does_not_go_on_from_tuned_weights(tmp_path: Path) -> None:
    begin = begin_of(run_sft(tmp_path / "full", replace(FULL, passes=2)))
    with pytest.raises(InputError, match=r"sft-mini [0-9a-f]+ tuned the weights themselves") as refused:
        run_rl(tmp_path / "on", replace(RL, iterations=1), begin=begin)
    assert "--set tune=full" in str(refused.value.hint)


def test_a_worker_computes_with_tuned_weights(tmp_path: Path) -> None:
    config = replace(RL_FULL, iterations=3)
    worked = run_rl(tmp_path / "worked", replace(config, workers=1), recipe=Recipe("train_mini:for_worker"))
    assert weights(worked) == weights(run_rl(tmp_path / "alone", config))


def test_self_distillation_follows_all_weights(tmp_path: Path) -> None:
    config = replace(FULL, objective="sdft", updates=6, dev_times=2)
    whole = run_sft(tmp_path / "whole", config)
    with pytest.raises(Killed):
        run_sft(tmp_path / "killed", config, points=Dying(5))
    assert weights(run_sft(tmp_path / "killed", config)) == weights(whole)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    run = run_sft(tmp_path, replace(FULL, passes=2))
    with pytest.raises(InputError, match=r"has shape \(64,\), and this model has one of shape \(32,\)"):
        engine(width=32).load_adapter(run.path / "adapter")
    with pytest.raises(InputError, match="and this model has no such"):
        engine(layers=2).load_adapter(run.path / "adapter")
    file = run.path / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(InputError, match="is damaged"):
        read(run.path / "adapter")


# Settings, memory


def test_the_usual_rate_is_a_tenth_of_an_adapters() -> None:
    assert make_config(SftConfig, tune="full").rate == FULL_RATE == RATE / 10
    assert make_config(RlConfig, tune="full", rate=0.1).rate == 0.1
    assert make_config(RlConfig).rate == RATE
    with pytest.raises(InputError, match="'tune' is 'some'"):
        make_config(SftConfig, tune="some")


def test_memory_knows_that_all_weights_have_moments(tmp_path: Path) -> None:
    from serve_tiny import make_model

    found = shapes(make_model(tmp_path / "tiny", layers=4, width=64))
    upper = sum(found.linear[2:])
    lora, full = (needed(found, SftConfig(tune=tune), 4) for tune in ("lora", "full"))  # type: ignore[arg-type]
    assert full["tuned weights"] == lora["merged weights"] == 4 * upper
    # Gradients in two lanes and two moments; the weights themselves are counted.
    assert full["gradients and optimizer"] == 4 * 4 * upper
    assert needed(found, SftConfig(tune="full"), 2)["gradients and optimizer"] == 5 * 4 * upper


def test_a_run_says_what_it_tuned(tmp_path: Path) -> None:
    made = recorder(tmp_path, "sft-mini", MiniSource(), FULL)
    other = recorder(tmp_path, "sft-mini", MiniSource(), SFT)
    assert made.run.id != other.run.id and made.run.config["tune"] == "full"


def test_named_and_like_are_inverse() -> None:
    pairs: dict[str, Any] = {"model.layers.1.x": (torch.ones(2, 3), torch.zeros(4, 2))}
    lora = AdapterWeights(2, 4.0, 2.0, pairs)
    assert lora.like(lora.named()).digest() == lora.digest()
