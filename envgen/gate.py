"""The gate: an environment is published only when its verifier passes right work and fails wrong work.

Right work: the program's path on fresh tasks, its entries in other orders, and recordings
held out from compilation, replayed in instances made of their own values. Wrong work:
families of mutants of right work, and cheap ways of doing nothing useful.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from envgen.behaviour import observe
from envgen.choices import choices
from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.instructions import match_template
from envgen.replay import Replay, replay
from envgen.session import Score, Task
from envgen.statistics import wilson
from envgen.tasks import make_tasks
from envgen.traces import Parser, Trace, trace
from envgen.workflow import Workflow
from envgen.world import World
from fde.errors import FdeError
from ingest.action import Action
from ingest.document import Document
from ingest.recording import Recording

MIN_KILL_RATE = 0.95
MAX_FALSE_REJECT = 0.02
TASKS = 50
_MUTATED_TASKS = 16
_RANDOM_TASKS = 30
_HELD_OUT = 3
_MIN_TO_HOLD_OUT = 4
_DONE = Action(verb="done")


class Share(BaseModel):
    """How many of how many, as a share with its Wilson 95% interval; None for no observations."""

    model_config = ConfigDict(frozen=True)

    hits: int
    total: int
    rate: float | None
    ci: tuple[float, float] | None
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, hits: int, total: int, examples: Sequence[str] = ()) -> Share:
        return cls(
            hits=hits, total=total, rate=hits / total if total else None, ci=wilson(hits, total),
            examples=tuple(examples[:3]),
        )  # fmt: skip


class GateReport(BaseModel):
    """What the gate found. ``families`` of wrong work count kills, those of right work rejects.

    Attributes:
        page_parity: Share of the held-out recordings' pages that the environment shows line by line.
        reasons: Why it is not published, or what risk was accepted.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    published: bool
    reasons: tuple[str, ...]
    accepted_risk: str = ""
    held_out_pass: int
    held_out_total: int
    held_out: tuple[str, ...] = ()
    page_parity: float | None
    kill_rate: float | None
    kill_ci: tuple[float, float] | None
    false_reject_rate: float | None
    false_reject_ci: tuple[float, float] | None
    mutants: int
    families: dict[str, Share]
    right: dict[str, Share]


def gate(
    workflow: Workflow,
    recordings: Sequence[Recording],
    documents: Sequence[Document],
    *,
    accept_risk: str = "",
    parser: Parser | None = None,
    seed: int = 0,
) -> GateReport:
    """Prove a compiled workflow's verifier. Never raises for a bad workflow: says why it is bad."""
    held = _held_out(recordings, documents, parser or Parser())
    right: dict[str, Share] = {}
    families: dict[str, Share] = {}
    reasons: list[str] = []
    try:
        tasks = make_tasks(workflow, "dev", TASKS, seed=seed)
    except FdeError as error:
        tasks = []
        reasons.append(error.message)
    env = WorkflowEnv(workflow)
    paths = {task.id: path for task in tasks if (path := _path(env, task)) is not None}
    right["program"] = _right(tasks, lambda task: _score(env, task, paths.get(task.id)))
    right["reordered"] = _reordered(env, tasks, paths, seed)
    rejected = [f"{r.recording}: {'; '.join(r.score.reasons)}" for r in held if not r.score.passed]
    right["held out"] = Share.of(len(rejected), len(held), rejected)
    usable = [task for task in tasks if task.id in paths][:_MUTATED_TASKS]
    for name, family in FAMILIES.items():
        families[name] = _family(env, usable, paths, family, seed)
    families["random agent"] = _agents(env, tasks[:_RANDOM_TASKS], _random_agent)
    families["same action"] = _agents(env, tasks[:_RANDOM_TASKS], _same_action)
    return _report(workflow, held, right, families, reasons, accept_risk)


def _report(
    workflow: Workflow,
    held: Sequence[Replay],
    right: dict[str, Share],
    families: dict[str, Share],
    reasons: list[str],
    accept_risk: str,
) -> GateReport:
    killed = sum(f.hits for f in families.values())
    mutants = sum(f.total for f in families.values())
    rejected = sum(f.hits for f in right.values())
    checked = sum(f.total for f in right.values())
    kill_rate = killed / mutants if mutants else None
    reject_rate = rejected / checked if checked else None
    if kill_rate is None or kill_rate < MIN_KILL_RATE:
        reasons.append(f"Kill rate {_percent(kill_rate)} is below {MIN_KILL_RATE:.0%}.")
    reasons += [
        f"Wrong work of the family “{name}” is caught in {_percent(f.rate)} of the cases."
        for name, f in families.items()
        if f.rate is not None and f.rate < MIN_KILL_RATE
    ]
    if reject_rate is None or reject_rate > MAX_FALSE_REJECT:
        reasons.append(f"Right work is rejected in {_percent(reject_rate)} of the cases.")
    if right["held out"].hits:
        reasons.append(f"Held-out recordings are rejected: {'; '.join(right['held out'].examples)}")
    if not held:
        reasons.append("Too few recordings to hold one out: nothing independent confirms the environment.")
    steps = sum(r.steps for r in held)
    return GateReport(
        name=workflow.name,
        published=not reasons or bool(accept_risk),
        reasons=tuple(reasons),
        accepted_risk=accept_risk if reasons else "",
        held_out_pass=len(held) - right["held out"].hits,
        held_out_total=len(held),
        held_out=tuple(r.recording for r in held),
        page_parity=1 - sum(len(r.different) for r in held) / steps if steps else None,
        kill_rate=kill_rate,
        kill_ci=wilson(killed, mutants),
        false_reject_rate=reject_rate,
        false_reject_ci=wilson(rejected, checked),
        mutants=mutants,
        families=families,
        right=right,
    )


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.1%}"


# Right work


def _held_out(recordings: Sequence[Recording], documents: Sequence[Document], parser: Parser) -> list[Replay]:
    """Compile without one recording and replay it, for up to three recordings in turn.

    Only a recording whose every kind of page, exit and message another one shows as well can
    be held out: what nobody else shows, the others cannot teach.
    """
    traces = {r.id: trace(r, parser) for r in recordings}
    usable = [r for r in recordings if traces[r.id].moments]
    if len(usable) < _MIN_TO_HOLD_OUT:
        return []
    shown = _shown(World([traces[r.id] for r in usable]))
    counts = Counter(thing for things in shown.values() for thing in things)
    common = [r for r in usable if all(counts[thing] > 1 for thing in shown[r.id])]
    step = max(1, len(common) // _HELD_OUT)
    found = []
    for one in common[step // 2 :: step][:_HELD_OUT]:
        kept = [r for r in recordings if r.id != one.id]
        found.append(_replayed(traces[one.id], kept, documents, parser))
    return found


def _shown(world: World) -> dict[str, set[tuple[str, ...]]]:
    """Per recording, the kinds of pages, exits and messages it shows."""
    messages = observe(world).messages
    shown: dict[str, set[tuple[str, ...]]] = {}
    for recording, visits in world.visits.items():
        things: set[tuple[str, ...]] = set()
        for visit in visits:
            things |= {
                ("page", visit.page),
                ("page", visit.next_page),
                (visit.verb, visit.page, visit.target),
            }
            things |= {
                ("message", visit.next_page, m)
                for m in messages[visit.next_page] & visit.next_reading.present
            }
        shown[recording] = things
    return shown


def _replayed(one: Trace, kept: Sequence[Recording], documents: Sequence[Document], parser: Parser) -> Replay:
    try:
        workflow = compile_workflow(kept, documents, parser=parser)
    except FdeError as error:
        return Replay(
            one.recording, Score(value=0.0, reasons=(f"The rest does not compile: {error.message}",)), 0
        )
    if match_template(workflow.instructions, one.instruction) is None:
        # Worded as no other recording: what its parameters are has to be told by the values.
        one = _reworded(workflow, one)
    return replay(workflow, one)


def _reworded(workflow: Workflow, one: Trace) -> Trace:
    """The same trace under a known wording, its parameters found as the samples' look-alikes."""
    import re

    from envgen.align import masked

    values: dict[str, str] = {}
    for parameter in workflow.parameters:
        shapes = {masked(sample) for sample in parameter.samples}
        for match in re.finditer(r"\S+", one.instruction):
            text = match[0].strip(".,;:!?\"'()")
            if masked(text) in shapes:
                values[parameter.name] = text
    wording = workflow.instructions[0]
    for name, text in values.items():
        wording = wording.replace("{" + name + "}", text)
    return Trace(one.recording, wording, one.moments, one.start, one.skipped, one.recorded_at)


def _path(env: WorkflowEnv, task: Task) -> list[Action] | None:
    """The program's own actions, None when it gets stuck."""
    view = env.reset(task)
    found: list[Action] = []
    while not view.finished:
        action = env.next_action()
        if action is None:
            return None
        found.append(action)
        view = env.step(action)
    return found


def _score(env: WorkflowEnv, task: Task, path: Sequence[Action] | None) -> Score:
    if path is None:
        return Score(value=None, reasons=("The program gets stuck.",))
    env.reset(task)
    for action in path:
        env.step(action)
    return env.score()


def _right(tasks: Sequence[Task], run: Callable[[Task], Score]) -> Share:
    rejected = []
    for task in tasks:
        score = run(task)
        if not score.passed:
            rejected.append(f"{task.id}: {'; '.join(score.reasons)}")
    return Share.of(len(rejected), len(tasks), rejected)


def _reordered(env: WorkflowEnv, tasks: Sequence[Task], paths: dict[str, list[Action]], seed: int) -> Share:
    """Entries of one page in other orders, where both orders can be carried out."""
    rng = random.Random(f"reordered {seed}")
    rejected: list[str] = []
    total = 0
    for task in tasks:
        path = paths.get(task.id)
        if path is None:
            continue
        order = _shuffled(path, rng)
        if order is None or not _feasible(env, task, order, path):
            continue
        total += 1
        score = _score(env, task, order)
        if not score.passed:
            rejected.append(f"{task.id}: {'; '.join(score.reasons)}")
    return Share.of(len(rejected), total, rejected)


def _shuffled(path: Sequence[Action], rng: random.Random) -> list[Action] | None:
    runs: list[list[int]] = [[]]
    for index, action in enumerate(path):
        if action.verb in ("fill", "select", "check", "uncheck"):
            runs[-1].append(index)
        elif runs[-1]:
            runs.append([])
    longest = max(runs, key=len)
    if len(longest) < 2:
        return None
    order = list(longest)
    rng.shuffle(order)
    if order == longest:
        order.reverse()
    found = list(path)
    for place, index in zip(longest, order, strict=True):
        found[place] = path[index]
    return found


def _feasible(env: WorkflowEnv, task: Task, order: Sequence[Action], path: Sequence[Action]) -> bool:
    """Whether every entry is accepted in this order and leaves the same form as the other order."""
    end = next(i for i, (a, b) in reversed(list(enumerate(zip(order, path, strict=True)))) if a != b) + 1
    forms = []
    for actions in (order, path):
        env.reset(task)
        for action in actions[:end]:
            before = dict(env.state.drafts)
            env.step(action)
            if action.verb in ("fill", "select") and action.value and env.state.drafts == before:
                return False
        forms.append(dict(env.state.drafts))
    return forms[0] == forms[1]


# Wrong work

Mutant = tuple[str, list[Action]]
Family = Callable[[WorkflowEnv, Task, list[Action], random.Random], Iterator[Mutant]]


def _family(
    env: WorkflowEnv, tasks: Sequence[Task], paths: dict[str, list[Action]], family: Family, seed: int
) -> Share:
    killed = total = 0
    survivors: list[str] = []
    for task in tasks:
        rng = random.Random(f"{task.id} {seed}")
        for name, path in family(env, task, paths[task.id], rng):
            total += 1
            score = _run(env, task, path)
            if score.value == 0.0:
                killed += 1
            else:
                survivors.append(f"{task.id}: {name}")
    return Share.of(killed, total, survivors)


def _run(env: WorkflowEnv, task: Task, path: Sequence[Action]) -> Score:
    """Carry out a mutant; what it does after its changed step follows the program where it can."""
    view = env.reset(task)
    for action in path:
        if view.finished:
            break
        view = env.step(action)
    if not view.finished:
        env.step(_DONE)
    return env.score()


def _nothing(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    yield "done at once", [_DONE]


def _truncated(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    """Every prefix that ends before the last write, declared done."""
    last = _last_write(env, task, path)
    for length in range(1, last + 1):
        yield f"stopped after {length} actions", [*path[:length], _DONE]


def _early_done(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    last = _last_write(env, task, path)
    yield "done before the last submission, which is made afterwards", [*path[:last], _DONE, *path[last:]]


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


def _mutated_values(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    """Each value entered last before a write, replaced by another one the form would take."""
    from envgen.mutations import mutated_entry, reaching_entries

    for index in reaching_entries(env, task, path):
        env.reset(task)
        for action in path[:index]:
            env.step(action)
        for changed in mutated_entry(env, path[index], rng):
            yield (
                f"{changed.text()} instead of {path[index].text()}",
                _continue(env, task, path, index, changed),
            )


def _continue(env: WorkflowEnv, task: Task, path: list[Action], index: int, changed: Action) -> list[Action]:
    """The path with one action changed; later actions that no longer apply are replaced by close ones."""
    from envgen.mutations import adapted

    env.reset(task)
    done: list[Action] = []
    for at, action in enumerate(path):
        step = changed if at == index else adapted(env, action)
        if step is None:
            continue
        done.append(step)
        env.step(step)
    return done


def _wrong_record(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    from envgen.mutations import on_another_record

    found = on_another_record(env, task, rng)
    if found is not None:
        yield "the work done on another record", found


def _duplicate(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    from envgen.mutations import repeated

    found = repeated(env, task, path)
    if found is not None:
        yield "the submission made twice", found


def _extra(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    from envgen.mutations import with_extra_write

    found = with_extra_write(env, task, path, rng)
    if found is not None:
        yield "another record changed as well", found


def _stale(env: WorkflowEnv, task: Task, path: list[Action], rng: random.Random) -> Iterator[Mutant]:
    """After the right submission an older or other value is written over it."""
    from envgen.mutations import overwritten

    found = overwritten(env, task, path, rng)
    if found is not None:
        yield "the right values overwritten by others", found


FAMILIES: dict[str, Family] = {
    "do nothing": _nothing,
    "truncated": _truncated,
    "early done": _early_done,
    "value": _mutated_values,
    "wrong record": _wrong_record,
    "duplicate": _duplicate,
    "extra write": _extra,
    "stale overwrite": _stale,
}


# Cheap passes


def _agents(
    env: WorkflowEnv, tasks: Sequence[Task], agent: Callable[[WorkflowEnv, random.Random], Action]
) -> Share:
    killed = 0
    survivors = []
    for task in tasks:
        rng = random.Random(f"agent {task.id}")
        view = env.reset(task)
        while not view.finished:
            view = env.step(agent(env, rng))
        if env.score().value == 0.0:
            killed += 1
        else:
            survivors.append(task.id)
    return Share.of(killed, len(tasks), survivors)


def _random_agent(env: WorkflowEnv, rng: random.Random) -> Action:
    offered = choices(env.rendered.page)
    choice = rng.choice(offered)
    if choice.open:
        return Action.parse(f"{choice.text} {rng.choice(['x', '1', *env.instance.parameters.values()])}")
    return Action.parse(choice.text)


def _same_action(env: WorkflowEnv, rng: random.Random) -> Action:
    """Always the first thing the page offers."""
    choice = choices(env.rendered.page)[0]
    return Action.parse(f"{choice.text} x" if choice.open else choice.text)
