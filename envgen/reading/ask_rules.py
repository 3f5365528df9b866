"""Which rule applies to a case: questions about tables of limits and what follows from them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal

from envgen.reading import wording
from envgen.reading.ask_tables import ITEMS, other_lists, searches
from envgen.reading.corpus import Ref
from envgen.reading.drafts import Drafts
from envgen.reading.limits import interval, is_any
from envgen.reading.same import same, value
from envgen.reading.tables import Records, Rules, Tables
from envgen.values import number

_CASES = 30


def cases(drafts: Drafts, tables: Tables) -> None:
    """Which of three cases a rule applies to: given numbers, or records whose number is to be looked up."""
    for rules in tables.rules:
        for given in _givens(rules):
            outcomes = {rules.grid.rows[i][0][rules.outcome] for i in _matching(rules, given)}
            if len(outcomes) < 2:
                continue
            _plain_cases(drafts, rules, given, sorted(outcomes))
            for records in tables.records:
                heads = [value(head) for head in records.columns]
                head = value(rules.grid.header[rules.limit])
                if head in heads and records.grid.document != rules.grid.document:
                    at = heads.index(head)
                    _looked_up_cases(drafts, tables, rules, given, sorted(outcomes), records, at)


def _givens(rules: Rules) -> Iterator[tuple[str, ...]]:
    """What the other conditions may be: every combination that some row names."""
    seen = set()
    for cells, _ in rules.grid.rows:
        given = tuple(cells[at] for at in rules.given)
        if given not in seen and not any(is_any(cell) for cell in given):
            seen.add(given)
            yield given


def _matching(rules: Rules, given: Sequence[str]) -> list[int]:
    """Rows whose other conditions hold."""
    return [
        i
        for i, (cells, _) in enumerate(rules.grid.rows)
        if all(
            is_any(cells[at]) or same(cells[at], told) for at, told in zip(rules.given, given, strict=True)
        )
    ]


def _decided(rules: Rules, given: Sequence[str], amount: Decimal) -> int | None:
    """The one row that applies; None where none does, or several."""
    found = []
    for i in _matching(rules, given):
        limits = interval(rules.grid.rows[i][0][rules.limit])
        if limits is not None and limits.holds(amount):
            found.append(i)
    return found[0] if len(found) == 1 else None


def _amounts(rules: Rules) -> list[Decimal]:
    """Numbers on both sides of every limit, and the limits themselves."""
    found: set[Decimal] = set()
    for cells, _ in rules.grid.rows:
        limits = interval(cells[rules.limit])
        for limit in limits.limits if limits else ():
            step = Decimal(1) if abs(limit) < 100 else Decimal(10) ** (limit.adjusted() - 1)
            found |= {limit + step * k for k in (-3, -2, -1, 0, 1, 2, 3)}
    return sorted(amount for amount in found if amount >= 0)


def _told(rules: Rules, given: Sequence[str]) -> str:
    said = ", ".join(f"{rules.grid.header[at]} “{cell}”" for at, cell in zip(rules.given, given, strict=True))
    return f"{said}: " if said else ""


def _plain_cases(drafts: Drafts, rules: Rules, given: tuple[str, ...], outcomes: Sequence[str]) -> None:
    amounts = [(a, row) for a in _amounts(rules) if (row := _decided(rules, given, a)) is not None]
    head = rules.grid.header[rules.limit]
    if len(amounts) < ITEMS:
        drafts.dropped["its rules overlap or leave gaps"] += 1
        return
    for number_ in range(_CASES):
        rng = drafts.rng("case", rules.grid.name, given, number_)
        chosen = rng.sample(amounts, ITEMS)
        named = [(f"{head} {_written(amount)}", row) for amount, row in chosen]
        needed = [[rules.grid.rows[row][1]] for row in dict.fromkeys(row for _, row in chosen)]
        queries = [_for_rule(rules, given)] * len(needed)
        _case(drafts, rules, given, rng, rng.choice(list(outcomes)), named, needed, queries)


def _for_rule(rules: Rules, given: Sequence[str]) -> tuple[str, ...]:
    """Searches for a table of rules."""
    return (f"{' '.join(rules.grid.header)} {' '.join(given)}", rules.grid.name)


def _written(amount: Decimal) -> str:
    return f"{amount:,f}" if amount == amount.to_integral() else f"{amount:f}"


def _looked_up_cases(
    drafts: Drafts,
    tables: Tables,
    rules: Rules,
    given: tuple[str, ...],
    outcomes: Sequence[str],
    records: Records,
    at: int,
) -> None:
    key_at = records.keys[-1]
    for number_ in range(_CASES):
        rng = drafts.rng("looked-up case", rules.grid.name, records.grid.name, given, number_)
        rows = rng.sample(list(records.grid.rows), min(ITEMS, len(records.grid.rows)))
        facts = [tables.fact(records, cells, ref, key_at, at) for cells, ref in rows]
        amounts = [None if fact is None or fact.stale else number(fact.value) for fact in facts]
        decided = [None if amount is None else _decided(rules, given, amount) for amount in amounts]
        sure = [(f, row) for f, row in zip(facts, decided, strict=True) if f is not None and row is not None]
        if len(sure) < ITEMS or any("," in fact.key for fact, _ in sure):
            continue
        named = [(fact.key, row) for fact, row in sure]
        needed = [list(fact.refs) for fact, _ in sure]
        queries: list[tuple[str, ...]] = [searches(fact.key, fact.column, records) for fact, _ in sure]
        for row in dict.fromkeys(row for _, row in sure):
            needed.append([rules.grid.rows[row][1]])
            queries.append(_for_rule(rules, given))
        _case(drafts, rules, given, rng, rng.choice(list(outcomes)), named, needed, queries)


def _case(
    drafts: Drafts,
    rules: Rules,
    given: tuple[str, ...],
    rng: random.Random,
    wanted: str,
    named: Sequence[tuple[str, int]],
    needed: Sequence[Sequence[Ref]],
    queries: Sequence[Sequence[str]],
) -> None:
    """One question about three cases, when some and not all of them are right."""
    names = [name for name, _ in named]
    right = [name for name, row in named if same(rules.grid.rows[row][0][rules.outcome], wanted)]
    if not 0 < len(right) < len(names) or any("," in name for name in names):
        return
    outcome = rules.grid.header[rules.outcome]
    drafts.add(
        "case",
        wording.worded(
            wording.CASE, rng, given=_told(rules, given), outcome=outcome, value=wanted,
            items=", ".join(names),
        ),
        ", ".join(right),
        needed,
        about=f"{rules.grid.document}/{given}/{'/'.join(sorted(names))}",
        group=f"{rules.grid.document}/{rules.grid.name}/case",
        queries=queries,
        items=names,
        allowed=[*rules.grid.headers, *(ref for _, ref in rules.grid.rows)],
        rows=other_lists(names, right, needed[0][0]),
    )  # fmt: skip
