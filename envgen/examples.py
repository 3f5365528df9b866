"""What was known at each moment of a recording: the contexts that rules are learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from envgen.documents import Knowledge
from envgen.instructions import Instructions
from envgen.kinds import Records, Visit
from envgen.rows import ROW
from envgen.templates import Reading
from envgen.wording import wording
from envgen.world import World

PAGE_ROOT = ROW
"""Prefix of the root that means: the record the page shows, whichever task it is."""


@dataclass(slots=True)
class Known:
    """A context of one recorded moment, see :class:`envgen.expressions.Context`.

    Attributes:
        records: What the application knows then, where that is asked about.
        seen: The records that pages had shown by then, with what they had said of them.
    """

    recording: str
    index: int
    knowledge: Knowledge
    parameters: Mapping[str, str]
    fields: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)
    messages: dict[tuple[str, str], str] = field(default_factory=dict)
    writes: frozenset[str] = frozenset()
    records: Records = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    instruction: str = ""
    seen: Records = field(default_factory=dict)

    def parameter(self, name: str) -> str | None:
        return self.parameters.get(name)

    def field(self, root: str, path: tuple[str, ...]) -> str | None:
        return self.fields.get((root, path))

    def entered(self, control: str) -> str | None:
        return self.controls.get(control)

    def told(self, page: str, slot: str) -> str | None:
        return self.messages.get((page, slot))

    def cell(self, table: str, column: str, key_column: str, key: str) -> str | None:
        return self.knowledge.cells.cell(table, column, key_column, key)

    def done(self, write: str) -> bool:
        return write in self.writes

    def exists(self, entity: str, key: str) -> bool:
        return key in self.records.get(entity, {})

    def says(self, word: str) -> bool:
        return word in self.words

    def told_to(self) -> str:
        return self.instruction

    def rows(self, entity: str) -> Iterable[tuple[str, Mapping[str, str]]]:
        return self.seen.get(entity, {}).items()

    def next_row(self, page: str) -> str | None:
        return None


class Historian:
    """Builds the contexts of recorded moments.

    Args:
        references: ``(entity, field) -> entity`` for fields that hold another record's key.
    """

    def __init__(
        self,
        world: World,
        instructions: Instructions,
        knowledge: Knowledge,
        references: Mapping[tuple[str, str], str],
        messages: Mapping[str, frozenset[str]],
        writes: Mapping[tuple[str, int], str],
    ) -> None:
        self._world = world
        self._instructions = instructions
        self._knowledge = knowledge
        self._references = references
        self._messages = messages
        self._writes = writes
        self._instructed = {t.recording: t.instruction for t in world.traces}

    def contexts(self, recording: str) -> list[Known]:
        """One context per moment: what the expert had seen before acting; and one of the end."""
        world = self._world
        # Set tables are known to whoever works here, looked at or not.
        records: Records = {e: {k: dict(r) for k, r in rows.items()} for e, rows in world.fixed.items()}
        told: dict[tuple[str, str], str] = {}
        entered: dict[str, str] = {}
        writes: set[str] = set()
        found: list[Known] = []
        parameters = self._instructions.values.get(recording, {})
        words = wording(self._instructed[recording], parameters.values())
        visits = world.visits[recording]
        pages = [(visit.page, visit.reading) for visit in visits]
        pages += [(visit.next_page, visit.next_reading) for visit in visits[-1:]]
        for index, (page, reading) in enumerate(pages):
            world.note(records, page, reading)
            self._hear(told, page, reading)
            here = {f"{page}.{c}": text for c, text in reading.controls.items()}
            # What is on this page comes first: it is the likelier source.
            entered = here | {c: text for c, text in entered.items() if c not in here}
            known = Known(
                recording,
                index,
                self._knowledge,
                parameters,
                controls=entered,
                messages=dict(told),
                writes=frozenset(writes),
                words=words,
                instruction=self._instructed[recording],
                seen={entity: {k: dict(r) for k, r in by.items()} for entity, by in records.items()},
            )
            self._task_fields(known, records, index)
            found.append(known)
            write = self._writes.get((recording, index))
            if write:
                writes.add(write)
        return found

    def _hear(self, told: dict[tuple[str, str], str], page: str, reading: Reading) -> None:
        kind = self._world.kinds[page]
        for node_id in sorted(self._messages.get(page, ())):
            if node_id in reading.present:
                told[page, node_id] = "shown"
                for slot in kind.nodes[node_id].slots():
                    if slot in reading.slots:
                        told[page, slot] = reading.slots[slot]

    def _task_fields(self, known: Known, records: Records, moment: int) -> None:
        for root, entity in self._instructions.roots().items():
            key = known.parameters.get(root)
            if key is not None:
                self.reach(known.fields, records, root, entity, key, ())
        self._session_fields(known, records, moment)

    def _session_fields(self, known: Known, records: Records, moment: int) -> None:
        since = self._world.since[known.recording]
        for name, text in self._world.session.get(known.recording, {}).items():
            if since.get(name, 0) > moment:
                continue
            known.fields["", (name,)] = text
            named = self._references.get(("", name))
            if named:
                self.reach(known.fields, records, "", named, text, (name,))

    def reach(
        self,
        into: dict[tuple[str, tuple[str, ...]], str],
        records: Records,
        root: str,
        entity: str,
        key: str,
        path: tuple[str, ...],
    ) -> None:
        """Add a record's fields, and those of the records it refers to, under ``root``."""
        record = records.get(entity, {}).get(key)
        if record is None:
            return
        for name, text in record.items():
            into[root, (*path, name)] = text
            target = self._references.get((entity, name))
            if target and len(path) < 1 and text != key:
                self.reach(into, records, root, target, text, (*path, name))

    def page_context(self, visit: Visit, *, after: bool, base: Known) -> Known:
        """What the application knows at a moment: all of the shown record, and what was entered."""
        kind = self._world.kinds[visit.next_page if after else visit.page]
        key = visit.after_key if after else visit.before_key
        known = Known(
            visit.recording,
            visit.index,
            self._knowledge,
            base.parameters,
            controls=base.controls,
            messages=base.messages,
            writes=base.writes,
            records=self._world.records[visit.recording],
            words=base.words,
            instruction=base.instruction,
            seen=base.seen,
        )
        if kind.entity and key:
            records = self._world.records[visit.recording]
            self.reach(known.fields, records, PAGE_ROOT + kind.entity, kind.entity, key, ())
            reading = visit.next_reading if after else visit.reading
            if reading.slots.get(kind.key_slot) == key:
                # What was changed meanwhile is said by the page itself.
                for slot, name in kind.fields.items():
                    if slot in reading.slots:
                        known.fields[PAGE_ROOT + kind.entity, (name,)] = reading.slots[slot]
        rows = self._world.kinds[visit.page].lists.get(visit.rows_id)
        if after and visit.row is not None and rows is not None and visit.page == visit.next_page:
            # What was done in a row may be told above the list.
            key = visit.reading.rows[visit.rows_id][visit.row].slots.get(rows.key_slot, "")
            records = self._world.records[visit.recording]
            self.reach(known.fields, records, PAGE_ROOT + rows.entity, rows.entity, key, ())
        self._session_fields(known, self._world.records[visit.recording], visit.index + after)
        return known
