"""The state of one episode as plain data, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from envgen.arranged import ORDER, Arranged, order_said
from envgen.cells import Cells
from envgen.examples import PAGE_ROOT
from envgen.expressions import evaluate
from envgen.generators import Instance
from envgen.makers import Record
from envgen.rows import FILLED_ROWS, Row
from envgen.templates import TemplateNode
from envgen.values import folded
from envgen.wording import wording
from envgen.workflow import Control, ListView, PageModel, RowLoop, Workflow

_Values = tuple[tuple[str, str], ...]


class Write(NamedTuple):
    """A change the agent made: which kind, on which record, and everything the form held."""

    kind: str
    entity: str
    key: str
    values: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class State:
    """Where an episode is. Values are replaced, never changed in place, so copies are cheap.

    Attributes:
        drafts: What is entered on the page, by control; in rows, see :func:`in_row`.
        changes: What was changed in the records since the beginning: entity, key, fields.
        gone: Kind of write and key of the records it was made for: lists may show them no more.
        struck: Whether something was said that nobody could know before (see ``Instance.hidden``).
    """

    page: str
    records: Mapping[str, Mapping[str, Record]]
    bound: dict[str, str] = field(default_factory=dict)
    drafts: dict[str, str] = field(default_factory=dict)
    submitted: dict[str, str] = field(default_factory=dict)
    messages: frozenset[str] = frozenset()
    message_slots: dict[str, str] = field(default_factory=dict)
    told: dict[tuple[str, str], str] = field(default_factory=dict)
    lists: dict[str, Arranged] = field(default_factory=dict)
    writes: tuple[Write, ...] = ()
    changes: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = ()
    gone: frozenset[tuple[str, str]] = frozenset()
    visited: frozenset[tuple[str, str]] = frozenset()
    overlay: str = ""
    tripped: frozenset[str] = frozenset()
    struck: bool = False
    last_control: str = ""
    done: bool = False
    answer: str | None = None
    steps: int = 0
    arrivals: int = 0
    unmodelled: int = 0

    def copy(self) -> State:
        """An independent copy."""
        return replace(
            self,
            bound=dict(self.bound),
            drafts=dict(self.drafts),
            submitted=dict(self.submitted),
            message_slots=dict(self.message_slots),
            told=dict(self.told),
            lists=dict(self.lists),
        )


def _nodes_of(page: PageModel, view: ListView) -> Iterator[TemplateNode]:
    """The controls in a list's rows."""
    rows = next(node for node in page.template.walk() if node.id == view.rows)
    return (node for node in rows.walk() if node.kind == "control")


def _choices(page: PageModel) -> list[set[str]]:
    """The radio buttons of each group, and those of no group together."""
    found: dict[str, set[str]] = {}

    def walk(node: TemplateNode, group: str) -> None:
        if node.role in ("group", "radiogroup"):
            group = node.id
        if node.role == "radio":
            found.setdefault(group, set()).add(f"{page.id}.{node.id}")
        for child in node.children:
            walk(child, group)

    walk(page.template, "")
    return list(found.values())


def _openers(page: PageModel) -> Iterator[tuple[str, tuple[str, str]]]:
    """What stands in a message of a page: the message, and what shows it there."""
    shown = {
        message: found.node
        for found in page.exits
        for outcome in found.outcomes
        for message in outcome.shows
        if outcome.page == page.id and not outcome.write and not outcome.hidden
    }
    for node in page.template.walk():
        if node.id in shown:
            within = {inner.id for inner in node.walk()}
            if shown[node.id] not in within:
                yield from ((inner, (node.id, shown[node.id])) for inner in within)


def in_row(control: str, key: str) -> str:
    """What is entered in a record's row stands in the drafts under this name."""
    return f"{control}@{key}" if key else control


def of_row(draft: str) -> tuple[str, str]:
    """Control, and key of the record in whose row it is entered, of a draft."""
    control, _, key = draft.partition("@")
    return control, key


class Facts:
    """Static lookups of a workflow that states are read with; made once per workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.pages = {page.id: page for page in workflow.pages}
        self.references = {
            (e.name, f.name): f.reference for e in workflow.entities for f in e.fields if f.reference
        }
        self.references |= {("", name): entity for name, entity in workflow.session_entities}
        self.controls = {c.id: c for p in workflow.pages for c in p.controls}
        self.options_for = {c.id: dict(c.options_for) for c in self.controls.values()}
        self.dependents: dict[str, list[Control]] = {}
        for control in self.controls.values():
            if control.options_by:
                self.dependents.setdefault(control.options_by, []).append(control)
        self.messages = {p.id: frozenset(p.messages) for p in workflow.pages}
        self.sources = {p.id: dict(p.sources) for p in workflow.pages}
        self.fields = {p.id: dict(p.fields) for p in workflow.pages}
        self.conditions = {p.id: dict(p.conditions) for p in workflow.pages}
        self.lists: dict[str, dict[str, ListView]] = {
            p.id: {v.rows: v for v in p.lists} for p in workflow.pages
        }
        self.loops = {plan.page: plan.loop for plan in workflow.plans if plan.loop is not None}
        self.row_controls = {
            f"{p.id}.{n.id}": v for p in workflow.pages for v in p.lists for n in _nodes_of(p, v)
        }
        self.given_in_rows = {
            f"{p.id}.{control}": name for p in workflow.pages for v in p.lists for control, name in v.given
        }
        self.arranging = {
            p.id: frozenset(node for v in p.lists for node in v.arranging()) for p in workflow.pages
        }
        self.row_conditions = {(p.id, v.rows): dict(v.conditions) for p in workflow.pages for v in p.lists}
        self.list_fields = {(p.id, v.rows): dict(v.fields) for p in workflow.pages for v in p.lists}
        self.exits = {p.id: {(e.node, e.verb): e for e in p.exits} for p in workflow.pages}
        self.suggests = {c.suggests.field: c for c in self.controls.values() if c.suggests is not None}
        self.choices = {c: group - {c} for p in workflow.pages for group in _choices(p) for c in group}
        self._openers = {p.id: dict(_openers(p)) for p in workflow.pages}
        self.hidden = {h.name: h for h in workflow.hidden}
        self.plans = {plan.page: plan for plan in workflow.plans}
        self.writes = {w.id: w for w in workflow.writes}
        self._free = self._labelled(workflow.free_fields)
        self._caseless = self._labelled(workflow.caseless)
        self.key_fields = {e.name: e.key_field for e in workflow.entities}
        self.cells = Cells({t.id: t for t in workflow.tables}.__getitem__)

    def reached(self, page: str, node: str, messages: Collection[str]) -> str:
        """What has to be clicked to come to a node: itself, or what shows the message that it is in."""
        opener = self._openers[page].get(node)
        while opener is not None and opener[0] not in messages:
            node = opener[1]
            opener = self._openers[page].get(node)
        return node

    def _labelled(self, controls: Collection[str]) -> frozenset[tuple[str, str]]:
        """Kind of write and label of controls, as changes name them."""
        sent = ((w.id, c) for w in self.workflow.writes for c in w.controls if c in controls)
        return frozenset((kind, self.controls[c].label) for kind, c in sent)

    def sent(self, kind: str, key: str, drafts: Mapping[str, str], there: Callable[[str], bool]) -> _Values:
        """What a change holds: the form's fields; of rows that are sent together, what is entered in them.

        Args:
            key: Of the record it is made for.
            there: Whether a node is on the page.
        """
        model = self.writes[kind]
        found: list[tuple[str, str]] = []
        for control_id in model.controls:
            control = self.controls[control_id]
            if control_id not in self.row_controls:
                if not control.optional_node or there(control.node):
                    found.append((control.label, drafts.get(control_id, "")))
            elif model.rows:
                found.append((control.label, drafts.get(in_row(control_id, key), "")))
            else:
                rows = ((k, text) for (c, k), text in _by_row(drafts) if c == control_id)
                found += [(f"{control.label} of {k}", text) for k, text in rows if text not in ("", "off")]
        return tuple((label, "" if value == "off" else value) for label, value in found)

    def filled(
        self, drafts: Mapping[str, str], records: Mapping[str, Mapping[str, Record]]
    ) -> Iterator[tuple[ListView, str, str]]:
        """The rows in which something else is entered than stood there: list, key, and control."""
        for draft, text in drafts.items():
            control, key = of_row(draft)
            if not key:
                continue
            view = self.row_controls[control]
            stood = records.get(view.entity, {}).get(key, {}).get(self.given_in_rows.get(control, ""), "")
            if (text or "off") != (stood or "off"):
                yield view, key, control

    def same(self, control: str, one: str | None, other: str | None) -> bool:
        """Whether a control takes two values alike."""
        if one is not None and other is not None and control in self.workflow.caseless:
            return folded(one) == folded(other)
        return one == other

    def read(self, kind: str, label: str, value: str) -> str:
        """A value that was sent, as it is compared: in fields that take either case, in one of them."""
        return folded(value) if (kind, label) in self._caseless else value

    def judged(self, write: Write) -> Write:
        """A change as it is compared: without the expert's own words, values as they are read."""
        if not self._free and not self._caseless:
            return write
        kept = ((n, v) for n, v in write.values if (write.kind, n) not in self._free)
        return write._replace(values=tuple((n, self.read(write.kind, n, v)) for n, v in kept))


def _by_row(drafts: Mapping[str, str]) -> list[tuple[tuple[str, str], str]]:
    """Drafts of rows by their key, so that the order of the list does not matter."""
    return sorted((of_row(name), text) for name, text in drafts.items() if "@" in name)


class StateContext:
    """Expressions read an episode's state through this, see :class:`envgen.expressions.Context`."""

    __slots__ = ("_asked", "_facts", "_instance", "_rows", "_to_do", "state")

    def __init__(
        self, facts: Facts, instance: Instance, state: State, rows: Callable[[str, str], Sequence[object]]
    ) -> None:
        self._rows = rows
        self._facts = facts
        self._instance = instance
        self.state = state
        self._asked: list[tuple[str, str, str]] | None = None
        self._to_do: dict[str, list[str]] = {}

    def asking(self) -> list[tuple[str, str, str]]:
        """Note from now on which ``(entity, key, field)`` expressions ask for; no key: all of its rows."""
        self._asked = []
        return self._asked

    def parameter(self, name: str) -> str | None:
        return self._instance.parameters.get(name)

    def field(self, root: str, path: tuple[str, ...]) -> str | None:
        if not root:
            key = self._instance.session.get(path[0])
            if len(path) == 1:
                return key
            entity, path = self._facts.references.get(("", path[0]), ""), path[1:]
            if not entity:
                return None
        elif root[0] == PAGE_ROOT:
            entity = root[1:]
            key = self.state.bound.get(entity)
        else:
            entity = self._instance.roots[root]
            key = self._instance.parameters.get(root)
        value: str | None = None
        for index, name in enumerate(path):
            if key is None:
                return None
            record = self.state.records[entity].get(key)
            if record is None:
                return None
            if self._asked is not None:
                self._asked.append((entity, key, name))
            value = record.get(name)
            if index + 1 < len(path):
                entity = self._facts.references.get((entity, name), "")
                if not entity:
                    return None
                key = value
        return value

    def entered(self, control: str) -> str | None:
        page, _, rows = control.partition(FILLED_ROWS)
        if rows:
            filled = self._facts.filled(self.state.submitted, self._instance.records)
            return str(len({key for view, key, _ in filled if view.rows == rows}))
        page, _, rows = control.partition(ORDER)
        if rows:
            arranged = self.state.lists.get(f"{page}.{rows}", Arranged())
            return order_said(self._facts.lists[page][rows], arranged)
        page, _, rows = control.partition(".#")
        if rows:
            return str(len(self._rows(page, rows)) or "")
        value = self.state.drafts.get(control)
        return self.state.submitted.get(control) if value is None else value

    def told(self, page: str, slot: str) -> str | None:
        return self.state.told.get((page, slot))

    def cell(self, table: str, column: str, key_column: str, key: str) -> str | None:
        return self._facts.cells.cell(table, column, key_column, key)

    def done(self, write: str) -> bool:
        return any(made.kind == write for made in self.state.writes)

    def exists(self, entity: str, key: str) -> bool:
        return key in self.state.records.get(entity, {})

    def says(self, word: str) -> bool:
        return word in wording(self._instance.instruction, self._instance.parameters.values())

    def told_to(self) -> str:
        return self._instance.instruction

    def rows(self, entity: str) -> Iterable[tuple[str, Mapping[str, str]]]:
        if self._asked is not None:
            self._asked.append((entity, "", ""))
        return self._instance.records.get(entity, {}).items()

    def to_do(self, page: str) -> list[str]:
        """Keys of the rows that the work on a page's list is for, in order."""
        found = self._to_do.get(page)
        if found is None:
            loop = self._facts.loops[page]
            chosen = self._instance.chosen.get(loop.entity)
            found = [
                key
                for key, row in self._instance.records.get(loop.entity, {}).items()
                if (key in chosen if chosen is not None else self._meant(loop, row))
            ]
            self._to_do[page] = found
        return found

    def _meant(self, loop: RowLoop, row: Record) -> bool:
        return evaluate(loop.where, Row(self, loop.entity, row)) == "yes"

    def next_row(self, page: str) -> str | None:
        loop = self._facts.loops[page]
        done = {made.key for made in self.state.writes if made.kind == loop.write}
        return next((key for key in self.to_do(page) if key not in done), None)
