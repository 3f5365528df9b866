"""Conditions that a language model says hold whenever a form is filled in rightly: a second opinion.

A condition stands when every recording keeps it and other recordings' entries would break it. The program
then does new tasks: where its own entries break what all recordings keep, either the rule or the condition is
wrong where no recording shows it, and an expert is asked. Conditions judge no work.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from envgen.answers import Answers, question_id
from envgen.documents import Knowledge
from envgen.environment import WorkflowEnv
from envgen.examples import Known
from envgen.explanations import Example
from envgen.expressions import Entered, Expression, Test, parts
from envgen.expressions import test as holds
from envgen.proposals import Proposals
from envgen.proposed_forms import RULE_FORMS, TEST_FORMS, Unreadable, form, read_test
from envgen.proposed_rules import near, told, told_sources
from envgen.tasks import make_tasks
from envgen.values import CONVERSIONS
from envgen.words import in_words
from envgen.workflow import Finding, Workflow

_MOST = 4
_TASKS = 40
# So much of other recordings' entries a condition has to refuse to say anything.
_TELLS = 0.3

_TASK = """\
An expert fills in the form {where}. Say what must hold whenever it is filled in rightly, in your own words of
what such a form is for: not the rule for a field, but what somebody who checks the work would look at.
{known}
Answer with a JSON object {{"checks": [TEST, ...]}} of at most {most}. TEST is one of
{tests}
RULE is one of
{rules}
Names of conversions: {conversions}.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that stands.

    Attributes:
        where: The page, in words.
    """

    page: str
    where: str
    test: Test


def propose_checks(
    proposals: Proposals,
    page: str,
    where: str,
    contexts: Sequence[Known],
    atoms: Sequence[Expression],
    knowledge: Knowledge,
) -> list[Check]:
    """Ask for conditions on a page's entries; those that stand.

    Args:
        where: The page, in words.
        contexts: What was known and entered when the page was left, each time.
        atoms: What conditions may be about, the controls among them.
    """
    if not proposals.more or len(contexts) < 2:
        return []
    examples = [Example(context, "") for context in contexts]
    entered = [atom for atom in atoms if isinstance(atom, Entered)]
    sources = list(told_sources(examples, [*entered, *atoms]))
    tables = near(knowledge.tables, examples, sources)
    prompt = _TASK.format(
        where=where, most=_MOST, known=told(where, examples, sources, tables, knowledge),
        tests=TEST_FORMS, rules=RULE_FORMS, conversions=", ".join(sorted(CONVERSIONS)),
    )  # fmt: skip
    standing: list[Check] = []
    for said in proposals.asked("check", where, prompt, form("checks", "test", _MOST), "checks")[:_MOST]:
        try:
            test = read_test(said, [atom for atom, _ in sources], tables)
        except Unreadable as error:
            proposals.drop("check", where, said, f"it is no condition: {error}")
            continue
        reason = _refused(test, contexts)
        if reason:
            proposals.drop("check", where, in_words(test), reason)
        elif test not in [check.test for check in standing]:
            standing.append(Check(page, where, test))
            proposals.keep("check", where, in_words(test))
    return standing


def _refused(test: Test, contexts: Sequence[Known]) -> str:
    """Why a condition does not stand; empty when it does."""
    if not any(isinstance(part, Entered) for part in parts(test)):
        return "it is about nothing that is entered"
    broken = [context.recording for context in contexts if not holds(test, context)]
    if broken:
        return f"{len(broken)} of {len(contexts)} recordings break it: {broken[0]}"
    others = [
        replace(one, controls=other.controls)
        for one, other in itertools.permutations(contexts, 2)
        if one.controls != other.controls
    ]
    refused = sum(not holds(test, other) for other in others)
    if not others or refused < _TELLS * len(others):
        return f"it takes {len(others) - refused} of {len(others)} entries of another recording just as well"
    return ""


def second_opinion(workflow: Workflow, checks: Sequence[Check], answers: Answers) -> list[Finding]:
    """Questions about conditions that the program's own work on new tasks breaks, but those answered."""
    broken: dict[int, list[str]] = {}
    env = WorkflowEnv(workflow)
    for task in make_tasks(workflow, "train", _TASKS) if checks else ():
        env.reset(task)
        while (action := env.next_action()) is not None and action.verb != "done":
            before = env.clone()
            env.step(action)
            if len(env.state.writes) == len(before.state.writes):
                continue
            for index, check in enumerate(checks):
                if check.page == before.state.page and holds(check.test, before.context) is False:
                    broken.setdefault(index, []).append(task.instruction)
    words = {index: in_words(checks[index].test) for index in broken}
    names = {index: question_id("check", checks[index].where, said) for index, said in words.items()}
    return [
        Finding(
            kind="check",
            severity="question",
            id=names[index],
            text=f"{checks[index].where}: a language model says that this must hold: "
            f"{words[index]}. Every recording keeps it, but what the rules enter in "
            f"{len(tasks)} of {_TASKS} new tasks does not. Are the rules right?",
            evidence=tuple(tasks[:4]),
            how="yes, or record such a case",
        )
        for index, tasks in sorted(broken.items())
        if (answers.to(names[index]) or "").lower() != "yes"
    ]
