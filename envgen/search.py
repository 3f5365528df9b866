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
from decimal import Decimal

from envgen.derived import derived
from envgen.documents import Knowledge
from envgen.explanations import Candidate, Evidence, Example, Explanation, Split, Values
from envgen.expressions import (
    Choose,
    Constant,
    Expression,
    Keep,
    Lookup,
    Mapped,
    Not,
    Shown,
    Test,
    evaluate,
    parts,
    replaced,
    test,
)
from envgen.leaves import Leaves, as_dates
from envgen.lookups import looked_up
from envgen.splits import Splits
from envgen.values import folded, number

MAX_LEAVES = 6
_MAX_STEPS = 60_000
_MAX_STEPS_OF_ROWS = 300_000
_MAX_SOURCES = 3
_SOURCE_COST = 0.8
_RIVAL_MARGIN = 0.3
# What fewer follow is no rule that the others could have broken.
_MOST = 0.5
_FEW = 4
_LISTED = 4
_ANY = ("yes", "no", "on", "off")


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
        derive: Whether numbers may be calculated, see :mod:`envgen.derived`.
        of_rows: The root of the row at hand, where each example is about one: only rows are told apart
            then, by what they say, also as compared with the other sources.
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
        derive: bool = False,
        of_rows: str = "",
    ) -> None:
        self._examples = examples
        self._knowledge = knowledge
        self._all = (1 << len(examples)) - 1
        self._values: Values = []
        seen: set[tuple[str | None, ...]] = set()
        for atom in atoms:
            row = [evaluate(atom, example.context) for example in examples]
            if all(value is None for value in row) or tuple(row) in seen:
                continue
            seen.add(tuple(row))
            self._values.append((atom, row))
        self._looked_up = looked_up(self._values, knowledge)
        typed = as_dates(self._values) if knowledge.day_first else self._values
        self._typed = [*typed, *self._looked_up]
        self._derived: Values = list(derived(examples, self._typed, knowledge.day_first)) if derive else []
        self._spoken = spoken
        self._any_word = False
        # Every document says yes and no somewhere: that relates nothing to either.
        topics = [label, *dict.fromkeys(e.output for e in examples if folded(e.output) not in _ANY)]
        self._tests = Splits(
            examples, self._values, self._typed, knowledge, shown, writes, topics, spoken,
            equalities=equalities, of_rows=of_rows,
        )  # fmt: skip
        self._of_rows = of_rows
        self._max_steps = _MAX_STEPS_OF_ROWS if of_rows else _MAX_STEPS
        self._max_leaves = max_leaves
        self._steps = 0
        self._leaf_memo: dict[int, Candidate | None] = {}
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
        self._candidates = Leaves(
            self._examples, self._values, self._typed, self._looked_up, self._knowledge, self._derived
        ).candidates()
        if self._of_rows:
            # Which rows are meant is said by what they have in common, not case by case.
            self._candidates = [c for c in self._candidates if not isinstance(c.expression, Mapped)]
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
        self._candidates = [c for c in self._candidates if c not in whole]
        self._all_splits = self._tests.splits(any_word=self._any_word)
        tree = self._best_tree()
        if tree is not None and self._lists(tree[1]):
            tree = None
        if tree is None or (learned is not None and learned.cost <= tree[0]):
            return Explanation(None) if learned is None else Explanation(learned.expression, learned.cost)
        cost, expression, sources = tree
        used = [
            split.evidence
            for split in self._all_splits
            if split.evidence is not None and _contains(expression, split.test)
        ]
        rivals = self._rivals(cost, expression, sources)
        if self._of_rows:
            expression, used = self._widened(expression, used)
        return Explanation(expression, cost, used, rivals)

    def _lists(self, expression: Expression) -> bool:
        """Whether a tree names what one example each has: no rule, but a list of the examples."""
        outputs = [example.output for example in self._examples]
        told = {part.text for part in parts(expression) if isinstance(part, Constant)}
        return sum(outputs.count(text) == 1 for text in told) >= _LISTED

    def _widened(self, expression: Expression, used: list[Evidence]) -> tuple[Expression, list[Evidence]]:
        """Limits between the rows that they decide about: others say nothing of where they are."""
        found: list[Evidence] = []
        for evidence in used:
            limit = evidence.test
            turned = replaced(expression, limit, Not(test=limit))
            below: list[Decimal] = []
            above: list[Decimal] = []
            for example in self._examples:
                value = number(evaluate(limit.of, example.context) or "")
                if value is not None and evaluate(turned, example.context) != example.output:
                    (above if test(limit, example.context) else below).append(value)
            if below and above:
                settled, wider = self._tests.limit(limit.of, max(below), min(above))
                exchanged = replaced(expression, limit, settled)
                if all(evaluate(exchanged, e.context) == e.output for e in self._examples):
                    expression, evidence = exchanged, wider
            found.append(evidence)
        return expression, found

    def _best_tree(
        self, without: frozenset[str] = frozenset()
    ) -> tuple[float, Expression, frozenset[str]] | None:
        """The cheapest tree over tests on few sources: every further source asked about costs.

        Args:
            without: Sources of which at least one must not be used.
        """
        best: tuple[float, Expression, frozenset[str]] | None = None
        usable: dict[int, list[tuple[frozenset[str], list[Split]]]] = {}
        size = self._max_leaves
        # The smallest trees first, of whatever they ask: large ones over few sources are many.
        for leaves in range(2, self._max_leaves + 1):
            if leaves > size:
                break
            for count in range(_MAX_SOURCES + 1):
                if best is not None and best[0] < _SOURCE_COST * count + 2.5:
                    break
                if count not in usable:
                    usable[count] = self._usable(count, without)
                for sources, splits in usable[count]:
                    self._splits, self._memo = splits, {}
                    found = self._tree(self._all, leaves)
                    cost = None if found is None else found[0] + _SOURCE_COST * count
                    if found is not None and cost is not None and (best is None or cost < best[0] - 0.01):
                        # One leaf more may rest on better evidence, two more hardly ever do.
                        best, size = (cost, found[1], sources), min(size, leaves + 1)
                    if self._steps > self._max_steps:
                        return best
        return best

    def _usable(self, count: int, without: frozenset[str]) -> list[tuple[frozenset[str], list[Split]]]:
        """The sets of so many sources whose tests tell apart whatever has different answers."""
        names = dict.fromkeys(name for split in self._all_splits for name in sorted(split.sources))
        found = []
        for chosen in itertools.combinations(names, count):
            sources = frozenset(chosen)
            if without and without <= sources:
                continue
            self._splits = [s for s in self._all_splits if s.sources <= sources]
            if (not count or any(s.sources for s in self._splits)) and self._separable():
                found.append((sources, self._splits))
        return found

    def _separable(self) -> bool:
        """Whether examples that all usable tests see alike share an answer."""
        alike: dict[int, int] = {}
        for index in range(len(self._examples)):
            key = sum(1 << at for at, split in enumerate(self._splits) if split.mask >> index & 1)
            alike[key] = alike.get(key, 0) | 1 << index
        return all(self._leaf(mask) is not None for mask in alike.values())

    def _leaf(self, mask: int) -> Candidate | None:
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
            if self._steps > self._max_steps:
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


def _contains(expression: Expression, test: Test) -> bool:
    return any(part == test for part in parts(expression))
