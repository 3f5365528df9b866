"""Wrong answers that a verifier must fail: families of mutants of right work."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from envgen.reading import page
from envgen.reading.corpus import Ref
from envgen.reading.environment import ReadingEnv
from envgen.reading.model import Question
from envgen.reading.same import value
from envgen.session import Score, Task
from envgen.statistics import Share
from envgen.values import parse_date
from envgen.wrong_work import failed
from ingest.action import Action, Target

_DONE = Action(verb="done")
_TRIED = 3


def work(
    env: ReadingEnv, task: Task, *, answer: str | None, cited: Sequence[Ref], done: bool = True
) -> Score:
    """Do a task: cite lines, answer (None says that the documents do not), and be done.

    Every line is cited by opening its section and ticking its box.
    """
    env.reset(task)
    for ref in cited:
        env.visit(ref[0])
        _do(env, "check", "checkbox", page.cite(ref[1] + 1))
    if answer is None:
        _do(env, "check", "checkbox", page.REFUSE)
    elif answer:
        _do(env, "fill", "textbox", page.ANSWER, answer)
    if done:
        env.step(_DONE)
    return env.score()


def _do(env: ReadingEnv, verb: str, role: str, name: str, text: str | None = None) -> None:
    env.step(Action.model_validate({"verb": verb, "target": Target(role=role, name=name), "value": text}))


Mutant = tuple[str, Callable[[ReadingEnv, Task], Score]]
"""What is wrong with it, and how it is done and judged."""
Family = Callable[[ReadingEnv, Question, random.Random], Iterator[Mutant]]


def caught(env: ReadingEnv, tasks: Sequence[Task], family: Family, seed: int) -> Share:
    """How many of a family's mutants the verifier fails."""
    asked = [(task, env.reading.by_id[task.parameters["question"]]) for task in tasks]
    return failed(
        (f"{question.text} {name}", judged(env, task))
        for task, question in asked
        for name, judged in family(env, question, random.Random(f"{task.id} {seed}"))
    )


def right_sources(question: Question) -> list[Ref]:
    """Of each group the first line."""
    return list(dict.fromkeys(group[0] for group in question.needed))


def _said(answer: str | None, cited: Sequence[Ref], done: bool = True) -> Callable[[ReadingEnv, Task], Score]:
    return lambda env, task: work(env, task, answer=answer, cited=cited, done=done)


def _right(question: Question) -> str | None:
    return question.answer if question.answerable else None


def _nothing(env: ReadingEnv, question: Question, rng: random.Random) -> Iterator[Mutant]:
    yield "done at once", _said("", [])


def _unfinished(env: ReadingEnv, question: Question, rng: random.Random) -> Iterator[Mutant]:
    sources = right_sources(question)
    yield "everything but done", _said(_right(question), sources, done=False)
    yield "cited, but not answered", _said("", sources)


def near_misses(question: Question, rng: random.Random) -> list[str]:
    """Values that look like the right one."""
    if not question.answerable:
        return []
    if question.items:
        return [other.value for other in question.rows[:_TRIED]]
    answer, read = question.answer, value(question.answer)
    found = []
    if read.kind == "number":
        amount = Decimal(str(read.core))
        step = Decimal(1).scaleb(min(0, int(amount.as_tuple().exponent)))
        found = [_like(answer, amount + step), _like(answer, amount - step), _like(answer, amount * 10)]
    elif read.kind == "date":
        dated = parse_date(answer)
        if dated is not None:
            found = [(dated[0] + timedelta(days=d)).strftime(dated[1]) for d in (1, -1, 365)]
    elif read.kind == "code":
        digits = [i for i, c in enumerate(answer) if c.isdecimal()]
        for at in rng.sample(digits, min(2, len(digits))):
            found.append(f"{answer[:at]}{(int(answer[at]) + 1) % 10}{answer[at + 1 :]}")
        found.append(answer[:-1])
    else:
        letters = [i for i, c in enumerate(answer) if c.isalpha()]
        at = rng.choice(letters) if letters else 0
        found = [answer[:at] + answer[at + 1 :], f"not {answer}", answer + " and others"]
    return [text for text in found if text.strip() and not question.right(text)]


def _like(answer: str, amount: Decimal) -> str:
    """Another amount, with the unit that the answer has."""
    digits = [i for i, c in enumerate(answer) if c.isdecimal()]
    return f"{answer[: digits[0]]}{amount:f}{answer[digits[-1] + 1 :]}"


def _near_miss(env: ReadingEnv, question: Question, rng: random.Random) -> Iterator[Mutant]:
    for text in near_misses(question, rng):
        yield f"answered {text!r}", _said(text, right_sources(question))


def _wrong_row(env: ReadingEnv, question: Question, rng: random.Random) -> Iterator[Mutant]:
    """Another row's value: with that row cited, and with the right one."""
    if not question.answerable or question.items:
        return
    sources = right_sources(question)
    for other in question.rows[:_TRIED]:
        if not question.right(other.value):
            yield f"answered {other.value!r}, from that row", _said(other.value, [*sources[:-1], other.ref])
            yield f"answered {other.value!r}, citing the right row", _said(other.value, sources)


def _stale(env: ReadingEnv, question: Question, rng: random.Random) -> Iterator[Mutant]:
    if question.stale is not None:
        old = question.stale
        yield "what was amended, from there", _said(old.value, [old.ref])
        yield "what was amended, citing the amendment", _said(old.value, right_sources(question))
        yield "what is right now, citing what was amended", _said(question.answer, [old.ref])


def _wrong_source(env: ReadingEnv, question: Question, rng: random.Random) -> Iterator[Mutant]:
    sources = right_sources(question)
    right = _right(question)
    yield "right, but nothing cited", _said(right, [])
    fine = {ref for group in question.needed for ref in group} | set(question.allowed)
    others = [ref for ref in env.corpus.refs if ref not in fine]
    near = [ref for ref in others if ref[0] == sources[0][0]]
    for pool in (near, others):
        if pool:
            ref = rng.choice(pool)
            yield f"right, citing {env.corpus.cited(ref)} only", _said(right, [ref])
            yield f"right, citing {env.corpus.cited(ref)} as well", _said(right, [*sources, ref])
    groups = [set(group) for group in question.needed]
    for at in range(len(sources) if len(groups) > 1 else 0):
        rest = sources[:at] + sources[at + 1 :]
        if any(not group & set(rest) for group in groups):
            yield "right, but one source is not cited", _said(right, rest)


def _made_up(env: ReadingEnv, question: Question, rng: random.Random) -> Iterator[Mutant]:
    """An answer where the documents give none."""
    if question.answerable:
        return
    for other in question.rows[:_TRIED]:
        yield f"answered {other.value!r}, from there", _said(other.value, [other.ref])
        yield f"answered {other.value!r}", _said(other.value, right_sources(question))
    yield "answered that it is unknown, as a value", _said("unknown", right_sources(question))


def _refused(env: ReadingEnv, question: Question, rng: random.Random) -> Iterator[Mutant]:
    """Saying that the documents do not say, where they do."""
    if question.answerable:
        yield "refused", _said(None, [])
        yield "refused, with the sources", _said(None, right_sources(question))


FAMILIES: dict[str, Family] = {
    "do nothing": _nothing,
    "unfinished": _unfinished,
    "near miss": _near_miss,
    "wrong row": _wrong_row,
    "stale version": _stale,
    "wrong source": _wrong_source,
    "answer to an unanswerable": _made_up,
    "refusal of an answerable": _refused,
}
