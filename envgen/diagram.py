"""A workflow's pages and ways as a picture: inline SVG without scripts, fonts or colours of its own.

Pages stand in columns by their distance from the start, the program's way on top. Ways that lead on
are drawn forwards, ways back below the pages. Links that are on most pages are told beside the
picture: drawn, they would hide the rest.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from html import escape

from envgen.expressions import Constant, parts
from envgen.workflow import Exit, PageModel, Workflow

_WIDTH, _HEIGHT = 178, 62
_ACROSS, _DOWN = 306, 118
_MARGIN = 26
_LINE = 22
_LABEL = 26
_ASIDE = 150
_FRAME_PAGES = 3


@dataclass(slots=True)
class _Edge:
    """All ways from one page to another."""

    source: str
    target: str
    labels: list[str] = field(default_factory=list)
    way: bool = False
    writes: bool = False


def everywhere(workflow: Workflow) -> dict[tuple[str, str], str]:
    """Links that lead to the same page from most pages: ``(label, page)`` to the page's title."""
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for page in workflow.pages:
        for found in page.exits:
            if (
                len(found.outcomes) == 1
                and not found.outcomes[0].write
                and found.outcomes[0].record == "none"
            ):
                places[found.label, found.outcomes[0].page].add(page.id)
    titles = {page.id: page.title for page in workflow.pages}
    enough = max(_FRAME_PAGES, len(workflow.pages) // 2)
    return {key: titles[key[1]] for key, pages in places.items() if len(pages) >= enough}


def diagram(workflow: Workflow) -> str:
    """The picture as an ``<svg>`` element."""
    edges = _edges(workflow)
    places = _places(workflow, edges)
    way = {plan.page for plan in workflow.plans}
    width = max(x for x, _ in places.values()) + _WIDTH + _MARGIN
    bottom = max(y for _, y in places.values()) + _HEIGHT
    lines: list[str] = []
    depth, aside = 0, 0
    for edge in sorted(edges, key=lambda e: abs(places[e.source][0] - places[e.target][0])):
        (x1, _), (x2, _) = places[edge.source], places[edge.target]
        if edge.source == edge.target:
            lines.append(_loop(edge, places))
        elif x1 == x2:
            lines.append(_beside(edge, places))
        elif x2 > x1:
            lines.append(_forward(edge, places))
        else:
            depth += 1
            lines.append(_backward(edge, places, bottom, depth))
        if x1 == x2:
            aside = max(aside, x1 + _WIDTH + _ASIDE)
    width = max(width, aside)
    height = bottom + _MARGIN + depth * _LINE + (14 if depth else 0)
    boxes = [_box(page, places[page.id], page.id in way, workflow) for page in workflow.pages]
    return (
        f'<svg class="ways" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="Pages of the workflow and the ways between them">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def _edges(workflow: Workflow) -> list[_Edge]:
    frame = everywhere(workflow)
    found: dict[tuple[str, str], _Edge] = {}
    taken = _program_way(workflow)
    for page in workflow.pages:
        for leaving in page.exits:
            for outcome in leaving.outcomes:
                way = (page.id, leaving.node) in taken and not (outcome.shows and not outcome.write)
                if outcome.hidden == "never" or ((leaving.label, outcome.page) in frame and not way):
                    continue
                edge = found.setdefault((page.id, outcome.page), _Edge(page.id, outcome.page))
                refused = bool(outcome.shows) and outcome.page == page.id
                label = exit_label(leaving) + (" (message)" if refused else "")
                if label not in edge.labels:
                    edge.labels.append(label)
                edge.writes |= bool(outcome.write)
                edge.way |= way
    return list(found.values())


def _program_way(workflow: Workflow) -> set[tuple[str, str]]:
    """``(page, node)`` of the exits that the program takes."""
    left = {
        (plan.page, part.text)
        for plan in workflow.plans
        if plan.exit is not None
        for part in parts(plan.exit)
        if isinstance(part, Constant)
    }
    return left | {(plan.page, plan.loop.node) for plan in workflow.plans if plan.loop is not None}


def exit_label(leaving: Exit) -> str:
    """What an exit is called; one whose name is data is a record's link."""
    text = leaving.label.strip()
    if not any(c.isalnum() for c in text.replace("…", "")) or text == leaving.node:
        text = "a record's link"
    return f"press {text}" if leaving.verb == "press" else text


def _places(workflow: Workflow, edges: list[_Edge]) -> dict[str, tuple[int, int]]:
    """Column by distance from the start; in a column the program's pages first."""
    after: dict[str, list[str]] = defaultdict(list)
    for edge in sorted(edges, key=lambda e: not e.way):
        after[edge.source].append(edge.target)
    distance = {workflow.start: 0}
    queue = deque([workflow.start])
    while queue:
        page = queue.popleft()
        for following in after[page]:
            if following not in distance:
                distance[following] = distance[page] + 1
                queue.append(following)
    furthest = max(distance.values())
    for page_model in workflow.pages:
        distance.setdefault(page_model.id, min(1, furthest + 1))
    way = {plan.page for plan in workflow.plans}
    columns: dict[int, list[str]] = defaultdict(list)
    for model in sorted(workflow.pages, key=lambda p: p.id not in way):
        columns[distance[model.id]].append(model.id)
    return {
        page: (_MARGIN + column * _ACROSS, _MARGIN + row * _DOWN)
        for column, pages in columns.items()
        for row, page in enumerate(pages)
    }


def _box(page: PageModel, place: tuple[int, int], on_way: bool, workflow: Workflow) -> str:
    x, y = place
    title = _cut(page.title, _LABEL - 4)
    marks = [word for word, holds in (("start", page.id == workflow.start), ("form", bool(page.controls)),
                                      ("list", bool(page.lists))) if holds]  # fmt: skip
    about = _cut(page.entity, 18) if page.entity else ""
    below = " · ".join([*marks, *([f"one {about}"] if about else [])])
    return (
        f'<g class="page{" on-way" if on_way else ""}"><title>{escape(page.title)} ({escape(page.address)})'
        f'</title><rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text class="name" x="{x + _WIDTH // 2}" y="{y + 27}">{escape(title)}</text>'
        f'<text class="kind" x="{x + _WIDTH // 2}" y="{y + 46}">{escape(below)}</text></g>'
    )


def _forward(edge: _Edge, places: dict[str, tuple[int, int]]) -> str:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    x1, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
    bend = (x2 - x1) // 2
    path = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 2} {y2}"
    # Near the target: ways that leave one page together have drawn apart there.
    at = 0.5 if y1 == y2 else 0.62
    lift = -9 if y2 <= y1 else 14
    return _drawn(
        edge, path, int(x1 + (x2 - x1) * at), int(y1 + (y2 - y1) * (0.5 if y1 == y2 else 0.74)) + lift
    )


def _backward(edge: _Edge, places: dict[str, tuple[int, int]], bottom: int, depth: int) -> str:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    shift = 14 * (depth % 5) - 28
    x1, x2 = x1 + _WIDTH // 2 + shift, x2 + _WIDTH // 2 + shift
    if x1 == x2:
        x2 -= 20
    y1, y2, low = y1 + _HEIGHT, y2 + _HEIGHT, bottom + 10 + depth * _LINE
    path = (
        f"M{x1} {y1}L{x1} {low - 6}Q{x1} {low} {x1 - 6} {low}"
        f"L{x2 + 6} {low}Q{x2} {low} {x2} {low - 6}L{x2} {y2 + 2}"
    )
    return _drawn(edge, path, (x1 + x2) // 2, low - 5)


def _beside(edge: _Edge, places: dict[str, tuple[int, int]]) -> str:
    """Between pages of one column: round their right sides."""
    (x, y1), (_, y2) = places[edge.source], places[edge.target]
    down = y2 > y1
    x, y1, y2 = x + _WIDTH, y1 + _HEIGHT // 2 + 12, y2 + _HEIGHT // 2 - 12 * (1 if down else -1)
    path = f"M{x} {y1}C{x + 40} {y1} {x + 40} {y2} {x + 2} {y2}"
    return _drawn(edge, path, x + 34, (y1 + y2) // 2 + 4, anchor="start")


def _loop(edge: _Edge, places: dict[str, tuple[int, int]]) -> str:
    x, y = places[edge.source]
    x = x + _WIDTH - 44
    path = f"M{x} {y}C{x - 2} {y - 26} {x + 30} {y - 26} {x + 26} {y - 2}"
    return _drawn(edge, path, x + 34, y - 10, anchor="start")


def _drawn(edge: _Edge, path: str, x: int, y: int, anchor: str = "middle") -> str:
    names = "way" if edge.way else "detour"
    if edge.writes:
        names += " writes"
    text = _cut(", ".join(edge.labels), 40)
    return (
        f'<g class="{names}"><title>{escape(", ".join(edge.labels))}</title>'
        f'<path d="{path}" marker-end="url(#tip)"/>'
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text></g>'
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
