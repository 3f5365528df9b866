"""The program behind the recordings: which way leads to the work's end, and what is entered on it.

On each page of the way (:mod:`envgen.ways`) the values that stood in the form when the page was
left are what the program has to explain.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from envgen.answers import Answers
from envgen.behaviour import ENTRY_VERBS, Behaviour
from envgen.derived import foremost_of
from envgen.documents import Knowledge
from envgen.doubts import contradicted
from envgen.examples import Known
from envgen.explanations import Example, Explanation
from envgen.expressions import (
    Constant,
    Entered,
    Expression,
    FieldOf,
    NextRow,
    Parameter,
    Shown,
    Told,
    evaluate,
)
from envgen.ground import page_title
from envgen.instructions import Instructions
from envgen.kinds import PageKind
from envgen.loop_rules import LoopRules
from envgen.loops import Loop
from envgen.proposals import Proposals
from envgen.proposed_checks import Check, propose_checks
from envgen.proposed_rules import propose_exit, propose_rule
from envgen.questions import ENOUGH, Questions, contradiction
from envgen.rows import ROW
from envgen.search import Search
from envgen.templates import own_nodes
from envgen.ways import Stay, way
from envgen.words import in_words
from envgen.workflow import EntryRule, Finding, PagePlan, RowLoop
from envgen.world import World
from ingest.action import CHECKABLE_ROLES


@dataclass(slots=True)
class Program:
    """The rules, per page of the way.

    Attributes:
        worked: By entity, the keys of the records that loops worked on.
    """

    plans: list[PagePlan] = field(default_factory=list)
    terminal: tuple[str, ...] = ()
    free_fields: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    longest: int = 0
    worked: dict[str, set[str]] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


class Programmer:
    """Learns the program from the ways of all recordings."""

    def __init__(
        self,
        world: World,
        behaviour: Behaviour,
        instructions: Instructions,
        contexts: dict[str, list[Known]],
        knowledge: Knowledge,
        answers: Answers,
        proposals: Proposals,
        references: Mapping[tuple[str, str], str],
        loops: Sequence[Loop] = (),
    ) -> None:
        self._world = world
        self._behaviour = behaviour
        self._instructions = instructions
        self._contexts = contexts
        self._knowledge = knowledge
        self._proposals = proposals
        self._loops = {loop.page: loop for loop in loops}
        self._ways = {r: way(world, behaviour, r, loops) for r in world.visits}
        self._program = Program()
        # What is opened because it comes first in an order.
        self._first: set[str] = set()
        named = [
            (name, frozenset(world.fixed[to])) for (_, name), to in references.items() if to in world.fixed
        ]
        self._questions = Questions(self._program.findings, answers, knowledge, named)
        self._rules = LoopRules(
            world, behaviour, contexts, knowledge, answers, self._questions, self._program.findings
        )

    def run(self) -> Program:
        by_page: dict[str, list[Stay]] = defaultdict(list)
        ends: dict[str, str] = {}
        for recording, stays_found in self._ways.items():
            for stay in stays_found:
                by_page[stay.page].append(stay)
            last = stays_found[-1].leaving if stays_found else None
            if last is not None and (last.recording, last.index) in self._behaviour.writes:
                ends[recording] = self._behaviour.writes[last.recording, last.index]
        learned = {page: self._rules.learn(loop, ends) for page, loop in self._loops.items()}
        self._loops = {page: loop for page, loop in self._loops.items() if learned[page] is not None}
        one_by_one = {loop.write for loop in self._loops.values() if not loop.at_once}
        self._program.terminal = tuple(sorted(set(ends.values()) - one_by_one))
        for page in dict.fromkeys((*by_page, *self._loops)):
            self._program.plans.append(
                self._plan(self._world.kinds[page], by_page.get(page, []), learned.get(page))
            )
        self._program.worked = {
            loop.entity: {key for keys in loop.worked.values() for key in keys}
            for loop in self._loops.values()
        }
        self._refusals()
        self._program.longest = max((len(v) for v in self._world.visits.values()), default=0)
        return self._program

    # One page

    def _plan(
        self, kind: PageKind, found: Sequence[Stay], learned: tuple[RowLoop, tuple[str, ...]] | None
    ) -> PagePlan:
        loop, reasons = learned or (None, ())
        why = list(reasons)
        key = self._key(kind, found) if found else None
        done = self._loops[kind.id].steps if loop is not None else frozenset()
        after = [stay for stay in found if (stay.recording, stay.leaving.index) not in done]
        if loop is not None:
            # Where there was nothing to do, the last that was done to the list was to turn it over.
            turning = self._behaviour.list_nodes(kind.id)
            after = [stay for stay in after if stay.leaving.target not in turning]
        entries = tuple(self._entries(kind, after, loop))
        exit_rule, links = self._exits(kind, after, why)
        return PagePlan(
            page=kind.id, key=key, entries=entries, exit=exit_rule, links=links, loop=loop, why=tuple(why)
        )

    def _context(self, stay: Stay) -> Known:
        base = self._contexts[stay.recording][stay.leaving.index]
        entity = self._world.kinds[stay.page].entity
        if self._loop_of(entity) is None and entity not in self._first:
            return base
        # The record is none that the instruction names: what is on the page about it is what there is.
        said = base.seen.get(entity, {}).get(stay.key, {})
        return replace(base, fields={**base.fields, **{(ROW + entity, (n,)): t for n, t in said.items()}})

    def _loop_of(self, entity: str) -> Loop | None:
        """The loop that opens the records of an entity one by one."""
        loops = (p for p in self._loops.values() if entity and p.entity == entity and not p.at_once)
        return next(loops, None)

    def _atoms(self, found: Sequence[Stay], controls: Sequence[Entered] = ()) -> list[Expression]:
        contexts = [self._context(stay) for stay in found]
        names = dict.fromkeys(n for c in contexts for n in c.parameters)
        keys = dict.fromkeys(k for c in contexts for k in c.fields)
        told = dict.fromkeys(k for c in contexts for k in c.messages if "." in k[1])
        atoms: list[Expression] = [Parameter(name=name) for name in names]
        # What is deeper than the record and its neighbours explains too much.
        atoms += [FieldOf(root=root, path=path) for root, path in sorted(keys, key=lambda k: len(k[1]))]
        atoms += [Told(page=page, slot=slot) for page, slot in told]
        return [*atoms, *controls]

    def _messages(self, found: Sequence[Stay], control: str = "") -> list[Shown]:
        """Messages that may be asked about: for a field, those after which somebody changed it."""
        told = dict.fromkeys(
            place
            for stay in found
            for place in self._context(stay).messages
            if "." not in place[1] and (not control or self._changed_after(stay, place, control))
        )
        return [Shown(page=page, node=node, words=self._words(page, node)) for page, node in told]

    def _changed_after(self, stay: Stay, place: tuple[str, str], control: str) -> bool:
        return any(
            visit.target == control and place in self._contexts[visit.recording][visit.index].messages
            for visit in stay.visits
        )

    def _words(self, page: str, node: str) -> str:
        texts = []
        for inner in self._world.kinds[page].nodes[node].walk():
            for pattern in (inner.name, inner.value):
                if pattern:
                    texts.append("".join("…" if i % 2 else p for i, p in enumerate(pattern)))
        return " ".join(filter(None, texts))

    def _written(self) -> list[str]:
        return sorted(set(self._behaviour.writes.values()))

    def _key(self, kind: PageKind, found: Sequence[Stay]) -> Expression | None:
        if not kind.entity:
            return None
        loop = self._loop_of(kind.entity)
        if loop is not None:
            return NextRow(page=loop.page, entity=loop.entity)
        examples = [Example(self._context(s), s.key) for s in found if s.key]
        search = Search(examples, self._atoms(found), self._knowledge, equalities=False, max_leaves=1)
        result = search.run()
        first = foremost_of(examples, kind.entity, self._knowledge.day_first) if not _says(result) else []
        if first:
            self._first.add(kind.entity)
            rule, _ = self._questions.settled(
                f"Which {kind.entity} is opened on “{page_title(kind)}”",
                Explanation(first[0], rivals=first[1:4]),
                examples,
            )
            return rule
        if not _says(result):
            self._program.findings.append(
                Finding(
                    kind="record",
                    severity="question",
                    text=f"Which {kind.entity} is opened on “{page_title(kind)}”? Neither the "
                    "instruction nor a page "
                    "seen before names it in every recording.",
                    evidence=tuple(f"{s.recording}: {s.key}" for s in found)[:8],
                )
            )
            return None
        return result.expression

    # Entries

    def _entries(self, kind: PageKind, found: Sequence[Stay], loop: RowLoop | None) -> list[EntryRule]:
        lists = self._behaviour.list_nodes(kind.id)
        if loop is not None:
            # What is entered in rows that are worked on are the loop's own rules.
            lists |= {node.id for node in kind.nodes[loop.rows].walk()}
        touched = {
            v.target
            for v in self._world.all_visits()
            if v.page == kind.id and v.verb in ENTRY_VERBS and v.target
        }
        rules: list[EntryRule] = []
        earlier: list[Entered] = []
        for node in kind.template.walk():
            if node.kind != "control" or node.id in lists or node.id not in touched:
                continue
            if (kind.id, node.id) in self._behaviour.suggests:
                continue
            present = [s for s in found if node.id in s.leaving.reading.controls]
            if not present:
                self._gone(kind, node.id)
                continue
            rules.append(self._entry(kind, node.id, present, earlier))
            earlier.append(Entered(control=f"{kind.id}.{node.id}", label=kind.label_of(node.id)))
        self._questions.page_done(page_title(kind))
        if rules:
            self._program.checks += propose_checks(
                self._proposals,
                kind.id,
                f"“{page_title(kind)}”",
                [self._context(stay) for stay in found],
                self._atoms(found, earlier),
                self._knowledge,
            )
        return rules

    def _gone(self, kind: PageKind, node: str) -> None:
        """A field of which nothing is left when its page is, or one in rows that no rule was found for."""
        entered = [
            f"{v.recording}: {v.value or v.verb}"
            for v in self._world.all_visits()
            if v.page == kind.id and v.target == node and v.verb in ENTRY_VERBS
        ]
        in_rows = any(inner.id == node for rows in kind.lists for inner in kind.nodes[rows].walk())
        what = (
            f"in the rows of “{page_title(kind)}” is filled in, by no rule that was found"
            if in_rows
            else f"on “{page_title(kind)}” is filled in, and gone when the page is left"
        )
        self._program.findings.append(
            Finding(
                kind="not modelled",
                severity="warning",
                text=f"“{kind.label_of(node)}” {what}: what is entered there is not asked for, and not "
                "judged.",
                evidence=tuple(entered)[:6],
                about=f"{kind.id}.{node}",
            )
        )

    def _entry(
        self, kind: PageKind, node: str, found: Sequence[Stay], earlier: Sequence[Entered]
    ) -> EntryRule:
        label = kind.label_of(node)
        examples = [
            Example(
                self._context(s), s.leaving.reading.controls[node], s.visits[0].reading.controls.get(node, "")
            )
            for s in found
        ]
        control = f"{kind.id}.{node}"
        where = f"“{label}” on “{page_title(kind)}”"
        examples = self._questions.believed(where, examples)
        atoms = self._atoms(found, earlier)
        search = Search(
            examples,
            atoms,
            self._knowledge,
            self._messages(found, node),
            self._written(),
            label=label,
            # What is ticked is called what stands beside it.
            spoken={"on": label, "off": ""} if kind.nodes[node].role in CHECKABLE_ROLES else {},
            derive=True,
        )
        result = search.run()
        if result.expression is None:
            proposed = self._proposed(kind, node, where, examples, atoms)
            if proposed is None:
                self._unexplained(kind, node, where, control, examples)
                # What is not judged is still entered where every expert entered something.
                free = control in self._program.free_fields and all(e.output for e in examples)
                words = Constant(text=examples[0].output) if free else None
                return EntryRule(
                    page=kind.id, control=control, expression=words, examples=len(examples), free=free
                )
            result = proposed
        self._program.findings += contradicted(where, result, examples, self._knowledge, control)
        rule, why = self._questions.settled(where, result, examples, control)
        return EntryRule(page=kind.id, control=control, expression=rule, examples=len(examples), why=why)

    def _proposed(
        self,
        kind: PageKind,
        node: str,
        where: str,
        examples: Sequence[Example],
        atoms: Sequence[Expression],
    ) -> Explanation | None:
        """A rule by the proposer that every recording agrees with; whether it is right remains a question."""
        if _own_words(kind, node, examples) or contradiction(examples) is not None:
            return None
        found = propose_rule(self._proposals, where, examples, atoms, self._knowledge)
        if found is not None and found.expression is not None:
            self._to_confirm(where, in_words(found.expression), len(examples), f"{kind.id}.{node}")
        return found

    def _to_confirm(self, where: str, rule: str, count: int, control: str = "") -> None:
        self._questions.confirm(
            f"Proposed: {where}",
            f"{where}: no rule was found, and a language model proposed this one: {rule}. All {count} "
            "recorded ones agree with it. Is it right?",
            control,
        )

    def _unexplained(
        self, kind: PageKind, node: str, where: str, control: str, examples: Sequence[Example]
    ) -> None:
        if _own_words(kind, node, examples):
            self._program.free_fields.append(control)
            self._program.findings.append(
                Finding(
                    kind="free text",
                    severity="warning",
                    text=f"{where} takes the expert's own words; it is not judged.",
                    evidence=tuple(f"{e.context.recording}: {e.output or 'nothing'}" for e in examples)[:8],
                    about=control,
                )
            )
        elif self._questions.unexplained(where, control, examples):
            self._program.free_fields.append(control)

    def _other_exits(self, kind: PageKind, rule: Expression, found: Sequence[Stay]) -> None:
        """Few recordings that all leave a page the same way, though it has others of its kind: ask."""
        recordings = {stay.recording for stay in found}
        if not isinstance(rule, Constant) or len(recordings) >= ENOUGH:
            return
        known = self._behaviour.list_nodes(kind.id)
        used = {v.target for v in self._world.all_visits() if v.page == kind.id}
        role = kind.nodes[rule.text].role
        dialogs = [n for n in kind.template.walk() if n.role in ("dialog", "alertdialog")]
        # What lies under a dialog is no other way to leave it.
        over = [n for n in dialogs if any(inner.id == rule.text for inner in n.walk())]
        others = [
            node.label()
            for node in (over[-1].walk() if over else own_nodes(kind.template))
            if node.role == role and node.id not in used | known and len(node.name) == 1 and node.label()
        ]
        if others and len(kind.nodes[rule.text].name) == 1:
            where = f"How “{page_title(kind)}” is left"
            self._questions.confirm(
                where,
                f"{where}: {len(recordings)} recordings all use “{kind.nodes[rule.text].label()}” and none "
                f"uses {', '.join(f'“{label}”' for label in dict.fromkeys(others))}. Is it always so?",
            )

    def _refusals(self) -> None:
        """Few recordings in which everything was accepted: ask what the application refuses."""
        if len(self._ways) >= ENOUGH or self._behaviour.refused:
            return
        for write in self._written():
            page, _, node = write.partition(".")
            kind = self._world.kinds[page]
            label = kind.nodes[node].label() if node in kind.nodes else ""
            where = f"“{label}” on “{page_title(kind)}”"
            self._questions.confirm(
                f"Refusals of {where}",
                f"No recording shows {where} refused. Is it always accepted when the rules are followed?",
            )

    # Exits

    @staticmethod
    def _called(kind: PageKind, node_id: str) -> str:
        """What a person would call an exit: its label, and what stands before it where its name is data."""
        node = kind.nodes[node_id]
        return " ".join([node.label(), *(kind.labels.get(slot, "") for slot in node.slots())])

    def _exits(
        self, kind: PageKind, found: Sequence[Stay], why: list[str]
    ) -> tuple[Expression | None, tuple[tuple[str, Expression], ...]]:
        examples = [Example(self._context(s), s.leaving.target) for s in found if s.leaving.target]
        if not examples:
            return None, ()
        atoms = self._atoms(found)
        called = {e.output: self._called(kind, e.output) for e in examples}
        result = Search(
            examples, atoms, self._knowledge, self._messages(found), self._written(), spoken=called
        ).run()
        where = f"How “{page_title(kind)}” is left"
        if result.expression is None and contradiction(examples) is None:
            proposed = propose_exit(self._proposals, where, examples, atoms, self._knowledge, called)
            if proposed is not None and proposed.expression is not None:
                self._to_confirm(where, in_words(proposed.expression), len(examples))
                result = proposed
        if result.expression is None:
            counts = Counter(kind.nodes[e.output].label() or e.output for e in examples)
            self._program.findings.append(
                Finding(
                    kind="branch",
                    severity="question",
                    text=f"What decides how “{page_title(kind)}” is left? The recordings show "
                    + ", ".join(f"“{label}” ({count}×)" for label, count in counts.most_common())
                    + ", and nothing seen explains which.",
                    evidence=tuple(
                        f"{e.context.recording}: {kind.nodes[e.output].label() or e.output}" for e in examples
                    )[:8],
                )
            )
        rule = result.expression
        if rule is not None:
            self._program.findings += contradicted(where, result, examples, self._knowledge, labels=called)
            rule, reasons = self._questions.settled(
                where,
                result,
                examples,
                labels={node.id: node.label() or node.role for node in kind.template.walk()},
            )
            why += reasons
            self._other_exits(kind, rule, found)
        links: list[tuple[str, Expression]] = []
        for node in dict.fromkeys(e.output for e in examples):
            if len(kind.nodes[node].name) == 1 and kind.nodes[node].label():
                continue
            leaving = [
                s for s in found if s.leaving.target == node and s.leaving.moment.action.target is not None
            ]
            named = [
                Example(self._context(s), s.leaving.moment.action.target.name)  # type: ignore[union-attr]
                for s in leaving
            ]
            copied = self._copied(kind, node, named)
            name = Search(named, self._atoms(leaving), self._knowledge, equalities=False, max_leaves=1).run()
            called_so = copied or name.expression
            if called_so is not None:
                links.append((node, called_so))
        return rule, tuple(links)

    def _copied(self, kind: PageKind, node: str, named: Sequence[Example]) -> Expression | None:
        """The field of the task's record that an exit's name is, where its name is one."""
        fields = {kind.fields[slot] for slot in kind.nodes[node].slots() if slot in kind.fields}
        for root, path in dict.fromkeys(key for e in named for key in e.context.fields):
            copy = FieldOf(root=root, path=path)
            own = root and len(path) == 1 and path[0] in fields
            if own and all(evaluate(copy, e.context) == e.output for e in named):
                return copy
        return None


def _says(result: Explanation) -> bool:
    """Whether an explanation tells which record it is."""
    return result.expression is not None and not isinstance(result.expression, Constant)


def _own_words(kind: PageKind, node: str, examples: Sequence[Example]) -> bool:
    """Whether a field takes the expert's own words: several words, most of the time others."""
    texts = [example.output for example in examples]
    wordy = sum(len(text.split()) >= 3 for text in texts) * 2 > len(texts)
    return kind.nodes[node].role in ("textbox", "searchbox") and wordy and len(set(texts)) * 2 > len(texts)
