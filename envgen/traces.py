"""Recordings as traces: the sign-in taken off, pages parsed, one entry per action.

Signing in is the environment's set-up, not the agent's work: everything up to the page
that follows the last masked entry is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from fde.errors import InputError
from ingest.action import Action, resolve
from ingest.recording import Effect, RecordedStep, Recording, Snapshot
from ingest.snapshot import Node, parse

_SECRET_LABEL = re.compile(r"pass\s*-?(word|phrase|code)|\bpin\b|one-time|otp", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """A page at one moment. Equal texts share one tree."""

    url: str
    title: str
    node: Node

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Moment:
    """One action: the page it was done on, and the page it led to."""

    before: Page
    action: Action
    after: Page
    effects: tuple[Effect, ...] = ()


@dataclass(slots=True)
class Trace:
    """A recording from its start page on.

    Attributes:
        skipped: Actions that could not be used, with the reason.
    """

    recording: str
    instruction: str
    moments: list[Moment]
    start: Page | None
    skipped: list[str] = field(default_factory=list)
    recorded_at: str | None = None

    def pages(self) -> list[Page]:
        """Every page seen, in order, repeats of the same tree left out."""
        found: list[Page] = []
        for moment in self.moments:
            for page in (moment.before, moment.after):
                if not found or found[-1] != page:
                    found.append(page)
        return found


class Parser:
    """Parses snapshots; the same text gives the same tree object."""

    def __init__(self) -> None:
        self._known: dict[str, Node] = {}

    def page(self, snapshot: Snapshot) -> Page:
        node = self._known.get(snapshot.text)
        if node is None:
            node = parse(snapshot.text)
            self._known[snapshot.text] = node
        return Page(snapshot.url, snapshot.title, node)


def first_step(steps: Sequence[RecordedStep]) -> int:
    """Index of the first step after the sign-in; 0 when nobody signed in."""
    masked = [i for i, step in enumerate(steps) if step.masked or _fills_secret(step.action)]
    if not masked:
        leading = 0
        while leading < len(steps) and steps[leading].action.verb == "goto":
            leading += 1
        return leading
    last = masked[-1]
    for index in range(last + 1, len(steps)):
        step = steps[index]
        if step.action.verb in ("click", "press") and _changes_page(step, steps[index + 1 :]):
            return index + 1
    return last + 1


def _fills_secret(action: Action) -> bool:
    target = action.target
    return action.verb == "fill" and target is not None and bool(_SECRET_LABEL.search(target.name))


def _changes_page(step: RecordedStep, rest: Sequence[RecordedStep]) -> bool:
    after = step.after or (rest[0].before if rest else None)
    return after is not None and step.before is not None and after.text != step.before.text


def trace(recording: Recording, parser: Parser) -> Trace:
    """A recording as a trace. Actions without pages or targets are skipped, and said."""
    steps = [step for step in recording.steps if step.action.verb != "done"]
    begin = first_step(steps)
    moments: list[Moment] = []
    skipped: list[str] = []
    start: Page | None = None
    previous: Page | None = None
    if begin and steps[begin - 1].after is not None:
        previous = _page(parser, steps[begin - 1].after, skipped)
    for index in range(begin, len(steps)):
        step = steps[index]
        before = _page(parser, step.before, skipped) or previous
        following = steps[index + 1].before if index + 1 < len(steps) else None
        # The page just before the next action has settled; the one right after this action may not have.
        after = _page(parser, following, skipped) or _page(parser, step.after, skipped)
        previous = after or previous
        if before is None or after is None:
            skipped.append(f"{step.action.text()}: recorded without its page")
            continue
        if start is None:
            start = before
        target = step.action.target
        if target is not None and resolve(before.node, target) is None:
            skipped.append(f"{step.action.text()}: nothing of that name on the page")
            continue
        moments.append(Moment(before, step.action, after, step.effects))
    return Trace(
        recording.id, recording.instruction, moments, start or previous, skipped, recording.recorded_at
    )


def _page(parser: Parser, snapshot: Snapshot | None, skipped: list[str]) -> Page | None:
    if snapshot is None:
        return None
    try:
        return parser.page(snapshot)
    except InputError as error:
        skipped.append(f"a page could not be read: {error.message}")
        return None
