"""Training an adapter on a base model in four bits: it learns, is kept, handed on, planned for, refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from test_train_full import FULL, begin_of, log_probs
from test_train_memory import pretend
from train_mini import RL, SFT, Dying, Killed, MiniSource, probe_of, recorder, run_rl, run_sft, weights
from train_tiny import engine, model, tokenizer

from fde.errors import InputError, WorkError
from fde.models import safetensors_metadata
from serve.engine.adapter import CONFIG_FILE, WEIGHTS_FILE, AdapterWeights, read
from serve.engine.local import LocalEngine
from serve.engine.quantised import quantise_layers
from train.algorithms.choose import settled
from train.lora import Lora
from train.memory import NF4_BYTES, check_memory, needed, shapes
from train.plan import GPUS, Workload, plan, seconds
from train.record import Point
from train.rl import train_rl
from train.settings import RATE, RlConfig, SftConfig, make_config
from train.sft import train_sft
from train.update import Updater
from train.workers.recipe import Recipe

pytestmark = pytest.mark.usefixtures("tracked")

QLORA, RL_QLORA = replace(SFT, tune="qlora"), replace(RL, tune="qlora")


# Learning


def test_an_adapter_learns_on_four_bits_and_says_so(tmp_path: Path) -> None:
    points: list[Point] = []
    run = run_sft(tmp_path, QLORA, points=points)
    assert points[-1].loss is not None and points[0].loss is not None
    assert points[-1].loss < points[0].loss / 5 and points[-1].dev_success == 1.0
    found = read(run.path / "adapter")
    assert isinstance(found, AdapterWeights) and found.nf4
    assert safetensors_metadata(run.path / "adapter" / WEIGHTS_FILE)["base_quantization"] == "nf4"
    # The configuration is peft's, as of any adapter.
    plain = run_sft(tmp_path, replace(SFT, passes=2))
    told, usual = (json.loads((each.path / "adapter" / CONFIG_FILE).read_text()) for each in (run, plain))
    assert told == usual and run.id != plain.id and run.config["tune"] == "qlora"
    assert not safetensors_metadata(plain.path / "adapter" / WEIGHTS_FILE).get("base_quantization")


def test_reinforcement_learns_on_four_bits(tmp_path: Path) -> None:
    points: list[Point] = []
    run = run_rl(tmp_path, RL_QLORA, points=points)
    assert points[0].reward is not None and points[0].reward < 0.7
    assert json.loads((run.path / "result.json").read_text())["dev_success"] == 1.0
    # What was sampled is what is trained, before any update.
    gaps = [point.gap for point in points if point.gap is not None]
    assert gaps and max(gaps) < 1e-4


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.bfloat16, 0.15)])
def test_rollouts_and_training_find_the_same_log_probabilities(dtype: torch.dtype, limit: float) -> None:
    whole = model()
    quantise_layers(whole)
    made = LocalEngine(whole.to(dtype), tokenizer(), split=1, name="tiny")
    lora = Lora(made, rank=8)
    probe, trees = probe_of(made, lora)
    updater = Updater(made, lora)
    for _ in range(5):
        updater.step(trees, lr=1e-2)
        assert probe.check() < limit
    assert probe.check_used() > 0.01
    assert {tensor.dtype for tensor in lora.parameters()} == {torch.float32}
    made.clear_adapter()
    with pytest.raises(WorkError, match="not in use"):
        probe.check()


def test_the_gradients_are_those_of_the_rounded_model_under_an_adapter() -> None:
    """A whole update on four bits against one on the same values with an adapter merged into them."""
    found = []
    for nf4 in (True, False):
        made = engine(split=1, nf4=nf4)
        if not nf4:
            other = engine(nf4=True).body.layers
            for path, module in other.named_modules():
                if hasattr(module, "expanded"):
                    made.body.layers.get_submodule(path).weight.data = module.expanded(torch.float32)
        lora = Lora(made, rank=8)
        with torch.no_grad():
            for index, tensor in enumerate(lora.parameters()):
                tensor.add_(0.01 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(index)))
        lora.merge()
        _, trees = probe_of(made, lora)
        updater = Updater(made, lora, max_norm=float("inf"))
        seen: list[torch.Tensor] = []
        updater.optimizer.step = lambda lora=lora, seen=seen: seen.extend(  # type: ignore[method-assign,assignment,misc]
            tensor.grad.clone() for tensor in lora.parameters()
        )
        updater.step(trees, lr=0.0)
        found.append(torch.cat([gradient.view(-1) for gradient in seen]))
    assert float((found[0] - found[1]).norm() / found[1].norm()) < 1e-4


def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    config = replace(RL_QLORA, iterations=4)
    whole = run_rl(tmp_path / "whole", config)
    for at in (2, 4):
        with pytest.raises(Killed):
            run_rl(tmp_path / "killed", config, points=Dying(at))
    assert weights(run_rl(tmp_path / "killed", config)) == weights(whole)


def test_a_worker_computes_on_four_bits_too(tmp_path: Path) -> None:
    config = replace(RL_QLORA, iterations=3)
    worked = run_rl(tmp_path / "worked", replace(config, workers=1), recipe=Recipe("train_mini:for_worker"))
    assert weights(worked) == weights(run_rl(tmp_path / "alone", config))


def test_self_distillation_on_four_bits(tmp_path: Path) -> None:
    run = run_sft(tmp_path, replace(QLORA, objective="sdft", updates=3))
    found = read(run.path / "adapter")
    assert isinstance(found, AdapterWeights) and found.nf4


# Handing on


def test_training_goes_on_with_the_same_bits_and_no_others(tmp_path: Path) -> None:
    four, plain = run_sft(tmp_path / "four", QLORA), run_sft(tmp_path / "plain", replace(SFT, passes=2))
    points: list[Point] = []
    config = replace(RL_QLORA, iterations=1, rate=1e-4)
    on = run_rl(tmp_path / "on", config, MiniSource(), points, begin_of(four))
    assert points[-1].dev_success == 1.0 and read(on.path / "adapter").nf4  # type: ignore[union-attr]
    made = engine(nf4=True)
    made.load_adapter(four.path / "adapter")
    found = log_probs(made)
    made.clear_adapter()
    made.load_adapter(on.path / "adapter")
    assert torch.allclose(log_probs(made), found, atol=0.1)
    for start, tune, hint in (
        (four, "lora", "--set tune=qlora;"),
        (four, "full", "--set tune=qlora;"),
        (plain, "qlora", "--set tune=lora, or tune=full"),
    ):
        with pytest.raises(InputError, match="is an adapter to the base model") as refused:
            begin_of(start).check(replace(RL, tune=tune))  # type: ignore[arg-type]
        assert hint in str(refused.value.hint) and "fde train export" in str(refused.value.hint)
    full = run_sft(tmp_path / "full", replace(FULL, passes=2))
    with pytest.raises(InputError, match="tuned the weights themselves"):
        begin_of(full).check(RL_QLORA)


# Settings, memory


def test_what_does_not_go_together_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_config(SftConfig, tune="qlora").rate == RATE
    for by in ("vllm", "vllm-server", "ray-vllm"):
        with pytest.raises(InputError, match=f"--engine {by} computes with the base model as it is"):
            settled(RlConfig(tune="qlora", engine=by))  # type: ignore[arg-type]
    assert settled(RlConfig(tune="qlora", engine="ray")).tune == "qlora"
    made = recorder(tmp_path, "sft-mini", MiniSource(), SFT)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    for train in (train_sft, train_rl):
        with pytest.raises(InputError, match="a base model in four bits is on one device") as refused:
            train(made.engagement, name="mini", workflow="mini", tune="qlora")  # type: ignore[operator]
        assert "Leave out --devices" in str(refused.value.hint)


def test_memory_counts_four_bits(tmp_path: Path) -> None:
    folder = pretend(tmp_path / "big", layers=32, width=2048)
    found = shapes(folder)
    lora, four = (needed(found, RlConfig(tune=tune), 4) for tune in ("lora", "qlora"))  # type: ignore[arg-type]
    layers = sum(found.linear)
    assert four["model"] == 4 * (found.elements - layers) + round(layers * NF4_BYTES)
    assert math.isclose(8 * NF4_BYTES, 4.127, abs_tol=1e-3)
    assert four["expanded weights"] == 4 * max(found.linear) < lora["merged weights"] / 10
    same = set(lora) - {"model", "merged weights"}
    assert all(lora[name] == four[name] for name in same)
    # Counted right: what a model in four bits has, of which every layer has a few norms more.
    made = engine(nf4=True, width=256)
    own = sum(each.nbytes for each in (*made.body.model.parameters(), *made.body.model.buffers()))
    linear = sum(module.weight.numel() for module in model(width=256).model.layers.modules()
                 if isinstance(module, torch.nn.Linear))  # fmt: skip
    assert own == pytest.approx(linear * NF4_BYTES + 4 * 448 * 256, rel=0.02)


def test_the_refusal_names_four_bits_where_these_would_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = pretend(tmp_path / "big", layers=32, width=4096)
    model = shapes(base)
    free = psutil.virtual_memory()

    def refused(config: RlConfig, available: int, devices: int = 1) -> str:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: free._replace(available=available * devices))
        with pytest.raises(InputError) as found:
            check_memory(str(base), config, devices)
        return str(found.value.hint)

    def size(config: RlConfig) -> int:
        return sum(needed(model, config, 4).values())

    four = size(RlConfig(tune="qlora"))
    assert size(RlConfig(frozen=0.9)) < four < size(RlConfig(frozen=0.8))
    assert refused(RlConfig(), four).startswith("Possible here: --set tune=qlora (")
    assert check_memory(str(base), RlConfig(tune="qlora")) == four
    # With more frozen layers as well, where four bits alone are not enough.
    less = size(RlConfig(tune="qlora", frozen=0.7))
    assert refused(RlConfig(), less).startswith("Possible here: --set tune=qlora --set frozen=0.7 (")
    assert refused(RlConfig(tune="qlora"), less).startswith("Possible here: --set frozen=0.7 (")
    assert refused(RlConfig(tune="full"), four).startswith("Possible here: --set tune=qlora (")
    # Both ways are named where both are possible, first the one that gives up less.
    hint = refused(RlConfig(), size(RlConfig(frozen=0.6)))
    assert hint.startswith("Possible here: --set frozen=0.6 (") and "or --set tune=qlora (" in hint
    # What four bits do not go with is not proposed.
    assert "qlora" not in refused(RlConfig(), four // 3, devices=2)
    least = refused(RlConfig(), 1 << 20)
    assert f"takes {size(RlConfig(tune='qlora', frozen=0.9, rank=1)) / 2**30:.1f} GiB at least" in least


def test_the_plan_keeps_four_bits_on_one_device(tmp_path: Path) -> None:
    large = shapes(pretend(tmp_path / "large", layers=48, width=8192))
    h100 = GPUS["h100"]
    plain, four = (plan(large, RlConfig(tune=tune), Workload(), h100, 8) for tune in ("lora", "qlora"))  # type: ignore[arg-type]
    assert plain.trainers > 1 and four.trainers == 1 and four.fits
    assert four.trainer_bytes < plain.trainer_bytes * plain.trainers
    # A forward expands what it reads: rollouts are slower, updates the same by this arithmetic.
    slow, quick = (seconds(large, RlConfig(tune=tune), Workload(), h100) for tune in ("qlora", "lora"))  # type: ignore[arg-type]
    assert slow[0] > quick[0] and slow[1] == quick[1]
