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
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from envgen.statistics import wilson
from fde.engagement import Engagement, Run
from fde.errors import InputError, WorkError
from serve.agent import episodes
from serve.demonstrate import demonstrate
from serve.engine.local import LocalEngine
from serve.episodes import Group
from serve.prompt import Prompt
from train import checkpoint
from train.alarms import SOLVED, alarms, fallen
from train.algorithms import Credit, sft
from train.algorithms.choose import algorithm_of, bounds, settled
from train.algorithms.returns import outcome
from train.begin import Beginning
from train.evaluation import Dev, evaluate
from train.probe import Probe
from train.record import Point, Recorder
from train.rehearse import earlier_sources
from train.retained import Earlier, Retained
from train.rollouts import Drawn, Rollouts
from train.samples import shown
from train.settings import RlConfig, check_together, make_config
from train.source import Source
from train.stage import train_stage
from train.tree import Tree, anchors, packs, prune
from train.update import Updater, add_lower, check_as_sampled, note_before
from train.workers.recipe import Recipe
from train.workers.shared import Shared
from train.workers.supply import Supply, open_supply
from train.world import joined_world, started_by_torchrun, told_once

if TYPE_CHECKING:
    from train.workflow import BuiltSource

# Iterations in a row without any group that teaches, before the run is given up.
_PATIENCE = 3
# Updates over which the rate rises: the moments that were taken over are those of another loss.
_WARM = 10
# Where no budget is given.
_ITERATIONS = 12
_START_KEPT = "No checkpoint did better on dev tasks than the start: the result is the start, unchanged."


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
    retained: dict[str, list[int]] = field(default_factory=dict)
    retained_before: dict[str, list[int]] = field(default_factory=dict)
    waited: int = 0
    strata: list[dict[str, Any]] = field(default_factory=list)
    ordered: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)


def train_rl(
    engagement: Engagement,
    *,
    name: str,
    workflow: str,
    start: str | Run | None = None,
    seconds: float | None = None,
    on_point: Callable[[Point], None] = lambda _: None,
    loaded: LocalEngine | None = None,
    **settings: Any,
) -> Run:
    """Train by reinforcement; the run of the stage ``rl-<name>``.

    Args:
        name: Names the adapter and the stage.
        workflow: The compiled workflow to learn.
        start: A training run, or a stage (``sft-<name>``) whose latest run it is, to continue from.
        seconds: Wall-clock budget, counted over interruptions.
        on_point: Is told every point of the learning curve as it is made.
        loaded: An engine that is loaded already, to save the loading.
        settings: Further fields of :class:`RlConfig`.

    Raises:
        InputError: unknown settings, missing workflow, model or start.
        WorkError: training failed; what was checkpointed is kept.
    """
    with told_once():
        config = settled(make_config(RlConfig, seconds=seconds, **settings))
        if started_by_torchrun():
            _check_together(config)
        with joined_world(config.stall_s) as world:
            return train_stage(
                engagement, f"rl-{name}", workflow, config, _with_workers,
                start=start, on_point=on_point, loaded=loaded, world=world,
            )  # fmt: skip


def _with_workers(
    engine: LocalEngine, source: BuiltSource, config: RlConfig, recorder: Recorder, begin: Beginning
) -> None:
    improve(engine, source, config, recorder, begin, source.recipe(recorder.base))


def _check_together(config: RlConfig) -> None:
    """Make sure that the settings are possible on several devices.

    Raises:
        InputError: when they are not.
    """
    check_together(config)
    if config.processes:
        raise InputError(
            "Several devices train, and their processes make the rollouts: no rollout workers beside them.",
            "Leave out --staleness, --workers and --engine; or train on one device, without --devices.",
        )


def improve(
    engine: LocalEngine,
    source: Source,
    config: RlConfig,
    recorder: Recorder,
    begin: Beginning,
    recipe: Recipe | None = None,
) -> None:
    """Train and leave the best adapter, the curve and the result in the recorder's run.

    Args:
        recipe: How rollout workers get the same engine and source, where the settings ask for some.
    """
    loop = _Loop(engine, source, config, recorder, begin)
    world = recorder.world
    if world.several:
        loop.run(Shared(loop.rollouts, world))
        return
    adapters = recorder.engagement.root / ".adapters" / recorder.run.id
    with open_supply(
        loop.rollouts, loop.trained, loop.probe, loop.config, recipe, recorder.task, adapters
    ) as supply:
        loop.run(supply)


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
        config = settled(config)
        self.engine, self.source, self.config, self.recorder = engine, source, config, recorder
        self.world = recorder.world
        self.prompt = Prompt(engine.tokenizer)
        self.trained = begin.trained(engine, config, divided=self.world.several)
        if self.world.several:
            from train.shards import Shards

            Shards(engine, self.trained, self.world)
        self.updater = Updater(engine, self.trained, world=self.world)
        begin.take_moments(self.trained, self.updater.optimizer)
        self.algorithm = algorithm_of(config)
        self.credit = Credit(config.trust, config.partial)
        self.clip = bounds(config)
        self.dev = source.tasks("dev", config.dev_tasks, config.seed)
        learned = earlier_sources(recorder.engagement, begin.run, source.name, needed=False)
        self.earlier = Earlier(learned, config, rehearsed=False)
        self.rollouts = Rollouts(engine, source, self.prompt, config, self.credit)
        self.state = _State()
        task = self.rollouts.first
        group = demonstrate(engine.grammar, self.prompt, source.session(task), task)
        trees = prune(group, sft.targets(group))
        with self.trained.gathered():
            self.probe = Probe(engine, self.trained, max(trees, key=lambda tree: len(tree.targets)))

    def run(self, supply: Supply) -> None:
        state, config = self.state, self.config
        saved = checkpoint.load(self.recorder.run.path)
        if saved is not None:
            plain, tensors = saved
            state = self.state = _State(**plain)
            checkpoint.restore(self.trained, self.updater.optimizer, tensors)
            self.updater.updates = state.updates
            self.rollouts.curriculum.restore(state.strata)
            supply.restore(state.ordered)
        with self.trained.gathered():
            self.probe.check()
        supply.publish(state.iteration)
        if not state.curve and config.dev_times:
            # What it starts with is the first that may be the result: it is not made worse.
            found, left = self._evaluate()
            state.retained_before = left.counts
            self._judge(found, left)
            first = Point(step=0, seconds=0.0, tokens=0).with_dev(found).with_retained(left)
            state.curve.append(asdict(first))
        began = time.monotonic() - state.seconds

        iterations = config.iterations or (None if config.seconds else _ITERATIONS)

        def progress() -> float:
            done = state.iteration / iterations if iterations else 0.0
            waited = (time.monotonic() - began) / config.seconds if config.seconds else 0.0
            return self.world.agreed(min(1.0, max(done, waited)))

        enough = self._enough() if state.iteration else None
        while enough is None and (share := progress()) < 1.0:
            state.iteration += 1
            point, notes = self._iterate(share, supply, iterations)
            self.trained.agree(self.world)
            supply.publish(state.iteration)
            state.seconds = time.monotonic() - began
            times = config.dev_times
            if times and (progress() >= (state.evaluated + 1) / times or progress() >= 1.0):
                if self.updater.updates:
                    self._check_used()
                found, left = self._evaluate()
                began += found.seconds + left.seconds
                point = point.with_dev(found).with_retained(left)
                state.evaluated += 1
                self._judge(found, left)
            point = replace(point, share=progress())
            point = replace(point, alarms=(*alarms([*map(Point.of, state.curve), point]), *notes))
            self.recorder.point(point)
            state.curve.append(asdict(point))
            state.strata, state.updates = self.rollouts.curriculum.state(), self.updater.updates
            state.ordered = supply.state()
            tensors = checkpoint.training_tensors(self.trained, self.updater.optimizer)
            self.recorder.save(state.iteration, asdict(state), tensors)
            enough = self._enough()
        if state.best is None:
            if self.updater.updates:
                self._check_used()
            self.recorder.save_best(self.trained)
            state.best_iteration = state.iteration
        self.recorder.finish(
            state.curve,
            step=state.best_iteration,
            tokens=state.tokens,
            seconds=state.seconds,
            iterations=state.iteration,
            updates=self.updater.updates,
            start_success=self._start_success(),
            stopped=enough or "budget",
            note=_START_KEPT if state.iteration and not state.best_iteration else None,
            earlier=self.earlier.told(state.retained_before, state.retained),
        )

    def _start_success(self) -> float | None:
        """Dev success of what the run started with: its curve begins with it, where it was judged."""
        first = self.state.curve[0] if self.state.curve else {"step": None}
        return first["dev_success"] if first["step"] == 0 else None

    def _check_used(self) -> None:
        with self.trained.gathered():
            self.probe.check_used()

    def _evaluate(self) -> tuple[Dev, Retained]:
        """Success on dev tasks, and on those of the workflows that the start had learned before."""
        with self.trained.gathered():
            found = evaluate(
                self.engine, self.source, self.prompt, self.dev, self.config.max_actions, self.world
            )
            return found, self.earlier.measure(self.engine, self.prompt, self.world)

    def _judge(self, found: Dev, left: Retained) -> None:
        """Keep the adapter when it did best on dev tasks so far."""
        state = self.state
        read = [shown(self.prompt, group) for group in found.groups[:2]]
        self.recorder.samples(state.iteration, read, "dev")
        better = state.best is None or list(found.rank) > list(state.best)
        state.waited = 0 if better else state.waited + 1
        if state.best is None or list(found.rank) >= list(state.best):
            state.best, state.best_iteration, state.retained = found.rank, state.iteration, left.counts
            self.recorder.save_best(self.trained)

    def _enough(self) -> str | None:
        """Why the run ends before its budget: dev success reached its target, rises no more, or fell."""
        config = self.config
        curve = [Point.of(point) for point in self.state.curve]
        point = curve[-1]
        if point.dev_success is None:
            return None
        if config.target is not None:
            judged = point.dev_judged or 0
            interval = wilson(round(point.dev_success * judged), judged)
            if interval is not None and interval[0] >= config.target:
                return "target"
        if config.patience is not None and self.state.waited >= config.patience:
            return "patience"
        return "collapse" if fallen(curve) else None

    # One iteration

    def _iterate(self, share: float, supply: Supply, last: int | None) -> tuple[Point, list[str]]:
        """One iteration; its point of the curve, and what else happened, for people."""
        state = self.state
        began = time.perf_counter()
        tokens_before = self.engine.counters.tokens
        # Where all agree, and not on success, only the unlikely can help.
        with self.trained.gathered():
            batch = supply.batch(state.iteration, all_tried=bool(state.fruitless), last=last)
        drawn, groups = batch.drawn, batch.groups
        check_as_sampled(groups)
        rollout_s = time.perf_counter() - began
        grown: list[list[Tree]] = []
        taught = 0
        for (stratum, task), group, targets in zip(
            drawn, groups, self.algorithm.judge(groups, self.credit), strict=True
        ):
            targets = self.rollouts.credible(stratum, task, group, targets)
            taught += bool(targets)
            self.rollouts.learn_where(stratum, task, group, taught=bool(targets))
            if targets and self.clip.hold:
                best = max(group.episodes, key=lambda e: outcome(e, self.credit) or 0.0)
                targets = [*targets, *anchors(group, targets, best.sample)]
            grown.append(prune(group, targets))
        self._alarm(groups, taught)
        # What the lower layers made of tokens comes with them from engines that keep it.
        bare = [tree for trees in grown for tree in trees if any(lower is None for lower in tree.lower)]
        state.tokens += add_lower(self.engine, bare)
        supply.check(batch.versions, grown)
        state.tokens += self.engine.counters.tokens - tokens_before + batch.tokens
        updates = self._update([tree for trees in grown for tree in trees], share)
        self._keep_samples(drawn, groups)
        point = Point(
            step=state.iteration,
            seconds=state.seconds + time.perf_counter() - began,
            tokens=state.tokens,
            teaching=taught / len(groups),
            rollout_seconds=rollout_s,
            update_seconds=time.perf_counter() - began - rollout_s,
            staleness=state.iteration - 1 - fmean(batch.versions) if batch.versions else None,
            **updates,
        )
        return self._described(point, drawn, groups), batch.notes

    def _alarm(self, groups: Sequence[Group], taught: int) -> None:
        done = episodes(groups)
        failed = [episode for episode in done if episode.error is not None]
        if len(failed) * 2 > len(done):
            raise WorkError(
                f"{len(failed)} of {len(done)} rollouts failed; the first: {failed[0].error}",
                "The environment is at fault. Look with: fde envgen gate",
            )
        self.state.fruitless = 0 if taught else self.state.fruitless + 1
        reward = self.rollouts.reward(done)
        if self.state.fruitless >= _PATIENCE and reward is not None and reward < SOLVED:
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
        gap: float | None = None
        clipped = masked = decisions = 0
        lr = config.rate * (1.0 - 0.7 * share)
        if config.correct:
            with self.trained.gathered():
                self.state.tokens += note_before(self.engine, trees)
        for epoch in range(config.epochs or 1):
            chance = random.Random(f"{config.seed}/{self.state.iteration}/{epoch}")
            order = trees[:]
            chance.shuffle(order)
            for batch in packs(order, config.batch_tokens):
                if kl and kl[-1] > config.max_kl:
                    break
                if not any(target.advantage for tree in batch for _, target in tree.targets):
                    continue
                # What few decisions say is mostly chance, and AdamW would step as far as for many.
                filled = min(1.0, sum(tree.size for tree in batch) / config.batch_tokens)
                warm = min(1.0, (self.updater.updates + 1) / _WARM)
                done = self.updater.step(batch, lr=lr * warm * filled, rule=self.clip)
                if gap is None:
                    # Nothing has changed since the rollouts: the trainer must find what was sampled.
                    gap = done.gap
                    if not config.correct:
                        self.probe.check_gap(gap)
                loss.append(done.loss)
                norm.append(done.norm)
                kl.append(done.kl)
                clipped += done.clipped
                masked += done.masked
                decisions += done.decisions
                self.state.tokens += done.tokens
        with self.trained.gathered():
            self.probe.check()
            if norm and not self.state.updates:
                self.probe.check_used()
        if not decisions:
            return {}
        return {
            "loss": fmean(loss), "norm": fmean(norm), "kl": fmean(kl), "clipped": clipped / decisions,
            "gap": gap, "masked": masked / decisions,
        }  # fmt: skip

    def _described(self, point: Point, drawn: Drawn, groups: Sequence[Group]) -> Point:
        whole = [g for (stratum, _), g in zip(drawn, groups, strict=True) if stratum.whole]
        known = [e.success for e in episodes(whole) if e.success is not None]
        entropies = [d.entropy for g in groups for s in g.segments for d in s.decisions]
        return replace(
            point,
            success=fmean(known) if known else None,
            judged=len(known) or None,
            reward=self.rollouts.reward(episodes(groups)),
            entropy=fmean(entropies) if entropies else None,
        )

    def _keep_samples(self, drawn: Drawn, groups: Sequence[Group]) -> None:
        """Some of the iteration's episodes, whole tasks first, for people to read."""
        pairs = sorted(zip(drawn, groups, strict=True), key=lambda pair: not pair[0][0].whole)
        self.recorder.samples(self.state.iteration, [shown(self.prompt, group) for _, group in pairs[:2]])
