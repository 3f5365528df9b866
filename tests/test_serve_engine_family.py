"""Models in bf16: rounding must neither refuse a right engine nor hide a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fde.errors import InputError
from serve.engine.body import Body
from serve.engine.family import check_model, small_twin
from serve.engine.local import LocalEngine

SHAPE = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128,
}  # fmt: skip


def family(name: str) -> Any:
    """A model of a family in bf16."""
    import transformers

    config = getattr(transformers, f"{'Gemma3Text' if name == 'Gemma3' else name}Config")(**SHAPE)
    torch.manual_seed(1)
    return getattr(transformers, f"{name}ForCausalLM")(config).to(torch.bfloat16).eval()


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Qwen3", "Mistral", "Gemma2", "Gemma3"])
def test_models_of_the_common_families_are_taken_in_bf16(name: str) -> None:
    model = family(name)
    sorts = set(getattr(model.config, "layer_types", None) or [])
    before = torch.random.get_rng_state()
    twin = small_twin(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert set(getattr(twin.config, "layer_types", None) or []) == sorts
    check_model(Body(model))


def test_the_base_model_is_taken_in_bf16(base_model: Path) -> None:
    assert LocalEngine.load(base_model, dtype="bfloat16", device="cpu").body.dtype == torch.bfloat16


def test_what_rounding_would_hide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = family("Llama")
    body = Body(model)
    original = Body.__init__

    def slightly_wrong(self: Body, model: Any, split: int = 0) -> None:
        original(self, model, split)
        self._multiply = 1.01

    monkeypatch.setattr(Body, "__init__", slightly_wrong)
    probe = torch.arange(10, 26)
    body._multiply = 1.01
    assert body.check(probe, 0.15) < 0.15  # the model itself does not tell
    with pytest.raises(InputError, match=r"does not reproduce 'llama' models: relative error 0\.01"):
        check_model(body)
