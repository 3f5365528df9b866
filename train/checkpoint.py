"""The state of training on disk: resumed exactly, never half-believed.

Tensors go to a safetensors file of a new name, then a small JSON file that names
it (with its digest) is replaced atomically, then the old tensors are removed: a
process killed at any moment leaves one whole state. Draws depend on seed and
step alone, so there is no generator to save.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fde.artifacts import digest_file, read_json, write_bytes, write_json
from fde.errors import InputError
from train.trained import Trained

MOMENTS_FILE = "moments.safetensors"
# Hidden: a run's manifest lists results, not working state.
_POINTER = ".state.json"
_TENSORS = ".state-{:08d}.safetensors"


def save(folder: Path, step: int, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Replace the saved state."""
    from safetensors.torch import save as to_bytes

    path = folder / _TENSORS.format(step)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, to_bytes(plain))
    pointer = {"tensors": path.name, "sha256": digest_file(path), "step": step, "state": dict(state)}
    write_json(folder / _POINTER, pointer)
    for old in folder.glob(".state-*.safetensors"):
        if old != path:
            old.unlink()


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The saved state, or None when there is none.

    Raises:
        InputError: when the tensors are not those that were saved.
    """
    from safetensors.torch import load_file

    if not (folder / _POINTER).is_file():
        return None
    try:
        pointer = read_json(folder / _POINTER)
        path = folder / str(pointer["tensors"])
        if path.parent != folder or digest_file(path) != pointer["sha256"]:
            raise ValueError("its tensors changed")
        return dict(pointer["state"]), load_file(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The checkpoint in {folder} is damaged: {error}", f"Remove {folder} to train from the beginning."
        ) from error


def clear(folder: Path) -> None:
    """Remove the working state of a finished run."""
    for path in (folder / _POINTER, *folder.glob(".state-*.safetensors")):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def training_tensors(trained: Trained, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What is trained and its optimizer as named tensors."""
    found: dict[str, Tensor] = {}
    for name, tensor in trained.named().items():
        found[f"trained.{name}"] = trained.whole(name, tensor)
        for kind, value in optimizer.state.get(tensor, {}).items():
            found[f"optimizer.{kind}.{name}"] = trained.whole(name, value)
    return found


def moments(trained: Trained, optimizer: torch.optim.Optimizer) -> bytes:
    """AdamW's second moments, for a run that continues from this one: the content of ``MOMENTS_FILE``."""
    from safetensors.torch import save as to_bytes

    squares = {name: optimizer.state[tensor]["exp_avg_sq"] for name, tensor in trained.named().items()}
    whole = {name: trained.whole(name, square) for name, square in squares.items()}
    return to_bytes({name: square.cpu().contiguous() for name, square in whole.items()})


def adopt_moments(trained: Trained, optimizer: torch.optim.Optimizer, file: Path, updates: int) -> bool:
    """Begin with the second moments another run ended with; False when they are not there or do not fit.

    A new optimizer takes its first steps as if every gradient were equally large, noise
    and all, which undoes what the model already knows. The first moments begin at zero.

    Args:
        updates: How many updates the moments stand for (they are not corrected for their beginning).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        known = load_file(file)
    except (OSError, SafetensorError):
        return False
    tensors = trained.named()
    if set(known) != set(tensors) or any(known[n].shape != trained.shape(n) for n in tensors):
        return False
    for name, tensor in tensors.items():
        optimizer.state[tensor] = {
            "step": torch.tensor(float(updates)),
            "exp_avg": torch.zeros_like(tensor),
            "exp_avg_sq": trained.part(name, known[name]).to(tensor.device, copy=True),
        }
    return True


@torch.no_grad()
def restore(trained: Trained, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of :func:`training_tensors`.

    Raises:
        InputError: when they are of another model, or of another kind.
    """
    for name, tensor in trained.named().items():
        saved = tensors.get(f"trained.{name}")
        if saved is None or saved.shape != trained.shape(name):
            raise InputError(
                f"The checkpoint does not fit the model: {name} is missing or has another shape.",
                "It is of another base model; remove the run's folder to train from the beginning.",
            )
        tensor.copy_(trained.part(name, saved))
        if f"optimizer.step.{name}" in tensors:
            optimizer.state[tensor] = {
                kind: trained.part(name, tensors[f"optimizer.{kind}.{name}"])
                .clone()
                .to("cpu" if kind == "step" else tensor.device)
                for kind in ("step", "exp_avg", "exp_avg_sq")
            }
    trained.merge()
