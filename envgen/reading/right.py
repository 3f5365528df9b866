"""Right answers that a verifier must pass: the teacher's, and those of people who go other ways."""

from __future__ import annotations

import random
from collections.abc import Sequence

from envgen.choices import choices
from envgen.reading.corpus import Ref
from envgen.reading.environment import ReadingEnv
from envgen.reading.model import Question
from envgen.reading.same import items, value
from envgen.reading.wrong import right_sources, work
from envgen.session import Task, View
from envgen.statistics import Share
from envgen.values import number, written_otherwise
from ingest.action import Action

_DETOURS = 4


def rejected(env: ReadingEnv, tasks: Sequence[Task], seed: int = 0) -> dict[str, Share]:
    """Of each kind of right work how much is rejected, with the first examples."""
    found: dict[str, tuple[int, list[str]]] = {
        name: (0, []) for name in ("teacher", "written otherwise", "other sources", "detours")
    }

    def tell(name: str, passed: bool, what: str) -> None:
        total, failed = found[name]
        found[name] = (total + 1, failed if passed else [*failed, what])

    for task in tasks:
        question = env.reading.by_id[task.parameters["question"]]
        rng = random.Random(f"{task.id} {seed}")
        sources = right_sources(question)
        said = question.answer if question.answerable else None
        tell("teacher", _taught(env, task), question.text)
        for text in otherwise(question):
            passed = work(env, task, answer=text, cited=sources).passed
            tell("written otherwise", passed, f"{question.text} {text}")
        for others in other_sources(question):
            passed = work(env, task, answer=said, cited=others).passed
            tell("other sources", passed, f"{question.text} {', '.join(map(env.corpus.cited, others))}")
        tell("detours", _with_detours(env, task, rng), question.text)
    return {name: Share.of(len(failed), total, failed) for name, (total, failed) in found.items()}


def _taught(env: ReadingEnv, task: Task) -> bool:
    return _ended(env, env.reset(task))


def _with_detours(env: ReadingEnv, task: Task, rng: random.Random) -> bool:
    """Some actions at random, then what the teacher does from there."""
    view = env.reset(task)
    for _ in range(_DETOURS):
        choice = rng.choice(choices(view.page)[:-1])
        text = f"{choice.text} {rng.choice(task.instruction.split())}" if choice.open else choice.text
        view = env.step(Action.parse(text))
    return _ended(env, view)


def _ended(env: ReadingEnv, view: View) -> bool:
    """Do what the teacher does from here; whether that passes."""
    while not view.finished:
        action = env.next_action()
        if action is None:
            return False
        view = env.step(action)
    return env.score().passed


def otherwise(question: Question) -> list[str]:
    """The right answer as other people write it."""
    answer = question.answer
    if not question.answerable:
        return []
    if question.items:
        names = items(answer)
        return [", ".join(reversed(names)), " and ".join(names), "; ".join(names).upper()]
    read = value(answer)
    found = [f" {answer} ", f"“{answer}”", f"{answer}."]
    if read.kind == "date":
        found += written_plainly(answer)
    elif read.kind == "number" and (amount := number(answer)) is not None:
        found += [f"{written} {read.unit}".strip() for written in (f"{amount:.2f}", f"{amount:,.2f}")]
    elif read.kind == "words":
        found += [answer.upper(), answer.lower()]
        if answer.split(maxsplit=1)[0].lower() not in ("a", "an", "the"):
            found.append(f"the {answer}")
        last, comma, first = answer.partition(", ")
        if comma and " " not in last and " " not in first:
            found.append(f"{first} {last}")
    else:
        found += [answer.lower(), answer.replace(" ", "")]
    return found


def written_plainly(answer: str) -> list[str]:
    """A date in other formats, those left out in which day and month could be taken for each other."""
    return [text for text in written_otherwise(answer) if "/" not in text and "-" not in text[:3]]


def other_sources(question: Question) -> list[list[Ref]]:
    """Other lines that say the same, and those that may be cited as well."""
    found = [[group[-1] for group in question.needed]] if any(len(g) > 1 for g in question.needed) else []
    if question.allowed:
        found.append(list(dict.fromkeys([*right_sources(question), question.allowed[0]])))
    return found
