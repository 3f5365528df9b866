"""Models of exits: where links and buttons lead, what decides about it, and what refuses a form."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from envgen.behaviour import ENTRY_VERBS, shown_messages
from envgen.examples import PAGE_ROOT, Known
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
    Mapped,
    Told,
    Valid,
    evaluate,
    parts,
)
from envgen.ground import NO, YES, Ground, Models, distinct, page_title
from envgen.kinds import PageKind, Visit
from envgen.paging import NEXT, PREVIOUS
from envgen.search import Search
from envgen.workflow import Exit, Finding, Hidden, Outcome, PagePlan, RecordRule

NEVER = "never"
"""Hidden flag of outcomes that no instance has."""


class Exits:
    """Makes the models of all exits."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._exits: dict[tuple[str, str, str], list[Visit]] = defaultdict(list)
        behaviour = ground.behaviour
        for visit in ground.world.all_visits():
            if not visit.target or visit.verb in ENTRY_VERBS:
                continue
            if visit.target in behaviour.list_nodes(visit.page) and visit.next_page == visit.page:
                continue
            if (visit.page, visit.target) in behaviour.suggests:
                continue
            self._exits[visit.page, visit.target, visit.verb].append(visit)
        self._shared = self._navigation()

    def of(self, kind: PageKind) -> list[Exit]:
        """The exits of a page, and links on it that lead somewhere wherever they are clicked."""
        exits = [self._exit(kind, node, verb, visits) for (page, node, verb), visits in self._exits.items()
                 if page == kind.id]  # fmt: skip
        taken = {found.node for found in exits} | self._ground.behaviour.list_nodes(kind.id)
        for node in kind.template.walk():
            known = self._shared.get((node.role, node.label()))
            if known is not None and node.id not in taken and len(node.name) == 1:
                exits.append(known.model_copy(update={"node": node.id}))
        if kind.previous and kind.previous not in {found.node for found in exits}:
            # Who turns over may turn back: that it leads to the record before needs no recording.
            back = Outcome(page=kind.id, record="previous")
            exits.append(Exit(node=kind.previous, label=kind.nodes[kind.previous].label(), outcomes=(back,)))
        return exits

    def _navigation(self) -> dict[tuple[str, str], Exit]:
        """Links that lead to the same recordless page wherever they are clicked."""
        found: dict[tuple[str, str], Exit] = {}
        clash: set[tuple[str, str]] = set()
        for (page, node_id, verb), visits in self._exits.items():
            kind = self._ground.world.kinds[page]
            node = kind.nodes[node_id]
            targets = {v.next_page for v in visits}
            if verb != "click" or len(node.name) != 1 or not node.label() or visits[0].row is not None:
                continue
            if NEXT.search(node.label()) or PREVIOUS.search(node.label()):
                # Where these lead depends on where one is.
                continue
            key = (node.role, node.label())
            writes = any((v.recording, v.index) in self._ground.behaviour.writes for v in visits)
            target = self._ground.world.kinds[next(iter(targets))]
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
            write = self._ground.behaviour.writes.get((visit.recording, visit.index), "")
            shows = shown_messages(self._ground.behaviour, visit.next_page, visit.next_reading)
            groups[visit.next_page, self._record_rule(visit), shows, write].append(visit)
        ordered = sorted(groups.items(), key=lambda item: (-bool(item[0][3]), -len(item[1])))
        outcomes: list[Outcome] = []
        plain: list[tuple[int, list[Visit]]] = []
        decision: Expression | None = None
        refusals: list[tuple[int, list[Visit]]] = []
        for index, ((page, record, shows, write), found) in enumerate(ordered):
            outcomes.append(
                Outcome(
                    page=page,
                    record=record,
                    shows=tuple(sorted(shows)),
                    write=write,
                    keeps=page == kind.id and not write and _kept(found),
                    seen=len(found),
                )
            )
            refused = any((v.recording, v.index) in self._ground.behaviour.refused for v in found)
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
                name = f"{kind.id}.{node_id}.{len(self._ground.models.hidden) + 1}"
                self._ground.models.hidden.append(self._hidden(kind, name, found))
                self._ground.models.struck[name] = found
                outcomes[index] = outcomes[index].model_copy(update={"hidden": name})
        if decision is None and len(outcomes) > 1 and not outcomes[0].hidden and plain:
            decision = Constant(text=str(plain[0][0]))
        return Exit(node=node_id, verb=verb, label=label, outcomes=tuple(outcomes), decision=decision)

    def _gone_on(self, refused: Visit) -> bool:
        """Whether a refused submission was accepted in the end."""
        return any(
            recording == refused.recording and index > refused.index
            for recording, index in self._ground.behaviour.writes
        )

    def _record_rule(self, visit: Visit) -> RecordRule:
        kind, after = self._ground.world.kinds[visit.page], self._ground.world.kinds[visit.next_page]
        if visit.target in kind.turns:
            return "next" if visit.target == kind.next else "previous"
        if not after.entity:
            return "none"
        if visit.row is not None and visit.rows_id:
            rows = self._ground.world.kinds[visit.page].lists.get(visit.rows_id)
            if rows is not None:
                return "row"
        target = visit.moment.action.target
        node = self._ground.world.kinds[visit.page].nodes[visit.target]
        if target is not None and any(visit.reading.slots.get(s) == visit.after_key for s in node.slots()):
            return "link"
        return "same"

    def _exit_examples(self, groups: Sequence[tuple[str, Sequence[Visit]]]) -> list[Example]:
        examples = []
        for output, visits in groups:
            for visit in visits:
                base = self._ground.contexts[visit.recording][visit.index]
                context = self._ground.historian.page_context(visit, after=False, base=base)
                examples.append(Example(context, output))
        return distinct(examples)

    def _decide(self, kind: PageKind, label: str, plain: Sequence[tuple[int, list[Visit]]]) -> Expression:
        examples = self._exit_examples([(str(index), visits) for index, visits in plain])
        atoms = self._outcome_atoms(kind, examples)
        result = Search(examples, atoms, self._ground.knowledge, equalities=False, max_leaves=4).run()
        if result.expression is not None:
            return result.expression
        most = max(plain, key=lambda item: len(item[1]))
        self._ground.models.findings.append(
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
        result = Search(examples, atoms, self._ground.knowledge, equalities=True, max_leaves=3).run()
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
                v for v in self._ground.world.visits[visit.recording]
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
        recordings = {t.recording for t in self._ground.world.traces}
        share = len({v.recording for v in refused}) / max(len(recordings), 1)
        expression: Expression = Constant(text="")
        if best:
            examples = [
                Example(self._ground.contexts[v.recording][v.index], v.reading.controls.get(best, ""))
                for _, v in accepted
            ]
            told = dict.fromkeys(key for e in examples for key in e.context.messages)
            atoms: list[Expression] = [Told(page=page, slot=slot) for page, slot in told]
            found = Search(examples, atoms, self._ground.knowledge, equalities=False, max_leaves=2).run()
            texts = {e.output for e in examples}
            expression = found.expression or Constant(text=sorted(texts)[0])
        label = kind.label_of(best) if best else ""
        self._ground.models.findings.append(
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


def _kept(visits: Sequence[Visit]) -> bool:
    """Whether what was entered on a page still stood there afterwards, wherever anything was."""
    entered = [
        (visit.reading.controls, visit.next_reading.controls)
        for visit in visits
        if visit.before_key == visit.after_key
        and any(text not in ("", "off") for text in visit.reading.controls.values())
    ]
    return len(entered) > 0 and all(before == after for before, after in entered)


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
