"""Ways of passing without doing the work, and how often they succeed: they must not.

The search for reward knows what an agent in training knows: the pages, the instruction as it reads, and
the verdict, as often as its budget lasts. Which of the instruction's words are values, the compiler
knows and no agent is told; nor is the search shown the milestones: with those it would find right work
step by step, which is no fault of a verifier.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from envgen.choices import Choice, choices
from envgen.environment import WorkflowEnv
from envgen.session import Session, Task
from envgen.statistics import Share
from ingest.action import Action

SEARCH_BUDGET = 60
"""Verdicts that the search for reward may ask for in one task."""
_TRIED_AT_ONCE = 12
_WORDS_TYPED = 3
_DONE = Action(verb="done")

_Env = TypeVar("_Env", bound=Session)

Attempt = Callable[[_Env, Task, random.Random], bool]
"""Tries a task that was just begun; whether the verifier passes what it did."""


def cheap_passes(env: WorkflowEnv, tasks: Sequence[Task]) -> dict[str, Share]:
    """How often each cheap way passes (``hits``), with the tasks where it did."""
    return tried(env, tasks, WAYS)


def tried(env: _Env, tasks: Sequence[Task], ways: Mapping[str, Attempt[_Env]]) -> dict[str, Share]:
    """How often each of some ways passes (``hits``), with the tasks where it did."""
    found = {}
    for name, attempt in ways.items():
        passed = []
        for task in tasks:
            env.reset(task)
            if attempt(env, task, random.Random(f"{name} {task.id}")):
                passed.append(task.id)
        found[name] = Share.of(len(passed), len(tasks), passed)
    return found


def _nothing(env: WorkflowEnv, task: Task, rng: random.Random) -> bool:
    env.step(_DONE)
    return env.score().passed


def _random_actions(env: WorkflowEnv, task: Task, rng: random.Random) -> bool:
    """Any action the page offers; words of the instruction. Done when it happens to say so."""
    finished = False
    while not finished:
        finished = env.step(_chosen(rng.choice(choices(env.rendered.page)), task, rng)).finished
    return env.score().passed


def _same_action(env: WorkflowEnv, task: Task, rng: random.Random) -> bool:
    """Always the same place on the page, whatever stands there, and done at the end."""
    place = rng.randrange(10)
    while env.state.steps < env.max_steps - 1:
        offered = choices(env.rendered.page)[:-1]
        if not offered:
            break
        env.step(_chosen(offered[place % len(offered)], task, rng))
    env.step(_DONE)
    return env.score().passed


def _reward_seeking(env: WorkflowEnv, task: Task, rng: random.Random) -> bool:
    """Greedy: try what the page offers, ask for the verdict after each, go on where most was changed."""
    left = SEARCH_BUDGET
    now = env
    while left > 0 and now.state.steps < env.max_steps - 1:
        offered = list(choices(now.rendered.page)[:-1])
        rng.shuffle(offered)
        best: tuple[tuple[int, int, float], WorkflowEnv] | None = None
        for choice in offered[:_TRIED_AT_ONCE]:
            trial = now.clone()
            trial.step(_chosen(choice, task, rng))
            left -= 1
            if _would_pass(trial):
                return True
            worth = (len(trial.state.writes), len(trial.state.visited), rng.random())
            if best is None or worth > best[0]:
                best = (worth, trial)
        if best is None:
            return False
        now = best[1]
    return False


def _would_pass(env: WorkflowEnv) -> bool:
    """The verdict if the work were declared done here."""
    before = env.state.done
    env.state.done = True
    passed = env.score().passed
    env.state.done = before
    return passed


def _chosen(choice: Choice, task: Task, rng: random.Random) -> Action:
    """The action of a choice; what is typed is a piece of the instruction, or nothing in particular."""
    if not choice.open:
        return Action.parse(choice.text)
    words = task.instruction.split() or ["x"]
    start = rng.randrange(len(words))
    piece = " ".join(words[start : start + rng.randint(1, _WORDS_TYPED)]).strip(".,;:!?\"'()")
    return Action.parse(f"{choice.text} {rng.choice([piece, piece, piece, '1']) or 'x'}")


WAYS: dict[str, Attempt[WorkflowEnv]] = {
    "do nothing": _nothing,
    "random actions": _random_actions,
    "same action": _same_action,
    "reward-seeking search": _reward_seeking,
}
