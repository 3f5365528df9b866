"""Which pages and rows show the same records: found by following clicks.

A click in a row that leads to a page saying one of the row's texts makes that text the key of a
record, seen on both pages; a page reached from there that says the key again shows the same record.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgen.kinds import PageKind, RowKind, Visit, record_slots
from envgen.paging import NEXT, PREVIOUS
from envgen.templates import Reading

if TYPE_CHECKING:
    from envgen.world import World


class Linker:
    """Gives the kinds of pages of a world their entities, keys and lists."""

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self) -> None:
        """Name the records that lists and pages show, by following clicks."""
        by_rows: dict[tuple[str, str, str], list[Visit]] = defaultdict(list)
        by_link: dict[tuple[str, str, str], list[Visit]] = defaultdict(list)
        for visit in self._world.all_visits():
            if visit.verb != "click" or not visit.target:
                continue
            if visit.row is not None and visit.rows_id:
                by_rows[visit.page, visit.rows_id, visit.next_page].append(visit)
            elif visit.next_page != visit.page or visit.reading.slots != visit.next_reading.slots:
                by_link[visit.page, visit.target, visit.next_page].append(visit)
        for (page, rows_id, next_page), visits in sorted(by_rows.items(), key=lambda item: -len(item[1])):
            found = self._row_key(visits, rows_id)
            if found is None:
                continue
            column, slot = found
            target = self._world.kinds[next_page]
            entity = target.entity or self._entity_name(page, rows_id, column)
            if not target.entity:
                target.entity, target.key_slot = entity, slot
            self._world.kinds[page].lists.setdefault(rows_id, RowKind(target.entity, column))
        for _ in range(len(self._world.kinds)):
            learned = [self._spread(key, visits) for key, visits in by_link.items()]
            if not any(learned):
                break
        for (page, link, next_page), visits in by_link.items():
            kind = self._world.kinds[page]
            if page == next_page and NEXT.search(kind.nodes[link].label()):
                self._one_at_a_time(kind, link, visits)
        self._lists_by_value()

    def _row_key(self, visits: Sequence[Visit], rows_id: str) -> tuple[str, str] | None:
        """The column and the slot of the next page that say the same in every click."""
        pairs: Counter[tuple[str, str]] = Counter()
        for visit in visits:
            assert visit.row is not None
            row = visit.reading.rows[rows_id][visit.row].slots
            shown = visit.next_reading.slots
            if visit.next_page == visit.page:
                # A message above the list tells what was done in the row; it is no page of the record.
                own = record_slots(self._world.kinds[visit.page].template)
                shown = {slot: text for slot, text in shown.items() if slot in own}
            for column, text in row.items():
                for slot, other in shown.items():
                    if text and text == other:
                        pairs[column, slot] += 1
        full = [pair for pair, count in pairs.items() if count == len(visits)]
        if not full:
            return None

        def rank(pair: tuple[str, str]) -> tuple[bool, int, bool]:
            column, slot = pair
            texts = [row.slots.get(column) for v in visits for row in v.reading.rows[rows_id]]
            clicked = column.startswith(f"{visits[0].target}.")
            heading = self._role_of(visits[0].next_page, slot) == "heading"
            return (clicked, len(set(texts)), heading)

        return max(full, key=rank)

    def _role_of(self, page: str, slot: str) -> str:
        return self._world.kinds[page].nodes[slot.split(".")[0]].role

    def _entity_name(self, page: str, rows_id: str, column: str) -> str:
        kind = self._world.kinds[page]
        headings = (n.label() for n in kind.template.walk() if n.role == "heading" and len(n.name) == 1)
        return self._unused(kind.labels.get(column) or next(headings, "") or f"{page} {rows_id}")

    def _unused(self, base: str) -> str:
        taken = {kind.entity for kind in self._world.kinds.values()}
        taken |= {rows.entity for kind in self._world.kinds.values() for rows in kind.lists.values()}
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base} {count}"
        return name

    def _spread(self, key: tuple[str, str, str], visits: Sequence[Visit]) -> bool:
        """Carry an entity over one kind of click outside rows; True when something was learned."""
        page, target, next_page = key
        kind, other = self._world.kinds[page], self._world.kinds[next_page]
        if other.key_slot:
            return False
        node = kind.nodes[target]
        named = list(node.slots())
        for slot in named:
            matching = self._slot_equal(visits, [v.reading.slots.get(slot, "") for v in visits])
            if matching and next_page != page:
                other.entity = self._entity_name(page, target, slot)
                other.key_slot = matching
                return True
        if kind.entity and kind.key_slot:
            matching = self._slot_equal(visits, [v.reading.slots.get(kind.key_slot, "") for v in visits])
            if matching:
                other.entity, other.key_slot = kind.entity, matching
                return True
        related = all(_related(v) for v in visits)
        if kind.entity and not other.entity and related and self._only_from(next_page, kind.entity):
            other.entity, other.inherits = kind.entity, True
            return True
        return False

    def _only_from(self, page: str, entity: str) -> bool:
        """Whether a page is only ever reached from pages of an entity (else it shows no record)."""
        return all(
            self._world.kinds[v.page].entity == entity or v.page == page
            for v in self._world.all_visits()
            if v.next_page == page
        ) and not any(
            t.start is not None and self._world.page_id(t.start) == page for t in self._world.traces
        )

    def _slot_equal(self, visits: Sequence[Visit], texts: Sequence[str]) -> str:
        for slot in visits[0].next_reading.slots:
            if all(t and v.next_reading.slots.get(slot) == t for v, t in zip(visits, texts, strict=True)):
                return slot
        return ""

    def _one_at_a_time(self, kind: PageKind, target: str, visits: Sequence[Visit]) -> None:
        """A page without rows that a link fills anew shows a record of its own each time."""
        if kind.entity or any(node.kind == "rows" for node in kind.template.walk()):
            return
        shown = [(v.reading.slots, v.next_reading.slots) for v in visits]
        asked = {t.recording: t.instruction for t in self._world.traces}
        last = {recording: found[-1].reading.slots for recording, found in self._world.visits.items()}

        def rank(slot: str) -> tuple[int, bool]:
            named = sum(slots.get(slot, "\0") in asked[recording] for recording, slots in last.items())
            return named, self._role_of(kind.id, slot) == "heading"

        own = [slot for slot in record_slots(kind.template) if slot not in kind.echoes]
        changing = [s for s in own if all(a.get(s) and b.get(s) and a[s] != b[s] for a, b in shown)]
        if not changing:
            return
        kind.key_slot = max(changing, key=rank)
        kind.entity = self._unused(kind.labels.get(kind.key_slot) or "record")
        kind.next = target
        others = (node for node in kind.template.walk() if node.id != target)
        kind.previous = next((node.id for node in others if PREVIOUS.search(node.label())), "")

    def _lists_by_value(self) -> None:
        """Lists nobody clicked in: of a known entity when a column holds its keys, else of one of
        their own."""
        keys: dict[str, set[str]] = defaultdict(set)
        open_lists: dict[tuple[str, str], list[list[Reading]]] = defaultdict(list)
        for kind, reading in self._world.all_readings():
            if kind.entity and kind.key_slot in reading.slots:
                keys[kind.entity].add(reading.slots[kind.key_slot])
            for rows_id, rows_found in reading.rows.items():
                rows = kind.lists.get(rows_id)
                if rows is not None:
                    keys[rows.entity] |= {row.slots.get(rows.key_slot, "") for row in rows_found}
                elif rows_found:
                    open_lists[kind.id, rows_id].append(rows_found)
        for (page, rows_id), readings in open_lists.items():
            column = self._unique_column(page, rows_id, readings)
            if not column:
                continue
            texts = {row.slots.get(column, "") for rows_found in readings for row in rows_found}
            entity = next((e for e, known in keys.items() if len(texts & known) * 2 > len(texts)), "")
            if not entity:
                entity = self._entity_name(page, rows_id, column)
                keys[entity] = texts
            self._world.kinds[page].lists[rows_id] = RowKind(entity, column)

    def _unique_column(self, page: str, rows_id: str, readings: Sequence[Sequence[Reading]]) -> str:
        """The first column that names each row by a text of its own, on every page seen."""
        rows_node = self._world.kinds[page].nodes[rows_id]
        for column in rows_node.slots(into_rows=True):
            if all(
                len({row.slots.get(column, "") for row in rows}) == len(rows)
                and all(row.slots.get(column) for row in rows)
                for rows in readings
            ):
                return column
        return ""


def _related(visit: Visit) -> bool:
    """Whether the address of the next page speaks of the same thing, or does not change at all."""
    before, after = visit.moment.before.path, visit.moment.after.path
    shared = set(before.split("/")) & set(after.split("/"))
    return before == after or any(any(c.isdigit() for c in part) for part in shared)
