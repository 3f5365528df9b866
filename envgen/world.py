"""The recordings as facts: which page each moment was on, which record it showed, what was known.

Records are found by following links. A click in a row that leads to a page saying one of
the row's texts makes that text the key of a record, seen on both pages; a page reached from
there that says the key again shows the same record.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from envgen.pages import address_pattern, classify, cluster, data_texts, template_of
from envgen.paging import NEXT, PREVIOUS
from envgen.templates import Reading, TemplateNode, read
from envgen.traces import Moment, Page, Trace
from ingest.action import FILLABLE_ROLES, resolve

Records = dict[str, dict[str, dict[str, str]]]
"""Entity -> key -> field -> text."""


@dataclass(slots=True)
class PageKind:
    """One kind of page: its template and what it says about records.

    Attributes:
        entity: The entity whose record the page shows, "" when none.
        key_slot: The slot that holds the record's key, "" when the page does not say it.
        fields: Slot to field name; slots that are not fields of the record are missing.
        lists: ``rows`` node to what its rows are.
        inherits: The page shows the record opened before, without saying its key.
        session: Slot to field for what is the same on all pages of a recording (who is signed in).
        echoes: Slots that repeat the instruction.
        next: The link that shows the record after this one, where they are shown one at a time.
    """

    id: str
    address: str
    template: TemplateNode
    entity: str = ""
    key_slot: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    lists: dict[str, RowKind] = field(default_factory=dict)
    inherits: bool = False
    session: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, TemplateNode] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    echoes: set[str] = field(default_factory=set)
    next: str = ""
    previous: str = ""

    @property
    def turns(self) -> set[str]:
        """The links that show another record on the same page."""
        return {node for node in (self.next, self.previous) if node}

    def __post_init__(self) -> None:
        self.nodes = {node.id: node for node in self.template.walk()}
        self.labels = slot_labels(self.template)

    def label_of(self, node_id: str) -> str:
        """What a node is called; a control whose label is data goes by its place among those."""
        node = self.nodes[node_id]
        label = node.label()
        if node.kind != "control" or not is_data(label):
            return label
        unnamed = [n.id for n in self.template.walk() if n.kind == "control" and is_data(n.label())]
        return f"field {unnamed.index(node_id) + 1}"

    def make_optional(self, ids: set[str]) -> None:
        """Note that nodes are not always on the page."""

        def rebuilt(node: TemplateNode) -> TemplateNode:
            children = tuple(rebuilt(child) for child in node.children)
            return node.model_copy(update={"children": children, "optional": node.optional or node.id in ids})

        if ids:
            self.template = rebuilt(self.template)
            self.nodes = {node.id: node for node in self.template.walk()}


@dataclass(slots=True)
class RowKind:
    """What the rows of a list are: records of an entity, by the text in the key column."""

    entity: str
    key_slot: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Visit:
    """A moment with its pages read.

    Attributes:
        target: Template node acted on, "" when none; ``row`` its row's index.
        before_key: Key of the record the page showed.
        index: Position in the trace.
    """

    recording: str
    index: int
    moment: Moment
    page: str
    reading: Reading
    next_page: str
    next_reading: Reading
    target: str = ""
    row: int | None = None
    rows_id: str = ""
    before_key: str = ""
    after_key: str = ""

    @property
    def verb(self) -> str:
        return self.moment.action.verb

    @property
    def value(self) -> str:
        return self.moment.action.value or ""


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
        self._find_entities()
        self.session: dict[str, dict[str, str]] = {t.recording: {} for t in traces}
        self._find_session()
        self.prefilled: dict[tuple[str, str], str] = {}
        self._find_prefilled()
        self._name_fields()
        self._follow_keys()
        self.records: dict[str, Records] = {t.recording: self._collect(t.recording) for t in traces}

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

    # Entities

    def _find_entities(self) -> None:
        """Name the records that lists and pages show, by following clicks."""
        by_rows: dict[tuple[str, str, str], list[Visit]] = defaultdict(list)
        by_link: dict[tuple[str, str, str], list[Visit]] = defaultdict(list)
        for visit in self.all_visits():
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
            target = self.kinds[next_page]
            entity = target.entity or self._entity_name(page, rows_id, column)
            if not target.entity:
                target.entity, target.key_slot = entity, slot
            self.kinds[page].lists.setdefault(rows_id, RowKind(target.entity, column))
        for _ in range(len(self.kinds)):
            learned = [self._spread(key, visits) for key, visits in by_link.items()]
            if not any(learned):
                break
        for (page, target, next_page), visits in by_link.items():
            kind = self.kinds[page]
            if page == next_page and NEXT.search(kind.nodes[target].label()):
                self._one_at_a_time(kind, target, visits)
        self._lists_by_value()

    def _row_key(self, visits: Sequence[Visit], rows_id: str) -> tuple[str, str] | None:
        """The column and the slot of the next page that say the same in every click."""
        pairs: Counter[tuple[str, str]] = Counter()
        for visit in visits:
            assert visit.row is not None
            row = visit.reading.rows[rows_id][visit.row].slots
            for column, text in row.items():
                for slot, other in visit.next_reading.slots.items():
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
        return self.kinds[page].nodes[slot.split(".")[0]].role

    def _entity_name(self, page: str, rows_id: str, column: str) -> str:
        return self._unused(self.kinds[page].labels.get(column) or f"{page} {rows_id}")

    def _unused(self, base: str) -> str:
        taken = {kind.entity for kind in self.kinds.values()}
        taken |= {rows.entity for kind in self.kinds.values() for rows in kind.lists.values()}
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base} {count}"
        return name

    def _spread(self, key: tuple[str, str, str], visits: Sequence[Visit]) -> bool:
        """Carry an entity over one kind of click outside rows; True when something was learned."""
        page, target, next_page = key
        kind, other = self.kinds[page], self.kinds[next_page]
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
            self.kinds[v.page].entity == entity or v.page == page
            for v in self.all_visits()
            if v.next_page == page
        ) and not any(t.start is not None and self.page_id(t.start) == page for t in self.traces)

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
        asked = {t.recording: t.instruction for t in self.traces}
        last = {recording: found[-1].reading.slots for recording, found in self.visits.items()}

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
        for kind, reading in self._all_readings():
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
            self.kinds[page].lists[rows_id] = RowKind(entity, column)

    def _unique_column(self, page: str, rows_id: str, readings: Sequence[Sequence[Reading]]) -> str:
        """The first column that names each row by a text of its own, on every page seen."""
        rows_node = self.kinds[page].nodes[rows_id]
        for column in rows_node.slots(into_rows=True):
            if all(
                len({row.slots.get(column, "") for row in rows}) == len(rows)
                and all(row.slots.get(column) for row in rows)
                for rows in readings
            ):
                return column
        return ""

    def _all_readings(self) -> Iterator[tuple[PageKind, Reading]]:
        for (page_id, _), reading in self._readings.items():
            yield self.kinds[page_id], reading

    # Fields

    def _find_session(self) -> None:
        """Slots whose text never changes within a recording belong to nobody's record."""
        texts: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        keyed: dict[tuple[str, str], bool] = {}
        for recording, visits in self.visits.items():
            for visit in visits:
                for page, reading in ((visit.page, visit.reading), (visit.next_page, visit.next_reading)):
                    kind = self.kinds[page]
                    for slot in record_slots(kind.template, everywhere=True):
                        if slot in reading.slots and slot != kind.key_slot and slot not in kind.echoes:
                            texts[page, slot][recording].add(reading.slots[slot])
                            keyed[page, slot] = bool(kind.entity)
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
                if slot in reading.slots and slot not in kind.session and slot not in kind.echoes:
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

    def note(self, found: Records, page: str, reading: Reading) -> None:
        """Add what one page says about records; what is known already stays."""
        kind = self.kinds[page]
        if kind.entity and kind.key_slot in reading.slots:
            record = found.setdefault(kind.entity, {}).setdefault(reading.slots[kind.key_slot], {})
            for slot, name in kind.fields.items():
                if slot in reading.slots:
                    record.setdefault(name, reading.slots[slot])
        for rows_id, rows in kind.lists.items():
            for row in reading.rows.get(rows_id, ()):
                record = found.setdefault(rows.entity, {}).setdefault(row.slots.get(rows.key_slot, ""), {})
                for slot, name in rows.fields.items():
                    if slot in row.slots:
                        record.setdefault(name, row.slots[slot])


def _related(visit: Visit) -> bool:
    """Whether the address of the next page speaks of the same thing, or does not change at all."""
    before, after = visit.moment.before.path, visit.moment.after.path
    shared = set(before.split("/")) & set(after.split("/"))
    return before == after or any(any(c.isdigit() for c in part) for part in shared)


def is_data(label: str) -> bool:
    """Whether a label with its holes left out says nothing: what it says is data."""
    return not any(c.isalpha() for c in label)


_MESSAGES = ("alert", "status", "dialog", "alertdialog")


def record_slots(template: TemplateNode, *, everywhere: bool = False) -> list[str]:
    """Slots that can be fields of the page's record: not those of rows, nor of messages.

    Args:
        everywhere: Also those of the page's frame (banner, navigation).
    """
    found: list[str] = []

    def walk(node: TemplateNode) -> None:
        if node.kind == "rows" or node.role in _MESSAGES:
            return
        if not everywhere and node.role in ("navigation", "banner", "contentinfo"):
            return
        found.extend(slot for slot in node.name[1::2])
        if node.value is not None:
            found.extend(node.value[1::2])
        for child in node.children:
            walk(child)

    walk(template)
    return found


def slot_labels(template: TemplateNode) -> dict[str, str]:
    """What each slot is called on its page: the term, row or column header, or text before it."""
    found: dict[str, str] = {}

    def own(node: TemplateNode, label: str) -> None:
        for pattern in (node.name, node.value):
            if pattern is None or len(pattern) == 1:
                continue
            for index in range(1, len(pattern), 2):
                before = pattern[index - 1].strip().rstrip(":").strip()
                found.setdefault(pattern[index], before or label)

    def walk(node: TemplateNode, label: str, headers: list[str]) -> None:
        own(node, label)
        current = label
        columns = headers
        for position, child in enumerate(node.children):
            header = [c.label() for c in child.children if c.role == "columnheader"]
            if child.role == "row" and header and len(header) == len(child.children):
                columns = header
            elif child.role == "rowgroup" and child.children and child.kind != "rows":
                inner = child.children[0]
                header = [c.label() for c in inner.children if c.role == "columnheader"]
                columns = header or columns
            if child.role in ("term", "rowheader") or (child.role == "text" and _is_label(child)):
                current = _label_text(child) or current
            inner_label = current
            if node.role == "row" and position < len(columns):
                inner_label = columns[position]
            elif child.role == "heading":
                inner_label = ""
            walk(child, inner_label, columns)

    walk(template, "", [])
    return found


def _is_label(node: TemplateNode) -> bool:
    return node.value is not None and len(node.value) == 1 and 0 < len(node.value[0]) <= 40


def _label_text(node: TemplateNode) -> str:
    text = node.label() or (node.value[0] if node.value is not None and len(node.value) == 1 else "")
    if not text and node.children:
        text = _label_text(node.children[0])
    return text.rstrip(":").strip()
