"""A compiled workflow as one HTML page that a domain expert can read, check and correct.

The page loads nothing and runs nothing. Text from the client's pages is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from typing import Any

from envgen.answers import FILE
from envgen.diagram import diagram, everywhere, exit_label
from envgen.environment import WorkflowEnv
from envgen.expressions import Choose, Expression, Foremost, Keep
from envgen.gate import GateReport
from envgen.show import in_every_row
from envgen.statistics import Share
from envgen.tasks import tasks_of
from envgen.words import in_words
from envgen.workflow import Finding, ListView, PagePlan, Workflow, WriteKind

_SAMPLE_TASKS = 3


def rendered(template: str, **values: Any) -> str:
    """A page from its template; what is put in is escaped unless it is marked as HTML."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("envgen") / "page"
    style = (folder / "workflow.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = environment.from_string((folder / template).read_text(encoding="utf-8"))
    return found.render(style=Markup(style), style_hash=f"sha256-{digest}", **values)


def sheet(workflow: Workflow, report: GateReport | None) -> str:
    """The page.

    Args:
        report: The gate's, where there is one.
    """
    from markupsafe import Markup

    return rendered(
        "workflow.html.j2",
        picture=Markup(diagram(workflow)),
        frame=sorted({(label, title) for (label, _), title in everywhere(workflow).items()}),
        answers=FILE,
        w=workflow,
        parameters=[_parameter(workflow, p.name) for p in workflow.parameters],
        steps=[_step(workflow, plan) for plan in workflow.plans],
        writes=[_write(workflow, write) for write in workflow.writes],
        hidden=[
            {"share": f"{h.share:.0%}", "field": _label(workflow, h.control) or "the form",
             "until": in_words(h.accepted)}
            for h in workflow.hidden
        ],
        questions=_findings(workflow, "question"),
        limits=_findings(workflow, "warning"),
        notes=_findings(workflow, "note"),
        tasks=list(_sample_tasks(workflow)),
        gate=None if report is None else gate_tables(report),
        report=report,
    )  # fmt: skip


def _parameter(workflow: Workflow, name: str) -> dict[str, Any]:
    found = next(p for p in workflow.parameters if p.name == name)
    what = {"key": f"the {found.entity} to work on", "field": f"the record's {found.field}",
            "entered": f"the value for “{found.field}”"}[found.kind]  # fmt: skip
    return {"name": name, "what": what, "samples": found.samples[:3]}


def cases(expression: Expression) -> list[tuple[str, Expression]]:
    """An explanation as cases, each with when it holds; the last of several holds otherwise."""
    if not isinstance(expression, Choose):
        return [("", expression)]
    found = [
        (" and ".join(filter(None, (in_words(expression.test), when))), then)
        for when, then in cases(expression.then)
    ]
    return found + [(when or "otherwise", then) for when, then in cases(expression.otherwise)]


def _step(workflow: Workflow, plan: PagePlan) -> dict[str, Any]:
    page = next(p for p in workflow.pages if p.id == plan.page)
    labels = {found.node: exit_label(found) for found in page.exits}

    def leaving(expression: Expression) -> str:
        words = in_words(expression)
        for node, label in labels.items():
            words = words.replace(f"“{node}”", label if label == "a record's link" else f"“{label}”")
        return words

    return {
        "title": page.title,
        "record": "" if plan.key is None else in_words(plan.key),
        "entries": [
            {
                "label": _label(workflow, rule.control),
                "cases": []
                if rule.expression is None or rule.free
                else [(when, _entered(value)) for when, value in cases(rule.expression)],
                "examples": rule.examples,
                "why": rule.why,
            }
            for rule in plan.entries
        ],
        "rows": in_every_row(workflow, plan),
        "leave": [] if plan.exit is None else [(when, leaving(value)) for when, value in cases(plan.exit)],
        "why": plan.why,
    }


def _entered(expression: Expression) -> str:
    return "left as it is" if isinstance(expression, Keep) else in_words(expression)


def _write(workflow: Workflow, write: WriteKind) -> dict[str, Any]:
    page = next(p for p in workflow.pages if p.id == write.page)
    button = next((e.label for e in page.exits if e.node == write.node), "")
    return {
        "title": page.title,
        "button": button,
        "entity": write.entity,
        "fields": [_label(workflow, c) for c in write.controls],
        "free": [_label(workflow, c) for c in write.controls if c in workflow.free_fields],
        "caseless": [_label(workflow, c) for c in write.controls if c in workflow.caseless],
        "request": write.request,
        "body": write.body,
        "unexplained": write.unexplained,
        "updates": [(name, in_words(to)) for name, to in write.updates],
    }


def _findings(workflow: Workflow, severity: str) -> list[Finding]:
    return [f for f in workflow.findings if f.severity == severity]


def _sample_tasks(workflow: Workflow) -> Iterator[dict[str, Any]]:
    """Tasks that no recording shows, with what is right in them: the quickest check of all."""
    env = WorkflowEnv(workflow)
    for task in islice(tasks_of(workflow, "dev"), _SAMPLE_TASKS):
        env.reset(task)
        roots = env.instance.roots
        seen = [
            (name, text)
            for root, entity in roots.items()
            for name, text in env.state.records[entity].get(task.parameters.get(root, ""), {}).items()
        ]
        rows = [
            (key, " · ".join(row[name] for _, name in view.fields if row.get(name, key) != key))
            for view in _worked_lists(workflow)
            for key, row in env.instance.records[view.entity].items()
        ]
        yield {
            "instruction": task.instruction,
            "seen": seen,
            "rows": rows,
            "right": [
                {"key": write.key, "values": [(n, v or "nothing") for n, v in write.values]}
                for write in env.expected.writes
            ],
            "answer": env.expected.answer,
            "complete": env.expected.complete,
        }


def _worked_lists(workflow: Workflow) -> Iterator[ListView]:
    """The lists in whose rows something is done, and those in which a record comes first."""
    worked = {(plan.page, plan.loop.rows) for plan in workflow.plans if plan.loop is not None}
    first = {plan.key.entity for plan in workflow.plans if isinstance(plan.key, Foremost)}
    yield from (
        v for page in workflow.pages for v in page.lists if (page.id, v.rows) in worked or v.entity in first
    )


def gate_tables(report: GateReport) -> list[dict[str, Any]]:
    """The gate's shares as tables."""

    def rows(shares: dict[str, Share]) -> list[dict[str, str]]:
        return [
            {"name": name, "hits": str(s.hits), "total": str(s.total), "ci": interval(s.ci),
             "example": s.examples[0] if s.examples else ""}
            for name, s in shares.items()
        ]  # fmt: skip

    return [
        {"title": "Wrong work, by how much of it is caught", "of": "caught", "rows": rows(report.families)},
        {"title": "Cheap ways, by how often they pass", "of": "passed", "rows": rows(report.cheap)},
        {"title": "Right work, by how much of it is rejected", "of": "rejected", "rows": rows(report.right)},
    ]


def interval(ci: tuple[float, float] | None) -> str:
    """A 95% interval in words, "" when there is none."""
    return "" if ci is None else f"{ci[0]:.1%} to {ci[1]:.1%}"


def _label(workflow: Workflow, control: str) -> str:
    return next((c.label for p in workflow.pages for c in p.controls if c.id == control), control)
