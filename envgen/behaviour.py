"""How pages behave: lists with search and paging, messages, dependent parts, exits and their outcomes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from envgen.align import masked
from envgen.arrangements import Arrangements, arrangements
from envgen.kinds import PageKind, Visit
from envgen.list_readings import ListReadings
from envgen.paging import NEXT, PREVIOUS
from envgen.suggestions import suggestions
from envgen.templates import MESSAGE_ROLES, Reading, TemplateNode
from envgen.traces import Moment
from envgen.values import number
from envgen.workflow import Suggestions
from envgen.world import World
from ingest.recording import Effect

_ERROR = re.compile(
    r"\b(internal server error|server error|went wrong|bad gateway|service unavailable|not found|forbidden"
    r"|access denied|timed out|exception|error \d{3})\b|^(error|5\d\d|40[0-9])$",
    re.IGNORECASE,
)
ENTRY_VERBS = frozenset({"fill", "select", "check", "uncheck"})


@dataclass(slots=True)
class ListBehaviour:
    """Search, paging, orders and filters of one list."""

    rows: str
    arranged: Arrangements = field(default_factory=Arrangements)
    page_size: int | None = None
    search_control: str = ""
    search_button: str = ""
    search_fields: tuple[str, ...] = ()
    next: str = ""
    previous: str = ""


@dataclass(slots=True)
class Behaviour:
    """What was found out about all pages.

    Attributes:
        lists: ``(page, rows)`` -> its search and paging.
        messages: Page -> optional nodes that appear because of something done.
        writes: ``(recording, moment)`` -> kind of write, ``<page>.<node>``.
        refused: Moments whose submission was answered with a message.
        superseded: Moments whose submission was made again: gone back to, the form still held what was sent.
        suggests: ``(page, list)`` -> what it offers to complete a field with.
    """

    lists: dict[tuple[str, str], ListBehaviour] = field(default_factory=dict)
    messages: dict[str, frozenset[str]] = field(default_factory=dict)
    writes: dict[tuple[str, int], str] = field(default_factory=dict)
    refused: set[tuple[str, int]] = field(default_factory=set)
    superseded: set[tuple[str, int]] = field(default_factory=set)
    requests: dict[str, list[tuple[Visit, Effect]]] = field(default_factory=dict)
    suggests: dict[tuple[str, str], Suggestions] = field(default_factory=dict)

    def suggesting(self, page: str) -> set[str]:
        """The lists of a page that complete a field, and what says that such a field is open."""
        own = {node: offered.field for (owner, node), offered in self.suggests.items() if owner == page}
        return {*own, *(f"{control.partition('.')[2]}:expanded" for control in own.values())}

    def list_nodes(self, page: str) -> set[str]:
        """Nodes of a page that belong to searching and paging."""
        return {
            node
            for (owner, _), found in self.lists.items()
            if owner == page
            for node in (
                *(found.search_control, found.search_button, found.next, found.previous),
                *found.arranged.nodes(),
            )
            if node
        }


def observe(world: World) -> Behaviour:
    """Learn the pages' behaviour from all moments."""
    found = Behaviour()
    for kind in world.kinds.values():
        for rows_id in kind.lists:
            behaviour = _list_behaviour(world, kind, rows_id)
            found.lists[kind.id, rows_id] = behaviour
            kind.make_optional({n for n in (behaviour.next, behaviour.previous) if n})
        kind.make_optional(kind.turns)
        found.messages[kind.id] = frozenset(
            (*_messages(world, kind), *_questions(world, kind, found.list_nodes(kind.id)))
        )
        found.suggests |= {(kind.id, node): offered for node, offered in suggestions(world, kind)}
    _find_writes(world, found)
    for visits in world.visits.values():
        found.superseded |= set(_superseded(visits, found))
    return found


# Lists


def _list_behaviour(world: World, kind: PageKind, rows_id: str) -> ListBehaviour:
    readings = ListReadings(world, kind, rows_id)
    found = ListBehaviour(rows_id, arrangements(readings))
    arranging = found.arranged.nodes()
    texts = {c.id for c in kind.template.walk() if c.role in ("searchbox", "textbox", "combobox")} - arranging
    fields = kind.lists[rows_id].fields
    contradicted: set[str] = set()
    for visit in world.all_visits():
        if visit.page != kind.id or visit.next_page != kind.id or not visit.target:
            continue
        if visit.target in texts and visit.verb == "fill" and _fewer(visit, rows_id):
            # It is searched while one types.
            found.search_control = visit.target
            continue
        if visit.verb not in ("click", "press") or visit.row is not None:
            continue
        label = kind.nodes[visit.target].label()
        before, after = visit.reading, visit.next_reading
        queries = {c: before.controls.get(c, "") for c in texts if c in before.controls}
        asked = next((c for c, q in queries.items() if q and _answers(after, rows_id, q)), "")
        if NEXT.search(label) or PREVIOUS.search(label):
            continue
        if asked and not found.search_control:
            found.search_control, found.search_button = asked, visit.target
        if visit.target == found.search_button and asked:
            query = queries[asked].lower()
            shown = {row.slots.get(kind.lists[rows_id].key_slot) for row in after.rows.get(rows_id, ())}
            if found.next not in after.present:
                for key, record in world.records[visit.recording].get(kind.lists[rows_id].entity, {}).items():
                    if key not in shown:
                        contradicted |= {n for n in fields.values() if query in record.get(n, "").lower()}
    for node in _outside_rows(kind.template):
        if node.role not in ("link", "button", "clickable"):
            continue
        if NEXT.search(node.label()):
            found.next = node.id
        elif PREVIOUS.search(node.label()):
            found.previous = node.id
    found.arranged.follow(readings, found.search_button)
    if found.search_control:
        found.search_fields = tuple(n for n in dict.fromkeys(fields.values()) if n not in contradicted)
    sizes = [len(reading.rows.get(rows_id, ())) for page, reading in world.all_readings() if page is kind]
    if found.next and sizes:
        found.page_size = max(sizes)
    return found


def _outside_rows(node: TemplateNode) -> Iterator[TemplateNode]:
    yield node
    for child in node.children:
        if child.kind != "rows":
            yield from _outside_rows(child)


def _fewer(visit: Visit, rows_id: str) -> bool:
    """Whether something typed left only rows that contain it, and not all of them."""
    before, after = visit.reading.rows.get(rows_id, []), visit.next_reading.rows.get(rows_id, [])
    typed = visit.value
    return bool(typed) and len(after) < len(before) and _answers(visit.next_reading, rows_id, typed)


def _answers(after: Reading, rows_id: str, query: str) -> bool:
    """Whether all rows after a search contain what was searched for."""
    rows = after.rows.get(rows_id, [])
    wanted = query.lower()
    return all(any(wanted in text.lower() for text in row.slots.values()) for row in rows)


# Messages


def _messages(world: World, kind: PageKind) -> Iterable[str]:
    """Optional nodes that come and go by what was done, not by what is shown."""
    for node in kind.template.walk():
        if node.optional and node.role in MESSAGE_ROLES:
            yield node.id


def _questions(world: World, kind: PageKind, lists: Collection[str]) -> Iterator[str]:
    """Parts without fields that come by a click, and stand on no page that is opened: "Really? Yes, no"."""
    came: dict[str, set[str]] = defaultdict(set)
    there = {
        part for v in world.all_visits() if v.page == kind.id and not v.index for part in v.reading.present
    }
    for visit in world.all_visits():
        if visit.next_page != kind.id:
            continue
        stayed = visit.page == kind.id and visit.before_key == visit.after_key
        clicked = visit.verb == "click" and visit.target and visit.row is None and visit.target not in lists
        same = visit.reading.controls == visit.next_reading.controls
        new = visit.next_reading.present - (visit.reading.present if stayed else set())
        if stayed and clicked and same and not any(e.writes for e in visit.moment.effects):
            for part in new:
                came[part].add(visit.recording)
        else:
            there |= new
    for node in kind.template.walk():
        asked = node.optional and len(came[node.id]) > 1 and node.id not in there and node.role != "listbox"
        if asked and not any(inner.kind != "plain" for inner in node.walk()):
            yield node.id


def shown_messages(behaviour: Behaviour, page: str, reading: Reading) -> frozenset[str]:
    return frozenset(behaviour.messages.get(page, frozenset()) & reading.present)


# Writes


def _find_writes(world: World, found: Behaviour) -> None:
    everywhere = _background(world)
    any_request = False
    for visit in world.all_visits():
        if not visit.target or (visit.verb in ENTRY_VERBS and visit.next_page == visit.page):
            continue
        if visit.target in found.list_nodes(visit.page) and visit.next_page == visit.page:
            continue
        sent = [e for e in visit.moment.effects if e.writes and _request(e) not in everywhere]
        if not sent:
            continue
        any_request = True
        kind = f"{visit.page}.{visit.target}"
        new = shown_messages(found, visit.next_page, visit.next_reading)
        failed = any(e.status is not None and e.status >= 400 for e in sent)
        stayed = visit.next_page == visit.page and any(
            world.kinds[visit.page].nodes[m].role in ("alert", "alertdialog") for m in new
        )
        if failed or stayed:
            found.refused.add((visit.recording, visit.index))
            continue
        found.writes[visit.recording, visit.index] = kind
        found.requests.setdefault(kind, []).extend((visit, e) for e in sent)
    if not any_request:
        _writes_by_end(world, found)


def _superseded(visits: Sequence[Visit], found: Behaviour) -> Iterator[tuple[str, int]]:
    """Submissions of a form that was gone back to, as the form itself says, and sent again."""
    for at, visit in enumerate(visits):
        kind = found.writes.get((visit.recording, visit.index))
        sent, following = visit.reading.controls, visits[at + 1 :]
        if kind is None or visit.row is not None or all(text in ("", "off") for text in sent.values()):
            continue
        back = next((v for v in following if v.page == visit.page), None)
        same = back is not None and (back.before_key, back.reading.controls) == (visit.before_key, sent)
        if same and any(found.writes.get((v.recording, v.index)) == kind for v in following):
            yield visit.recording, visit.index


def _writes_by_end(world: World, found: Behaviour) -> None:
    """Without recorded requests, the last click of a recording is what submits the work.

    Where no recording ends with a form, the work is to find something and click on it.
    """
    last = {}
    for recording, visits in world.visits.items():
        clicks = [v for v in visits if v.verb in ("click", "press") and v.target]
        if not clicks:
            continue
        if clicks[-1].next_page != clicks[-1].page and failed(clicks[-1]):
            found.refused.add((recording, clicks[-1].index))
        else:
            last[recording] = clicks[-1]
    sent = [v for v in last.values() if v.reading.controls and v.row is None]
    for visit in sent or last.values():
        found.writes[visit.recording, visit.index] = f"{visit.page}.{visit.target}"


def failed(visit: Visit) -> bool:
    """Whether an action led to an error page: the server says so, or its heading or title does."""
    if any(e.status is not None and e.status >= 500 for e in visit.moment.effects):
        return True
    page = visit.moment.after
    said = [page.title, *(n.name or n.text() for n in page.node.walk() if n.role == "heading")]
    return any(_ERROR.search(text) for text in said)


def _request(effect: Effect) -> str:
    return f"{effect.method} {masked(effect.url.split('?')[0])}"


def _background(world: World) -> set[str]:
    """Requests that pages send whatever is done on them: they change nothing of the work."""
    senders: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for visit in world.all_visits():
        for effect in visit.moment.effects:
            if effect.writes:
                senders[_request(effect)].add((visit.page, visit.target))
    return {request for request, found in senders.items() if len(found) >= 4}


def request_pattern(effects: Sequence[tuple[Visit, Effect]]) -> str:
    """Method and path of a write, its record's key masked."""
    visit, effect = effects[0]
    path = re.sub(r"^[a-z]+://[^/]+", "", effect.url.split("?")[0])
    keys = (visit.before_key, visit.after_key)
    parts = [
        "{key}" if part and part in keys else "{id}" if any(c.isdigit() for c in part) else part
        for part in path.split("/")
    ]
    return f"{effect.method} {'/'.join(parts)}"


def explain_body(effects: Sequence[tuple[Visit, Effect]], world: World) -> tuple[dict[str, str], list[str]]:
    """Where each field of a request's body comes from, in words, and the fields nothing explains."""
    found: dict[str, str] = {}
    unexplained: list[str] = []
    names = dict.fromkeys(name for _, effect in effects for name in (effect.body or {}))
    for name in names:
        sent = [(v, e.body[name]) for v, e in effects if e.body and name in e.body]
        words = _body_source(name, sent, world)
        if words:
            found[name] = words
        else:
            unexplained.append(name)
    return found, unexplained


def _body_source(name: str, sent: Sequence[tuple[Visit, object]], world: World) -> str:
    kind = world.kinds[sent[0][0].page]
    best, best_score = "", 0.0
    for node_id in sent[0][0].reading.controls:
        label = kind.nodes[node_id].label()
        pairs = [(str(value), v.reading.controls.get(node_id, "")) for v, value in sent]
        marks = {a for a, b in pairs if b == "on"}
        equal = sum(
            a == b or (a in ("", "None", "False") and b in ("", "off")) or (b == "on" and len(marks) == 1)
            for a, b in pairs
        )
        mapping: dict[str, set[str]] = defaultdict(set)
        for value, entered in pairs:
            mapping[entered].add(value)
        consistent = all(len(values) == 1 for values in mapping.values()) and len(mapping) > 1
        alike = bool(
            set(re.findall(r"[a-z]{3,}", label.lower())) & set(re.findall(r"[a-z]{3,}", name.lower()))
        )
        score = (2.0 if equal == len(pairs) else 0.0) + (0.5 if consistent else 0.0) + (0.6 if alike else 0.0)
        if score > best_score and (equal == len(pairs) or (consistent and alike)):
            best, best_score = f"what is entered in “{label}”", score
    if best:
        return best
    radios = {node.id: node.label() for node in kind.template.walk() if node.role == "radio"}
    on = [{radios[n] for n, t in v.reading.controls.items() if n in radios and t == "on"} for v, _ in sent]
    if all(str(value) in labels for (_, value), labels in zip(sent, on, strict=True)):
        return "which of " + ", ".join(f"“{label}”" for label in radios.values()) + " is chosen"
    if all(str(value) in (v.before_key, v.after_key) and value for v, value in sent):
        return "the record's key"
    if len({str(value) for _, value in sent}) == 1:
        return f"always “{sent[0][1]}”"
    return ""


def control_changes(world: World, page: str, node: str) -> list[tuple[Visit, Moment]]:
    """Moments at which a control of a page was given a value."""
    return [
        (v, v.moment)
        for v in world.all_visits()
        if v.page == page and v.target == node and v.verb in ENTRY_VERBS
    ]


def most_common(texts: Iterable[str]) -> str:
    counts = Counter(texts)
    return counts.most_common(1)[0][0] if counts else ""


def numeric(texts: Iterable[str]) -> bool:
    found = [text for text in texts if text]
    return bool(found) and all(number(text) is not None for text in found)


def mapping_of(pairs: Iterable[tuple[str, tuple[str, ...]]]) -> Mapping[str, tuple[str, ...]] | None:
    """A map when equal keys always have equal values, else None."""
    found: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            return None
    return found
