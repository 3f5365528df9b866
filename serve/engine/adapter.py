"""Adapters: what training changed of a base model. LoRA as merged weights: full speed, and exactly undone.

An adapted linear layer keeps its base weight untouched and computes with
``base + scale * B A`` in a second tensor. Inference and training use the same
merged tensor, so they cannot disagree by rounding; while an adapter is being
trained, the backward pass takes the gradients of A and B from the same
matrices (as in peft with dropout 0), without a second forward through them.
Where the base model is in four bits, layers take adapters unmerged (:mod:`serve.engine.quantised`).

Files are peft's: ``adapter_config.json`` and ``adapter_model.safetensors``. Tuned parameters
(:mod:`serve.engine.full`) have files of the same names. An adapter to a base model in four bits says so in
the metadata of its weights' file: to the base model itself it is not what was trained.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from fde.errors import InputError, MissingError
from fde.models import BASE_KEY, safetensors_metadata
from serve.engine import nf4
from serve.engine.full import KIND, KIND_KEY, FullWeights, full_files, full_of
from serve.engine.quantised import QuantisedLinear

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
# Variants of LoRA whose effect is not W + scale * B A: loading them as such would be silently wrong.
_UNSUPPORTED = ("use_dora", "alora_invocation_tokens", "modules_to_save", "rank_pattern", "alpha_pattern",
                "fan_in_fan_out", "trainable_token_indices", "layer_replication")  # fmt: skip


@dataclass(frozen=True, slots=True)
class AdapterWeights:
    """A LoRA adapter in memory.

    Attributes:
        rank: Rank of every pair.
        scale: Factor of ``B A`` (``alpha / rank``).
        pairs: Module path inside the model -> (A ``[rank, in]``, B ``[out, rank]``), fp32.
        nf4: Whether it is an adapter to the base model in four bits.
    """

    rank: int
    alpha: float
    scale: float
    pairs: Mapping[str, tuple[Tensor, Tensor]] = field(repr=False)
    nf4: bool = False

    def digest(self) -> str:
        """SHA-256 (hex) of the weights alone."""
        found = hashlib.sha256()
        for path, pair in sorted(self.pairs.items()):
            found.update(path.encode())
            for tensor in pair:
                found.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return found.hexdigest()

    def named(self) -> dict[str, Tensor]:
        """Its tensors as ``a.<path>`` and ``b.<path>``; :meth:`like` is the inverse."""
        return {
            f"{letter}.{path}": tensor
            for path, pair in self.pairs.items()
            for letter, tensor in zip("ab", pair, strict=True)
        }

    def like(self, tensors: Mapping[str, Tensor]) -> AdapterWeights:
        """The same with other values."""
        pairs = {path: (tensors[f"a.{path}"], tensors[f"b.{path}"]) for path in self.pairs}
        return replace(self, pairs=pairs)


# What training may have changed of a model.
Tuned = AdapterWeights | FullWeights


def to_nf4(weights: Tuned) -> bool:
    """Whether it was trained on, and belongs to, the base model in four bits."""
    return isinstance(weights, AdapterWeights) and weights.nf4


class _MergedLinear(torch.autograd.Function):
    """``x W^T`` with W = base + scale * B A; gradients for x, A and B."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, merged: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, merged, a, b)
        ctx.scale = scale
        return functional.linear(x, merged)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        x, merged, a, b = ctx.saved_tensors
        (grad,) = grads
        flat_grad = grad.reshape(-1, grad.shape[-1])
        flat_x = x.reshape(-1, x.shape[-1])
        grad_x = grad @ merged if ctx.needs_input_grad[0] else None
        low = flat_grad.to(b.dtype) @ b  # [tokens, rank]
        grad_a = ctx.scale * (low.t() @ flat_x.to(a.dtype))
        grad_b = ctx.scale * (flat_grad.to(b.dtype).t() @ (flat_x.to(a.dtype) @ a.t()))
        return grad_x, None, grad_a, grad_b, None


class AdaptedLinear(nn.Module):
    """A linear layer that computes with its base weight or with an adapter merged into a copy.

    Attributes:
        weight: What is computed with.
        base: The base weight; ``part`` is what an adapter is merged into, the storage of ``weight``, or
            ``base`` itself without an adapter. Of both only ``rows`` where the layer is divided among
            devices.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.base: Tensor = linear.weight.detach()
        self.part = self.base
        self.rows = slice(None)
        self.bias = linear.bias
        self.weight = nn.Parameter(self.base, requires_grad=False)
        # In a list: this is not a second parameter of the module.
        self._plain = [self.weight]
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.a: Tensor | None = None
        self.b: Tensor | None = None
        self.scale = 0.0

    def set(self, a: Tensor, b: Tensor, scale: float) -> None:
        """Use an adapter; with tensors that require gradients, forwards train it."""
        self.a, self.b, self.scale = a, b, scale
        if self.part is self.base:
            self.part = torch.empty_like(self.base)
            self.weight = nn.Parameter(self.part, requires_grad=False)
        self.merge()

    @torch.no_grad()
    def merge(self) -> None:
        """Bring the merged weight up to date with A and B."""
        if self.a is None or self.b is None:
            return
        b = self.b[self.rows]
        if self.base.dtype == self.a.dtype:
            torch.addmm(self.base, b, self.a, alpha=self.scale, out=self.part)
        else:
            self.part.copy_(torch.addmm(self.base.to(self.a.dtype), b, self.a, alpha=self.scale))

    @torch.no_grad()
    def stale(self) -> float:
        """How far the merged weight is from what A and B say, at its worst entry."""
        if not self.part.numel():
            return 0.0
        if self.a is None or self.b is None:
            return float((self.part - self.base).abs().max())
        fresh = torch.addmm(self.base.to(self.a.dtype), self.b[self.rows], self.a, alpha=self.scale)
        return float((fresh - self.part.to(fresh.dtype)).abs().max())

    def keep_rows(self, rows: slice) -> None:
        """Keep these rows of the base weight only, where the layer is going to be divided: for good.

        What an adapter is merged into is to be set anew.
        """
        self.base = self.part = self.base[rows].clone()
        self.rows, self._plain = rows, []

    def clear(self) -> None:
        """Back to the base weight, exactly."""
        self.a = self.b = None
        self.part = self.base
        self.weight = self._plain[0]

    def forward(self, x: Tensor) -> Tensor:
        if self.a is not None and self.b is not None and self.a.requires_grad and torch.is_grad_enabled():
            out: Tensor = _MergedLinear.apply(  # type: ignore[no-untyped-call]
                x, self.weight, self.a, self.b, self.scale
            )
            return out if self.bias is None else out + self.bias
        return functional.linear(x, self.weight, self.bias)


# A layer that takes an adapter.
Adaptable = AdaptedLinear | QuantisedLinear


def linear_paths(model: nn.Module, layers: nn.ModuleList, first_layer: int = 0) -> list[str]:
    """Paths of all linear modules inside the decoder layers from ``first_layer`` on."""
    wanted = {id(module) for layer in list(layers)[first_layer:] for module in layer.modules()}
    return [
        path
        for path, module in model.named_modules()
        if id(module) in wanted and isinstance(module, nn.Linear | Adaptable)
    ]


def adapt(model: nn.Module, paths: Iterable[str]) -> dict[str, Adaptable]:
    """Make the linear modules at ``paths`` adaptable, in place; those that are already stay."""
    found: dict[str, Adaptable] = {}
    for path in paths:
        parent_path, _, name = path.rpartition(".")
        try:
            parent = model.get_submodule(parent_path)
            module = getattr(parent, name)
        except AttributeError as error:
            raise InputError(
                f"The adapter changes '{path}', which this model does not have.",
                "It was trained for another base model: choose that one in fde.toml, [model] base.",
            ) from error
        if isinstance(module, nn.Linear):
            module = AdaptedLinear(module)
            setattr(parent, name, module)
        if not isinstance(module, Adaptable):
            raise InputError(
                f"The adapter changes '{path}', which is a {type(module).__name__}, not a linear layer."
            )
        found[path] = module
    return found


def read(folder: Path) -> Tuned:
    """Read a peft LoRA adapter, or tuned parameters.

    Raises:
        MissingError: when the folder or a file of it is not there.
        InputError: when it is damaged or of a kind that is neither.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise MissingError(f"{folder} is not an adapter: it has no {name}.", "See: fde serve adapters")
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS_FILE)
    except (ValueError, SafetensorError) as error:
        raise InputError(f"The adapter {folder} is damaged: {error}", "Train it again.") from error
    base = safetensors_metadata(folder / WEIGHTS_FILE).get(BASE_KEY)
    if config.get(KIND_KEY) == KIND:
        return full_of(folder, tensors)
    odd = [key for key in _UNSUPPORTED if config.get(key)]
    if config.get("peft_type") != "LORA" or odd or config.get("bias", "none") != "none":
        raise InputError(
            f"The adapter {folder} is not plain LoRA ({', '.join(odd) or config.get('peft_type')})."
        )
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    if rank < 1:
        raise InputError(f"The adapter {folder} says rank {rank}.")
    if base not in (None, nf4.NAME):
        raise InputError(f"The adapter {folder} is to a base model in '{base}', which is not known here.")
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return AdapterWeights(rank, alpha, scale, _pairs(folder, tensors, rank), base == nf4.NAME)


def _pairs(folder: Path, tensors: dict[str, Tensor], rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    for key in tensors:
        path = key.removeprefix(_PREFIX)
        if path.endswith(".lora_B.weight"):
            continue
        other = key.replace(".lora_A.", ".lora_B.")
        if not path.endswith(".lora_A.weight") or other not in tensors:
            raise InputError(
                f"The adapter {folder} holds '{key}', which is no LoRA weight of a linear layer."
            )
        a, b = tensors[key].float(), tensors[other].float()
        if a.dim() != 2 or b.dim() != 2 or a.shape[0] != rank or b.shape[1] != rank:
            raise InputError(f"The adapter {folder}: '{key}' has shape {tuple(a.shape)}, its rank is {rank}.")
        pairs[path.removesuffix(".lora_A.weight")] = (a, b)
    if not pairs or len(pairs) * 2 != len(tensors):
        raise InputError(f"The adapter {folder} is incomplete: {len(tensors)} tensors, {len(pairs)} pairs.")
    return pairs


def peft_files(weights: AdapterWeights, *, base_model: str) -> dict[str, bytes]:
    """The adapter as the files peft (and vLLM) read: name -> content."""
    from safetensors.torch import save

    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": weights.rank,
        "lora_alpha": weights.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "target_modules": sorted({path.rpartition(".")[2] for path in weights.pairs}),
        "layers_to_transform": _layers(weights.pairs),
    }
    tensors = {}
    for path, (a, b) in sorted(weights.pairs.items()):
        tensors[f"{_PREFIX}{path}.lora_A.weight"] = a.detach().cpu().float().contiguous()
        tensors[f"{_PREFIX}{path}.lora_B.weight"] = b.detach().cpu().float().contiguous()
    text = json.dumps(config, indent=1, sort_keys=True) + "\n"
    metadata = {"format": "pt", **({BASE_KEY: nf4.NAME} if weights.nf4 else {})}
    return {CONFIG_FILE: text.encode(), WEIGHTS_FILE: _in_order(save(tensors, metadata=metadata))}


def _in_order(blob: bytes) -> bytes:
    """A safetensors file with its metadata sorted: they are written in any order, and equal weights have
    equal bytes."""
    start = 8 + int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + blob[start:]


def files_of(weights: Tuned, *, base_model: str) -> dict[str, bytes]:
    """An adapter as files: name -> content."""
    if isinstance(weights, AdapterWeights):
        return peft_files(weights, base_model=base_model)
    layers, names = _layers(weights.tensors), (CONFIG_FILE, WEIGHTS_FILE)
    return full_files(weights, base_model=base_model, layers=layers, names=names)


def first_layer(weights: Tuned) -> int:
    """The lowest decoder layer an adapter changes."""
    return min(_layers(weights.pairs if isinstance(weights, AdapterWeights) else weights.tensors))


def _layers(paths: Iterable[str]) -> list[int]:
    """The numbers of the decoder layers: the first number in each path."""
    return sorted({next(int(part) for part in path.split(".") if part.isdigit()) for path in paths})
