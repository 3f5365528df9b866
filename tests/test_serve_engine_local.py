"""The engine computes what the stock model computes, whatever is batched, forked or adapted."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from train_tiny import engine, model, tokenizer

from fde.errors import InputError, MissingError
from serve.engine import adapter as adapters
from serve.engine.adapter import AdapterWeights
from serve.engine.attention import NAME
from serve.engine.in_place import save_memory
from serve.engine.local import LocalEngine
from train.lora import Lora


def stock_logits(seed: int, tokens: list[int], **shape: object) -> torch.Tensor:
    with torch.inference_mode():
        return model(seed, **shape)(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]


def close(ours: torch.Tensor, stock: torch.Tensor) -> float:
    return float((ours - stock).norm() / stock.norm())


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("split", [0, 2])
def test_rows_fed_together_in_pieces_give_the_stock_logits(kv_heads: int, split: int) -> None:
    made = engine(split=split, kv_heads=kv_heads)
    chance = random.Random(0)
    sequences = [[chance.randrange(440) for _ in range(length)] for length in (3, 70, 200)]
    rows = [made.row() for _ in sequences]
    fed = [0] * len(sequences)
    while any(count < len(tokens) for count, tokens in zip(fed, sequences, strict=True)):
        items, which = [], []
        for index, tokens in enumerate(sequences):
            stop = min(len(tokens), fed[index] + chance.randint(1, 90))
            if stop > fed[index]:
                items.append((rows[index], tokens[fed[index] : stop]))
                which.append((index, stop))
        hidden = made.feed(items).hidden
        for (index, stop), state in zip(which, hidden, strict=True):
            fed[index] = stop
            stock = stock_logits(0, sequences[index][:stop], kv_heads=kv_heads)[-1]
            assert close(made.body.logits(state[None])[0], stock) <= 1e-4
    assert made.counters.tokens == 273


def test_feed_forward_parts_of_the_known_shape_work_in_place_and_others_are_left_alone() -> None:
    whole = model(0)
    layer, embedding = whole.get_decoder().layers[0], whole.get_input_embeddings().weight
    x = torch.randn(1, 5, layer.mlp.gate_proj.in_features)
    with torch.inference_mode():
        stock = layer.mlp(x)
        kept = x.clone()
        assert save_memory(layer, embedding) and torch.equal(layer.mlp(x), stock) and torch.equal(x, kept)
    other = model(0).get_decoder().layers[0]
    original = other.mlp.forward
    other.mlp.forward = lambda states: original(states) * 2
    assert not save_memory(other, embedding)


def test_a_feed_longer_than_one_forward_is_cut_and_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()
    monkeypatch.setattr("serve.engine.local.MAX_FLAT", 50)
    tokens = [index % 440 for index in range(130)]
    hidden = made.feed([(made.row(), tokens[:7]), (made.row(), tokens), (made.row(), tokens[:60])]).hidden
    for state, length in zip(hidden, (7, 130, 60), strict=True):
        assert close(made.body.logits(state[None])[0], stock_logits(0, tokens[:length])[-1]) <= 1e-4


def test_a_fork_goes_its_own_way() -> None:
    made = engine()
    row = made.row()
    made.feed([(row, [5, 6, 7])])
    twin = made.fork(row)
    hidden = made.feed([(row, [8]), (twin, [9, 10])]).hidden
    assert close(made.body.logits(hidden[:1])[0], stock_logits(0, [5, 6, 7, 8])[-1]) <= 1e-4
    assert close(made.body.logits(hidden[1:])[0], stock_logits(0, [5, 6, 7, 9, 10])[-1]) <= 1e-4
    used = made.cache_used
    made.free(twin)
    assert made.cache_used < used


def test_rows_that_share_a_long_beginning_compute_as_if_each_had_it() -> None:
    made = engine()
    chance = random.Random(3)
    long, short = ([chance.randrange(440) for _ in range(count)] for count in (150, 20))
    pages = [[chance.randrange(440) for _ in range(count)] for count in (1, 90, 7, 70)]
    rows = []
    for start in (long, long, short, long):
        first = made.row()
        made.feed([(first, start)])
        rows.append((start, first))
    beginning = rows[0][1]
    went = [made.continued(beginning), made.continued(beginning), made.continued(rows[2][1]), made.row()]
    made.feed([(went[3], long)])
    assert [row.base for row in went] == [beginning, beginning, None, None]
    wanted = [long, long, short, long]
    before = made.cache_used
    for _ in range(2):  # in one go, and then on top of what was said
        wanted = [have + page for have, page in zip(wanted, pages, strict=True)]
        hidden = made.feed(list(zip(went, pages, strict=True))).hidden
        for state, tokens, row in zip(hidden, wanted, went, strict=True):
            assert row.length == len(tokens)
            assert close(made.body.logits(state[None])[0], stock_logits(0, tokens)[-1]) <= 1e-4
    twin = made.fork(went[1])
    hidden = made.feed([(twin, [5, 6]), (went[1], [7])]).hidden
    assert twin.base is beginning
    for state, tokens in zip(hidden, ([*wanted[1], 5, 6], [*wanted[1], 7]), strict=True):
        assert close(made.body.logits(state[None])[0], stock_logits(0, tokens)[-1]) <= 1e-4
    assert made.cache_used - before < 5 * beginning.bytes  # nobody copied the long beginning


def test_what_the_lower_layers_made_can_stand_in_for_them() -> None:
    made = engine(split=2)
    tokens = list(range(20, 60))
    fed = made.feed([(made.row(), tokens)], keep_lower=True)
    assert fed.lower is not None and fed.lower[0].shape == (40, 64)
    from serve.engine.attention import TreePlan

    ids, positions = torch.tensor(tokens), torch.arange(40)
    with torch.no_grad():
        hidden, _ = made.body.run(ids, positions, TreePlan([[(0, 40)]]), lower=fed.lower[0])
    assert close(made.body.logits(hidden), stock_logits(0, tokens)) <= 1e-4


def test_log_probs_are_over_what_is_allowed() -> None:
    made = engine()
    hidden = made.feed([(made.row(), [1, 2, 3]), (made.row(), [4, 5])]).hidden
    closed, free = made.log_probs(hidden, [(7, 9, 11), ()])
    wanted = stock_logits(0, [1, 2, 3])[-1][[7, 9, 11]].log_softmax(-1)
    assert torch.allclose(closed, wanted, atol=1e-5)
    mask = made.grammar.free_tokens()
    assert float(free[mask].exp().sum()) == pytest.approx(1.0, abs=1e-4)
    assert bool(torch.isinf(free[~mask]).all())


def trained(made: LocalEngine, seed: int = 1) -> AdapterWeights:
    lora = Lora(made, rank=4, alpha=8.0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, b in lora.tensors.values():
            b.normal_(0.0, 0.05, generator=generator)
    lora.merge()
    return lora.weights()


def test_an_adapter_gives_what_peft_gives_and_is_undone_exactly(tmp_path: Path) -> None:
    made = engine()
    tokens = list(range(30))
    before = made.feed([(made.row(), tokens)]).hidden.clone()
    for name, content in adapters.peft_files(trained(made), base_model="tiny").items():
        (tmp_path / name).write_bytes(content)
    made.clear_adapter()
    assert torch.equal(made.feed([(made.row(), tokens)]).hidden, before)
    made.load_adapter(tmp_path, "a@1")
    ours = made.body.logits(made.feed([(made.row(), tokens)]).hidden)[0]
    from peft import PeftModel

    peft = PeftModel.from_pretrained(model(0), str(tmp_path))
    with torch.inference_mode():
        theirs = peft(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
    assert close(ours, theirs) <= 1e-4
    assert close(ours, stock_logits(0, tokens)[-1]) > 1e-2
    made.clear_adapter()
    assert torch.equal(made.feed([(made.row(), tokens)]).hidden, before)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "not plain LoRA"),
        ({"peft_type": "IA3"}, "not plain LoRA"),
        ({"r": 8}, "its rank is 8"),
    ],
)
def test_an_adapter_of_another_kind_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    made = engine()
    for name, content in adapters.peft_files(trained(made), base_model="tiny").items():
        (tmp_path / name).write_bytes(content)
    config = json.loads((tmp_path / adapters.CONFIG_FILE).read_text())
    (tmp_path / adapters.CONFIG_FILE).write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=said):
        made.load_adapter(tmp_path)


def test_an_adapter_of_another_model_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    for name, content in adapters.peft_files(trained(engine(width=32)), base_model="tiny").items():
        (tmp_path / name).write_bytes(content)
    made = engine()
    with pytest.raises(InputError, match="does not fit"):
        made.load_adapter(tmp_path)
    weights = (tmp_path / adapters.WEIGHTS_FILE).read_bytes()
    (tmp_path / adapters.WEIGHTS_FILE).write_bytes(weights[:-100])
    with pytest.raises(InputError, match="damaged"):
        made.load_adapter(tmp_path)
    (tmp_path / adapters.WEIGHTS_FILE).unlink()
    with pytest.raises(MissingError, match="not an adapter"):
        made.load_adapter(tmp_path)


def test_a_model_that_the_engine_does_not_reproduce_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = model(0)
    odd.config.logit_scale = 3.0  # says one thing and does another
    with pytest.raises(InputError, match="does not reproduce 'llama'"):
        LocalEngine(odd, tokenizer())


def test_a_sliding_window_that_is_exceeded_is_an_error() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=448, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=40, max_position_embeddings=512,
    )  # fmt: skip
    made = LocalEngine(MistralForCausalLM(config).eval(), tokenizer())
    made.feed([(made.row(), list(range(39)))])
    with pytest.raises(InputError, match="window of 40"):
        made.feed([(made.row(), list(range(60)))])


def test_the_model_itself_stays_a_stock_model() -> None:
    made = engine()
    assert made.body.model.config._attn_implementation == NAME
    assert not any(parameter.requires_grad for parameter in made.body.model.parameters())
