"""Work on MiniWoB++ pages for ``verifier_truth.py``: the experts' work, and changes of it; the page rewards.

A way makes other work of an expert's: right work in another manner, or work with one thing wrong. Whether it
came out right the page says, not the way: some pages take a text in another case.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from benchmarks.truth_pieces import Done, Piece, done
from benchmarks.web_experts import EXPERTS, Look
from benchmarks.web_tasks import begin, pages
from envgen.traces import Moment
from envgen.traces import Page as Shown
from fde.errors import FdeError
from ingest.action import Action, Target
from ingest.browser import launch, new_page
from ingest.page import perform, see, settle
from ingest.snapshot import Node

if TYPE_CHECKING:
    from playwright.sync_api import Page

_ENTRIES = ("fill", "select", "check")
_DETAILS = ("Phone:", "Email:", "Address:")


@dataclass(frozen=True)
class Job:
    """An expert's work on one page, and what a way may look at.

    Attributes:
        acts: What the expert does; those of a form can be asked for ahead of doing them.
    """

    acts: Iterator[Action]
    look: Look
    rng: random.Random

    def form(self) -> tuple[list[Action], Iterator[Action]]:
        """The entries the work begins with, and what follows them."""
        entries: list[Action] = []
        for act in self.acts:
            if act.verb not in _ENTRIES:
                return entries, chain([act], self.acts)
            entries.append(act)
        return entries, iter(())

    def another(self, act: Action) -> Action:
        """The entry with a value that is a little different, or the next best option or radio button."""
        if act.verb == "check":
            assert act.target is not None
            names = [node.name for node in self.look().walk() if node.role == act.target.role]
            name = self.rng.choice(_others(names, act.target.name))
            return act.model_copy(update={"target": Target(role=act.target.role, name=name)})
        if act.verb == "select":
            return _with(act, self.rng.choice(_others(_options(self.look(), act), act.value)))
        return _with(act, _near(act.value or "", self.rng))


Way = Callable[[Job], Iterator[Action]]


def _with(act: Action, value: str) -> Action:
    return act.model_copy(update={"value": value})


def _others(texts: Iterable[str], text: str | None) -> list[str]:
    return [other for other in dict.fromkeys(texts) if other != text]


def _options(page: Node, act: Action) -> list[str]:
    assert act.target is not None
    named = (act.target.role, act.target.name)
    found = next(node for node in page.walk() if (node.role, node.name) == named)
    return [node.name for node in found.walk() if node.role == "option" and node.name]


def _near(text: str, rng: random.Random) -> str:
    """Another text that the field takes: a date, a time of day, or one character changed, lost or added."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return str(date.fromisoformat(text) + timedelta(days=rng.choice((-31, -1, 1, 30, 365))))
    if re.fullmatch(r"\d\d:\d\d", text):
        minutes = (int(text[:2]) * 60 + int(text[3:]) + rng.choice((-60, -1, 1, 12 * 60))) % (24 * 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    at = rng.randrange(len(text))
    letters = "0123456789" if text[at].isdigit() else "abcdefghijklmnopqrstuvwxyz"
    changed = rng.choice([c for c in letters if c != text[at].lower()])
    return rng.choice((text[:at] + changed + text[at + 1 :], text[:at] + text[at + 1 :], text + changed))


def _seen(page: Node) -> list[str]:
    """Texts of the page that somebody could enter in place of the right one."""
    said = [node for node in page.walk() if node.role != "textbox"]
    texts = [text for node in said for text in (node.name, node.value) if text]
    areas = [node.value for node in page.walk() if node.role == "textbox" and node.value]
    return [*texts, *areas, *(word for area in areas for word in area.split())]


# Right work.


def _as_recorded(job: Job) -> Iterator[Action]:
    yield from job.acts


def _another_order(job: Job) -> Iterator[Action]:
    entries, rest = job.form()
    job.rng.shuffle(entries)
    yield from chain(entries, rest)


def _put_right(job: Job) -> Iterator[Action]:
    """One entry is made wrongly, then rightly, at once or after the others."""
    entries, rest = job.form()
    at = job.rng.randrange(len(entries))
    wrong = job.another(entries[at])
    again = [entries[at]] if job.rng.random() < 0.5 else []
    yield from chain(entries[:at], [wrong], again, entries[at + 1 :], [] if again else [entries[at]], rest)


def _a_look_on(job: Job) -> Iterator[Action]:
    """Turns over the first record and back."""
    yield from (Action.parse('click link ">"'), Action.parse('click link "<"'))
    yield from job.acts


# Wrong work.


def _near_miss(job: Job) -> Iterator[Action]:
    entries, rest = job.form()
    at = job.rng.randrange(len(entries))
    entries[at] = job.another(entries[at])
    yield from chain(entries, rest)


def _another_text(job: Job) -> Iterator[Action]:
    """A text of the page that is not the right one."""
    entries, rest = job.form()
    at = job.rng.choice([i for i, entry in enumerate(entries) if entry.verb == "fill"])
    entries[at] = _with(entries[at], job.rng.choice(_others(_seen(job.look()), entries[at].value)))
    yield from chain(entries, rest)


def _another_case(job: Job) -> Iterator[Action]:
    entries, rest = job.form()
    lettered = [i for i, entry in enumerate(entries) if (entry.value or "").swapcase() != (entry.value or "")]
    if not lettered:
        # A text without letters has no other case.
        yield from chain([job.another(entries[0])], entries[1:], rest)
        return
    at = job.rng.choice(lettered)
    entries[at] = _with(entries[at], (entries[at].value or "").swapcase())
    yield from chain(entries, rest)


def _left_out(job: Job) -> Iterator[Action]:
    entries, rest = job.form()
    del entries[job.rng.randrange(len(entries))]
    yield from chain(entries, rest)


def _exchanged(job: Job) -> Iterator[Action]:
    """The values of two fields, each in the other's place."""
    entries, rest = job.form()
    one, two = job.rng.sample(range(len(entries)), 2)
    values = entries[one].value or "", entries[two].value or ""
    entries[one], entries[two] = _with(entries[one], values[1]), _with(entries[two], values[0])
    yield from chain(entries, rest)


def _not_sent(job: Job) -> Iterator[Action]:
    entries, _ = job.form()
    yield from entries


def _sent_empty(job: Job) -> Iterator[Action]:
    _, rest = job.form()
    yield from rest


def _another_button(job: Job) -> Iterator[Action]:
    entries, rest = job.form()
    yield from entries
    act = next(rest)
    assert act.target is not None
    names = [node.name for node in job.look().walk() if node.role == act.target.role]
    name = job.rng.choice(_others(names, act.target.name))
    yield act.model_copy(update={"target": Target(role=act.target.role, name=name)})


def _details(page: Node) -> list[str]:
    """What can be clicked of the person that is shown, in the order of the labels."""
    nodes = list(page.walk())
    return [after.name for node, after in pairwise(nodes) if node.role == "text" and node.value in _DETAILS]


def _another_detail(job: Job) -> Iterator[Action]:
    for act in job.acts:
        if act.target is not None and act.target.role == "clickable":
            name = job.rng.choice(_others(_details(job.look()), act.target.name))
            act = Action(verb="click", target=Target(role="clickable", name=name))
        yield act


def _another_person(job: Job) -> Iterator[Action]:
    """Turned over once too often or too seldom, then the same detail."""
    for act in job.acts:
        if act.target is not None and act.target.role == "clickable":
            at = _details(job.look()).index(act.target.name)
            turns = [n.name for n in job.look().walk() if n.role == "link" and n.name in "<>"]
            yield Action(verb="click", target=Target(role="link", name=job.rng.choice(turns)))
            act = Action(verb="click", target=Target(role="clickable", name=_details(job.look())[at]))
        yield act


def _not_clicked(job: Job) -> Iterator[Action]:
    """Looks on at one person at least, and clicks on nobody's detail."""
    first = next(job.acts)
    if first.target is not None and first.target.role == "clickable":
        yield Action.parse('click link ">"')
        return
    for act in chain([first], job.acts):
        if act.target is None or act.target.role == "clickable":
            return
        yield act


_TYPED: dict[str, Way] = {
    "a near miss": _near_miss, "another text of the page": _another_text, "another case": _another_case,
    "left out": _left_out, "not sent": _not_sent,
}  # fmt: skip
_SEVERAL: dict[str, Way] = {**_TYPED, "two exchanged": _exchanged, "sent empty": _sent_empty}
_FORMATTED: dict[str, Way] = {"a near miss": _near_miss, "left out": _left_out, "not sent": _not_sent}
_CHOSEN: dict[str, Way] = {"another option": _near_miss, "left out": _left_out, "not sent": _not_sent}
_FORM: dict[str, Way] = {"as recorded": _as_recorded, "a value put right": _put_right}
_ORDERED: dict[str, Way] = {**_FORM, "another order": _another_order}

RIGHT: dict[str, dict[str, Way]] = {
    **dict.fromkeys(EXPERTS, _FORM),
    "multi-orderings": _ORDERED,
    "read-table-2": _ORDERED,
    "phone-book": {"as recorded": _as_recorded, "a look at the next": _a_look_on},
}
WRONG: dict[str, dict[str, Way]] = {
    **dict.fromkeys(EXPERTS, _TYPED),
    "enter-date": _FORMATTED,
    "enter-time": _FORMATTED,
    "multi-orderings": _SEVERAL,
    "read-table-2": _SEVERAL,
    "choose-list": _CHOSEN,
    "click-option": _CHOSEN,
    "form-sequence-3": {**_CHOSEN, "another button": _another_button},
    "phone-book": {
        "another detail": _another_detail, "another person": _another_person, "nobody": _not_clicked,
    },
}  # fmt: skip


class Hand:
    """Acts on a page and keeps what was seen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.shown = Shown(page.url, "", settle(page).tree)
        self.moments: list[Moment] = []

    def do(self, act: Action) -> bool:
        """Whether the page has what the action names; what was seen is kept where it has."""
        if not perform(self.page, act):
            return False
        before, self.shown = self.shown, Shown(self.page.url, "", see(self.page).tree)
        self.moments.append(Moment(before, act, self.shown))
        return True


def work(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Done]]:
    """Each piece done, in one browser."""
    with pages() as base, launch() as browser:
        page = new_page(browser)
        for piece in pieces:
            yield piece, _work(piece, page, base)


def _work(piece: Piece, page: Page, base: str) -> Done:
    way = {**RIGHT[piece.workflow], **WRONG[piece.workflow]}[piece.way]
    page.goto(f"{base}{piece.workflow}.html")
    # The recordings' pages have other seeds.
    instruction = begin(page, f"{piece.workflow} truth {piece.seed} {piece.number}")
    hand = Hand(page)
    lines = EXPERTS[piece.workflow](instruction, lambda: hand.shown.node)
    rng = random.Random(f"{piece.seed} {piece.number} {piece.way}")
    try:
        for act in way(Job((Action.parse(line) for line in lines), lambda: hand.shown.node, rng)):
            if not hand.do(act):
                return done(piece, instruction, hand.moments, None, f"Nothing is named so: {act.text()}")
    except FdeError as error:
        return done(piece, instruction, hand.moments, None, error.message)
    reward = page.evaluate("WOB_RAW_REWARD_GLOBAL")
    return done(piece, instruction, hand.moments, reward == 1, f"The page rewards {reward}.")
