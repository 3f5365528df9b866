"""Rows to work on: every instance has as many as recordings had, among rows that nearly are such."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from envgen.draws import write_number
from envgen.expressions import Equal, Exceeds, FieldOf, Parameter, evaluate, parts
from envgen.rows import ROW, Asked, Row
from envgen.values import number, parse_date
from envgen.workflow import RowLoop

_TRIES = 40
# How often an instance has no such row, where it is known what is done then: it is soon guessed.
_EMPTY = 0.04
_NEAR = (Decimal(0), Decimal(1), Decimal(-1), Decimal(100), Decimal(-100))


@dataclass(frozen=True, slots=True)
class Planting:
    """Makes the rows of one loop's list in one instance.

    Attributes:
        asked: What is known of the task.
        meant: Draws a record like those that were worked on; ``other`` one like any.
    """

    loop: RowLoop
    rng: random.Random
    asked: Asked
    meant: Callable[[], dict[str, str]]
    other: Callable[[], dict[str, str]]

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
            elif isinstance(part, Exceeds) and isinstance(part.left, FieldOf) and self.rng.random() < 0.35:
                limit = evaluate(part.right, Row(self.asked, self.loop.entity, made))
                field = part.left.path[0]
                close = None if limit is None or field not in made else self._close(limit, made[field])
                made[field] = made.get(field, "") if close is None else close
        return made

    def _close(self, limit: str, shape: str) -> str | None:
        """A number or a date at the limit, or a little beside it, written as others are."""
        dated, written = parse_date(limit), parse_date(shape)
        if dated is not None and written is not None:
            return (dated[0] + timedelta(days=self.rng.randint(-2, 2))).strftime(written[1])
        value = number(limit)
        if value is None or number(shape) is None:
            return None
        unit = Decimal("0.01") if "." in shape[-3:] or "," in shape[-3:] else Decimal(1)
        return write_number(max(value + self.rng.choice(_NEAR) * unit, unit), shape)
