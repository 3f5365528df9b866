"""One list as the recordings show it: its rows, what is done to it, and when it is at rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from envgen.kinds import PageKind, Visit
from envgen.paging import NEXT, PREVIOUS
from envgen.templates import Reading, own_nodes
from envgen.world import World
from ingest.action import CHECKABLE_ROLES, SELECTABLE_ROLES

Fields = Mapping[str, str]
_CLICKABLE = frozenset({"link", "button", "clickable", "columnheader", "tab", "menuitem"})
_CHOSEN_ROLES = CHECKABLE_ROLES | SELECTABLE_ROLES


@dataclass(slots=True)
class Shown:
    """Rows as they were shown at rest, with the values that decide about them.

    Attributes:
        values: Control -> its value when the rows were chosen.
        rows: Of each row its fields, in order.
        others: Rows of the list that the recording shows elsewhere, and that would stand here as well, were
            they shown with those values.
    """

    values: Mapping[str, str]
    rows: Sequence[Fields]
    others: Sequence[Fields]


class ListReadings:
    """Everything the recordings show of one list.

    Attributes:
        stays: What is done to the list, as often as its page was opened, while nobody leaves it.
        names: The columns.
    """

    def __init__(self, world: World, kind: PageKind, rows_id: str) -> None:
        self.kind, self._world, self._rows_id = kind, world, rows_id
        self.day_first = world.day_first
        self._row_kind = kind.lists[rows_id]
        self.entity = self._row_kind.entity
        self.key_field = self._row_kind.fields.get(self._row_kind.key_slot, "")
        self.names = list(dict.fromkeys(name for name in self._row_kind.fields.values() if name))
        leading = [n for n in own_nodes(kind.template) if n.role in _CLICKABLE]
        self._next = [n for n in leading if NEXT.search(n.label())]
        self._previous = [n for n in leading if PREVIOUS.search(n.label())]
        self.stays = [stay for visits in world.visits.values() for stay in self._split(visits)]
        self._known = {recording: self._all_rows(recording) for recording in world.visits}
        # The rows that a recording shows first, in the order that nobody chose.
        self._first = {stay[0].recording: self.keys(stay[0].reading) for stay in reversed(self.stays)}

    def _split(self, visits: Sequence[Visit]) -> Iterator[list[Visit]]:
        run: list[Visit] = []
        for visit in visits:
            if visit.page == visit.next_page == self.kind.id and visit.row is None:
                run.append(visit)
                continue
            if run:
                yield run
            run = []
        if run:
            yield run

    def rows(self, reading: Reading) -> list[dict[str, str]]:
        """The fields of the rows on a page, in order."""
        names = self._row_kind.fields
        return [
            {names[slot]: text for slot, text in row.slots.items() if slot in names}
            for row in reading.rows.get(self._rows_id, ())
        ]

    def keys(self, reading: Reading) -> list[str]:
        """The keys of the rows on a page, in order."""
        return [row.get(self.key_field, "") for row in self.rows(reading)]

    def _all_rows(self, recording: str) -> dict[str, Fields]:
        found: dict[str, Fields] = {}
        for visit in self._world.visits[recording]:
            for page, reading in ((visit.page, visit.reading), (visit.next_page, visit.next_reading)):
                if page == self.kind.id:
                    found |= {row.get(self.key_field, ""): row for row in self.rows(reading)}
        return found

    def moved(self, visit: Visit) -> bool:
        """Whether other rows stand there afterwards, or the same in another order."""
        return self.keys(visit.reading) != self.keys(visit.next_reading)

    def same_rows(self, visit: Visit) -> bool:
        """Whether the rows may be the same ones as before, on another page of the list perhaps."""
        before, after = self.keys(visit.reading), self.keys(visit.next_reading)
        if self._back(visit.reading):
            return True
        if self._goes_on(visit.reading) or self._goes_on(visit.next_reading):
            return len(before) == len(after)
        return sorted(before) == sorted(after)

    def _goes_on(self, reading: Reading) -> bool:
        return any(n.id in reading.present or not n.optional for n in self._next)

    def _back(self, reading: Reading) -> bool:
        return any(n.id in reading.present for n in self._previous)

    def _turns(self, node: str) -> bool:
        label = self.kind.nodes[node].label()
        return bool(NEXT.search(label) or PREVIOUS.search(label)) or node in self.kind.turns

    # What is done to it

    def clicked(self) -> dict[str, list[list[Visit]]]:
        """What is clicked outside of rows on a page that stays: the clicks on end, each time anew."""
        found: dict[str, list[list[Visit]]] = defaultdict(list)
        for stay in self.stays:
            last = ""
            for visit in stay:
                node = visit.target
                if visit.verb != "click" or not node or self._turns(node):
                    # Entering something, or turning the pages over, does not put the rows in another order.
                    continue
                if self.kind.nodes[node].role not in _CLICKABLE:
                    continue
                if node != last:
                    found[node].append([])
                found[node][-1].append(visit)
                last = node
        return found

    def controls(self) -> dict[str, str]:
        """Fields that choose rows, each with the button that applies it, "" where it does so at once."""
        touched: dict[str, list[Visit]] = defaultdict(list)
        for visit in (v for stay in self.stays for v in stay if v.target in self.kind.nodes):
            if self.kind.nodes[visit.target].role in _CHOSEN_ROLES:
                touched[visit.target].append(visit)
        found = {}
        for control, visits in touched.items():
            at_once = any(map(self.moved, visits))
            button = "" if at_once else self._button(control)
            if at_once or button:
                found[control] = button
        return found

    def _button(self, control: str) -> str:
        """What is clicked after something was chosen, and changes the rows."""
        for stay in self.stays:
            pending = False
            for visit in stay:
                if visit.target == control:
                    pending = True
                elif pending and visit.verb == "click" and visit.target and not self._turns(visit.target):
                    if self.kind.nodes[visit.target].role in _CLICKABLE and self.moved(visit):
                        return visit.target
                    pending = False
        return ""

    # When it is at rest

    def settled(self, controls: Mapping[str, str], ordering: Iterable[str]) -> Iterator[Shown]:
        """The list when its page was opened, and whenever what stands in its fields was applied.

        Args:
            controls: The fields that may decide, with what applies them.
            ordering: What is clicked to put the rows in another order.
        """
        applying = {button or control for control, button in controls.items()}
        orders = set(ordering)
        for recording, visits in self._world.visits.items():
            applied: Mapping[str, str] = {}
            ordered = False
            if visits and visits[0].page == self.kind.id:
                applied = dict(visits[0].reading.controls)
                yield self.shown(recording, visits[0].reading, applied)
            for visit in visits:
                if visit.next_page != self.kind.id:
                    continue
                opened = visit.page != self.kind.id
                ordered = not opened and (ordered or visit.target in orders)
                values = visit.next_reading.controls
                if opened or visit.target in applying:
                    applied = dict(values)
                if all(applied.get(control) == text for control, text in values.items()):
                    yield self.shown(recording, visit.next_reading, applied, ordered=ordered)

    def shown(
        self, recording: str, reading: Reading, values: Mapping[str, str], *, ordered: bool = False
    ) -> Shown:
        """The rows on a page of a recording, and those that it leaves out.

        Args:
            ordered: Whether they may be in another order than the first.
        """
        known, there = self._known[recording], self.keys(reading)
        others = [key for key in known if key not in there]
        if self._goes_on(reading):
            # The list goes on: what stands before one of these rows is left out, of others nothing is known.
            first = self._first.get(recording, [])
            places = positions(there, first)
            in_order = not ordered and len(places) > 1 and places == sorted(places)
            others = [key for key in first[: places[-1]] if key not in there] if in_order else []
        if self._back(reading):
            others = []
        return Shown(values, self.rows(reading), [known[key] for key in others])


def positions(keys: Iterable[str], order: Sequence[str]) -> list[int]:
    """Where keys stand in an order, of those that do."""
    return [order.index(key) for key in keys if key in order]
