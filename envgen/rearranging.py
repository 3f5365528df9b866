"""Putting a list in another order, or showing some of its rows: what clicking and choosing do to it."""

from __future__ import annotations

from envgen.application import Application
from envgen.arranged import CLICKED, Arranged, direction
from envgen.expressions import evaluate
from envgen.replies import NOT_MODELLED
from envgen.workflow import ListView


def not_modelled(app: Application) -> str:
    """Count what no recording shows the result of; what is said about it."""
    app.state.unmodelled += 1
    return NOT_MODELLED


def set_list(app: Application, view: ListView, arranged: Arranged) -> None:
    """Show a list of the present page as arranged."""
    app.state.lists[f"{app.state.page}.{view.rows}"] = arranged
    app.see_rows()


def rearrange(app: Application, node: str) -> str:
    """What happens to the lists of the page when a node is clicked, or a value was chosen in it.

    Returns:
        What is said about it: "", or that no recording shows it; then nothing has changed.
    """
    if not node or node not in app.facts.arranging[app.state.page]:
        return ""
    for view in app.facts.pages[app.state.page].lists:
        arranged = _filtered(app, view, node)
        arranged = None if arranged is None else _sorted(app, view, node, arranged)
        if arranged is None:
            return not_modelled(app)
        if arranged != app.arranged(app.state.page, view):
            app.state.messages, app.state.message_slots = frozenset(), {}
            set_list(app, view, arranged)
    return ""


def _filtered(app: Application, view: ListView, node: str) -> Arranged | None:
    """The list with what stands in its filters now; None where nobody saw what that shows."""
    page = app.state.page
    arranged = app.arranged(page, view)
    applied = False
    for each in view.filters:
        if node != (each.button or each.node):
            continue
        control = CLICKED if each.clicked else each.node
        value = each.node if each.clicked else app.state.drafts.get(f"{page}.{each.node}", "")
        records = app.state.records.get(view.entity, {})
        if not all(app.shows(page, view, each, value, key) in ("yes", "no") for key in records):
            return None
        arranged, applied = arranged.filtered(control, value), True
    if applied and view.begins_anew:
        arranged = arranged._replace(sort=-1, clicks=0)
    return arranged


def _sorted(app: Application, view: ListView, node: str, arranged: Arranged) -> Arranged | None:
    """The list in the order that was chosen; None where nobody saw that order."""
    page = app.state.page
    for number, sort in enumerate(view.sorts):
        if node != (sort.button or sort.node):
            continue
        if sort.option and sort.option != app.state.drafts.get(f"{page}.{sort.node}", ""):
            continue
        clicks = arranged.clicks + 1 if arranged.sort == number and not sort.option else 1
        if direction(sort, clicks) is None:
            return None
        return arranged._replace(offset=0, sort=number, clicks=clicks)
    unknown = {s.node for s in view.sorts if s.option and node == (s.button or s.node)}
    for control in unknown:
        initial = app.facts.controls[f"{page}.{control}"].initial
        first = "" if initial is None else evaluate(initial, app.context) or ""
        if app.state.drafts.get(f"{page}.{control}", "") != first:
            return None
        arranged = arranged._replace(offset=0, sort=-1, clicks=0)
    return arranged
