"""Settings of training. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from fde.errors import InputError
from serve.engine.engines import By

Demonstrations = Literal["recordings", "program", "both"]
Objective = Literal["imitation", "sdft", "distil"]
Engine = Literal["local", "vllm", "vllm-server", "ray", "ray-vllm"]
Tune = Literal["lora", "qlora", "full"]

# The peak learning rate where none is given. That of all weights is a tenth of an adapter's ("LoRA Without
# Regret", thinkingmachines.ai/blog/lora, 2025).
RATE, FULL_RATE = 2e-3, 2e-4


@dataclass(frozen=True, slots=True)
class SftConfig:
    """Settings of supervised training.

    Attributes:
        count: Demonstrations by the program (for ``program`` and ``both``).
        objective: ``imitation`` makes what was demonstrated likely. The others train on what the model itself
            does (:mod:`train.distil`): ``sdft`` towards the same model that is shown the demonstration,
            ``distil`` towards a larger model.
        follow: Share of the updates of ``imitation`` in which the model learns to do what it is shown,
            whatever that is (:mod:`train.follow`): a start from which ``sdft`` can teach a small model.
        rehearse: Share of an update's tokens that go over the workflows which the start was trained on before
            (:mod:`train.rehearse`), beside ``batch_tokens``; where there are none, nothing is gone over.
        teacher: The larger model, for ``distil``.
        ema: Share by which the teacher of ``sdft`` follows the model after each update. A small model that
            learns without being shown anything unlearns to follow: a teacher that kept up with it would too.
        skip: Tokens at the beginning of each scene's answer that ``sdft`` leaves out.
        tune: What is trained of the layers above the frozen ones: ``lora``, an adapter of ``rank`` and
            ``alpha``; ``qlora``, the same with the base model in four bits; ``full``, all their weights.
        frozen: Share of the model's layers, from below, that stay as they are: what they make of
            the demonstrations is computed once.
        rate: Peak learning rate (for ``full`` a tenth, where :func:`make_config` is given none).
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
    objective: Objective = "imitation"
    follow: float = 0.0
    rehearse: float = 0.25
    teacher: str | None = None
    ema: float = 0.0001
    skip: int = 0
    tune: Tune = "lora"
    rank: int = 16
    alpha: float = 32.0
    frozen: float = 0.5
    rate: float = RATE
    batch_tokens: int = 400
    seconds: float | None = None
    updates: int | None = None
    passes: float = 6.0
    dev_tasks: int = 16
    dev_times: int = 1
    max_actions: int = 30
    seed: int = 0

    @property
    def nf4(self) -> bool:
        """Whether the base model is in four bits."""
        return self.tune == "qlora"


@dataclass(frozen=True, slots=True)
class RlConfig:
    """Settings of reinforcement learning.

    Attributes:
        algorithm: One of :data:`train.algorithms.ALGORITHMS`.
        groups: Groups of an iteration; ``samples`` episodes each.
        min_p: What is less likely than this share of the likeliest choice is not tried: a slip somewhere
            in a long episode hides what the other choices were worth.
        tune: See :class:`SftConfig`.
        rate: Learning rate (see :class:`SftConfig`); ``batch_tokens`` tokens of one update.
        epochs: Times an iteration's trees are gone over; None leaves it to the algorithm.
        trust, partial: See :class:`train.algorithms.returns.Credit`.
        again, disturbed, whole: Shares of groups, see :class:`train.curriculum.Curriculum`.
        clip_low, clip_high: Bounds of the ratio; None leaves them to the algorithm, like the next two.
        reach: Probability that a choice may gain in an iteration beyond the ratio's bound
            (see :class:`train.loss.Clip`).
        hold: How much moving choices that need not change counts, in scenes where others do.
        correct: Compute the trainer's own log-probabilities of the rollouts first, and weigh them by what
            they differ (see :func:`train.loss.correction`): one forward more, for rollouts of another
            engine or an older policy.
        max_kl: An iteration's updates end when they have led this far, in nats a decision, from the policy
            that made its rollouts.
        staleness: Iterations by which the adapter that makes rollouts may be behind the one that is trained:
            with 0 rollouts and updates take turns, with 1 the next rollouts are made meanwhile.
        workers: Processes that make rollouts; None is one for each iteration under way (``staleness + 1``),
            or, with staleness 0 and ``engine`` local, this process.
        engine: What makes rollouts, and where: ``local`` the trainer's own engine, ``vllm`` vLLM in worker
            processes of this machine, ``vllm-server`` a running server; ``ray`` and ``ray-vllm`` the first
            two on the nodes of a Ray cluster.
        stall_s: Seconds in which a worker computes nothing, after which it is ended and replaced.
        seconds: Wall-clock budget of rollouts and updates, evaluation on dev aside.
        iterations: Iterations at most: with these alone the machine's speed does not decide the result.
            Where ``seconds`` is given as well, what ends first ends it; without either there are 12.
        dev_tasks: Tasks of one evaluation; ``dev_times`` evaluations over the run, and one of what it starts
            with: the best is the result. With none of them the last weights are.
        target: Dev success after which the run ends: when the lower bound of its 95% interval reaches it.
        patience: Evaluations in a row without a better one, after which the run ends.
    """

    algorithm: str = "tree"
    groups: int = 20
    samples: int = 6
    min_p: float = 0.05
    rate: float = RATE
    batch_tokens: int = 1000
    epochs: int | None = None
    trust: float = 0.7
    partial: float = 0.5
    again: float = 0.35
    disturbed: float = 0.15
    whole: float = 0.1
    clip_low: float | None = None
    clip_high: float | None = None
    reach: float | None = None
    hold: float | None = None
    correct: bool = False
    max_kl: float = 0.3
    staleness: int = 0
    workers: int | None = None
    engine: Engine = "local"
    stall_s: float = 300.0
    tune: Tune = "lora"
    rank: int = 16
    alpha: float = 32.0
    frozen: float = 0.5
    seconds: float | None = None
    iterations: int | None = None
    dev_tasks: int = 16
    dev_times: int = 1
    target: float | None = None
    patience: int | None = None
    max_actions: int = 24
    seed: int = 0

    @property
    def nf4(self) -> bool:
        """Whether the base model is in four bits."""
        return self.tune == "qlora"

    @property
    def processes(self) -> int:
        """Rollout workers beside this process; 0 when it makes its rollouts itself."""
        if self.workers is not None:
            return self.workers
        return self.staleness + 1 if self.staleness or self.engine != "local" else 0

    @property
    def on_cluster(self) -> bool:
        """Whether workers are on the nodes of a Ray cluster."""
        return self.engine.startswith("ray")

    @property
    def by(self) -> By:
        """What workers compute with."""
        kinds: dict[Engine, By] = {"ray": "local", "ray-vllm": "vllm"}
        return kinds.get(self.engine) or cast(By, self.engine)


def check_together(config: SftConfig | RlConfig) -> None:
    """Make sure that what is to be trained can be divided among devices.

    Raises:
        InputError: when it cannot.
    """
    if config.nf4:
        raise InputError(
            "tune is 'qlora': a base model in four bits is on one device.",
            "Leave out --devices; or divide the model as it is, with --set tune=lora.",
        )


def make_config(kind: type[Any], **settings: Any) -> Any:
    """A config of ``kind``; a setting that is unknown or of another type is an error that says so."""
    known = kind.__dataclass_fields__
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(f"Unknown training setting '{unknown[0]}'.", f"Known are: {', '.join(known)}.")
    if settings.get("tune") == "full":
        settings.setdefault("rate", FULL_RATE)
    try:
        return TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InputError(
            f"Training setting '{wrong['loc'][0]}' is {wrong['input']!r}: {wrong['msg'].lower()}.",
            "docs/train.md lists the settings.",
        ) from error
