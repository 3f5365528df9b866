"""Questions that tables answer: look-ups, steps from one table to another, selections."""

from __future__ import annotations

import random
from collections.abc import Sequence

from envgen.reading import wording
from envgen.reading.corpus import Ref
from envgen.reading.drafts import Drafts
from envgen.reading.model import Kind, Other
from envgen.reading.same import same, value
from envgen.reading.tables import Fact, Records, Tables

ITEMS = 3
"""What a question is about that asks for some of several."""
_SELECTIONS = 24
# Columns of so few different values are asked about by selection; guessing them is too easy.
_MOST_CATEGORIES = 6
_LONGEST_CATEGORY = 40
# Facts of a table that are asked for one by one.
_LOOK_UPS = 240
_JOINED = 60


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
            if (
                len(cells) < 2 * ITEMS
                or len(distinct) * 2 > len(cells)
                or max(map(len, distinct)) > _LONGEST_CATEGORY
            ):
                continue
            for number_ in range(_SELECTIONS):
                rng = drafts.rng("selection", records.grid.name, column, number_)
                wanted = rng.choice(distinct)
                rows = rng.sample(list(records.grid.rows), ITEMS)
                facts = [tables.fact(records, cells, ref, key_at, at) for cells, ref in rows]
                right = [f.key for f in facts if f is not None and same(f.value, wanted)]
                if any(f is None or f.stale or "," in f.key for f in facts) or not 0 < len(right) < ITEMS:
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
                    rows=other_lists(keys, right, sure[0].refs[0]),
                )


def other_lists(items: Sequence[str], right: Sequence[str], ref: Ref) -> list[Other]:
    """Wrong choices among the same items: the others, one more, one less."""
    others = [item for item in items if item not in right]
    wrong = [others, [*right, others[0]], list(right[1:]), list(items)]
    return [Other(value=", ".join(some), ref=ref) for some in wrong if some]
