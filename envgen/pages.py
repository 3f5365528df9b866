"""Which snapshots show the same kind of page: clustering by structure, the address as a hint."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from envgen.align import Aligner, Data, Instance, masked, own_text
from envgen.templates import CONTROL_ROLES, MESSAGE_ROLES, TemplateNode, read
from envgen.texts import without_order
from envgen.traces import Page, Trace
from envgen.views import Named, changes, parts_of, signature
from ingest.snapshot import Node

# Pages this alike in structure are one kind; the same address pattern counts towards it.
_ALIKE = 0.5
_SAME_ADDRESS = 0.25
_OTHER_ADDRESS = -0.1
# What frames every page says nothing about its kind; bare roles say little.
_FRAME_ROLES = frozenset({"banner", "navigation", "contentinfo"})
_ROLE_WEIGHT = 0.25
# A table of fewer rows may be there to lay things out.
_ROWS = 4
_STRONG_ROLES = CONTROL_ROLES | {"button", "columnheader", "tab", "term", "rowheader"}


Features = dict[tuple[str, str], float]
"""What a page is made of, and how much each part counts."""


@dataclass(slots=True)
class Kind:
    """One kind of page, before it has a template."""

    address: str
    members: list[tuple[str, Page]] = field(default_factory=list)
    features: Features = field(default_factory=dict)


def address_pattern(url_path: str) -> str:
    """A path with its varying segments masked: ``/invoices/INV-1/code`` -> ``/invoices/*/code``."""
    parts = [("*" if re.search(r"\d", part) else part) for part in url_path.split("/")]
    return "/".join(parts) or "/"


def features(page: Node, data: Data) -> Features:
    """What a page is made of, without its data: labelled things by name, the rest by role."""
    found: Features = {}
    _collect(page, found, data, in_row=False)
    if not any(role in _STRONG_ROLES for role, _ in found):
        # Nothing to fill in or to press: what tells such pages apart is what is written beside the data.
        found |= {("text", masked(text)): 1.0 for text in _texts(page) if text not in data}
    return found


def _texts(node: Node) -> Iterator[str]:
    for child in node.children:
        if child.role not in _FRAME_ROLES:
            if child.role == "text" and child.value:
                yield child.value
            yield from _texts(child)


def _collect(node: Node, found: Features, data: Data, in_row: bool) -> None:
    for child in node.children:
        if child.role in _FRAME_ROLES or (child.role in MESSAGE_ROLES and not _holds_fields(child)):
            continue
        labelled = child.name or (child.value or "" if child.role not in CONTROL_ROLES else "")
        strong = child.role in _STRONG_ROLES and (not in_row or child.role in ("columnheader", "rowheader"))
        if strong and labelled:
            # A field named as a cell of a table is: which one of the table is asked for here is data.
            cell = child.role in CONTROL_ROLES and labelled in data.cells
            cell = cell or (child.role == "radio" and labelled in data.choices)
            found[child.role, "" if cell else masked(without_order(labelled))] = 3
        elif child.role == "heading":
            # The first word of a heading says the kind of page more often than the record.
            text = own_text(child)
            words = [w for w in masked(text).split() if "0" not in w]
            found[child.role, words[0] if words and text not in data else ""] = 2
        elif child.role not in ("option", "text"):
            found[child.role, ""] = _ROLE_WEIGHT
        if child.role == "table" and (width := _width(child)):
            found["table", f"{width} columns"] = 2
        if child.role not in CONTROL_ROLES:
            _collect(child, found, data, in_row or child.role in ("row", "listitem"))


def _width(table: Node) -> int:
    """How many cells most rows of a table without headers have; 0 where it has headers, or hardly any row."""
    rows = [row for row in table.walk() if row.role == "row"]
    headed = any(c.role in ("columnheader", "rowheader") for row in rows for c in row.children)
    if headed or len(rows) < _ROWS:
        return 0
    return Counter(len(row.children) for row in rows).most_common(1)[0][0]


def _holds_fields(node: Node) -> bool:
    return any(inner.role in CONTROL_ROLES for inner in node.walk())


def alike(a: Features, b: Features) -> float:
    """Weighted Jaccard similarity, 0 to 1."""
    keys = a.keys() | b.keys()
    total = sum(max(a.get(key, 0.0), b.get(key, 0.0)) for key in keys)
    return sum(min(a.get(key, 0.0), b.get(key, 0.0)) for key in keys) / total if total else 1.0


def cluster(traces: Sequence[Trace], data: Data) -> list[Kind]:
    """Group all pages of the traces into kinds, in order of first appearance."""
    kinds: list[Kind] = []
    placed: dict[tuple[str, Node], Kind] = {}
    for trace in traces:
        for page in _all_pages(trace):
            address = address_pattern(page.path)
            key = (address, page.node)
            kind = placed.get(key)
            if kind is None:
                own = features(page.node, data)
                kind = _closest(kinds, own, address)
                if kind is None:
                    kind = Kind(address, features=own)
                    kinds.append(kind)
                placed[key] = kind
            kind.members.append((trace.recording, page))
    return _views(kinds, traces, placed, data)


def _views(
    kinds: Sequence[Kind], traces: Sequence[Trace], placed: Mapping[tuple[str, Node], Kind], data: Data
) -> list[Kind]:
    """The kinds with those taken apart that a click turns from one view to another."""
    known: dict[Node, Named] = {}

    def named(node: Node) -> Named:
        if node not in known:
            known[node] = frozenset(k for k, weight in features(node, data).items() if weight > 1 and k[1])
        return known[node]

    def kind_of(page: Page) -> Kind:
        return placed[address_pattern(page.path), page.node]

    blocks: dict[int, list[Named]] = {}
    for before, after, block in changes(traces, named):
        if kind_of(before) is kind_of(after):
            blocks.setdefault(id(kind_of(before)), []).append(block)
    found: list[Kind] = []
    for kind in kinds:
        parts = parts_of(blocks.get(id(kind), ()))
        views: dict[tuple[bool, ...], Kind] = {}
        for recording, page in kind.members:
            shown = signature(named(page.node), parts)
            view = views.setdefault(shown, Kind(kind.address, features=kind.features))
            view.members.append((recording, page))
        found += views.values()
    return found


def _all_pages(trace: Trace) -> list[Page]:
    pages = trace.pages()
    return pages if pages or trace.start is None else [trace.start]


def _closest(kinds: Sequence[Kind], own: Features, address: str) -> Kind | None:
    best, best_score = None, _ALIKE
    for kind in kinds:
        score = alike(kind.features, own)
        score += _SAME_ADDRESS if kind.address == address else _OTHER_ADDRESS
        if score > best_score:
            best, best_score = kind, score
    return best


def template_of(kind: Kind, data: Data) -> TemplateNode:
    """The template of a kind of page."""
    distinct: dict[tuple[str, Node], None] = dict.fromkeys((rec, page.node) for rec, page in kind.members)
    return Aligner([Instance(rec, node) for rec, node in distinct], data).template()


def classify(templates: Sequence[tuple[str, str, TemplateNode]], page: Page) -> tuple[str, float] | None:
    """The best fitting template of ``(id, address, template)`` and its fit, None when there are none."""
    address = address_pattern(page.path)
    best: tuple[str, float] | None = None
    for name, known, template in templates:
        fit = read(template, page.node).fit + (0.1 if known == address else 0.0)
        if best is None or fit > best[1]:
            best = (name, fit)
    return best


def data_texts(traces: Sequence[Trace]) -> Data:
    """Texts that are data: what rows and definitions say, and what was entered."""
    found: set[str] = set()
    cells: set[str] = set()
    seen: set[int] = set()
    for trace in traces:
        for page in trace.pages():
            if id(page.node) not in seen:
                seen.add(id(page.node))
                _data(page.node, found, False)
                cells |= {own_text(node) for node in page.node.walk() if node.role == "cell"}
        for moment in trace.moments:
            if moment.action.verb == "fill" and moment.action.value:
                found.add(moment.action.value)
    data = Data(found)
    data.entered = {
        t.recording: frozenset(m.action.value or "" for m in t.moments if m.action.verb == "fill")
        for t in traces
    }
    data.cells = frozenset(cells)
    data.choices = _choices(traces)
    data.instructions = {trace.recording: " ".join(trace.instruction.split()) for trace in traces}
    return data


def _choices(traces: Sequence[Trace]) -> frozenset[str]:
    """Labels of radio buttons that are data: not on most pages, and beside others from page to page.

    Sets that come as a whole depend on something, and stay fields of their own, as do those of a page that
    one recording alone shows.
    """
    shown: dict[str, dict[str, dict[str, set[frozenset[str]]]]] = defaultdict(dict)
    for trace in traces:
        for page in trace.pages():
            for node in page.node.walk():
                labels = frozenset(c.name for c in node.children if c.role == "radio" and c.name)
                if len(labels) > 1:
                    by = shown[address_pattern(page.path)].setdefault(trace.recording, defaultdict(set))
                    for label in labels:
                        by[label].add(labels)
    found: set[str] = set()
    for recordings in shown.values():
        beside: dict[str, set[frozenset[str]]] = defaultdict(set)
        counts: Counter[str] = Counter()
        for by in recordings.values():
            counts.update(by.keys())
            for label, sets in by.items():
                beside[label] |= sets
        rare = {
            label
            for label, count in counts.items()
            if count * 2 <= len(recordings) and (count == 1 or len(beside[label]) > 1)
        }
        if sum(bool(rare & by.keys()) for by in recordings.values()) > 1:
            found |= rare
    return frozenset(found)


def _data(node: Node, found: set[str], inside: bool) -> None:
    if inside and node.role not in ("columnheader", "button", "term"):
        text = own_text(node)
        if text:
            found.add(text)
    for child in node.children:
        deeper = inside or (child.role in ("row", "definition") and not _headers(child))
        _data(child, found, deeper)


def _headers(row: Node) -> bool:
    return any(child.role == "columnheader" for child in row.children)
