"""The compiled workflow as an environment: resettable, seeded, in process.

::

    env = WorkflowEnv(workflow)
    view = env.reset(task)
    while not view.finished:
        view = env.step(env.next_action())
    env.score()

What the recordings do not show is answered honestly ("not modelled"), changes nothing and
is counted in :attr:`WorkflowEnv.unmodelled`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

from envgen.application import Application, Look, Looks, Pages
from envgen.arranged import Arranged
from envgen.disturbances import check_disturbances
from envgen.generators import Generator, Instance
from envgen.moves import act
from envgen.observe import Observer
from envgen.render import Rendered
from envgen.replies import NOT_MODELLED, field_of
from envgen.session import Score, Task, View
from envgen.state import Facts, State, StateContext
from envgen.teacher import Teacher
from envgen.verifier import Expectation, judge, milestones
from envgen.workflow import Filter, ListView, Workflow, remembered
from fde.errors import InputError
from ingest.action import Action, Target
from ingest.snapshot import Node

_MAX_STEPS_FACTOR = 3
# Instances kept with their right work: tasks are come back to. Looks take more memory.
_INSTANCES_KEPT = 512
_LOOKS_OF_KEPT = 32


@dataclass(slots=True)
class _Prepared:
    """An instance, and the right work in it once that is known."""

    instance: Instance
    expected: Expectation | None = None


class WorkflowEnv:
    """One workflow's environment; implements :class:`envgen.session.Teacher`.

    Args:
        workflow: The compiled workflow.
        max_steps: Actions until the episode is ended; by default three times the longest recording.
    """

    def __init__(self, workflow: Workflow, *, max_steps: int | None = None) -> None:
        self.workflow = workflow
        self.max_steps = max_steps or max(20, _MAX_STEPS_FACTOR * workflow.longest)
        self._facts = Facts(workflow)
        self.generator = Generator(workflow)
        self._pages = Pages(self._facts)
        self._teacher = Teacher(self._facts)
        self._remembered = remembered(workflow)
        self._prepared: OrderedDict[tuple[int, str], _Prepared] = OrderedDict()
        self._looks: OrderedDict[tuple[int, str, frozenset[str]], Looks] = OrderedDict()
        self._task: Task | None = None

    # The session

    def reset(self, task: Task) -> View:
        """Begin a task in its fresh state. The same task gives the same state."""
        if task.workflow != self.workflow.name:
            raise InputError(f"Task {task.id} is of the workflow {task.workflow}, not {self.workflow.name}.")
        check_disturbances(task.disturbances)
        key = (task.seed, task.split)
        prepared = self._prepared.get(key) or _Prepared(self.generator.instance(*key))
        _keep(self._prepared, key, prepared, _INSTANCES_KEPT)
        shown = (*key, frozenset(task.disturbances))
        looks = self._looks.get(shown, {})
        _keep(self._looks, shown, looks, _LOOKS_OF_KEPT)
        return self._begin(task, prepared, looks)

    def begin(self, task: Task, instance: Instance) -> View:
        """Begin a task in a given instance (a recording's own values, for instance)."""
        return self._begin(task, _Prepared(instance), {})

    def _begin(self, task: Task, prepared: _Prepared, looks: Looks) -> View:
        self._task = task
        disturbed = frozenset(task.disturbances)
        if prepared.expected is None:
            prepared.expected = self._expectation(prepared.instance, {} if disturbed else looks)
        self._expected = prepared.expected
        self._application = Application(self._pages, prepared.instance, disturbed, looks)
        self._observer = Observer(self._remembered)
        self._look = self._application.look()
        return self._view(self._observer.first(self._look.screen), fresh=True)

    def _expectation(self, instance: Instance, looks: Looks) -> Expectation:
        """What the program writes in a fresh copy without disturbances."""
        copy = self._shell()
        copy._application = Application(self._pages, instance, frozenset(), looks)
        copy._look = copy._application.look()
        state = copy.state
        for _ in range(self.max_steps):
            action = copy.next_action()
            if action is None:
                break
            act(copy._application, copy._look, action)
            copy._look = copy._application.look()
            if state.done:
                break
        return Expectation(instance, state.writes, state.answer, state.done, state.visited, state.steps)

    def _shell(self) -> WorkflowEnv:
        """An environment of the same workflow that shares everything that never changes."""
        other = WorkflowEnv.__new__(WorkflowEnv)
        for name in ("workflow", "max_steps", "_facts", "generator", "_pages", "_teacher", "_prepared",
                     "_looks", "_task", "_remembered"):  # fmt: skip
            setattr(other, name, getattr(self, name))
        return other

    def step(self, action: Action) -> View:
        """Act. What names nothing on the page changes nothing and is answered."""
        if self._task is None:
            raise InputError("No task has begun.", "Call reset(task) first.")
        if self.state.done or self.state.steps >= self.max_steps:
            return self._view("", fresh=False)
        message = act(self._application, self._look, action)
        self._look = self._application.look()
        text = self._observer.next(self._look.screen, acted_on=field_of(action), message=message)
        return self._view(text, fresh=self._observer.fresh)

    def score(self) -> Score:
        """Judge the changes made so far, see :func:`envgen.verifier.judge`."""
        return judge(self._facts, self._expected, self.state)

    def close(self) -> None:
        """Nothing is held."""

    def _view(self, text: str, *, fresh: bool) -> View:
        state, look = self.state, self._look
        if state.done not in look.potentials:
            look.potentials[state.done] = milestones(self._facts, self._expected, state)
        return View(
            page=look.rendered.page,
            text=text,
            fresh=fresh,
            finished=state.done or state.steps >= self.max_steps,
            potential=look.potentials[state.done],
            unforeseen=state.struck,
        )

    # The teacher

    def next_action(self) -> Action | None:
        """The compiled program's action in the present state, None when it is stuck."""
        if self.state.overlay:
            button = self._application.overlay.shown(self.state.overlay)[2]
            return Action(verb="click", target=Target(role="button", name=button))
        return self._teacher.next_action(self)

    def clone(self) -> WorkflowEnv:
        """An independent copy of the episode as it is now."""
        other = self._shell()
        other._expected, other._look = self._expected, self._look
        other._application = self._application.copy()
        other._observer = self._observer.clone()
        return other

    def retarget(self, instance: Instance) -> None:
        """Make the program work for another instance from here on; what is judged stays."""
        self._application.looks = {}
        self._application.aim(instance)

    @property
    def state(self) -> State:
        return self._application.state

    @property
    def done(self) -> bool:
        """Whether the work was declared done."""
        return self.state.done

    @property
    def steps(self) -> int:
        """Actions of this episode so far."""
        return self.state.steps

    @property
    def page(self) -> Node:
        """The page as it is now."""
        return self._look.rendered.page

    @property
    def unmodelled(self) -> int:
        """Actions of this episode that no recording shows the result of."""
        return self.state.unmodelled

    @property
    def instance(self) -> Instance:
        return self._application.instance

    @property
    def expected(self) -> Expectation:
        """What right work changes in this task."""
        return self._expected

    @property
    def context(self) -> StateContext:
        return self._application.context

    @property
    def look(self) -> Look:
        """The page as it is now, with what is derived from it."""
        return self._look

    @property
    def rendered(self) -> Rendered:
        """The page as it is now, with where everything on it comes from."""
        return self._look.rendered

    def shown_keys(self, page: str, view: ListView) -> list[str]:
        """Keys of the records in the rows of a list that are on the screen."""
        return self._application.shown_keys(page, view)

    def matching(self, page: str, view: ListView) -> list[str]:
        """Keys of the records a list shows as it is arranged now, over all its pages."""
        return self._application.matching(page, view)

    def arranged(self, page: str, view: ListView) -> Arranged:
        """What a list is searched for, how it is filtered and ordered, and the first row shown."""
        return self._application.arranged(page, view)

    def shows(self, page: str, view: ListView, found: Filter, value: str, key: str) -> bool:
        """Whether a list shows a record with a value in one of its filters."""
        return self._application.shows(page, view, found, value, key) == "yes"


_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


def _keep(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """Put something into a store as its latest, and let the oldest go when there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)


__all__ = ["NOT_MODELLED", "WorkflowEnv"]
