"""The smallest expression that explains all examples: the search over the expression language.

Candidates for a whole answer (constants, copies, conversions, look-ups, learned maps) are
sets of examples they get right. When none gets all right, the fewest-leaved decision tree
over tests (messages shown, categories, limits, equalities) whose leaves are candidates is
found; among those of equal size, the cheapest. Costs encode how far one should believe an
explanation: what documents mention is cheaper than what only fits.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from envgen.documents import Knowledge, NumberFact
from envgen.examples import Known
from envgen.expressions import (
    Above,
    Among,
    Choose,
    Constant,
    Convert,
    Empty,
    Entered,
    Equal,
    Exists,
    Expression,
    FieldOf,
    Keep,
    Lookup,
    Mapped,
    Parameter,
    Says,
    Shown,
    Test,
    Told,
    Valid,
    Written,
    evaluate,
    parts,
)
from envgen.expressions import test as holds
from envgen.values import CONVERSIONS, FORMATS, convert, number
from envgen.wording import words_of

MAX_LEAVES = 6
_MAX_STEPS = 60_000
_MAX_SOURCES = 3
_SOURCE_COST = 0.8
_RIVAL_MARGIN = 0.3
_CATEGORIES = 12
# What fewer follow is no rule that the others could have broken.
_MOST = 0.5
_FEW = 4


@dataclass(frozen=True, slots=True)
class Example:
    """One observation: in ``context`` the answer was ``output``.

    Attributes:
        initial: What stood there without anybody's doing; equal to the output, it can be kept.
    """

    context: Known
    output: str
    initial: str | None = None


@dataclass(slots=True)
class Evidence:
    """Why a limit is where it is.

    Attributes:
        low: The largest value seen on the lower side; ``high`` the smallest on the upper.
        fact: The document's number that settles it, None when no document does.
        others: Numbers of documents that would have fitted as well.
    """

    test: Above
    low: Decimal
    high: Decimal
    fact: NumberFact | None
    others: tuple[NumberFact, ...] = ()


@dataclass(slots=True)
class Explanation:
    """What the search found.

    Attributes:
        expression: None when nothing small enough explains the examples.
        rivals: Different explanations that fit as well and cost the same.
        nearly: Look-ups in documents' tables that most examples follow, and the examples that do not.
    """

    expression: Expression | None
    cost: float = 0.0
    evidence: list[Evidence] = field(default_factory=list)
    rivals: list[Expression] = field(default_factory=list)
    nearly: list[tuple[Expression, list[Example]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Candidate:
    mask: int
    cost: float
    expression: Expression


@dataclass(frozen=True, slots=True)
class _Split:
    mask: int
    cost: float
    test: Test
    sources: frozenset[str]
    evidence: Evidence | None = None


class Search:
    """One search.

    Args:
        examples: The observations.
        atoms: The sources an explanation may use.
        shown: Messages whose appearance may be asked about.
        writes: Writes whose having happened may be asked about.
        label: What is being explained; fields that documents mention together with it, or with
            one of the answers, are asked about first.
        spoken: What an answer is called, where the instruction's wording may decide about it; answers
            that are missing are called what they are. None: the wording is not asked about.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        atoms: Sequence[Expression],
        knowledge: Knowledge,
        shown: Sequence[Shown] = (),
        writes: Sequence[str] = (),
        *,
        label: str = "",
        equalities: bool = True,
        max_leaves: int = MAX_LEAVES,
        spoken: Mapping[str, str] | None = None,
    ) -> None:
        self._examples = examples
        self._knowledge = knowledge
        self._all = (1 << len(examples)) - 1
        self._values: list[tuple[Expression, list[str | None]]] = []
        seen: set[tuple[str | None, ...]] = set()
        for atom in atoms:
            row = [evaluate(atom, example.context) for example in examples]
            if all(value is None for value in row) or tuple(row) in seen:
                continue
            seen.add(tuple(row))
            self._values.append((atom, row))
        self._shown = shown
        self._writes = writes
        self._spoken = spoken
        self._any_word = False
        self._equalities = equalities
        self._entities = list(dict.fromkeys(entity for e in examples for entity in e.context.records))
        self._topics = [label, *dict.fromkeys(e.output for e in examples)]
        self._related: dict[str, bool] = {}
        self._max_leaves = max_leaves
        self._steps = 0
        self._leaf_memo: dict[int, _Candidate | None] = {}
        self._memo: dict[tuple[int, int], tuple[float, Expression] | None] = {}

    def run(self) -> Explanation:
        """Search; see :class:`Explanation`."""
        if not self._examples:
            return Explanation(Keep())
        found = self._explain()
        if found.expression is None and self._spoken is not None:
            # Wording that does not name the answer is asked about when nothing else is left.
            self._any_word = True
            self._leaf_memo = {}
            found = self._explain()
        found.nearly = self._nearly()
        return found

    def _nearly(self) -> list[tuple[Expression, list[Example]]]:
        """The look-up that most examples follow, with those that enter something else than it says."""
        lookups = [c for c in self._candidates if isinstance(c.expression, Lookup)]
        best = max(lookups, key=lambda c: (c.mask.bit_count(), -c.cost), default=None)
        if best is None or best.mask == self._all or best.mask.bit_count() < _MOST * len(self._examples):
            return []
        others = [e for i, e in enumerate(self._examples) if not best.mask >> i & 1]
        strays = [e for e in others if evaluate(best.expression, e.context) is not None]
        return [(best.expression, strays)] if strays and len(self._examples) >= _FEW else []

    def _explain(self) -> Explanation:
        self._candidates = self._make_candidates()
        whole = [c for c in self._candidates if c.mask == self._all]
        if whole and not isinstance(whole[0].expression, Mapped):
            best = whole[0]
            rivals = [
                c.expression
                for c in whole[1:]
                if c.cost <= best.cost + 0.05 and type(c.expression) is type(best.expression)
            ]
            return Explanation(best.expression, best.cost, rivals=rivals[:3])
        learned = whole[0] if whole else None
        # A learned map says nothing about values nobody recorded: any cheaper rule is better.
        self._candidates = [c for c in self._candidates if c is not learned]
        self._all_splits = self._make_splits()
        tree = self._best_tree()
        if tree is None or (learned is not None and learned.cost <= tree[0]):
            return Explanation(None) if learned is None else Explanation(learned.expression, learned.cost)
        cost, expression, sources = tree
        used = [
            split.evidence
            for split in self._all_splits
            if split.evidence is not None and _contains(expression, split.test)
        ]
        return Explanation(expression, cost, used, self._rivals(cost, expression, sources))

    def _best_tree(
        self, without: frozenset[str] = frozenset()
    ) -> tuple[float, Expression, frozenset[str]] | None:
        """The cheapest tree over tests on few sources: every further source asked about costs.

        Args:
            without: Sources of which at least one must not be used.
        """
        names = dict.fromkeys(name for split in self._all_splits for name in sorted(split.sources))
        best: tuple[float, Expression, frozenset[str]] | None = None
        for count in range(_MAX_SOURCES + 1):
            if best is not None and best[0] < _SOURCE_COST * count + 2.5:
                break
            for chosen in itertools.combinations(names, count):
                sources = frozenset(chosen)
                if without and without <= sources:
                    continue
                self._splits = [s for s in self._all_splits if s.sources <= sources]
                if (count and not any(s.sources for s in self._splits)) or not self._separable():
                    continue
                bound = None if best is None else best[0] - _SOURCE_COST * count
                found = self._grow(bound)
                if found is not None:
                    best = (found[0] + _SOURCE_COST * count, found[1], sources)
                if self._steps > _MAX_STEPS:
                    return best
        return best

    def _separable(self) -> bool:
        """Whether examples that all usable tests see alike share an answer."""
        alike: dict[int, int] = {}
        for index in range(len(self._examples)):
            key = sum(1 << at for at, split in enumerate(self._splits) if split.mask >> index & 1)
            alike[key] = alike.get(key, 0) | 1 << index
        return all(self._leaf(mask) is not None for mask in alike.values())

    def _grow(self, bound: float | None) -> tuple[float, Expression] | None:
        """The cheapest of the smallest trees and those one leaf larger, below a cost."""
        self._memo = {}
        best: tuple[float, Expression] | None = None
        size = self._max_leaves
        for leaves in range(2, self._max_leaves + 1):
            found = self._tree(self._all, leaves)
            if found is not None and (best is None or found[0] < best[0] - 0.01):
                # One leaf more may rest on better evidence, two more hardly ever do.
                size = min(size, leaves + 1)
                best = found
            if leaves >= size or self._steps > _MAX_STEPS:
                break
        if best is None or (bound is not None and best[0] >= bound - 0.01):
            return None
        return best

    # Leaves

    def _make_candidates(self) -> list[_Candidate]:
        outputs = [example.output for example in self._examples]
        found: list[_Candidate] = []

        def add(expression: Expression, values: Sequence[str | None], cost: float) -> None:
            mask = 0
            for index, (value, output) in enumerate(zip(values, outputs, strict=True)):
                if value == output:
                    mask |= 1 << index
            if mask:
                found.append(_Candidate(mask, cost, expression))

        keep = 0
        for index, example in enumerate(self._examples):
            if example.initial is not None and example.initial == example.output:
                keep |= 1 << index
        if keep:
            found.append(_Candidate(keep, 0.5, Keep()))
        for text in dict.fromkeys(outputs):
            add(Constant(text=text), [text] * len(outputs), 0.6)
        for atom, values in self._values:
            add(atom, values, _atom_cost(atom))
            self._conversions(atom, values, outputs, add)
        for table in self._knowledge.tables:
            self._lookups(table.id, outputs, add)
        self._maps(outputs, found)
        return sorted(found, key=lambda c: c.cost)

    def _conversions(self, atom, values, outputs, add) -> None:  # type: ignore[no-untyped-def]
        wanted = {
            how
            for value, output in zip(values, outputs, strict=True)
            if value and output and value != output
            for how in _conversions_of(value, output)
        }
        for how in [how for how in CONVERSIONS if how in wanted]:
            converted = [None if v is None else convert(how, v) for v in values]
            # A short piece of a long text fits by accident too easily.
            cost = 0.6 if how.startswith(("number", "date", "time", "no blanks", "trimmed")) else 1.2
            if any(c and len(c) < 2 for c in converted):
                cost += 1.0
            add(Convert(how=how, of=atom), converted, _atom_cost(atom) + cost)

    def _lookups(self, table_id: str, outputs: Sequence[str], add) -> None:  # type: ignore[no-untyped-def]
        table = self._knowledge.table(table_id)
        wanted = set(outputs)
        columns = [
            at for at in range(len(table.header)) if wanted & {row[at] for row in table.rows if row[at]}
        ]
        if not columns or len(table.rows) < 2:
            return
        for key_at, key_name in enumerate(table.header):
            keys = [row[key_at].casefold() for row in table.rows]
            if len(set(keys)) < len(keys) or not key_name:
                continue
            where = dict(zip(keys, table.rows, strict=True))
            for atom, values in self._values:
                rows = [None if v is None else where.get(v.casefold()) for v in values]
                if sum(row is not None for row in rows) * 2 < len(rows):
                    continue
                for at in columns:
                    if at == key_at or not table.header[at]:
                        continue
                    expression = Lookup(table=table_id, key_column=key_name, column=table.header[at], of=atom)
                    add(
                        expression, [None if row is None else row[at] for row in rows], _atom_cost(atom) + 1.0
                    )

    def _maps(self, outputs: Sequence[str], found: list[_Candidate]) -> None:
        """Maps from a category to an answer that repeat themselves often enough to be believed."""
        for atom, values in self._values:
            pairs: dict[str, str] = {}
            clash = False
            for value, output in zip(values, outputs, strict=True):
                if value is None:
                    clash = True
                    break
                clash = clash or pairs.setdefault(value, output) != output
            if clash or len(pairs) < 2 or len(set(pairs.values())) < 2:
                continue
            repeats = len(outputs) - len(pairs)
            if repeats >= max(2, len(pairs) - 1) or (isinstance(atom, Entered) and repeats >= 2):
                expression = Mapped(of=atom, pairs=tuple(sorted(pairs.items())))
                found.append(_Candidate(self._all, _atom_cost(atom) + 1.5 + 0.4 * len(pairs), expression))

    # Tests

    def _extra(self, atom: Expression) -> float:
        """What asking about a source costs more than asking about one the documents relate to the answer."""
        if isinstance(atom, FieldOf):
            label = atom.path[-1]
        elif isinstance(atom, Entered):
            label = atom.label
        else:
            return 0.0
        if label not in self._related:
            self._related[label] = self._knowledge.relates(label, self._topics)
        # What was entered elsewhere on the form follows from the records itself.
        return (0.0 if self._related[label] else 0.4) + (0.3 if isinstance(atom, Entered) else 0.0)

    def _make_splits(self) -> list[_Split]:
        found: dict[tuple[int, frozenset[str]], _Split] = {}

        def add(
            test: Test, results: Sequence[bool | None], cost: float, evidence: Evidence | None = None
        ) -> None:
            if any(result is None for result in results):
                return
            mask = sum(1 << i for i, result in enumerate(results) if result)
            if mask in (0, self._all):
                return
            sources = _sources(test)
            known = found.get((mask, sources))
            if known is None or cost < known.cost:
                found[mask, sources] = _Split(mask, cost, test, sources, evidence)

        contexts = [example.context for example in self._examples]
        for shown in self._shown:
            add(shown, [holds(shown, c) for c in contexts], 0.6)
        for write in self._writes:
            add(Written(write=write), [c.done(write) for c in contexts], 0.8)
        self._said(add)
        for atom, values in self._values:
            if not isinstance(atom, Told):
                self._categories(atom, values, add)
            self._limits(atom, values, add)
            if isinstance(atom, Told):
                continue
            empty = Empty(of=atom)
            add(empty, [not v for v in values], 1.2 if isinstance(atom, Entered) else 1.6)
            if isinstance(atom, Entered):
                for name, valid in FORMATS.items():
                    checked = [None if v is None else valid(v) for v in values]
                    add(Valid(of=atom, format=name), checked, 1.1 if name in ("IBAN", "card number") else 1.4)
                for entity in self._entities:
                    there = [
                        None if v is None else c.exists(entity, v)
                        for v, c in zip(values, contexts, strict=True)
                    ]
                    add(Exists(of=atom, entity=entity), there, 1.1)
        if self._equalities:
            self._equal(add)
        return sorted(found.values(), key=lambda s: s.cost)

    def _said(self, add) -> None:  # type: ignore[no-untyped-def]
        """Words of the instruction: those that name the answer; any when nothing else explains it."""
        if self._spoken is None:
            return
        names = [words_of(self._spoken.get(example.output, example.output)) for example in self._examples]
        said = [example.context.words for example in self._examples]
        for word in sorted(frozenset().union(*said)):
            has = [word in words for words in said]
            if all(word in name for name, there in zip(names, has, strict=True) if there):
                add(Says(word=word), has, 0.8)
            elif self._any_word and 2 <= sum(has) <= len(has) - 2:
                add(Says(word=word), has, 2.4)

    def _categories(self, atom, values, add) -> None:  # type: ignore[no-untyped-def]
        texts = dict.fromkeys(v for v in values if v is not None)
        if not 2 <= len(texts) <= _CATEGORIES or all(number(t) is not None for t in texts if t):
            return
        if len(texts) * 2 > len(values) + 1:
            # Almost every example has its own text: an identifier, not a category.
            return
        for text in texts:
            if self._knowledge.relates(text, self._topics):
                cost = 1.0
            else:
                cost = 1.4 if self._knowledge.mentions(text) else 2.2
            if values.count(text) == 1 and self._extra(atom):
                # Anything sets a single example apart; without a document that is no reason.
                cost += 1.5
            if not text:
                cost = 1.6
            cost += self._extra(atom)
            add(Among(of=atom, texts=(text,)), [None if v is None else v == text for v in values], cost)

    def _limits(self, atom, values, add) -> None:  # type: ignore[no-untyped-def]
        numbers = [None if v is None else number(v) for v in values]
        if any(n is None for n in numbers):
            return
        ordered = sorted({n for n in numbers if n is not None})
        for low, high in itertools.pairwise(ordered):
            test, evidence = self._limit(atom, low, high)
            add_cost = self._extra(atom)
            if evidence.fact is None:
                cost = 2.0 + add_cost
            else:
                cost = 0.9 if evidence.fact.inclusive is not None else 1.2
                if not self._knowledge.on_topic(evidence.fact, self._topics):
                    cost += 0.3 + add_cost
            add(test, [holds(test, e.context) for e in self._examples], cost, evidence)

    def _limit(self, atom: Expression, low: Decimal, high: Decimal) -> tuple[Above, Evidence]:
        facts = self._knowledge.within(low, high, self._topics)
        if facts:
            fact = facts[0]
            inclusive = fact.inclusive if fact.inclusive is not None else fact.value == high
            test = Above(of=atom, limit=_plain(fact.value), inclusive=inclusive)
            others = tuple(f for f in facts[1:] if f.value != fact.value)
            return test, Evidence(test, low, high, fact, others)
        test = Above(of=atom, limit=_plain(roundest(low, high)))
        return test, Evidence(test, low, high, None)

    def _equal(self, add) -> None:  # type: ignore[no-untyped-def]
        sides: list[tuple[Expression, list[str | None], float]] = []
        for atom, values in self._values:
            sides.append((atom, values, 0.0))
            for how in ("first 2", "first 3", "last 4"):
                if isinstance(atom, Parameter | FieldOf | Entered):
                    cut = [None if v is None else convert(how, v) for v in values]
                    if all(c is not None for c in cut):
                        sides.append((Convert(how=how, of=atom), cut, 0.7))
        for (left, a, extra_a), (right, b, extra_b) in itertools.combinations(sides, 2):
            if extra_a and extra_b:
                continue
            results = [None if x is None or y is None else x == y for x, y in zip(a, b, strict=True)]
            if any(r is None for r in results) or len(set(results)) < 2:
                continue
            # One thing compared on two records is the most natural equality there is.
            cost = 0.8 if _same_thing(left, right) else 1.5 + extra_a + extra_b
            add(Equal(left=left, right=right), results, cost)

    # Trees

    def _leaf(self, mask: int) -> _Candidate | None:
        if mask not in self._leaf_memo:
            self._leaf_memo[mask] = next((c for c in self._candidates if c.mask & mask == mask), None)
        return self._leaf_memo[mask]

    def _tree(self, mask: int, leaves: int) -> tuple[float, Expression] | None:
        """The cheapest tree of at most ``leaves`` leaves that is right on all of ``mask``."""
        leaf = self._leaf(mask)
        if leaf is not None:
            return leaf.cost, leaf.expression
        if leaves < 2:
            return None
        key = (mask, leaves)
        if key in self._memo:
            return self._memo[key]
        best: tuple[float, Expression] | None = None
        for split in self._splits:
            yes, no = mask & split.mask, mask & ~split.mask
            if not yes or not no:
                continue
            self._steps += 1
            if self._steps > _MAX_STEPS:
                break
            for first in range(1, leaves):
                left = self._tree(yes, first)
                if left is None:
                    continue
                right = self._tree(no, leaves - first)
                if right is not None:
                    cost = split.cost + left[0] + right[0]
                    if best is None or cost < best[0] - 1e-9:
                        best = (cost, Choose(test=split.test, then=left[1], otherwise=right[1]))
                    break
        self._memo[key] = best
        return best

    def _rivals(self, cost: float, best: Expression, sources: frozenset[str]) -> list[Expression]:
        """A tree as cheap that does without one of the sources of the best one."""
        if not sources:
            return []
        other = self._best_tree(without=sources)
        if other is None or other[0] > cost + _RIVAL_MARGIN:
            return []
        return [other[1]]


def _same_thing(left: Expression, right: Expression) -> bool:
    return isinstance(left, FieldOf) and isinstance(right, FieldOf) and left.path[-1] == right.path[-1]


def _sources(test: Test) -> frozenset[str]:
    """What a test asks about; comparing one thing on two records asks about one thing."""
    if isinstance(test, Equal) and _same_thing(test.left, test.right):
        assert isinstance(test.left, FieldOf)
        return frozenset({f"both {test.left.path[-1]}"})
    return frozenset(str(p) for p in parts(test) if isinstance(p, Parameter | FieldOf | Entered))


def _atom_cost(atom: Expression) -> float:
    if isinstance(atom, Parameter):
        return 1.0
    if isinstance(atom, FieldOf):
        return 1.05 + 0.25 * (len(atom.path) - 1)
    if isinstance(atom, Told):
        return 1.15
    return 1.2


def _conversions_of(value: str, output: str) -> list[str]:
    return [how for how in CONVERSIONS if convert(how, value) == output]


def _contains(expression: Expression, test: Test) -> bool:
    return any(part == test for part in parts(expression))


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def roundest(low: Decimal, high: Decimal) -> Decimal:
    """The number in ``[low, high)`` with the fewest significant digits: where people put limits."""
    for exponent in range(12, -7, -1):
        unit = Decimal(10) ** exponent
        for step in (unit * 5, unit):
            value = (low / step).to_integral_value(rounding="ROUND_CEILING") * step
            if low <= value < high:
                return value
    return low
