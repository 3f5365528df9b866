"""Rows to work on: every instance has as many as recordings had, among rows that nearly are such."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from envgen.draws import beside
from envgen.expressions import (
    Above,
    Arithmetic,
    Context,
    Convert,
    Equal,
    Exceeds,
    Expression,
    FieldOf,
    Parameter,
    evaluate,
    parts,
)
from envgen.rows import ROW, Asked, Row, later
from envgen.values import DAY_FIRST, number
from envgen.workflow import RowLoop

_TRIES = 40
# How often an instance has no such row, where it is known what is done then: it is soon guessed.
_EMPTY = 0.04
_TURNED = {"on": "off", "off": "on"}
CLOSE = 0.35
"""How often what rules compare is as near as can be."""


@dataclass(frozen=True, slots=True)
class Planting:
    """Makes the rows of one loop's list in one instance.

    Attributes:
        asked: What is known of the task.
        meant: Draws a record like those that were worked on; ``other`` one like any.
        given: Controls in the rows that stand filled in with a field of the record, and that field.
    """

    loop: RowLoop
    rng: random.Random
    asked: Asked
    meant: Callable[[], dict[str, str]]
    other: Callable[[], dict[str, str]]
    given: Mapping[str, str]

    def plant(self, records: dict[str, dict[str, str]], key_field: str) -> None:
        """Exchange rows until as many as wanted are worked on; keys and their order stay."""
        wanted = min(self._wanted(), len(records))
        order = list(records)
        self.rng.shuffle(order)
        chosen = [key for key in order if self._holds(records[key])]
        for key in chosen[wanted:]:
            self._exchange(records, key, key_field, holds=False)
        for key in [k for k in order if k not in chosen][: max(0, wanted - len(chosen))]:
            self._exchange(records, key, key_field, holds=True)
        for record in records.values():
            if self._holds(record):
                self._leave_to_be_done(record)

    def _leave_to_be_done(self, record: dict[str, str]) -> None:
        """What is to be entered in a row that is worked on does not stand there already."""
        for rule in self.loop.entries:
            name = self.given.get(rule.control, "")
            if rule.expression is None or name not in record:
                continue
            for _ in range(_TRIES):
                if record[name] != evaluate(rule.expression, Row(self.asked, self.loop.entity, record)):
                    break
                stood = record[name]
                record[name] = _TURNED.get(stood) or self.other().get(name, stood)
                if not self._holds(record):
                    record[name] = stood

    def _wanted(self) -> int:
        if self.loop.empty != "unknown" and self.rng.random() < _EMPTY:
            return 0
        counts = [count for count in self.loop.counts if count] or [1]
        return self.rng.choice(counts) if self.rng.random() < 0.5 else self.rng.randint(1, max(counts))

    def _holds(self, record: Mapping[str, str]) -> bool:
        return evaluate(self.loop.where, Row(self.asked, self.loop.entity, record)) == "yes"

    def _exchange(self, records: dict[str, dict[str, str]], key: str, key_field: str, *, holds: bool) -> None:
        for _ in range(_TRIES):
            record = self._near(self.meant())
            if not holds:
                # Nearly one of them: most say the same but for one thing.
                stray = self.other()
                name = self.rng.choice(
                    sorted(self._asked_about() & stray.keys() & record.keys()) or [key_field]
                )
                record[name] = stray[name]
            if self._holds(record) == holds:
                records[key] = {**record, key_field: key}
                return

    def _asked_about(self) -> set[str]:
        """Fields of the row that the condition is about."""
        return {field.path[0] for field in self._fields(parts(self.loop.where))}

    def _fields(self, found: Iterator[object]) -> Iterator[FieldOf]:
        yield from (p for p in found if isinstance(p, FieldOf) and p.root == ROW + self.loop.entity)

    def _near(self, record: dict[str, str]) -> dict[str, str]:
        """The record as the task asks for it, on one side or the other of what it is compared with."""
        made = dict(record)
        for part in parts(self.loop.where):
            if (
                isinstance(part, Equal)
                and isinstance(part.left, FieldOf)
                and isinstance(part.right, Parameter)
            ):
                field, said = part.left.path[0], self.asked.parameter(part.right.name)
                if field in made and said and self.rng.random() < 0.9:
                    made[field] = said
            elif isinstance(part, Exceeds | Above) and self.rng.random() < CLOSE:
                row = Row(self.asked, self.loop.entity, made)
                put_beside(self.rng, part, made, ROW + self.loop.entity, row)
        return made


def put_beside(
    rng: random.Random, part: Exceeds | Above, record: dict[str, str], root: str, context: Context
) -> None:
    """Set what a comparison asks about to what it is compared with, or a little beside it.

    Args:
        record: The record that ``root`` stands for in the comparison; changed where it says the field.
        context: What the other side is evaluated in.
    """
    of, limit = _sides(part, context)
    layout = ""
    if isinstance(of, Convert) and of.how == DAY_FIRST:
        of, layout = of.of, "%d/%m/%Y"
    if not isinstance(of, FieldOf) or of.root != root or len(of.path) != 1 or of.path[0] not in record:
        return
    close = None if limit is None else beside(rng, limit, record[of.path[0]], layout)
    if close is not None:
        record[of.path[0]] = close


def _sides(part: Exceeds | Above, context: Context) -> tuple[Expression | None, str | None]:
    """What a comparison asks about, and the text from which on it comes out otherwise."""
    if isinstance(part, Exceeds):
        return part.left, evaluate(part.right, context)
    if not isinstance(part.of, Arithmetic):
        return None, None
    right, limit = evaluate(part.of.right, context), Decimal(part.limit)
    if right is None:
        return None, None
    if part.of.how == "between":
        return part.of.left, later(right, int(limit))
    amount = number(right)
    if amount is None or part.of.how not in ("minus", "percent"):
        return None, None
    more = limit if part.of.how == "minus" else amount * limit / 100
    return part.of.left, f"{amount + more:.2f}"
