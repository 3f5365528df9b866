"""A base model in four bits: the codec, the layers that compute with it, the engine that loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from serve_tiny import make_adapter, make_model
from torch import Tensor, nn
from train_tiny import engine, model

from fde.errors import InputError
from serve.engine import adapter as adapters
from serve.engine import nf4
from serve.engine.adapter import WEIGHTS_FILE, AdapterWeights, peft_files, read
from serve.engine.local import LocalEngine
from serve.engine.quantised import QuantisedLinear, quantise_layers, rounded

LEVELS = torch.tensor(nf4.LEVELS)
TOKENS = [5, 9, 30, 44, 51]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return 0.05 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def logits(made: LocalEngine) -> Tensor:
    return made.body.logits(made.feed([(made.row(), TOKENS)]).hidden)


def codes_of(weight: Tensor) -> Tensor:
    packed = nf4.quantise(weight).codes.int()
    return torch.stack([packed // 16, packed % 16], 1).view(-1)[: weight.numel()]


def apart(found: Tensor, expected: Tensor) -> float:
    """Relative to the expected one's size."""
    return float((found - expected).detach().norm() / expected.detach().norm())


# The codec


def test_the_levels_are_quantiles_of_a_normal_distribution() -> None:
    """Equally likely steps to either side of an exact zero, the outermost scaled to 1."""
    from scipy.stats import norm

    end = 1 - (1 / 32 + 1 / 30) / 2
    below = -norm.ppf(torch.linspace(end, 0.5, 8, dtype=torch.float64).numpy())
    above = norm.ppf(torch.linspace(0.5, end, 9, dtype=torch.float64).numpy())
    expected = torch.tensor([*below[:-1], *above]) / above[-1]
    assert torch.allclose(LEVELS.double(), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(96, 256), (33, 50), (1, 1), (7, 64)])
def test_every_weight_becomes_the_nearest_level_of_its_block(shape: tuple[int, int]) -> None:
    weight = normal(*shape)
    padded = torch.nn.functional.pad(weight.view(-1), (0, -weight.numel() % 64)).view(-1, 64)
    largest = padded.abs().amax(1, keepdim=True)
    distances = (padded[:, :, None] / largest[:, :, None] - LEVELS).abs()
    chosen = LEVELS[codes_of(weight).long()]
    own = torch.nn.functional.pad(chosen, (0, -weight.numel() % 64)).view(-1, 64)
    error = (padded / largest - own).abs().view(-1)[: weight.numel()]
    assert torch.allclose(error, distances.amin(2).view(-1)[: weight.numel()], atol=1e-6)
    # Half of the widest step, and what eight bits make of the scales.
    off = (largest - largest.mean()).abs().max() / 254
    bound = 0.1520 * largest.max() + 1.001 * off + 1e-7
    assert float((rounded(weight) - weight).abs().max()) <= float(bound)


def test_scales_in_eight_bits_are_near_and_take_little() -> None:
    largest = normal(1000).abs() + 0.1
    scales, steps, mean = nf4.compress(largest)
    assert scales.dtype == torch.int8 and steps.shape == (4,)
    error = (nf4.restored(scales, steps, mean) - largest).abs()
    assert bool((error <= steps.repeat_interleave(256)[:1000] / 2 + 1e-7).all())
    same = torch.full((3,), 0.25)
    assert torch.equal(nf4.restored(*nf4.compress(same)), same)
    found = nf4.quantise(normal(512, 512))
    size = sum(tensor.nbytes for tensor in found)
    assert 8 * size / 512**2 == pytest.approx(4.127, abs=0.001)


def test_zeros_outliers_and_other_types() -> None:
    weight = normal(4, 64)
    weight[1] = 0.0
    weight[2, 5] = 100.0
    found = rounded(weight)
    assert bool((found[1] == 0).all())
    assert found[2, 5] == pytest.approx(100.0, rel=0.01)
    # The outlier spoils its own block alone, but for the scales of the others.
    assert float((found[0] - weight[0]).abs().max()) < 0.1520 * float(weight[0].abs().max()) + 0.5
    half = weight.bfloat16()
    assert torch.equal(nf4.quantise(half).codes, nf4.quantise(half.float()).codes)
    short = nf4.expand(nf4.quantise(weight), (4, 64), torch.bfloat16)
    assert short.dtype == torch.bfloat16 and torch.allclose(short.float(), found, rtol=0.01)


def test_the_bits_do_not_depend_on_how_many_cores_there_are() -> None:
    before = torch.get_num_threads()
    # So many that cores share the sum, which in fp32 differs between one of them and two.
    largest = torch.rand(36_000, generator=torch.Generator().manual_seed(0))
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(nf4.compress(largest))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_long_matrices_are_quantised_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = normal(100, 64)
    whole = nf4.quantise(weight)
    monkeypatch.setattr(nf4, "_AT_ONCE", 640)
    assert all(torch.equal(a, b) for a, b in zip(whole, nf4.quantise(weight), strict=True))


def test_codes_and_values_are_those_of_bitsandbytes() -> None:
    functional = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes is not installed")
    for shape in ((96, 256), (576, 192), (33, 50)):
        weight = normal(*shape)
        theirs, state = functional.quantize_4bit(
            weight, blocksize=64, quant_type="nf4", compress_statistics=False
        )
        mine = nf4.quantise(weight)
        count = (weight.numel() + 1) // 2
        assert torch.equal(mine.codes[:count], theirs.view(-1)[:count])
        values = nf4.levels_of(mine.codes, state.absmax, torch.float32)[: weight.numel()].view(shape)
        assert torch.equal(values, functional.dequantize_4bit(theirs, state))
        nested = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)
        error = (functional.dequantize_4bit(*nested) - weight).norm()
        assert float((rounded(weight) - weight).norm()) <= 1.01 * float(error)


def test_weights_that_are_no_numbers_are_refused() -> None:
    whole = model()
    with torch.no_grad():
        whole.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    with pytest.raises(InputError, match=r"not a number .* Such are in 'layers\.1\.mlp\.up_proj'"):
        quantise_layers(whole)


def test_a_model_without_linear_layers_is_refused() -> None:
    class Empty:
        config = None

        def get_decoder(self) -> Any:
            return type("Decoder", (), {"layers": nn.ModuleList()})

    with pytest.raises(InputError, match="no linear layers to quantise"):
        quantise_layers(Empty())


# A layer


def layer_and_plain(bias: bool) -> tuple[QuantisedLinear, nn.Linear]:
    torch.manual_seed(1)
    linear = nn.Linear(96, 40, bias=bias)
    layer = QuantisedLinear(linear)
    plain = nn.Linear(96, 40, bias=bias)
    with torch.no_grad():
        plain.weight.copy_(layer.expanded(torch.float32))
        if bias:
            plain.bias.copy_(linear.bias)
    return layer.requires_grad_(False), plain.requires_grad_(False)


@pytest.mark.parametrize("bias", [False, True])
def test_the_gradients_are_those_of_autograd_on_the_expanded_weight(bias: bool) -> None:
    layer, plain = layer_and_plain(bias)
    a, b = normal(8, 96, seed=2).requires_grad_(), normal(40, 8, seed=3).requires_grad_()
    x = torch.randn(2, 5, 96, requires_grad=True)
    direction = torch.randn(2, 5, 40)
    expected = plain(x) + 2.0 * (x @ a.t()) @ b.t()
    wanted = torch.autograd.grad((expected * direction).sum(), (x, a, b))
    layer.set(a, b, 2.0)
    out = layer(x)
    assert apart(out, expected) < 1e-6
    for found, right in zip(torch.autograd.grad((out * direction).sum(), (x, a, b)), wanted, strict=True):
        assert apart(found, right) < 1e-6
    # The first trained layer's input has no gradient; nothing is computed for it.
    alone = torch.autograd.grad((layer(x.detach()) * direction).sum(), (a, b))
    assert all(torch.allclose(found, right) for found, right in zip(alone, wanted[1:], strict=True))
    # A layer without an adapter hands gradients on.
    layer.clear()
    (through,) = torch.autograd.grad((layer(x) * direction).sum(), x)
    assert apart(through, direction @ plain.weight) < 1e-6


def test_the_expanded_weight_is_not_kept_for_the_backward_pass() -> None:
    layer, plain = layer_and_plain(False)
    layer.set(normal(2, 96).requires_grad_(), normal(40, 2).requires_grad_(), 1.0)

    def kept(module: nn.Module) -> int:
        sizes: list[int] = []

        def keep(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            module(torch.randn(3, 96, requires_grad=True))
        return sum(sizes)

    assert kept(layer) == 3 * 96 + 3 * 2 + 2 * 96 + 40 * 2 < 40 * 96 <= kept(plain)


# The engine


def test_layers_take_an_eighth_and_compute_what_their_four_bits_say() -> None:
    made, plain = engine(nf4=True, width=256), model(width=256)
    layers = made.body.layers
    assert made.nf4 and not engine().nf4
    before = sum(each.nbytes for each in plain.model.layers.parameters())
    after = sum(each.nbytes for each in (*layers.parameters(), *layers.buffers()))
    assert after < 0.135 * before
    assert torch.equal(made.body.embedding.weight, plain.model.embed_tokens.weight)
    with torch.no_grad():
        for name, module in plain.named_modules():
            if isinstance(module, nn.Linear) and ".layers." in name:
                module.weight.copy_(rounded(module.weight))
    expected = plain(torch.tensor([TOKENS])).logits[0, -1:]
    assert apart(logits(made), expected) < 1e-5
    assert apart(logits(engine(width=256)), expected) > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_is_quantised_while_it_is_loaded(tmp_path: Path, dtype: str) -> None:
    base = make_model(tmp_path / "base")
    made, again = (LocalEngine.load(base, dtype=dtype, device="cpu", nf4=True) for _ in range(2))
    assert made.nf4 and str(made.body.dtype) == f"torch.{dtype}"
    whole = LocalEngine.load(base, dtype="float32", device="cpu")
    weights = dict(whole.body.layers.named_modules())
    for name, module in made.body.layers.named_modules():
        if isinstance(module, QuantisedLinear):
            # Of the files' weights, whatever the engine computes in.
            own = weights[name].weight
            assert torch.equal(module.expanded(torch.float32), rounded(own))
    assert torch.equal(logits(made), logits(again))


def test_an_adapter_belongs_to_its_base_in_its_bits(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    folder = make_adapter(tmp_path / "plain", base, strength=0.2)
    weights = read(folder)
    assert isinstance(weights, AdapterWeights) and not weights.nf4
    made = LocalEngine.load(base, nf4=True)
    with pytest.raises(InputError, match="was trained on the base model as it is; here that is in four"):
        made.load_adapter(folder)
    own = tmp_path / "own"
    own.mkdir()
    to_nf4 = AdapterWeights(weights.rank, weights.alpha, weights.scale, weights.pairs, nf4=True)
    for name, content in peft_files(to_nf4, base_model=str(base)).items():
        (own / name).write_bytes(content)
    made.load_adapter(own)
    with pytest.raises(InputError, match="was trained on the base model in four bits; here that is as it"):
        LocalEngine.load(base).load_adapter(own)
    in_use = made.adapter_in_use()
    assert isinstance(in_use, AdapterWeights) and in_use.nf4 and in_use.digest() == weights.digest()
    adapted = logits(made)
    made.clear_adapter()
    assert torch.equal(logits(made), logits(LocalEngine.load(base, nf4=True)))
    # peft reads it as any other, without a warning, and means the same on the rounded weights.
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        for path in adapters.linear_paths(plain, plain.model.layers):
            module = plain.get_submodule(path)
            module.weight.copy_(rounded(module.weight))
    theirs = PeftModel.from_pretrained(plain, str(own))(torch.tensor([TOKENS])).logits[0, -1:]
    assert apart(adapted, theirs) < 1e-5


def test_a_base_that_is_not_known_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = make_adapter(tmp_path / "odd", make_model(tmp_path / "base"), strength=0.2)
    tensors = load_file(folder / WEIGHTS_FILE)
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt", "base_quantization": "int3"})
    with pytest.raises(InputError, match="to a base model in 'int3', which is not known"):
        read(folder)
