"""Questions from what documents state."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal

from envgen.reading import wording
from envgen.reading.corpus import Corpus, Ref
from envgen.reading.drafts import Drafts
from envgen.reading.limits import interval, is_any
from envgen.reading.model import Kind, Other
from envgen.reading.prose import GAP, Prose, numbers_of
from envgen.reading.same import same, stands_in, value
from envgen.reading.tables import Fact, Records, Rules, Tables
from envgen.values import number

# Items of a question that asks for some of several.
_ITEMS = 3
_SELECTIONS = 24
_CASES = 30
# Columns of so few different values are asked about by selection; guessing them is too easy.
_MOST_CATEGORIES = 6
# Facts of a table that are asked for one by one.
_LOOK_UPS = 240
_JOINED = 60
_LONGEST_TERM = 60


def look_ups(drafts: Drafts, tables: Tables) -> None:
    """What stands in a cell, by the row's key."""
    for records in tables.records:
        facts = list(tables.facts(records))
        drafts.rng("look-ups", records.grid.name).shuffle(facts)
        for fact in facts[:_LOOK_UPS]:
            rng = drafts.rng("look-up", fact.key_column, fact.key, fact.column)
            text = wording.worded(
                wording.LOOK_UP, rng, column=fact.column, named=fact.key_column, key=fact.key
            )
            drafts.add(
                "amended" if fact.stale else "look-up",
                text,
                fact.value,
                [fact.refs],
                about=f"{records.grid.document}/{row_key(records, fact.refs[0])}",
                group=_group(records, fact.column),
                queries=[searches(fact.key, fact.column, records)],
                context=fact.column,
                allowed=(fact.stale[1],) if fact.stale else (),
                rows=_other_rows(records, fact, rng),
                stale=Other(value=fact.stale[0], ref=fact.stale[1]) if fact.stale else None,
            )


def searches(key: str, column: str, records: Records) -> tuple[str, ...]:
    """Searches for a row, the most natural first."""
    return (f"{key} {column}", key, f"{key} {records.grid.name}", f"{key} {' '.join(records.columns)}")


def row_key(records: Records, ref: Ref) -> str:
    """The first key of the row on a line."""
    return next((cells[records.keys[0]] for cells, at in records.grid.rows if at == ref), "")


def _group(records: Records, column: str) -> str:
    return f"{records.grid.document}/{records.grid.name}/{column}"


def _other_rows(records: Records, fact: Fact, rng: random.Random) -> list[Other]:
    at = records.columns.index(fact.column)
    found = [
        Other(value=cells[at], ref=ref)
        for cells, ref in records.grid.rows
        if cells[at] and ref not in fact.refs and not same(cells[at], fact.value)
    ]
    rng.shuffle(found)
    return found


def two_steps(drafts: Drafts, tables: Tables) -> None:
    """What another table says of a cell's value."""
    sections = drafts.corpus.sections
    for records, through, other, key_at in tables.joins():
        made = 0
        rows = list(records.grid.rows)
        drafts.rng("two steps", records.grid.name, other.grid.name).shuffle(rows)
        for cells, ref in rows:
            middle = cells[through]
            target = next(
                (row for row in other.grid.rows if middle and value(row[0][key_at]) == value(middle)), None
            )
            if target is None or made >= _JOINED:
                continue
            first = tables.fact(records, cells, ref, records.keys[0], through)
            if first is None or first.stale:
                continue
            for at, column in enumerate(other.columns):
                if at in (key_at,) or not column or not target[0][at] or column in records.columns:
                    continue
                second = tables.fact(other, target[0], target[1], key_at, at)
                if second is None or second.stale:
                    continue
                rng = drafts.rng("two steps", first.key, column)
                here = {sections[s].document for s, _ in first.refs}
                there = {sections[s].document for s, _ in second.refs}
                kind: Kind = "two documents" if not here & there else "two steps"
                drafts.add(
                    kind,
                    wording.worded(
                        wording.TWO_STEPS, rng, column=column, through=first.column,
                        named=first.key_column, key=first.key,
                    ),
                    second.value,
                    [first.refs, second.refs],
                    about=f"{records.grid.document}/{row_key(records, ref)}",
                    group=f"{_group(records, first.column)}/{column}",
                    queries=[
                        searches(first.key, first.column, records),
                        searches(middle, column, other),
                    ],
                    context=column,
                    rows=_other_rows(other, second, rng),
                )  # fmt: skip
                made += 1


def selections(drafts: Drafts, tables: Tables) -> None:
    """Which of three records have a value that several have."""
    for records in tables.records:
        key_at = records.keys[-1]
        for at, column in enumerate(records.columns):
            cells = [cells[at] for cells, _ in records.grid.rows]
            distinct = sorted({cell for cell in cells if cell})
            if at in records.keys or not column or not 2 <= len(distinct) <= _MOST_CATEGORIES:
                continue
            if len(cells) < 2 * _ITEMS or len(distinct) * 2 > len(cells) or max(map(len, distinct)) > 40:
                continue
            for number_ in range(_SELECTIONS):
                rng = drafts.rng("selection", records.grid.name, column, number_)
                wanted = rng.choice(distinct)
                rows = rng.sample(list(records.grid.rows), _ITEMS)
                facts = [tables.fact(records, cells, ref, key_at, at) for cells, ref in rows]
                right = [f.key for f in facts if f is not None and same(f.value, wanted)]
                if any(f is None or f.stale or "," in f.key for f in facts) or not 0 < len(right) < _ITEMS:
                    continue
                sure = [fact for fact in facts if fact is not None]
                keys = [fact.key for fact in sure]
                drafts.add(
                    "selection",
                    wording.worded(
                        wording.SELECTION,
                        rng,
                        column=column,
                        value=wanted,
                        items=", ".join(keys),
                        named=records.columns[key_at],
                    ),
                    ", ".join(right),
                    [fact.refs for fact in sure],
                    about=f"{records.grid.document}/{column}/{'/'.join(sorted(keys))}",
                    group=f"{_group(records, column)}/selection",
                    queries=[searches(fact.key, column, records) for fact in sure],
                    items=keys,
                    rows=_other_lists(keys, right, sure[0].refs[0]),
                )


def _other_lists(items: Sequence[str], right: Sequence[str], ref: Ref) -> list[Other]:
    """Wrong choices among the same items: the others, one more, one less."""
    others = [item for item in items if item not in right]
    wrong = [others, [*right, others[0]], list(right[1:]), list(items)]
    return [Other(value=", ".join(some), ref=ref) for some in wrong if some]


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
    if len(amounts) < _ITEMS:
        drafts.dropped["its rules overlap or leave gaps"] += 1
        return
    for number_ in range(_CASES):
        rng = drafts.rng("case", rules.grid.name, given, number_)
        chosen = rng.sample(amounts, _ITEMS)
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
        rows = rng.sample(list(records.grid.rows), min(_ITEMS, len(records.grid.rows)))
        facts = [tables.fact(records, cells, ref, key_at, at) for cells, ref in rows]
        amounts = [None if fact is None or fact.stale else number(fact.value) for fact in facts]
        decided = [None if amount is None else _decided(rules, given, amount) for amount in amounts]
        sure = [(f, row) for f, row in zip(facts, decided, strict=True) if f is not None and row is not None]
        if len(sure) < _ITEMS or any("," in fact.key for fact, _ in sure):
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
        rows=_other_lists(names, right, needed[0][0]),
    )  # fmt: skip


def sentences(drafts: Drafts, prose: Prose) -> None:
    """Limits, dates and amounts in sentences; those that another document amends as they are now."""
    amended = {amendment.amended for amendment in prose.amendments}
    newest = {a.amended: a for a in prose.amendments if a.old and a.new}
    gaps = list(prose.gaps())
    for gap in gaps:
        rng = drafts.rng("gap", gap.sentence)
        change, around = newest.get(gap.ref), gap.sentence.replace(GAP, "")
        if gap.ref in amended and (change is None or not same(change.old, gap.value)):
            # Who amends a section may mean all of it: what cannot be said for certain is not asked.
            drafts.dropped["stands in a section that was amended"] += 1
            continue
        if change is not None:
            drafts.add(
                "amended",
                wording.worded(wording.AMENDED, rng, sentence=gap.sentence),
                change.new,
                [_saying(drafts.corpus, change.ref, change.new)],
                about=gap.sentence,
                group="amended",
                queries=[(drafts.corpus.text(change.ref), around)],
                context=gap.sentence,
                allowed=(gap.ref, *(a.ref for a in prose.amendments if a.amended == gap.ref)),
                stale=Other(value=gap.value, ref=gap.ref),
            )
            continue
        alike = [other.ref for other in gaps if other.sentence == gap.sentence and other.value == gap.value]
        if any(other.sentence == gap.sentence and not same(other.value, gap.value) for other in gaps):
            drafts.dropped["documents say different things"] += 1
            continue
        drafts.add(
            "threshold",
            wording.worded(wording.GAP, rng, sentence=gap.sentence),
            gap.value,
            [alike],
            about=gap.sentence,
            group=f"sentence/{gap.kind}",
            queries=[(around, f"{drafts.corpus.sections[gap.ref[0]].heading} {around}")],
            context=gap.sentence,
            rows=[Other(value=o.value, ref=o.ref) for o in gaps if o.kind == gap.kind and o.ref != gap.ref],
        )


def _saying(corpus: Corpus, by: Ref, new: str) -> list[Ref]:
    """The amending line, and what else its document says with the new number."""
    document = corpus.sections[by[0]].document
    read = number(new)
    return [by, *(
        ref for ref in corpus.refs
        if ref != by and corpus.sections[ref[0]].document == document
        and read is not None and read in numbers_of(corpus.text(ref))
    )]  # fmt: skip


def meanings(drafts: Drafts, prose: Prose) -> None:
    """What terms mean, which term means something, and what stands after labels."""
    amended = {amendment.amended for amendment in prose.amendments}
    found = [meaning for meaning in prose.meanings() if meaning.ref not in amended]
    for meaning in found:
        section = drafts.corpus.sections[meaning.ref[0]]
        rng = drafts.rng("meaning", meaning.term, meaning.value)
        alike = [m for m in found if value(m.term) == value(meaning.term)]
        if meaning.labelled:
            here = [m for m in alike if drafts.corpus.sections[m.ref[0]].document == section.document]
            if any(not same(m.value, meaning.value) for m in here) or not section.title:
                continue
            text = wording.worded(wording.LABELLED, rng, term=meaning.term, title=section.title)
            refs, answer = [m.ref for m in here], meaning.value
            rows = [m for m in found if m.labelled]
        else:
            if any(not same(m.value, meaning.value) for m in alike):
                drafts.dropped["documents say different things"] += 1
                continue
            refs = [m.ref for m in alike]
            rows = [m for m in found if not m.labelled]
            if len(meaning.value) <= _LONGEST_TERM:
                text, answer = wording.worded(wording.MEANING, rng, term=meaning.term), meaning.value
            else:
                # A long definition is said in many ways; its term is not.
                text, answer = wording.worded(wording.TERM, rng, value=meaning.value), meaning.term
        drafts.add(
            "definition",
            text,
            answer,
            [refs],
            about=f"{section.document}/{meaning.term}",
            group="label" if meaning.labelled else "meaning",
            queries=[(f"{meaning.term} {section.title}", drafts.corpus.text(meaning.ref))],
            rows=[
                Other(value=m.term if answer == meaning.term else m.value, ref=m.ref)
                for m in rows
                if m.ref != meaning.ref or m.term != meaning.term
            ],
        )


def mentioned_with(corpus: Corpus, key: str, word: str) -> bool:
    """Whether some line speaks of both."""
    return any(
        stands_in(key, text) and word.casefold() in text.casefold()
        for text in map(corpus.text, corpus.refs)
        if key in text
    )
