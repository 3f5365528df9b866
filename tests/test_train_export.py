"""What a training run made, elsewhere: exported as a whole model, registered and served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import RunFde
from safetensors.torch import load_file
from serve_tiny import make_engagement, make_model, make_tuned, train

from fde.errors import InputError, MissingError
from fde.models import check_folder
from serve import service
from serve.adapters import WEIGHTS, AdapterRegistry
from serve.engine.local import LocalEngine
from serve.local_chat import LocalChat
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


@pytest.mark.parametrize("tuned", [False, True])
def test_an_exported_model_says_what_the_engine_says(
    made: Any, base: Path, tmp_path: Path, fde: RunFde, tuned: bool
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = train(made, "sft-code", base, strength=0.2, tuned=tuned)
    target = tmp_path / "out" / "model"
    told = fde("-C", made.root, "train", "export", "sft-code", target, "--json")
    assert told.code == 0, told.err
    assert told.json["path"] == str(target) and told.json["adapter"].startswith("code@")
    assert told.json["bytes"] == sum(file.stat().st_size for file in target.glob("*.safetensors"))
    check_folder(target)
    assert not list(target.glob("*.bin")) and not list(target.parent.glob(".*"))
    engine = LocalEngine.load(base)
    engine.load_adapter(run.path / "adapter")
    mine = logits(engine)
    whole = AutoModelForCausalLM.from_pretrained(target)
    theirs = whole(torch.tensor([TOKENS])).logits[0, -1:].detach()
    assert float((mine - theirs).norm() / theirs.norm()) < 1e-5
    engine.clear_adapter()
    assert float((mine - logits(engine)).norm() / theirs.norm()) > 1e-2
    kept = AutoTokenizer.from_pretrained(target)
    assert kept.chat_template == engine.tokenizer.chat_template
    # It is a base model as any other.
    assert torch.allclose(logits(LocalEngine.load(target)), mine, atol=1e-4)


def test_the_weights_type_can_be_chosen(made: Any, base: Path, tmp_path: Path) -> None:
    run = train(made, "sft-code", base, strength=0.2, tuned=True)
    export(run, tmp_path / "half", dtype="bfloat16")
    tensors = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    with pytest.raises(InputError, match="Unknown dtype 'int4'"):
        export(run, tmp_path / "other", dtype="int4")


def test_what_cannot_be_exported_is_refused_and_nothing_is_left(
    made: Any, base: Path, tmp_path: Path, fde: RunFde
) -> None:
    run = train(made, "sft-code", base, strength=0.2)
    (tmp_path / "there").mkdir()
    again = fde("-C", made.root, "train", "export", "sft-code", tmp_path / "there")
    assert again.code == 2 and "is there already" in again.err
    assert fde("-C", made.root, "train", "export", "sft-none", tmp_path / "new").code == 2
    file = run.path / "adapter" / WEIGHTS
    whole = file.read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1
    file.write_bytes(changed)
    with pytest.raises(InputError, match="its digest changed"):
        export(run, tmp_path / "new")
    file.write_bytes(whole)
    other = json.loads((run.path / "result.json").read_text())
    other["base"] = str(make_model(tmp_path / "other", layers=1))
    (run.path / "result.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="was trained on another"):
        export(run, tmp_path / "new")
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".new*"))


def test_tuned_weights_are_registered_and_served_by_the_local_engine(
    made: Any, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(made, "sft-code", base, strength=0.5, tuned=True)
    registry = AdapterRegistry(made)
    adapter = registry.promote("sft-code")
    assert adapter.rank is None and registry.check(adapter) == adapter
    monkeypatch.setattr(service, "importable", lambda: True)
    assert service.plan(made, [], engine="auto").engine == "local"
    with pytest.raises(InputError, match=f"{adapter.name} tuned the weights themselves") as refused:
        service.plan(made, [], engine="vllm")
    assert "fde train export" in str(refused.value.hint)
    chat = LocalChat(LocalEngine.load(base), "base")
    chat.load_adapter(adapter.name, registry.path(adapter))
    assert service.effect(chat, "base", adapter.name) > 0.01
    file = registry.path(adapter) / WEIGHTS
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InputError, match="cut off"):
        registry.check(adapter)


def test_weights_of_no_layer_are_refused(tmp_path: Path, base: Path) -> None:
    from safetensors.torch import save_file

    folder = make_tuned(tmp_path / "odd", base, strength=0.1)
    save_file({"lm_head.weight": torch.zeros(2)}, folder / WEIGHTS)
    engine = LocalEngine.load(base)
    with pytest.raises(InputError, match="are not of decoder layers: lm_head"):
        engine.load_adapter(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(MissingError, match=f"has no {WEIGHTS}"):
        engine.load_adapter(folder)
