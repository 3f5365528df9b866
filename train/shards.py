"""An engine whose decoder layers are divided among the processes of a world, by torch's FSDP2.

Every layer is one group of `torch.distributed.fsdp.fully_shard`: each process keeps a share of its rows, and
has the whole layer only while it computes it in an update. For rollouts and evaluations the whole weights
are brought together once (:meth:`Shards.gathered`), since then each process computes by itself, as many
forwards as its own share takes. Embedding, final norm and head are whole everywhere: they are used outside
of the layers.

What a LoRA adapter is merged into is divided like the base weight beside it, and each process merges its own
rows; A and B are small and the same everywhere. With all weights tuned, the tensors that the optimizer
changes are the shares themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from fde.errors import InputError
from serve.engine.attention import TreePlan
from serve.engine.local import LocalEngine
from train.full import Full
from train.trained import Trained
from train.world import World


class Part(NamedTuple):
    """This process's share of a parameter.

    Attributes:
        parameter: As FSDP has it; its gradient is a share as well.
        rows: The share, on which it computes.
        shape: Of the whole.
    """

    parameter: DTensor
    rows: Tensor
    shape: torch.Size


class Shards:
    """Divides an engine's layers, and what is trained of them, for good."""

    def __init__(self, engine: LocalEngine, trained: Trained, world: World) -> None:
        self.engine, self.world = engine, world
        self._depth = 0
        # Hooks of FSDP keep a state for each layer: one forward at a time.
        engine.lanes.count = 1
        body = engine.body
        mesh = init_device_mesh(body.device.type, (world.size,))
        before = {name: parameter.shape for name, parameter in body.model.named_parameters()}
        self._groups = [self._group(layer, index, mesh, trained) for index, layer in enumerate(body.layers)]
        own = {parameter for parameter in body.decoder.parameters() if not isinstance(parameter, DTensor)}
        self._root: FSDPModule = cast(FSDPModule, fully_shard(body.decoder, mesh=mesh, ignored_params=own))
        _prefetch(self._groups, trained.first_layer)
        # The first forward settles what belongs together; and what it makes room for must take gradients.
        self.idle(lower=False)
        parameters = dict(body.model.named_parameters())
        for name in trained.computed():
            if not isinstance(parameters.get(name), DTensor):
                raise InputError(
                    f"'{name}' of this model cannot be divided among devices.",
                    "Train it on one device: leave out --devices.",
                )
        self.parts = {
            name: Part(parameter, cast(DTensor, parameter.detach()).to_local(), before[name])
            for name, parameter in parameters.items()
            if isinstance(parameter, DTensor)
        }
        trained.take_parts(self)

    def _group(self, layer: nn.Module, index: int, mesh: DeviceMesh, trained: Trained) -> FSDPModule:
        """Divide a layer: its parts as one group, so that a layer that is skipped is not gathered."""
        trained.ready(layer, self.world)
        parts = [child for child in layer.children() if next(child.parameters(), None) is not None]
        policy = MixedPrecisionPolicy(cast_forward_inputs=False)
        if isinstance(trained, Full) and index >= trained.first_layer:
            policy = MixedPrecisionPolicy(
                param_dtype=self.engine.body.dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
            )
        done = fully_shard(parts, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
        group: FSDPModule = done[0]
        # The loss is divided by the whole update's count: gradients are summed, not averaged.
        group.set_gradient_divide_factor(1.0)
        group.set_force_sum_reduction_for_comms(True)
        return group

    def idle(self, *, lower: bool) -> Tensor:
        """A forward of one token that teaches nothing, for a process that has nothing to compute when others
        have; a zero with gradients.

        Args:
            lower: Whether the others skip the frozen layers.
        """
        body = self.engine.body
        zeros = torch.zeros(1, dtype=torch.long, device=body.device)
        known = torch.zeros(1, body.width, dtype=body.dtype, device=body.device) if lower else None
        hidden, _ = body.run(zeros, zeros, TreePlan([[(0, 1)]]), lower=known)
        return hidden.sum() * 0.0

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Inside the block every process has the whole weights, and computes without the others."""
        if not self._depth:
            self._gather()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._spread()

    def refresh(self) -> None:
        """The shares were changed: bring the whole weights up to date, where they are whole now."""
        if self._depth:
            self._spread()
            self._gather()

    def _gather(self) -> None:
        self._root.set_reshard_after_forward(False)
        for group in self._groups:
            group.unshard()

    def _spread(self) -> None:
        self._root.set_reshard_after_forward(True)
        for group in self._groups:
            group.reshard()


def _prefetch(groups: list[FSDPModule], first: int) -> None:
    """Gather the next layer while one is computed; backward as far as the first that is trained.

    Said for each layer: what FSDP remembers of rollouts, which differ from process to process, must not
    decide what is gathered in an update.
    """
    for index, group in enumerate(groups):
        group.set_modules_to_backward_prefetch([groups[index - 1 if index > first else index]])
        if index + 1 < len(groups):
            group.set_modules_to_forward_prefetch([groups[index + 1]])
