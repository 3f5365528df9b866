"""The program behind the recordings: which way leads to the work's end, and what is entered on it.

A recording is cut into *stays* (one page, one record). Loops are erased between writes: what
returns to where it left without having changed anything is a detour. What remains is the
way; on each of its pages the values that stood in the form when the page was left are what
the program has to explain.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from envgen.behaviour import ENTRY_VERBS, Behaviour
from envgen.documents import Knowledge
from envgen.examples import Known
from envgen.expressions import (
    Above,
    Among,
    Constant,
    Convert,
    Entered,
    Expression,
    FieldOf,
    Lookup,
    Mapped,
    Parameter,
    Shown,
    Told,
    in_words,
    parts,
)
from envgen.instructions import Instructions
from envgen.modelling import page_title
from envgen.search import Evidence, Example, Explanation, Search
from envgen.workflow import EntryRule, Finding, PagePlan
from envgen.world import PageKind, Visit, World


@dataclass(slots=True)
class Stay:
    """A run of moments on one page about one record, and the moment that left it."""

    recording: str
    page: str
    key: str
    visits: list[Visit]

    @property
    def leaving(self) -> Visit:
        return self.visits[-1]


@dataclass(slots=True)
class Program:
    """The rules, per page of the way."""

    plans: list[PagePlan] = field(default_factory=list)
    terminal: tuple[str, ...] = ()
    free_fields: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    longest: int = 0


def stays(world: World, behaviour: Behaviour, recording: str) -> list[Stay]:
    """The recording as stays, in order. A submission that was refused does not end a stay."""
    found: list[Stay] = []
    for visit in world.visits[recording]:
        if (
            not found
            or found[-1].page != visit.page
            or found[-1].key != visit.before_key
            or _left(found[-1], behaviour)
        ):
            found.append(Stay(recording, visit.page, visit.before_key, []))
        found[-1].visits.append(visit)
    return found


def _left(stay: Stay, behaviour: Behaviour) -> bool:
    last = stay.leaving
    return (last.recording, last.index) in behaviour.writes


def way(world: World, behaviour: Behaviour, recording: str) -> list[Stay]:
    """The stays that led to the last write, detours taken out.

    A page that is come back to before the next write is joined with its first visit.
    """
    found: list[Stay] = []
    segment: list[Stay] = []
    for stay in stays(world, behaviour, recording):
        places = [(s.page, s.key) for s in segment]
        if (stay.page, stay.key) in places:
            index = places.index((stay.page, stay.key))
            del segment[index + 1 :]
            segment[index] = Stay(recording, stay.page, stay.key, [*segment[index].visits, *stay.visits])
        else:
            segment.append(stay)
        if _left(stay, behaviour):
            found += segment
            segment = []
    if not found:
        # Nothing was written: the way leads to the last page that was left.
        found = segment
    return found


class Programmer:
    """Learns the program from the ways of all recordings."""

    def __init__(
        self,
        world: World,
        behaviour: Behaviour,
        instructions: Instructions,
        contexts: dict[str, list[Known]],
        knowledge: Knowledge,
    ) -> None:
        self._world = world
        self._behaviour = behaviour
        self._instructions = instructions
        self._contexts = contexts
        self._knowledge = knowledge
        self._ways = {r: way(world, behaviour, r) for r in world.visits}
        self._program = Program()

    def run(self) -> Program:
        by_page: dict[str, list[Stay]] = defaultdict(list)
        ends: Counter[str] = Counter()
        for stays_found in self._ways.values():
            for stay in stays_found:
                by_page[stay.page].append(stay)
            last = stays_found[-1].leaving if stays_found else None
            if last is not None and (last.recording, last.index) in self._behaviour.writes:
                ends[self._behaviour.writes[last.recording, last.index]] += 1
        self._program.terminal = tuple(sorted(ends))
        for page, found in by_page.items():
            self._program.plans.append(self._plan(self._world.kinds[page], found))
        self._program.longest = max((len(v) for v in self._world.visits.values()), default=0)
        return self._program

    # One page

    def _plan(self, kind: PageKind, found: Sequence[Stay]) -> PagePlan:
        why: list[str] = []
        key = self._key(kind, found)
        entries = tuple(self._entries(kind, found))
        exit_rule, links = self._exits(kind, found, why)
        return PagePlan(page=kind.id, key=key, entries=entries, exit=exit_rule, links=links, why=tuple(why))

    def _context(self, stay: Stay) -> Known:
        return self._contexts[stay.recording][stay.leaving.index]

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
        examples = [Example(self._context(s), s.key) for s in found if s.key]
        search = Search(examples, self._atoms(found), self._knowledge, equalities=False, max_leaves=1)
        result = search.run()
        if result.expression is None or isinstance(result.expression, Constant):
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

    def _entries(self, kind: PageKind, found: Sequence[Stay]) -> list[EntryRule]:
        lists = self._behaviour.list_nodes(kind.id)
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
            present = [s for s in found if node.id in s.leaving.reading.controls]
            if not present:
                continue
            rules.append(self._entry(kind, node.id, present, earlier))
            earlier.append(Entered(control=f"{kind.id}.{node.id}", label=node.label()))
        return rules

    def _entry(
        self, kind: PageKind, node: str, found: Sequence[Stay], earlier: Sequence[Entered]
    ) -> EntryRule:
        label = kind.nodes[node].label()
        examples = [
            Example(
                self._context(s), s.leaving.reading.controls[node], s.visits[0].reading.controls.get(node, "")
            )
            for s in found
        ]
        search = Search(
            examples,
            self._atoms(found, earlier),
            self._knowledge,
            self._messages(found, node),
            self._written(),
            label=label,
        )
        result = search.run()
        control = f"{kind.id}.{node}"
        where = f"“{label}” on “{page_title(kind)}”"
        if result.expression is None:
            self._unexplained(kind, node, where, control, examples)
            return EntryRule(page=kind.id, control=control, expression=None, examples=len(examples))
        self._report(where, result, examples)
        why = tuple(_evidence_words(e) for e in result.evidence)
        return EntryRule(
            page=kind.id, control=control, expression=result.expression, examples=len(examples), why=why
        )

    def _unexplained(
        self, kind: PageKind, node: str, where: str, control: str, examples: Sequence[Example]
    ) -> None:
        texts = [e.output for e in examples]
        evidence = tuple(f"{e.context.recording}: {e.output or 'nothing'}" for e in examples)[:8]
        wordy = sum(len(t.split()) >= 3 for t in texts) * 2 > len(texts)
        if kind.nodes[node].role in ("textbox", "searchbox") and wordy and len(set(texts)) * 2 > len(texts):
            self._program.free_fields.append(control)
            self._program.findings.append(
                Finding(
                    kind="free text",
                    severity="warning",
                    text=f"{where} takes the expert's own words; it is not judged.",
                    evidence=evidence,
                )
            )
            return
        clash = _contradiction(examples)
        if clash is not None:
            one, other = clash
            self._program.findings.append(
                Finding(
                    kind="contradiction",
                    severity="question",
                    text=f"{where}: recordings {one.context.recording} and {other.context.recording} "
                    "agree in all that "
                    f"could be seen, but one entered “{one.output}” and the other “{other.output}”. "
                    "Which is right?",
                    evidence=evidence,
                )
            )
            return
        self._program.findings.append(
            Finding(
                kind="unexplained",
                severity="question",
                text=f"What decides about {where}? Nothing seen before, in the instruction or in the "
                "documents "
                "explains what was entered.",
                evidence=evidence,
            )
        )

    def _report(self, where: str, result: Explanation, examples: Sequence[Example]) -> None:
        """Questions about an explanation that the recordings alone leave open."""
        assert result.expression is not None
        for evidence in result.evidence:
            words = in_words(evidence.test.of)
            if evidence.fact is None:
                self._program.findings.append(
                    Finding(
                        kind="limit",
                        severity="question",
                        text=f"{where} depends on whether {words} is above a limit between "
                        f"{evidence.low} and "
                        f"{evidence.high}; no document names it. {evidence.test.limit} was taken.",
                        evidence=(f"largest below: {evidence.low}", f"smallest above: {evidence.high}"),
                    )
                )
            elif evidence.others:
                self._program.findings.append(
                    Finding(
                        kind="limit",
                        severity="note",
                        text=f"{where}: the limit on {words} is {evidence.test.limit}, from "
                        f"{evidence.fact.document}; "
                        "other numbers of the documents would have fitted too.",
                        evidence=(evidence.fact.sentence, *(f.sentence for f in evidence.others[:3])),
                    )
                )
        rivals = [r for r in result.rivals if _differs(r, result.expression, examples)]
        if rivals:
            self._program.findings.append(
                Finding(
                    kind="underdetermined",
                    severity="question",
                    text=f"{where} is explained equally well in {1 + len(rivals)} ways. Taken: "
                    f"{in_words(result.expression)}.",
                    evidence=tuple(in_words(r) for r in rivals),
                )
            )
        self._report_cases(where, result.expression)
        learned = [p for p in parts(result.expression) if isinstance(p, Mapped)]
        for part in learned:
            self._program.findings.append(
                Finding(
                    kind="map",
                    severity="question",
                    text=f"{where} follows from {in_words(part.of)} by a table that no document "
                    "holds. What is entered "
                    "for values the recordings do not show?",
                    evidence=tuple(f"{a} → {b}" for a, b in part.pairs),
                )
            )

    def _report_cases(self, where: str, expression: Expression) -> None:
        """A row of cases on one source is a learned map: what holds for other values is open."""
        cases: dict[str, list[str]] = defaultdict(list)
        for part in parts(expression):
            if isinstance(part, Among):
                cases[in_words(part.of)] += [
                    text for text in part.texts if text not in cases[in_words(part.of)]
                ]
        for source, texts in cases.items():
            if len(texts) >= 2:
                self._program.findings.append(
                    Finding(
                        kind="map",
                        severity="question",
                        text=f"{where} goes by {source}, case by case, and no document holds the table. "
                        "What holds for values the recordings do not show?",
                        evidence=tuple(texts),
                    )
                )

    # Exits

    def _exits(
        self, kind: PageKind, found: Sequence[Stay], why: list[str]
    ) -> tuple[Expression | None, tuple[tuple[str, Expression], ...]]:
        examples = [Example(self._context(s), s.leaving.target) for s in found if s.leaving.target]
        if not examples:
            return None, ()
        atoms = self._atoms(found)
        result = Search(examples, atoms, self._knowledge, self._messages(found), self._written()).run()
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
        else:
            self._report(f"How “{page_title(kind)}” is left", result, examples)
            why += [_evidence_words(e) for e in result.evidence]
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
            name = Search(named, self._atoms(leaving), self._knowledge, equalities=False, max_leaves=1).run()
            if name.expression is not None:
                links.append((node, name.expression))
        return result.expression, tuple(links)


def _contradiction(examples: Sequence[Example]) -> tuple[Example, Example] | None:
    """Two examples between which only identifiers differ, with different answers."""
    telling: dict[tuple[object, ...], Example] = {}
    counts: Counter[tuple[object, str]] = Counter()
    for example in examples:
        for place, text in example.context.fields.items():
            counts[place, text] += 1
    for example in examples:
        key = (
            frozenset((p, t) for p, t in example.context.fields.items() if counts[p, t] > 1),
            frozenset(example.context.messages),
        )
        known = telling.setdefault(key, example)
        if known.output != example.output and len(key[0]) >= 2:
            return known, example
    return None


def _differs(rival: Expression, best: Expression, examples: Sequence[Example]) -> bool:
    """Whether two explanations would ever disagree: copies of equal fields of other pages would not."""
    if any(isinstance(p, Entered) for e in (rival, best) for p in parts(e)):
        # What is entered follows from rules of its own; asking about it asks about those again.
        return False
    plain = (Constant, FieldOf, Parameter, Convert, Told, Entered)
    if isinstance(rival, plain) and isinstance(best, plain):
        return False
    if isinstance(rival, Lookup) and isinstance(best, Lookup):
        return rival.of != best.of or rival.key_column != best.key_column
    return True


def _evidence_words(evidence: Evidence) -> str:
    test: Above = evidence.test
    side = f"seen {evidence.low} on one side and {evidence.high} on the other"
    if evidence.fact is None:
        return f"limit {test.limit}: {side}; no document names it"
    return f"limit {test.limit}: {side}; {evidence.fact.document}: {evidence.fact.sentence}"
