"""Questions that the documents do not answer, though they look as if they did."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import pairwise

from envgen.reading import wording
from envgen.reading.ask_tables import row_key, searches
from envgen.reading.corpus import Corpus, Ref
from envgen.reading.drafts import Drafts
from envgen.reading.model import Other
from envgen.reading.tables import Records, Tables
from envgen.retrieval import words
from envgen.values import number

_ABSENT = 12
_FOREIGN = 20
# Words of so many letters name something; those that begin alike speak of the same.
_NAMING, _STEM = 3, 5
_DIGITS = re.compile(r"\d+")


def unanswerable(drafts: Drafts, tables: Tables) -> None:
    """Records that are in no table, and columns that no table has for a record."""
    for records in tables.records:
        _absent_records(drafts, records)
        _foreign_columns(drafts, tables, records)


def _absent_records(drafts: Drafts, records: Records) -> None:
    """A key of the same pattern between two that are there, and asked as the others are.

    Only where keys are in order: the rows on both sides show that there is none between them.
    """
    grid = records.grid
    everything = "\n".join(map(drafts.corpus.text, drafts.corpus.refs))
    key_at = next((at for at in records.keys if _in_order(grid.column(at))), None)
    columns = [at for at, head in enumerate(grid.header) if head and at not in records.keys]
    if key_at is None or not columns:
        return
    rng = drafts.rng("absent", grid.name)
    for _ in range(_ABSENT):
        cells, ref = rng.choice(list(grid.rows))
        key, at = _near(cells[key_at], rng), rng.choice(columns)
        if key in everything or not cells[at]:
            continue
        before = [row for row in grid.rows if _number(row[0][key_at]) < _number(key)][-1:]
        after = [row for row in grid.rows if _number(row[0][key_at]) > _number(key)][:1]
        drafts.add(
            "unanswerable",
            wording.worded(wording.LOOK_UP, rng, column=grid.header[at], named=grid.header[key_at], key=key),
            "",
            [grid.headers, *([row[1]] for row in (*before, *after))],
            about=f"{grid.document}/{key}",
            group="unanswerable",
            queries=[
                _for_header(records, grid.header[at], grid.header[key_at]),
                *(searches(row[0][key_at], grid.header[at], records) for row in (*before, *after)),
            ],
            allowed=_lines(records),
            rows=[Other(value=cells[at], ref=ref)],
        )


def _in_order(keys: Sequence[str]) -> bool:
    """Whether keys are of one pattern and their numbers rise."""
    if not all(_DIGITS.search(key) for key in keys) or all(number(key) is not None for key in keys):
        return False
    numbers = [_number(key) for key in keys]
    patterns = {_DIGITS.sub("0", key) for key in keys}
    return len(patterns) == 1 and all(one < two for one, two in pairwise(numbers))


def _number(key: str) -> int:
    return int(_DIGITS.findall(key)[-1])


def _near(key: str, rng: random.Random) -> str:
    """The key with one digit of its last number changed."""
    match = list(_DIGITS.finditer(key))[-1]
    at = rng.randrange(match.start(), match.end())
    digit = rng.choice([d for d in "0123456789" if d != key[at]])
    return key[:at] + digit + key[at + 1 :]


def _foreign_columns(drafts: Drafts, tables: Tables, records: Records) -> None:
    """A column of another table, asked of a record that has none."""
    grid = records.grid
    rng = drafts.rng("foreign", grid.name)
    foreign = sorted(
        {
            (head, number_)
            for number_, other in enumerate(tables.records)
            if other.grid is not grid
            for at, head in enumerate(other.columns)
            if head and head not in grid.header and at not in other.keys
        }
    )
    key_at = records.keys[0]
    for _ in range(_FOREIGN if foreign else 0):
        (column, number_), (cells, ref) = rng.choice(foreign), rng.choice(list(grid.rows))
        other = tables.records[number_]
        key = cells[key_at]
        if _says_something(drafts.corpus, key, column, records):
            continue
        at = other.columns.index(column)
        near = rng.choice([(c[at], r) for c, r in other.grid.rows if c[at]] or [("", ref)])
        if not near[0]:
            continue
        drafts.add(
            "unanswerable",
            wording.worded(wording.LOOK_UP, rng, column=column, named=grid.header[key_at], key=key),
            "",
            [grid.headers, [ref]],
            about=f"{grid.document}/{row_key(records, ref)}",
            group="unanswerable",
            queries=[
                (*searches(key, column, records), *_for_header(records, column, grid.header[key_at])),
                searches(key, column, records),
            ],
            allowed=(*_lines(records), *other.grid.headers),
            rows=[Other(value=near[0], ref=near[1])],
        )


def _says_something(corpus: Corpus, key: str, column: str, records: Records) -> bool:
    """Whether any line, or any other table, may answer it after all."""
    if _mentioned_with(corpus, key, column):
        return True
    for grid in corpus.grids:
        if grid is records.grid or column not in grid.header:
            continue
        if any(key in cells for cells, _ in grid.rows):
            return True
    # What a cell of the record leads to may have the column: that is a question of two steps.
    own = [cells for cells, _ in records.grid.rows if key in cells]
    linked = {cell for cells in own for cell in cells if cell and number(cell) is None}
    return any(
        column in grid.header and any(linked & set(cells) for cells, _ in grid.rows) for grid in corpus.grids
    )


def _for_header(records: Records, column: str, named: str) -> tuple[str, ...]:
    return (f"{named} {column}", f"{records.grid.name} {named}", " ".join(records.columns))


def _lines(records: Records) -> tuple[Ref, ...]:
    return (*records.grid.headers, *(ref for _, ref in records.grid.rows))


def _mentioned_with(corpus: Corpus, key: str, column: str) -> bool:
    """Whether some sentence may speak of both: of any word of the key, and of the column by its stems."""
    names = {word for word in words(key) if len(word) >= _NAMING}
    stems = {word[:_STEM] for word in words(column)}
    for ref in corpus.refs:
        if corpus.sections[ref[0]].table is None:
            said = corpus.words[ref[0]][ref[1]]
            if names & said and any(word[:_STEM] in stems for word in said):
                return True
    return False
