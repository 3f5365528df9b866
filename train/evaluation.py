"""Success on the development split while training: few tasks, greedy, the same every time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from envgen.session import Task
from serve.agent import episodes, run_episodes
from serve.engine.local import LocalEngine
from serve.episodes import Group
from serve.prompt import Prompt
from train.source import Source
from train.workers.shared import exchanged
from train.world import ALONE, World


@dataclass(frozen=True, slots=True)
class Dev:
    """Greedy results on dev tasks.

    Attributes:
        success: Passed share of those that could be judged; None when none could.
        potential: Mean share of milestones reached.
        groups: The episodes themselves, one to a group.
    """

    success: float | None
    judged: int
    potential: float | None
    seconds: float
    tokens: int
    groups: Sequence[Group] = field(default=(), repr=False)

    @property
    def rank(self) -> tuple[float, float]:
        """What a better checkpoint has more of."""
        return (self.success or 0.0, self.potential or 0.0)


def evaluate(
    engine: LocalEngine,
    source: Source,
    prompt: Prompt,
    tasks: Sequence[Task],
    max_actions: int,
    world: World = ALONE,
) -> Dev:
    """Do dev tasks with the adapter as it is now; the processes of a world share them."""
    began = time.perf_counter()
    before = engine.counters.tokens
    mine = tasks[world.rows(len(tasks))]
    groups = (
        run_episodes(engine, mine, source.session, prompt=prompt, max_actions=max_actions) if mine else []
    )
    if world.several:
        groups, _ = exchanged(groups, world)
    done = episodes(groups)
    known = [episode.success for episode in done if episode.success is not None]
    potentials = [episode.potential for episode in done if episode.potential is not None]
    return Dev(
        success=sum(known) / len(known) if known else None,
        judged=len(known),
        potential=sum(potentials) / len(potentials) if potentials else None,
        seconds=world.agreed(time.perf_counter() - began),
        tokens=engine.counters.tokens - before,
        groups=groups,
    )
