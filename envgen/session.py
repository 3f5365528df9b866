"""What a task is, and what every place where it can be done looks like to an agent.

The in-process environment and the live application both implement
:class:`Session`, so that the same agent, prompts and scores serve both.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from ingest.action import Action
from ingest.snapshot import Node

Split = Literal["train", "dev", "test"]


class Task(BaseModel):
    """One instance of a workflow.

    Attributes:
        id: ``<workflow>/<split>/<number>``, with ``+<disturbance>`` when disturbed.
        seed: Determines the instance's data; splits never share parameters.
        parameters: What the instruction names, for instance ``{"p1": "INV-4821"}``.
        disturbances: Names of seeded faults injected into this instance.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    workflow: str
    split: Split
    seed: int
    instruction: str
    parameters: dict[str, str]
    disturbances: tuple[str, ...] = ()


class Score(BaseModel):
    """The verifier's judgement. ``value`` is None when it could not be judged, never 0 for that."""

    model_config = ConfigDict(frozen=True)

    value: float | None
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.value == 1.0


@dataclass(frozen=True, slots=True)
class View:
    """What an agent has before it after a reset or an action.

    Attributes:
        page: The page now, as a tree; what can be acted on is derived from it.
        text: What the agent is told now (see :mod:`envgen.observe`). Empty when
            the action changed nothing but the field it was aimed at.
        fresh: ``text`` stands alone: the agent is on another page and may forget
            what it was told before (see :class:`envgen.observe.Observer`).
        finished: The episode is over (the agent said ``done``, or a limit was hit).
        potential: Share of the milestones reached, 0 to 1; None where unknown
            (the live application). For shaping only, never for judging.
        unforeseen: Something was told by now that nobody could know when the task began (a budget
            that is used up). For crediting choices; False where unknown.
    """

    page: Node
    text: str
    fresh: bool = False
    finished: bool = False
    potential: float | None = None
    unforeseen: bool = False


class Session(Protocol):
    """One place where a task can be done, one episode at a time.

    A slow session may have a ``thread``, see :func:`thread_of`.
    """

    def reset(self, task: Task) -> View:
        """Begin the task in a fresh state. The same task gives the same state."""
        ...

    def step(self, action: Action) -> View:
        """Act. An action that names nothing on the page changes nothing and is answered."""
        ...

    def score(self) -> Score:
        """Judge the state as it is now."""
        ...

    def close(self) -> None:
        """Give back what the session holds (a browser, a database)."""
        ...


def thread_of(session: Session) -> Executor | None:
    """The executor of one thread that all of a session's work is to be done in, where it has one."""
    found: Executor | None = getattr(session, "thread", None)
    return found


class Teacher(Session, Protocol):
    """A session that knows the next right action: the in-process environment."""

    def next_action(self) -> Action | None:
        """The compiled program's action in the current state, None when it is stuck."""
        ...

    def clone(self) -> Teacher:
        """An independent copy of the episode as it is now: acting on one leaves the other alone."""
        ...


def plain(task: Task) -> dict[str, Any]:
    """The task as JSON data."""
    return task.model_dump(mode="json")
