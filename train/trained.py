"""What is being trained, whichever kind it is: its tensors, and the engine that computes with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from serve.engine.adapter import Tuned, files_of
from serve.engine.local import LocalEngine
from train.world import World

if TYPE_CHECKING:
    from train.shards import Shards


class Trained(ABC):
    """Tensors of an engine's upper layers, being trained.

    The engine computes with them at once: call :meth:`merge` after every change.

    Attributes:
        engine: Whose layers they are of.
        first_layer: The lowest layer that is trained.
        kind: How it is named in messages.
        shards: How the engine is divided among processes; None on one device.
    """

    engine: LocalEngine
    first_layer: int
    kind: str
    shards: Shards | None = None

    @abstractmethod
    def named(self) -> dict[str, Tensor]:
        """What the optimizer changes, fp32, by name and always in the same order."""

    @abstractmethod
    def merge(self) -> None:
        """Bring the engine's weights up to date with the tensors."""

    @abstractmethod
    def weights(self) -> Tuned:
        """What the engine computes with, as it is handed out (tensors shared, not copied)."""

    @abstractmethod
    def computing(self, weights: Tuned) -> AbstractContextManager[None]:
        """Inside the block the engine computes with other values of the same tensors."""

    @abstractmethod
    def check(self, limit: float) -> None:
        """Make sure that the engine computes with these tensors as they are now.

        Args:
            limit: What is rounding.

        Raises:
            WorkError: when it computes with others, or with older values.
        """

    def parameters(self) -> list[Tensor]:
        """The tensors that the optimizer changes."""
        return list(self.named().values())

    def leaves(self) -> list[Tensor]:
        """For each parameter, the tensor in the computation whose gradient is its own."""
        return self.parameters()

    @torch.no_grad()
    def copy(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over values of the same names and shapes."""
        for name, mine in self.named().items():
            mine.copy_(tensors[name])
        self.merge()

    def snapshot(self) -> Tuned:
        """The values as they are now, in tensors of their own, fp32."""
        copies = {name: tensor.detach().clone() for name, tensor in self.named().items()}
        return self.weights().like(copies)

    def handed_out(self) -> Tuned:
        """What the engine computes with, in tensors that training does not change."""
        weights = self.weights()
        return weights.like({name: tensor.detach().clone() for name, tensor in weights.named().items()})

    def gathered(self) -> AbstractContextManager[None]:
        """Inside the block the engine computes by itself; only in updates several devices do it together."""
        return nullcontext() if self.shards is None else self.shards.gathered()

    # On several devices (see :mod:`train.shards`); what is the same on all of them stays as it is.

    @abstractmethod
    def ready(self, layer: nn.Module, world: World) -> None:
        """Make one of the engine's layers ready to be divided: one by one, so that little is there twice."""

    @abstractmethod
    def computed(self) -> Iterable[str]:
        """Names of the model's parameters that this changes."""

    @abstractmethod
    def take_parts(self, shards: Shards) -> None:
        """The layers are divided: from now on change this process's shares of them."""

    @abstractmethod
    def reduce(self, world: World) -> None:
        """Make of each process's gradients the sum over all, as far as that is not done."""

    def agree(self, world: World) -> None:
        """Make sure that what is the same on all devices is the same.

        Raises:
            WorkError: when it is not.
        """
        return

    def norm(self, world: World) -> Tensor:
        """Of all gradients together."""
        return torch.nn.utils.get_total_norm([t.grad for t in self.parameters() if t.grad is not None])

    def shape(self, name: str) -> torch.Size:
        """Of the whole of a tensor."""
        return self.named()[name].shape

    def whole(self, name: str, part: Tensor) -> Tensor:
        """What belongs to a tensor, or its optimizer, brought together from all processes."""
        return part

    def part(self, name: str, whole: Tensor) -> Tensor:
        """This process's share of it."""
        return whole

    def files(self) -> dict[str, bytes]:
        """What was trained as files: name -> content."""
        return files_of(self.weights(), base_model=self.engine.name)

    def digest(self) -> str:
        """SHA-256 (hex) of the weights alone."""
        return self.weights().digest()
