"""The rules of a compiled workflow, as the tests of compiling read them."""

from __future__ import annotations

from envgen.words import in_words
from envgen.workflow import Workflow


def rules(workflow: Workflow) -> dict[str, str]:
    """In words, by the label of the control that they are about; empty where nothing explains it."""
    labels = {control.id: control.label for page in workflow.pages for control in page.controls}
    return {
        labels[rule.control]: "" if rule.expression is None else in_words(rule.expression)
        for plan in workflow.plans
        for rule in plan.entries
    }
