"""Fields that offer what fits the letters typed so far: which list belongs to which, and what it offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from envgen.kinds import PageKind, Visit
from envgen.workflow import Suggestions
from envgen.world import World
from ingest.action import FILLABLE_ROLES

_TYPED_IN = FILLABLE_ROLES | {"combobox"}
FITS: dict[str, Callable[[str, str], bool]] = {
    "start": lambda option, typed: option.startswith(typed),
    "word": lambda option, typed: f" {option}".find(f" {typed}") >= 0,
    "anywhere": lambda option, typed: typed in option,
}
"""How an option fits what was typed; both in lower case."""


def fitting(options: Sequence[str], how: str, typed: str) -> tuple[str, ...]:
    """The options offered for what was typed."""
    fits = FITS[how]
    return tuple(option for option in options if fits(option.lower(), typed.lower()))


def suggestions(world: World, kind: PageKind) -> Iterator[tuple[str, Suggestions]]:
    """The lists of a page from which a field was always completed, by their node."""
    picks: dict[str, list[Visit]] = {}
    for visit in world.all_visits():
        if (
            visit.page == visit.next_page == kind.id
            and kind.nodes[visit.target or kind.template.id].role == "listbox"
        ):
            picks.setdefault(visit.target, []).append(visit)
    for node, visits in picks.items():
        for field in kind.template.walk():
            if field.role in _TYPED_IN and field.kind == "control" and _completed(visits, node, field.id):
                yield node, _learned(world, kind, node, field.id, [*map(_picked, visits)])
                break


def _picked(visit: Visit) -> str:
    target = visit.moment.action.target
    return visit.value or (target.name if target is not None else "")


def _completed(visits: Sequence[Visit], node: str, field: str) -> bool:
    """Whether what was picked stood in the field every time, and the list was gone."""
    return all(
        visit.next_reading.controls.get(field) == _picked(visit) != visit.reading.controls.get(field, "")
        and not visit.next_reading.options.get(node)
        for visit in visits
    )


def _learned(world: World, kind: PageKind, node: str, field: str, picked: Sequence[str]) -> Suggestions:
    shown = dict.fromkeys(
        (reading.controls.get(field, ""), reading.options[node])
        for of, reading in world.all_readings()
        if of is kind and reading.options.get(node)
    )
    options = [*dict.fromkeys(option for _, offered in shown for option in offered)]
    if all(list(offered) == sorted(offered) for _, offered in shown):
        options.sort()
    # The narrowest way to fit that offers all that was offered, and nothing else of what is known.
    how = next((h for h in FITS if all(fitting(options, h, t) == o for t, o in shown)), "")
    return Suggestions(
        field=f"{kind.id}.{field}",
        options=tuple(options),
        fits=how
        or next(
            (h for h in FITS if all(set(o) <= set(fitting(options, h, t)) for t, o in shown)), "anywhere"
        ),
        known=bool(how),
        sources=tuple(_sources(world, set(picked))),
        only=_only_picked(world, kind.id, node, field),
    )


def _sources(world: World, picked: set[str]) -> Iterator[tuple[str, str]]:
    """Fields of records that said everything that was picked: what they say elsewhere can be picked too."""
    said: dict[tuple[str, str], set[str]] = {}
    for records in world.records.values():
        for entity, rows in records.items():
            for row in rows.values():
                for name, text in row.items():
                    said.setdefault((entity, name), set()).add(text)
    yield from (place for place, texts in said.items() if picked <= texts)


def _only_picked(world: World, page: str, node: str, field: str) -> bool:
    """Whether nobody left the page with something in the field that was typed, not picked."""
    for visits in world.visits.values():
        typed = False
        for visit in visits:
            if visit.page == page and visit.target in (node, field):
                typed = visit.target == field
            elif visit.page == page != visit.next_page and typed:
                return False
    return True


def pool(given: Suggestions, records: Mapping[str, Mapping[str, Mapping[str, str]]]) -> tuple[str, ...]:
    """Everything a list may offer where there are these records."""
    more = (
        row[name]
        for entity, name in given.sources
        for row in records.get(entity, {}).values()
        if row.get(name)
    )
    found = dict.fromkeys((*given.options, *more))
    return tuple(sorted(found) if list(given.options) == sorted(given.options) else found)
