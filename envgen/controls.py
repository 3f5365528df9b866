"""Models of form controls: what they offer, what stands in them, and what choosing does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from envgen.behaviour import ENTRY_VERBS, mapping_of, shown_messages
from envgen.explanations import Example
from envgen.expressions import Entered, Expression, FieldOf, evaluate
from envgen.ground import Ground, Seen, page_title
from envgen.kinds import PageKind, Visit
from envgen.search import Search
from envgen.templates import TemplateNode
from envgen.workflow import Control, Finding
from ingest.action import SELECTABLE_ROLES


class Controls:
    """Makes the models of all controls."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def of(self, kind: PageKind) -> list[Control]:
        """The controls of a page."""
        return [self._control(kind, node) for node in kind.template.walk() if node.kind == "control"]

    def _control(self, kind: PageKind, node: TemplateNode) -> Control:
        seen = [s for s in self._ground.seen[kind.id] if node.id in s.reading.controls]
        options: tuple[str, ...] = ()
        varied: tuple[tuple[str, ...], ...] = ()
        by, table = "", None
        if node.role in SELECTABLE_ROLES and (kind.id, node.id) not in self._ground.behaviour.suggests:
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
            suggests=self._ground.behaviour.suggests.get((kind.id, node.id)),
        )

    def _option_map(
        self, kind: PageKind, node: TemplateNode, seen: Sequence[Seen]
    ) -> tuple[str, dict[str, tuple[str, ...]] | None]:
        for other in kind.template.walk():
            if other.kind != "control" or other.id == node.id:
                continue
            pairs = [(s.reading.controls.get(other.id, ""), s.reading.options.get(node.id, ())) for s in seen]
            found = mapping_of(pairs)
            if found is not None and len(set(found.values())) > 1:
                return f"{kind.id}.{other.id}", dict(found)
        self._ground.models.findings.append(
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
            v for v in self._ground.world.all_visits()
            if v.next_page == page and (v.page != page or v.before_key != v.after_key)
        ]  # fmt: skip

    def _begins_with_first(self, kind: PageKind, node: TemplateNode) -> bool:
        fresh = [v.next_reading for v in self._arrivals(kind.id)]
        fresh += [v.reading for v in self._ground.world.all_visits() if v.index == 0 and v.page == kind.id]
        shown = [(r.controls[node.id], r.options.get(node.id, ())) for r in fresh if node.id in r.controls]
        return bool(shown) and all(options and value == options[0] for value, options in shown)

    def _initial(self, kind: PageKind, node: TemplateNode) -> Expression | None:
        if any(
            node.id == b.search_control for (p, _), b in self._ground.behaviour.lists.items() if p == kind.id
        ):
            return None
        name = self._ground.world.prefilled.get((kind.id, node.id))
        if name is not None:
            return FieldOf(root="", path=(name,))
        examples = []
        for visit in self._arrivals(kind.id):
            if node.id in visit.next_reading.controls:
                base = self._ground.contexts[visit.recording][visit.index]
                context = self._ground.historian.page_context(visit, after=True, base=base)
                examples.append(Example(context, visit.next_reading.controls[node.id]))
        if not examples or all(not e.output or e.output == "off" for e in examples):
            return None
        own = Entered(control=f"{kind.id}.{node.id}", label=kind.label_of(node.id))
        if all((e.output or "off") == (evaluate(own, e.context) or "off") for e in examples):
            return own
        keys = dict.fromkeys(key for e in examples for key in e.context.fields)
        atoms: list[Expression] = [FieldOf(root=root, path=path) for root, path in keys]
        result = Search(examples, atoms, self._ground.knowledge, equalities=False, max_leaves=2).run()
        if result.expression is None:
            self._ground.models.findings.append(
                Finding(
                    kind="not modelled",
                    severity="warning",
                    text=f"Nothing seen explains what stands in “{kind.label_of(node.id)}” when "
                    f"“{page_title(kind)}” is opened; it is empty then.",
                    evidence=tuple(f"{e.context.recording}: {e.output or 'nothing'}" for e in examples)[:6],
                )
            )
        return result.expression

    def _refreshes(self, kind: PageKind, node: TemplateNode) -> bool:
        messages = [
            (
                shown_messages(self._ground.behaviour, kind.id, v.reading),
                shown_messages(self._ground.behaviour, kind.id, v.next_reading),
            )
            for v in self._ground.world.all_visits()
            if v.page == kind.id and v.next_page == kind.id and v.target == node.id and v.verb in ENTRY_VERBS
        ]
        with_message = [(before, after) for before, after in messages if before]
        if with_message:
            return all(not after for _, after in with_message)
        return any(
            v.moment.before.url != v.moment.after.url
            for v in self._ground.world.all_visits()
            if v.page == kind.id and v.next_page == kind.id and v.target == node.id and v.verb in ENTRY_VERBS
        )

    def _sometimes_empty(self, kind: PageKind, node: TemplateNode) -> bool:
        """Whether the form was ever accepted with nothing entered here; True when it never was sent."""
        accepted = [
            v for v in self._ground.world.all_visits()
            if v.page == kind.id and (v.recording, v.index) in self._ground.behaviour.writes
            and node.id in v.reading.controls
        ]  # fmt: skip
        if not accepted:
            return True
        return any(v.reading.controls[node.id] in ("", "off") for v in accepted)

    def _marks_selected(self, kind: PageKind, node: TemplateNode) -> bool:
        if node.role not in SELECTABLE_ROLES:
            return False
        for s in self._ground.seen[kind.id]:
            page = s.visit.moment.before if s.reading is s.visit.reading else s.visit.moment.after
            for found in page.node.walk():
                if found.role == node.role and found.name == node.label() and found.value:
                    return any(o.state("selected") is not None for o in found.walk() if o.role == "option")
        return True
