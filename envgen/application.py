"""The replica of the application in one episode: what its pages show in the present state."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envgen.arranged import Arranged, direction, in_order
from envgen.disturbances import Overlay, overlay_page, relabelled, reorder_fields
from envgen.expressions import evaluate
from envgen.generators import Instance
from envgen.makers import Record
from envgen.observe import Known, Screen
from envgen.paging import neighbour
from envgen.render import PageRenderer, Rendered
from envgen.rows import Row
from envgen.state import Facts, State, StateContext, in_row
from envgen.suggestions import fitting, pool
from envgen.workflow import Control, Filter, ListView, PageModel
from ingest.action import CHECKABLE_ROLES

_NO_PAGING = 10_000
_LOOKS_KEPT = 256


@dataclass(slots=True)
class Look:
    """A page as it was shown, with what is derived from it.

    Attributes:
        potentials: Share of the milestones by whether the work was declared done, where asked before.
    """

    rendered: Rendered
    screen: Screen
    potentials: dict[bool, float | None] = field(default_factory=dict)


Looks = dict[tuple[Any, ...], Look]
"""Looks by everything that decides about them, of one instance with its disturbances."""


class Pages:
    """What never changes: a workflow's facts and its renderers. Shared by all episodes."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.renderers = {page: PageRenderer(model) for page, model in facts.pages.items()}
        self.lines: Known = {}


class Application:
    """The state of an episode, and the pages that show it. Implements :class:`envgen.render.Source`.

    Args:
        looks: Looks of the same instance under the same disturbances, to be shared.
    """

    def __init__(
        self,
        pages: Pages,
        instance: Instance,
        disturbed: frozenset[str],
        looks: Looks,
        state: State | None = None,
    ) -> None:
        self.pages = pages
        self.facts = pages.facts
        self.disturbed = disturbed
        self.overlay = Overlay.of(disturbed, instance.seed)
        self.looks = looks
        self.state = state or State(self.facts.workflow.start, _ordered(instance, disturbed))
        self.aim(instance)
        if state is None:
            self.arrive(self.facts.workflow.start)

    def aim(self, instance: Instance) -> None:
        """Let expressions be about an instance from here on."""
        self.instance = instance
        self.context = StateContext(self.facts, instance, self.state, self.rows_of)

    def copy(self) -> Application:
        """An independent copy of the episode as it is now."""
        return Application(self.pages, self.instance, self.disturbed, self.looks, self.state.copy())

    # What pages show

    def look(self) -> Look:
        """The page now. The same state is shown by the same objects."""
        state = self.state
        key = (
            state.page,
            tuple(state.drafts.values()),
            state.messages,
            state.overlay,
            tuple(state.lists.items()),
            tuple(state.bound.items()),
            tuple(state.submitted.items()),
            tuple(state.message_slots.items()),
            tuple(state.told.items()),
            state.writes,
            state.changes,
        )
        found = self.looks.get(key)
        if found is None:
            rendered = self._render()
            found = Look(rendered, Screen(rendered.page, self.pages.lines))
            if len(self.looks) >= _LOOKS_KEPT:
                self.looks.clear()
            self.looks[key] = found
        return found

    def _render(self) -> Rendered:
        rendered = self.pages.renderers[self.state.page].render(self)
        if "fields" in self.disturbed:
            rendered = Rendered(reorder_fields(rendered.page, self.instance.seed), rendered.named)
        if "labels" in self.disturbed:
            rendered = relabelled(rendered, self.instance.seed)
        covered = self.state.overlay
        return overlay_page(rendered, self.overlay, covered) if covered else rendered

    def slot(self, page: str, slot: str) -> str:
        """The text of a slot outside rows."""
        told = self.state.message_slots.get(slot)
        if told is not None:
            return told
        name = self.facts.fields[page].get(slot)
        model = self.facts.pages[page]
        if name is not None or slot == model.key_slot:
            key = self.state.bound.get(model.entity)
            if key is None:
                return ""
            if slot == model.key_slot:
                return key
            return self.state.records[model.entity].get(key, {}).get(name or "", "")
        source = self.facts.sources[page].get(slot)
        return "" if source is None else evaluate(source, self.context) or ""

    def present(self, page: str, part: str) -> bool:
        """Whether an optional node, or a state of a node, is there."""
        if part in self.state.messages:
            return True
        if part in self.facts.messages[page]:
            return False
        for view in self.facts.lists[page].values():
            if part == view.next:
                return self.arranged(page, view).offset + size(view) < len(self.matching(page, view))
            if part == view.previous:
                return self.arranged(page, view).offset > 0
        model = self.facts.pages[page]
        own = self.facts.controls.get(f"{page}.{part}")
        if own is not None and own.suggests is not None:
            return bool(self.suggested(own.suggests.field))
        field = f"{page}.{part.removesuffix(':expanded')}"
        if part.endswith(":expanded") and field in self.facts.suggests:
            return bool(self.suggested(field))
        if part in (model.next, model.previous):
            return self.turned(model, part == model.next) is not None
        condition = self.facts.conditions[page].get(part)
        return condition is None or evaluate(condition, self.context) == "yes"

    def present_in_row(self, page: str, part: str, rows: str, key: str) -> bool:
        """Whether an optional part of a record's row is there, as the record is now."""
        condition = self.facts.row_conditions[page, rows].get(part)
        if condition is None:
            return self.present(page, part)
        entity = self.facts.lists[page][rows].entity
        return evaluate(condition, Row(self.context, entity, self.state.records[entity][key])) == "yes"

    def entered_in(self, control: Control, key: str = "") -> str:
        return self.state.drafts.get(in_row(control.id, key), "")

    def options_in(self, control: Control) -> tuple[str, ...]:
        if control.suggests is not None:
            return self.suggested(control.suggests.field)
        if not control.options_by:
            return self.instance.options.get(control.id, control.options)
        by = self.state.drafts.get(control.options_by, "")
        shown = self.instance.offered.get((control.id, by))
        return shown if shown is not None else self.facts.options_for[control.id].get(by, control.options)

    def suggested(self, field: str) -> tuple[str, ...]:
        """What is offered to complete what is typed in a field; nothing where it was picked."""
        given = self.facts.suggests[field]
        typed = self.state.drafts.get(field, "")
        if given.suggests is None or not typed or not self.typed_only(field):
            return ()
        return fitting(pool(given.suggests, self.instance.records), given.suggests.fits, typed)

    def typed_only(self, field: str) -> bool:
        """Whether what is in a field was typed where it can be picked from a list."""
        given, drafts = self.facts.suggests.get(field), self.state.drafts
        return given is not None and drafts.get(given.id, "") != drafts.get(field, "")

    def rows_of(self, page: str, rows: str) -> Sequence[tuple[str, Record]]:
        """Key and record of each row a list shows now."""
        view = self.facts.lists[page].get(rows)
        if view is None:
            return []
        records = self.state.records[view.entity]
        return [(key, records[key]) for key in self.shown_keys(page, view)]

    def shown_keys(self, page: str, view: ListView) -> list[str]:
        """Keys of the records in the rows that are on the screen."""
        offset = self.arranged(page, view).offset
        return self.matching(page, view)[offset : offset + size(view)]

    def turned(self, model: PageModel, onward: bool) -> str | None:
        """The record after or before the one that is shown, where they are shown one at a time."""
        records = self.state.records[model.entity]
        return neighbour(records, self.state.bound.get(model.entity, ""), 1 if onward else -1)

    def arranged(self, page: str, view: ListView) -> Arranged:
        """What a list is searched for, how it is filtered and ordered, and the first row shown."""
        return self.state.lists.get(f"{page}.{view.rows}", Arranged())

    def matching(self, page: str, view: ListView) -> list[str]:
        """Keys of the records a list shows as it is arranged now, over all its pages."""
        arranged = self.arranged(page, view)
        query = arranged.query.strip().lower()
        records = self.state.records.get(view.entity, {})
        if view.until and self.state.gone:
            records = {k: r for k, r in records.items() if (view.until, k) not in self.state.gone}
        keys = list(records)
        if query:
            keys = [
                key for key, record in records.items()
                if any(query in record.get(name, "").lower() for name in view.search_fields)
            ]  # fmt: skip
        for control, value in arranged.filters:
            found = next(each for each in view.filters if each.node == (control or value))
            keys = [key for key in keys if self.shows(page, view, found, value, key) != "no"]
        if arranged.sort >= 0:
            sort = view.sorts[arranged.sort]
            keys = in_order(keys, records, sort.field, sort.by, direction(sort, arranged.clicks))
        return keys

    def shows(self, page: str, view: ListView, found: Filter, value: str, key: str) -> str:
        """Whether a list shows a record with a value in a filter: ``yes``, ``no``, "" where nobody saw it."""
        record = self.state.records[view.entity][key]
        said = evaluate(found.where, Row(self.context, view.entity, record, {f"{page}.{found.node}": value}))
        return said or ""

    # Arriving

    def arrive(self, page: str) -> None:
        """Open a page anew: initial values in its form, lists from their beginning."""
        state = self.state
        model = self.facts.pages[page]
        state.page = page
        state.drafts = {}
        state.message_slots = {}
        if model.next and model.entity not in state.bound:
            state.bound[model.entity] = next(iter(state.records[model.entity]), "")
        for control in model.controls:
            value = "" if control.initial is None else evaluate(control.initial, self.context) or ""
            if control.begins_with_first:
                value = next(iter(self.options_in(control)), "")
            state.drafts[control.id] = value or ("off" if control.role in CHECKABLE_ROLES else "")
            view = self.facts.row_controls.get(control.id)
            if view is not None:
                # Every row has its own, also those on other pages of the list.
                del state.drafts[control.id]
                empty = "off" if control.role in CHECKABLE_ROLES else ""
                stands = self.facts.given_in_rows.get(control.id, "")
                state.drafts |= {
                    in_row(control.id, key): record.get(stands, empty)
                    for key, record in state.records[view.entity].items()
                }
        for completed, given in self.facts.suggests.items():
            if completed in state.drafts:
                # What stands there from the beginning was picked before.
                state.drafts[given.id] = state.drafts[completed]
        for view in model.lists:
            chosen = [f.node for f in view.filters if not f.clicked]
            begun = tuple((node, state.drafts.get(f"{page}.{node}", "")) for node in sorted(chosen))
            state.lists[f"{page}.{view.rows}"] = Arranged(filters=begun)
        key = state.bound.get(model.entity, "") if model.entity else ""
        state.visited |= {(page, key)}
        self.see_rows()
        state.arrivals += 1
        state.overlay = self.overlay.due(state) or state.overlay

    def see_rows(self) -> None:
        """Remember which records' rows were on the screen: what they say is known from now on."""
        page = self.state.page
        for view in self.facts.pages[page].lists:
            place = f"{page}.{view.rows}"
            self.state.visited |= {(place, key) for key in self.shown_keys(page, view)}


def size(view: ListView) -> int:
    """Rows a list shows at once."""
    return view.page_size or _NO_PAGING


def _ordered(instance: Instance, disturbed: frozenset[str]) -> Mapping[str, Mapping[str, Record]]:
    if "rows" not in disturbed:
        return instance.records
    rng = random.Random(f"rows {instance.seed}")
    found = {}
    for entity, records in instance.records.items():
        items = list(records.items())
        rng.shuffle(items)
        found[entity] = dict(items)
    return found
