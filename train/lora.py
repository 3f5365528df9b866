"""The trainable LoRA adapter: its tensors, in the engine's own layers.

Defaults after "LoRA Without Regret" (thinkingmachines.ai/blog/lora, 2025): all linear
layers, a learning rate about ten times that of full fine-tuning, alpha 32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from serve.engine.adapter import AdaptedLinear, AdapterWeights, peft_files
from serve.engine.local import LocalEngine


class Lora:
    """LoRA tensors of an engine's layers from ``first_layer`` up, being trained.

    The engine computes with them at once: call :meth:`merge` after every change.

    Args:
        rank: Rank of every pair.
        alpha: ``scale = alpha / rank``.
        seed: Of A's initial values; B begins at zero, so the adapter begins without effect.
    """

    def __init__(
        self, engine: LocalEngine, *, rank: int = 16, alpha: float = 32.0, first_layer: int = 0, seed: int = 0
    ) -> None:
        self.engine = engine
        self.rank, self.alpha, self.scale = rank, alpha, alpha / rank
        self.first_layer = max(first_layer, engine.body.split)
        generator = torch.Generator().manual_seed(seed)
        self.modules: dict[str, AdaptedLinear] = engine.adaptable(engine.linear_paths(self.first_layer))
        self.tensors: dict[str, tuple[Tensor, Tensor]] = {}
        for path, module in self.modules.items():
            a = torch.empty(rank, module.in_features)
            a.uniform_(-1.0, 1.0, generator=generator).mul_(1.0 / math.sqrt(module.in_features))
            b = torch.zeros(module.out_features, rank)
            device = engine.body.device
            self.tensors[path] = (a.to(device).requires_grad_(), b.to(device).requires_grad_())
        self.attach()

    def attach(self) -> None:
        """Make the engine compute with (and train) these tensors."""
        self.engine.clear_adapter()
        for path, module in self.modules.items():
            a, b = self.tensors[path]
            module.set(a, b, self.scale)
        self.engine.adapter = "training"

    def merge(self) -> None:
        """Bring the engine's weights up to date with the tensors."""
        for module in self.modules.values():
            module.merge()

    def parameters(self) -> list[Tensor]:
        return [tensor for pair in self.tensors.values() for tensor in pair]

    @torch.no_grad()
    def load(self, weights: AdapterWeights) -> None:
        """Continue from an adapter: its values are copied in.

        Raises:
            ValueError: when rank, scale or layers differ.
        """
        if set(weights.pairs) != set(self.tensors) or not math.isclose(weights.scale, self.scale):
            raise ValueError("the adapter has other layers or another scale than the one being trained")
        for path, (a, b) in weights.pairs.items():
            mine = self.tensors[path]
            if mine[0].shape != a.shape or mine[1].shape != b.shape:
                raise ValueError(f"the adapter has another shape at {path}")
        self.copy(weights.pairs)

    @torch.no_grad()
    def copy(self, pairs: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Take over values of the same layers and shapes."""
        for path, (a, b) in pairs.items():
            self.tensors[path][0].copy_(a)
            self.tensors[path][1].copy_(b)
        self.merge()

    def weights(self) -> AdapterWeights:
        """The adapter as it is now (tensors shared, not copied)."""
        return AdapterWeights(self.rank, self.alpha, self.scale, self.tensors)

    def files(self) -> dict[str, bytes]:
        """The adapter as peft's files: name -> content."""
        return peft_files(self.weights(), base_model=self.engine.name)

    def digest(self) -> str:
        """SHA-256 (hex) of the weights alone."""
        return self.weights().digest()
