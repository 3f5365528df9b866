"""What puts a list's rows in another order, learned from recordings.

What is clicked, or chosen in a field, orders the rows when they are in the order of a column after each use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from envgen.arranged import ASCENDING, comparisons, seen_order
from envgen.kinds import Visit
from envgen.list_readings import Fields, ListReadings, positions
from envgen.templates import Reading
from envgen.texts import without_order
from envgen.values import folded
from envgen.workflow import Sort

# Fewer different values are in order by chance.
_TELLING = 3
Moments = dict[tuple[str, int, bool], str]
"""``(recording, moment, after)`` -> in which order the rows were, in words."""


def sorts_clicked(readings: ListReadings) -> list[Sort]:
    """Orders that links and buttons give."""
    found: list[Sort] = []
    for node, runs in readings.clicked().items():
        every = [visit for run in runs for visit in run]
        label = without_order(readings.kind.nodes[node].label().replace("…", ""))
        column = _column(readings, [readings.rows(v.next_reading) for v in every], label)
        if column is None or not any(map(readings.moved, every)) or not all(map(readings.same_rows, every)):
            continue
        name, by = column
        turns = _in_turn([[_way(readings, name, by, v.next_reading) or "" for v in run] for run in runs])
        if turns is not None:
            found.append(Sort(node=node, field=name, by=by, directions=turns[0], again=turns[1]))
    # What a further click does is the same for all columns of a list.
    longest = max(found, key=lambda sort: len(sort.directions), default=None)
    if longest is None:
        return []
    same = {"directions": longest.directions, "again": longest.again}
    return [
        sort.model_copy(update=same)
        if longest.directions[: len(sort.directions)] == sort.directions
        else sort
        for sort in found
    ]


def sorts_chosen(readings: ListReadings, control: str, button: str) -> list[Sort]:
    """Orders that are chosen in a field; none unless every option seen gives one.

    Args:
        button: What applies the choice, "" where it applies at once.
    """
    by_option: dict[str, list[Visit]] = defaultdict(list)
    for visit in (v for stay in readings.stays for v in stay if v.target == (button or control)):
        by_option[visit.next_reading.controls.get(control, "")].append(visit)
    found = []
    for option, visits in by_option.items():
        column = _column(readings, [readings.rows(v.next_reading) for v in visits], option)
        if column is None:
            return []
        ways = {_way(readings, *column, v.next_reading) or "" for v in visits} - {""}
        if len(ways) != 1:
            return []
        name, by = column
        applied = {"node": control, "option": option, "button": button, "again": True}
        found.append(Sort.model_validate({**applied, "field": name, "by": by, "directions": tuple(ways)}))
    return found


def follow(readings: ListReadings, sorts: Sequence[Sort], applying: set[str]) -> tuple[bool, Moments]:
    """Whether searching or filtering ends an order, and in which order the rows were at every moment.

    Args:
        applying: What is clicked or chosen to search or to filter.
    """
    ends = {ended for stay in readings.stays for ended in _ends(readings, stay, sorts, applying)}
    anew = ends == {True}
    found: Moments = {}
    for stay in readings.stays:
        now, said = None, ""
        for visit in stay:
            found[visit.recording, visit.index, False] = said
            sort = _used(sorts, visit)
            now = sort or (None if anew and visit.target in applying else now)
            way = None if now is None else _way(readings, now.field, now.by, visit.next_reading)
            if now is None or way is None:
                now, said = None, ""
            elif way:
                said = f"{now.field} {way}"
            found[visit.recording, visit.index, True] = said
            # What comes next, if it leaves the page, leaves it in this order.
            found[visit.recording, visit.index + 1, False] = said
    return anew, found


def _used(sorts: Sequence[Sort], visit: Visit) -> Sort | None:
    """The order that a moment gives."""
    for sort in sorts:
        chosen = not sort.option or visit.next_reading.controls.get(sort.node) == sort.option
        if visit.target == (sort.button or sort.node) and chosen:
            return sort
    return None


def _ends(
    readings: ListReadings, stay: Sequence[Visit], sorts: Sequence[Sort], applying: set[str]
) -> set[bool]:
    """Whether filtering ended an order; nothing where the rows would be the same in either case."""
    found: set[bool] = set()
    now: Sort | None = None
    for visit in stay:
        sort = _used(sorts, visit)
        if sort is None and now is not None and visit.target in applying:
            found |= _ended(readings, now, stay[0], visit)
            now = None
        now = sort or now
    return found


def _ended(readings: ListReadings, sort: Sort, opening: Visit, visit: Visit) -> set[bool]:
    if _way(readings, sort.field, sort.by, visit.next_reading) is None:
        return {True}
    slots = list(readings.kind.nodes[sort.node].slots())
    first, before, after = (
        [reading.slots.get(slot, "") for slot in slots]
        for reading in (opening.reading, visit.reading, visit.next_reading)
    )
    if first != before:
        # What is clicked says itself whether the rows are in its order.
        return {after == first}
    places = positions(readings.keys(visit.next_reading), readings.keys(opening.reading))
    return set() if places == sorted(places) else {False}


def _way(readings: ListReadings, name: str, by: str, reading: Reading) -> str | None:
    return seen_order([row.get(name, "") for row in readings.rows(reading)], by)


def _column(readings: ListReadings, lists: Sequence[Sequence[Fields]], label: str) -> tuple[str, str] | None:
    """The column that all of these lists are in the order of, and what its texts are compared as."""
    called = [n for n in readings.names if folded(n) == folded(label)]
    mentioned = called or [n for n in readings.names if folded(n) in folded(label)]
    for name in mentioned or readings.names:
        texts = [[row.get(name, "") for row in rows] for rows in lists]
        for by in comparisons([text for each in texts for text in each], readings.day_first):
            orders = [seen_order(each, by) for each in texts]
            telling = any(
                order and (mentioned or len(set(each)) >= _TELLING)
                for order, each in zip(orders, texts, strict=True)
            )
            if telling and None not in orders:
                return name, by
    return None


def _in_turn(steps: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], bool] | None:
    """Directions of clicks on end, and whether they begin again; None where they differ from time to time."""
    ways: list[str] = []
    for index in range(max(len(run) for run in steps)):
        seen = {run[index] for run in steps if len(run) > index and run[index]}
        if len(seen) > 1:
            return None
        # Rows that are all the same show no direction.
        ways.append(seen.pop() if seen else (ways[index - 2] if index > 1 else ASCENDING))
    for period in range(1, len(ways)):
        if all(way == ways[index % period] for index, way in enumerate(ways)):
            return tuple(ways[:period]), True
    return tuple(ways), False
