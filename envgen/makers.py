"""New records of one entity: like the recorded ones, but none of them.

What always went together in the recordings goes together; records that refer to each other are made in pairs.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from envgen.draws import draw_number, like, near
from envgen.expressions import Equal, FieldOf
from envgen.workflow import Entity, FieldModel

Record = dict[str, str]
_TRIES = 400
# How often a record that no task is about has a text that is easily taken for another one.
_ALIKE = 0.4


class Maker:
    """Makes records of one entity.

    Args:
        equalities: What rules compare, asked for when it is needed.
        day_first: How dates are to be read, see :func:`envgen.values.parse_date`.
    """

    def __init__(
        self, entity: Entity, equalities: Callable[[], Sequence[Equal]], day_first: bool = False
    ) -> None:
        self.entity = entity
        self._equalities = equalities
        self._day_first = day_first
        self.fields = {f.name: f for f in entity.fields}
        self.samples = [dict(sample) for sample in entity.samples]
        targets = set(entity.targets)
        self.targets = [s for s in self.samples if s[entity.key_field] in targets] or self.samples
        full = max((len(s) for s in self.samples), default=0)
        self.full = [s for s in self.samples if len(s) * 2 > full]
        self.groups = _dependent_groups(self.fields.values(), self.full or self.samples)
        self.mutual = {
            f.name for f in entity.fields if f.reference == entity.name and _mutual(f.name, entity)
        }

    def record(self, rng: random.Random, records: dict[str, dict[str, Record]], *, target: bool) -> Record:
        """Make a record and add it, with the record of its own entity it refers to."""
        own = records[self.entity.name]
        record = self.draw(rng, target=target)
        key_field = self.entity.key_field
        for _ in range(_TRIES):
            key = self._key(rng)
            if key not in own:
                break
        else:
            return record
        record[key_field] = key
        own[key] = record
        for name in sorted(self.mutual & record.keys()):
            self._twin(rng, own, record, name)
        return record

    def _key(self, rng: random.Random) -> str:
        return like(rng, [s[self.entity.key_field] for s in self.samples])

    def draw(self, rng: random.Random, *, target: bool) -> Record:
        """A record's fields, its key among them as in some sample."""
        pool = self.targets if target else self.full or self.samples
        known = 0.75 if target else 0.5
        base = rng.choice(pool)
        record: Record = {}
        for group in self.groups:
            source = base
            if rng.random() < 0.5:
                # Independent of the rest: any record's combination will do.
                fitting = [s for s in pool if set(group) & s.keys() == set(group) & base.keys()]
                source = rng.choice(fitting or [base])
            for name in group:
                if name in source:
                    record[name] = source[name]
        for name in base:
            model = self.fields[name]
            samples = [s[name] for s in self.samples if name in s]
            if model.kind == "number":
                record[name] = draw_number(rng, samples, model.limits)
            elif model.kind in ("date", "id") or (model.kind == "text" and name not in record):
                record[name] = like(rng, samples, self._day_first)
            if model.known and rng.random() < known:
                record[name] = rng.choice(model.known)
            if model.alike and not target and rng.random() < _ALIKE:
                record[name] = rng.choice(model.alike)
        for name, model in self.fields.items():
            if name not in record and not model.optional:
                # Rows tell less than pages: what only pages show is borrowed from another record.
                others = [s[name] for s in self.full if name in s]
                if others:
                    record[name] = rng.choice(others)
        return {name: record[name] for name in self.fields if name in record}

    def _twin(self, rng: random.Random, own: dict[str, Record], record: Record, name: str) -> None:
        """The other record of a pair that refer to each other: alike, or different in what rules compare."""
        key_field = self.entity.key_field
        others = [s for s in self.samples if s.get(name) and s not in self.targets] or self.full
        model = dict(rng.choice(others))
        twin = dict(record)
        compared = {
            side.path[-1]
            for equal in self._equalities()
            for side in (equal.left, equal.right)
            if isinstance(side, FieldOf)
        }
        for other, text in model.items():
            if other not in compared and self.fields[other].kind == "category" and _steady(others, other):
                twin[other] = text
        for field_name in sorted(compared & twin.keys()):
            if rng.random() < 0.4:
                twin[field_name] = near(rng, twin[field_name])
        for _ in range(_TRIES):
            key = self._key(rng)
            if key not in own:
                break
        for other, field_model in self.fields.items():
            if field_model.kind == "id" and other in twin and other not in compared:
                twin[other] = like(rng, [twin[other]])
        twin[key_field], twin[name], record[name] = key, record[key_field], key
        own[key] = twin

    def settle(self, rng: random.Random, records: dict[str, dict[str, Record]]) -> None:
        """Make references point at records that exist."""
        for name, model in self.fields.items():
            if not model.reference or name in self.mutual:
                continue
            known = records.get(model.reference, {})
            for record in records[self.entity.name].values():
                if name in record and record[name] not in known and known:
                    record[name] = rng.choice(list(known))


def _steady(samples: list[Record], name: str) -> bool:
    return len({s.get(name) for s in samples}) == 1


def _mutual(name: str, entity: Entity) -> bool:
    by_key = {s[entity.key_field]: s for s in entity.samples}
    pairs = [(key, s[name]) for key, s in by_key.items() if name in s]
    known = [(key, other) for key, other in pairs if other in by_key and name in by_key[other]]
    return bool(known) and all(by_key[other][name] == key for key, other in known)


def _dependent_groups(fields: Iterable[FieldModel], samples: list[Record]) -> list[list[str]]:
    """Fields that are drawn together. Two are drawn apart only when the samples show both
    varying while the other stays."""
    names = [f.name for f in fields if f.kind in ("category", "reference", "text")]
    group = {name: name for name in names}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if not (_varies(samples, a, b) and _varies(samples, b, a)):
                group[root(a)] = root(b)
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[root(name)].append(name)
    return list(found.values())


def _varies(samples: list[Record], given: str, name: str) -> bool:
    """Whether ``name`` differs between records that agree on ``given``."""
    seen: dict[str, str] = {}
    for sample in samples:
        if (
            given in sample
            and name in sample
            and seen.setdefault(sample[given], sample[name]) != sample[name]
        ):
            return True
    return False
