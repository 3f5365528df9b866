"""What is left of the workflows that a run's start had learned: measured beside the new one, never assumed.

Whatever the training goes over (see :mod:`train.rehearse`), these are done on their dev tasks as well: before
the first update and wherever the new workflow is. The best adapter is chosen by the new workflow alone; what
it costs the others is told (:mod:`train.alarms`, and the run's result).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.engine.local import LocalEngine
from serve.prompt import Prompt
from train.evaluation import evaluate
from train.settings import RlConfig, SftConfig
from train.source import Source
from train.world import ALONE, World

# Passed and judged dev tasks by workflow, as they are kept in checkpoints.
Counts = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Retained:
    """Greedy results on the dev tasks of the earlier workflows.

    Attributes:
        counts: Passed and judged tasks of each.
        seconds: That it took.
    """

    counts: dict[str, list[int]]
    seconds: float

    @property
    def judged(self) -> int:
        return sum(judged for _, judged in self.counts.values())

    @property
    def success(self) -> float | None:
        """Of all that could be judged; None when none could."""
        return sum(passed for passed, _ in self.counts.values()) / self.judged if self.judged else None


class Earlier:
    """The workflows that a start had learned, with what they are measured on.

    Args:
        rehearsed: Whether the training goes over them.
    """

    def __init__(self, sources: Sequence[Source], config: SftConfig | RlConfig, *, rehearsed: bool) -> None:
        self.sources = sources
        self.rehearsed = rehearsed
        self._dev = [source.tasks("dev", config.dev_tasks, config.seed) for source in sources]
        self._max_actions = config.max_actions

    def measure(self, engine: LocalEngine, prompt: Prompt, world: World = ALONE) -> Retained:
        """Do their dev tasks with the adapter as it is now."""
        counts, seconds = {}, 0.0
        for source, tasks in zip(self.sources, self._dev, strict=True):
            found = evaluate(engine, source, prompt, tasks, self._max_actions, world)
            counts[source.name] = [round((found.success or 0.0) * found.judged), found.judged]
            seconds += found.seconds
        return Retained(counts, seconds)

    def told(self, before: Counts, after: Counts) -> list[dict[str, Any]]:
        """For the run's result: each workflow's dev success as the start had it and as the result has it."""
        return [
            {
                "workflow": source.name,
                "rehearsed": self.rehearsed,
                "before": _success(before, source.name),
                "after": _success(after, source.name),
                "dev_n": after[source.name][1] if source.name in after else None,
            }
            for source in self.sources
        ]


def _success(counts: Counts, workflow: str) -> float | None:
    passed, judged = counts.get(workflow, (0, 0))
    return passed / judged if judged else None
