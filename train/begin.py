"""Where training begins: with a new adapter, or with the one that another run ended with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from fde.engagement import Engagement, Run
from fde.errors import MissingError
from serve.engine import adapter as adapters
from serve.engine.adapter import AdapterWeights
from serve.engine.local import LocalEngine
from train import checkpoint
from train.lora import Lora
from train.record import Recorder

# Moments taken over count as those of this many updates: enough to need no correction for their beginning.
_MATURE = 1000


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run goes on from; a new adapter by default.

    Attributes:
        run: The training run it goes on from.
        weights: That run's adapter.
    """

    run: Run | None = None
    weights: AdapterWeights | None = None

    @classmethod
    def of(cls, engagement: Engagement, start: str | Run | None) -> Beginning:
        """From a training run, or from a stage (``sft-<name>``) whose latest run it is.

        Raises:
            MissingError: when there is no such run, or it has no adapter.
        """
        run = engagement.latest(start) if isinstance(start, str) else start
        return cls() if run is None else cls(run, _weights(run.path / "adapter"))

    @property
    def inputs(self) -> dict[str, str]:
        """What identifies it, for a run's manifest."""
        return {} if self.run is None else {"start": f"{self.run.stage}/{self.run.id}"}

    def engine(self, recorder: Recorder, frozen: float, loaded: LocalEngine | None = None) -> LocalEngine:
        """The base model, frozen as far as the adapter left it, or else by the share of layers asked for."""
        if self.weights is None:
            return recorder.engine(frozen, loaded)
        engine = recorder.engine(0.0, loaded)
        engine.body.split = adapters.first_layer(self.weights)
        return engine

    def lora(self, engine: LocalEngine, *, rank: int, alpha: float, seed: int) -> Lora:
        """The adapter to train; one that is gone on from keeps its own rank and scale."""
        if self.weights is None:
            return Lora(engine, rank=rank, alpha=alpha, seed=seed)
        lora = Lora(engine, rank=self.weights.rank, alpha=self.weights.alpha, seed=seed)
        lora.load(self.weights)
        return lora

    def take_moments(self, lora: Lora, optimizer: torch.optim.Optimizer) -> None:
        """Let the optimizer go on with what it knew when the start was made."""
        if self.run is not None:
            checkpoint.adopt_moments(lora, optimizer, self.run.path / checkpoint.MOMENTS_FILE, _MATURE)


def _weights(folder: Path) -> AdapterWeights:
    if not folder.is_dir():
        raise MissingError(
            f"{folder} is not there: that run has no adapter.", "Train one with: fde train sft"
        )
    return adapters.read(folder)
