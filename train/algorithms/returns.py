"""Returns: what became of an episode after each of its decisions.

The objective is success. The environment's potential (share of milestones
reached) serves as an estimate of the value of a state, in the manner of
generalised advantage estimation (arXiv 1506.02438, equation 16; with gamma 1 and
reward at the end only): with ``trust`` 1 a decision is judged by the outcome
alone, unbiased; with less, by the milestones soon after it, with less noise
from what was done later. As the potential cancels between siblings, which
share their state, shaping by it does not favour detours (Ng et al. 1999).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fde.errors import WorkError
from serve.episodes import Episode, Group


@dataclass(frozen=True, slots=True)
class Credit:
    """How a decision is judged.

    Attributes:
        trust: Lambda, 0 to 1: 1 judges by the outcome alone, 0 by the next milestone alone.
        partial: Share of the potential in the outcome of an episode that did not succeed:
            with 0 nothing but success counts in the end.
    """

    trust: float = 0.7
    partial: float = 0.5


@dataclass(frozen=True, slots=True)
class Returns:
    """One episode's returns.

    Attributes:
        outcome: At its end.
        marks: ``(segment, offset, value)`` along the path: the return from there on.
    """

    outcome: float
    marks: tuple[tuple[int, int, float], ...]

    def after(self, path: list[int], segment: int, offset: int) -> float:
        """The return of a decision at ``offset`` in ``segment``: that of the first mark behind it."""
        place = (path.index(segment), offset)
        for index, mark, value in self.marks:
            if (path.index(index), mark) > place:
                return value
        return self.outcome


def outcome(episode: Episode, credit: Credit) -> float | None:
    """Success, with a part of the potential where there is none; None when it could not be judged.

    Raises:
        WorkError: when a score or potential is not a finite number.
    """
    potential = episode.potential
    if episode.score is None or episode.score.value is None:
        # A scene on its own is judged by the milestones it reached.
        value = potential if episode.error is None else None
    else:
        value = episode.score.value
        if potential is not None and credit.partial:
            value = max(value, credit.partial * potential)
    if value is not None and not math.isfinite(value):
        raise WorkError(
            f"Task {episode.task.id}, sample {episode.sample}: the reward is {value}, not a number.",
            f"The environment of workflow '{episode.task.workflow}' is at fault. Look with: fde envgen gate",
        )
    return value


def returns(group: Group, credit: Credit) -> list[Returns | None]:
    """Returns of each episode; None for those that could not be judged."""
    found: list[Returns | None] = []
    for episode in group.episodes:
        value = outcome(episode, credit)
        if value is None:
            found.append(None)
            continue
        marks: list[tuple[int, int, float]] = []
        ahead = value
        for index in reversed(episode.path):
            for offset, potential in reversed(group.segments[index].potentials):
                if potential is not None:
                    ahead = (1 - credit.trust) * potential + credit.trust * ahead
                marks.append((index, offset, ahead))
        found.append(Returns(value, tuple(reversed(marks))))
    return found
