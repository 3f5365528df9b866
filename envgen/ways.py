"""The way of a recording: what led to the end of its work, detours taken out.

A recording is cut into *stays* (one page, one record). Loops are erased between writes: what
returns to where it left without having changed anything is a detour. What remains is the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envgen.behaviour import ENTRY_VERBS, Behaviour
from envgen.kinds import Visit
from envgen.loops import Loop
from envgen.world import World


@dataclass(slots=True)
class Stay:
    """A run of moments on one page about one record, and the moment that left it."""

    recording: str
    page: str
    key: str
    visits: list[Visit]

    @property
    def leaving(self) -> Visit:
        return self.visits[-1]


def stays(world: World, behaviour: Behaviour, recording: str) -> list[Stay]:
    """The recording as stays, in order. A submission that was refused does not end a stay."""
    found: list[Stay] = []
    for visit in world.visits[recording]:
        if (
            not found
            or found[-1].page != visit.page
            or found[-1].key != visit.before_key
            or _left(found[-1], behaviour)
        ):
            found.append(Stay(recording, visit.page, visit.before_key, []))
        found[-1].visits.append(visit)
    return found


def _left(stay: Stay, behaviour: Behaviour) -> bool:
    last = stay.leaving
    return (last.recording, last.index) in behaviour.writes


def _passed_over(stay: Stay, following: Stay) -> bool:
    """Whether another record was only looked at, beside the list from which the next one was opened."""
    opened = stay.leaving.row is not None and stay.page == following.page
    return opened and not any(visit.verb in ENTRY_VERBS for visit in stay.visits)


def _gone_back(found: Sequence[Stay], stay: Stay, behaviour: Behaviour) -> int | None:
    """Which of the stays so far sent the form that a stay has come back to, to be sent again."""
    for index in range(len(found) - 1, -1, -1):
        if (found[index].page, found[index].key) == (stay.page, stay.key):
            last = found[index].leaving
            return index if (last.recording, last.index) in behaviour.superseded else None
    return None


def way(world: World, behaviour: Behaviour, recording: str, loops: Sequence[Loop] = ()) -> list[Stay]:
    """The stays that led to the last write, detours taken out.

    A page that is come back to before the next write is joined with its first visit. How a list is come back
    to whose rows are worked on one by one is left out: any way will do.
    """
    found: list[Stay] = []
    segment: list[Stay] = []
    list_page = ""
    for stay in stays(world, behaviour, recording):
        if list_page and stay.page == list_page:
            segment, list_page = [], ""
        if stay.leaving.target in world.kinds[stay.page].turns:
            # Records that are shown one at a time are turned over until the right one comes.
            continue
        places = [(s.page, s.key) for s in segment]
        if (sent := _gone_back(found, stay, behaviour)) is not None:
            # The form is sent again: what came after it the first time is a detour.
            segment = [found[sent]]
            del found[sent:]
            places = [(stay.page, stay.key)]
        if (stay.page, stay.key) in places:
            index = places.index((stay.page, stay.key))
            del segment[index + 1 :]
            segment[index] = Stay(recording, stay.page, stay.key, [*segment[index].visits, *stay.visits])
        else:
            if segment and _passed_over(segment[-1], stay):
                segment.pop()
            segment.append(stay)
        if _left(stay, behaviour):
            found += segment
            segment = []
            write = behaviour.writes[stay.leaving.recording, stay.leaving.index]
            list_page = next((p.page for p in loops if p.write == write and not p.at_once), "")
    if not found:
        # Nothing was written: the way leads to the last page that was left.
        found = segment
    return found
