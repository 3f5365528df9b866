"""The recordings as facts: which page each moment was on, which record it showed, what was known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property

from envgen.kinds import PageKind, Records, Visit, record_slots
from envgen.linking import Linker
from envgen.pages import address_pattern, classify, cluster, data_texts, template_of
from envgen.templates import Reading, read
from envgen.traces import Page, Trace
from envgen.values import begins_with_day
from ingest.action import CHECKABLE_ROLES, FILLABLE_ROLES, resolve


class World:
    """Everything known from the traces."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self.traces = list(traces)
        self.data = data_texts(traces)
        self.kinds: dict[str, PageKind] = {}
        self._page_ids: dict[tuple[str, int], str] = {}
        for index, kind in enumerate(cluster(traces, self.data)):
            page_id = f"p{index + 1}"
            self.kinds[page_id] = PageKind(page_id, kind.address, template_of(kind, self.data))
            for _, page in kind.members:
                self._page_ids[address_pattern(page.path), id(page.node)] = page_id
        self._readings: dict[tuple[str, int], Reading] = {}
        self.visits: dict[str, list[Visit]] = {t.recording: self._visits(t) for t in traces}
        self._find_echoes()
        self._find_repeats()
        Linker(self).run()
        self.session: dict[str, dict[str, str]] = {t.recording: {} for t in traces}
        self._find_session()
        self.since = {recording: dict(self._first_said(visits)) for recording, visits in self.visits.items()}
        self.prefilled: dict[tuple[str, str], str] = {}
        self._find_prefilled()
        self._name_fields()
        self._follow_keys()
        self.records: dict[str, Records] = {t.recording: self._collect(t.recording) for t in traces}
        if self._find_given():
            self.records = {t.recording: self._collect(t.recording) for t in traces}
        self.fixed: Records = self._find_fixed()

    # Reading

    def page_id(self, page: Page) -> str:
        """The kind of a page of the traces."""
        known = self._page_ids.get((address_pattern(page.path), id(page.node)))
        if known is None:
            found = classify([(k.id, k.address, k.template) for k in self.kinds.values()], page)
            assert found is not None
            known = found[0]
            self._page_ids[address_pattern(page.path), id(page.node)] = known
        return known

    def reading(self, page: Page) -> tuple[str, Reading]:
        page_id = self.page_id(page)
        key = (page_id, id(page.node))
        found = self._readings.get(key)
        if found is None:
            found = read(self.kinds[page_id].template, page.node)
            self._readings[key] = found
        return page_id, found

    def all_visits(self) -> Iterator[Visit]:
        for visits in self.visits.values():
            yield from visits

    def all_readings(self) -> Iterator[tuple[PageKind, Reading]]:
        """Every page seen, with its kind."""
        for (page_id, _), reading in self._readings.items():
            yield self.kinds[page_id], reading

    @cached_property
    def day_first(self) -> bool:
        """Whether dates such as 03/04/2026 begin with the day, see :func:`envgen.values.begins_with_day`."""
        return begins_with_day(text for _, reading in self.all_readings() for text in reading.texts())

    def _visits(self, trace: Trace) -> list[Visit]:
        visits = []
        for index, moment in enumerate(trace.moments):
            page, reading = self.reading(moment.before)
            next_page, next_reading = self.reading(moment.after)
            visit = Visit(trace.recording, index, moment, page, reading, next_page, next_reading)
            if moment.action.target is not None:
                path = resolve(moment.before.node, moment.action.target)
                assert path is not None
                # A target inside something the template does not resolve further is that something.
                for node in reversed(path):
                    origin = reading.origin.get(id(node))
                    if origin is not None:
                        visit.target, visit.row = origin
                        break
                if visit.row is not None:
                    visit.rows_id = self._rows_of(page, visit.target)
            visits.append(visit)
        return visits

    def _rows_of(self, page: str, node_id: str) -> str:
        for node in self.kinds[page].template.walk():
            if node.kind == "rows" and any(inner.id == node_id for inner in node.walk()):
                return node.id
        return ""

    # Fields

    def _find_echoes(self) -> None:
        """Slots that say the instruction on every page."""
        texts: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        for visit in self.all_visits():
            for page, reading in ((visit.page, visit.reading), (visit.next_page, visit.next_reading)):
                told = self.data.instructions[visit.recording]
                for slot, text in reading.slots.items():
                    texts[page, slot].append((" ".join(text.split()), told))
        for (page, slot), said in texts.items():
            if len(set(said)) > 1 and all(text == told for text, told in said):
                self.kinds[page].echoes.add(slot)

    def _find_repeats(self) -> None:
        """Slots of summaries: they only ever say what had been entered on another page by then."""
        said: dict[tuple[str, str], bool] = defaultdict(lambda: True)
        for visits in self.visits.values():
            entered: dict[str, str] = {}
            for visit in visits:
                for page, reading in ((visit.page, visit.reading), (visit.next_page, visit.next_reading)):
                    for slot in record_slots(self.kinds[page].template):
                        if slot in reading.slots:
                            told = entered.get(reading.slots[slot], page)
                            said[page, slot] = said[page, slot] and told != page
                    target = visit.moment.action.target
                    picked = target is not None and target.role == "option"
                    if page == visit.page and (visit.verb in ("fill", "select", "check") or picked):
                        entered[visit.value or (target.name if target is not None else "")] = page
        for (page, slot), repeated in said.items():
            if repeated:
                self.kinds[page].repeats.add(slot)

    def _find_session(self) -> None:
        """Slots whose text never changes within a recording belong to nobody's record."""
        texts: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        keyed: dict[tuple[str, str], bool] = {}
        for recording, visits in self.visits.items():
            for visit in visits:
                for page, reading in ((visit.page, visit.reading), (visit.next_page, visit.next_reading)):
                    kind = self.kinds[page]
                    for slot in record_slots(kind.template, everywhere=True):
                        if slot in reading.slots and slot != kind.key_slot and slot not in kind.told_again:
                            texts[page, slot][recording].add(reading.slots[slot])
                            keyed[page, slot] = bool(kind.entity) and not kind.inherits
        fixed = {place: {r: next(iter(t)) for r, t in by.items()} for place, by in texts.items()
                 if all(len(t) == 1 for t in by.values())}  # fmt: skip
        chosen: dict[str, dict[str, str]] = {}
        for with_record in (False, True):
            for (page, slot), by in fixed.items():
                if keyed[page, slot] != with_record:
                    continue
                name = next(
                    (n for n, known in chosen.items() if all(known.get(r, t) == t for r, t in by.items())), ""
                )
                if not name and not with_record:
                    name = self.kinds[page].labels.get(slot) or f"{page}.{slot}"
                    while name in chosen:
                        name += "'"
                if name and (not with_record or len(set(by.values())) >= 2):
                    chosen.setdefault(name, {}).update(by)
                    self.kinds[page].session[slot] = name
        for name, by in chosen.items():
            for recording, text in by.items():
                self.session[recording][name] = text

    def _first_said(self, visits: Sequence[Visit]) -> Iterator[tuple[str, int]]:
        """From which moment on a recording's pages had said what stays the same throughout it."""
        said: set[str] = set()
        for visit in visits:
            for at, page, reading in (
                (visit.index, visit.page, visit.reading),
                (visit.index + 1, visit.next_page, visit.next_reading),
            ):
                shown = {n for slot, n in self.kinds[page].session.items() if slot in reading.slots} - said
                said |= shown
                yield from ((name, at) for name in shown)

    def _find_prefilled(self) -> None:
        """Text fields that stand filled in when a recording begins, otherwise in others: data of the case."""
        texts: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for recording, visits in self.visits.items():
            for control, text in visits[0].reading.controls.items():
                if text and self.kinds[visits[0].page].nodes[control].role in FILLABLE_ROLES:
                    texts[visits[0].page, control][recording] = text
        taken = {name for fields in self.session.values() for name in fields}
        for (page, control), by in texts.items():
            if len(by) < len(self.visits) or len(set(by.values())) < 2:
                continue
            name = self.kinds[page].label_of(control)
            while name in taken:
                name += "'"
            taken.add(name)
            self.prefilled[page, control] = name
            for recording, text in by.items():
                self.session[recording][name] = text

    def _name_fields(self) -> None:
        """Give every slot of a record's page, and every column of its lists, a field name.

        Slots that agree on every record they share are one field; slots of one label that
        disagree are two.
        """
        values: dict[str, dict[tuple[str, str, str], dict[tuple[str, str], str]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        for recording, visits in self.visits.items():
            for visit in visits:
                for page, reading in ((visit.page, visit.reading), (visit.next_page, visit.next_reading)):
                    self._observe(values, recording, page, reading)
        for places in values.values():
            chosen: dict[str, dict[tuple[str, str], str]] = {}
            for (page, rows_id, slot), texts in places.items():
                kind = self.kinds[page]
                label = kind.labels.get(slot) or f"{page}.{slot}"
                name = self._match_field(chosen, label, texts)
                chosen.setdefault(name, {}).update(
                    {k: v for k, v in texts.items() if k not in chosen.get(name, {})}
                )
                if rows_id:
                    kind.lists[rows_id].fields[slot] = name
                else:
                    kind.fields[slot] = name

    def _observe(
        self,
        values: dict[str, dict[tuple[str, str, str], dict[tuple[str, str], str]]],
        recording: str,
        page: str,
        reading: Reading,
    ) -> None:
        kind = self.kinds[page]
        if kind.entity and kind.key_slot in reading.slots:
            key = reading.slots[kind.key_slot]
            for slot in record_slots(kind.template):
                if slot in reading.slots and slot not in kind.session and slot not in kind.told_again:
                    values[kind.entity][page, "", slot].setdefault((recording, key), reading.slots[slot])
        for rows_id, rows in kind.lists.items():
            for row in reading.rows.get(rows_id, ()):
                key = row.slots.get(rows.key_slot, "")
                for slot, text in row.slots.items():
                    values[rows.entity][page, rows_id, slot].setdefault((recording, key), text)

    @staticmethod
    def _match_field(
        chosen: dict[str, dict[tuple[str, str], str]], label: str, texts: dict[tuple[str, str], str]
    ) -> str:
        for name, known in chosen.items():
            shared = [key for key in texts if key in known]
            same = all(texts[key] == known[key] for key in shared)
            if not same:
                continue
            if name == label or (len({texts[key] for key in shared}) >= 3):
                return name
        name, count = label, 1
        while name in chosen:
            count += 1
            name = f"{label} {count}"
        return name

    def _follow_keys(self) -> None:
        """Which record each moment's pages showed, also where the page does not say it."""
        for visits in self.visits.values():
            bound: dict[str, str] = {}
            for visit in visits:
                visit.before_key = self._bind(bound, visit.page, visit.reading)
                visit.after_key = self._bind(bound, visit.next_page, visit.next_reading)

    def _bind(self, bound: dict[str, str], page: str, reading: Reading) -> str:
        kind = self.kinds[page]
        if kind.entity and kind.key_slot in reading.slots:
            bound[kind.entity] = reading.slots[kind.key_slot]
        return bound.get(kind.entity, "") if kind.entity else ""

    def _collect(self, recording: str) -> Records:
        """What the recording's pages say about each record, as first seen."""
        found: Records = defaultdict(lambda: defaultdict(dict))
        for visit in self.visits[recording]:
            pages = ((visit.page, visit.reading), (visit.next_page, visit.next_reading))
            for page, reading in pages:
                self.note(found, page, reading)
        return {entity: dict(records) for entity, records in found.items()}

    def _find_given(self) -> bool:
        """Forms that open filled in with what nothing else says of their record; True where there are any."""
        opened: dict[tuple[str, str], list[tuple[Visit, str]]] = defaultdict(list)
        for visit in self.all_visits():
            kind = self.kinds[visit.next_page]
            if not visit.after_key or kind.key_slot not in visit.next_reading.slots:
                continue
            if (visit.page, visit.before_key) != (visit.next_page, visit.after_key):
                for control, text in visit.next_reading.controls.items():
                    if kind.nodes[control].role not in CHECKABLE_ROLES:
                        opened[kind.id, control].append((visit, text))
        for (page, control), shown in opened.items():
            kind, texts = self.kinds[page], {text for _, text in shown}
            rows = [self.records[v.recording][kind.entity].get(v.after_key, {}) for v, _ in shown]
            said = any(
                all(row.get(name) == text for row, (_, text) in zip(rows, shown, strict=True))
                for name in rows[0]
            )
            name = kind.label_of(control)
            if len(texts) > 1 and all(texts) and not said and name not in kind.fields.values():
                kind.given[control] = name
        self._find_given_in_rows()
        return any(kind.given or any(r.given for r in kind.lists.values()) for kind in self.kinds.values())

    def _find_given_in_rows(self) -> None:
        """Fields in rows that stand filled in when their list is opened: data of the rows' records."""
        first: dict[tuple[str, str, str], dict[tuple[str, str], str]] = defaultdict(dict)
        for visit in self.all_visits():
            for page, reading in ((visit.page, visit.reading), (visit.next_page, visit.next_reading)):
                kind = self.kinds[page]
                for rows_id, rows in kind.lists.items():
                    for row in reading.rows.get(rows_id, ()):
                        key = row.slots.get(rows.key_slot, "")
                        for control, text in row.controls.items():
                            first[page, rows_id, control].setdefault((visit.recording, key), text)
        for (page, rows_id, control), shown in first.items():
            kind = self.kinds[page]
            rows, name, role = kind.lists[rows_id], kind.label_of(control), kind.nodes[control].role
            standing = [text for text in shown.values() if text not in ("", "off")]
            # Boxes may be ticked in few rows. Radio buttons of all rows are one choice, and nobody's field.
            enough = bool(standing) if role in CHECKABLE_ROLES else len(standing) * 2 > len(shown)
            if enough and role != "radio" and name not in rows.fields.values():
                rows.given[control] = name

    def _find_fixed(self) -> Records:
        """Lists that nothing is opened from and that say the same whoever looked at them: set tables."""
        opened = {kind.entity for kind in self.kinds.values()}
        shown: dict[str, list[dict[str, dict[str, str]]]] = defaultdict(list)
        for records in self.records.values():
            for entity, rows in records.items():
                if entity not in opened and len(rows) > 1:
                    shown[entity].append(rows)
        return {e: seen[0] for e, seen in shown.items() if len(seen) > 1 and all(r == seen[0] for r in seen)}

    def note(self, found: Records, page: str, reading: Reading) -> None:
        """Add what one page says about records; what is known already stays."""
        kind = self.kinds[page]
        if kind.entity and kind.key_slot in reading.slots:
            record = found.setdefault(kind.entity, {}).setdefault(reading.slots[kind.key_slot], {})
            for slot, name in kind.fields.items():
                if slot in reading.slots:
                    record.setdefault(name, reading.slots[slot])
            for control, name in kind.given.items():
                if control in reading.controls:
                    # As it is first seen: what is entered later is not what the record says.
                    record.setdefault(name, reading.controls[control])
        for rows_id, rows in kind.lists.items():
            for row in reading.rows.get(rows_id, ()):
                record = found.setdefault(rows.entity, {}).setdefault(row.slots.get(rows.key_slot, ""), {})
                for slot, name in rows.fields.items():
                    if slot in row.slots:
                        record.setdefault(name, row.slots[slot])
                for control, name in rows.given.items():
                    if row.controls.get(control):
                        record.setdefault(name, row.controls[control])
