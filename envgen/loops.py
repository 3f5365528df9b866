"""Work that experts repeat for rows of a list, found by what they do several times in a recording.

Three shapes are known: something is clicked in each of the rows; each of the records is opened and a form
about it sent; something is entered in each of the rows, and one form sends them all. The last is known where
it is one row every time as well: the one that is chosen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from envgen.behaviour import ENTRY_VERBS, Behaviour
from envgen.kinds import PageKind, Visit
from envgen.templates import Reading, TemplateNode
from envgen.world import World

# Twice in one recording may be a slip that was put right.
_RECORDINGS = 2


@dataclass(frozen=True, slots=True)
class Loop:
    """What is repeated, as the recordings show it.

    Attributes:
        node: What is clicked in each row, "" where rows are only filled in.
        write: The kind of change that is made: for each of the rows, or for all of them (``at_once``).
        worked: By recording that shows the list, the keys of the rows that were worked on, in order.
        steps: ``(recording, moment)`` of the clicks in rows.
    """

    page: str
    rows: str
    entity: str
    node: str
    write: str
    at_once: bool
    worked: Mapping[str, tuple[str, ...]]
    steps: frozenset[tuple[str, int]]

    @property
    def one(self) -> bool:
        """Whether it is one row at a time, or none; mostly one."""
        counts = [len(keys) for keys in self.worked.values()]
        return max(counts) == 1 and sum(counts) * 2 > len(counts)


@dataclass(frozen=True, slots=True)
class _Place:
    page: str
    rows: str
    node: str
    write: str
    at_once: bool


def find_loops(world: World, behaviour: Behaviour) -> list[Loop]:
    """What several recordings do for more than one row each; at most one loop a page."""
    worked: dict[_Place, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    steps: dict[_Place, set[tuple[str, int]]] = defaultdict(set)
    for (recording, index), write in sorted(behaviour.writes.items()):
        for place, key, step in _rows_of(world, world.visits[recording][index], write):
            if key not in worked[place][recording]:
                worked[place][recording].append(key)
            if not place.at_once:
                steps[place].add(step)
    found: list[Loop] = []
    for place, by in sorted(worked.items(), key=lambda item: -sum(map(len, item[1].values()))):
        taken = {loop.page for loop in found}, {loop.write for loop in found}
        if place.page in taken[0] or place.write in taken[1]:
            continue
        shown = {
            trace.recording: tuple(by.get(trace.recording, ()))
            for trace in world.traces
            if any(True for _ in readings(world, place.page, trace.recording))
        }
        entity = world.kinds[place.page].lists[place.rows].entity
        clicks = frozenset(steps[place])
        loop = Loop(place.page, place.rows, entity, place.node, place.write, place.at_once, shown, clicks)
        if _repeated(world, by) or (loop.one and loop.at_once and len(shown) >= _RECORDINGS):
            found.append(loop)
    return found


def _repeated(world: World, by: Mapping[str, Sequence[str]]) -> bool:
    """Whether it is several rows in several recordings, and not those that their instructions name."""
    told = {trace.recording: trace.instruction for trace in world.traces}
    several = [(recording, keys) for recording, keys in by.items() if len(keys) > 1]
    named = all(key in told[recording] for recording, keys in several for key in keys)
    return len(several) >= _RECORDINGS and not named


def _rows_of(world: World, visit: Visit, write: str) -> Iterator[tuple[_Place, str, tuple[str, int]]]:
    """The rows that a change is about, how it comes to them, and the click in the row."""
    kind = world.kinds[visit.page]
    if visit.row is not None:
        if visit.rows_id in kind.lists:
            place = _Place(kind.id, visit.rows_id, visit.target, write, False)
            yield place, row_key(kind, visit), (visit.recording, visit.index)
        return
    for rows_id in kind.lists:
        controls = touched_in_rows(world, kind, rows_id)
        for _, key, _ in filled_rows(world, visit, rows_id, controls):
            yield _Place(kind.id, rows_id, "", write, True), key, (visit.recording, visit.index)
    if kind.entity and visit.before_key:
        opened = _opened(world, visit, kind.entity)
        if opened is not None:
            place = _Place(opened.page, opened.rows_id, opened.target, write, False)
            yield place, visit.before_key, (opened.recording, opened.index)


def _opened(world: World, visit: Visit, entity: str) -> Visit | None:
    """The click in a list that opened the record a form is about."""
    for earlier in reversed(world.visits[visit.recording][: visit.index]):
        kind = world.kinds[earlier.page]
        rows = kind.lists.get(earlier.rows_id)
        if earlier.row is not None and rows is not None and rows.entity == entity:
            return earlier if row_key(kind, earlier) == visit.before_key else None
    return None


def row_key(kind: PageKind, visit: Visit) -> str:
    """The key of the row that was clicked in."""
    assert visit.row is not None
    return visit.reading.rows[visit.rows_id][visit.row].slots.get(kind.lists[visit.rows_id].key_slot, "")


def controls_in_rows(kind: PageKind, rows_id: str) -> list[TemplateNode]:
    """The controls that every row of a list has."""
    return [node for node in kind.nodes[rows_id].walk() if node.kind == "control"]


def touched_in_rows(world: World, kind: PageKind, rows_id: str) -> list[str]:
    """Those of them that somebody entered something in."""
    touched = {v.target for v in world.all_visits() if v.page == kind.id and v.verb in ENTRY_VERBS}
    return [node.id for node in controls_in_rows(kind, rows_id) if node.id in touched]


def filled_rows(
    world: World, visit: Visit, rows_id: str, controls: Sequence[str]
) -> Iterator[tuple[int, str, Reading]]:
    """The rows in which something else is entered than stood there at first: index, key, and the row.

    Of radio buttons one is chosen, whichever it was before.
    """
    kind = world.kinds[visit.page]
    rows = kind.lists[rows_id]
    choices = {control for control in controls if kind.nodes[control].role == "radio"}
    records = world.records[visit.recording].get(rows.entity, {})
    for index, row in enumerate(visit.reading.rows.get(rows_id, ())):
        key = row.slots.get(rows.key_slot, "")
        stood = {control: records.get(key, {}).get(name, "") for control, name in rows.given.items()}
        changed = {c for c in controls if (row.controls.get(c) or "off") != (stood.get(c) or "off")}
        if changed - choices or any(row.controls.get(c) == "on" for c in choices):
            yield index, key, row


def readings(world: World, page: str, recording: str) -> Iterator[Reading]:
    """A kind of page as a recording shows it, in order."""
    for visit in world.visits[recording]:
        if visit.page == page:
            yield visit.reading
        if visit.next_page == page:
            yield visit.next_reading


def rows_shown(world: World, loop: Loop, recording: str) -> dict[str, dict[str, str]]:
    """Key and fields of the rows a recording shows, as they were first seen."""
    rows = world.kinds[loop.page].lists[loop.rows]
    found: dict[str, dict[str, str]] = {}
    for reading in readings(world, loop.page, recording):
        for row in reading.rows.get(loop.rows, ()):
            said = {name: row.slots[slot] for slot, name in rows.fields.items() if slot in row.slots}
            said |= {name: text for c, name in rows.given.items() if (text := row.controls.get(c, ""))}
            found.setdefault(row.slots.get(rows.key_slot, ""), said)
    return found


def gone(world: World, loop: Loop, previous: str) -> bool:
    """Whether rows that were worked on are on the list no more: always, as far as it was seen again.

    Args:
        previous: The link to earlier rows, "" where there is none; only the list's beginning tells then.
    """
    kind = world.kinds[loop.page]
    again = still = 0
    for recording in loop.worked:
        done: set[str] = set()
        for visit in world.visits[recording]:
            at_first = visit.page == loop.page and previous not in visit.reading.present
            if (visit.recording, visit.index) in loop.steps and not loop.at_once and at_first:
                done.add(row_key(kind, visit))
            if visit.next_page == loop.page and previous not in visit.next_reading.present:
                again += len(done)
                still += len(done & _keys(kind, loop, visit.next_reading))
    return again > 0 and still == 0


def keeps_place(world: World, loop: Loop, previous: str) -> bool:
    """Whether a list of several pages stays where it is when something is done in one of its rows."""
    visits = (v for found in world.visits.values() for v in found if (v.recording, v.index) in loop.steps)
    # The only row of its page may take the page with it.
    further = [
        v
        for v in visits
        if previous in v.reading.present and v.next_page == v.page and len(v.reading.rows[v.rows_id]) > 1
    ]
    return bool(further) and all(previous in v.next_reading.present for v in further)


def _keys(kind: PageKind, loop: Loop, reading: Reading) -> set[str]:
    slot = kind.lists[loop.rows].key_slot
    return {row.slots.get(slot, "") for row in reading.rows.get(loop.rows, ())}
