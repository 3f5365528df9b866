"""What a training run will need, told from the model's files before anything is loaded.

An estimate from shapes: weights, their merged copies, the adapter with its optimizer, what a backward
pass keeps, the rollouts' caches. It is meant to refuse what cannot work, not to fill a machine to the brim.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fde.errors import InputError
from fde.models import model_path
from train.settings import RlConfig, SftConfig

GIB = 1 << 30
# Python, torch, transformers and mlflow, without a model.
_LIBRARIES = int(1.2 * GIB)
# The same with vLLM.
_VLLM = int(2.0 * GIB)
# The largest forward and backward (train.update.Updater).
_UPDATE_TOKENS = 1536
# Rows of rollouts at a time, and the tokens that such a row has at most times.
_ROWS, _ROW_TOKENS = 64, 768
# What a backward pass keeps of a token in a layer: so many times the layer's width and the width inside
# its feed-forward part.
_KEPT_WIDTHS, _KEPT_INNER = 16, 5
_FROZEN = (0.5, 0.6, 0.7, 0.8, 0.9)


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


def needed(model: Shapes, config: SftConfig | RlConfig, bytes_each: int) -> dict[str, int]:
    """Bytes by purpose.

    Args:
        bytes_each: Of a number in the model: 4 in fp32, 2 in bf16.
    """
    split = round(config.frozen * len(model.linear))
    trained = len(model.linear) - split
    kept = _KEPT_WIDTHS * model.width + _KEPT_INNER * model.inner
    weights = model.elements * bytes_each
    merged = sum(model.linear[split:]) * bytes_each
    adapter = 4 * config.rank * sum(model.sides[split:])
    rollouts = _ROWS * _ROW_TOKENS * (model.cache + model.width) * bytes_each
    found = {
        "libraries": _LIBRARIES,
        "model": weights,
        "merged weights": merged,
        # The tensors, their gradients in two lanes, two moments: in fp32 whatever the model is in.
        "adapter and optimizer": 5 * adapter,
        "backward pass": _UPDATE_TOKENS * trained * kept * bytes_each,
        "choices": 3 * 64 * model.vocabulary * 4,
        "rollouts": rollouts,
    }
    # On a cluster they have their nodes' memory.
    workers = config.processes if isinstance(config, RlConfig) and not config.on_cluster else 0
    if workers and isinstance(config, RlConfig):
        # Each has a model of its own; the trainer keeps the versions that are still rolled out with.
        each = {
            "local": _LIBRARIES + weights + merged + adapter + rollouts,
            # It computes with adapters beside the model, not merged into it.
            "vllm": _VLLM + weights + 2 * adapter + rollouts,
            "vllm-server": _LIBRARIES,
        }
        found["rollout workers"] = workers * each[config.by]
    return found


def check_memory(base: str, config: SftConfig | RlConfig) -> int:
    """Make sure that a run fits into this machine; returns the bytes it is expected to need.

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
        available, bytes_each, where = psutil.virtual_memory().available, 4, "this machine"
    total = sum(needed(model, config, bytes_each).values())
    if total > available:
        raise _too_large(base, model, config, bytes_each, available, where)
    return total


def _too_large(
    base: str, model: Shapes, config: SftConfig | RlConfig, bytes_each: int, available: int, where: str
) -> InputError:
    parts = needed(model, config, bytes_each)
    largest = ", ".join(
        f"{name} {size / GIB:.1f}" for name, size in sorted(parts.items(), key=lambda part: -part[1])[:3]
    )
    if "rollout workers" in parts and isinstance(config, RlConfig):
        fewer = replace(config, staleness=0, workers=None, engine="local")
        if (other := sum(needed(model, fewer, bytes_each).values())) <= available:
            settings = "--engine local --staleness 0" if config.by != "local" else "--staleness 0"
            hint = f"Possible here: {settings}, without workers ({other / GIB:.1f} GiB)."
            return _refusal(base, sum(parts.values()), available, where, largest, hint)
    for frozen in (share for share in _FROZEN if share > config.frozen):
        for rank in sorted({config.rank, min(config.rank, 8)}, reverse=True):
            other = sum(needed(model, replace(config, frozen=frozen, rank=rank), bytes_each).values())
            if other <= available:
                settings = f"--set frozen={frozen}" + (f" --set rank={rank}" if rank != config.rank else "")
                hint = f"Possible here: {settings} ({other / GIB:.1f} GiB)."
                return _refusal(base, sum(parts.values()), available, where, largest, hint)
    least = sum(needed(model, replace(config, frozen=_FROZEN[-1], rank=1), bytes_each).values())
    hint = f"No setting makes it fit: it takes {least / GIB:.1f} GiB at least. Choose a smaller base model."
    return _refusal(base, sum(parts.values()), available, where, largest, hint)


def _refusal(base: str, total: int, available: int, where: str, largest: str, hint: str) -> InputError:
    return InputError(
        f"Training {base} would take about {total / GIB:.1f} GiB ({largest}), and {where} has "
        f"{available / GIB:.1f} GiB free.",
        hint,
    )
