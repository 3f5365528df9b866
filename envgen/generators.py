"""New instances of a workflow: records like the recorded ones, but none of them, from a seed.

The task's record is made like the records the experts worked on, the others like all that
were seen. Numbers lie on both sides of every limit a rule knows, exact hits and near misses
included; categories come from the recordings and from the tables that rules look things up
in; what always went together in the recordings goes together.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from envgen.cells import Cells
from envgen.draws import like, with_prefix
from envgen.expressions import (
    Above,
    Aggregate,
    Convert,
    Equal,
    Exceeds,
    Expression,
    FieldOf,
    Foremost,
    Joined,
    Lookup,
    Parameter,
    Test,
    evaluate,
    parts,
    rows_for,
)
from envgen.keys import table_keys
from envgen.makers import Maker, Record
from envgen.planting import CLOSE, Planting, put_beside
from envgen.rows import ROW, Asked
from envgen.session import Split
from envgen.workflow import ParameterModel, RowLoop, Workflow

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
# Parameters are dealt to the splits by a digest, so that no parameter is ever in two of them.
_BUCKETS: dict[Split, range] = {"train": range(70), "dev": range(70, 80), "test": range(80, 100)}
_TRIES = 400
# Whoever draws tasks begins them soon after.
_KEPT = 128


@dataclass(slots=True)
class Instance:
    """One concrete state of the application, and what the task in it is.

    Attributes:
        options: What a control offers, where that is data of the case.
        chosen: By entity, the rows that are worked on in place of those that the rule says (wrong work).
        offered: What a control offers while the one that decides about it has a value, as far as the
            recording shows it that the instance is made of.
    """

    records: dict[str, dict[str, Record]]
    session: dict[str, str]
    parameters: dict[str, str]
    hidden: frozenset[str] = frozenset()
    instruction: str = ""
    seed: int = 0
    roots: dict[str, str] = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    offered: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    chosen: dict[str, frozenset[str]] = field(default_factory=dict)


def bucket(parameters: Mapping[str, str]) -> int:
    """0 to 99, the same for the same parameters in any order."""
    text = "\0".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    return zlib.crc32(text.encode()) % 100


def belongs(parameters: Mapping[str, str], split: Split) -> bool:
    return bucket(parameters) in _BUCKETS[split]


class Generator:
    """Makes instances of one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.entities = {entity.name: entity for entity in workflow.entities}
        self._makers = {
            name: Maker(entity, lambda: self.equalities, workflow.day_first)
            for name, entity in self.entities.items()
        }
        self.roots = {p.name: p.entity for p in workflow.parameters if p.kind == "key"}
        self._varied = [c for p in workflow.pages for c in p.controls if c.options_seen]
        views = [(page.id, view) for page in workflow.pages for view in page.lists]
        self._given = {f"{page}.{control}": name for page, view in views for control, name in view.given}
        self._made: dict[tuple[int, Split], Instance] = {}

    @cached_property
    def expressions(self) -> list[Expression | Test]:
        """Everything the program's rules are made of."""
        found: list[Expression | Test] = []
        for plan in self.workflow.plans:
            for expression in plan.rules():
                found += parts(expression)
        return found

    @cached_property
    def _picked(self) -> list[Aggregate]:
        """What the program counts or adds up of some rows only."""
        return [p for p in self.expressions if isinstance(p, Aggregate) and p.where is not None]

    @cached_property
    def first(self) -> list[Foremost]:
        """The rows that the program takes for being the first in an order."""
        return [p for p in self.expressions if isinstance(p, Foremost)]

    def _has_picked(self, records: Mapping[str, Mapping[str, Record]], parameters: Mapping[str, str]) -> bool:
        """Whether there are rows for everything that is counted or added up, and one that is the first.

        Work without any is no work.
        """
        asked = Asked(parameters, records=records)
        return all(evaluate(first, asked) is not None for first in self.first) and all(
            any(True for _ in rows_for(picked.entity, picked.where, asked)) for picked in self._picked
        )

    def _has_entries(
        self, records: Mapping[str, Mapping[str, Record]], parameters: Mapping[str, str]
    ) -> bool:
        """Whether tables have an entry for whatever rules look up by two things of the task's record.

        Each of the two comes from the recordings or the table; not every pair of them is in it.
        """
        asked = Asked(parameters, self._fields(records, parameters), self._cells)
        return not any(
            evaluate(each.of, asked) is not None and evaluate(each, asked) is None for each in self._by_two
        )

    def _fields(
        self, records: Mapping[str, Mapping[str, Record]], parameters: Mapping[str, str]
    ) -> dict[tuple[str, tuple[str, ...]], str]:
        """What the records say that parameters name, by parameter."""
        named = ((root, records[of].get(parameters.get(root, ""), {})) for root, of in self.roots.items())
        return {(root, (name,)): text for root, record in named for name, text in record.items()}

    @cached_property
    def _compared(self) -> list[Exceeds | Above]:
        return [p for p in self.expressions if isinstance(p, Exceeds | Above)]

    @cached_property
    def _by_two(self) -> list[Lookup]:
        return [p for p in self.expressions if isinstance(p, Lookup) and isinstance(p.of, Joined)]

    @cached_property
    def _cells(self) -> Cells:
        return Cells({table.id: table for table in self.workflow.tables}.__getitem__)

    @cached_property
    def _keys(self) -> dict[str, tuple[str, ...]]:
        """What the tables know of each parameter that is looked up in one."""
        tables = self.workflow.tables
        return {p.name: table_keys(p.name, self.expressions, tables) for p in self.workflow.parameters}

    @cached_property
    def row_loops(self) -> list[RowLoop]:
        """What the program does for rows."""
        loops = [plan.loop for plan in self.workflow.plans if plan.loop is not None]
        return [loop for loop in loops if loop.entity in self._makers]

    def told_apart(
        self, parameters: Mapping[str, str], records: Mapping[str, Mapping[str, Record]]
    ) -> dict[str, str]:
        """What no two splits share: the parameters, and the rows of lists that are gone through."""
        by_rows = [loop.entity for loop in self.row_loops] + [first.entity for first in self.first]
        rows = {f"{entity} rows": " ".join(records[entity]) for entity in by_rows}
        return {**parameters, **rows}

    @cached_property
    def equalities(self) -> list[Equal]:
        return [p for p in self.expressions if isinstance(p, Equal)]

    def instance(self, seed: int, split: Split) -> Instance:
        """The instance of a seed. The same arguments always give the same instance."""
        made = self._made.pop((seed, split), None) or self._instance_of(seed, split)
        self._made[seed, split] = made
        if len(self._made) > _KEPT:
            del self._made[next(iter(self._made))]
        return made

    def _instance_of(self, seed: int, split: Split) -> Instance:
        for attempt in range(_TRIES):
            rng = random.Random(f"{self.workflow.name} {split} {seed} {attempt}")
            found = self._instance(rng, seed, None if attempt == _TRIES - 1 else split)
            if found is not None:
                return found
            # The last try takes any: so few different parameters that a split has none of its own are said
            # by a finding of the gate.
        raise AssertionError("an instance of any split can always be made")

    def _instance(self, rng: random.Random, seed: int, split: Split | None) -> Instance | None:
        """An instance; None as soon as its parameters turn out to be of another split than wanted."""
        records: dict[str, dict[str, Record]] = {name: {} for name in self.entities}
        parameters: dict[str, str] = {}
        for name, entity in self.roots.items():
            record = self._makers[entity].record(rng, records, target=True)
            parameters[name] = record[self.entities[entity].key_field]
        main = dict(parameters)
        only_keys = main and len(main) == len(self.workflow.parameters)
        only_keys = only_keys and not self.row_loops and not self.first
        if split is not None and only_keys and not belongs(main, split):
            return None
        for entity, maker in self._makers.items():
            self._fill(rng, entity, maker, records)
        options = {c.id: rng.choice(c.options_seen) for c in self._varied}
        for parameter in self.workflow.parameters:
            if parameter.kind != "key":
                parameters[parameter.name] = self._parameter(rng, parameter, records, main, options)
        for maker in self._makers.values():
            maker.settle(rng, records)
        self._compare(rng, records, main)
        if split is not None and not (
            self._has_picked(records, parameters) and self._has_entries(records, parameters)
        ):
            return None
        told = self.told_apart(parameters, records)
        if split is not None and told and not belongs(told, split):
            return None
        session = {name: rng.choice(texts) for name, texts in self.workflow.session}
        self._point(rng, session, records)
        self._plant(rng, records, parameters, session)
        hidden = frozenset(h.name for h in self.workflow.hidden if rng.random() < h.share)
        instruction = rng.choice(self.workflow.instructions)
        for name, text in parameters.items():
            instruction = instruction.replace("{" + name + "}", text)
        return Instance(records, session, parameters, hidden, instruction, seed, self.roots, options)

    def _compare(
        self, rng: random.Random, records: dict[str, dict[str, Record]], main: Mapping[str, str]
    ) -> None:
        """What rules compare of the task's record is often the same, or nearly."""
        for part in self._compared:
            for root, key in main.items():
                record = records[self.roots[root]][key]
                if rng.random() < CLOSE:
                    fields: dict[tuple[str, tuple[str, ...]], str]
                    fields = {(root, (name,)): text for name, text in record.items()}
                    put_beside(rng, part, record, root, Asked({}, fields, self._cells))

    def _plant(
        self,
        rng: random.Random,
        records: dict[str, dict[str, Record]],
        parameters: Mapping[str, str],
        session: Mapping[str, str],
    ) -> None:
        """Rows to work on, where the work is about rows."""
        fields = {("", (n,)): text for n, text in session.items()} | self._fields(records, parameters)
        for loop in self.row_loops:
            maker = self._makers[loop.entity]
            meant, other = (partial(maker.draw, rng, target=target) for target in (True, False))
            planting = Planting(loop, rng, Asked(parameters, fields), meant, other, self._given)
            planting.plant(records[loop.entity], maker.entity.key_field)

    def _point(
        self, rng: random.Random, session: dict[str, str], records: Mapping[str, Mapping[str, Record]]
    ) -> None:
        """Let what names a record name one that there is, each another one."""
        taken: set[str] = set()
        for name, entity in self.workflow.session_entities:
            keys = [key for key in records[entity] if key not in taken] or list(records[entity])
            if keys:
                session[name] = rng.choice(keys)
                taken.add(session[name])

    def _fill(
        self, rng: random.Random, entity: str, maker: Maker, records: dict[str, dict[str, Record]]
    ) -> None:
        """Other records around the task's, and the task's at a random place among them or their pages."""
        if maker.entity.fixed:
            records[entity] = {s[maker.entity.key_field]: dict(s) for s in maker.entity.samples}
            return
        low, high = self.entities[entity].count
        size = max(
            (v.page_size or 0 for p in self.workflow.pages for v in p.lists if v.entity == entity), default=0
        )
        targets = list(records[entity])
        wanted = rng.randint(max(low, size + 1, 2), max(high, 3 * size, low + 1, 2))
        while len(records[entity]) < wanted:
            before = len(records[entity])
            maker.record(rng, records, target=False)
            if len(records[entity]) == before:
                break
        order = list(records[entity])
        rng.shuffle(order)
        share = self.entities[entity].at_once
        if size and targets and share is not None:
            # As often on the first page as in the recordings: whoever never saw it there always searched.
            others = [key for key in order if key not in targets]
            at_once = rng.random() < share
            for key in targets:
                last = len(others)
                place = rng.randint(0, min(size - 1, last)) if at_once else rng.randint(min(size, last), last)
                others.insert(place, key)
            order = others
        records[entity] = {key: records[entity][key] for key in order}

    def _parameter(
        self,
        rng: random.Random,
        parameter: ParameterModel,
        records: dict[str, dict[str, Record]],
        main: Mapping[str, str],
        options: Mapping[str, tuple[str, ...]],
    ) -> str:
        offered = [options[c.id] for c in self._varied if parameter.field == c.label]
        if parameter.kind == "entered" and offered:
            # What is to be chosen is one of what there is to choose from.
            return rng.choice([option for option in offered[0] if option] or [""])
        if keys := self._keys[parameter.name]:
            return rng.choice(keys)
        for equal in self.equalities:
            # What rows are picked by is what one of them says.
            of, by_it = equal.left, equal.right == Parameter(name=parameter.name)
            if by_it and isinstance(of, FieldOf) and of.root.startswith(ROW):
                rows = [
                    row[of.path[0]]
                    for row in records[of.root.removeprefix(ROW)].values()
                    if row.get(of.path[0])
                ]
                if rows:
                    return rng.choice(rows)
        if parameter.kind == "field":
            for root, key in main.items():
                record = records[self.roots[root]].get(key, {})
                if self.roots[root] == parameter.entity and parameter.field in record:
                    return record[parameter.field]
        value = like(rng, parameter.samples, self.workflow.day_first)
        for equal in self.equalities:
            wanted = _prefix_of(equal, parameter.name)
            if wanted is None or rng.random() < 0.5:
                continue
            how, other = wanted
            named = main.get(other.root)
            if not named or len(other.path) != 1 or not how.startswith("first "):
                continue
            said = records[self.roots[other.root]][named].get(other.path[0])
            if said:
                value = with_prefix(rng, value, said)
        return value


def _prefix_of(equal: Equal, parameter: str) -> tuple[str, FieldOf] | None:
    """``(conversion, field)`` when the test compares a piece of the parameter with a field."""
    for one, other in ((equal.left, equal.right), (equal.right, equal.left)):
        if (
            isinstance(one, Convert)
            and isinstance(one.of, Parameter)
            and one.of.name == parameter
            and isinstance(other, FieldOf)
        ):
            return one.how, other
    return None
