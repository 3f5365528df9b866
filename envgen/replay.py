"""Recordings replayed in the environment: instances made of a recording's own values."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from envgen.environment import WorkflowEnv
from envgen.expressions import FieldOf
from envgen.generators import Generator, Instance
from envgen.instructions import match_template
from envgen.makers import Record
from envgen.observe import lines
from envgen.pages import address_pattern
from envgen.replies import refusal
from envgen.session import Score, Task
from envgen.templates import Reading, read
from envgen.traces import Page, Trace
from envgen.workflow import PageModel, Workflow
from ingest.action import Action

_DONE = Action(verb="done")


@dataclass(slots=True)
class Replay:
    """What came of replaying a recording.

    Attributes:
        different: Steps whose page read differently from the recorded one.
        steps: Actions replayed.
        refused: Recorded actions that name nothing in the environment; with one of them it fails.
        unmodelled: Recorded actions whose result the environment does not know; it stays as it is then.
    """

    recording: str
    score: Score
    steps: int
    different: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unmodelled: list[str] = field(default_factory=list)


class Reader:
    """Reads recorded pages through the templates of a compiled workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._known: dict[tuple[str, int], tuple[PageModel, Reading]] = {}

    def read(self, page: Page) -> tuple[PageModel, Reading]:
        """The kind of page that fits best, and the page read through its template."""
        address = address_pattern(page.path)
        key = (address, id(page.node))
        found = self._known.get(key)
        if found is None:
            best: tuple[float, PageModel, Reading] | None = None
            for model in self._workflow.pages:
                reading = read(model.template, page.node)
                fit = reading.fit + (0.1 if model.address == address else 0.0)
                if best is None or fit > best[0]:
                    best = (fit, model, reading)
            assert best is not None
            found = (best[1], best[2])
            self._known[key] = found
        return found


def instance_of(workflow: Workflow, trace: Trace, reader: Reader, like: str | None = None) -> Instance:
    """An instance that shows what the recording shows; what it never shows is generated.

    Args:
        like: Key of a record of the recording that records which it never shows are like, but for their keys;
            "" where there are to be none.
    """
    generator = Generator(workflow)
    parameters = match_template(workflow.instructions, trace.instruction) or {}
    shown: dict[str, dict[str, Record]] = {e.name: {} for e in workflow.entities}
    searched: dict[str, dict[str, Record]] = {e.name: {} for e in workflow.entities}
    session: dict[str, str] = {}
    hidden: set[str] = set()
    firsts = {first.entity for first in generator.first}
    known_hidden = {h.name for h in workflow.hidden}
    more: set[str] = set()
    options: dict[str, tuple[str, ...]] = {}
    offered: dict[tuple[str, str], tuple[str, ...]] = {}
    for page in trace.pages():
        model, reading = reader.read(page)
        _note_offered(model, reading, offered)
        options.update({f"{model.id}.{node}": texts for node, texts in reading.options.items()})
        _note_session(model, reading, session)
        hidden |= _struck(model, reading) & known_hidden
        for view in model.lists:
            query = reading.controls.get(view.search_control, "")
            rows = reading.rows.get(view.rows, [])
            # A query that is only being typed has not filtered the rows yet.
            filtered = bool(query) and all(
                any(query.lower() in text.lower() for text in row.slots.values()) for row in rows
            )
            filtered = filtered or any(
                reading.controls.get(each.node, "") not in each.every
                for each in view.filters
                if each.every and not each.clicked
            )
            into = searched if filtered else shown
            new = [row for row in rows if row.slots.get(view.key_slot, "") not in into[view.entity]]
            if new and not filtered:
                # Whether the list goes on is what its last page says.
                (more.add if view.next in reading.present else more.discard)(view.entity)
            for row in rows:
                record = into[view.entity].setdefault(row.slots.get(view.key_slot, ""), {})
                for slot, name in view.fields:
                    if slot in row.slots:
                        record.setdefault(name, row.slots[slot])
                for control, name in view.given:
                    if row.controls.get(control):
                        record.setdefault(name, row.controls[control])
        if model.entity and model.key_slot in reading.slots:
            key = reading.slots[model.key_slot]
            into = shown if model.next else searched
            if model.next and key not in into[model.entity]:
                (more.add if model.next in reading.present else more.discard)(model.entity)
            record = into[model.entity].setdefault(key, {})
            for slot, name in model.fields:
                if slot in reading.slots:
                    record.setdefault(name, reading.slots[slot])
            for control, name in model.given:
                if control in reading.controls:
                    record.setdefault(name, reading.controls[control])
    records: dict[str, dict[str, Record]] = {}
    filler = generator.instance(0, "train")
    rng = random.Random(f"replay {trace.recording}")
    for entity in workflow.entities:
        merged: dict[str, Record] = {}
        for key, record in shown[entity.name].items():
            merged[key] = {**searched[entity.name].get(key, {}), **record}
        extra = {k: r for k, r in filler.records[entity.name].items() if k not in merged}
        if entity.name in firsts and like is None:
            # The expert saw which one comes first: what was not seen does not come before it.
            extra = {}
        if like is not None and entity.name in more:
            known = {**searched[entity.name].get(like, {}), **merged.get(like, {})}
            extra = {k: r | known for k, r in extra.items()} if known else {}
        if entity.name in more or not merged:
            merged.update(extra)
        for key, record in searched[entity.name].items():
            merged.setdefault(key, {}).update(record)
        pool = list(extra.values())
        for record in merged.values():
            if not pool:
                break
            for name, text in rng.choice(pool).items():
                model_field = next((f for f in entity.fields if f.name == name), None)
                if model_field is not None and not model_field.optional:
                    record.setdefault(name, text)
        for key, record in merged.items():
            record[entity.key_field] = key
        records[entity.name] = merged
    for name, texts in workflow.session:
        session.setdefault(name, texts[0])
    varied = {c.id for p in workflow.pages for c in p.controls if c.options_seen}
    return Instance(
        records,
        session,
        parameters,
        frozenset(hidden),
        trace.instruction,
        0,
        generator.roots,
        {control: texts for control, texts in options.items() if control in varied},
        offered,
    )


def _note_offered(
    model: PageModel, reading: Reading, offered: dict[tuple[str, str], tuple[str, ...]]
) -> None:
    """What a control offers for a value of another one that perhaps no other recording shows chosen."""
    for control in model.controls:
        by = control.options_by.removeprefix(f"{model.id}.")
        if by and control.node in reading.options and reading.controls.get(by):
            offered.setdefault((control.id, reading.controls[by]), reading.options[control.node])


def _note_session(model: PageModel, reading: Reading, session: dict[str, str]) -> None:
    for slot, source in model.sources:
        if source.kind == "field" and not source.root and slot in reading.slots:
            session.setdefault(source.path[0], reading.slots[slot])
    for control in model.controls:
        found = control.initial
        if isinstance(found, FieldOf) and not found.root and control.node in reading.controls:
            session.setdefault(found.path[0], reading.controls[control.node])


def _struck(model: PageModel, reading: Reading) -> set[str]:
    """Hidden refusals whose message is on the page."""
    return {
        outcome.hidden
        for found in model.exits
        for outcome in found.outcomes
        if outcome.hidden and outcome.page == model.id and set(outcome.shows) & reading.present
    }


def replay(workflow: Workflow, trace: Trace, *, env: WorkflowEnv | None = None) -> Replay:
    """Do in the environment what the expert did, in an instance of the recording's own values.

    Lists that are sorted or filtered say more of the records that the recording does not show than that they
    are there: of those tried, the ones are taken with which most pages read as recorded.
    """
    env = env or WorkflowEnv(workflow)
    reader = Reader(workflow)
    best = _replay(workflow, trace, env, instance_of(workflow, trace, reader))
    arranged = {v.entity for p in workflow.pages for v in p.lists if v.sorts or v.filters}
    if not arranged or not (best.different or best.refused):
        return best
    shown = instance_of(workflow, trace, reader, "")
    for like in ("", *(key for entity in sorted(arranged) for key in shown.records[entity])):
        other = _replay(workflow, trace, env, instance_of(workflow, trace, reader, like))
        if _unlike(other) < _unlike(best):
            best = other
        if not _unlike(best):
            break
    return best


def _unlike(made: Replay) -> int:
    return len(made.different) + len(made.refused)


def _replay(workflow: Workflow, trace: Trace, env: WorkflowEnv, instance: Instance) -> Replay:
    task = Task(
        id=f"{workflow.name}/recording/{trace.recording}",
        workflow=workflow.name,
        split="train",
        seed=0,
        instruction=trace.instruction,
        parameters=instance.parameters,
    )
    view = env.begin(task, instance)
    found = Replay(trace.recording, Score(value=None), 0)
    for moment in trace.moments:
        if view.finished:
            break
        if lines(view.page) != lines(moment.before.node):
            found.different.append(
                f"before {moment.action.text()}: {_difference(view.page, moment.before.node)}"
            )
        refused = refusal(view.page, moment.action)
        unmodelled = env.unmodelled
        view = env.step(moment.action)
        found.steps += 1
        if refused:
            found.refused.append(f"{moment.action.text()}: {refused}")
        elif env.unmodelled > unmodelled:
            found.unmodelled.append(moment.action.text())
    env.step(_DONE)
    found.score = env.score()
    if found.refused:
        # What right work is was not shown: a verdict on the rest of it says nothing.
        found.score = Score(value=0.0, reasons=(*found.refused[:3], *found.score.reasons))
    return found


def _difference(page, recorded) -> str:  # type: ignore[no-untyped-def]
    ours, theirs = lines(page), lines(recorded)
    only = [f"+{line}" for line in ours if line not in theirs] + [
        f"-{line}" for line in theirs if line not in ours
    ]
    return "; ".join(only)[:300] or "another order"


def actions(trace: Trace) -> Sequence[Action]:
    """The expert's actions after the sign-in."""
    return [moment.action for moment in trace.moments]
