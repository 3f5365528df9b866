"""What a rollout worker does, wherever it runs: it takes an adapter, and makes what is ordered with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve.episodes import Decision
from serve.prompt import Prompt
from train.probe import log_probs_of
from train.workers import wire
from train.workers.order import Order, carry_out
from train.workers.recipe import Recipe


class Maker:
    """Answers what the trainer asks: ``adapter`` and ``rollouts``."""

    def __init__(self, recipe: Recipe) -> None:
        self.engine, self.source = recipe.parts()
        self.prompt = Prompt(self.engine.tokenizer)

    @property
    def progress(self) -> int:
        """Goes up with everything the engine computes: a worker that is not stuck."""
        return self.engine.counters.forwards

    def answer(self, asked: Mapping[str, Any], tensors: wire.Tensors) -> wire.Message:
        """The answer to one message."""
        if asked["ask"] == "adapter":
            return self._take(asked, tensors), {}
        return self._make(Order.of(asked["order"]))

    def _take(self, asked: Mapping[str, Any], tensors: wire.Tensors) -> dict[str, Any]:
        """Compute with an adapter from now on, and say what it says on the probe."""
        self.engine.use_adapter(asked["name"], wire.adapter_in(asked["weights"], tensors))
        probe = asked["probe"]
        decisions = [
            Decision(offset, tuple(allowed), chosen, 0.0, 0.0)
            for offset, allowed, chosen in probe["decisions"]
        ]
        logs = log_probs_of(self.engine, probe["tokens"], decisions)
        return {"digest": self._digest(), "log_probs": logs.tolist()}

    def _make(self, order: Order) -> wire.Message:
        before = self.engine.counters.tokens
        groups = carry_out(self.engine, self.source, self.prompt, order)
        told, tensors = wire.groups_out(groups)
        return {**told, "digest": self._digest(), "tokens": self.engine.counters.tokens - before}, tensors

    def _digest(self) -> str:
        """Of the weights that are in use: not of those it was told to use."""
        weights = self.engine.adapter_in_use()
        return "" if weights is None else weights.digest()
