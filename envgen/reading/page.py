"""What is before an agent that reads: results of a search, or a section, and the answer so far."""

from __future__ import annotations

import random
from collections.abc import Sequence

from envgen.observe import Known, Screen
from envgen.reading.corpus import Corpus, Ref
from envgen.retrieval import words
from ingest.snapshot import Node

SEARCH, ANSWER, REFUSE = "Search", "Answer", "The documents do not say"
NEXT, BEFORE, RESULTS = "Next part", "Part before", "Results"
FOUND = 5
"""Sections that a search shows."""
_SNIPPET = 80
_NAMED = 8
# Pages and searches kept: tasks come back to the same ones again and again.
_KEPT = 4096


def cite(number: int) -> str:
    """The name of the box that cites a line of the section that is open."""
    return f"Cite {number}"


def cited(corpus: Corpus, ref: Ref) -> str:
    """The name of the box of a line that was cited elsewhere."""
    return f"Cited: {corpus.cited(ref)}"


class Pages:
    """The pages of a corpus; what was shown before is taken again."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._known: Known = {}
        self._found: dict[str, tuple[int, ...]] = {}
        self._results: dict[str, tuple[Node, ...]] = {}
        self._rows: dict[tuple[int, int, bool], Node] = {}
        self._cited: dict[Ref, Node] = {}
        self._home = _home(corpus)

    def find(self, query: str) -> tuple[int, ...]:
        """The sections that a search shows, best first."""
        if query not in self._found:
            if len(self._found) >= _KEPT:
                self._found.clear()
                self._results.clear()
            self._found[query] = tuple(self.corpus.index.find(query, FOUND))
        return self._found[query]

    def screen(self, page: Node) -> Screen:
        """A page as it is told."""
        return Screen(page, self._known)

    def page(
        self,
        *,
        open: int | None,
        query: str | None,
        chosen: Sequence[Ref],
        answer: str,
        refused: bool,
        order: int | None,
    ) -> Node:
        """A page.

        Args:
            open: The section that is open; None for the results of ``query``, or where a task begins.
            order: Seed of the order of a section's lines, None for the document's own.
        """
        if open is not None:
            top = self._section(open, chosen, query is not None, order)
        else:
            top = self._home if query is None else self.results(query)
        elsewhere = tuple(self._cited_line(ref) for ref in chosen if ref[0] != open)
        boxes = (
            Node("searchbox", SEARCH, value=query or None),
            Node("textbox", ANSWER, value=answer or None),
            Node("checkbox", REFUSE, states=(("checked", ""),) if refused else ()),
        )
        cited_lines = (Node("list", children=elsewhere),) if elsewhere else ()
        return Node("document", children=(Node("main", children=(*top, *cited_lines, *boxes)),))

    def results(self, query: str) -> tuple[Node, ...]:
        """What a search found, each with its line that shares most words with the search."""
        if query not in self._results:
            asked = set(words(query))
            found = self.find(query)
            rows = tuple(
                Node(
                    "listitem",
                    children=(
                        Node("link", self.corpus.sections[number].name),
                        Node("text", value=self.corpus.text((number, self._best(number, asked)))[:_SNIPPET]),
                    ),
                )
                for number in found
            )
            told = Node("list", children=rows) if rows else Node("text", value="Nothing was found.")
            self._results[query] = (_heading(f"Results for “{query}”"), told)
        return self._results[query]

    def _best(self, number: int, asked: set[str]) -> int:
        shown = self.corpus.words[number]
        return max(range(len(shown)), key=lambda line: (len(asked & shown[line]), -line))

    def _section(
        self, number: int, chosen: Sequence[Ref], searched: bool, order: int | None
    ) -> tuple[Node, ...]:
        """A section with a box at every line. In another order the header stays first."""
        shown = self.corpus.sections[number]
        marked = {line for where, line in chosen if where == number}
        places = list(range(len(shown.lines)))
        if order is not None:
            first = 1 if shown.table is not None else 0
            rest = places[first:]
            random.Random(f"{order} {number}").shuffle(rest)
            places[first:] = rest
        rows = tuple(self._row(number, line, line in marked) for line in places)
        links = [
            Node("link", name)
            for name, there in (
                (BEFORE, self.follows(number - 1, number)),
                (NEXT, self.follows(number, number + 1)),
                (RESULTS, searched),
            )
            if there
        ]
        body = Node("list" if shown.table is None else "table", children=rows)
        return (_heading(shown.name), body, *links)

    def _row(self, number: int, line: int, marked: bool) -> Node:
        key = (number, line, marked)
        if key not in self._rows:
            if len(self._rows) >= _KEPT:
                self._rows.clear()
            section = self.corpus.sections[number]
            box = Node("checkbox", cite(line + 1), states=(("checked", ""),) if marked else ())
            if section.table is None:
                made = Node("listitem", children=(box, Node("text", value=section.lines[line][0])))
            else:
                role = "columnheader" if line == 0 else "cell"
                cells = (Node(role, cell) for cell in section.lines[line])
                made = Node("row", children=(Node("cell", children=(box,)), *cells))
            self._rows[key] = made
        return self._rows[key]

    def _cited_line(self, ref: Ref) -> Node:
        if ref not in self._cited:
            box = Node("checkbox", cited(self.corpus, ref), states=(("checked", ""),))
            self._cited[ref] = Node("listitem", children=(box, Node("text", value=self.corpus.text(ref))))
        return self._cited[ref]

    def follows(self, one: int, two: int) -> bool:
        """Whether two sections stand one after the other in a document."""
        sections = self.corpus.sections
        return 0 <= one < two < len(sections) and sections[one].document == sections[two].document


def _home(corpus: Corpus) -> tuple[Node, ...]:
    """Where a task begins."""
    names = corpus.documents
    told = "; ".join(names[:_NAMED]) + (f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return (_heading("Documents"), Node("text", value=told))


def _heading(text: str) -> Node:
    return Node("heading", text, states=(("level", "1"),))
