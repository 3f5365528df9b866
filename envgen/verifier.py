"""The judge: the changes that were made are exactly those the program makes in a fresh copy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from envgen.generators import Instance
from envgen.session import Score
from envgen.state import Facts, State, Write
from envgen.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the program does in a fresh, undisturbed copy of an instance.

    Attributes:
        complete: The program came to its end; otherwise the task cannot be judged.
    """

    instance: Instance
    writes: tuple[Write, ...]
    answer: str | None
    complete: bool
    visited: frozenset[tuple[str, str]]
    steps: int


def judge(facts: Facts, expected: Expectation, state: State) -> Score:
    """1.0 iff the writes are exactly the expected ones and the work was declared done; with reasons.

    The value is None when the program itself does not reach the end of this task.
    """
    if not expected.complete:
        return Score(
            value=None,
            reasons=("The compiled program does not finish this task, so nothing can be compared.",),
        )
    workflow = facts.workflow
    wanted = Counter(facts.judged(write) for write in expected.writes)
    made = Counter(facts.judged(write) for write in state.writes)
    reasons: list[str] = []
    missing, extra = list((wanted - made).elements()), list((made - wanted).elements())
    for write in list(missing):
        close = next((e for e in extra if (e.kind, e.key) == (write.kind, write.key)), None)
        if close is not None:
            missing.remove(write)
            extra.remove(close)
            right, sent = dict(write.values), dict(close.values)
            reasons += [
                f"{label or 'a field'} of {write.key or 'the form'} is “{sent.get(label, '')}”, should be "
                f"“{right.get(label, '')}”."
                for label in dict.fromkeys((*right, *sent))
                if right.get(label, "") != sent.get(label, "")
            ] or ["The fields that were sent differ."]
    for write in missing:
        reasons.append(f"{_name(workflow, write)} is missing.")
    for write in extra:
        times = (
            "a second time"
            if write in wanted or any(w.key == write.key for w in wanted)
            else "though it is not part of the task"
        )
        reasons.append(f"{_name(workflow, write)} was done {times}.")
    if expected.answer is not None and state.answer != expected.answer:
        reasons.append(f"The answer is “{state.answer or ''}”, should be “{expected.answer}”.")
    if not state.done:
        reasons.append("The work was not declared done.")
    return Score(value=0.0 if reasons else 1.0, reasons=tuple(reasons))


def _name(workflow: Workflow, write: Write) -> str:
    page = next(p for p in workflow.pages if p.id == write.kind.partition(".")[0])
    node = next((e.label for e in page.exits if f"{page.id}.{e.node}" == write.kind), "")
    return f"“{node}” on “{page.title}”" + (f" for {write.key}" if write.key else "")


def milestones(facts: Facts, expected: Expectation, state: State) -> float | None:
    """The share of the work that is right so far: records opened, fields entered, sent, done.

    As a potential over states it shapes rewards without changing which policy is best
    (Ng, Harada and Russell 1999). None when the program does not finish the task.
    """
    if not expected.complete:
        return None
    total, reached = 1.0, 0.0
    made = [facts.judged(write) for write in state.writes]
    for write in map(facts.judged, expected.writes):
        total += 2 + len(write.values)
        model = facts.writes[write.kind]
        done = next((m for m in made if m == write), None)
        if done is not None:
            made.remove(done)
            reached += 2 + len(write.values)
            continue
        close = next((m for m in made if (m.kind, m.key) == (write.kind, write.key)), None)
        if close is not None:
            made.remove(close)
            right = dict(close.values)
            reached += 1 + sum(right.get(label) == value for label, value in write.values)
            continue
        key = state.bound.get(model.entity, "")
        if state.page == model.page and (model.rows or key == write.key):
            entered = dict(facts.sent(write.kind, write.key, state.drafts, lambda node: True))
            reached += (not model.rows) + sum(
                facts.read(write.kind, label, entered.get(label, "")) == value
                for label, value in write.values
            )
        elif key == write.key and key:
            reached += 0.5
    if state.done and len(made) == 0 and len(state.writes) == len(expected.writes):
        reached += 1.0
    return reached / total
