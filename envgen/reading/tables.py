"""What tables state: records by their keys, columns, and which tables lead on to which."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from envgen.reading.corpus import Corpus, Grid, Ref
from envgen.reading.limits import bounded, interval
from envgen.reading.same import same, stands_in, value
from envgen.values import number

_LEAST_ROWS = 3
_KEYS = 2
_LONGEST_KEY = 40
_LONGEST_ANSWER = 60
# Values shorter than this stand in texts that say nothing about the record.
_TELLING = 4
# So many of a column's values have to be keys of the other table for it to lead there.
_JOINED = 0.6


@dataclass(frozen=True, slots=True)
class Records:
    """A table whose rows are records.

    Attributes:
        keys: Columns that name a row, the first by preference.
    """

    grid: Grid
    keys: tuple[int, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.grid.header


@dataclass(frozen=True, slots=True)
class Rules:
    """A table whose rows are rules.

    Attributes:
        limit: The column that words limits; ``given``: the other conditions; ``outcome``: what follows.
    """

    grid: Grid
    limit: int
    given: tuple[int, ...]
    outcome: int


@dataclass(frozen=True, slots=True)
class Fact:
    """What a table says about a record.

    Attributes:
        refs: Lines that say the same, this table's first.
        stale: An earlier document's value and line, where that says something else.
    """

    key: str
    key_column: str
    column: str
    value: str
    refs: tuple[Ref, ...]
    stale: tuple[str, Ref] | None = None


@dataclass
class Tables:
    """The tables of a corpus, told apart.

    Attributes:
        conflicts: What two documents say differently, without a date to decide.
    """

    corpus: Corpus
    conflicts: list[str] = field(default_factory=list)

    @cached_property
    def records(self) -> tuple[Records, ...]:
        """Tables of records."""
        found = []
        for grid in self.corpus.grids:
            if len(grid.rows) >= _LEAST_ROWS and self._as_rules(grid) is None:
                keys = tuple(at for at in range(len(grid.header)) if _is_key(grid, at))[:_KEYS]
                if keys:
                    found.append(Records(grid, keys))
        return tuple(found)

    @cached_property
    def rules(self) -> tuple[Rules, ...]:
        """Tables of rules."""
        return tuple(rules for grid in self.corpus.grids if (rules := self._as_rules(grid)) is not None)

    @staticmethod
    def _as_rules(grid: Grid) -> Rules | None:
        if len(grid.header) < 2 or len(grid.rows) < 2:
            return None
        for at, head in enumerate(grid.header[:-1]):
            cells = grid.column(at)
            if head and all(interval(cell) is not None for cell in cells) and any(map(bounded, cells)):
                outcome = len(grid.header) - 1
                given = tuple(i for i in range(outcome) if i != at and grid.header[i])
                return Rules(grid, at, given, outcome)
        return None

    @cached_property
    def _stated(self) -> dict[tuple[str, object, str], list[tuple[str, Ref, str]]]:
        """``(column of the key, key, column)`` -> what every table says, with its date."""
        found: dict[tuple[str, object, str], list[tuple[str, Ref, str]]] = defaultdict(list)
        for grid in self.corpus.grids:
            for cells, ref in grid.rows:
                for key_at, key in enumerate(cells):
                    if not key or not grid.header[key_at]:
                        continue
                    for at, cell in enumerate(cells):
                        if at != key_at and grid.header[at]:
                            asked = (_head(grid.header[key_at]), value(key).core, _head(grid.header[at]))
                            found[asked].append((cell, ref, grid.dated))
        return found

    def facts(self, records: Records) -> Iterator[Fact]:
        """All facts of a table that are unambiguous, with every line that states them."""
        grid = records.grid
        for cells, ref in grid.rows:
            for key_at in records.keys:
                for at, cell in enumerate(cells):
                    if at != key_at and cell and grid.header[at] and len(cell) <= _LONGEST_ANSWER:
                        fact = self.fact(records, cells, ref, key_at, at)
                        if fact is not None:
                            yield fact

    def fact(self, records: Records, cells: tuple[str, ...], ref: Ref, key_at: int, at: int) -> Fact | None:
        """One cell as a fact; None when another table contradicts it, or says something newer.

        A header that two columns share names neither.
        """
        grid, key, cell = records.grid, cells[key_at], cells[at]
        if [_head(head) for head in grid.header].count(_head(grid.header[at])) > 1:
            return None
        said = self._stated[_head(grid.header[key_at]), value(key).core, _head(grid.header[at])]
        others = [each for each in said if each[0] and not same(each[0], cell)]
        stale = None
        if others:
            dates = [dated for _, _, dated in others]
            if not grid.dated or not all(dates) or grid.dated in dates:
                self.conflicts.append(
                    f"{grid.header[at]} of {key}: {self.corpus.cited(ref)} says “{cell}”, "
                    f"{self.corpus.cited(others[0][1])} says “{others[0][0]}”."
                )
                return None
            if max(dates) > grid.dated:
                return None
            stale = max(others, key=lambda each: each[2])[:2]
        refs = [ref, *(r for text, r, _ in said if r != ref and same(text, cell))]
        refs += [r for r in self._texts(key, cell) if r not in refs]
        return Fact(key, grid.header[key_at], grid.header[at], cell, tuple(refs), stale)

    def _texts(self, key: str, said: str) -> list[Ref]:
        """Sentences that hold both the key and the value."""
        if len(said) < _TELLING or len(key) < _TELLING:
            return []
        return [
            ref for ref, text in self._prose if key in text and said in text
            and stands_in(key, text) and stands_in(said, text)
        ]  # fmt: skip

    @cached_property
    def _prose(self) -> list[tuple[Ref, str]]:
        corpus = self.corpus
        return [(ref, corpus.text(ref)) for ref in corpus.refs if corpus.sections[ref[0]].table is None]

    def joins(self) -> Iterator[tuple[Records, int, Records, int]]:
        """``(table, column, other table, its key)`` where a column's values are the other's keys."""
        for records in self.records:
            for at, head in enumerate(records.columns):
                if not head or at in records.keys:
                    continue
                cells = [cell for cell in records.grid.column(at) if cell]
                if not cells or all(number(cell) is not None for cell in cells):
                    continue
                for other in self.records:
                    if other.grid is records.grid:
                        continue
                    for key_at in other.keys:
                        known = {value(cell) for cell in other.grid.column(key_at)}
                        if sum(value(cell) in known for cell in cells) >= _JOINED * len(cells):
                            yield records, at, other, key_at
                            break


def _is_key(grid: Grid, at: int) -> bool:
    """Whether a column names rows: every row has another text in it, of a length that people say."""
    cells = grid.column(at)
    if not grid.header[at] or not all(cells) or max(map(len, cells)) > _LONGEST_KEY:
        return False
    if at > 0 and all(number(cell) is not None for cell in cells):
        return False
    return max(Counter(value(cell) for cell in cells).values()) == 1


def _head(text: str) -> str:
    """A column's header, to be compared."""
    return str(value(text).core)
