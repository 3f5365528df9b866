"""The rules of a loop: for which rows the work is done, and what is entered in each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from envgen.answers import Answers, question_id
from envgen.behaviour import Behaviour
from envgen.derived import foremost_of
from envgen.documents import Knowledge
from envgen.examples import Known
from envgen.explanations import Example, Explanation
from envgen.expressions import Choose, Constant, Equal, Expression, FieldOf, Parameter
from envgen.ground import NO, YES, page_title
from envgen.loops import Loop, filled_rows, rows_shown, touched_in_rows
from envgen.questions import Questions, contradiction
from envgen.rows import ROW
from envgen.search import Search
from envgen.templates import Reading
from envgen.workflow import EntryRule, Finding, RowLoop
from envgen.world import World

_LABELS = {YES: "worked on", NO: "left alone"}
_EMPTY = {"on": "the rest is done all the same", "over": "nothing is done"}
_SHOWN = 8
_MAX_LEAVES = 4


@dataclass(slots=True)
class LoopRules:
    """Learns the rules of loops.

    Attributes:
        findings: Where questions and notes are added.
    """

    world: World
    behaviour: Behaviour
    contexts: Mapping[str, list[Known]]
    knowledge: Knowledge
    answers: Answers
    questions: Questions
    findings: list[Finding]

    def learn(self, loop: Loop, ends: Mapping[str, str]) -> tuple[RowLoop, tuple[str, ...]] | None:
        """The loop with its rules, and the evidence for limits; None where nothing explains its rows.

        Args:
            ends: The last change of each recording that makes one.
        """
        where = f"Which rows of “{page_title(self.world.kinds[loop.page])}” are worked on"
        examples = [
            Example(self._of_row(loop, recording, said), YES if key in keys else NO)
            for recording, keys in loop.worked.items()
            for key, said in rows_shown(self.world, loop, recording).items()
        ]
        atoms = self._atoms(loop, examples)
        search = Search(examples, atoms, self.knowledge, max_leaves=_MAX_LEAVES, of_rows=ROW + loop.entity)
        result = self._by_key(loop, atoms) or search.run()
        if result.expression is None:
            self._unexplained(where, loop, examples)
            return None
        rule, why = self.questions.settled(where, result, examples, labels=_LABELS)
        last = not loop.at_once and loop.write in ends.values()
        made = RowLoop(
            rows=loop.rows,
            entity=loop.entity,
            where=rule,
            node=loop.node,
            entries=tuple(self._entries(loop)),
            write="" if loop.at_once else loop.write,
            last=last,
            empty="over" if last else self._empty(where, loop, ends),
            counts=tuple(sorted(len(keys) for keys in loop.worked.values())),
        )
        return made, why

    def _by_key(self, loop: Loop, atoms: Sequence[Expression]) -> Explanation | None:
        """The one row that is chosen, where its key says which: told before, or of the first in an order."""
        rows = self.world.kinds[loop.page].lists[loop.rows]
        if not loop.one or rows.key_slot not in rows.fields:
            return None
        examples = [
            Example(self._of_row(loop, recording, {}), key)
            for recording, keys in loop.worked.items()
            for key in keys
        ]
        others = [a for a in atoms if not (isinstance(a, FieldOf) and a.root == ROW + loop.entity)]
        told = Search(examples, others, self.knowledge, equalities=False, max_leaves=1).run()
        keys: list[Expression] = []
        if told.expression is not None and not isinstance(told.expression, Constant):
            keys = [told.expression, *told.rivals]
        if not keys and all(loop.worked.values()):
            keys += foremost_of(examples, loop.entity, self.knowledge.day_first)
        own = FieldOf(root=ROW + loop.entity, path=(rows.fields[rows.key_slot],))
        made: list[Expression] = [
            Choose(test=Equal(left=own, right=key), then=Constant(text=YES), otherwise=Constant(text=NO))
            for key in keys
        ]
        return Explanation(made[0], rivals=made[1:4]) if made else None

    def _empty(self, where: str, loop: Loop, ends: Mapping[str, str]) -> Literal["over", "on", "unknown"]:
        """What is done where no row is worked on, as the recordings show it, else as the expert says.

        Where one is chosen every time, none is a case that does not come up.
        """
        if loop.one and all(loop.worked.values()):
            return "unknown"
        sent = {recording in ends for recording, keys in loop.worked.items() if not keys}
        if len(sent) == 1:
            return "on" if sent.pop() else "over"
        name = question_id("empty", where)
        answer = (self.answers.to(name) or "").lower()
        if answer in _EMPTY:
            self.questions.answered(where, f"where there is none, {_EMPTY[answer]}", name, answer)
            return "on" if answer == "on" else "over"
        shown = "Of the recordings without any some go on." if sent else "No recording is without any."
        refused = f" The answer “{answer}” is refused: it is neither on nor over." if answer else ""
        self.findings.append(
            Finding(
                kind="empty",
                severity="question",
                id=name,
                text=f"{where}: what is done where there is none? {shown} Until it is answered, every task "
                f"has one.{refused}",
                how=" or ".join(f"{word} ({what})" for word, what in _EMPTY.items()),
            )
        )
        return "unknown"

    def _of_row(self, loop: Loop, recording: str, said: Mapping[str, str]) -> Known:
        """What was known when the list was first before the expert, and one of its rows."""
        visits = self.world.visits[recording]
        base = self.contexts[recording][next((v.index for v in visits if v.page == loop.page), -1)]
        known = dict(base.fields)
        for name, text in said.items():
            known[ROW + loop.entity, (name,)] = text
        return replace(base, fields=known)

    def _atoms(self, loop: Loop, examples: Sequence[Example]) -> list[Expression]:
        """The row's fields, but for its key, and what they may be compared with."""
        rows = self.world.kinds[loop.page].lists[loop.rows]
        key = rows.fields.get(rows.key_slot, "")
        own = [name for name in dict.fromkeys((*rows.fields.values(), *rows.given.values())) if name != key]
        atoms: list[Expression] = [FieldOf(root=ROW + loop.entity, path=(name,)) for name in own]
        atoms += [Parameter(name=n) for n in dict.fromkeys(p for e in examples for p in e.context.parameters)]
        others = dict.fromkeys(k for e in examples for k in e.context.fields if not k[0].startswith(ROW))
        return atoms + [FieldOf(root=root, path=path) for root, path in others if len(path) == 1]

    def _unexplained(self, where: str, loop: Loop, examples: Sequence[Example]) -> None:
        clash = contradiction(examples)
        between = (
            ""
            if clash is None
            else " Rows that say the same were worked on and left alone: in "
            + " and in ".join(dict.fromkeys(e.context.recording for e in clash))
            + "."
        )
        self.findings.append(
            Finding(
                kind="rows",
                severity="question",
                text=f"{where}? Nothing that the list, the instruction or the documents say explains it, so "
                f"the work on them is not compiled.{between}",
                evidence=tuple(
                    f"{recording}: {', '.join(keys) or 'none'}" for recording, keys in loop.worked.items()
                )[:_SHOWN],
                how="record once more",
            )
        )

    # What is entered in them

    def _entries(self, loop: Loop) -> Iterator[EntryRule]:
        kind = self.world.kinds[loop.page]
        controls = touched_in_rows(self.world, kind, loop.rows)
        shown = list(self._at_work(loop, controls))
        rows = kind.lists[loop.rows]
        for control in controls:
            examples = []
            for recording, row in shown:
                said = {name: row.slots[slot] for slot, name in rows.fields.items() if slot in row.slots}
                stood = self.world.records[recording][rows.entity].get(row.slots.get(rows.key_slot, ""), {})
                said |= {name: stood[name] for name in rows.given.values() if name in stood}
                output = row.controls.get(control, "")
                examples.append(Example(self._of_row(loop, recording, said), output))
            where = f"“{kind.label_of(control)}” in the rows of “{page_title(kind)}”"
            atoms = self._atoms(loop, examples)
            result = Search(examples, atoms, self.knowledge, label=control, derive=True).run()
            name = f"{kind.id}.{control}"
            rule: Expression | None = None
            why: tuple[str, ...] = ()
            if result.expression is None:
                self.questions.unexplained(where, name, examples)
            else:
                rule, why = self.questions.settled(where, result, examples)
            yield EntryRule(page=kind.id, control=name, expression=rule, examples=len(examples), why=why)

    def _at_work(self, loop: Loop, controls: Sequence[str]) -> Iterator[tuple[str, Reading]]:
        """The rows that were worked on, as they stood when that was done."""
        for (recording, index), write in self.behaviour.writes.items():
            visit = self.world.visits[recording][index]
            if write != loop.write or visit.page != loop.page:
                continue
            rows = visit.reading.rows.get(loop.rows, [])
            if loop.at_once:
                yield from (
                    (recording, row) for _, _, row in filled_rows(self.world, visit, loop.rows, controls)
                )
            elif visit.row is not None:
                yield recording, rows[visit.row]
