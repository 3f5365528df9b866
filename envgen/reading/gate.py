"""The gate for questions: published only when the verifier passes right answers and fails wrong ones."""

from __future__ import annotations

from envgen.gate import GateReport, missed_by_wrong_work, rejected_too_often, reported
from envgen.generators import SPLITS
from envgen.reading.cheap import cheap_passes
from envgen.reading.environment import ReadingEnv
from envgen.reading.model import Question, Reading
from envgen.reading.right import rejected
from envgen.reading.tasks import by_turns, tasks_of
from envgen.reading.wrong import FAMILIES, caught
from envgen.session import Task

QUESTIONS = 60
CHEAP_QUESTIONS = 100


def gate(reading: Reading, *, accept_risk: str = "", seed: int = 0) -> GateReport:
    """Prove the verifier of an environment of questions.

    Questions of all splits are judged, kinds by turns: what is proven is the verifier, nothing is learned.
    There are no recordings to hold out; what confirms a question from outside is an expert who reads
    it (``fde envgen show``).
    """
    env = ReadingEnv(reading)
    asked = [task for split in SPLITS for task in tasks_of(reading, split, seed=seed)]
    tasks = _by_turns(reading, asked, seed)
    proving = tasks[:QUESTIONS]
    right = rejected(env, proving, seed)
    families = {name: caught(env, proving, family, seed) for name, family in FAMILIES.items()}
    cheap = cheap_passes(env, tasks[:CHEAP_QUESTIONS])
    reasons = [*missed_by_wrong_work(families, cheap), *rejected_too_often(right)]
    return reported(reading.name, reasons, accept_risk, families=families, right=right, cheap=cheap)


def _by_turns(reading: Reading, tasks: list[Task], seed: int) -> list[Task]:
    by_question = {task.parameters["question"]: task for task in tasks}
    questions: list[Question] = by_turns(list(reading.questions), seed)
    return [by_question[question.id] for question in questions]
