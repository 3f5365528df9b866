"""Samples of a group that have chosen the same so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from envgen.session import Session, View
from ingest.snapshot import Node
from serve.episodes import Episode, Group, Segment
from serve.grammar import Cursor
from serve.prompt import Prompt


class Branch:
    """Samples that have chosen the same so far: one row, one session."""

    __slots__ = (
        "actions", "cursor", "episodes", "group", "path", "pending", "prompt", "prompt_tokens", "row",
        "said_tokens", "seconds", "seen", "session", "view",
    )  # fmt: skip

    def __init__(self, group: Group, prompt: Prompt, session: Session, view: View, row: Any) -> None:
        self.group = group
        self.prompt = prompt
        self.session = session
        self.view = view
        self.row = row
        self.episodes: list[Episode] = []
        self.path: list[int] = []
        self.pending: list[int] = []
        self.actions: list[str] = []
        self.cursor: Cursor
        self.seen: Counter[tuple[Node, str]] = Counter()
        self.said_tokens = 0
        self.prompt_tokens = 0
        self.seconds = 0.0

    @property
    def segment(self) -> Segment:
        return self.group.segments[self.path[-1]]

    @property
    def length(self) -> int:
        return self.segment.start + len(self.segment.tokens)

    def open_segment(self, *, fresh: bool) -> None:
        start, parent = (0 if fresh else self.length), (self.path[-1] if self.path else -1)
        self.path.append(len(self.group.segments))
        samples = tuple(episode.sample for episode in self.episodes)
        self.group.segments.append(Segment(parent, start, samples, fresh, lower=[]))

    def append(self, tokens: Sequence[int], *, said: bool) -> None:
        self.segment.tokens.extend(tokens)
        self.pending.extend(tokens)
        if said:
            self.said_tokens += len(tokens)
        else:
            self.prompt_tokens += len(tokens)

    def split(self, episodes: list[Episode], row: Any, session: Session) -> Branch:
        """A twin for some of the episodes, with its own row and session."""
        twin = Branch(self.group, self.prompt, session, self.view, row)
        twin.episodes = episodes
        twin.path = list(self.path)
        twin.actions = list(self.actions)
        twin.cursor = self.cursor.copy()
        twin.seen, twin.seconds = self.seen.copy(), self.seconds
        twin.said_tokens, twin.prompt_tokens = self.said_tokens, self.prompt_tokens
        return twin
