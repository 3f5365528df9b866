"""An adapter to the base model in four bits, elsewhere: what is served and judged is what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import RunFde
from safetensors.torch import load_file
from serve_tiny import make_engagement, make_model, train

from evaluate.arms import Arm
from evaluate.work import Work, silent
from fde.errors import InputError
from serve import service
from serve.adapters import AdapterRegistry
from serve.engine.local import LocalEngine
from serve.engine.quantised import rounded
from train.export import export

TOKENS = [5, 9, 30, 44, 51]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def made(tmp_path: Path, base: Path) -> Any:
    return make_engagement(tmp_path / "client", base)


def logits(engine: LocalEngine) -> torch.Tensor:
    return engine.body.logits(engine.feed([(engine.row(), TOKENS)]).hidden)


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).detach().norm() / expected.detach().norm())


def test_an_exported_model_is_the_one_that_was_trained(made: Any, base: Path, tmp_path: Path) -> None:
    run = train(made, "sft-code", base, strength=0.2, quantized="nf4")
    export(run, tmp_path / "model")
    engine = LocalEngine.load(base, nf4=True)
    engine.load_adapter(run.path / "adapter")
    whole = LocalEngine.load(tmp_path / "model")
    assert apart(logits(whole), logits(engine)) < 1e-5
    # In another type as well: the four bits are those of the base model's own weights.
    export(run, tmp_path / "half", dtype="bfloat16")
    tensors, own = load_file(tmp_path / "half" / "model.safetensors"), load_file(base / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    name = "model.layers.0.mlp.up_proj.weight"  # which the adapter leaves alone
    assert torch.equal(tensors[name], rounded(own[name]).bfloat16())
    embedding = "model.embed_tokens.weight"
    assert torch.equal(tensors[embedding], own[embedding].bfloat16())


def test_it_is_served_on_four_bits_and_nothing_else(
    made: Any, base: Path, fde: RunFde, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(made, "sft-code", base, strength=0.5, quantized="nf4")
    registry = AdapterRegistry(made)
    adapter = registry.promote("sft-code")
    assert adapter.quantized == "nf4" and registry.check(adapter) == adapter
    assert "rank 4 on the base in nf4  from sft-code" in fde("-C", made.root, "serve", "adapters").out
    monkeypatch.setattr(service, "importable", lambda: True)
    plan = service.plan(made, [], engine="auto", port=0)
    assert plan.engine == "local"
    with pytest.raises(InputError, match=f"{adapter.name} was trained on the base model in four") as refused:
        service.plan(made, [], engine="vllm", port=0)
    assert "fde train export" in str(refused.value.hint)
    with service.open_backend(plan) as backend:
        engine = backend.chat.engine  # type: ignore[attr-defined]
        assert engine.nf4
        engine.load_adapter(registry.path(adapter))
        trained = LocalEngine.load(base, nf4=True)
        trained.load_adapter(run.path / "adapter")
        assert torch.equal(logits(engine), logits(trained))
    train(made, "sft-other", base, strength=0.5)
    registry.promote("sft-other")
    with pytest.raises(InputError, match="a server has one of them") as refused:
        service.plan(made, [], engine="auto", port=0)
    assert str(refused.value.hint).endswith(f"--adapter {adapter.name}")
    assert service.plan(made, ["other"], engine="local", port=0).adapters[0].quantized is None


def test_an_evaluation_loads_the_base_model_that_an_arm_belongs_to(made: Any, base: Path) -> None:
    four = train(made, "sft-code", base, strength=0.5, quantized="nf4").path / "adapter"
    plain = train(made, "sft-other", base, strength=0.5, seed=2).path / "adapter"
    arms = [
        Arm("base", "Base", "prompt"), Arm("other", "Other", "sft", adapter=plain),
        Arm("code", "Code", "sft", adapter=four), Arm("again", "Again", "sft", adapter=four),
    ]  # fmt: skip
    work = Work(made, None, None, None, str(base), silent, arms)  # type: ignore[arg-type]
    engines = [work.engine(arm) for arm in arms]
    assert [engine.nf4 for engine in engines] == [False, False, True, True]
    assert engines[0] is engines[1] and engines[2] is engines[3]
    for arm, engine in zip(arms, engines, strict=True):
        if arm.adapter is not None:
            engine.load_adapter(arm.adapter)
