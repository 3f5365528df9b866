"""Training on what the model itself does, towards a teacher that knows better at every decision.

*Self-distillation fine-tuning* (SDFT, arXiv 2601.19897): the teacher is the same model, with weights that
follow slowly, which is shown the demonstration. The model does the scene by itself; at every decision the
forward divergence ``KL(teacher || model)`` over all that was possible is the loss. As it only learns where
it goes itself, it forgets less of what it could do before than imitation lets it.

*On-policy distillation* (GKD, arXiv 2306.13649, with all samples the student's own): the teacher is a larger
model of the same family; the loss is the reverse divergence ``KL(model || teacher)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from envgen.session import Session, Task
from fde.errors import InputError, WorkError
from serve.agent import run_episodes
from serve.engine.local import LocalEngine
from serve.episodes import Group
from serve.prompt import Prompt
from train.algorithms import sft
from train.follow import shown
from train.lessons import kind_of, said_lines
from train.loss import Divergence
from train.settings import SftConfig
from train.source import Source, program_demonstrations
from train.starts import Midway, Start
from train.trained import Trained
from train.tree import Tree, pack, packs, prune
from train.visits import Visits

# Updates' worth of scenes that are done at once: with few rows the engine waits for memory.
_UPDATES_AHEAD = 8
_FORWARD_TOKENS = 1536
# A scene is cut after twice the demonstration's actions: a model that is lost by then learns nothing there.
_DETOUR = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """A part of a task to do.

    Attributes:
        source: Whose task it is.
        lines: What the demonstration did there; ``kind`` is what the scene is about.
        size: Tokens, as demonstrated.
    """

    source: Source
    start: Start
    lines: tuple[str, ...]
    kind: str
    size: int


class Teacher(ABC):
    """Knows what to do at every decision of a conversation; sees what the model sees, and stays as it is."""

    @abstractmethod
    def used(self) -> AbstractContextManager[LocalEngine]:
        """Gives the engine to compute with."""

    def context(self, scene: Scene, tree: Tree, first: int) -> Tree:
        """The tree on which the teacher's distributions are computed: same targets, its own context.

        Args:
            first: Tokens before the model's first line.
        """
        return Tree([-1], [0], tree.tokens, [None], tree.targets)

    def follow(self) -> None:
        """The model was updated."""
        return

    def tensors(self) -> dict[str, Tensor]:
        """What is resumed."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        return


class Before(Teacher):
    """The model as it is now, whatever it learns from now on."""

    def __init__(self, engine: LocalEngine, trained: Trained) -> None:
        self.engine, self.trained = engine, trained
        self.weights = trained.snapshot()

    @contextmanager
    def used(self) -> Iterator[LocalEngine]:
        with self.trained.computing(self.weights):
            yield self.engine


class Shown(Before):
    """The same model, shown what the demonstration did; its weights follow those that are trained.

    Args:
        rate: ``weights += rate * (trained - weights)`` after each update.
    """

    def __init__(self, engine: LocalEngine, trained: Trained, prompt: Prompt, rate: float) -> None:
        super().__init__(engine, trained)
        self.prompt, self.rate = prompt, rate

    def context(self, scene: Scene, tree: Tree, first: int) -> Tree:
        return shown(self.prompt, tree, first, scene.lines)

    @torch.no_grad()
    def follow(self) -> None:
        mine = self.weights.named()
        for name, tensor in self.trained.named().items():
            mine[name].lerp_(tensor, self.rate)

    def tensors(self) -> dict[str, Tensor]:
        return {f"teacher.{name}": tensor for name, tensor in self.weights.named().items()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


class Larger(Teacher):
    """Another model, with the same tokens.

    Raises:
        InputError: when its tokens differ.
    """

    def __init__(self, teacher: LocalEngine, student: LocalEngine) -> None:
        if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
            raise InputError(
                f"The teacher {teacher.name} has other tokens than {student.name}.",
                "Choose a larger model of the same family.",
            )
        self.teacher = teacher

    @contextmanager
    def used(self) -> Iterator[LocalEngine]:
        yield self.teacher


class OnPolicy:
    """Lessons for :func:`train.sft.fit`: scenes that the model does itself, judged by a teacher.

    Args:
        rule: The divergence from the teacher.
    """

    def __init__(
        self,
        engine: LocalEngine,
        sources: Sequence[Source],
        prompt: Prompt,
        config: SftConfig,
        teacher: Teacher,
        rule: Divergence,
    ) -> None:
        self.engine, self.prompt, self.config = engine, prompt, config
        self.teacher = teacher
        self.rule: Divergence | None = rule
        self.scenes: list[Scene] = []
        groups: list[Group] = []
        for source in sources:
            tasks = source.tasks("train", config.count, config.seed)
            shown = program_demonstrations(source, engine.grammar, prompt, tasks)
            self.scenes += [scene for group in shown for scene in _scenes(engine, source, prompt, group)]
            groups += shown
        if not self.scenes:
            raise InputError(
                "There are no demonstrations by the program to distil.", "Ask for some with: --count 48"
            )
        trees = [tree for group in groups for tree in prune(group, sft.targets(group))]
        self.probe = max(trees, key=lambda tree: len(tree.targets))
        self.tokens = sum(scene.size for scene in self.scenes)
        self.visits = Visits([scene.kind for scene in self.scenes], [scene.size for scene in self.scenes])
        self._waiting: list[tuple[int, Tree]] = []
        self._chosen: list[int] = []
        self._rounds = 0

    def batch(self, step: int) -> tuple[list[Tree], int]:
        tokens = 0
        while not self._waiting:
            tokens += self._round()
        batch: list[tuple[int, Tree]] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0][1].size <= self.config.batch_tokens):
            batch.append(self._waiting.pop(0))
            size += batch[-1][1].size
        self._chosen = [index for index, _ in batch]
        return [tree for _, tree in batch], tokens

    def learned(self, losses: Sequence[float]) -> None:
        for index, loss in zip(self._chosen, losses, strict=True):
            self.visits.note(index, loss)
        self.teacher.follow()

    def _round(self) -> int:
        """Do some scenes and have them judged; returns the tokens it took."""
        before = self.engine.counters.tokens
        seed = f"{self.config.seed}/{self.config.objective}/{self._rounds}"
        self._rounds += 1
        chosen = self.visits.choose(self.config.batch_tokens * _UPDATES_AHEAD, seed)
        scenes = {self.scenes[index].start.as_task.id: self.scenes[index] for index in chosen}

        def session(task: Task) -> Session:
            scene = scenes[task.id]
            return Midway(scene.source.session(task), scene.start, _DETOUR * len(scene.lines))

        groups = run_episodes(
            self.engine,
            [self.scenes[index].start.as_task for index in chosen],
            session,
            prompt=self.prompt,
            temperature=1.0,
            max_actions=self.config.max_actions,
            seed=self.config.seed * 1_000_003 + self._rounds,
            keep_lower=self.engine.body.split > 0,
        )
        failed = [episode for group in groups for episode in group.episodes if episode.error is not None]
        if len(failed) * 2 > len(groups):
            raise WorkError(
                f"{len(failed)} of {len(groups)} rollouts failed; the first: {failed[0].error}",
                "The environment is at fault. Look with: fde envgen gate",
            )
        done: list[tuple[int, Tree, int]] = []
        for index, group in zip(chosen, groups, strict=True):
            if group.segments:
                # The first potential is noted where the first message ends.
                first = group.segments[0].potentials[0][0]
                targets = [t for t in sft.targets(group) if t.decision.offset >= first + self.config.skip]
                done += [(index, tree, first) for tree in prune(group, targets)]
        if not done:
            raise WorkError("No scene left a decision to learn from.", "Lower the setting skip.")
        return self.engine.counters.tokens - before + self._judge(done)

    @torch.no_grad()
    def _judge(self, done: list[tuple[int, Tree, int]]) -> int:
        """Note the teacher's distributions with the targets; returns the tokens it took."""
        seen = [self.teacher.context(self.scenes[index], tree, first) for index, tree, first in done]
        tokens = 0
        known: list[Tensor] = []
        with self.teacher.used() as engine:
            for batch in packs(seen, _FORWARD_TOKENS):
                packed = pack(batch, engine.body.device)
                hidden, _ = engine.body.run(packed.ids, packed.positions, packed.plan)
                allowed = [target.decision.allowed for target in packed.targets]
                known += [logs.clone() for logs in engine.log_probs(hidden[packed.predictors], allowed)]
                tokens += packed.size
        logs = iter(known)
        for index, tree, _ in done:
            tree.targets = [(place, replace(target, teacher=next(logs))) for place, target in tree.targets]
            self._waiting.append((index, tree))
        return tokens

    def state(self) -> dict[str, Any]:
        # What waits was done by the model as it was: a resumed run could not do it again.
        self._waiting = []
        return {"visits": self.visits.state(), "rounds": self._rounds}

    def tensors(self) -> dict[str, Tensor]:
        return self.teacher.tensors()

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.visits.restore(state["visits"])
        self._rounds = int(state["rounds"])
        self.teacher.restore(tensors)


def _scenes(engine: LocalEngine, source: Source, prompt: Prompt, group: Group) -> Iterator[Scene]:
    """The scenes of a demonstration, to be done again."""
    for number, tokens in enumerate(group.scenes(group.episodes[0])):
        yield Scene(
            source,
            Start(group.task, number, whole=False),
            tuple(said_lines(prompt, tokens)),
            f"{source.name} {kind_of(engine, tokens)}",
            len(tokens),
        )
