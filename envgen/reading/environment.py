"""The environment of questions: search, open, cite, answer.

::

    env = ReadingEnv(reading)
    view = env.reset(task)
    while not view.finished:
        view = env.step(env.next_action())
    env.score()

An agent acts on pages as everywhere else: ``fill searchbox "Search": …`` searches, ``click link "…"``
opens a section, ``check checkbox "Cite 3"`` cites its third line. What was cited stays in sight, so a
conversation may begin afresh on every page. :meth:`ReadingEnv.search` and :meth:`ReadingEnv.open` are
the same for agents that call tools.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field, replace

from envgen.disturbances import check_disturbances
from envgen.observe import Observer
from envgen.reading import page
from envgen.reading.corpus import Ref
from envgen.reading.model import Question, Reading
from envgen.reading.verifier import judge, milestones
from envgen.session import Score, Task, View
from fde.errors import InputError
from ingest.action import Action, Target, resolve
from ingest.snapshot import Node

_NOTHING = "Nothing happens."
DISTURBANCES = ("rows",)
"""What can be injected: the lines of sections in another order."""
_CITE = re.compile(r"Cite (\d+)")
_ENTERING = ("fill", "check", "uncheck")
_LEAST_STEPS = 20
_STEPS_A_SOURCE = 10


@dataclass(slots=True)
class _Desk:
    """Where an episode is.

    Attributes:
        open: The section that is open, None at the results.
        query: The last search; None before the first.
    """

    open: int | None = None
    query: str | None = None
    cited: dict[Ref, None] = field(default_factory=dict)
    opened: frozenset[int] = frozenset()
    answer: str = ""
    refused: bool = False
    done: bool = False
    steps: int = 0


class ReadingEnv:
    """Questions over documents; implements :class:`envgen.session.Teacher`.

    Args:
        max_steps: Actions until the episode is ended; by default by the sources the question needs.
    """

    def __init__(self, reading: Reading, *, max_steps: int | None = None) -> None:
        self.reading = reading
        self.corpus = reading.corpus
        self._pages = reading.pages
        self._limit = max_steps
        self._task: Task | None = None
        self._desk = _Desk()
        self._observer = Observer()
        self._page = Node("document")
        self._order: int | None = None

    # The session

    def reset(self, task: Task) -> View:
        """Begin a task. The same task gives the same state."""
        if task.workflow != self.reading.name:
            raise InputError(f"Task {task.id} is of {task.workflow}, not of {self.reading.name}.")
        check_disturbances(task.disturbances, DISTURBANCES)
        question = self.reading.by_id.get(task.parameters.get("question", ""))
        if question is None:
            raise InputError(
                f"Task {task.id} asks a question that {self.reading.name} does not have.",
                "Make tasks of this build.",
            )
        self._task, self._question = task, question
        self._desk, self._observer = _Desk(), Observer()
        self._order = task.seed if "rows" in task.disturbances else None
        self._page = self._shown()
        return self._view(self._observer.first(self._pages.screen(self._page)), fresh=True)

    def step(self, action: Action) -> View:
        """Act. What names nothing on the page changes nothing and is answered."""
        if self._task is None:
            raise InputError("No task has begun.", "Call reset(task) first.")
        if self.done or self.steps >= self.max_steps:
            return self._view("", fresh=False)
        self._desk.steps += 1
        entered: tuple[str, str] | None = None
        message = self._act(action)
        if self.done:
            return self._view("", fresh=False)
        target = action.target
        if not message and target is not None and target.name != page.SEARCH and action.verb in _ENTERING:
            entered = (target.role, target.name)
        self._page = self._shown()
        text = self._observer.next(self._pages.screen(self._page), acted_on=entered, message=message)
        return self._view(text, fresh=self._observer.fresh)

    def score(self) -> Score:
        """Judge the answer and its sources as they are now, see :func:`envgen.reading.verifier.judge`."""
        return self._judged(self.done)

    def would_pass(self) -> bool:
        """Whether the work would pass if it were declared done here."""
        return self._judged(True).passed

    def _judged(self, done: bool) -> Score:
        desk = self._desk
        return judge(
            self.corpus, self.question, answer=desk.answer, refused=desk.refused, cited=desk.cited, done=done
        )

    def close(self) -> None:
        """Nothing is held."""

    def clone(self) -> ReadingEnv:
        """An independent copy of the episode as it is now."""
        other = copy.copy(self)
        other._desk = replace(self._desk, cited=dict(self._desk.cited))
        other._observer = self._observer.clone()
        return other

    # The tools

    def search(self, query: str) -> View:
        """Search the corpus, as ``fill searchbox "Search"`` does."""
        return self.step(_on("fill", "searchbox", page.SEARCH, query))

    def open(self, name: str) -> View:
        """Open a section that was found, as a click on its link does."""
        return self.step(_on("click", "link", name))

    def visit(self, number: int) -> View:
        """Open a section by its number, by way of the parts before it where no search shows it.

        Raises:
            InputError: when nothing leads there.
        """
        start = number
        while start not in self._pages.find(self.corpus.sections[start].name):
            start -= 1
            if not self._pages.follows(start, start + 1):
                raise InputError(f"No search leads to {self.corpus.sections[number].name}.")
        self.search(self.corpus.sections[start].name)
        view = self.open(self.corpus.sections[start].name)
        for _ in range(number - start):
            view = self.step(_on("click", "link", page.NEXT))
        return view

    # Acting

    def _act(self, action: Action) -> str:
        """Carry an action out; what there is to say when it changes nothing."""
        desk, target = self._desk, action.target
        if action.verb == "done":
            desk.done = True
            if action.value and not desk.answer and not desk.refused:
                desk.answer = action.value
            return ""
        if target is None or resolve(self._page, target) is None:
            if target is not None:
                return f'There is no {target.role} "{target.name}" on this page.'
            return _NOTHING
        value = (action.value or "").strip()
        if action.verb == "fill" and target.name == page.SEARCH:
            self._search(value)
        elif action.verb == "fill" and target.name == page.ANSWER:
            desk.answer = value
        elif action.verb == "click" and target.role == "link":
            self._follow(target.name)
        elif target.role == "checkbox" and action.verb in ("check", "uncheck", "click"):
            self._tick(target.name, action.verb)
        else:
            return _NOTHING
        return ""

    def _search(self, query: str) -> None:
        self._desk.query, self._desk.open = query, None

    def _follow(self, name: str) -> None:
        desk = self._desk
        if name == page.RESULTS and desk.open is not None:
            desk.open = None
            return
        if desk.open is not None and name in (page.NEXT, page.BEFORE):
            desk.open += 1 if name == page.NEXT else -1
        else:
            desk.open = self.corpus.by_name[name]
        desk.opened |= {desk.open}

    def _tick(self, name: str, verb: str) -> None:
        desk = self._desk
        if name == page.REFUSE:
            desk.refused = not desk.refused if verb == "click" else verb == "check"
            return
        match = _CITE.fullmatch(name)
        if match and desk.open is not None:
            ref = (desk.open, int(match[1]) - 1)
        else:
            ref = next(r for r in desk.cited if page.cited(self.corpus, r) == name)
        on = ref not in desk.cited if verb == "click" else verb == "check"
        if on:
            desk.cited[ref] = None
        else:
            desk.cited.pop(ref, None)

    def _shown(self) -> Node:
        desk = self._desk
        return self._pages.page(
            open=desk.open,
            query=desk.query,
            chosen=tuple(desk.cited),
            answer=desk.answer,
            refused=desk.refused,
            order=self._order,
        )

    def _view(self, text: str, *, fresh: bool) -> View:
        desk = self._desk
        return View(
            page=self._page,
            text=text,
            fresh=fresh,
            finished=self.done or self.steps >= self.max_steps,
            potential=milestones(
                self.question,
                answer=desk.answer,
                refused=desk.refused,
                cited=desk.cited,
                opened=desk.opened,
                done=desk.done,
            ),
        )

    # The teacher

    def next_action(self) -> Action | None:
        """What leads on from here: take back what is wrong, find what is missing, answer, be done."""
        desk, question = self._desk, self.question
        fine = {ref for group in question.needed for ref in group} | set(question.allowed)
        for ref in desk.cited:
            if ref not in fine:
                here = ref[0] == desk.open
                name = page.cite(ref[1] + 1) if here else page.cited(self.corpus, ref)
                return _on("uncheck", "checkbox", name)
        for group, query in zip(question.needed, question.queries, strict=True):
            if not any(ref in desk.cited for ref in group):
                return self._towards(group, query)
        if not question.answerable:
            if desk.answer:
                return _on("fill", "textbox", page.ANSWER, "")
            if not desk.refused:
                return _on("check", "checkbox", page.REFUSE)
        else:
            if desk.refused:
                return _on("uncheck", "checkbox", page.REFUSE)
            if not question.right(desk.answer):
                return _on("fill", "textbox", page.ANSWER, question.answer)
        return Action(verb="done")

    def _towards(self, group: tuple[Ref, ...], query: str) -> Action:
        """The next action on the way to cite one of some lines."""
        desk = self._desk
        here = next((ref for ref in group if ref[0] == desk.open), None)
        if here is not None:
            return _on("check", "checkbox", page.cite(here[1] + 1))
        if desk.open is None and desk.query is not None:
            wanted = {section for section, _ in group}
            shown = next((section for section in self._pages.find(desk.query) if section in wanted), None)
            if shown is not None:
                return _on("click", "link", self.corpus.sections[shown].name)
        return _on("fill", "searchbox", page.SEARCH, query)

    # What is asked about an episode

    @property
    def question(self) -> Question:
        """The question of the task that has begun."""
        return self._question

    @property
    def done(self) -> bool:
        return self._desk.done

    @property
    def steps(self) -> int:
        return self._desk.steps

    @property
    def max_steps(self) -> int:
        return self._limit or max(_LEAST_STEPS, _STEPS_A_SOURCE * (len(self.question.needed) + 1))

    @property
    def page(self) -> Node:
        """The page as it is now."""
        return self._page


def _on(verb: str, role: str, name: str, value: str | None = None) -> Action:
    return Action.model_validate({"verb": verb, "target": Target(role=role, name=name), "value": value})
