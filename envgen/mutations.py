"""Wrong work made from right work: changed values, other records, repeated and extra submissions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from envgen.arranged import in_order
from envgen.draws import near
from envgen.environment import WorkflowEnv
from envgen.expressions import Foremost, evaluate
from envgen.session import Task
from envgen.state import Write, of_row
from ingest.action import Action, Target

_DONE = Action(verb="done")
_OTHERS_TRIED = 8
_ENTRIES = ("fill", "select", "check", "uncheck")


def reaching_entries(env: WorkflowEnv, task: Task, path: Sequence[Action]) -> list[int]:
    """Indices of the entries whose value reaches a write: the last into each field before it."""
    env.reset(task)
    latest: dict[str, int] = {}
    found: list[int] = []
    sent = {c for write in env.workflow.writes for c in write.controls} - set(env.workflow.free_fields)
    for index, action in enumerate(path):
        before = len(env.state.writes)
        env.step(action)
        if action.verb in _ENTRIES and of_row(env.state.last_control)[0] in sent:
            latest[env.state.last_control] = index
        if len(env.state.writes) > before:
            found += latest.values()
            latest = {}
    return sorted(found)


def mutated_entry(env: WorkflowEnv, action: Action, rng: random.Random) -> Iterator[Action]:
    """Other values for an entry, in the state just before it: a near one, another option or case, none."""
    if action.target is None:
        return
    if action.verb == "check":
        yield Action(verb="uncheck", target=action.target)
    elif action.verb == "uncheck":
        yield Action(verb="check", target=action.target)
    elif action.verb == "fill":
        value = action.value or ""
        yield action.model_copy(update={"value": near(rng, value) if value else "1"})
        if value:
            yield action.model_copy(update={"value": ""})
        if value.swapcase() != value and not takes_either_case(env, action):
            yield action.model_copy(update={"value": value.swapcase()})
    else:
        others = [option for option in options(env, action.target) if option != action.value]
        if others:
            yield action.model_copy(update={"value": rng.choice(others)})


def takes_either_case(env: WorkflowEnv, action: Action) -> bool:
    """Whether upper and lower case are the same in the field an action fills."""
    probe = env.clone()
    probe.step(action)
    return of_row(probe.state.last_control)[0] in env.workflow.caseless


def options(env: WorkflowEnv, target: Target) -> tuple[str, ...]:
    """What a select on the present page offers."""
    for node in env.rendered.page.walk():
        if node.role == target.role and node.name == target.name:
            return tuple(option.name for option in node.walk() if option.role == "option")
    return ()


def adapted(env: WorkflowEnv, action: Action) -> Action | None:
    """The action as far as it applies to the present page: an option that is gone is replaced by another."""
    if action.target is None:
        return action
    if action.verb == "select":
        offered = options(env, action.target)
        if action.value not in offered:
            return action.model_copy(update={"value": offered[0]}) if offered else None
    return action


def _worked_on(env: WorkflowEnv) -> tuple[str, str, Foremost | None] | None:
    """Entity and key of the record that the work is about, if it is about one, and the rule that names it."""
    for root, entity in env.instance.roots.items():
        return entity, env.instance.parameters[root], None
    for plan in env.workflow.plans:
        if isinstance(plan.key, Foremost) and (key := evaluate(plan.key, env.context)) is not None:
            return plan.key.entity, key, plan.key
    return None


def _aimed_at(env: WorkflowEnv, key: str) -> WorkflowEnv:
    """A copy of the episode whose program works on another record, as if nothing was written yet."""
    instance = env.instance
    root = next(iter(instance.roots), None)
    about = _worked_on(env)
    assert about is not None
    if root is not None:
        aimed = replace(instance, parameters={**instance.parameters, root: key})
    else:
        # For the rule it is the only one, and says what the right one says.
        entity, right, _ = about
        aimed = replace(
            instance, records={**instance.records, entity: {key: instance.records[entity][right]}}
        )
    other = env.clone()
    other.retarget(aimed)
    other.state.writes = ()
    return other


def _others(env: WorkflowEnv, rng: random.Random) -> list[str]:
    about = _worked_on(env)
    if about is None:
        return []
    entity, right, rule = about
    keys = [key for key in env.state.records[entity] if key != right]
    rng.shuffle(keys)
    if rule is not None:
        # Those beside it in the order, which a hurried reader takes for the first.
        order = in_order([right, *keys], env.instance.records[entity], rule.field, rule.by, rule.direction)
        keys.sort(key=lambda key: abs(order.index(key) - order.index(right)))
    return keys[:_OTHERS_TRIED]


def _until_write(env: WorkflowEnv) -> list[Action] | None:
    """The program's actions from here until a write is made; None when it gets stuck."""
    found: list[Action] = []
    for _ in range(env.max_steps):
        action = env.next_action()
        if action is None or action.verb == "done":
            return None
        found.append(action)
        env.step(action)
        if env.state.writes:
            return found
        if env.state.steps >= env.max_steps:
            return None
    return None


def on_another_record(
    env: WorkflowEnv, task: Task, path: Sequence[Action], rng: random.Random
) -> list[Action] | None:
    """The whole work, done on another record than the task's."""
    env.reset(task)
    for key in _others(env, rng):
        actions = _until_write(_aimed_at(env, key))
        if actions is not None:
            return [*actions, _DONE]
    return None


def _after(env: WorkflowEnv, task: Task, path: Sequence[Action]) -> list[Action]:
    """Begin the task and do the right work up to, not including, ``done``."""
    env.reset(task)
    done = [action for action in path if action.verb != "done"]
    for action in done:
        env.step(action)
    return done


def repeated(env: WorkflowEnv, task: Task, path: Sequence[Action], rng: random.Random) -> list[Action] | None:
    """The right work, and the same submission once more; None where the application prevents it."""
    done = _after(env, task, path)
    about = _worked_on(env)
    if about is None:
        return None
    again = _until_write(_aimed_at(env, about[1]))
    return None if again is None else [*done, *again, _DONE]


def with_extra_write(
    env: WorkflowEnv, task: Task, path: Sequence[Action], rng: random.Random
) -> list[Action] | None:
    """The right work, and the same kind of work on a record nobody asked about."""
    done = _after(env, task, path)
    for key in _others(env, rng):
        more = _until_write(_aimed_at(env, key))
        if more is not None:
            return [*done, *more, _DONE]
    return None


def _reaches(env: WorkflowEnv, action: Action) -> bool:
    """Whether an entry is into a field that is sent."""
    probe = env.clone()
    probe.step(action)
    return any(of_row(probe.state.last_control)[0] in write.controls for write in env.workflow.writes)


def overwritten(
    env: WorkflowEnv, task: Task, path: Sequence[Action], rng: random.Random
) -> list[Action] | None:
    """The right work, then the record's form sent again with one value changed."""
    done = _after(env, task, path)
    about = _worked_on(env)
    if about is None:
        return None
    other = _aimed_at(env, about[1])
    for _ in range(env.max_steps):
        action = other.next_action()
        if action is None or action.verb == "done" or other.state.writes:
            return None
        if action.verb in ("fill", "select") and _reaches(other, action):
            break
        done.append(action)
        other.step(action)
    else:
        return None
    # From here the program would put the wrong value right, so its steps are carried out blindly.
    rest = _until_write(other.clone())
    mutant = next(mutated_entry(other, action, rng), None)
    if rest is None or mutant is None:
        return None
    for step in (mutant, *rest[1:]):
        fitting = adapted(other, step)
        if fitting is not None:
            done.append(fitting)
            other.step(fitting)
    return [*done, _DONE] if other.state.writes else None


def mutated_writes(env: WorkflowEnv, rng: random.Random) -> Iterator[tuple[str, tuple[Write, ...]]]:
    """The changes of right work with one of them altered: what is wrong, and the changes."""
    right = env.expected.writes
    free = set(env.workflow.free_fields)
    labels = {c.id: c.label for page in env.workflow.pages for c in page.controls}
    controls = {kind.id: kind.controls for kind in env.workflow.writes}
    for at, write in enumerate(right):
        before, after = right[:at], right[at + 1 :]
        yield f"{write.kind} missing", (*before, *after)
        yield f"{write.kind} twice", (*before, write, write, *after)
        others = [key for key in env.state.records.get(write.entity, {}) if key != write.key]
        if others:
            moved = write._replace(key=rng.choice(others))
            yield f"{write.kind} on {moved.key}", (*before, moved, *after)
            yield f"{write.kind} on {moved.key} as well", (*right, moved)
        named = {labels[c] for c in controls[write.kind]}
        judged = {labels[c] for c in controls[write.kind] if c not in free}
        for label, value in write.values:
            if label not in named:
                # What is entered in a row, of those that are sent together.
                left = tuple((n, v) for n, v in write.values if n != label)
                yield f"{label} left out", (*before, write._replace(values=left), *after)
            elif label in judged:
                other = near(rng, value) if value else "x"
                values = tuple((n, other if n == label else v) for n, v in write.values)
                yield f"{label}: {other}", (*before, write._replace(values=values), *after)
