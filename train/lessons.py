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

    rule: Divergence | None
    tokens: int
    probe: Tree

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


class _Both:
    """Two kinds of lessons. What they resume goes by their names, which must differ."""

    def __init__(self, first: Lessons, second: Lessons) -> None:
        self.both = (first, second)
        self.rule = first.rule
        self.probe = first.probe

    def state(self) -> dict[str, Any]:
        return {"both": [each.state() for each in self.both]}

    def tensors(self) -> dict[str, Tensor]:
        return {name: tensor for each in self.both for name, tensor in each.tensors().items()}

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        for each, saved in zip(self.both, state["both"], strict=True):
            each.restore(saved, tensors)


class ByTurns(_Both):
    """Each kind in updates of its own.

    Args:
        share: Of the updates that are the second's; the first's are as many as they would be alone.
    """

    def __init__(self, first: Lessons, second: Lessons, share: float) -> None:
        super().__init__(first, second)
        self.share = share
        self.tokens = round(first.tokens / (1 - share))
        self._now = first

    def batch(self, step: int) -> tuple[list[Tree], int]:
        self._now = self.both[int((step + 1) * self.share) > int(step * self.share)]
        return self._now.batch(step)

    def learned(self, losses: Sequence[float]) -> None:
        self._now.learned(losses)


class Together(_Both):
    """Both kinds in every update; as many of these as the first would have alone.

    What one update would spoil of the other's is not changed to begin with: on a page that both know, what
    is left of the two gradients is what tells the tasks apart. By turns each undoes the other.
    """

    def __init__(self, first: Lessons, second: Lessons) -> None:
        super().__init__(first, second)
        self.tokens = first.tokens
        self._firsts = 0

    def batch(self, step: int) -> tuple[list[Tree], int]:
        (mine, some), (theirs, more) = (each.batch(step) for each in self.both)
        self._firsts = len(mine)
        return [*mine, *theirs], some + more

    def learned(self, losses: Sequence[float]) -> None:
        first, second = self.both
        first.learned(losses[: self._firsts])
        second.learned(losses[self._firsts :])


def kind_of(engine: LocalEngine, tokens: Sequence[int]) -> str:
    """What a scene is about: its page's heading, without the numbers that vary."""
    text: str = engine.tokenizer.decode(tokens)
    heading = next((line for line in text.splitlines() if line.startswith("# ")), "")
    return " ".join(word for word in heading.split() if not any(letter.isdigit() for letter in word))


def said_lines(prompt: Prompt, scene: Sequence[int]) -> list[str]:
    """The lines that the model said in a conversation."""
    return [line for said, text in prompt.turns(scene) if said for line in text.splitlines()]
