"""Texts that an application takes in upper or lower case alike: asked about, never supposed.

No recording can show it, as experts write a text as it is given. So one question names all the fields
of a workflow in which letters are typed, and until it is answered a text is right only as the rule gives it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from envgen.answers import FILE, Answers, question_id
from envgen.behaviour import Behaviour
from envgen.ground import page_title
from envgen.kinds import Visit
from envgen.values import folded
from envgen.workflow import Finding, PagePlan
from envgen.world import World
from ingest.action import FILLABLE_ROLES

QUESTION = question_id("case", "entered texts")
"""What the question is called in every workflow that it is asked about."""
_STRICT, _LENIENT = "yes", "no"


def caseless(
    world: World, behaviour: Behaviour, plans: Sequence[PagePlan], answers: Answers, findings: list[Finding]
) -> tuple[str, ...]:
    """Ids of the controls whose case an expert says does not matter; asks where nobody has said it.

    Args:
        findings: Where the question, or how it was answered, is added.
    """
    fields = _lettered(world, behaviour, plans)
    if not fields:
        return ()
    table, answer = answers.table(QUESTION), answers.to(QUESTION)
    found = _answered(fields, table or answer)
    if found is None:
        findings.append(_question(fields, table or answer))
        return ()
    names = ", ".join(f"“{name}”" for name, control in fields.items() if control in found)
    findings.append(
        Finding(
            kind="answered",
            severity="note",
            id=QUESTION,
            text=f"Upper and lower case are the same in {names}, as {FILE} answers."
            if names
            else f"Upper and lower case matter in every field, as {FILE} answers.",
        )
    )
    return found


def _answered(fields: Mapping[str, str], answer: Mapping[str, str] | str | None) -> tuple[str, ...] | None:
    """The controls in which case does not matter; None where the answer does not say."""
    if not isinstance(answer, Mapping):
        said = (answer or "").lower()
        return {_STRICT: (), _LENIENT: tuple(fields.values())}.get(said)
    words = {name: said.lower() for name, said in answer.items()}
    if set(words) - set(fields) or set(words.values()) - {_STRICT, _LENIENT}:
        return None
    return tuple(control for name, control in fields.items() if words.get(name) == _LENIENT)


def _question(fields: Mapping[str, str], refused: Mapping[str, str] | str | None) -> Finding:
    names = ", ".join(f"“{name}”" for name in fields)
    text = f"Does it matter how upper and lower case are written in {names}?" + (
        " Until it is answered, a text is right only as the rule gives it."
    )
    if refused is not None:
        said = refused if isinstance(refused, str) else ", ".join(f"{k}: {v}" for k, v in refused.items())
        text += f" The answer “{said}” is refused: it is neither yes nor no for these fields."
    return Finding(
        kind="case",
        severity="question",
        id=QUESTION,
        text=text,
        how="yes, or no where the application takes either in all of these; or a line for each field in "
        "which it does: FIELD: no",
    )


def _lettered(world: World, behaviour: Behaviour, plans: Sequence[PagePlan]) -> dict[str, str]:
    """Name to id of the controls in which letters are typed by a rule; with its page, where two are named so.

    A field in which a recording shows one case refused and the other one taken is none of them, nor is one
    that its page has under the same name twice: a verdict would not tell them apart.
    """
    found: list[tuple[str, str, str]] = []
    for plan in plans:
        kind = world.kinds[plan.page]
        labels = Counter(kind.label_of(n.id) for n in kind.template.walk() if n.kind == "control")
        sent = [v for v in world.all_visits() if v.page == plan.page and v.target]
        for rule in plan.entries:
            node = rule.control.partition(".")[2]
            typed = {v.reading.controls.get(node, "") for v in sent} | {
                v.value for v in sent if v.target == node
            }
            lettered = any(text.swapcase() != text for text in typed)
            explained = rule.expression is not None and not rule.free
            if not explained or kind.nodes[node].role not in FILLABLE_ROLES or not lettered:
                continue
            label = kind.label_of(node)
            if labels[label] == 1 and not _refused_for_case(behaviour, sent, node):
                found.append((label, page_title(kind), rule.control))
    named = Counter(label for label, _, _ in found)
    return {label if named[label] == 1 else f"{label} on {page}": c for label, page, c in found}


def _refused_for_case(behaviour: Behaviour, sent: Sequence[Visit], node: str) -> bool:
    """Whether a recording shows a text refused, and then taken in another case."""
    refused = [v for v in sent if (v.recording, v.index) in behaviour.refused]
    taken = [v for v in sent if (v.recording, v.index) in behaviour.writes]
    pairs = (
        (no.reading.controls.get(node, ""), yes.reading.controls.get(node, ""))
        for no in refused
        for yes in taken
        if no.recording == yes.recording and no.index < yes.index
    )
    return any(one != other and folded(one) == folded(other) for one, other in pairs)
