"""Where training begins: with a new adapter, or with the one that another run ended with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from fde.engagement import Engagement, Run
from fde.errors import InputError, MissingError
from serve.engine import adapter as adapters
from serve.engine.adapter import AdapterWeights, Tuned
from serve.engine.full import FullWeights
from serve.engine.local import LocalEngine
from train import checkpoint
from train.full import Full
from train.lora import Lora
from train.record import Recorder
from train.settings import RlConfig, SftConfig
from train.trained import Trained

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
    weights: Tuned | None = None

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

    def check(self, config: SftConfig | RlConfig) -> None:
        """Make sure that what is to be trained can go on from it.

        Raises:
            InputError: when a new adapter was asked for on top of weights that were tuned themselves, or
                the adapter belongs to the base model in another number of bits.
        """
        name = "the start" if self.run is None else f"{self.run.stage} {self.run.id}"
        if isinstance(self.weights, AdapterWeights) and self.weights.nf4 != config.nf4:
            own, wanted = ("in four bits", "as it is") if self.weights.nf4 else ("as it is", "in four bits")
            go_on = "qlora" if self.weights.nf4 else "lora, or tune=full"
            raise InputError(
                f"{name} is an adapter to the base model {own}: with the base model {wanted} (tune is "
                f"'{config.tune}') it is not what was trained.",
                f"Go on with --set tune={go_on}; or make a base model of it: fde train export STAGE DIR.",
            )
        if config.tune != "full" and isinstance(self.weights, FullWeights):
            raise InputError(
                f"{name} tuned the weights themselves: there is no adapter to go on from.",
                "Go on with --set tune=full; or make a base model of it: fde train export STAGE DIR.",
            )

    def trained(self, engine: LocalEngine, config: SftConfig | RlConfig, *, divided: bool = False) -> Trained:
        """What is trained; an adapter that is gone on from keeps its own rank and scale.

        Full fine-tuning goes on from either kind: an adapter is merged into the weights first.

        Args:
            divided: It is going to be divided among devices.
        """
        self.check(config)
        if config.tune == "full":
            if self.weights is not None:
                engine.use_adapter("start", self.weights)
            return Full(engine, divided=divided)
        if self.weights is None:
            return Lora(engine, rank=config.rank, alpha=config.alpha, seed=config.seed)
        assert isinstance(self.weights, AdapterWeights)
        lora = Lora(engine, rank=self.weights.rank, alpha=self.weights.alpha, seed=config.seed)
        lora.load(self.weights)
        return lora

    def take_moments(self, trained: Trained, optimizer: torch.optim.Optimizer) -> None:
        """Let the optimizer go on with what it knew when the start was made."""
        if self.run is not None:
            checkpoint.adopt_moments(trained, optimizer, self.run.path / checkpoint.MOMENTS_FILE, _MATURE)


def _weights(folder: Path) -> Tuned:
    if not folder.is_dir():
        raise MissingError(
            f"{folder} is not there: that run has no adapter.", "Train one with: fde train sft"
        )
    return adapters.read(folder)
