"""Reinforcement learning in the compiled environment: rollouts, credit, updates, again.

An iteration samples groups of episodes where something can be learned, judges each
choice by what became of the samples that made it, and makes a few clipped updates
on exactly those choices. The order of things is that of GRPO (arXiv 2402.03300);
left out are its value of deviations (Dr. GRPO, arXiv 2503.20783) and its reference
policy; credit goes to single choices (see :mod:`train.algorithms.tree`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from envgen.session import Session, Task
from fde.engagement import Engagement, Run
from fde.errors import InputError, WorkError
from serve.agent import episodes, run_episodes
from serve.demonstrate import demonstrate
from serve.engine.local import LocalEngine
from serve.episodes import Episode, Group
from serve.prompt import Prompt
from train import checkpoint
from train.algorithms import ALGORITHMS, Credit, sft
from train.algorithms.returns import outcome
from train.begin import Beginning
from train.curriculum import Curriculum, Stratum
from train.evaluation import evaluate
from train.loss import Clip
from train.record import Point, Recorder
from train.sft import make_config
from train.source import Source
from train.starts import Midway, Start, Way, way
from train.tree import Tree, anchors, packs, prune
from train.update import Probe, Updater

# Iterations in a row without any group that teaches, before the run is given up.
_PATIENCE = 3
_SOLVED = 0.98
# Updates over which the rate rises: the moments that were taken over are those of another loss.
_WARM = 10
# Where no budget is given.
_ITERATIONS = 12
_LOOKED_AT_FOR_SCENES = 5
# Each time a kind of task is lost again its choices are drawn at so many times the temperature.
_HOTTER, _HOTTEST = 3.0, 9.0
_WORSE = 0.01


@dataclass(frozen=True, slots=True)
class RlConfig:
    """Settings of reinforcement learning.

    Attributes:
        groups: Groups of an iteration; ``samples`` episodes each.
        min_p: What is less likely than this share of the likeliest choice is not tried: a slip somewhere
            in a long episode hides what the other choices were worth.
        rate: Learning rate; ``batch_tokens`` tokens of one update; ``epochs`` over an iteration's trees.
        trust, partial: See :class:`train.algorithms.returns.Credit`.
        again, disturbed, whole: Shares of groups, see :class:`train.curriculum.Curriculum`.
        reach: Probability that a choice may gain in an iteration beyond the ratio's bound
            (see :class:`train.loss.Clip`).
        hold: How much moving choices that need not change counts, in scenes where others do.
        max_kl: An iteration's updates end when they have led this far, in nats a decision, from the policy
            that made its rollouts.
        seconds: Wall-clock budget of rollouts and updates, evaluation on dev aside.
        iterations: Iterations at most: with these alone the machine's speed does not decide the result.
            Where ``seconds`` is given as well, what ends first ends it; without either there are 12.
        dev_tasks: Tasks of one evaluation; ``dev_times`` evaluations over the run. With none of them the
            last weights are the result.
    """

    algorithm: str = "tree"
    groups: int = 20
    samples: int = 6
    min_p: float = 0.05
    rate: float = 2e-3
    batch_tokens: int = 1000
    epochs: int = 4
    trust: float = 0.7
    partial: float = 0.5
    again: float = 0.35
    disturbed: float = 0.15
    whole: float = 0.1
    clip_low: float = 0.2
    clip_high: float = 0.28
    reach: float = 0.35
    hold: float = 1.0
    max_kl: float = 0.3
    rank: int = 16
    alpha: float = 32.0
    frozen: float = 0.5
    seconds: float | None = None
    iterations: int | None = None
    dev_tasks: int = 16
    dev_times: int = 1
    max_actions: int = 24
    seed: int = 0


@dataclass(slots=True)
class _State:
    """What is resumed beside the tensors."""

    iteration: int = 0
    seconds: float = 0.0
    tokens: int = 0
    updates: int = 0
    evaluated: int = 0
    fruitless: int = 0
    best: tuple[float, float] | None = None
    best_iteration: int = 0
    strata: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)


def train_rl(
    engagement: Engagement,
    *,
    name: str,
    workflow: str,
    start: str | Run | None = None,
    seconds: float | None = None,
    on_point: Callable[[Point], None] = lambda _: None,
    engine: LocalEngine | None = None,
    **settings: Any,
) -> Run:
    """Train an adapter by reinforcement; the run of the stage ``rl-<name>``.

    Args:
        name: Names the adapter and the stage.
        workflow: The compiled workflow to learn.
        start: A training run, or a stage (``sft-<name>``) whose latest run it is, to continue from.
        seconds: Wall-clock budget, counted over interruptions.
        on_point: Is told every point of the learning curve as it is made.
        engine: One that is loaded already, to save the loading.
        settings: Further fields of :class:`RlConfig`.

    Raises:
        InputError: unknown settings, missing workflow, model or start.
        WorkError: training failed; what was checkpointed is kept.
    """
    from train.workflow import open_source

    config: RlConfig = make_config(RlConfig, seconds=seconds, **settings)
    if config.algorithm not in ALGORITHMS:
        raise InputError(f"Unknown algorithm '{config.algorithm}'.", f"Known are: {', '.join(ALGORITHMS)}.")
    source = open_source(engagement, workflow)
    begin = Beginning.of(engagement, start)
    recorder = Recorder(engagement, f"rl-{name}", source, config, inputs=begin.inputs, on_point=on_point)
    if recorder.run.finished:
        engagement.publish(recorder.run)
        return recorder.run
    with engagement.working(recorder.run):
        improve(begin.engine(recorder, config.frozen, engine), source, config, recorder, begin)
    return recorder.run


def improve(
    engine: LocalEngine, source: Source, config: RlConfig, recorder: Recorder, begin: Beginning
) -> None:
    """Train and leave the best adapter, the curve and the result in the recorder's run."""
    _Loop(engine, source, config, recorder, begin).run()


class _Loop:
    """The state and the steps of one RL run."""

    def __init__(
        self,
        engine: LocalEngine,
        source: Source,
        config: RlConfig,
        recorder: Recorder,
        begin: Beginning,
    ) -> None:
        self.engine, self.source, self.config, self.recorder = engine, source, config, recorder
        self.prompt = Prompt(engine.tokenizer)
        self.lora = begin.lora(engine, rank=config.rank, alpha=config.alpha, seed=config.seed)
        self.updater = Updater(engine, self.lora)
        begin.take_moments(self.lora, self.updater.optimizer)
        self.credit = Credit(config.trust, config.partial)
        self.clip = Clip(config.clip_low, config.clip_high, config.reach, config.hold)
        self.dev = source.tasks("dev", config.dev_tasks, config.seed)
        self._tasks: dict[bool, list[Task]] = {False: [], True: []}
        looked_at = self._task_list(False, _LOOKED_AT_FOR_SCENES)
        self._ways: dict[str, Way] = {}
        self.curriculum = Curriculum(
            max(self._way(task).scenes for task in looked_at),
            again=config.again,
            disturbed=config.disturbed,
            whole=config.whole,
        )
        self.state = _State()
        group = demonstrate(engine.grammar, self.prompt, source.session(looked_at[0]), looked_at[0])
        trees = prune(group, sft.targets(group))
        self.probe = Probe(engine, self.lora, max(trees, key=lambda tree: len(tree.targets)))

    def run(self) -> None:
        state, config = self.state, self.config
        saved = checkpoint.load(self.recorder.run.path)
        if saved is not None:
            plain, tensors = saved
            state = self.state = _State(**plain)
            checkpoint.restore(self.lora, self.updater.optimizer, tensors)
            self.updater.updates = state.updates
            self.curriculum.restore(state.strata)
        began = time.monotonic() - state.seconds

        iterations = config.iterations or (None if config.seconds else _ITERATIONS)

        def progress() -> float:
            done = state.iteration / iterations if iterations else 0.0
            waited = (time.monotonic() - began) / config.seconds if config.seconds else 0.0
            return min(1.0, max(done, waited))

        while (share := progress()) < 1.0:
            state.iteration += 1
            point = self._iterate(share)
            state.seconds = time.monotonic() - began
            times = config.dev_times
            if times and (progress() >= (state.evaluated + 1) / times or progress() >= 1.0):
                if self.updater.updates:
                    self.probe.check_used()
                found = evaluate(self.engine, self.source, self.prompt, self.dev, config.max_actions)
                began += found.seconds
                point = point.with_dev(found)
                state.evaluated += 1
                if state.best is None or list(found.rank) >= list(state.best):
                    state.best, state.best_iteration = found.rank, state.iteration
                    self.recorder.save_best(self.lora)
            self.recorder.point(point)
            state.curve.append(asdict(point))
            state.strata, state.updates = self.curriculum.state(), self.updater.updates
            tensors = checkpoint.training_tensors(self.lora, self.updater.optimizer)
            self.recorder.save(state.iteration, asdict(state), tensors)
        if state.best is None:
            if self.updater.updates:
                self.probe.check_used()
            self.recorder.save_best(self.lora)
            state.best_iteration = state.iteration
        self.recorder.finish(
            state.curve,
            step=state.best_iteration,
            tokens=state.tokens,
            seconds=state.seconds,
            iterations=state.iteration,
            updates=self.updater.updates,
        )

    # One iteration

    def _iterate(self, share: float) -> Point:
        config, state = self.config, self.state
        began = time.perf_counter()
        tokens_before = self.engine.counters.tokens
        # The first is to find out where something can be learned: half as many tell.
        count = config.groups if state.iteration > 1 else -(-config.groups // 2)
        drawn = self.curriculum.draw(count, f"{config.seed}/{state.iteration}", self._kinds)
        groups = self._rollouts(drawn)
        rollout_s = time.perf_counter() - began
        trees: list[Tree] = []
        taught = 0
        for (stratum, task), group in zip(drawn, groups, strict=True):
            targets = ALGORITHMS[config.algorithm](group, self.credit)
            taught += bool(targets)
            self._learn_where(stratum, task, group, taught=bool(targets))
            if targets:
                best = max(group.episodes, key=lambda e: outcome(e, self.credit) or 0.0)
                targets = [*targets, *anchors(group, targets, best.sample)]
            trees.extend(prune(group, targets))
        self._alarm(groups, taught)
        state.tokens += self.engine.counters.tokens - tokens_before
        updates = self._update(trees, share)
        point = Point(
            step=state.iteration,
            seconds=state.seconds + time.perf_counter() - began,
            tokens=state.tokens,
            teaching=taught / len(groups),
            rollout_seconds=rollout_s,
            update_seconds=time.perf_counter() - began - rollout_s,
            **updates,
        )
        return self._described(point, drawn, groups)

    def _rollouts(self, drawn: Sequence[tuple[Stratum, int]]) -> list[Group]:
        starts: dict[str, Start] = {}
        tasks = []
        explored: dict[str, float] = {}
        for stratum, number in drawn:
            start = self._start(stratum, number)
            named = start.as_task
            starts[named.id] = start
            tasks.append(named)
            if lost := stratum.standing(self._way(start.task).kind).lost:
                explored[named.id] = min(_HOTTEST, _HOTTER**lost)

        def session(task: Task) -> Session:
            return Midway(self.source.session(task), starts[task.id])

        return run_episodes(
            self.engine,
            tasks,
            session,
            prompt=self.prompt,
            temperature=1.0,
            # Where all agree, and not on success, only the unlikely can help.
            min_p=0.0 if self.state.fruitless else self.config.min_p,
            explored=explored,
            samples_per_task=self.config.samples,
            max_actions=self.config.max_actions,
            seed=self.config.seed * 1_000_003 + self.state.iteration,
            keep_lower=self.engine.body.split > 0,
        )

    def _task_list(self, disturbed: bool, count: int) -> list[Task]:
        """The first ``count`` training tasks, at least; made in growing lots."""
        known = self._tasks[disturbed]
        if len(known) < count:
            size = max(64, 2 * count)
            known = self.source.tasks("train", size, self.config.seed + 1, disturbed=disturbed)
            self._tasks[disturbed] = known
        return known

    def _start(self, stratum: Stratum, number: int) -> Start:
        """Where a task's rollouts begin: the stratum's scene, or the last of a task that has fewer."""
        task = self._task_list(stratum.disturbed, number + 1)[number]
        return Start(task, min(stratum.scene, self._way(task).scenes - 1), stratum.whole)

    def _way(self, task: Task) -> Way:
        if task.id not in self._ways:
            self._ways[task.id] = way(self.source.session(task), task)
        return self._ways[task.id]

    def _kinds(self, disturbed: bool, count: int) -> list[str]:
        return [self._way(task).kind for task in self._task_list(disturbed, count)[:count]]

    def _learn_where(self, stratum: Stratum, number: int, group: Group, *, taught: bool) -> None:
        """Tell the curriculum how a group fared, beside what the program reaches from the same start."""
        start = self._start(stratum, number)
        way_there = self._way(start.task)
        reached = 1.0 if stratum.whole else way_there.reached[start.scene] or 0.0
        values = self._outcomes(group.episodes)
        stratum.seen(
            number,
            way_there.kind,
            taught=taught,
            tokens=group.size,
            behind=reached - fmean(values) if values else 0.0,
            lost=bool(values) and max(values) < reached - _WORSE,
        )

    def _reward(self, done: Sequence[Episode]) -> float | None:
        """Mean return of the episodes that could be judged; None when none could."""
        values = self._outcomes(done)
        return fmean(values) if values else None

    def _outcomes(self, done: Sequence[Episode]) -> list[float]:
        """Returns of the episodes that could be judged."""
        return [value for episode in done if (value := outcome(episode, self.credit)) is not None]

    def _alarm(self, groups: Sequence[Group], taught: int) -> None:
        done = episodes(groups)
        failed = [episode for episode in done if episode.error is not None]
        if len(failed) * 2 > len(done):
            raise WorkError(
                f"{len(failed)} of {len(done)} rollouts failed; the first: {failed[0].error}",
                "The environment is at fault. Look with: fde envgen gate",
            )
        self.state.fruitless = 0 if taught else self.state.fruitless + 1
        reward = self._reward(done)
        if self.state.fruitless >= _PATIENCE and reward is not None and reward < _SOLVED:
            raise WorkError(
                f"All samples of every group fared the same in {_PATIENCE} iterations "
                f"(mean reward {reward:.2f}): there is nothing to learn from.",
                "Start from an adapter that sometimes succeeds: fde train sft, then --start.",
            )

    def _update(self, trees: list[Tree], share: float) -> dict[str, Any]:
        if not trees:
            return {}
        config = self.config
        loss: list[float] = []
        norm: list[float] = []
        kl: list[float] = []
        clipped = decisions = 0
        lr = config.rate * (1.0 - 0.7 * share)
        for epoch in range(config.epochs):
            chance = random.Random(f"{config.seed}/{self.state.iteration}/{epoch}")
            order = trees[:]
            chance.shuffle(order)
            for batch in packs(order, config.batch_tokens):
                if kl and kl[-1] > config.max_kl:
                    break
                # What few decisions say is mostly chance, and AdamW would step as far as for many.
                filled = min(1.0, sum(tree.size for tree in batch) / config.batch_tokens)
                warm = min(1.0, (self.updater.updates + 1) / _WARM)
                done = self.updater.step(batch, lr=lr * warm * filled, clip=self.clip)
                loss.append(done.loss)
                norm.append(done.norm)
                kl.append(done.kl)
                clipped += done.clipped
                decisions += done.decisions
                self.state.tokens += done.tokens
        self.probe.check()
        return {
            "loss": fmean(loss), "norm": fmean(norm), "kl": fmean(kl), "clipped": clipped / decisions
        }  # fmt: skip

    def _described(
        self, point: Point, drawn: Sequence[tuple[Stratum, int]], groups: Sequence[Group]
    ) -> Point:
        from dataclasses import replace

        whole = [g for (stratum, _), g in zip(drawn, groups, strict=True) if stratum.whole]
        known = [e.success for e in episodes(whole) if e.success is not None]
        entropies = [d.entropy for g in groups for s in g.segments for d in s.decisions]
        return replace(
            point,
            success=fmean(known) if known else None,
            reward=self._reward(episodes(groups)),
            entropy=fmean(entropies) if entropies else None,
        )
