"""Weights that were tuned themselves, without an adapter: they take the place of the base model's.

Their file has the names and values that a Hugging Face checkpoint of the whole model would have, and
leaves out what is the base model's own (embedding, head, frozen layers).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fde.errors import InputError

# What `adapter_config.json` says of such weights, where peft's adapters say their `peft_type`.
KIND_KEY, KIND = "tuned", "full"


@dataclass(frozen=True, slots=True)
class FullWeights:
    """Tuned parameters in memory.

    Attributes:
        tensors: A parameter's name in the model -> its value.
    """

    tensors: Mapping[str, Tensor] = field(repr=False)

    def digest(self) -> str:
        """SHA-256 (hex) of the weights alone."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            found.update(name.encode())
            found.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return found.hexdigest()

    def named(self) -> dict[str, Tensor]:
        """Its tensors by name; :meth:`like` is the inverse."""
        return dict(self.tensors)

    def like(self, tensors: Mapping[str, Tensor]) -> FullWeights:
        """The same with other values."""
        return FullWeights({name: tensors[name] for name in self.tensors})


class Replaced:
    """The parameters of a model's decoder layers, which others may take the place of; undone exactly.

    Args:
        layers: The model's decoder layers.
    """

    def __init__(self, model: nn.Module, layers: Iterable[nn.Module]) -> None:
        self._model = model
        self._layers = list(layers)
        self._base: dict[str, nn.Parameter] = {}

    def places(self, first_layer: int = 0) -> dict[str, tuple[nn.Module, str]]:
        """Where the parameters are from a decoder layer on: name -> (module, attribute)."""
        wanted = {id(module) for layer in self._layers[first_layer:] for module in layer.modules()}
        return {
            f"{path}.{attribute}": (module, attribute)
            for path, module in self._model.named_modules()
            if id(module) in wanted
            for attribute, _ in module.named_parameters(recurse=False)
        }

    def values(self, first_layer: int = 0) -> dict[str, nn.Parameter]:
        """The parameters that are computed with now, from a decoder layer on."""
        return {name: getattr(module, at) for name, (module, at) in self.places(first_layer).items()}

    def put(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Compute with these.

        Raises:
            InputError: when the model has no such parameter, or one of another shape.
        """
        places = self.places()
        for name, parameter in parameters.items():
            module, attribute = places.get(name, (None, ""))
            here = None if module is None else getattr(module, attribute)
            if module is None or here is None or here.shape != parameter.shape:
                other = "no such" if here is None else f"one of shape {tuple(here.shape)}"
                raise InputError(
                    f"The weights do not fit: '{name}' has shape {tuple(parameter.shape)}, "
                    f"and this model has {other}.",
                    "They were trained for another base model: choose that one in fde.toml, [model] base.",
                )
        for name, parameter in parameters.items():
            module, attribute = places[name]
            self._base.setdefault(name, getattr(module, attribute))
            setattr(module, attribute, parameter)

    def restore(self) -> None:
        """Back to the base model's, exactly."""
        places = self.places() if self._base else {}
        for name, parameter in self._base.items():
            setattr(*places[name], parameter)
        self._base.clear()

    def in_use(self) -> FullWeights | None:
        """What was put in and is computed with now, tensors shared; None without."""
        if not self._base:
            return None
        values = self.values()
        return FullWeights({name: values[name] for name in self._base})


def frozen_parameters(
    weights: FullWeights, device: torch.device, dtype: torch.dtype
) -> dict[str, nn.Parameter]:
    """Weights as parameters that are not trained, where and as the model computes."""
    return {
        name: nn.Parameter(tensor.detach().to(device, dtype), requires_grad=False)
        for name, tensor in weights.tensors.items()
    }


def full_of(folder: Path, tensors: Mapping[str, Tensor]) -> FullWeights:
    """What a folder's weights file holds, as tuned parameters.

    Raises:
        InputError: when it holds nothing of a decoder layer.
    """
    odd = [name for name in tensors if not any(part.isdigit() for part in name.split("."))]
    if odd or not tensors:
        raise InputError(
            f"The weights in {folder} are not of decoder layers: {odd[0] if odd else 'there are none'}."
        )
    return FullWeights(dict(tensors))


def full_config(base_model: str, layers: list[int]) -> dict[str, Any]:
    """What ``adapter_config.json`` says of tuned parameters."""
    return {KIND_KEY: KIND, "base_model_name_or_path": base_model, "layers_to_transform": layers}


def full_files(
    weights: FullWeights, *, base_model: str, layers: list[int], names: tuple[str, str]
) -> dict[str, bytes]:
    """The weights as files: name -> content.

    Args:
        layers: The decoder layers they are of.
        names: Of the configuration's file and the weights'.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(weights.tensors.items())}
    text = json.dumps(full_config(base_model, layers), indent=1, sort_keys=True) + "\n"
    return {names[0]: text.encode(), names[1]: save(tensors, metadata={"format": "pt"})}
