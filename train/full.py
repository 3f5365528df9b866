"""Full fine-tuning: every parameter of the decoder layers above the frozen ones is trained itself.

Embedding, final norm and head stay the base model's. What the frozen layers make of a token is kept and
computed once, and begins at the embedding; small models tie the head to it; and the head is computed only
for tokens that were possible at a choice, so that its gradients would be of those alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fde.errors import WorkError
from serve.engine.adapter import AdaptedLinear, Tuned
from serve.engine.full import FullWeights, frozen_parameters
from serve.engine.local import LocalEngine
from train.trained import Trained
from train.world import World

if TYPE_CHECKING:
    from train.shards import Shards

_FAULT = "This is a fault of the toolkit; nothing trained since the last checkpoint counts."


class Full(Trained):
    """The parameters of an engine's layers above the frozen ones, being trained.

    They begin as what the engine computes with, an adapter that is in use included. Where the engine
    computes in fp32 it computes with the very tensors that are trained; in bf16 with copies of them.

    Args:
        divided: They are going to be divided among devices: nothing is made before (:meth:`ready`).
    """

    kind = "weights"

    def __init__(self, engine: LocalEngine, *, divided: bool = False) -> None:
        self.engine = engine
        self.first_layer = engine.body.split
        began = dict(engine.replaced.values(self.first_layer))
        engine.clear_adapter()
        engine.adapter = "training"
        self._masters: dict[str, Tensor] = {}
        self._leaves: dict[str, nn.Parameter] = {}
        # What a layer begins with, until it is divided.
        self._began = began
        if not divided:
            self._hold()

    def _hold(self) -> None:
        """Train tensors of this device alone."""
        dtype = self.engine.body.dtype
        for name, value in self._began.items():
            master = value.detach().float().clone()
            self._leaves[name] = nn.Parameter(master if dtype == torch.float32 else master.to(dtype))
            self._masters[name] = self._leaves[name] if dtype == torch.float32 else master
        self._began = {}
        self.engine.replaced.put(self._leaves)

    def named(self) -> dict[str, Tensor]:
        """See :meth:`Trained.named`: by the parameters' names in the model."""
        return self._masters

    def leaves(self) -> list[Tensor]:
        """See :meth:`Trained.leaves`."""
        return list(self._leaves.values())

    @torch.no_grad()
    def merge(self) -> None:
        """See :meth:`Trained.merge`."""
        for name, leaf in self._leaves.items():
            if leaf is not self._masters[name]:
                leaf.copy_(self._masters[name])
        if self.shards is not None:
            self.shards.refresh()

    def weights(self) -> FullWeights:
        """See :meth:`Trained.weights`."""
        if self.shards is None:
            return FullWeights(self._leaves)
        dtype = self.engine.body.dtype
        return FullWeights({name: self.whole(name, part).to(dtype) for name, part in self._masters.items()})

    @contextmanager
    def computing(self, weights: Tuned) -> Iterator[None]:
        """See :meth:`Trained.computing`."""
        assert isinstance(weights, FullWeights) and self.shards is None
        body = self.engine.body
        self.engine.replaced.put(frozen_parameters(weights, body.device, body.dtype))
        try:
            yield
        finally:
            self.engine.replaced.put(self._leaves)

    def check(self, limit: float) -> None:
        """See :meth:`Trained.check`."""
        if self.shards is not None:
            return  # the optimizer changes the very shares that are brought together
        values = self.engine.replaced.values(self.first_layer)
        for name, leaf in self._leaves.items():
            if values.get(name) is not leaf:
                raise WorkError(f"The weights being trained are not in use: {name} is another one.", _FAULT)
            stale = float((leaf.detach() - self._masters[name].detach().to(leaf.dtype)).abs().max())
            if not stale <= limit:
                raise WorkError(f"The weights in use are stale: {name} differs by {stale:.2g}.", _FAULT)

    # On several devices each process has shares of the tensors, and of what the optimizer knows of them.

    def ready(self, layer: nn.Module, world: World) -> None:
        """See :meth:`Trained.ready`: its parameters become fp32; computing in bf16 is FSDP's affair then."""
        mine = {id(module) for module in layer.modules()}
        for name, (module, attribute) in self.engine.replaced.places(self.first_layer).items():
            if id(module) in mine:
                if isinstance(module, AdaptedLinear):
                    module.keep_rows(slice(0))  # a base that nothing is merged with any more
                setattr(module, attribute, nn.Parameter(self._began.pop(name).detach().float().clone()))
                self._masters[name] = torch.empty(0)

    def computed(self) -> Iterable[str]:
        """See :meth:`Trained.computed`."""
        return list(self._masters)

    def take_parts(self, shards: Shards) -> None:
        """See :meth:`Trained.take_parts`."""
        self._masters = {name: shards.parts[name].rows for name in self._masters}
        self.shards = shards

    def reduce(self, world: World) -> None:
        """See :meth:`Trained.reduce`: FSDP has summed them, and each process has its share."""
        assert self.shards is not None
        for name, mine in self._masters.items():
            parameter = self.shards.parts[name].parameter
            gradient = parameter.grad
            mine.grad = torch.zeros_like(mine) if gradient is None else gradient.to_local()  # type: ignore[attr-defined]
            parameter.grad = None

    def norm(self, world: World) -> Tensor:
        """See :meth:`Trained.norm`."""
        mine = super().norm(world)
        if self.shards is None:
            return mine
        return torch.tensor(world.total([float(mine) ** 2])[0], device=mine.device).sqrt()

    def shape(self, name: str) -> torch.Size:
        """See :meth:`Trained.shape`."""
        return super().shape(name) if self.shards is None else self.shards.parts[name].shape

    def whole(self, name: str, part: Tensor) -> Tensor:
        """See :meth:`Trained.whole`."""
        if self.shards is None or not part.dim():
            return part
        return self.shards.world.joined(part, self.shape(name)[0])

    def part(self, name: str, whole: Tensor) -> Tensor:
        """See :meth:`Trained.part`."""
        if self.shards is None or not whole.dim():
            return whole
        return whole[self.shards.world.rows(self.shape(name)[0])]
