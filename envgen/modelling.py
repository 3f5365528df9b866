"""Page models: what is on each page when, what it says, and the controls and exits it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from envgen.arranged import ORDER
from envgen.behaviour import ENTRY_VERBS, Behaviour
from envgen.controls import Controls
from envgen.documents import Knowledge
from envgen.examples import Historian, Known
from envgen.exits import Exits
from envgen.explanations import Example
from envgen.expressions import Constant, Entered, Expression, FieldOf, Instruction, Parameter, evaluate
from envgen.ground import NO, YES, Ground, Models, Seen, distinct, outside_rows, page_atoms, page_title
from envgen.kinds import PageKind
from envgen.loops import Loop, gone, keeps_place, readings
from envgen.marks import ORDER_LABEL, order_marks, order_of
from envgen.rows import FILLED_ROWS, ROW
from envgen.search import Search
from envgen.templates import only_holds_optional
from envgen.texts import slots_of
from envgen.words import in_words
from envgen.workflow import Filter, Finding, ListView, PageModel
from envgen.world import World


class Modeller:
    """Makes the models of all pages."""

    def __init__(
        self,
        world: World,
        behaviour: Behaviour,
        historian: Historian,
        contexts: dict[str, list[Known]],
        knowledge: Knowledge,
        loops: Sequence[Loop] = (),
    ) -> None:
        self._loops = {(loop.page, loop.rows): loop for loop in loops}
        self._ground = Ground(world, behaviour, historian, contexts, knowledge)
        self._controls = Controls(self._ground)
        self._exits = Exits(self._ground)

    def run(self) -> Models:
        """The models, in the order in which the pages were first seen."""
        models = self._ground.models
        for kind in self._ground.world.kinds.values():
            models.pages.append(self._page(kind))
        return models

    def _page(self, kind: PageKind) -> PageModel:
        return PageModel(
            id=kind.id,
            title=page_title(kind),
            address=kind.address,
            template=kind.template,
            entity=kind.entity,
            key_slot=kind.key_slot,
            fields=tuple(kind.fields.items()),
            sources=tuple(self._sources(kind)),
            conditions=tuple(self._conditions(kind)),
            messages=tuple(sorted(self._ground.behaviour.messages.get(kind.id, ()))),
            controls=tuple(self._controls.of(kind)),
            lists=tuple(self._lists(kind)),
            given=tuple(kind.given.items()),
            next=kind.next,
            previous=kind.previous,
            exits=tuple(self._exits.of(kind)),
        )

    def _lists(self, kind: PageKind) -> list[ListView]:
        found = []
        for rows_id, rows in kind.lists.items():
            behaviour = self._ground.behaviour.lists[kind.id, rows_id]
            loop = self._loops.get((kind.id, rows_id))
            leaves = loop is not None and gone(self._ground.world, loop, behaviour.previous)
            stays = loop is not None and keeps_place(self._ground.world, loop, behaviour.previous)
            self._tell_filters(kind, behaviour.arranged.filters)
            found.append(
                ListView(
                    rows=rows_id,
                    entity=rows.entity,
                    key_slot=rows.key_slot,
                    fields=tuple(rows.fields.items()),
                    page_size=behaviour.page_size,
                    search_control=behaviour.search_control,
                    search_button=behaviour.search_button,
                    search_fields=behaviour.search_fields,
                    next=behaviour.next,
                    previous=behaviour.previous,
                    sorts=tuple(behaviour.arranged.sorts),
                    filters=tuple(behaviour.arranged.filters),
                    begins_anew=behaviour.arranged.begins_anew,
                    given=tuple(rows.given.items()),
                    conditions=() if loop is None else tuple(self._in_rows(kind, loop)),
                    until=loop.write if loop is not None and leaves else "",
                    stays=stays,
                )
            )
        return found

    def _tell_filters(self, kind: PageKind, filters: Sequence[Filter]) -> None:
        """Which rows a filter shows is a rule that an expert can see to be right, or not."""
        for found in filters:
            self._ground.models.findings.append(
                Finding(
                    kind="filter",
                    severity="note",
                    text=f"“{kind.label_of(found.node)}” on “{page_title(kind)}” decides which rows are "
                    f"shown: {in_words(found.where)}.",
                )
            )

    def _in_rows(self, kind: PageKind, loop: Loop) -> Iterator[tuple[str, Expression]]:
        """What explains when optional parts of a row are there: what the row says then."""
        rows = kind.lists[loop.rows]
        base = {recording: found[-1] for recording, found in self._ground.contexts.items()}
        seen = [
            (replace(base[r], fields={(ROW + loop.entity, (name,)): row.slots[slot]
                                      for slot, name in rows.fields.items() if slot in row.slots}), row)
            for r in loop.worked
            for reading in readings(self._ground.world, kind.id, r)
            for row in reading.rows.get(loop.rows, ())
        ]  # fmt: skip
        names = [name for slot, name in rows.fields.items() if slot != rows.key_slot]
        atoms: list[Expression] = [FieldOf(root=ROW + loop.entity, path=(name,)) for name in names]
        parts_of_rows = kind.nodes[loop.rows].children[0].walk()
        for node in parts_of_rows:
            for part in ([node.id] if node.optional else []) + [f"{node.id}:{flag}" for flag in node.flags]:
                examples = distinct([Example(c, YES if part in row.present else NO) for c, row in seen])
                result = Search(
                    examples, atoms, self._ground.knowledge, max_leaves=3, of_rows=ROW + loop.entity
                ).run()
                if result.expression is not None:
                    yield part, result.expression
                    continue
                self._ground.models.findings.append(
                    Finding(
                        kind="presence",
                        severity="note",
                        text=f"Nothing a row of “{page_title(kind)}” says explains when "
                        f"“{node.label() or node.role}” is in it; it always is.",
                    )
                )

    def _conditions(self, kind: PageKind) -> list[tuple[str, Expression]]:
        found: list[tuple[str, Expression]] = []
        behaviour = self._ground.behaviour
        handled = behaviour.messages.get(kind.id, frozenset()) | behaviour.list_nodes(kind.id) | kind.turns
        handled = handled | behaviour.suggesting(kind.id)
        seen = self._ground.seen[kind.id]
        wanted = [n.id for n in outside_rows(kind.template) if n.optional and n.id not in handled]
        flags = [f"{n.id}:{flag}" for n in outside_rows(kind.template) for flag in n.flags]
        wanted += [flag for flag in flags if flag not in handled]
        containers = {n.id for n in kind.template.walk() if only_holds_optional(n)}
        for part in wanted:
            if part in containers:
                continue
            expression = self._presence(kind, part, seen)
            if expression is not None:
                found.append((part, expression))
        return found

    def _presence(self, kind: PageKind, part: str, seen: Sequence[Seen]) -> Expression | None:
        controls = [n for n in kind.template.walk() if n.kind == "control" and n.id != part]
        atoms = page_atoms(seen)
        atoms += [Entered(control=f"{kind.id}.{n.id}", label=kind.label_of(n.id)) for n in controls]
        atoms += [Entered(control=f"{kind.id}.#{rows}", label="number of rows") for rows in kind.lists]
        atoms += [order_of(kind.id, rows) for rows in kind.lists]
        examples = distinct([Example(s.context, YES if part in s.reading.present else NO) for s in seen])
        result = Search(examples, atoms, self._ground.knowledge, equalities=False, max_leaves=3).run()
        if result.expression is None:
            node = kind.nodes[part.split(":")[0]]
            self._ground.models.findings.append(
                Finding(
                    kind="presence",
                    severity="note",
                    text=f"Nothing seen explains when “{node.label() or node.role}” is on the page "
                    f"“{page_title(kind)}”; it is left out.",
                )
            )
            return Constant(text=NO)
        return result.expression

    def _sources(self, kind: PageKind) -> list[tuple[str, Expression]]:
        found: list[tuple[str, Expression]] = []
        known = set(kind.fields) | {kind.key_slot}
        for slot, name in kind.session.items():
            found.append((slot, FieldOf(root="", path=(name,))))
            known.add(slot)
        for slot in sorted(kind.echoes):
            found.append((slot, Instruction()))
            known.add(slot)
        for rows in kind.lists:
            sorts = self._ground.behaviour.lists[kind.id, rows].arranged.sorts
            marks = order_marks(kind, rows, sorts, self._ground.seen[kind.id])
            found += marks.items()
            known |= marks.keys()
        for node in outside_rows(kind.template):
            slots = [*slots_of(node.name), *(slots_of(node.value) if node.value is not None else ())]
            for slot in slots:
                if slot in known:
                    continue
                seen = [s for s in self._ground.seen[kind.id] if slot in s.reading.slots]
                expression = self._slot_source(kind, slot, seen)
                if expression is not None:
                    found.append((slot, expression))
                elif seen:
                    self._ground.models.findings.append(
                        Finding(
                            kind="not modelled",
                            severity="warning",
                            text=f"Nothing seen explains what “{kind.labels.get(slot) or node.role}” on "
                            f"“{page_title(kind)}” says; it is left empty.",
                            evidence=tuple(
                                dict.fromkeys(f"{s.visit.recording}: {s.reading.slots[slot]}" for s in seen)
                            )[:6],
                        )
                    )
        return found

    def _slot_source(self, kind: PageKind, slot: str, seen: Sequence[Seen]) -> Expression | None:
        entered = dict.fromkeys(c for s in seen for c in s.context.controls if "#" not in c)
        atoms: list[Expression] = [Entered(control=c, label=self._control_label(c)) for c in entered]
        if slot in kind.repeats:
            examples = distinct([Example(s.context, s.reading.slots[slot]) for s in seen])
            result = Search(examples, atoms, self._ground.knowledge, equalities=False, max_leaves=1).run()
            if result.expression is not None:
                return result.expression
        atoms += page_atoms(seen)
        # Pages may repeat what the task is about.
        atoms += [Parameter(name=n) for n in dict.fromkeys(n for s in seen for n in s.context.parameters)]
        # What a page says is new when something led to it; while fields are filled it only stays.
        fresh = [s for s in seen if s.after and s.visit.verb not in ENTRY_VERBS] or list(seen)
        examples = distinct([Example(s.context, s.reading.slots[slot]) for s in fresh])
        result = Search(examples, atoms, self._ground.knowledge, equalities=False, max_leaves=4).run()
        if isinstance(result.expression, Constant):
            # Said once: what it names is what was entered, not always the same.
            texts = {e.output for e in examples}
            for atom in atoms:
                if isinstance(atom, Entered) and {evaluate(atom, e.context) for e in examples} == texts:
                    return atom
        return result.expression

    def _control_label(self, control: str) -> str:
        if FILLED_ROWS in control:
            return "number of rows"
        if ORDER in control:
            return ORDER_LABEL
        page, _, node = control.partition(".")
        kind = self._ground.world.kinds.get(page)
        return kind.label_of(node) if kind is not None and node in kind.nodes else control
