"""Questions the compiler asks about the claims desk, and what an expert's answers do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from envgen_desk import documents, recordings
from envgen_forms import shuffled

from envgen.answers import Answer, read_answers
from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.gate import gate
from envgen.spelling import QUESTION
from envgen.tasks import make_tasks
from envgen.values import number
from envgen.words import in_words
from envgen.workflow import Finding, Workflow
from fde.errors import InputError
from ingest.action import Action


@cache
def undocumented() -> Workflow:
    return compile_workflow(recordings())


def question(workflow: Workflow, kind: str, word: str) -> Finding:
    return next(
        f for f in workflow.findings if f.severity == "question" and f.kind == kind and word in f.text
    )


def rule(workflow: Workflow, label: str) -> str:
    controls = {c.id: c.label for p in workflow.pages for c in p.controls}
    return next(
        in_words(r.expression)
        for plan in workflow.plans
        for r in plan.entries
        if controls[r.control] == label and r.expression is not None
    )


def test_a_limit_is_asked_for_with_the_recordings_that_leave_it_open() -> None:
    asked = question(undocumented(), "limit", "“Decision”")
    assert asked.id.startswith("limit-") and "NUMBER" in asked.how
    assert any("r" in line and "(" in line for line in asked.evidence)
    low, high = (line.split(": ")[1].split(" ")[0] for line in asked.evidence)
    answer = f"at least {high}"
    answered = compile_workflow(recordings(), answers={asked.id: answer})
    assert f"at least {number(high)!s}".removesuffix(".00") in rule(answered, "Decision")
    assert not [f for f in answered.findings if f.id == asked.id and f.severity == "question"]
    assert any(f.kind == "answered" and f.id == asked.id for f in answered.findings)
    refused = compile_workflow(recordings(), answers={asked.id: "over 9999999"})
    again = next(f for f in refused.findings if f.id == asked.id)
    assert again.severity == "question" and "refused" in again.text and low in again.evidence[0]


def test_a_table_nobody_wrote_down_is_completed_by_the_answer() -> None:
    asked = question(undocumented(), "map", "“Team”")
    answered = compile_workflow(recordings(), answers={asked.id: {"Senior": "Team East"}})
    assert "answers.yaml" in rule(answered, "Team")
    (table,) = [t for t in answered.tables if t.id.startswith("answers.yaml")]
    assert ("Senior", "Team East") in table.rows and len(table.rows) == 5
    assert not [f for f in answered.findings if f.id == asked.id and f.severity == "question"]


def test_an_answer_nobody_asked_for_is_said() -> None:
    workflow = compile_workflow(recordings(), documents(), answers={"limit-0000": "5"})
    assert any(f.kind == "unasked" and "limit-0000" in f.text for f in workflow.findings)


def test_answers_are_read_and_wrong_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.yaml"
    assert read_answers(path) == {}
    path.write_text("decide-claim:\n  limit-1: over 800\n  map-2:\n    Senior: Team East\n")
    assert read_answers(path) == {"decide-claim": {"limit-1": "over 800", "map-2": {"Senior": "Team East"}}}
    for text, told in (
        ("decide-claim:\n  - a\n", "line 2"),
        ("decide-claim:\n  a: [1]\n", "line 2"),
        ("a:\n  b: 1\n  b: 2\n", "line 3"),
        ("a: {b: !!python/object:os.system 1}\n", "answers.yaml"),
        ("a: [", "not YAML"),
    ):
        path.write_text(text)
        if "python" in text:
            # A tag is only text here: nothing is made from it.
            assert read_answers(path) == {"a": {"b": "1"}}
            continue
        with pytest.raises(InputError, match=told):
            read_answers(path)


def test_few_recordings_are_said_to_be_few() -> None:
    few = compile_workflow(recordings(5), documents())
    asked = [f for f in few.findings if f.kind == "few"]
    about = " ".join(f.text for f in asked)
    for label in ("Decision", "Team", "Payout", "Notify member"):
        named = [f for f in few.findings if f.severity == "question" and f"“{label}”" in f.text]
        assert named, f"nothing is asked about {label}: {about}"
    whole = {f.id: f.how.partition(",")[0] for f in asked}
    confirmed = compile_workflow(recordings(5), documents(), answers=whole)
    assert not [f for f in confirmed.findings if f.kind == "few"]
    assert not [f for f in compile_workflow(recordings(), documents()).findings if f.kind == "few"]


FORMS = [shuffled(number) for number in range(8)]


def asked_about_case(answer: Answer | None) -> tuple[Workflow, list[Finding]]:
    """The form of a street, a name and a year compiled, and what it asks or notes about case."""
    workflow = compile_workflow(FORMS, answers={} if answer is None else {QUESTION: answer})
    return workflow, [f for f in workflow.findings if f.id == QUESTION]


def passes(workflow: Workflow, changed: str, how: str) -> bool:
    """Whether the program's work passes with one field entered otherwise."""
    env = WorkflowEnv(workflow)
    view = env.reset(make_tasks(workflow, "test", 1)[0])
    while not view.finished:
        action = env.next_action()
        assert action is not None
        if action.target is not None and action.target.name == changed:
            text = action.value or ""
            other = {"case": text.swapcase(), "text": text.swapcase() + "x", "blanks": f" {text}"}[how]
            action = action.model_copy(update={"value": other})
            env.step(action)
            # From here the program would put it right.
            rest = [a for a in ("Street", "Name", "Year") if not env.state.drafts[_control(workflow, a)]]
            for name in rest:
                env.step(Action.parse(f'fill textbox "{name}": {env.instance.parameters[name.lower()]}'))
            env.step(Action.parse('click button "Search"'))
            view = env.step(Action(verb="done"))
            break
        view = env.step(action)
    return env.score().passed


def _control(workflow: Workflow, label: str) -> str:
    return next(c.id for p in workflow.pages for c in p.controls if c.label == label)


@pytest.mark.parametrize(
    ("answer", "lenient"),
    [(None, ""), ("yes", ""), ("no", "Street Name"), ({"Street": "no", "Name": "yes"}, "Street")],
)
def test_case_matters_until_somebody_says_in_which_fields_it_does_not(
    answer: Answer | None, lenient: str
) -> None:
    workflow, (said,) = asked_about_case(answer)
    assert (said.severity == "question") == (answer is None)
    for name in ("Street", "Name"):
        assert passes(workflow, name, "case") == (name in lenient), name
        assert not passes(workflow, name, "text") and not passes(workflow, name, "blanks")


def test_one_question_names_the_fields_with_letters_and_none_stands_where_there_are_none() -> None:
    _, (said,) = asked_about_case(None)
    assert "“Street”" in said.text and "“Name”" in said.text and "“Year”" not in said.text
    asked = [f for f in undocumented().findings if f.id == QUESTION]
    assert asked == [], "the desk's one text field holds numbers"


@pytest.mark.parametrize("answer", ["sometimes", {"Year": "no"}, {"Street": "perhaps"}])
def test_an_answer_about_case_that_fits_no_field_is_refused(answer: Answer) -> None:
    workflow, (said,) = asked_about_case(answer)
    assert said.severity == "question" and "refused" in said.text and workflow.caseless == ()


def test_the_gate_wants_another_case_caught_or_passed_as_was_answered() -> None:
    strict = gate(asked_about_case(None)[0], FORMS, [], cheap_tasks=5)
    assert "another case" not in strict.right
    assert strict.families["value"].rate == 1.0
    workflow, _ = asked_about_case("no")
    lenient = gate(workflow, FORMS, [], answers={QUESTION: "no"}, cheap_tasks=5)
    assert lenient.right["another case"].total > 0 and lenient.right["another case"].hits == 0
    fewer = strict.families["value"].total - lenient.families["value"].total
    assert fewer > 0 and lenient.kill_rate == 1.0, "other cases are no wrong work any more"
