"""Wrong work on rows: one left out, one too many, one in place of another, one done twice."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from envgen.environment import WorkflowEnv
from envgen.session import Task
from envgen.workflow import RowLoop
from envgen.wrong_work import Family, Mutant, doing
from ingest.action import Action

_DONE = Action(verb="done")
_A_TASK = 2
"""Mutants of a family that are made of one task."""
_TRIED = 6


def _loops(env: WorkflowEnv, task: Task) -> Iterator[tuple[RowLoop, list[str], list[str]]]:
    """The loops of a task, with the rows they are about and the others in an order of chance."""
    env.reset(task)
    for plan in env.workflow.plans:
        if plan.loop is not None:
            meant = list(env.context.to_do(plan.page))
            yield plan.loop, meant, [k for k in env.instance.records[plan.loop.entity] if k not in meant]


def _on_rows(env: WorkflowEnv, task: Task, loop: RowLoop, keys: Iterable[str]) -> list[Action] | None:
    """The program's work on other rows than the task's; None where the application has no way to do it."""
    env.reset(task)
    other = env.clone()
    other.retarget(replace(env.instance, chosen={loop.entity: frozenset(keys)}))
    return _to_the_end(other)


def _to_the_end(env: WorkflowEnv) -> list[Action] | None:
    found: list[Action] = []
    while env.state.steps < env.max_steps - 1:
        action = env.next_action()
        if action is None:
            return None
        found.append(action)
        if action.verb == "done":
            return found
        env.step(action)
    return None


def _chosen(rng: random.Random, keys: Sequence[str], most: int) -> list[str]:
    return rng.sample(keys, min(most, len(keys)))


def _skipped(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    for loop, meant, _ in _loops(env, task):
        for key in _chosen(rng, meant, _A_TASK):
            actions = _on_rows(env, task, loop, set(meant) - {key})
            if actions is not None and actions != path:
                yield f"all rows but {key}", doing(actions)


def _extra(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    for loop, meant, others in _loops(env, task):
        made = 0
        for key in _chosen(rng, others, _TRIED):
            actions = _on_rows(env, task, loop, {*meant, key})
            if actions is not None and actions != path and made < _A_TASK:
                made += 1
                yield f"{key} as well", doing(actions)


def _another(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    for loop, meant, others in _loops(env, task):
        for key in _chosen(rng, meant, 1):
            for other in _chosen(rng, others, _TRIED):
                actions = _on_rows(env, task, loop, {*meant, other} - {key})
                if actions is not None and actions != path:
                    yield f"{other} in place of {key}", doing(actions)
                    break


def _twice(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    for loop, meant, _ in _loops(env, task):
        for key in _chosen(rng, meant, 1):
            env.reset(task)
            done = [action for action in path if action.verb != "done"]
            for action in done:
                env.step(action)
            again = env.clone()
            again.retarget(replace(env.instance, chosen={loop.entity: frozenset({key})}))
            again.state.writes = ()
            more = _to_the_end(again)
            if more is not None and again.state.writes:
                yield f"{key} once more", doing([*done, *more])


ROW_FAMILIES: dict[str, Family] = {
    "row skipped": _skipped,
    "extra row": _extra,
    "wrong row": _another,
    "row done twice": _twice,
}
"""Of workflows in which something is done for rows."""
