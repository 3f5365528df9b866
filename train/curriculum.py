"""Which rollouts to make: the scenes and tasks from which something can be learned.

Only a group whose samples fare differently has a gradient. How often that happens
is counted per stratum (scene of the task, disturbance), and strata are drawn by what
they teach for what they cost. Within a stratum tasks are of kinds (what the compiled
program chooses in them) and kinds of families (what it chooses first): every family is
tried early, then more tasks are drawn of those on which samples stay further behind the
program. Within a family tasks come as they are, but for kinds that are known already:
what turns up in the course of one task in four must not turn up in every second that is
practised, or guessing it beforehand pays. Where no sample comes near the program, what
would be right was never tried: such kinds are explored. Tasks that taught are soon tried
again.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# How fast the estimates follow: the weight of a new observation.
_PACE = 0.5
_FLOOR = 0.02
# A stratum nobody has tried yet is taken to teach this often, at this many tokens.
_PRIOR_TEACHES, _PRIOR_TOKENS = 0.6, 400.0
_KEPT_HARD = 64
# How far samples are taken to stay behind the program on a kind nobody has tried (as far as can be, so
# that each is soon tried), and at least on any.
_PRIOR_BEHIND, _LEAST_BEHIND = 1.0, 0.04
_MOSTLY_BEHIND = 0.4
# New tasks are chosen among so many.
_WINDOW = 160

Kind = tuple[str, str]
"""A task's family and its kind."""
Kinds = Callable[[bool, int], Sequence[Kind]]


@dataclass(slots=True)
class Standing:
    """How samples fare on a kind of task at one scene.

    Attributes:
        behind: How much less than the program they reach.
        lost: How often in a row no sample reached what the program does. One that does takes back one
            only, as long as most do not: what was found by exploring is hardly found without.
    """

    behind: float = _PRIOR_BEHIND
    lost: int = 0
    seen: bool = False

    def learn(self, behind: float, *, lost: bool) -> None:
        self.behind += (_PACE if self.seen else 1.0) * (behind - self.behind)
        if lost:
            self.lost += 1
        elif behind > _MOSTLY_BEHIND:
            self.lost = max(0, self.lost - 1)
        else:
            self.lost = 0
        self.seen = True


@dataclass(slots=True)
class Stratum:
    """A kind of rollout.

    Attributes:
        scene: Where it begins; ``whole``: whether it goes on to the task's end.
        disturbed: Whether its tasks are disturbed.
        prior: Share of its groups that taught before the latest draw: it counts as one more group.
        tries, taught: Groups since that draw, and those of them whose samples fared differently.
        tokens: Tokens of a group.
        tried: Numbers of the tasks that were drawn.
        hard: Tasks that taught the last time they were tried.
        kinds: By kind of task, how samples fare.
    """

    scene: int
    whole: bool
    disturbed: bool
    prior: float = _PRIOR_TEACHES
    tries: int = 0
    taught: int = 0
    tokens: float = _PRIOR_TOKENS
    tried: list[int] = field(default_factory=list)
    hard: list[int] = field(default_factory=list)
    kinds: dict[str, Standing] = field(default_factory=dict)

    @property
    def teaches(self) -> float:
        """Share of its groups from which something can be learned."""
        return (self.taught + self.prior) / (self.tries + 1)

    @property
    def worth(self) -> float:
        # A group costs its tokens and its share of the steps that all groups take together. Squared:
        # where it seldom teaches it is only looked at, to see whether that has changed.
        return (_FLOOR + self.teaches) ** 2 / math.sqrt(self.tokens)

    def standing(self, kind: str) -> Standing:
        """How samples fare on a kind, as far as it was tried."""
        return self.kinds.get(kind) or Standing()

    def seen(self, task: int, kind: str, *, taught: bool, tokens: int, behind: float, lost: bool) -> None:
        """Learn from one group.

        Args:
            behind: How much less than the program its samples reached on average; ``lost`` when
                every one of them reached less.
        """
        self.tries += 1
        self.taught += taught
        self.tokens += _PACE * (tokens - self.tokens)
        if task in self.hard:
            self.hard.remove(task)
        if taught:
            self.hard = [*self.hard, task][-_KEPT_HARD:]
        self.kinds.setdefault(kind, Standing()).learn(behind, lost=lost)

    def task(self, kinds: Sequence[Kind], taken: Counter[str], again: bool, chance: random.Random) -> int:
        """A task to try: rather of a family in which samples stay behind, and that is not taken yet.

        Args:
            kinds: Of the list's first tasks, those that were tried among them.
            taken: How often each family was drawn for this scene in the same batch.
            again: Rather one that taught than a new one.
        """
        behind: dict[str, float] = {}
        for family, kind in set(kinds):
            if kind in self.kinds:
                behind[family] = max(behind.get(family, _LEAST_BEHIND), self.kinds[kind].behind)

        def known(number: int) -> bool:
            """Whether samples do well on this kind, and not yet on another of the family."""
            family, kind = kinds[number]
            return kind in self.kinds and self.kinds[kind].behind <= _LEAST_BEHIND < behind[family]

        choice: dict[str, list[int]] = {}
        if again:
            for number in self.hard:
                if not known(number):
                    choice.setdefault(kinds[number][0], []).append(number)
        if not choice:
            done = set(self.tried)
            new = [number for number in range(len(kinds)) if number not in done]
            for number in [n for n in new if not known(n)] or new:
                choice.setdefault(kinds[number][0], [number])
        names = sorted(choice)
        weights = [behind.get(name, _PRIOR_BEHIND) / (1 + taken[name]) ** 2 for name in names]
        family = chance.choices(names, weights=weights)[0]
        taken[family] += 1
        return chance.choice(choice[family])


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

    def _twins(self) -> list[tuple[Stratum, Stratum]]:
        half = len(self.strata) // 2
        return list(zip(self.strata[:half], self.strata[half:], strict=True))

    def draw(self, count: int, seed: str, kinds: Kinds) -> list[tuple[Stratum, int]]:
        """``count`` rollouts: their stratum, and the number of the task in its list.

        Args:
            kinds: ``kinds(disturbed, n)``: families and kinds of the first ``n`` tasks of that list.
        """
        chance = random.Random(seed)
        for plain, disturbed in self._twins():
            # What is hard on a scene is so whether it is disturbed or not.
            plain.prior, disturbed.prior = plain.teaches, (plain.teaches + disturbed.teaches) / 2
            plain.tries = plain.taught = disturbed.tries = disturbed.taught = 0
        # Shares of disturbed and whole runs are kept exactly over a batch.
        classes = Counter(
            (
                (index * self.disturbed) % 1.0 + self.disturbed >= 1.0,
                ((index + 0.5) * self.whole) % 1.0 + self.whole >= 1.0,
            )
            for index in range(count)
        )
        strata = [
            stratum
            for (disturbed, whole), size in sorted(classes.items())
            for stratum in _systematic(
                [s for s in self.strata if s.disturbed == disturbed and s.whole == whole], size, chance
            )
        ]
        chance.shuffle(strata)
        taken: dict[tuple[int, bool], Counter[str]] = {}
        found: list[tuple[Stratum, int]] = []
        for stratum in strata:
            known = len(stratum.tried) + _WINDOW
            again = chance.random() < self.again
            of_scene = taken.setdefault((stratum.scene, stratum.whole), Counter())
            task = stratum.task(kinds(stratum.disturbed, known), of_scene, again, chance)
            if task in stratum.hard:
                stratum.hard.remove(task)
            else:
                stratum.tried.append(task)
            found.append((stratum, task))
        return found

    def state(self) -> list[dict[str, Any]]:
        return [asdict(stratum) for stratum in self.strata]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        self.strata = [
            Stratum(**{**each, "kinds": {kind: Standing(**how) for kind, how in each["kinds"].items()}})
            for each in state
        ]


def _systematic(strata: Sequence[Stratum], count: int, chance: random.Random) -> list[Stratum]:
    """``count`` draws in proportion to worth, evenly spaced: no stratum is missed by bad luck."""
    total = sum(stratum.worth for stratum in strata)
    at = chance.random()
    found = []
    for index in range(count):
        point = (index + at) / count * total
        for stratum in strata:
            point -= stratum.worth
            if point <= 0:
                break
        found.append(stratum)
    return found
