"""What a training run leaves: adapter, learning curve and result on disk, its figures in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from fde import config as settings
from fde.artifacts import digest_file, read_json, write_bytes, write_text
from fde.engagement import Engagement, Run
from fde.errors import WorkError
from fde.models import model_digest
from serve.engine.adapter import WEIGHTS_FILE
from serve.engine.local import LocalEngine
from train import checkpoint
from train.evaluation import Dev
from train.retained import Retained
from train.source import Source
from train.trained import Trained
from train.world import ALONE, World

PAGE_FILE = "page.html"
# What MLflow is told of every point.
_TRACKED = (
    "loss", "norm", "dev_success", "retained", "success", "reward", "entropy", "teaching", "kl", "clipped",
    "gap", "masked", "staleness",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a learning curve; what was not measured there is None.

    Attributes:
        seconds: Wall-clock time of training so far (evaluation on dev aside, over interruptions).
        tokens: Tokens computed so far.
        reward, success: Means over this iteration's rollouts; ``judged`` whole tasks the latter is of.
        retained: Success on dev tasks of the workflows that the start had learned before.
        teaching: Share of this iteration's groups in which samples fared differently.
        gap: Mean distance, in nats, of the trainer's log-probabilities from those at sampling time, before
            the first update; ``masked`` is the share of decisions left out because of it.
        staleness: Iterations by which the adapters that made the rollouts were behind, a mean over groups.
        rollout_seconds: In which the iteration waited for its rollouts; ``update_seconds`` are the rest.
        share: How much of the run's budget is used.
        alarms: See :mod:`train.alarms`.
    """

    step: int
    seconds: float
    tokens: int
    loss: float | None = None
    norm: float | None = None
    dev_success: float | None = None
    dev_judged: int | None = None
    dev_potential: float | None = None
    retained: float | None = None
    retained_judged: int | None = None
    success: float | None = None
    reward: float | None = None
    entropy: float | None = None
    teaching: float | None = None
    clipped: float | None = None
    kl: float | None = None
    rollout_seconds: float | None = None
    update_seconds: float | None = None
    judged: int | None = None
    gap: float | None = None
    masked: float | None = None
    staleness: float | None = None
    share: float | None = None
    alarms: tuple[str, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Point:
        """A point from a curve on disk; fields that are not known are passed over."""
        known = {name: value for name, value in plain.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "alarms": tuple(known.get("alarms") or ())})

    def with_dev(self, dev: Dev) -> Point:
        return replace(self, dev_success=dev.success, dev_judged=dev.judged, dev_potential=dev.potential)

    def with_retained(self, found: Retained) -> Point:
        return replace(self, retained=found.success, retained_judged=found.judged or None)


class Recorder:
    """The run of a training stage.

    Args:
        world: The processes that train together: the first of them keeps and tells.
    """

    def __init__(
        self,
        engagement: Engagement,
        stage: str,
        source: Source,
        config: Any,
        *,
        inputs: Mapping[str, str] | None = None,
        on_point: Callable[[Point], None] = lambda _: None,
        world: World = ALONE,
    ) -> None:
        self.world = world
        self.engagement = engagement
        self.base = settings.section(engagement, "model", settings.ModelSettings).base
        self.source = source
        self.config = config
        self.on_point = on_point
        plain = {"base": self.base, "workflow": source.name, **asdict(config)}
        everything = {"model": model_digest(self.base), **source.inputs, **(inputs or {})}
        self.run: Run = engagement.run(stage, inputs=everything, config=plain, seed=config.seed)
        self.task = stage.split("-", 1)[1]

    def engine(self, frozen: float, loaded: LocalEngine | None = None) -> LocalEngine:
        """The base model with its lower layers frozen; the loaded one when it fits."""
        if loaded is not None and loaded.nf4 == self.config.nf4:
            loaded.clear_adapter()
            loaded.body.split = round(frozen * loaded.body.depth)
            return loaded
        engine = LocalEngine.load(self.base, nf4=self.config.nf4)
        engine.body.split = round(frozen * engine.body.depth)
        return engine

    @contextmanager
    def working(self) -> Iterator[None]:
        """Do the run's work; one process at a time, or the processes of one world."""
        with self.engagement.working(self.run) if self.world.first else nullcontext():
            yield

    def point(self, point: Point) -> None:
        if self.world.first:
            self.on_point(point)

    def samples(self, step: int, samples: Sequence[Mapping[str, Any]], kind: str = "rollouts") -> None:
        """Keep some episodes of a step for people to read (see :mod:`train.samples`)."""
        if not self.world.first:
            return
        self.run.write_json(f"samples/{step:05d}-{kind}.json", list(samples))

    def save(self, step: int, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Checkpoint the working state."""
        if not self.world.first:
            return
        with _kept_on_disk():
            checkpoint.save(self.run.path, step, state, tensors)

    @property
    def _adapter(self) -> Path:
        return self.run.path / "adapter"

    def save_best(self, trained: Trained) -> None:
        """Keep the adapter as it is now as the result, until a better one comes."""
        files = trained.files()
        if not self.world.first:
            return
        with _kept_on_disk():
            for name, content in files.items():
                write_bytes(self._adapter / name, content)

    def save_moments(self, content: bytes) -> None:
        """Keep the optimizer's moments, for a run that continues from this one."""
        if not self.world.first:
            return
        write_bytes(self.run.path / checkpoint.MOMENTS_FILE, content)

    def finish(
        self, curve: Sequence[Mapping[str, Any]], *, step: int, tokens: int, seconds: float, **more: Any
    ) -> None:
        """Write curve and result beside the best adapter; log to MLflow; the working state is removed.

        Args:
            step: Of the best adapter; ``tokens`` and ``seconds`` are the whole run's.
            more: Further fields of the result.
        """
        if not self.world.first:
            return
        name = f"{self.task}@{digest_file(self._adapter / WEIGHTS_FILE)}"
        at_best = next((point for point in curve if point["step"] == step), curve[-1] if curve else {})
        result = {
            "adapter": name,
            "step": step,
            "dev_success": at_best.get("dev_success"),
            "dev_n": at_best.get("dev_judged"),
            "tokens": tokens,
            "seconds": round(seconds, 1),
            "base": self.base,
            "workflow": self.source.name,
            "config": asdict(self.config),
            **more,
        }
        self.run.write_json("curve.json", list(curve))
        self.run.write_json("result.json", result)
        self._page(result, curve)
        self._track(result, curve)
        checkpoint.clear(self.run.path)
        self.run.finish(dev_success=result["dev_success"], tokens=tokens, seconds=round(seconds, 1))

    def _page(self, result: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> None:
        from train.report import read_samples, render

        points = [Point.of(point) for point in curve]
        page = render(self.run.stage, result, points, read_samples(self.run.path))
        write_text(self.run.path / PAGE_FILE, page)

    def _track(self, result: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> None:
        from fde.tracking import log_run

        numbers = {key: result[key] for key in ("dev_success", "tokens", "seconds")}
        series = {
            name: [(int(point["step"]), float(point[name])) for point in curve if point.get(name) is not None]
            for name in _TRACKED
        }
        log_run(
            self.engagement,
            f"{self.run.stage} {self.run.id}",
            {**asdict(self.config), "base": self.base, "workflow": self.source.name},
            numbers,
            {name: values for name, values in series.items() if values},
        )


@contextmanager
def _kept_on_disk() -> Iterator[None]:
    """What cannot be written is told as the disk's fault, not the toolkit's."""
    try:
        yield
    except OSError as error:
        raise WorkError(
            f"The run cannot be kept on disk: {error}.",
            "Make room and give the same command again: it goes on at the last checkpoint.",
        ) from error


def read_result(run: Run) -> dict[str, Any]:
    """A finished run's ``result.json``."""
    found: dict[str, Any] = read_json(run.path / "result.json")
    return found
