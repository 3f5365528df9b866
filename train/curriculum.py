"""Which rollouts to make: the scenes and tasks from which something can be learned.

Only a group whose samples fare differently has a gradient. How often that happens
is counted per stratum (scene of the task, disturbance), and strata are drawn in
proportion to what they teach for what they cost. Tasks that taught are soon tried again,
and first of all those on which every sample fared worse than the program: what would have
been right was never tried, so they are explored. Other tasks are replaced by new ones.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# How fast the estimates follow: the weight of a new observation.
_PACE = 0.5
_FLOOR = 0.02
# A stratum nobody has tried yet is taken to teach this often, at this many tokens.
_PRIOR_TEACHES, _PRIOR_TOKENS = 0.6, 400.0
_KEPT_HARD = 64


@dataclass(slots=True)
class Stratum:
    """A kind of rollout.

    Attributes:
        scene: Where it begins; ``whole``: whether it goes on to the task's end.
        disturbed: Whether its tasks are disturbed.
        teaches: Share of its groups whose samples fare differently.
        tokens: Tokens of a group.
        next_task: Number of the next task nobody has tried.
        hard: Tasks that taught the last time they were tried.
        lost: Tasks on which every sample fared worse than the program does, and how often in a row.
    """

    scene: int
    whole: bool
    disturbed: bool
    teaches: float = _PRIOR_TEACHES
    tokens: float = _PRIOR_TOKENS
    next_task: int = 0
    hard: list[int] = field(default_factory=list)
    lost: dict[int, int] = field(default_factory=dict)

    @property
    def worth(self) -> float:
        # A group costs its tokens and its share of the steps that all groups take together.
        return (_FLOOR + self.teaches) / math.sqrt(self.tokens)

    def seen(self, task: int, *, taught: bool, tokens: int, lost: bool = False) -> None:
        """Learn from one group; ``lost`` when every sample fared worse than the program does."""
        self.teaches += _PACE * (taught - self.teaches)
        self.tokens += _PACE * (tokens - self.tokens)
        if task in self.hard:
            self.hard.remove(task)
        times = self.lost.pop(task, 0)
        if lost:
            self.lost[task] = times + 1
        elif taught:
            self.hard = [*self.hard, task][-_KEPT_HARD:]


class Curriculum:
    """Strata, and draws from them. Its whole state is plain data.

    Args:
        scenes: Scenes of the program's way through a task.
        again: Share of groups that try a hard task again.
        disturbed: Share of groups on disturbed tasks.
        whole: Share of groups that run the whole task from its beginning.
    """

    def __init__(self, scenes: int, *, again: float, disturbed: float, whole: float) -> None:
        self.again, self.disturbed, self.whole = again, disturbed, whole
        self.strata = [
            Stratum(scene, whole_run, hard)
            for hard in (False, True)
            for scene, whole_run in [(0, True), *((scene, False) for scene in range(scenes))]
        ]

    def draw(self, count: int, seed: str) -> list[tuple[Stratum, int]]:
        """``count`` rollouts: their stratum, and the number of the task in its list."""
        chance = random.Random(seed)
        found: list[tuple[Stratum, int]] = []
        taken: set[tuple[int, int]] = set()
        for index in range(count):
            # Shares are kept exactly over a batch; which of the strata it is, is drawn.
            disturbed = (index * self.disturbed) % 1.0 + self.disturbed >= 1.0
            whole = ((index + 0.5) * self.whole) % 1.0 + self.whole >= 1.0
            fit = [s for s in self.strata if s.disturbed == disturbed and s.whole == whole]
            stratum = chance.choices(fit, weights=[s.worth for s in fit])[0]
            place = self.strata.index(stratum)
            # What is lost comes first: until the right choice is found, nothing is learned there.
            again = [task for task in stratum.lost if (place, task) not in taken]
            again = again or [task for task in stratum.hard if (place, task) not in taken]
            if again and chance.random() < self.again:
                task = chance.choice(again)
            else:
                task = stratum.next_task
                stratum.next_task += 1
            taken.add((place, task))
            found.append((stratum, task))
        return found

    def state(self) -> list[dict[str, Any]]:
        return [{name: getattr(s, name) for name in Stratum.__dataclass_fields__} for s in self.strata]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        self.strata = [
            # JSON has no numbers for keys.
            Stratum(**{**each, "lost": {int(task): times for task, times in each["lost"].items()}})
            for each in state
        ]
