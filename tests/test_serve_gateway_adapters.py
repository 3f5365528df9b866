"""The adapter registry: versions by digest, promotion, rollback, and damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fde.errors import InputError, MissingError
from serve.adapters import WEIGHTS, AdapterRegistry
from tests.serve_tiny import make_engagement, make_model, train


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


def test_promote_and_roll_back(tmp_path: Path, base: Path) -> None:
    engagement = make_engagement(tmp_path / "e", base)
    registry = AdapterRegistry(engagement)
    assert registry.versions() == [] and registry.active("code") is None and registry.tasks() == []
    train(engagement, "sft-code", base, strength=0.1, seed=1)
    first = registry.promote("sft-code")
    assert first.name == f"code@{first.digest[:12]}" and first.rank == 4 and first.base == "tiny"
    assert registry.active("code") == first
    run = train(engagement, "rl-code", base, strength=0.1, seed=2)
    second = registry.promote("rl-code")
    assert second.digest != first.digest and second.run == run.id
    assert registry.active("code") == second and registry.versions() == [first, second]
    assert registry.promote("rl-code") == second, "promoting twice changes nothing"
    assert registry.rollback("code") == first
    with pytest.raises(MissingError, match="none to go back to"):
        registry.rollback("code")
    assert registry.promote(second.name) == second
    assert registry.find("code") == second and registry.find(f"code@{first.digest}") == first
    moves = json.loads((registry.root / "code" / "active.json").read_text())["moves"]
    assert [move["action"] for move in moves] == ["promote", "promote", "rollback", "promote"]
    assert registry.trained() == ["rl-code", "sft-code"]


def test_the_command_line(tmp_path: Path, base: Path, fde: Any) -> None:
    engagement = make_engagement(tmp_path / "e", base)
    empty = fde("-C", engagement.root, "serve", "adapters", "--json")
    assert empty.code == 0 and json.loads(empty.out) == {"adapters": [], "trained": []}
    none = fde("-C", engagement.root, "serve", "promote", "rl-code")
    assert none.code == 2 and "There is no adapter 'rl-code'" in none.err
    for number, stage in enumerate(("sft-code", "rl-code")):
        train(engagement, stage, base, strength=0.1, seed=number)
        assert fde("-C", engagement.root, "serve", "promote", stage).code == 0
    rows = json.loads(fde("-C", engagement.root, "serve", "adapters", "--json").out)["adapters"]
    assert [(row["stage"], row["active"]) for row in rows] == [("sft-code", False), ("rl-code", True)]
    back = json.loads(fde("-C", engagement.root, "serve", "rollback", "code", "--json").out)
    assert back["name"] == rows[0]["name"] and back["active"] is True
    assert f"active  {rows[0]['name']}" in fde("-C", engagement.root, "serve", "adapters").out
    assert fde("-C", engagement.root, "serve", "rollback", "code").code == 2


def test_what_is_not_there_is_named(tmp_path: Path, base: Path) -> None:
    engagement = make_engagement(tmp_path / "e", base)
    registry = AdapterRegistry(engagement)
    train(engagement, "rl-code", base, strength=0.1)
    with pytest.raises(MissingError, match="registered: none yet; trained: rl-code"):
        registry.find("code")
    registry.promote("rl-code")
    for name in ("other", "code@0123456789ab", "sft-code", "../code", "code@x", ""):
        with pytest.raises(MissingError, match="There is no adapter"):
            registry.find(name)
    with pytest.raises(MissingError, match=r"no active adapter \(tasks: code\)"):
        registry.rollback("other")
    with pytest.raises(InputError, match="not the name of a task"):
        registry.rollback("../../etc")


def test_damage_is_noticed(tmp_path: Path, base: Path) -> None:
    engagement = make_engagement(tmp_path / "e", base)
    registry = AdapterRegistry(engagement)
    run = train(engagement, "rl-code", base, strength=0.1)
    adapter = registry.promote("rl-code")
    weights = registry.path(adapter) / WEIGHTS
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match="is damaged"):
        registry.find("code")
    weights.write_bytes(whole[:-100])
    with pytest.raises(InputError, match="cut off"):
        registry.find("code")
    weights.write_bytes(whole)
    assert registry.find("code") == adapter
    trained = run.path / "adapter" / WEIGHTS
    trained.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match="not what was trained"):
        registry.register("rl-code")


def test_pickles_and_strangers_are_refused(tmp_path: Path, base: Path) -> None:
    engagement = make_engagement(tmp_path / "e", base)
    registry = AdapterRegistry(engagement)
    run = train(engagement, "rl-code", base, strength=0.1)
    config = run.path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({"peft_type": "IA3", "r": 4}))
    with pytest.raises(InputError, match="does not describe a LoRA"):
        registry.register("rl-code")
    config.write_text(json.dumps({"peft_type": "LORA", "r": 100_000}))
    with pytest.raises(InputError, match="rank r is 100000"):
        registry.register("rl-code")
    (run.path / "adapter" / WEIGHTS).rename(run.path / "adapter" / "adapter_model.bin")
    with pytest.raises(InputError, match="pickled"):
        registry.register("rl-code")
    assert registry.versions() == []
