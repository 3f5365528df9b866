"""Which rollouts to make: the scenes and tasks from which something can be learned.

Only a group whose samples fare differently has a gradient, and it teaches as much as samples
still fall short. Both are counted per stratum (scene of the task, disturbance), and strata are
drawn by what they teach for what they cost. Within a stratum tasks are told apart by their calls: each
choice that the compiled program makes first, each field that it fills in or leaves alone.
Every call is tried early, then more tasks are drawn that have those which samples fail more
often. Of tasks with a call one of the next in the list is taken, whatever comes later in it:
what turns up in the course of one task in four must not turn up in every second that is
practised, or guessing it beforehand pays. Where no sample does what is called for, it was
never tried: such calls are explored. Tasks that taught are soon tried again.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# How fast the estimates follow: the weight of a new observation.
_PACE = 0.5
_FLOOR = 0.02
# A stratum nobody has tried yet is taken to teach this often, at this many tokens.
_PRIOR_TEACHES, _PRIOR_TOKENS = 0.6, 400.0
_KEPT_HARD = 64
# How many samples are taken to fail a call that nobody has tried (all, so that each is soon tried), and at
# least any.
_PRIOR_BEHIND, _LEAST_BEHIND = 1.0, 0.04
_MOSTLY_BEHIND = 0.4
# New tasks are chosen among so many, and among so many of those with a call.
_WINDOW, _CANDIDATES = 160, 12

Calls = Callable[["Stratum", int], Sequence[Sequence[str]]]


@dataclass(slots=True)
class Standing:
    """How samples fare at something that tasks call for, at one scene.

    Attributes:
        behind: Share of samples that failed it.
        lost: How often in a row every sample failed. A group in which one did not takes back one
            only, as long as most do: what was found by exploring is hardly found without.
    """

    behind: float = _PRIOR_BEHIND
    lost: int = 0
    seen: bool = False

    def learn(self, behind: float) -> None:
        self.behind += (_PACE if self.seen else 1.0) * (behind - self.behind)
        if behind >= 1.0:
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
        prior: What its groups taught before the latest draw: it counts as one more group.
        tries, taught: Groups since that draw, and what they taught together.
        tokens: Tokens of a group.
        tried: Numbers of the tasks that were drawn.
        hard: Tasks that taught the last time they were tried.
        calls: By what is called for, how samples fare.
    """

    scene: int
    whole: bool
    disturbed: bool
    prior: float = _PRIOR_TEACHES
    tries: int = 0
    taught: float = 0.0
    tokens: float = _PRIOR_TOKENS
    tried: list[int] = field(default_factory=list)
    hard: list[int] = field(default_factory=list)
    calls: dict[str, Standing] = field(default_factory=dict)

    @property
    def teaches(self) -> float:
        """What a group teaches, from 0 to 1."""
        return (self.taught + self.prior) / (self.tries + 1)

    @property
    def worth(self) -> float:
        # A group costs its tokens and its share of the steps that all groups take together. Squared:
        # where it seldom teaches it is only looked at, to see whether that has changed.
        return (_FLOOR + self.teaches) ** 2 / math.sqrt(self.tokens)

    def standing(self, call: str) -> Standing:
        """How samples fare at a call, as far as it was tried."""
        return self.calls.get(call) or Standing()

    def seen(self, task: int, behind: Mapping[str, float], *, lesson: float, tokens: int) -> None:
        """Learn from one group.

        Args:
            behind: For each of the task's calls, the share of samples that failed it.
            lesson: Share of samples that fell short; 0 when they did not fare differently.
        """
        self.tries += 1
        self.taught += lesson
        self.tokens += _PACE * (tokens - self.tokens)
        if task in self.hard:
            self.hard.remove(task)
        if lesson:
            self.hard = [*self.hard, task][-_KEPT_HARD:]
        for call, share in behind.items():
            self.calls.setdefault(call, Standing()).learn(share)

    def task(
        self, calls: Sequence[Sequence[str]], taken: Counter[str], again: bool, chance: random.Random
    ) -> int:
        """A task to try: rather with a call that samples fail, and that is not taken yet.

        Args:
            calls: Of the list's first tasks, those that were tried among them, what each calls for.
            taken: How often each call was drawn for this scene in the same batch.
            again: Rather one that taught than a new one.
        """
        done = set(self.tried)
        pool = self.hard if again and self.hard else [n for n in range(len(calls)) if n not in done]
        having: dict[str, list[int]] = {}
        for number in pool:
            for call in calls[number]:
                having.setdefault(call, []).append(number)
        names = sorted(having)

        def weight(call: str) -> float:
            return max(_LEAST_BEHIND, self.standing(call).behind) / (1 + taken[call]) ** 2

        candidates = having[chance.choices(names, weights=[weight(name) for name in names])[0]]
        # Of those that have it, rather one with other calls that samples fail, too.
        candidates = candidates if pool is self.hard else candidates[:_CANDIDATES]
        weights = [sum(weight(call) for call in calls[number]) for number in candidates]
        number = chance.choices(candidates, weights=weights)[0]
        taken.update(calls[number])
        return number


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

    def draw(self, count: int, seed: str, calls: Calls) -> list[tuple[Stratum, int]]:
        """``count`` rollouts: their stratum, and the number of the task in its list.

        Args:
            calls: ``calls(stratum, n)``: what each of the stratum's first ``n`` tasks calls for; of each
                at least one thing.
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
            task = stratum.task(calls(stratum, known), of_scene, again, chance)
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
            Stratum(**{**each, "calls": {call: Standing(**how) for call, how in each["calls"].items()}})
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
