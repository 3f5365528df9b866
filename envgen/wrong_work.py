"""Wrong work that a verifier must fail: families of mutants of the program's own work."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from envgen.environment import WorkflowEnv
from envgen.mutations import (
    adapted,
    mutated_entry,
    mutated_writes,
    on_another_record,
    overwritten,
    reaching_entries,
    repeated,
    with_extra_write,
)
from envgen.right_work import Paths
from envgen.session import Score, Task
from envgen.state import Write
from envgen.statistics import Share
from ingest.action import Action

_DONE = Action(verb="done")

Mutant = tuple[str, Callable[[WorkflowEnv, Task], Score]]
"""What is wrong with it, and how it is done and judged."""
Family = Callable[[WorkflowEnv, Task, list[Action], random.Random], Iterator[Mutant]]


def caught(env: WorkflowEnv, tasks: Sequence[Task], paths: Paths, family: Family, seed: int) -> Share:
    """How many of a family's mutants the verifier fails."""
    return failed(
        (f"{task.id}: {name}", judged(env, task))
        for task in tasks
        for name, judged in family(env, task, paths[task.id], random.Random(f"{task.id} {seed}"))
    )


def failed(judged: Iterable[tuple[str, Score]]) -> Share:
    """How much wrong work the verifier fails, with some that it does not; unjudged is not failed."""
    killed = total = 0
    survivors: list[str] = []
    for name, score in judged:
        total += 1
        if score.value == 0.0:
            killed += 1
        else:
            survivors.append(name)
    return Share.of(killed, total, survivors)


def doing(path: Sequence[Action]) -> Callable[[WorkflowEnv, Task], Score]:
    """Carry out actions, declare the work done, judge."""

    def judged(env: WorkflowEnv, task: Task) -> Score:
        view = env.reset(task)
        for action in path:
            if view.finished:
                break
            view = env.step(action)
        if not view.finished:
            env.step(_DONE)
        return env.score()

    return judged


def to_do(env: WorkflowEnv, task: Task) -> bool:
    """Whether a task asks for anything: of work on rows there may be none."""
    env.reset(task)
    return bool(env.expected.writes) or env.expected.answer is not None or not env.expected.complete


def _nothing(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    yield "done at once", doing([_DONE])


def _truncated(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    """Every prefix that ends before the last write, declared done."""
    for length in range(1, _last_write(env, task, path) + 1):
        yield f"stopped after {length} actions", doing([*path[:length], _DONE])


def _early_done(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    last = _last_write(env, task, path)
    yield (
        "done before the last submission, which is made afterwards",
        doing([*path[:last], _DONE, *path[last:]]),
    )


def _last_write(env: WorkflowEnv, task: Task, path: list[Action]) -> int:
    """Index of the action that makes the last write."""
    env.reset(task)
    last = 0
    for index, action in enumerate(path):
        before = len(env.state.writes)
        env.step(action)
        if len(env.state.writes) > before:
            last = index
    return last


def _skipped(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    """Each entry that reaches a write, left out."""
    for index in reaching_entries(env, task, path):
        yield f"without {path[index].text()}", doing(_continued(env, task, path, index, None))


def _mutated_values(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    """Each value entered last before a write, replaced by another one the form would take."""
    for index in reaching_entries(env, task, path):
        env.reset(task)
        for action in path[:index]:
            env.step(action)
        for changed in mutated_entry(env, path[index], rng):
            yield (
                f"{changed.text()} instead of {path[index].text()}",
                doing(_continued(env, task, path, index, changed)),
            )


def _continued(
    env: WorkflowEnv, task: Task, path: list[Action], index: int, changed: Action | None
) -> list[Action]:
    """The path with one action changed or left out; later ones that no longer apply get close ones."""
    env.reset(task)
    done: list[Action] = []
    for at, action in enumerate(path):
        step = changed if at == index else adapted(env, action)
        if step is None:
            continue
        done.append(step)
        env.step(step)
    return done


def _mutated_state(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    """The state right work leaves, with one of its changes altered: what no path of ours may reach."""

    def left(writes: tuple[Write, ...]) -> Callable[[WorkflowEnv, Task], Score]:
        def judged(env: WorkflowEnv, task: Task) -> Score:
            env.reset(task)
            env.state.writes, env.state.done = writes, True
            env.state.answer = env.expected.answer
            return env.score()

        return judged

    env.reset(task)
    for name, writes in mutated_writes(env, rng):
        yield name, left(writes)


def _one(name: str, make: Callable[..., list[Action] | None]) -> Family:
    """A family with at most one mutant a task."""

    def family(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
        found = make(env, task, path, rng)
        if found is not None:
            yield name, doing(found)

    return family


FAMILIES: dict[str, Family] = {
    "do nothing": _nothing,
    "truncated": _truncated,
    "early done": _early_done,
    "skipped entry": _skipped,
    "value": _mutated_values,
    "wrong record": _one("the work done on another record", on_another_record),
    "duplicate": _one("the submission made twice", repeated),
    "extra write": _one("another record changed as well", with_extra_write),
    "stale overwrite": _one("the right values overwritten by others", overwritten),
    "state": _mutated_state,
}
