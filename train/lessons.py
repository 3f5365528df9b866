"""What supervised training learns from, update by update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from serve.engine.local import LocalEngine
from serve.prompt import Prompt
from train.loss import Divergence
from train.settings import SftConfig
from train.trained import Trained
from train.tree import Tree
from train.update import add_lower
from train.visits import Visits


class Lessons(Protocol):
    """Where the trees of an update come from.

    Attributes:
        rule: What the update does with them (see :meth:`train.update.Updater.step`).
        tokens: Tokens of all there is, once.
        probe: One of the trees, for :class:`train.update.Probe`.
    """

    tokens: int
    probe: Tree

    @property
    def rule(self) -> Divergence | None: ...

    def batch(self, step: int) -> tuple[list[Tree], int]:
        """The trees of update ``step`` (from 0), and the tokens that were computed to get them."""
        ...

    def learned(self, losses: Sequence[float]) -> None:
        """The update on the latest batch was made; each tree's loss before it."""
        ...

    def state(self) -> dict[str, Any]:
        """What is resumed, as plain data; taking it changes what comes next as resuming does."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What is resumed, as tensors."""
        ...

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        ...


class Demonstrated:
    """The scenes of demonstrations, in proportion to what is still to be learned from each."""

    rule: Divergence | None = None

    def __init__(self, trained: Trained, trees: Sequence[Tree], config: SftConfig) -> None:
        self.trained, self.trees, self.config = trained, trees, config
        self.tokens = sum(tree.size for tree in trees)
        self.probe = max(trees, key=lambda tree: len(tree.targets))
        self.visits = Visits(
            [kind_of(trained.engine, tree.tokens[0]) for tree in trees], [tree.size for tree in trees]
        )
        self._chosen: list[int] = []

    def batch(self, step: int) -> tuple[list[Tree], int]:
        self._chosen = self.visits.choose(self.config.batch_tokens, f"{self.config.seed}/sft/{step}")
        batch = [self.trees[index] for index in self._chosen]
        fresh = [tree for tree in batch if tree.lower[0] is None]
        if not fresh or not self.trained.engine.body.split:
            return batch, 0
        with self.trained.gathered():
            return batch, add_lower(self.trained.engine, fresh)

    def learned(self, losses: Sequence[float]) -> None:
        for index, loss in zip(self._chosen, losses, strict=True):
            self.visits.note(index, loss)

    def state(self) -> dict[str, Any]:
        return self.visits.state()

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.visits.restore(state)


class ByTurns:
    """Two kinds of lessons, each in updates of its own.

    Args:
        share: Of the updates that are the second's; the first's are as many as they would be alone.
    """

    def __init__(self, first: Lessons, second: Lessons, share: float) -> None:
        self.both, self.share = (first, second), share
        self.tokens = round(first.tokens / (1 - share))
        self.probe = first.probe
        self._turns = 0
        self._now = first

    @property
    def rule(self) -> Divergence | None:
        return self._now.rule

    def batch(self, step: int) -> tuple[list[Tree], int]:
        # Counted here: of an outer pair's updates, this one may have every second only.
        self._now = self.both[int((self._turns + 1) * self.share) > int(self._turns * self.share)]
        self._turns += 1
        return self._now.batch(step)

    def learned(self, losses: Sequence[float]) -> None:
        self._now.learned(losses)

    def state(self) -> dict[str, Any]:
        return {"turns": self._turns, "both": [each.state() for each in self.both]}

    def tensors(self) -> dict[str, Tensor]:
        return {name: tensor for each in self.both for name, tensor in each.tensors().items()}

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._turns = int(state["turns"])
        for each, saved in zip(self.both, state["both"], strict=True):
            each.restore(saved, tensors)


def kind_of(engine: LocalEngine, tokens: Sequence[int]) -> str:
    """What a scene is about: its page's heading, without the numbers that vary."""
    text: str = engine.tokenizer.decode(tokens)
    heading = next((line for line in text.splitlines() if line.startswith("# ")), "")
    return " ".join(word for word in heading.split() if not any(letter.isdigit() for letter in word))


def said_lines(prompt: Prompt, scene: Sequence[int]) -> list[str]:
    """The lines that the model said in a conversation."""
    return [line for said, text in prompt.turns(scene) if said for line in text.splitlines()]
