"""An order: rollouts to make, as plain data, whoever makes them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from envgen.session import Session, Task, plain
from serve.agent import run_episodes
from serve.engine.interface import Engine
from serve.episodes import Group
from serve.prompt import Prompt
from train.source import Source
from train.starts import Midway, Start


@dataclass(frozen=True, slots=True)
class Order:
    """Rollouts of one iteration, or a part of them.

    Attributes:
        iteration: Whose rollouts they are.
        starts: Where each group begins.
        explored: Ids of started tasks that are explored, and how (see :func:`serve.agent.run_episodes`).
        min_p: What is less likely than this share of the likeliest choice is not tried.
        samples: Episodes of a group, of ``max_actions`` at most.
        seed: Draws depend on it, the task and the place only: not on who makes them, or with what else.
    """

    iteration: int
    starts: tuple[Start, ...]
    explored: Mapping[str, Mapping[str, float]]
    min_p: float
    samples: int
    max_actions: int
    seed: int

    def parts(self, count: int) -> list[Order]:
        """The order in at most ``count`` parts of about the same size, in order."""
        count = max(1, min(count, len(self.starts)))
        limits = [round(index * len(self.starts) / count) for index in range(count + 1)]
        return [replace(self, starts=self.starts[first:stop]) for first, stop in itertools.pairwise(limits)]

    def plain(self) -> dict[str, Any]:
        """As JSON data; :meth:`of` is the inverse."""
        starts = [
            {"task": plain(start.task), "scene": start.scene, "whole": start.whole} for start in self.starts
        ]
        return {**asdict(replace(self, starts=())), "starts": starts, "explored": dict(self.explored)}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Order:
        starts = tuple(
            Start(Task.model_validate(each["task"]), each["scene"], each["whole"]) for each in told["starts"]
        )
        return cls(**{**told, "starts": starts})


def carry_out(engine: Engine, source: Source, prompt: Prompt, order: Order) -> list[Group]:
    """Run the policy, as the engine has it now, on what was ordered; a group for each start, in order."""
    starts = {start.as_task.id: start for start in order.starts}

    def session(task: Task) -> Session:
        return Midway(source.session(task), starts[task.id])

    tasks: Sequence[Task] = [start.as_task for start in order.starts]
    return run_episodes(
        engine,
        tasks,
        session,
        prompt=prompt,
        temperature=1.0,
        min_p=order.min_p,
        explored=order.explored,
        samples_per_task=order.samples,
        max_actions=order.max_actions,
        seed=order.seed,
        keep_lower=engine.keeps_lower,
    )
