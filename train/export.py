"""A training run's result as a model of its own, in Hugging Face layout: for any server, or as a base."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

import torch

from fde.artifacts import digest_file
from fde.engagement import Run
from fde.errors import InputError, WorkError
from fde.models import WEIGHTS, check_space, model_digest, model_path
from serve.engine import adapter as adapters
from serve.engine.adapter import AdapterWeights, Tuned, linear_paths, to_nf4
from serve.engine.quantised import rounded
from train.record import read_result

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def export(run: Run, target: Path, *, dtype: str = "auto") -> dict[str, str | int]:
    """Write the base model with what the run trained in it, whole or not at all.

    Args:
        target: A folder that is not there yet.
        dtype: Of the weights: ``float32``, ``bfloat16``, or ``auto`` for that of the base model's files.

    Returns:
        ``path``, ``adapter`` (the result's name with its digest), ``base``, ``bytes``.

    Raises:
        InputError: the folder is there, the base model is another one, or the result is damaged.
        WorkError: the disk is full.
    """
    if target.exists():
        raise InputError(f"{target} is there already.", "Name a new folder.")
    if dtype != "auto" and dtype not in _DTYPES:
        raise InputError(f"Unknown dtype '{dtype}'.", f"Known are: auto, {', '.join(_DTYPES)}.")
    told = read_result(run)
    base = str(told["base"])
    folder = run.path / "adapter"
    weights = adapters.read(folder)
    if run.manifest().outputs.get(f"adapter/{adapters.WEIGHTS_FILE}") != digest_file(
        folder / adapters.WEIGHTS_FILE
    ):
        raise InputError(
            f"The result of {run.stage} {run.id} is not what was trained: its digest changed.",
            f"Train it again: remove {run.path} and run the training.",
        )
    if run.inputs.get("model") != model_digest(base):
        raise InputError(
            f"{run.stage} {run.id} was trained on another '{base}' than the one that is here.",
            "See: fde model list",
        )
    model = _merged(model_path(base), weights, dtype)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_space(target.parent, sum(each.numel() * each.element_size() for each in model.parameters()))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write(model, model_path(base), temporary)
        temporary.rename(target)
    except OSError as error:
        raise WorkError(f"The model cannot be written: {error}.", "Make room and try again.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    size = sum(file.stat().st_size for file in target.glob(WEIGHTS))
    return {"path": str(target), "adapter": str(told["adapter"]), "base": base, "bytes": size}


@torch.no_grad()
def _merged(base: Path, weights: Tuned, dtype: str) -> Any:
    """The base model with the weights in it."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    # Four bits are those of the weights as the files have them, whatever type they are written in.
    wanted = _DTYPES.get(dtype, "auto")
    model: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype="auto" if to_nf4(weights) else wanted, local_files_only=True, use_safetensors=True
    )
    if isinstance(weights, AdapterWeights):
        layers = model.get_decoder().layers
        # All of them were in four bits, whichever the adapter changes.
        paths = linear_paths(model, layers) if weights.nf4 else list(weights.pairs)
        for path in paths:
            module = model.get_submodule(path)
            value = rounded(module.weight) if weights.nf4 else module.weight.float()
            if path in weights.pairs:
                a, b = weights.pairs[path]
                value = torch.addmm(value, b, a, alpha=weights.scale)
            module.weight = torch.nn.Parameter(value.to(_DTYPES.get(dtype, module.weight.dtype)))
        return model.to(wanted) if isinstance(wanted, torch.dtype) else model
    places = dict(model.named_parameters())
    for name, tensor in weights.tensors.items():
        places[name].copy_(tensor)
    return model


def _write(model: Any, base: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base, local_files_only=True).save_pretrained(folder)
