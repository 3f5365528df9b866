"""A compiled workflow in words: what a domain expert reads to see whether it is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envgen.answers import FILE
from envgen.expressions import Constant
from envgen.gate import GateReport
from envgen.words import condition_in_words, in_words
from envgen.workflow import Exit, Finding, PageModel, PagePlan, Workflow, WriteKind


def describe(workflow: Workflow, report: GateReport | None) -> str:
    """The workflow as Markdown: task, way, rules with evidence, behaviour, questions, gate."""
    parts = [f"# {workflow.name}", "", *_task(workflow), "", "## The way and its rules", ""]
    for plan in workflow.plans:
        parts += [*_plan(workflow, plan), ""]
    parts += ["## What is changed", "", *(line for w in workflow.writes for line in _write(workflow, w)), ""]
    parts += ["## Pages", "", *(line for p in workflow.pages for line in _page(workflow, p)), ""]
    if workflow.hidden:
        parts += ["## Refusals that nothing visible explains", ""]
        for hidden in workflow.hidden:
            label = _label(workflow, hidden.control)
            parts.append(
                f"- strikes {hidden.share:.0%} of the tasks until “{label}” is {in_words(hidden.accepted)}"
            )
        parts.append("")
    for severity, title in (("question", "Open questions"), ("warning", "Limits"), ("note", "Notes")):
        found = [f for f in workflow.findings if f.severity == severity]
        if found:
            parts += [f"## {title}", "", *(line for f in found for line in _finding(f)), ""]
    if report is not None:
        parts += ["## Gate", "", *gate_lines(report), ""]
    return "\n".join(parts).rstrip() + "\n"


def _task(workflow: Workflow) -> Iterator[str]:
    yield f"Compiled from {len(workflow.recordings)} recordings. Tasks are worded:"
    yield ""
    yield from (f"- {text}" for text in workflow.instructions)
    for parameter in workflow.parameters:
        what = {"key": f"names the {parameter.entity} to work on", "field": f"the record's {parameter.field}",
                "entered": f"the value for “{parameter.field}”"}[parameter.kind]  # fmt: skip
        yield f"- {{{parameter.name}}}: {what}, for instance {', '.join(parameter.samples[:3])}"


def _plan(workflow: Workflow, plan: PagePlan) -> Iterator[str]:
    page = _page_of(workflow, plan.page)
    yield f"### {page.title}"
    if plan.key is not None:
        yield f"- record: {in_words(plan.key)}"
    for rule in plan.entries:
        explained = rule.expression if not rule.free else None
        text = "unexplained" if explained is None else in_words(explained)
        yield f"- **{_label(workflow, rule.control)}**: {text} ({rule.examples} recordings)"
        yield from (f"  - {why}" for why in rule.why)
    if plan.loop is not None:
        yield f"- {in_every_row(workflow, plan)}"
    if plan.exit is not None:
        words = in_words(plan.exit)
        for found in page.exits:
            words = words.replace(f"“{found.node}”", f"“{found.label}”")
        yield f"- then: {words}"
    yield from (f"  - {why}" for why in plan.why)


def in_every_row(workflow: Workflow, plan: PagePlan) -> str:
    """What is done for which rows of a page, "" where nothing is."""
    loop = plan.loop
    if loop is None:
        return ""
    steps = []
    for rule in loop.entries:
        label, said = _label(workflow, rule.control), rule.expression
        ticked = isinstance(said, Constant) and said.text == "on"
        what = "something that nothing explains" if said is None else in_words(said)
        steps.append(f"“{label}” is ticked" if ticked else f"{what} is entered in “{label}”")
    if loop.node:
        exits = _page_of(workflow, plan.page).exits
        label = next((found.label for found in exits if found.node == loop.node), "…")
        steps.append("it is opened and worked on" if "…" in label else f"“{label}” is clicked")
    none = {
        "over": "; where there is none, the work is over",
        "on": "; where there is none, the rest is done all the same",
        "unknown": "",
    }[loop.empty]
    which = "the one" if max(loop.counts, default=0) == 1 else "every"
    return f"for {which} {loop.entity} row where {condition_in_words(loop.where)}: {', '.join(steps)}{none}"


def _write(workflow: Workflow, write: WriteKind) -> Iterator[str]:
    page = _page_of(workflow, write.page)
    fields = ", ".join(f"“{_label(workflow, c)}”" for c in write.controls)
    yield f"- from “{page.title}” for one {write.entity or 'form'}: {fields}"
    either = [_label(workflow, c) for c in write.controls if c in workflow.caseless]
    if either:
        yield f"  - in upper or lower case alike: {', '.join(either)}"
    if write.request:
        yield f"  - recorded request: {write.request}"
    yield from (f"  - {name}: {source}" for name, source in write.body)
    if write.unexplained:
        yield f"  - not judged, explained by nothing: {', '.join(write.unexplained)}"
    yield from (f"  - changes “{name}” to {in_words(to)}" for name, to in write.updates)


def _page(workflow: Workflow, page: PageModel) -> Iterator[str]:
    about = f", shows a {page.entity}" if page.entity else ""
    yield f"- **{page.title}** ({page.address}{about})"
    for view in page.lists:
        features = [
            f"{view.page_size} rows a page" if view.page_size else "",
            "search" if view.search_control else "",
            f"can be ordered by {_listed(sort.field for sort in view.sorts)}" if view.sorts else "",
        ]
        yield f"  - list of {view.entity}: {', '.join(filter(None, features)) or 'all rows'}"
        for each in view.filters:
            label = next(n.label() for n in page.template.walk() if n.id == each.node)
            yield f"    - “{label}” decides which rows are shown: {in_words(each.where)}"
    for found in page.exits:
        yield f"  - “{found.label}”: {_exit(workflow, found)}"
    for node, condition in page.conditions:
        yield f"  - {node} is there: {in_words(condition)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"“{name}”" for name in dict.fromkeys(names))


def _exit(workflow: Workflow, found: Exit) -> str:
    parts = []
    for outcome in found.outcomes:
        page = _page_of(workflow, outcome.page)
        what = "changes are made, " if outcome.write else ""
        said = " with a message" if outcome.shows else ""
        parts.append(f"{what}“{page.title}”{said} ({outcome.seen} seen)")
    words = "; or ".join(parts)
    if found.decision is None or len(parts) == 1:
        return words
    return f"{words}. Which one (0 is the first): {in_words(found.decision)}"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"- {finding.text}"
    yield from (f"  {number}. {option}" for number, option in enumerate(finding.options, 1))
    yield from (f"  - {evidence}" for evidence in finding.evidence)
    if finding.how and finding.severity == "question":
        yield f"  - answer in {FILE} with `{finding.id}:` {finding.how}"


def gate_lines(report: GateReport) -> Iterator[str]:
    """The gate's report in words."""
    yield f"{'Published' if report.published else 'Not published'}."
    yield from (f"- {reason}" for reason in report.reasons)
    if report.accepted_risk:
        yield f"- accepted risk: {report.accepted_risk}"
    if report.held_out_total:
        yield f"- held-out recordings: {report.held_out_pass} of {report.held_out_total} pass"
    if report.page_parity is not None:
        yield f"- their pages shown line by line as recorded: {report.page_parity:.1%}"
    for name, share in report.families.items():
        yield f"- wrong work “{name}”: {share.hits} of {share.total} caught{_interval(share.ci)}"
    for name, share in report.cheap.items():
        yield f"- cheap way “{name}”: {share.hits} of {share.total} passed{_interval(share.ci)}"
    for name, share in report.right.items():
        yield f"- right work “{name}”: {share.hits} of {share.total} rejected{_interval(share.ci)}"


def _interval(ci: tuple[float, float] | None) -> str:
    return "" if ci is None else f" (95%: {ci[0]:.1%} to {ci[1]:.1%})"


def _page_of(workflow: Workflow, page_id: str) -> PageModel:
    return next(page for page in workflow.pages if page.id == page_id)


def _label(workflow: Workflow, control: str) -> str:
    return next((c.label for p in workflow.pages for c in p.controls if c.id == control), control)
