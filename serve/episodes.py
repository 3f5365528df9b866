"""What a run of the agent leaves behind: groups of episodes that share what they have in common.

An episode is a row of short conversations, a *scene* each: on another page the
agent begins afresh, with what it has to know in the first message. The samples
of one task begin alike, so a :class:`Group` is a tree: a :class:`Segment` is a
run of tokens that a set of samples share; where they choose differently, it
ends and each choice begins a child. A segment that opens a scene is ``fresh``:
its tokens have no context but itself and what follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from envgen.session import Score, Task


class Stop(StrEnum):
    """Why an episode ended."""

    DONE = "done"  # the agent said so
    LIMIT = "limit"  # too many actions
    STUCK = "stuck"  # the same action again and again, changing nothing
    LENGTH = "length"  # the conversation no longer fits the model
    ERROR = "error"  # the session failed


@dataclass(slots=True)
class Decision:
    """A token that was chosen among several.

    Attributes:
        offset: Index of the chosen token in its segment.
        allowed: Token ids that were possible; empty for free text (see ``Grammar.free_tokens``).
        chosen: The token taken.
        logprob: Its log-probability among the possible ones when it was taken, at temperature 1.
        entropy: Of that distribution, in nats.
    """

    offset: int
    allowed: tuple[int, ...]
    chosen: int
    logprob: float
    entropy: float


@dataclass(slots=True)
class Segment:
    """A run of tokens that ``samples`` share.

    Attributes:
        parent: Index of the parent in the group's segments; -1 for the first.
        start: Position of the first token in its scene; 0 for a fresh segment.
        fresh: Whether it opens a scene.
        tokens: As fed and as sampled, never tokenised again.
        potentials: ``(offset, potential)``: after that many tokens of this segment an action
            had been taken, and the share of milestones reached was this.
        unforeseen: After so many tokens of this segment the agent had been told something that nobody
            could know before; None when not.
        lower: What the frozen lower layers made of the tokens, ``[n, width]``, when it was
            asked for; it may be shorter than ``tokens`` (the last ones are never computed).
    """

    parent: int
    start: int
    samples: tuple[int, ...]
    fresh: bool = False
    tokens: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    potentials: list[tuple[int, float | None]] = field(default_factory=list)
    unforeseen: int | None = None
    lower: Any = None


@dataclass(slots=True)
class Episode:
    """One sample of one task, from the first page to its end.

    Attributes:
        sample: Its number in the group, from 0.
        path: Indices of the group's segments, first to last.
        actions: The action lines taken.
        score: The verifier's judgement; None when the session failed.
        potential: Share of milestones reached at the end; None where unknown.
        error: What went wrong in the session, for ``Stop.ERROR``.
        prompt_tokens: Tokens of instruction and pages, over all scenes; ``said_tokens`` those of
            the agent's lines.
        seconds: Machine time: its share of the forwards (by tokens), plus its session's time.
    """

    task: Task
    sample: int
    path: list[int] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    score: Score | None = None
    potential: float | None = None
    stop: Stop = Stop.ERROR
    error: str | None = None
    prompt_tokens: int = 0
    said_tokens: int = 0
    seconds: float = 0.0

    @property
    def success(self) -> bool | None:
        """Whether the verifier passed it; None when it could not be judged."""
        if self.score is None or self.score.value is None:
            return None
        return self.score.passed


@dataclass(slots=True)
class Group:
    """The samples of one task.

    Invariants: every sample of a segment is in its parent; siblings have no sample in
    common; the first token of a segment that is not fresh is a decision;
    ``episodes[i].sample == i``.
    """

    task: Task
    segments: list[Segment] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)

    def scenes(self, episode: Episode) -> list[list[int]]:
        """The episode's conversations, as tokens."""
        found: list[list[int]] = []
        for index in episode.path:
            segment = self.segments[index]
            if segment.fresh or not found:
                found.append([])
            found[-1].extend(segment.tokens)
        return found

    def decisions(self, episode: Episode) -> list[Decision]:
        """Everything the episode chose, in order."""
        return [choice for index in episode.path for choice in self.segments[index].decisions]

    def told_by(self, index: int, offset: int) -> bool:
        """Whether something unforeseen had been told before token ``offset`` of a segment."""
        told = self.segments[index].unforeseen
        if told is not None and told <= offset:
            return True
        while (index := self.segments[index].parent) >= 0:
            if self.segments[index].unforeseen is not None:
                return True
        return False

    @property
    def size(self) -> int:
        """Distinct tokens."""
        return sum(len(segment.tokens) for segment in self.segments)

    def children(self) -> list[list[int]]:
        """For every segment, the indices of its children."""
        found: list[list[int]] = [[] for _ in self.segments]
        for index, segment in enumerate(self.segments):
            if segment.parent >= 0:
                found[segment.parent].append(index)
        return found
