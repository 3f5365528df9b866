"""Which rollouts to make: the scenes and tasks from which something can be learned.

Only a group whose samples fare differently has a gradient. How often that happens
is counted per stratum (scene of the task, disturbance), and strata are drawn in
proportion to what they teach for what they cost. Within a stratum tasks are of kinds
(what the compiled program chooses in them): the further samples stay behind the program
on a kind, the more of its tasks are drawn, and where none of them comes near, what would
be right was never tried: such kinds are explored. Tasks that taught are soon tried again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

# How fast the estimates follow: the weight of a new observation.
_PACE = 0.5
_FLOOR = 0.02
# A stratum nobody has tried yet is taken to teach this often, at this many tokens.
_PRIOR_TEACHES, _PRIOR_TOKENS = 0.6, 400.0
_KEPT_HARD = 64
# How far samples are taken to stay behind the program on a kind nobody has tried, and at least on any.
_PRIOR_BEHIND, _LEAST_BEHIND = 0.4, 0.04
# New tasks are chosen among so many.
_WINDOW = 160

Kinds = Callable[[bool, int], Sequence[str]]


@dataclass(slots=True)
class Stratum:
    """A kind of rollout.

    Attributes:
        scene: Where it begins; ``whole``: whether it goes on to the task's end.
        disturbed: Whether its tasks are disturbed.
        teaches: Share of its groups whose samples fare differently.
        tokens: Tokens of a group.
        tried: Numbers of the tasks that were drawn.
        hard: Tasks that taught the last time they were tried.
        behind: By kind of task, how much less than the program samples reach.
        lost: By kind, how often in a row no sample reached what the program does.
    """

    scene: int
    whole: bool
    disturbed: bool
    teaches: float = _PRIOR_TEACHES
    tokens: float = _PRIOR_TOKENS
    tried: list[int] = field(default_factory=list)
    hard: list[int] = field(default_factory=list)
    behind: dict[str, float] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def worth(self) -> float:
        # A group costs its tokens and its share of the steps that all groups take together.
        return (_FLOOR + self.teaches) / math.sqrt(self.tokens)

    def seen(self, task: int, kind: str, *, taught: bool, tokens: int, behind: float, lost: bool) -> None:
        """Learn from one group.

        Args:
            behind: How much less than the program its samples reached on average; ``lost`` when
                every one of them reached less.
        """
        self.teaches += _PACE * (taught - self.teaches)
        self.tokens += _PACE * (tokens - self.tokens)
        if task in self.hard:
            self.hard.remove(task)
        if taught:
            self.hard = [*self.hard, task][-_KEPT_HARD:]
        before = self.behind.get(kind, behind)
        self.behind[kind] = before + _PACE * (behind - before)
        self.lost[kind] = self.lost.get(kind, 0) + 1 if lost else 0

    def new_task(self, kinds: Sequence[str], chance: random.Random) -> int:
        """A task that was not drawn yet, rather of a kind on which samples stay behind."""
        done = set(self.tried)
        first: dict[str, int] = {}
        for number, kind in enumerate(kinds):
            if number not in done:
                first.setdefault(kind, number)
        names = sorted(first)
        weights = [max(_LEAST_BEHIND, self.behind.get(name, _PRIOR_BEHIND)) for name in names]
        return first[chance.choices(names, weights=weights)[0]]


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

    def draw(self, count: int, seed: str, kinds: Kinds) -> list[tuple[Stratum, int]]:
        """``count`` rollouts: their stratum, and the number of the task in its list.

        Args:
            kinds: ``kinds(disturbed, n)``: kinds of the first ``n`` tasks, at least, of that list.
        """
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
            again = [task for task in stratum.hard if (place, task) not in taken]
            if again and chance.random() < self.again:
                task = chance.choice(again)
            else:
                task = stratum.new_task(kinds(disturbed, len(stratum.tried) + _WINDOW), chance)
                stratum.tried.append(task)
            taken.add((place, task))
            found.append((stratum, task))
        return found

    def state(self) -> list[dict[str, Any]]:
        return [{name: getattr(s, name) for name in Stratum.__dataclass_fields__} for s in self.strata]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        self.strata = [Stratum(**each) for each in state]
