"""Supervised fine-tuning on demonstrations: the experts' recordings, the compiled program's, or both.

Every scene of every demonstration is a short conversation of its own. Scenes are
visited in proportion to what is still to be learned from them (see
:mod:`train.visits`), so that pages the model already masters cost next to
nothing. The run goes on to the end of its budget; the checkpoint with the best
dev success is the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fde.engagement import Engagement, Run
from fde.errors import InputError
from serve.engine.local import LocalEngine
from serve.prompt import Prompt
from train import checkpoint
from train.alarms import forgetting
from train.algorithms import sft
from train.begin import Beginning
from train.distil import Before, Larger, OnPolicy, Shown, Teacher
from train.evaluation import evaluate
from train.follow import random_scenes
from train.lessons import ByTurns, Demonstrated, Lessons, Together
from train.loss import Divergence
from train.probe import Probe
from train.record import Point, Recorder
from train.rehearse import earlier_sources
from train.retained import Earlier
from train.samples import shown
from train.settings import Demonstrations, SftConfig, check_together, make_config
from train.source import Source, program_demonstrations
from train.stage import train_stage
from train.trained import Trained
from train.tree import Tree, prune
from train.update import Updater
from train.world import STALL_S, joined_world, started_by_torchrun, told_once


@dataclass(slots=True)
class _State:
    """What is resumed beside the tensors."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    evaluated: int = 0
    best: tuple[float, float] | None = None
    best_step: int = 0
    retained: dict[str, list[int]] = field(default_factory=dict)
    retained_before: dict[str, list[int]] = field(default_factory=dict)
    lessons: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)


def train_sft(
    engagement: Engagement,
    *,
    name: str,
    workflow: str,
    demonstrations: Demonstrations = "both",
    count: int = 48,
    start: str | Run | None = None,
    seconds: float | None = None,
    on_point: Callable[[Point], None] = lambda _: None,
    engine: LocalEngine | None = None,
    **settings: Any,
) -> Run:
    """Train on demonstrations; the run of the stage ``sft-<name>``.

    Args:
        name: Names the adapter and the stage.
        workflow: The compiled workflow to learn.
        start: A training run, or a stage (``sft-<name>``) whose latest run it is, to continue from.
        seconds: Wall-clock budget, counted over interruptions.
        on_point: Is told every point of the learning curve as it is made.
        engine: One that is loaded already, to save the loading.
        settings: Further fields of :class:`SftConfig`.

    Raises:
        InputError: unknown settings, missing workflow, model or start.
        WorkError: training failed; what was checkpointed is kept.
    """
    with told_once():
        config = make_config(
            SftConfig, demonstrations=demonstrations, count=count, seconds=seconds, **settings
        )
        check_objective(config)
        if start is None:
            config = replace(config, rehearse=0.0)
        if started_by_torchrun():
            check_together(config)
        with joined_world(STALL_S) as world:
            return train_stage(
                engagement, f"sft-{name}", workflow, config, fit,
                start=start, on_point=on_point, loaded=engine, world=world,
            )  # fmt: skip


def fit(engine: LocalEngine, source: Source, config: SftConfig, recorder: Recorder, begin: Beginning) -> None:
    """Train and leave the best adapter, the curve and the result in the recorder's run."""
    prompt, world = Prompt(engine.tokenizer), recorder.world
    trained = begin.trained(engine, config, divided=world.several)
    if world.several:
        from train.shards import Shards

        Shards(engine, trained, world)
    learned = earlier_sources(recorder.engagement, begin.run, source.name, needed=config.rehearse > 0)
    earlier = Earlier(learned, config, rehearsed=config.rehearse > 0)
    lessons = _lessons(engine, trained, source, config, prompt, learned if earlier.rehearsed else [])
    updater = Updater(engine, trained, world=world)
    begin.take_moments(trained, updater.optimizer)
    with trained.gathered():
        probe = Probe(engine, trained, lessons.probe)
    dev = source.tasks("dev", config.dev_tasks, config.seed)
    state = _State()
    saved = checkpoint.load(recorder.run.path)
    if saved is not None:
        plain, tensors = saved
        state = _State(**plain)
        checkpoint.restore(trained, updater.optimizer, tensors)
        updater.updates = state.step
        lessons.restore(state.lessons, tensors)
    elif learned and config.dev_times:
        with trained.gathered():
            left = earlier.measure(engine, prompt, world)
        state.retained_before = left.counts
        state.curve.append(asdict(Point(step=0, seconds=0.0, tokens=0).with_retained(left)))
    began = time.monotonic() - state.seconds
    updates = config.updates
    if updates is None and not config.seconds:
        updates = max(1, round(config.passes * lessons.tokens / config.batch_tokens))

    def progress() -> float:
        done = state.step / updates if updates else 0.0
        waited = (time.monotonic() - began) / config.seconds if config.seconds else 0.0
        return world.agreed(min(1.0, max(done, waited)))

    while (share := progress()) < 1.0:
        batch, tokens = lessons.batch(state.step)
        state.tokens += tokens
        done = updater.step(batch, lr=config.rate * _schedule(state.step, share), rule=lessons.rule)
        lessons.learned(done.losses)
        state.step += 1
        state.tokens += done.tokens
        state.seconds = time.monotonic() - began
        point = Point(
            state.step, state.seconds, state.tokens, loss=done.loss, norm=done.norm, share=progress()
        )
        due = config.dev_times > 0 and progress() >= (state.evaluated + 1) / config.dev_times
        if due:
            trained.agree(world)
            with trained.gathered():
                if not state.evaluated:
                    probe.check_used()
                probe.check()
                found = evaluate(engine, source, prompt, dev, config.max_actions, world)
                left = earlier.measure(engine, prompt, world)
            began += found.seconds + left.seconds
            point = point.with_dev(found).with_retained(left)
            point = replace(point, alarms=forgetting([*map(Point.of, state.curve), point]))
            state.evaluated += 1
            recorder.samples(state.step, [shown(prompt, group) for group in found.groups[:2]], "dev")
            if state.best is None or list(found.rank) >= list(state.best):
                state.best, state.best_step, state.retained = found.rank, state.step, left.counts
                recorder.save_best(trained)
        recorder.point(point)
        state.curve.append(asdict(point))
        if due:
            state.lessons = lessons.state()
            kept = {**checkpoint.training_tensors(trained, updater.optimizer), **lessons.tensors()}
            recorder.save(state.step, asdict(state), kept)
    if state.best is None:
        with trained.gathered():
            probe.check_used()
            probe.check()
        recorder.save_best(trained)
        state.best_step = state.step
    recorder.save_moments(checkpoint.moments(trained, updater.optimizer))
    recorder.finish(
        state.curve,
        step=state.best_step,
        tokens=state.tokens,
        seconds=state.seconds,
        earlier=earlier.told(state.retained_before, state.retained),
    )


def _lessons(
    engine: LocalEngine,
    trained: Trained,
    source: Source,
    config: SftConfig,
    prompt: Prompt,
    earlier: Sequence[Source],
) -> Lessons:
    """What the settings say to learn from; ``earlier`` is what the start was trained on beside it."""
    lessons: Lessons
    # Of an update's tokens, these are the earlier workflows'.
    beside = replace(
        config, batch_tokens=round(config.batch_tokens * config.rehearse / (1 - config.rehearse))
    )
    if config.objective == "imitation":
        lessons = Demonstrated(trained, demonstration_trees(engine, source, config, prompt), config)
        if config.follow:
            tasks = source.tasks("train", config.count, config.seed)
            followed = Demonstrated(trained, random_scenes(engine, source, prompt, tasks), config)
            lessons = ByTurns(lessons, followed, config.follow)
        if not earlier:
            return lessons
        trees = [tree for each in earlier for tree in demonstration_trees(engine, each, config, prompt)]
        return Together(lessons, Demonstrated(trained, trees, beside))
    teacher: Teacher
    if config.objective == "sdft":
        rule, teacher = Divergence.FORWARD, Shown(engine, trained, prompt, config.ema)
    else:
        larger = LocalEngine.load(config.teacher or "", device=str(engine.body.device))
        rule, teacher = Divergence.REVERSE, Larger(larger, engine)
    lessons = OnPolicy(engine, [source], prompt, config, teacher, rule)
    if not earlier:
        return lessons
    return Together(lessons, OnPolicy(engine, earlier, prompt, beside, Before(engine, trained), rule))


def check_objective(config: SftConfig) -> None:
    """Make sure that the objective's settings go together.

    Raises:
        InputError: when they do not.
    """
    if config.objective != "imitation" and config.demonstrations == "recordings":
        raise InputError(
            f"objective {config.objective}: the model does the scenes itself, which takes an environment; "
            "recordings alone have none.",
            "Use --demonstrations program.",
        )
    if (config.objective == "distil") != (config.teacher is not None):
        raise InputError(
            "The objective distil and the setting teacher go together.",
            "For instance: --set objective=distil --set teacher=MODEL; known models: fde model list",
        )
    if config.objective != "imitation" and started_by_torchrun():
        raise InputError(
            f"objective {config.objective}: it is trained on one device.", "Leave out --devices."
        )
    for name, share in (("follow", config.follow), ("rehearse", config.rehearse)):
        if not 0 <= share < 1:
            raise InputError(f"{name} {share}: not possible.", f"Known: 0 <= {name} < 1.")
    if config.follow and (config.objective != "imitation" or config.demonstrations == "recordings"):
        raise InputError(
            f"follow {config.follow}: what is followed is random work in an environment, by imitation.",
            "Leave out objective, and use --demonstrations program or both.",
        )
    if not 0 < config.ema <= 1 or config.skip < 0:
        raise InputError(
            f"ema {config.ema}, skip {config.skip}: not possible.", "Known: 0 < ema <= 1, skip >= 0."
        )


def demonstration_trees(engine: LocalEngine, source: Source, config: SftConfig, prompt: Prompt) -> list[Tree]:
    """The scenes of the demonstrations, each as a tree of its own."""
    groups = []
    if config.demonstrations in ("recordings", "both"):
        groups += source.recordings(engine.grammar, prompt)
    if config.demonstrations in ("program", "both"):
        tasks = source.tasks("train", config.count, config.seed)
        groups += program_demonstrations(source, engine.grammar, prompt, tasks)
    trees = [tree for group in groups for tree in prune(group, sft.targets(group))]
    if not trees:
        raise InputError(
            f"There are no demonstrations of '{source.name}' to learn from.", "Record some with: fde record"
        )
    return trees


def _schedule(step: int, progress: float) -> float:
    """Factor of the learning rate: up over five updates, then linearly down to a tenth."""
    return min(1.0, (step + 1) / 5) * (1.0 - 0.9 * progress)
