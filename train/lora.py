"""The trainable LoRA adapter: its tensors, in the engine's own layers.

Defaults after "LoRA Without Regret" (thinkingmachines.ai/blog/lora, 2025): all linear
layers, a learning rate about ten times that of full fine-tuning, alpha 32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fde.errors import WorkError
from serve.engine.adapter import Adaptable, AdaptedLinear, AdapterWeights, Tuned
from serve.engine.local import LocalEngine
from train.trained import Trained
from train.world import World

if TYPE_CHECKING:
    from train.shards import Shards


class Lora(Trained):
    """LoRA tensors of an engine's layers from ``first_layer`` up, being trained.

    Args:
        rank: Rank of every pair.
        alpha: ``scale = alpha / rank``.
        seed: Of A's initial values; B begins at zero, so the adapter begins without effect.
    """

    kind = "adapter"

    def __init__(
        self, engine: LocalEngine, *, rank: int = 16, alpha: float = 32.0, first_layer: int = 0, seed: int = 0
    ) -> None:
        self.engine = engine
        self.rank, self.alpha, self.scale = rank, alpha, alpha / rank
        self.first_layer = max(first_layer, engine.body.split)
        generator = torch.Generator().manual_seed(seed)
        self.modules: dict[str, Adaptable] = engine.adaptable(engine.linear_paths(self.first_layer))
        self.tensors: dict[str, tuple[Tensor, Tensor]] = {}
        for path, module in self.modules.items():
            a = torch.empty(rank, module.in_features)
            a.uniform_(-1.0, 1.0, generator=generator).mul_(1.0 / math.sqrt(module.in_features))
            b = torch.zeros(module.out_features, rank)
            device = engine.body.device
            self.tensors[path] = (a.to(device).requires_grad_(), b.to(device).requires_grad_())
        self.engine.clear_adapter()
        self._attach()
        self.engine.adapter = "training"

    def _attach(self) -> None:
        """Make the engine compute with (and train) these tensors."""
        for path, module in self.modules.items():
            module.set(*self.tensors[path], self.scale)
        self._changed()

    def _changed(self) -> None:
        if self.shards is not None:
            self.shards.refresh()

    def named(self) -> dict[str, Tensor]:
        """See :meth:`Trained.named`: ``a.<path>`` and ``b.<path>``."""
        return self.weights().named()

    def merge(self) -> None:
        """See :meth:`Trained.merge`."""
        for module in self.modules.values():
            module.merge()
        self._changed()

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
        self.copy(weights.named())

    def weights(self) -> AdapterWeights:
        """See :meth:`Trained.weights`."""
        return AdapterWeights(self.rank, self.alpha, self.scale, self.tensors, self.engine.nf4)

    @contextmanager
    def computing(self, weights: Tuned) -> Iterator[None]:
        """See :meth:`Trained.computing`."""
        assert isinstance(weights, AdapterWeights)
        for path, module in self.modules.items():
            module.set(*weights.pairs[path], weights.scale)
        self._changed()
        try:
            yield
        finally:
            self._attach()

    # On several devices A and B are whole on each; what they are merged into is divided.

    def ready(self, layer: nn.Module, world: World) -> None:
        """See :meth:`Trained.ready`."""
        mine = {id(module) for module in self.modules.values()}
        for module in layer.modules():
            if isinstance(module, AdaptedLinear) and id(module) in mine:
                module.keep_rows(world.rows(module.out_features))

    def computed(self) -> Iterable[str]:
        """See :meth:`Trained.computed`."""
        return [f"{path}.weight" for path in self.modules]

    def take_parts(self, shards: Shards) -> None:
        """See :meth:`Trained.take_parts`."""
        for path, module in self.modules.items():
            assert isinstance(module, AdaptedLinear)  # a base model in four bits is not divided
            module.part = shards.parts[f"{path}.weight"].rows
        self.shards = shards
        self.merge()

    def reduce(self, world: World) -> None:
        """See :meth:`Trained.reduce`."""
        for tensor in self.parameters():
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        world.add([tensor.grad for tensor in self.parameters() if tensor.grad is not None])

    def agree(self, world: World) -> None:
        """See :meth:`Trained.agree`."""
        world.check_same(self.digest())

    def check(self, limit: float) -> None:
        """See :meth:`Trained.check`."""
        for path, module in self.modules.items():
            a, b = self.tensors[path]
            if module.a is not a or module.b is not b:
                raise WorkError(
                    f"The adapter being trained is not in use: {path} computes with another one.",
                    "This is a fault of the toolkit; nothing trained since the last checkpoint counts.",
                )
        for path, module in self.modules.items():
            stale = module.stale()
            if not stale <= limit:
                raise WorkError(
                    f"The weights in use are stale: {path} differs from its adapter by {stale:.2g}.",
                    "This is a fault of the toolkit; nothing trained since the last checkpoint counts.",
                )
