"""Right work that a verifier must pass: the program's path, other orders, recordings held out."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from envgen.align import masked
from envgen.answers import Answer
from envgen.behaviour import observe
from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.instructions import match_template
from envgen.loops import find_loops
from envgen.mutations import takes_either_case
from envgen.proposals import Proposals, Proposer
from envgen.replay import Replay, replay
from envgen.session import Score, Task
from envgen.statistics import Share
from envgen.traces import Parser, Trace, trace
from envgen.workflow import Workflow
from envgen.world import World
from fde.errors import FdeError
from ingest.action import Action
from ingest.document import Document
from ingest.recording import Recording

_HELD_OUT = 3
_MIN_TO_HOLD_OUT = 4

Paths = dict[str, list[Action]]
"""Task id to the program's own actions; tasks on which it gets stuck are missing."""

_Work = Iterator[tuple[Task, Sequence[Action] | None]]


def program_paths(env: WorkflowEnv, tasks: Sequence[Task]) -> Paths:
    """The program's way through each task."""
    return {task.id: path for task in tasks if (path := _path(env, task)) is not None}


def _path(env: WorkflowEnv, task: Task) -> list[Action] | None:
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


def _rejected(env: WorkflowEnv, work: _Work) -> Share:
    """How much of right work is rejected, with the reasons."""
    total, rejected = 0, []
    for task, path in work:
        total += 1
        score = _score(env, task, path)
        if not score.passed:
            rejected.append(f"{task.id}: {'; '.join(score.reasons)}")
    return Share.of(len(rejected), total, rejected)


def as_programmed(env: WorkflowEnv, tasks: Sequence[Task], paths: Paths) -> Share:
    """How much of the program's own work is rejected."""
    return _rejected(env, ((task, paths.get(task.id)) for task in tasks))


def reordered(env: WorkflowEnv, tasks: Sequence[Task], paths: Paths, seed: int) -> Share:
    """How much is rejected with the entries of one page in another order, where that can be carried out."""
    rng = random.Random(f"reordered {seed}")

    def work() -> _Work:
        for task in tasks:
            path = paths.get(task.id)
            order = None if path is None else _shuffled(path, rng)
            if path is not None and order is not None and _feasible(env, task, order, path):
                yield task, order

    return _rejected(env, work())


def in_another_case(env: WorkflowEnv, tasks: Sequence[Task], paths: Paths) -> Share:
    """How much is rejected with other cases in the fields that take either, as an expert says."""

    def work() -> _Work:
        for task in tasks if env.workflow.caseless else ():
            path = paths.get(task.id)
            if path is not None and (other := _in_another_case(env, task, path)) != path:
                yield task, other

    return _rejected(env, work())


def _in_another_case(env: WorkflowEnv, task: Task, path: Sequence[Action]) -> list[Action]:
    env.reset(task)
    other = []
    for action in path:
        swapped = (action.value or "").swapcase()
        if action.verb == "fill" and swapped != action.value and takes_either_case(env, action):
            action = action.model_copy(update={"value": swapped})
        other.append(action)
        env.step(action)
    return other


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


# Recordings held out


def held_out(
    recordings: Sequence[Recording],
    documents: Sequence[Document],
    parser: Parser,
    answers: Mapping[str, Answer] | None = None,
    proposer: Proposer | None = None,
) -> list[Replay]:
    """Compile without one recording and replay it, for up to three recordings in turn.

    Only a recording whose every kind of page, exit and message another one shows as well can
    be held out: what nobody else shows, the others cannot teach. A refusal has to be shown by two others:
    one alone says hardly ever what was refused.
    """
    traces = {r.id: trace(r, parser) for r in recordings}
    usable = [r for r in recordings if traces[r.id].moments]
    if len(usable) < _MIN_TO_HOLD_OUT:
        return []
    shown = _shown(World([traces[r.id] for r in usable]))
    counts = Counter(thing for things in shown.values() for thing in things)
    common = [r for r in usable if all(counts[t] > 1 + (t[0] == "refused") for t in shown[r.id])]
    step = max(1, len(common) // _HELD_OUT)
    found = []
    for one in common[step // 2 :: step][:_HELD_OUT]:
        kept = [r for r in recordings if r.id != one.id]
        found.append(_replayed(traces[one.id], kept, documents, parser, answers, proposer))
    return found


def _shown(world: World) -> dict[str, set[tuple[str, ...]]]:
    """Per recording, the kinds of pages, exits and messages it shows."""
    behaviour = observe(world)
    messages = behaviour.messages
    loops = find_loops(world, behaviour)
    shown: dict[str, set[tuple[str, ...]]] = {}
    for recording, visits in world.visits.items():
        # What is done where no row is worked on is shown by recordings without any.
        things: set[tuple[str, ...]] = {
            ("no rows", loop.page) for loop in loops if loop.worked.get(recording) == ()
        }
        for visit in visits:
            things |= {
                ("page", visit.page),
                ("page", visit.next_page),
                (visit.verb, visit.page, visit.target),
            }
            said = messages[visit.next_page] & visit.next_reading.present
            refused = (visit.recording, visit.index) in behaviour.refused
            things |= {("refused" if refused else "message", visit.next_page, m) for m in said}
        shown[recording] = things
    return shown


def _replayed(
    one: Trace,
    kept: Sequence[Recording],
    documents: Sequence[Document],
    parser: Parser,
    answers: Mapping[str, Answer] | None,
    proposer: Proposer | None,
) -> Replay:
    # Asked anew: a rule that was found on this recording as well would prove nothing.
    proposals = Proposals(proposer)
    try:
        workflow = compile_workflow(kept, documents, parser=parser, answers=answers, proposals=proposals)
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
