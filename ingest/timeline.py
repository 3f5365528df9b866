"""What was heard during a recording, put in order: messages and requests become steps.

Everything carries the time at which it happened in the browser (milliseconds
since 1970), because messages, pages and requests reach the recorder by
different ways. Nothing here needs a browser.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

from ingest.action import CHECKABLE_ROLES, SELECTABLE_ROLES, Action, Target, Verb, resolve, target_of
from ingest.effects import Secrets
from ingest.page import node_of
from ingest.recording import Effect, RecordedStep, Snapshot
from ingest.snapshot import Node, render

# A request starts after the event that caused it, but clocks are read in two processes.
CLOCK_SLACK_MS = 5.0


class Look:
    """A page at one moment, as the in-page function tells it.

    A page given as JSON text stays packed: a long recording has thousands, and only
    a few are needed at a time.

    Attributes:
        time: When, in milliseconds since 1970.
        dom: Name of the blob with the page's HTML, or None.
        screenshot: Name of the blob with its picture, or None.
    """

    def __init__(
        self, time: float, page: dict[str, Any] | str, dom: str | None = None, screenshot: str | None = None
    ) -> None:
        self.time = time
        self.dom = dom
        self.screenshot = screenshot
        self._packed = (
            zlib.compress(page.encode("utf-8", "surrogatepass"), 1) if isinstance(page, str) else None
        )
        self._page = page if isinstance(page, dict) else None
        self._tree: Node | None = None
        self._text: str | None = None

    @property
    def page(self) -> dict[str, Any]:
        """``url``, ``title``, ``tree`` (nested lists), ``path``, ``secrets``, ``bare``."""
        if self._page is not None:
            return self._page
        assert self._packed is not None
        page: dict[str, Any] = json.loads(zlib.decompress(self._packed))
        return page

    @page.setter
    def page(self, page: dict[str, Any]) -> None:
        self._page = page
        self.changed()

    @property
    def tree(self) -> Node:
        """The page's tree; kept only where the page is."""
        if self._tree is not None:
            return self._tree
        tree = node_of(self.page["tree"])
        if self._page is not None:
            self._tree = tree
        return tree

    @property
    def text(self) -> str:
        """The page's tree as snapshot text: one string for all steps that show this page."""
        if self._text is None:
            self._text = render(self.tree)
        return self._text

    def at(self, time: float) -> Look:
        """The same page seen at another time."""
        other = Look(time, {}, self.dom, self.screenshot)
        other._packed, other._page, other._tree, other._text = (
            self._packed,
            self._page,
            self._tree,
            self._text,
        )
        return other

    def changed(self) -> None:
        """To be called when ``page["tree"]`` was changed in place."""
        self._tree = self._text = None

    def snapshot(self, secrets: Secrets, *, screenshot: str | None = None) -> Snapshot:
        page = self.page
        return Snapshot(
            url=secrets.mask_url(page["url"]),
            title=page["title"],
            text=self.text,
            dom=self.dom,
            screenshot=screenshot or self.screenshot,
        )

    def marked(self) -> tuple[Node, ...] | None:
        """The path (root first) to the node that the event was aimed at, None when there is none."""
        path = self.page["path"]
        if path is None:
            return None
        nodes = [self.tree]
        for index in path:
            nodes.append(nodes[-1].children[index])
        return tuple(nodes)


HeardVerb = Literal["click", "fill", "select", "check", "uncheck", "press", "goto"]


@dataclass
class Act:
    """Something a person did. ``soft`` is kept only when the page reacted to it.

    ``seen`` is when ``before`` was seen: a field is filled from then until ``time``.
    ``chosen`` holds the names of all options of a select that are chosen now.
    ``named`` is the target as the recording itself names it, for where the page does not tell.
    """

    time: float
    verb: HeardVerb
    before: Look | None = None
    seen: float | None = None
    value: str | None = None
    chosen: tuple[str, ...] = ()
    soft: bool = False
    masked: bool = False
    named: Target | None = None

    @property
    def began(self) -> float:
        """From when on the page as it was before is no longer what the previous step left."""
        return self.time if self.seen is None else min(self.seen, self.time)

    @property
    def causes_from(self) -> float:
        """From when on requests are caused by it: by typing already, by a click not before it is one."""
        return self.began if self.verb == "fill" else self.time


@dataclass
class Request:
    """A request and when it started."""

    time: float
    effect: Effect


@dataclass
class Step:
    """A step in the making."""

    act: Act
    actions: list[Action]
    after: Look | None = None
    effects: list[Effect] = field(default_factory=list)


def steps_of(
    acts: list[Act], looks: list[Look], requests: list[Request], secrets: Secrets
) -> tuple[tuple[RecordedStep, ...], tuple[str, ...]]:
    """The recorded steps, and warnings about what could not be told."""
    warnings: list[str] = []
    acts = sorted(acts, key=lambda act: act.time)
    looks = sorted(looks, key=lambda look: look.time)
    drafts = []
    for act in acts:
        actions, warning = actions_of(act)
        if warning:
            warnings.append(warning)
        drafts.append(Step(act, actions))
    _give_effects(drafts, requests)
    _give_pages(drafts, looks)
    kept = [draft for draft in drafts if draft.actions and (not draft.act.soft or _reacted(draft))]
    start = kept[0].act.time if kept else 0.0
    steps = [step for draft in kept for step in _recorded(draft, looks, start, secrets)]
    return tuple(steps), tuple(dict.fromkeys(warnings))


def actions_of(act: Act) -> tuple[list[Action], str]:
    """The canonical actions of something heard, and a warning when it cannot be told."""
    if act.verb in ("goto", "press"):
        return [Action(verb=act.verb, value=act.value)], ""
    nodes = act.before.marked() if act.before else None
    if act.before is not None and nodes is None and act.named:
        nodes = resolve(act.before.tree, act.named)
    if act.before is None and act.named:
        return [Action(verb=act.verb, target=act.named, value=act.value)], ""
    if act.before is None or nodes is None:
        if act.soft:
            return [], ""
        return [], f"A step was left out: {act.verb} on something that is not on the page's snapshot."
    node = nodes[-1]
    target = target_of(nodes[0], nodes)
    if act.verb == "select":
        if node.role not in SELECTABLE_ROLES:
            return [], f"A step was left out: select on a {node.role}."
        before = {
            option.name
            for option in node.children
            if option.role == "option" and option.state("selected") is not None
        }
        names = [option.name for option in node.children if option.role == "option"]
        several = node.role == "listbox" and (len(before) != 1 or len(act.chosen) != 1)
        changed = set(act.chosen) ^ before if several else set(act.chosen) - before
        ordered = sorted(changed, key=lambda name: names.index(name) if name in names else len(names))
        return [Action(verb="select", target=target, value=name) for name in ordered], ""
    if act.verb == "fill":
        if node.role in SELECTABLE_ROLES and any(child.name == act.value for child in node.children):
            return [Action(verb="select", target=target, value=act.value)], ""
        return [Action(verb="fill", target=target, value=act.value or "")], ""
    verb: Verb = act.verb
    if node.role in CHECKABLE_ROLES and verb == "click":
        verb = "uncheck" if node.state("checked") is not None and node.role != "radio" else "check"
    if verb in ("check", "uncheck") and node.role not in CHECKABLE_ROLES:
        verb = "click"
    return [Action(verb=verb, target=target)], ""


def _give_effects(drafts: list[Step], requests: list[Request]) -> None:
    for request in sorted(requests, key=lambda request: request.time):
        cause = None
        for draft in drafts:
            if draft.act.causes_from <= request.time + CLOCK_SLACK_MS:
                cause = draft
        if cause is None and drafts:
            cause = drafts[0]
        if cause is not None:
            cause.effects.append(request.effect)


def _give_pages(drafts: list[Step], looks: list[Look]) -> None:
    """The page after a step is the last one seen before the next step, which is what the next one met."""
    for draft, following in zip_longest(drafts, drafts[1:]):
        until = following.act.began if following else float("inf")
        between = [look for look in looks if draft.act.time < look.time <= until]
        if between:
            draft.after = between[-1]
        elif following is not None:
            draft.after = following.act.before


def _reacted(draft: Step) -> bool:
    if draft.effects:
        return True
    before, after = draft.act.before, draft.after
    if before is None or after is None:
        return False
    return before.page["url"] != after.page["url"] or before.text != after.text


def _recorded(draft: Step, looks: list[Look], start: float, secrets: Secrets) -> list[RecordedStep]:
    act = draft.act
    shown = [look.screenshot for look in looks if look.time <= act.began and look.screenshot]
    before = act.before.snapshot(secrets, screenshot=shown[-1] if shown else None) if act.before else None
    after = draft.after.snapshot(secrets) if draft.after else None
    steps = []
    for position, action in enumerate(draft.actions):
        last = position == len(draft.actions) - 1
        steps.append(
            RecordedStep(
                before=before,
                action=action,
                after=after if last else before,
                effects=tuple(draft.effects) if last else (),
                time_s=round(max(0.0, act.time - start) / 1000, 2),
                masked=act.masked,
            )
        )
    return steps
