"""The changes an application makes: what they are about, what is sent, and what it does to records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from envgen.behaviour import Behaviour, explain_body, request_pattern
from envgen.documents import Knowledge
from envgen.examples import Known
from envgen.explanations import Example
from envgen.expressions import Entered, Expression
from envgen.kinds import Visit
from envgen.loops import Loop, filled_rows, touched_in_rows
from envgen.search import Search
from envgen.workflow import WriteKind
from envgen.world import World


def find_write_kinds(
    world: World,
    behaviour: Behaviour,
    contexts: Mapping[str, list[Known]],
    knowledge: Knowledge,
    loops: Sequence[Loop],
) -> list[WriteKind]:
    """Every kind of change that the recordings show."""
    made = _Writes(world, behaviour, contexts, knowledge, {p.write: p for p in loops if p.at_once})
    return [made.kind(kind_id) for kind_id in sorted(set(behaviour.writes.values()))]


@dataclass(frozen=True, slots=True)
class _Writes:
    world: World
    behaviour: Behaviour
    contexts: Mapping[str, list[Known]]
    knowledge: Knowledge
    at_once: Mapping[str, Loop]

    def kind(self, kind_id: str) -> WriteKind:
        page_id, _, node = kind_id.partition(".")
        kind = self.world.kinds[page_id]
        sent = self.behaviour.requests.get(kind_id, [])
        body, unexplained = explain_body(sent, self.world) if sent else ({}, [])
        rows = next((r for r in kind.lists if any(n.id == node for n in kind.nodes[r].walk())), "")
        within = kind.nodes[rows] if rows else kind.template
        lists = self.behaviour.suggesting(page_id)
        controls = tuple(
            f"{page_id}.{n.id}" for n in within.walk() if n.kind == "control" and n.id not in lists
        )
        return WriteKind(
            id=kind_id,
            page=page_id,
            node=node,
            entity=kind.lists[rows].entity if rows else kind.entity,
            controls=controls,
            request=request_pattern(sent) if sent else "",
            body=tuple(body.items()),
            unexplained=tuple(unexplained),
            updates=tuple(self._updates(kind_id, controls)),
            rows=rows,
            again=any(self.behaviour.writes[moment] == kind_id for moment in self.behaviour.superseded),
        )

    def _updates(self, kind_id: str, controls: Sequence[str]) -> Iterator[tuple[str, Expression]]:
        """Fields of the written records that later pages show changed, and what explains the new text."""
        changed: dict[str, list[Example]] = {}
        for (recording, index), write in self.behaviour.writes.items():
            if write != kind_id:
                continue
            visit = self.world.visits[recording][index]
            later: dict[str, dict[str, dict[str, str]]] = {}
            for following in self.world.visits[recording][index:]:
                self.world.note(later, following.next_page, following.next_reading)
            for entity, key, context in self._records(visit, kind_id):
                before = self.world.records[recording].get(entity, {}).get(key, {})
                for name, text in later.get(entity, {}).get(key, {}).items():
                    if name in before and before[name] != text:
                        changed.setdefault(name, []).append(Example(context, text))
        for name, examples in changed.items():
            atoms: list[Expression] = [Entered(control=c) for c in controls]
            result = Search(examples, atoms, self.knowledge, equalities=False, max_leaves=3).run()
            if result.expression is not None:
                yield name, result.expression

    def _records(self, visit: Visit, kind_id: str) -> Iterator[tuple[str, str, Known]]:
        """The records a change is about, each with what was known and entered then."""
        kind, context = self.world.kinds[visit.page], self.contexts[visit.recording][visit.index]
        loop = self.at_once.get(kind_id)
        if visit.row is None and loop is None:
            if kind.entity and visit.before_key:
                yield kind.entity, visit.before_key, context
            return
        rows_id = visit.rows_id if loop is None else loop.rows
        rows = kind.lists.get(rows_id)
        if rows is None:
            return
        controls = touched_in_rows(self.world, kind, rows_id)
        at = {index for index, _, _ in filled_rows(self.world, visit, rows_id, controls)}
        for index, row in enumerate(visit.reading.rows.get(rows_id, ())):
            if index == visit.row if loop is None else index in at:
                entered = {f"{kind.id}.{c}": text for c, text in row.controls.items()}
                known = replace(context, controls={**context.controls, **entered})
                yield rows.entity, row.slots.get(rows.key_slot, ""), known
