"""Supervised fine-tuning on demonstrations: the experts' recordings, the compiled program's, or both.

Every scene of every demonstration is a short conversation of its own. Scenes are
visited in proportion to what is still to be learned from them (see
:mod:`train.visits`), so that pages the model already masters cost next to
nothing. The run goes on to the end of its budget; the checkpoint with the best
dev success is the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from fde.engagement import Engagement, Run
from fde.errors import InputError
from serve.engine.local import LocalEngine
from serve.prompt import Prompt
from train import checkpoint
from train.algorithms import sft
from train.begin import Beginning
from train.evaluation import evaluate
from train.record import Point, Recorder
from train.source import Source, program_demonstrations
from train.tree import Tree, prune
from train.update import Probe, Updater, add_lower
from train.visits import Visits

Demonstrations = Literal["recordings", "program", "both"]


@dataclass(frozen=True, slots=True)
class SftConfig:
    """Settings of supervised training.

    Attributes:
        count: Demonstrations by the program (for ``program`` and ``both``).
        frozen: Share of the model's layers, from below, that stay as they are: what they make of
            the demonstrations is computed once.
        rate: Peak learning rate.
        batch_tokens: Tokens of one update.
        seconds: Wall-clock budget of training, evaluation on dev aside.
        updates: Updates at most: with these alone the machine's speed does not decide the result. Where
            ``seconds`` is given as well, what ends first ends it.
        passes: Without either, updates are as many as visit every scene this often on average.
        dev_tasks: Tasks of one evaluation; ``dev_times`` evaluations over the run. With none of them the
            last weights are the result.
    """

    demonstrations: Demonstrations = "both"
    count: int = 48
    rank: int = 16
    alpha: float = 32.0
    frozen: float = 0.5
    rate: float = 2e-3
    batch_tokens: int = 400
    seconds: float | None = None
    updates: int | None = None
    passes: float = 6.0
    dev_tasks: int = 16
    dev_times: int = 1
    max_actions: int = 30
    seed: int = 0


@dataclass(slots=True)
class _State:
    """What is resumed beside the tensors."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    evaluated: int = 0
    best: tuple[float, float] | None = None
    best_step: int = 0
    visits: dict[str, Any] = field(default_factory=dict)
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
    """Train an adapter on demonstrations; the run of the stage ``sft-<name>``.

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
    from train.workflow import open_source

    config = make_config(SftConfig, demonstrations=demonstrations, count=count, seconds=seconds, **settings)
    source = open_source(engagement, workflow)
    begin = Beginning.of(engagement, start)
    recorder = Recorder(engagement, f"sft-{name}", source, config, inputs=begin.inputs, on_point=on_point)
    if recorder.run.finished:
        engagement.publish(recorder.run)
        return recorder.run
    with engagement.working(recorder.run):
        fit(begin.engine(recorder, config.frozen, engine), source, config, recorder, begin)
    return recorder.run


def make_config(kind: type[Any], **settings: Any) -> Any:
    """A config of ``kind``; a setting that is unknown or of another type is an error that says so."""
    known = kind.__dataclass_fields__
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(f"Unknown training setting '{unknown[0]}'.", f"Known are: {', '.join(known)}.")
    try:
        return TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InputError(
            f"Training setting '{wrong['loc'][0]}' is {wrong['input']!r}: {wrong['msg'].lower()}.",
            "docs/train.md lists the settings.",
        ) from error


def fit(engine: LocalEngine, source: Source, config: SftConfig, recorder: Recorder, begin: Beginning) -> None:
    """Train and leave the best adapter, the curve and the result in the recorder's run."""
    prompt = Prompt(engine.tokenizer)
    trees = demonstration_trees(engine, source, config, prompt)
    lora = begin.lora(engine, rank=config.rank, alpha=config.alpha, seed=config.seed)
    updater = Updater(engine, lora)
    begin.take_moments(lora, updater.optimizer)
    probe = Probe(engine, lora, max(trees, key=lambda tree: len(tree.targets)))
    dev = source.tasks("dev", config.dev_tasks, config.seed)
    state = _State()
    visits = Visits([_kind(engine, tree) for tree in trees], [tree.size for tree in trees])
    saved = checkpoint.load(recorder.run.path)
    if saved is not None:
        plain, tensors = saved
        state = _State(**plain)
        checkpoint.restore(lora, updater.optimizer, tensors)
        updater.updates = state.step
        visits.restore(state.visits)
    began = time.monotonic() - state.seconds
    average = sum(tree.size for tree in trees) / len(trees)
    updates = config.updates
    if updates is None and not config.seconds:
        updates = max(1, round(config.passes * len(trees) * average / config.batch_tokens))

    def progress() -> float:
        done = state.step / updates if updates else 0.0
        waited = (time.monotonic() - began) / config.seconds if config.seconds else 0.0
        return min(1.0, max(done, waited))

    while (share := progress()) < 1.0:
        chosen = visits.choose(config.batch_tokens, f"{config.seed}/sft/{state.step}")
        batch = [trees[index] for index in chosen]
        state.tokens += add_lower(engine, [tree for tree in batch if tree.lower[0] is None])
        done = updater.step(batch, lr=config.rate * _schedule(state.step, share))
        for index, loss in zip(chosen, done.losses, strict=True):
            visits.note(index, loss)
        state.step += 1
        state.tokens += done.tokens
        state.seconds = time.monotonic() - began
        point = Point(state.step, state.seconds, state.tokens, loss=done.loss, norm=done.norm)
        due = config.dev_times > 0 and progress() >= (state.evaluated + 1) / config.dev_times
        if due:
            if not state.evaluated:
                probe.check_used()
            probe.check()
            found = evaluate(engine, source, prompt, dev, config.max_actions)
            began += found.seconds
            point = point.with_dev(found)
            state.evaluated += 1
            if state.best is None or list(found.rank) >= list(state.best):
                state.best, state.best_step = found.rank, state.step
                recorder.save_best(lora)
        recorder.point(point)
        state.curve.append(asdict(point))
        if due:
            state.visits = visits.state()
            recorder.save(state.step, asdict(state), checkpoint.training_tensors(lora, updater.optimizer))
    if state.best is None:
        probe.check_used()
        probe.check()
        recorder.save_best(lora)
        state.best_step = state.step
    recorder.save_moments(checkpoint.moments(lora, updater.optimizer))
    recorder.finish(state.curve, step=state.best_step, tokens=state.tokens, seconds=state.seconds)


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


def _kind(engine: LocalEngine, tree: Tree) -> str:
    """What a scene is about: its page's heading, without the numbers that vary."""
    text: str = engine.tokenizer.decode(tree.tokens[0])
    heading = next((line for line in text.splitlines() if line.startswith("# ")), "")
    return " ".join(word for word in heading.split() if not any(letter.isdigit() for letter in word))
