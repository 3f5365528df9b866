"""Page models: controls, conditions of optional parts, texts of slots, exits and their outcomes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from envgen.behaviour import ENTRY_VERBS, Behaviour, mapping_of, shown_messages
from envgen.documents import Knowledge
from envgen.examples import PAGE_ROOT, Historian, Known
from envgen.explanations import Example
from envgen.expressions import (
    Among,
    Choose,
    Constant,
    Empty,
    Entered,
    Exists,
    Expression,
    FieldOf,
    Instruction,
    Mapped,
    Parameter,
    Told,
    Valid,
    evaluate,
    parts,
)
from envgen.search import Search
from envgen.templates import Reading, TemplateNode, only_holds_optional
from envgen.texts import slots_of
from envgen.workflow import (
    Control,
    Exit,
    Finding,
    Hidden,
    ListView,
    Outcome,
    PageModel,
    PagePlan,
    RecordRule,
)
from envgen.world import PageKind, Visit, World
from ingest.action import CHECKABLE_ROLES, SELECTABLE_ROLES

YES, NO = "yes", "no"
NEVER = "never"
"""Hidden flag of outcomes that no instance has."""


@dataclass(slots=True)
class Models:
    """The page models and what was noticed while making them."""

    pages: list[PageModel] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    struck: dict[str, list[Visit]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A page as it was seen, with what the application knew then."""

    visit: Visit
    reading: Reading
    context: Known
    after: bool


class Modeller:
    """Makes the models of all pages."""

    def __init__(
        self,
        world: World,
        behaviour: Behaviour,
        historian: Historian,
        contexts: dict[str, list[Known]],
        knowledge: Knowledge,
    ) -> None:
        self._world = world
        self._behaviour = behaviour
        self._historian = historian
        self._contexts = contexts
        self._knowledge = knowledge
        self._seen: dict[str, list[_Seen]] = defaultdict(list)
        for visit in world.all_visits():
            base = contexts[visit.recording][visit.index]
            self._see(visit, base, after=False)
            self._see(visit, base, after=True)
        self._exits: dict[tuple[str, str, str], list[Visit]] = defaultdict(list)
        for visit in world.all_visits():
            if not visit.target or visit.verb in ENTRY_VERBS:
                continue
            if visit.target in behaviour.list_nodes(visit.page) and visit.next_page == visit.page:
                continue
            self._exits[visit.page, visit.target, visit.verb].append(visit)
        self._models = Models()

    def run(self) -> Models:
        shared = self._navigation()
        for kind in self._world.kinds.values():
            self._models.pages.append(self._page(kind, shared))
        return self._models

    def _see(self, visit: Visit, base: Known, *, after: bool) -> None:
        page = visit.next_page if after else visit.page
        reading = visit.next_reading if after else visit.reading
        context = self._historian.page_context(visit, after=after, base=base)
        controls = dict(base.controls)
        controls.update({f"{page}.{c}": text for c, text in reading.controls.items()})
        for rows_id in self._world.kinds[page].lists:
            controls[f"{page}.#{rows_id}"] = str(len(reading.rows.get(rows_id, ())) or "")
        context.controls = controls
        self._seen[page].append(_Seen(visit, reading, context, after))

    # One page

    def _page(self, kind: PageKind, shared: dict[tuple[str, str], Exit]) -> PageModel:
        exits = [self._exit(kind, node, verb, visits) for (page, node, verb), visits in self._exits.items()
                 if page == kind.id]  # fmt: skip
        taken = {found.node for found in exits} | self._behaviour.list_nodes(kind.id)
        for node in kind.template.walk():
            known = shared.get((node.role, node.label()))
            if known is not None and node.id not in taken and len(node.name) == 1:
                exits.append(known.model_copy(update={"node": node.id}))
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
            messages=tuple(sorted(self._behaviour.messages.get(kind.id, ()))),
            controls=tuple(self._controls(kind)),
            lists=tuple(self._lists(kind)),
            next=kind.next,
            previous=kind.previous,
            exits=tuple(exits),
        )

    def _lists(self, kind: PageKind) -> list[ListView]:
        found = []
        for rows_id, rows in kind.lists.items():
            behaviour = self._behaviour.lists[kind.id, rows_id]
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
                )
            )
        return found

    def _page_atoms(self, kind: PageKind, seen: Sequence[_Seen]) -> list[Expression]:
        fields = dict.fromkeys(key for s in seen for key in s.context.fields if key[0].startswith(PAGE_ROOT))
        return [FieldOf(root=root, path=path) for root, path in fields]

    # Optional parts and slots

    def _conditions(self, kind: PageKind) -> list[tuple[str, Expression]]:
        found: list[tuple[str, Expression]] = []
        behaviour = self._behaviour
        handled = behaviour.messages.get(kind.id, frozenset()) | behaviour.list_nodes(kind.id) | kind.turns
        seen = self._seen[kind.id]
        wanted = [n.id for n in _outside_rows(kind.template) if n.optional and n.id not in handled]
        wanted += [f"{n.id}:{flag}" for n in _outside_rows(kind.template) for flag in n.flags]
        containers = {n.id for n in kind.template.walk() if only_holds_optional(n)}
        for part in wanted:
            if part in containers:
                continue
            expression = self._presence(kind, part, seen)
            if expression is not None:
                found.append((part, expression))
        return found

    def _presence(self, kind: PageKind, part: str, seen: Sequence[_Seen]) -> Expression | None:
        controls = [n for n in kind.template.walk() if n.kind == "control" and n.id != part]
        atoms = self._page_atoms(kind, seen)
        atoms += [Entered(control=f"{kind.id}.{n.id}", label=kind.label_of(n.id)) for n in controls]
        atoms += [Entered(control=f"{kind.id}.#{rows}", label="number of rows") for rows in kind.lists]
        examples = _distinct([Example(s.context, YES if part in s.reading.present else NO) for s in seen])
        result = Search(examples, atoms, self._knowledge, equalities=False, max_leaves=3).run()
        if result.expression is None:
            node = kind.nodes[part.split(":")[0]]
            self._models.findings.append(
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
        for node in _outside_rows(kind.template):
            slots = [*slots_of(node.name), *(slots_of(node.value) if node.value is not None else ())]
            for slot in slots:
                if slot in known:
                    continue
                seen = [s for s in self._seen[kind.id] if slot in s.reading.slots]
                expression = self._slot_source(kind, slot, seen)
                if expression is not None:
                    found.append((slot, expression))
        return found

    def _slot_source(self, kind: PageKind, slot: str, seen: Sequence[_Seen]) -> Expression | None:
        entered = dict.fromkeys(c for s in seen for c in s.context.controls if "#" not in c)
        atoms: list[Expression] = [Entered(control=c, label=self._control_label(c)) for c in entered]
        atoms += self._page_atoms(kind, seen)
        # Pages may repeat what the task is about.
        atoms += [Parameter(name=n) for n in dict.fromkeys(n for s in seen for n in s.context.parameters)]
        # What a page says is new when something led to it; while fields are filled it only stays.
        fresh = [s for s in seen if s.after and s.visit.verb not in ENTRY_VERBS] or list(seen)
        examples = _distinct([Example(s.context, s.reading.slots[slot]) for s in fresh])
        result = Search(examples, atoms, self._knowledge, equalities=False, max_leaves=4).run()
        if isinstance(result.expression, Constant):
            # Said once: what it names is what was entered, not always the same.
            texts = {e.output for e in examples}
            for atom in atoms:
                if isinstance(atom, Entered) and {evaluate(atom, e.context) for e in examples} == texts:
                    return atom
        return result.expression

    def _control_label(self, control: str) -> str:
        page, _, node = control.partition(".")
        kind = self._world.kinds.get(page)
        return kind.label_of(node) if kind is not None and node in kind.nodes else control

    # Controls

    def _controls(self, kind: PageKind) -> list[Control]:
        return [self._control(kind, node) for node in kind.template.walk() if node.kind == "control"]

    def _control(self, kind: PageKind, node: TemplateNode) -> Control:
        seen = [s for s in self._seen[kind.id] if node.id in s.reading.controls]
        options: tuple[str, ...] = ()
        varied: tuple[tuple[str, ...], ...] = ()
        by, table = "", None
        if node.role in SELECTABLE_ROLES:
            offered = Counter(s.reading.options.get(node.id, ()) for s in seen)
            if len(offered) == 1:
                options = next(iter(offered))
            else:
                by, table = self._option_map(kind, node, seen)
                merged = dict.fromkeys(o for known in offered for o in known)
                options = tuple(merged)
                varied = () if by else tuple(known for known in offered if known)
        return Control(
            id=f"{kind.id}.{node.id}",
            node=node.id,
            label=kind.label_of(node.id),
            role=node.role,
            options=options,
            options_seen=varied if len(varied) > 1 else (),
            begins_with_first=len(varied) > 1 and self._begins_with_first(kind, node),
            options_by=by,
            options_for=tuple(sorted((table or {}).items())),
            initial=self._initial(kind, node),
            refreshes=self._refreshes(kind, node),
            sometimes_empty=self._sometimes_empty(kind, node),
            marks_selected=self._marks_selected(kind, node),
            required=any(key == "required" for key, _ in node.states),
            optional_node=node.optional,
        )

    def _option_map(
        self, kind: PageKind, node: TemplateNode, seen: Sequence[_Seen]
    ) -> tuple[str, dict[str, tuple[str, ...]] | None]:
        for other in kind.template.walk():
            if other.kind != "control" or other.id == node.id:
                continue
            pairs = [(s.reading.controls.get(other.id, ""), s.reading.options.get(node.id, ())) for s in seen]
            found = mapping_of(pairs)
            if found is not None and len(set(found.values())) > 1:
                return f"{kind.id}.{other.id}", dict(found)
        self._models.findings.append(
            Finding(
                kind="options",
                severity="warning",
                text=f"Nothing seen explains which options “{node.label()}” offers: each task has those of a "
                "recording.",
            )
        )
        return "", None

    def _arrivals(self, page: str) -> list[Visit]:
        """Moments that opened a page anew: from another page, or for another record."""
        return [
            v for v in self._world.all_visits()
            if v.next_page == page and (v.page != page or v.before_key != v.after_key)
        ]  # fmt: skip

    def _begins_with_first(self, kind: PageKind, node: TemplateNode) -> bool:
        fresh = [v.next_reading for v in self._arrivals(kind.id)]
        fresh += [v.reading for v in self._world.all_visits() if v.index == 0 and v.page == kind.id]
        shown = [(r.controls[node.id], r.options.get(node.id, ())) for r in fresh if node.id in r.controls]
        return bool(shown) and all(options and value == options[0] for value, options in shown)

    def _initial(self, kind: PageKind, node: TemplateNode) -> Expression | None:
        if any(node.id == b.search_control for (p, _), b in self._behaviour.lists.items() if p == kind.id):
            return None
        name = self._world.prefilled.get((kind.id, node.id))
        if name is not None:
            return FieldOf(root="", path=(name,))
        examples = []
        for visit in self._arrivals(kind.id):
            if node.id in visit.next_reading.controls:
                base = self._contexts[visit.recording][visit.index]
                context = self._historian.page_context(visit, after=True, base=base)
                examples.append(Example(context, visit.next_reading.controls[node.id]))
        if not examples or all(not e.output or e.output == "off" for e in examples):
            return None
        keys = dict.fromkeys(key for e in examples for key in e.context.fields)
        atoms: list[Expression] = [FieldOf(root=root, path=path) for root, path in keys]
        result = Search(examples, atoms, self._knowledge, equalities=False, max_leaves=2).run()
        return result.expression

    def _refreshes(self, kind: PageKind, node: TemplateNode) -> bool:
        messages = [
            (
                shown_messages(self._behaviour, kind.id, v.reading),
                shown_messages(self._behaviour, kind.id, v.next_reading),
            )
            for v in self._world.all_visits()
            if v.page == kind.id and v.next_page == kind.id and v.target == node.id and v.verb in ENTRY_VERBS
        ]
        with_message = [(before, after) for before, after in messages if before]
        if with_message:
            return all(not after for _, after in with_message)
        return any(
            v.moment.before.url != v.moment.after.url
            for v in self._world.all_visits()
            if v.page == kind.id and v.next_page == kind.id and v.target == node.id and v.verb in ENTRY_VERBS
        )

    def _sometimes_empty(self, kind: PageKind, node: TemplateNode) -> bool:
        """Whether the form was ever accepted with nothing entered here; True when it never was sent."""
        accepted = [
            v for v in self._world.all_visits()
            if v.page == kind.id and (v.recording, v.index) in self._behaviour.writes
            and node.id in v.reading.controls
        ]  # fmt: skip
        if not accepted:
            return True
        return any(v.reading.controls[node.id] in ("", "off") for v in accepted)

    def _marks_selected(self, kind: PageKind, node: TemplateNode) -> bool:
        if node.role not in SELECTABLE_ROLES:
            return False
        for s in self._seen[kind.id]:
            page = s.visit.moment.before if s.reading is s.visit.reading else s.visit.moment.after
            for found in page.node.walk():
                if found.role == node.role and found.name == node.label() and found.value:
                    return any(o.state("selected") is not None for o in found.walk() if o.role == "option")
        return True

    # Exits

    def _navigation(self) -> dict[tuple[str, str], Exit]:
        """Links that lead to the same recordless page wherever they are clicked."""
        found: dict[tuple[str, str], Exit] = {}
        clash: set[tuple[str, str]] = set()
        for (page, node_id, verb), visits in self._exits.items():
            kind = self._world.kinds[page]
            node = kind.nodes[node_id]
            targets = {v.next_page for v in visits}
            if verb != "click" or len(node.name) != 1 or not node.label() or visits[0].row is not None:
                continue
            key = (node.role, node.label())
            writes = any((v.recording, v.index) in self._behaviour.writes for v in visits)
            target = self._world.kinds[next(iter(targets))]
            if len(targets) != 1 or target.entity or writes or (kind.id in targets and len(visits) < 1):
                clash.add(key)
                continue
            outcome = Outcome(page=target.id, record="none", seen=len(visits))
            known = found.get(key)
            if known is not None and known.outcomes[0].page != target.id:
                clash.add(key)
            found[key] = Exit(node=node_id, label=node.label(), outcomes=(outcome,))
        return {key: value for key, value in found.items() if key not in clash and key[0] == "link"}

    def _exit(self, kind: PageKind, node_id: str, verb: str, visits: Sequence[Visit]) -> Exit:
        groups: dict[tuple[str, RecordRule, frozenset[str], str], list[Visit]] = defaultdict(list)
        for visit in visits:
            write = self._behaviour.writes.get((visit.recording, visit.index), "")
            shows = shown_messages(self._behaviour, visit.next_page, visit.next_reading)
            groups[visit.next_page, self._record_rule(visit), shows, write].append(visit)
        ordered = sorted(groups.items(), key=lambda item: (-bool(item[0][3]), -len(item[1])))
        outcomes: list[Outcome] = []
        plain: list[tuple[int, list[Visit]]] = []
        decision: Expression | None = None
        refusals: list[tuple[int, list[Visit]]] = []
        for index, ((page, record, shows, write), found) in enumerate(ordered):
            outcomes.append(
                Outcome(page=page, record=record, shows=tuple(sorted(shows)), write=write, seen=len(found))
            )
            refused = any((v.recording, v.index) in self._behaviour.refused for v in found)
            (refusals if refused else plain).append((index, found))
        label = kind.nodes[node_id].label() or node_id
        if len(plain) > 1:
            decision = self._decide(kind, label, plain)
        for index, found in refusals:
            test = self._refusal_test(kind, outcomes[index], found, [v for v in visits if v not in found])
            if test is not None:
                base = decision or Constant(text=str(plain[0][0] if plain else index))
                decision = _graft(test, str(index), base)
            elif not any(self._gone_on(v) for v in found):
                # Nobody got past it: an error, of which nothing is known but that it was there.
                outcomes[index] = outcomes[index].model_copy(update={"hidden": NEVER})
            else:
                name = f"{kind.id}.{node_id}.{len(self._models.hidden) + 1}"
                self._models.hidden.append(self._hidden(kind, name, found))
                self._models.struck[name] = found
                outcomes[index] = outcomes[index].model_copy(update={"hidden": name})
        if decision is None and len(outcomes) > 1 and not outcomes[0].hidden and plain:
            decision = Constant(text=str(plain[0][0]))
        return Exit(node=node_id, verb=verb, label=label, outcomes=tuple(outcomes), decision=decision)

    def _gone_on(self, refused: Visit) -> bool:
        """Whether a refused submission was accepted in the end."""
        return any(
            recording == refused.recording and index > refused.index
            for recording, index in self._behaviour.writes
        )

    def _record_rule(self, visit: Visit) -> RecordRule:
        kind, after = self._world.kinds[visit.page], self._world.kinds[visit.next_page]
        if visit.target in kind.turns:
            return "next" if visit.target == kind.next else "previous"
        if not after.entity:
            return "none"
        if visit.row is not None and visit.rows_id:
            rows = self._world.kinds[visit.page].lists.get(visit.rows_id)
            if rows is not None:
                return "row"
        target = visit.moment.action.target
        node = self._world.kinds[visit.page].nodes[visit.target]
        if target is not None and any(visit.reading.slots.get(s) == visit.after_key for s in node.slots()):
            return "link"
        return "same"

    def _exit_examples(self, groups: Sequence[tuple[str, Sequence[Visit]]]) -> list[Example]:
        examples = []
        for output, visits in groups:
            for visit in visits:
                base = self._contexts[visit.recording][visit.index]
                context = self._historian.page_context(visit, after=False, base=base)
                examples.append(Example(context, output))
        return _distinct(examples)

    def _decide(self, kind: PageKind, label: str, plain: Sequence[tuple[int, list[Visit]]]) -> Expression:
        examples = self._exit_examples([(str(index), visits) for index, visits in plain])
        atoms = self._outcome_atoms(kind, examples)
        result = Search(examples, atoms, self._knowledge, equalities=False, max_leaves=4).run()
        if result.expression is not None:
            return result.expression
        most = max(plain, key=lambda item: len(item[1]))
        self._models.findings.append(
            Finding(
                kind="outcome",
                severity="warning",
                text=f"“{label}” on “{page_title(kind)}” led to different pages and nothing seen "
                "explains which; "
                "the most frequent one is taken.",
                evidence=tuple(f"{v.recording}: {v.next_page}" for _, vs in plain for v in vs)[:6],
            )
        )
        return Constant(text=str(most[0]))

    def _outcome_atoms(self, kind: PageKind, examples: Sequence[Example]) -> list[Expression]:
        atoms: list[Expression] = [
            Entered(control=f"{kind.id}.{n.id}", label=kind.label_of(n.id))
            for n in kind.template.walk()
            if n.kind == "control"
        ]
        keys = dict.fromkeys(k for e in examples for k in e.context.fields if k[0].startswith(PAGE_ROOT))
        return atoms + [FieldOf(root=root, path=path) for root, path in keys]

    def _refusal_test(
        self, kind: PageKind, outcome: Outcome, refused: Sequence[Visit], others: Sequence[Visit]
    ) -> Expression | None:
        """What explains a refusal: something entered, perhaps together with the record; None if "
        "nothing does."""
        examples = self._exit_examples([(YES, refused), (NO, others)])
        atoms = self._outcome_atoms(kind, examples)
        words = (
            " ".join(
                part for m in outcome.shows for n in kind.nodes[m].walk() if n.value for part in n.value[::2]
            ).lower()
            or " ".join(kind.nodes[m].label() for m in outcome.shows if m in kind.nodes).lower()
        )
        named = [a for a in atoms if isinstance(a, Entered) and a.label and a.label.lower() in words]
        if named:
            entered = {a.control for a in named}
            atoms = [a for a in atoms if not isinstance(a, Entered) or a.control in entered]
        result = Search(examples, atoms, self._knowledge, equalities=True, max_leaves=3).run()
        if result.expression is None:
            return None
        used = [p for p in parts(result.expression) if isinstance(p, Entered)]
        if not used:
            return None
        if len({(v.recording, v.before_key) for v in refused}) < 2 and not _natural(result.expression):
            return None
        return result.expression

    def _hidden(self, kind: PageKind, name: str, refused: Sequence[Visit]) -> Hidden:
        """A refusal nothing explains: what was changed to get past it, and how often it struck."""
        changed: Counter[str] = Counter()
        accepted: list[tuple[Visit, Visit]] = []
        for visit in refused:
            later = [
                v for v in self._world.visits[visit.recording]
                if v.index > visit.index and v.page == kind.id and v.target == visit.target
            ]  # fmt: skip
            if not later:
                continue
            accepted.append((visit, later[0]))
            for control, text in visit.reading.controls.items():
                if later[0].reading.controls.get(control, text) != text:
                    changed[control] += 1
        first = [c for c in (n.id for n in kind.template.walk() if n.kind == "control") if changed[c]]
        best = max(first, key=lambda c: changed[c], default="")
        recordings = {t.recording for t in self._world.traces}
        share = len({v.recording for v in refused}) / max(len(recordings), 1)
        expression: Expression = Constant(text="")
        if best:
            examples = [
                Example(self._contexts[v.recording][v.index], v.reading.controls.get(best, ""))
                for _, v in accepted
            ]
            told = dict.fromkeys(key for e in examples for key in e.context.messages)
            atoms: list[Expression] = [Told(page=page, slot=slot) for page, slot in told]
            found = Search(examples, atoms, self._knowledge, equalities=False, max_leaves=2).run()
            texts = {e.output for e in examples}
            expression = found.expression or Constant(text=sorted(texts)[0])
        label = kind.label_of(best) if best else ""
        self._models.findings.append(
            Finding(
                kind="hidden",
                severity="note",
                text=f"A refusal on “{page_title(kind)}” is explained by nothing the recordings show. "
                "It strikes "
                f"{share:.0%} of the tasks until “{label or 'the form'}” is changed.",
                evidence=tuple(sorted({v.recording for v in refused})),
                about=name,
            )
        )
        return Hidden(
            name=name, share=share, control=f"{kind.id}.{best}" if best else "", accepted=expression
        )


def without_mistakes(models: Models, plans: Sequence[PagePlan], contexts: dict[str, list[Known]]) -> None:
    """Take out hidden refusals that struck only what the expert had entered against the rules.

    A refusal that no rule-abiding entry ever met is not a hazard of the work; what exactly
    the application refuses is not known, so in the environment wrong entries are judged, not refused.
    """
    rules = {rule.control: rule.expression for plan in plans for rule in plan.entries}
    for hidden in list(models.hidden):
        expression = rules.get(hidden.control)
        if expression is None:
            continue
        node = hidden.control.partition(".")[2]
        mistakes = 0
        for visit in models.struck[hidden.name]:
            right = evaluate(expression, contexts[visit.recording][visit.index])
            mistakes += right is not None and visit.reading.controls.get(node) != right
        if mistakes * 2 > len(models.struck[hidden.name]):
            _remove(models, hidden)


def _remove(models: Models, hidden: Hidden) -> None:
    models.hidden.remove(hidden)
    models.findings[:] = [f for f in models.findings if f.about != hidden.name]
    for index, page in enumerate(models.pages):
        exits = tuple(
            e.model_copy(
                update={
                    "outcomes": tuple(
                        o.model_copy(update={"hidden": NEVER}) if o.hidden == hidden.name else o
                        for o in e.outcomes
                    )
                }
            )
            for e in page.exits
        )
        models.pages[index] = page.model_copy(update={"exits": exits})


def page_title(kind: PageKind) -> str:
    """What a person would call the page: its heading, holes shown as dots."""
    for node in kind.template.walk():
        if node.role == "heading":
            title = (
                node.label()
                or " ".join("…" if i % 2 else p for i, p in enumerate(node.children[0].value or ("",)))
                if node.children
                else node.label()
            )
            if re.sub(r"[…\s]", "", title):
                return title
    return f"{kind.entity} …" if kind.entity else kind.address


def _outside_rows(template: TemplateNode) -> list[TemplateNode]:
    found = [template]
    for child in template.children:
        if child.kind != "rows":
            found += _outside_rows(child)
    return found


def _distinct(examples: Sequence[Example]) -> list[Example]:
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


def _graft(test: Expression, index: str, base: Expression) -> Expression:
    """A yes/no tree with ``index`` for yes and ``base`` for no."""
    if isinstance(test, Choose):
        return Choose(
            test=test.test, then=_graft(test.then, index, base), otherwise=_graft(test.otherwise, index, base)
        )
    if isinstance(test, Mapped):
        texts = tuple(key for key, answer in test.pairs if answer == YES)
        return Choose(test=Among(of=test.of, texts=texts), then=Constant(text=index), otherwise=base)
    return Constant(text=index) if isinstance(test, Constant) and test.text == YES else base


def _natural(expression: Expression) -> bool:
    """Whether a refusal asks what forms usually ask: something entered, well formed, known. One "
    "example will do."""
    return any(
        (isinstance(p, Empty | Exists) or (isinstance(p, Valid) and p.format in ("IBAN", "card number")))
        and isinstance(p.of, Entered)
        for p in parts(expression)
    )


__all__ = ["CHECKABLE_ROLES", "Modeller", "Models", "page_title"]
