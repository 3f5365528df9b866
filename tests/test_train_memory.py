"""A run that cannot fit is refused before anything is loaded, with the nearest one that can."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from serve_tiny import make_model

from fde.errors import InputError
from train.memory import GIB, check_memory, needed, shapes
from train.settings import RlConfig, SftConfig


def pretend(folder: Path, *, layers: int, width: int) -> Path:
    """The files of a model of that size, without its weights."""
    folder.mkdir()
    config = {
        "num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 4 * width,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_000,
    }  # fmt: skip
    tensors = [("model.embed_tokens", [128_000, width])]
    for layer in range(layers):
        tensors.append((f"model.layers.{layer}.self_attn.q_proj", [width, width]))
        tensors.append((f"model.layers.{layer}.mlp.up_proj", [4 * width, width]))
        tensors.append((f"model.layers.{layer}.input_layernorm", [width]))
    header, end = {}, 0
    for name, shape in tensors:
        start, end = end, end + 2 * math.prod(shape)
        header[f"{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)  # a hole: nothing of it takes room
    return folder


def test_shapes_are_those_of_the_files(tmp_path: Path) -> None:
    base = make_model(tmp_path / "tiny", layers=2, width=64)
    found = shapes(base)
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(base)
    assert found.elements == sum(parameter.numel() for parameter in model.parameters())
    layer = model.model.layers[0]
    linear = [module.weight for module in layer.modules() if hasattr(module, "in_features")]
    assert found.linear == (sum(weight.numel() for weight in linear),) * 2
    assert found.sides == (sum(sum(weight.shape) for weight in linear),) * 2
    assert found.cache == 2 * 2 * 1 * 64


def test_more_frozen_and_less_rank_take_less(tmp_path: Path) -> None:
    model = shapes(pretend(tmp_path / "big", layers=32, width=4096))
    whole = needed(model, RlConfig(frozen=0.0), 2)
    half = needed(model, RlConfig(frozen=0.5), 2)
    assert half["backward pass"] * 2 == whole["backward pass"]
    assert half["model"] == whole["model"] == model.elements * 2
    less = needed(model, RlConfig(rank=8), 2)
    assert less["adapter and optimizer"] * 2 == half["adapter and optimizer"]


def test_a_small_model_fits(tmp_path: Path) -> None:
    assert GIB < check_memory(str(make_model(tmp_path / "tiny")), SftConfig()) < 4 * GIB


@pytest.mark.parametrize("config", [SftConfig(), RlConfig()])
def test_what_cannot_fit_is_refused(tmp_path: Path, config: SftConfig | RlConfig) -> None:
    base = pretend(tmp_path / "huge", layers=120, width=16_384)
    with pytest.raises(InputError, match=r"would take about \d+\.\d GiB \(model") as refused:
        check_memory(str(base), config)
    assert "Choose a smaller base model" in str(refused.value.hint)


def test_teachers_are_counted(tmp_path: Path) -> None:
    base, huge = make_model(tmp_path / "tiny"), pretend(tmp_path / "huge", layers=120, width=16_384)
    alone = check_memory(str(base), SftConfig())
    held = SftConfig(objective="sdft", tune="full")
    copies = [check_memory(str(base), replace(held, rehearse=share)) for share in (0.0, 0.25)]
    tuned = copies[1] - copies[0]
    assert tuned == copies[0] - check_memory(str(base), replace(held, objective="imitation")) > 0
    itself = SftConfig(objective="distil", teacher=str(base), rehearse=0.0)
    assert check_memory(str(base), itself) - alone == 4 * shapes(base).elements
    with pytest.raises(InputError, match=r"\(teachers \d+") as refused:
        check_memory(str(base), replace(itself, teacher=str(huge)))
    assert "Choose a smaller teacher" in str(refused.value.hint)


def test_the_nearest_possible_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    base = pretend(tmp_path / "big", layers=32, width=2048)
    config = RlConfig(frozen=0.0)
    between = sum(needed(shapes(base), replace(config, frozen=0.6), 4).values())
    free = psutil.virtual_memory()._replace(available=between)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError) as refused:
        check_memory(str(base), config)
    assert "Possible here: --set frozen=0.6 (" in str(refused.value.hint)
    assert check_memory(str(base), replace(config, frozen=0.6)) == between


def test_workers_are_counted_and_left_out_where_they_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    base = pretend(tmp_path / "big", layers=32, width=2048)
    alone = sum(needed(shapes(base), RlConfig(), 4).values())
    both = sum(needed(shapes(base), RlConfig(staleness=1), 4).values())
    assert needed(shapes(base), RlConfig(staleness=1), 4)["rollout workers"] == both - alone > alone
    free = psutil.virtual_memory()._replace(available=both - 1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError, match="rollout workers") as refused:
        check_memory(str(base), RlConfig(staleness=1))
    assert "Possible here: --staleness 0, without workers (" in str(refused.value.hint)
    assert check_memory(str(base), RlConfig()) == alone


def test_a_vllm_has_the_model_but_no_merged_copy_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    base = pretend(tmp_path / "big", layers=32, width=2048)
    alone = needed(shapes(base), RlConfig(), 4)
    local = needed(shapes(base), RlConfig(workers=1), 4)["rollout workers"]
    vllm = needed(shapes(base), RlConfig(engine="vllm"), 4)["rollout workers"]
    assert alone["model"] + alone["rollouts"] < vllm < local
    assert needed(shapes(base), RlConfig(engine="vllm-server"), 4)["rollout workers"] < 2 * GIB
    assert "rollout workers" not in needed(shapes(base), RlConfig(engine="ray-vllm"), 4)
    free = psutil.virtual_memory()._replace(available=sum(alone.values()) + vllm - 1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError, match="rollout workers") as refused:
        check_memory(str(base), RlConfig(engine="vllm"))
    assert "Possible here: --engine local --staleness 0, without workers (" in str(refused.value.hint)


def test_a_configuration_that_tells_too_little_is_refused(tmp_path: Path) -> None:
    base = pretend(tmp_path / "odd", layers=1, width=64)
    (base / "config.json").write_text('{"num_hidden_layers": 1}')
    with pytest.raises(InputError, match="cannot be read: 'num_attention_heads'"):
        check_memory(str(base), SftConfig())
