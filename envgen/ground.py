"""What page models are made from: the recordings as facts, and every page as it was seen."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from envgen.arranged import ORDER
from envgen.behaviour import Behaviour
from envgen.documents import Knowledge
from envgen.examples import PAGE_ROOT, Historian, Known
from envgen.explanations import Example
from envgen.expressions import Expression, FieldOf
from envgen.kinds import PageKind, Visit
from envgen.loops import filled_rows, touched_in_rows
from envgen.rows import FILLED_ROWS
from envgen.templates import Reading, TemplateNode
from envgen.workflow import Finding, Hidden, PageModel
from envgen.world import World

YES, NO = "yes", "no"


@dataclass(slots=True)
class Models:
    """The page models and what was noticed while making them."""

    pages: list[PageModel] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    struck: dict[str, list[Visit]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A page as it was seen, with what the application knew then."""

    visit: Visit
    reading: Reading
    context: Known
    after: bool


class Ground:
    """Everything the modellers of pages share."""

    def __init__(
        self,
        world: World,
        behaviour: Behaviour,
        historian: Historian,
        contexts: dict[str, list[Known]],
        knowledge: Knowledge,
    ) -> None:
        self.world = world
        self.behaviour = behaviour
        self.historian = historian
        self.contexts = contexts
        self.knowledge = knowledge
        self.models = Models()
        self.seen: dict[str, list[Seen]] = defaultdict(list)
        self._entered_in_rows = {
            kind.id: {r: nodes for r in kind.lists if (nodes := touched_in_rows(world, kind, r))}
            for kind in world.kinds.values()
        }
        for visit in world.all_visits():
            base = contexts[visit.recording][visit.index]
            self._see(visit, base, after=False)
            self._see(visit, base, after=True)

    def _see(self, visit: Visit, base: Known, *, after: bool) -> None:
        page = visit.next_page if after else visit.page
        reading = visit.next_reading if after else visit.reading
        context = self.historian.page_context(visit, after=after, base=base)
        controls = dict(base.controls)
        controls.update({f"{page}.{c}": text for c, text in reading.controls.items()})
        for rows_id in self.world.kinds[page].lists:
            controls[f"{page}.#{rows_id}"] = str(len(reading.rows.get(rows_id, ())) or "")
            orders = self.behaviour.lists[page, rows_id].arranged.orders
            controls[f"{page}{ORDER}{rows_id}"] = orders.get((visit.recording, visit.index, after), "")
        for rows_id, nodes in self._entered_in_rows[visit.page].items() if after else ():
            filled = list(filled_rows(self.world, visit, rows_id, nodes))
            controls[f"{visit.page}{FILLED_ROWS}{rows_id}"] = str(len(filled))
        context.controls = controls
        self.seen[page].append(Seen(visit, reading, context, after))


def page_atoms(seen: Sequence[Seen]) -> list[Expression]:
    """The fields of the records that pages showed."""
    fields = dict.fromkeys(key for s in seen for key in s.context.fields if key[0].startswith(PAGE_ROOT))
    return [FieldOf(root=root, path=path) for root, path in fields]


def page_title(kind: PageKind) -> str:
    """What a person would call the page: its heading, holes shown as dots."""
    titles = (_said_by(node) for node in _headings(kind.template))
    found = next((title for title in titles if re.sub(r"[…\s]", "", title)), "")
    return found or (f"{kind.entity} …" if kind.entity else kind.address)


def _headings(template: TemplateNode) -> list[TemplateNode]:
    """The headings of a page: those of what lies over it before its own, main ones before others."""
    over = [n for n in template.walk() if n.role in ("dialog", "alertdialog") and not n.optional]
    inside = {inner.id for node in over for inner in node.walk()}
    found = [node for node in template.walk() if node.role == "heading"]
    return sorted(found, key=lambda node: (node.id not in inside, ("level", "1") not in node.states))


def _said_by(heading: TemplateNode) -> str:
    if heading.label() or not heading.children:
        return heading.label()
    return " ".join("…" if i % 2 else p for i, p in enumerate(heading.children[0].value or ("",)))


def outside_rows(template: TemplateNode) -> list[TemplateNode]:
    """The nodes of a page that are not in its rows."""
    found = [template]
    for child in template.children:
        if child.kind != "rows":
            found += outside_rows(child)
    return found


def distinct(examples: Sequence[Example]) -> list[Example]:
    """Examples without those that say the same about the same."""
    seen: set[tuple[object, ...]] = set()
    found = []
    for example in examples:
        key = (
            example.context.recording,
            frozenset(example.context.fields.items()),
            frozenset(example.context.controls.items()),
            example.output,
        )
        if key not in seen:
            seen.add(key)
            found.append(example)
    return found
