"""What a training run will need, told from the model's files before anything is loaded.

An estimate from shapes: weights, their merged copies or the room to expand four bits, the adapter with its
optimizer, what a backward pass keeps, the rollouts' caches, a teacher's weights. It is meant to refuse what
cannot work, not to fill a machine to the brim.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from fde.errors import InputError
from fde.models import model_path
from train.settings import RlConfig, SftConfig, Tune

# What to say for other settings, and the settings.
Candidates = Iterator[tuple[str, SftConfig | RlConfig]]

GIB = 1 << 30
# Python, torch, transformers and mlflow, without a model.
_LIBRARIES = int(1.2 * GIB)
# The same with vLLM.
_VLLM = int(1.6 * GIB)
# The largest forward and backward (train.update.Updater).
_UPDATE_TOKENS = 1536
# Rows of rollouts at a time, and the tokens that such a row has at most times.
_ROWS, _ROW_TOKENS = 64, 768
# What a backward pass keeps of a token in a layer: so many times the layer's width and the width inside
# its feed-forward part.
_KEPT_WIDTHS, _KEPT_INNER = 16, 5
_FROZEN = (0.5, 0.6, 0.7, 0.8, 0.9)
# What there is of weights beside the model's own.
_COPIES: dict[Tune, str] = {"lora": "merged weights", "qlora": "expanded weights", "full": "tuned weights"}
# Of a weight in four bits, with its share of the scales (serve.engine.nf4).
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)


@dataclass(frozen=True, slots=True)
class Shapes:
    """A model as its files tell it.

    Attributes:
        elements: Numbers in all weights; ``linear`` the same of each layer's matrices, by layer, and
            ``sides`` the sum of their inputs and outputs.
        width, inner: Of a hidden state, and inside a layer's feed-forward part.
        cache: Numbers that a token takes in a rollout's cache, all layers together.
    """

    elements: int
    linear: tuple[int, ...]
    sides: tuple[int, ...]
    width: int
    inner: int
    vocabulary: int
    cache: int


def shapes(folder: Path) -> Shapes:
    """Read a model's configuration and the headers of its weights.

    Raises:
        InputError: when they cannot be read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = config.get("text_config", config)
        found = [each for path in sorted(folder.glob("*.safetensors")) for each in _header(path)]
        layers = int(config["num_hidden_layers"])
        linear, sides = [0] * layers, [0] * layers
        for name, shape in found:
            layer = re.search(r"\.layers\.(\d+)\.", name)
            if layer is not None and len(shape) == 2 and int(layer[1]) < layers:
                linear[int(layer[1])] += shape[0] * shape[1]
                sides[int(layer[1])] += shape[0] + shape[1]
        heads = int(config["num_attention_heads"])
        size = int(config.get("head_dim") or config["hidden_size"] // heads)
        return Shapes(
            elements=sum(math.prod(shape) for _, shape in found),
            linear=tuple(linear),
            sides=tuple(sides),
            width=int(config["hidden_size"]),
            inner=int(config.get("intermediate_size") or 4 * config["hidden_size"]),
            vocabulary=int(config["vocab_size"]),
            cache=2 * layers * int(config.get("num_key_value_heads") or heads) * size,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The model in {folder} cannot be read: {error}", "See: fde model list") from error


def _header(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Names and shapes of the tensors in a safetensors file (its wholeness was checked)."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    for name, about in header.items():
        if name != "__metadata__":
            yield name, [int(side) for side in about["shape"]]


def needed(
    model: Shapes, config: SftConfig | RlConfig, bytes_each: int, devices: int = 1, larger: int = 0
) -> dict[str, int]:
    """Bytes by purpose; on each of several devices that train together.

    Args:
        bytes_each: Of a number in the model: 4 in fp32, 2 in bf16.
        larger: Numbers in all weights of another model that teaches (``distil``).
    """
    split = round(config.frozen * len(model.linear))
    trained = len(model.linear) - split
    full = config.tune == "full"
    kept = _KEPT_WIDTHS * model.width + _KEPT_INNER * model.inner
    weights = model.elements * bytes_each
    merged = sum(model.linear[split:]) * bytes_each
    if config.nf4:
        layers = sum(model.linear)
        # What is expanded at a time, in each lane: no more than one layer's matrices together.
        weights += round(layers * (NF4_BYTES - bytes_each))
        merged = max(model.linear) * bytes_each
    adapter = 4 * config.rank * sum(model.sides[split:])
    if full:
        # In fp32 the weights that take the place of the base model's are those that are trained.
        tuned, sets = 4 * sum(model.linear[split:]), 4 if bytes_each == 4 else 5
    else:
        tuned, sets = adapter, 5
    rollouts = _ROWS * _ROW_TOKENS * (model.cache + model.width) * bytes_each
    backward = _UPDATE_TOKENS * trained * kept * bytes_each
    if devices > 1 and not config.nf4:
        return _divided(model, weights, merged, (tuned, full), (rollouts, backward), bytes_each, devices)
    found = {
        "libraries": _LIBRARIES,
        "model": weights,
        _COPIES[config.tune]: merged,
        # The tensors, their gradients in two lanes, two moments: in fp32 whatever the model is in.
        "gradients and optimizer" if full else "adapter and optimizer": sets * tuned,
        "backward pass": backward,
        "choices": 3 * 64 * model.vocabulary * 4,
        "rollouts": rollouts,
    }
    if isinstance(config, SftConfig) and config.objective != "imitation":
        # Weights that follow those that are trained, those as they were at the start, or another model.
        own = (config.objective == "sdft") + (config.rehearse > 0)
        found["teachers"] = own * tuned + larger * bytes_each
    # On a cluster they have their nodes' memory.
    workers = config.processes if isinstance(config, RlConfig) and not config.on_cluster else 0
    if workers and isinstance(config, RlConfig):
        # Each has a model of its own; the trainer keeps the versions that are still rolled out with.
        handed = 0 if full else adapter
        each = {
            "local": _LIBRARIES + weights + merged + handed + rollouts,
            # It computes with adapters beside the model, not merged into it.
            "vllm": _VLLM + weights + 2 * adapter + rollouts,
            "vllm-server": _LIBRARIES,
        }
        found["rollout workers"] = workers * each[config.by]
    return found


def _divided(
    model: Shapes,
    weights: int,
    merged: int,
    trained: tuple[int, bool],
    passes: tuple[int, int],
    bytes_each: int,
    devices: int,
) -> dict[str, int]:
    """The same where layers are divided (:mod:`train.shards`): the larger of what rollouts and updates take.

    Args:
        trained: Bytes of what is trained, once, and whether it is all weights.
        passes: Bytes of rollouts and of a backward pass.
    """
    (tuned, full), (rollouts, backward) = trained, passes
    layers = sum(model.linear) * bytes_each
    # The tensors, their gradients, two moments: of an adapter the whole on each device, of weights a share.
    optimizer = 4 * tuned // devices if full else 4 * tuned
    # Of full weights in bf16 the shares are fp32; an adapter's base and merged weights lie beside each other.
    shares = (layers - merged if full else layers + merged) // devices
    always = {
        "libraries": _LIBRARIES,
        "embedding and head": weights - layers,
        "shares of the weights": shares,
        "gradients and optimizer" if full else "adapter and optimizer": optimizer,
        "choices": 3 * 64 * model.vocabulary * 4,
    }
    # Two layers are whole at a time, and one's gradients.
    at_once = 3 * max(model.linear) * bytes_each
    rolling = {**always, "weights brought together": layers, "rollouts": rollouts}
    updating = {**always, "layers brought together": at_once, "backward pass": backward}
    return max(rolling, updating, key=lambda parts: sum(parts.values()))


def check_memory(base: str, config: SftConfig | RlConfig, devices: int = 1) -> int:
    """Make sure that a run fits into this machine; returns the bytes it is expected to need.

    Args:
        devices: That train together, this one among them.

    Raises:
        InputError: when it does not, with the nearest setting that would.
    """
    import torch

    model = shapes(model_path(base))
    if torch.cuda.is_available():
        available, bytes_each, where = torch.cuda.mem_get_info()[0], 2, "the GPU"
    else:
        import psutil

        # Whether the CPU computes in bf16 is only measured when the model is loaded.
        available, bytes_each, where = psutil.virtual_memory().available // devices, 4, "this machine"
        if devices > 1:
            where = f"each of {devices} processes on {where}"
    teacher = config.teacher if isinstance(config, SftConfig) else None
    on = (bytes_each, devices, 0 if teacher is None else shapes(model_path(teacher)).elements)
    total = sum(needed(model, config, *on).values())
    if total > available:
        raise _too_large(base, model, config, on, available, where)
    return total


def _too_large(
    base: str,
    model: Shapes,
    config: SftConfig | RlConfig,
    on: tuple[int, int, int],
    available: int,
    where: str,
) -> InputError:
    """Args: ``on`` is what :func:`needed` takes beside the settings."""
    parts = needed(model, config, *on)
    largest = ", ".join(
        f"{name} {size / GIB:.1f}" for name, size in sorted(parts.items(), key=lambda part: -part[1])[:3]
    )
    if "rollout workers" in parts and isinstance(config, RlConfig):
        fewer = replace(config, staleness=0, workers=None, engine="local")
        if (other := sum(needed(model, fewer, *on).values())) <= available:
            settings = "--engine local --staleness 0" if config.by != "local" else "--staleness 0"
            hint = f"Possible here: {settings}, without workers ({other / GIB:.1f} GiB)."
            return _refusal(base, sum(parts.values()), available, where, largest, hint)
    fitting = [_first(model, kind, on, available) for kind in _others(config, devices=on[1])]
    if found := sorted(each for each in fitting if each is not None):
        # What gives up least memory is the nearest.
        told = [f"{settings} ({size / GIB:.1f} GiB)" for size, settings in found[:-3:-1]]
        hint = f"Possible here: {', or '.join(told)}."
    else:
        kinds: list[Tune] = ["qlora", "lora"] if _quantisable(config, on[1]) else ["lora"]
        smallest = [replace(config, tune=tune, frozen=_FROZEN[-1], rank=1) for tune in kinds]
        least = min(sum(needed(model, each, *on).values()) for each in smallest)
        hint = f"No setting makes it fit: it takes {least / GIB:.1f} GiB at least. "
        hint += f"Choose a smaller {'teacher' if on[2] else 'base model'}."
    return _refusal(base, sum(parts.values()), available, where, largest, hint)


def _others(config: SftConfig | RlConfig, devices: int) -> Iterator[Candidates]:
    """Settings that take less, and what to say for them: kind by kind, of each the nearest first."""
    yield _less(config)
    if config.tune == "full":
        yield iter([("--set tune=lora", replace(config, tune="lora"))])
    if config.tune != "qlora" and _quantisable(config, devices):
        bits = replace(config, tune="qlora")
        less = ((f"--set tune=qlora {settings}", each) for settings, each in _less(bits))
        yield chain([("--set tune=qlora", bits)], less)


def _less(config: SftConfig | RlConfig) -> Candidates:
    """More layers frozen; then, of an adapter, a small rank as well."""
    ranks = {config.rank} if config.tune == "full" else {config.rank, min(config.rank, 8)}
    for frozen in (share for share in _FROZEN if share > config.frozen):
        for rank in sorted(ranks, reverse=True):
            smaller = f" --set rank={rank}" if rank != config.rank else ""
            yield f"--set frozen={frozen}{smaller}", replace(config, frozen=frozen, rank=rank)


def _quantisable(config: SftConfig | RlConfig, devices: int) -> bool:
    """Whether the base model could be in four bits: on one device, with rollouts by the local engine."""
    return devices == 1 and not (isinstance(config, RlConfig) and config.by != "local")


def _first(
    model: Shapes, candidates: Candidates, on: tuple[int, int, int], available: int
) -> tuple[int, str] | None:
    """The bytes of the first that fits, and what to say for it; None when none does."""
    for settings, each in candidates:
        if (size := sum(needed(model, each, *on).values())) <= available:
            return size, settings
    return None


def _refusal(base: str, total: int, available: int, where: str, largest: str, hint: str) -> InputError:
    return InputError(
        f"Training {base} would take about {total / GIB:.1f} GiB ({largest}), and {where} has "
        f"{available / GIB:.1f} GiB free.",
        hint,
    )
