"""A fixed conversation that tells whether what is sampled is what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fde.errors import WorkError
from serve.engine.interface import Engine
from serve.engine.local import LocalEngine
from serve.episodes import Decision
from train.lora import Lora
from train.loss import forward
from train.trained import Trained
from train.tree import Packed, Tree, pack

# Engine and trainer compute the same function along different paths; fp32 rounding stays far below.
_TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 0.15}

# An engine that leaves the adapter out finds what the base model finds: so many times nearer to that than to
# the trainer, where rounding alone does not account for the distance.
_NEARER = 3.0
_ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 1e-2}

# On average over the decisions of rollouts. Rounding stays far below; what one iteration's updates change
# is far above.
_GAP = {torch.float32: 1e-2, torch.bfloat16: 0.15}


class Probe:
    """A fixed conversation on which the engine's and the trainer's log-probabilities must agree.

    It is checked after changes of the adapter, so that a stale cache, a weight that was not
    brought up to date, or an adapter without effect stops training at once instead of wasting it.
    """

    def __init__(self, engine: LocalEngine, trained: Trained, tree: Tree) -> None:
        self.engine = engine
        self.trained = trained
        place = tree.targets[0][0]
        kept = [(p, t) for p, t in tree.targets if p == place][:8]
        self.tree = Tree([-1], [0], [tree.tokens[place]], [None], [(0, t) for _, t in kept])
        self.first = self._trainer()
        # What the base model says is what an engine that leaves the adapter out would say.
        self.base: Tensor | None = None
        if isinstance(trained, Lora):
            none = {name: torch.zeros_like(tensor) for name, tensor in trained.named().items()}
            with trained.computing(trained.weights().like(none)):
                self.base = self._trainer()

    @torch.no_grad()
    def _trainer(self) -> Tensor:
        packed: Packed = pack([self.tree], self.engine.body.device)
        return forward(self.engine, packed).cpu()

    def _engine(self) -> Tensor:
        return log_probs_of(self.engine, self.tree.tokens[0], [t.decision for _, t in self.tree.targets])

    def plain(self) -> dict[str, Any]:
        """The conversation as JSON data, for another engine: ``tokens`` and ``decisions``."""
        found = [target.decision for _, target in self.tree.targets]
        decisions = [[decision.offset, decision.allowed, decision.chosen] for decision in found]
        return {"tokens": self.tree.tokens[0], "decisions": decisions}

    def expected(self) -> list[float]:
        """What the trainer finds now."""
        return [float(value) for value in self._trainer()]

    def compare(self, who: str, found: Sequence[float], expected: Sequence[float]) -> float:
        """Make sure that another engine finds what the trainer did; returns the largest difference.

        Raises:
            WorkError: when it does not.
        """
        limit = _TOLERANCE[self.engine.body.dtype]
        difference = float((torch.tensor(found) - torch.tensor(expected)).abs().max())
        if not difference <= limit:
            raise WorkError(
                f"{who} and trainer disagree: log-probabilities differ by {difference:.3g} on the probe "
                f"(at most {limit} is rounding).",
                "What is sampled is not what is trained. Nothing since the last checkpoint counts.",
            )
        if self.base is None:
            return difference
        apart = float((torch.tensor(found) - torch.tensor(expected)).abs().mean())
        plain = float((torch.tensor(found) - self.base).abs().mean())
        if apart > max(_ROUNDING[self.engine.body.dtype], _NEARER * plain):
            raise WorkError(
                f"{who} computes without the adapter: on the probe its log-probabilities are {apart:.2g} "
                f"from the trainer's, and {plain:.2g} from the base model's.",
                "What is sampled is not what is trained. Nothing since the last checkpoint counts.",
            )
        return difference

    def check(self) -> float:
        """Compare; returns the largest difference in log-probability.

        Raises:
            WorkError: when they disagree, or the adapter that is trained is not the one computed with.
        """
        self.trained.check(_TOLERANCE[self.engine.body.dtype])
        return self.compare("Engine", self._engine().tolist(), self.expected())

    def check_gap(self, gap: float) -> None:
        """Make sure that the trainer finds the log-probabilities that were sampled.

        Args:
            gap: Their mean distance before the first update on fresh rollouts, in nats.

        Raises:
            WorkError: when it is more than rounding: the tokens, the weights or a cache differ.
        """
        limit = _GAP[self.engine.body.dtype]
        if not gap <= limit:
            raise WorkError(
                f"The rollouts are not what is trained on: log-probabilities differ by {gap:.3g} nats on "
                f"average from those at sampling time (at most {limit} is rounding).",
                "An adapter that rollouts do not use, a cache of older weights, or text that was tokenised "
                "again would look like this. Nothing since the last checkpoint counts.",
            )

    def check_used(self) -> float:
        """Make sure that training had an effect at all; returns the largest change since the beginning.

        Raises:
            WorkError: when the model answers exactly as before.
        """
        change = float((self._trainer() - self.first).abs().max())
        if change == 0.0:
            raise WorkError(
                f"What was trained ({self.trained.kind}) has no effect: the model answers exactly as before.",
                "Check that it covers layers of this model (--set frozen, --set rank).",
            )
        return change


@torch.inference_mode()
def log_probs_of(engine: Engine, tokens: Sequence[int], decisions: Sequence[Decision]) -> Tensor:
    """What an engine finds for decisions of one conversation, in order, as when it samples: ``[n]``."""
    row = engine.row()
    found = []
    fed = 0
    for decision in decisions:
        logs = engine.look([(row, tokens[fed : decision.offset])], [decision.allowed]).log_probs[0]
        fed = decision.offset
        found.append(logs[decision.allowed.index(decision.chosen) if decision.allowed else decision.chosen])
    engine.free(row)
    return torch.stack(found)
