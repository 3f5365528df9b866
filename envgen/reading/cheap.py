"""Ways of passing without reading, and how often they succeed: they must not.

The search for reward is told the verdict as often as its budget lasts, not the milestones; what it
writes comes from the question, as in :mod:`envgen.cheap_passes`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from envgen.cheap_passes import SEARCH_BUDGET, Attempt, tried
from envgen.choices import Choice, choices
from envgen.reading import page
from envgen.reading.environment import ReadingEnv
from envgen.session import Task
from envgen.statistics import Share
from ingest.action import Action, Target

_TRIED_AT_ONCE = 12
_DONE = Action(verb="done")


def cheap_passes(env: ReadingEnv, tasks: Sequence[Task]) -> dict[str, Share]:
    """How often each cheap way passes (``hits``), with the tasks where it did."""
    answers = Counter(q.answer for q in env.reading.questions if q.answerable)
    commonest = answers.most_common(1)[0][0] if answers else ""
    return tried(env, tasks, _ways(commonest))


def _ways(commonest: str) -> dict[str, Attempt[ReadingEnv]]:
    return {
        "do nothing": _nothing,
        "random actions": _random_actions,
        "always that the documents do not say": lambda env, task, rng: _first_hit(env, task, None),
        "always the commonest answer": lambda env, task, rng: _first_hit(env, task, commonest),
        "a word of the question": lambda env, task, rng: _first_hit(
            env, task, rng.choice(env.question.text.split())
        ),
        "reward-seeking search": _reward_seeking,
    }


def _nothing(env: ReadingEnv, task: Task, rng: random.Random) -> bool:
    env.step(_DONE)
    return env.score().passed


def _random_actions(env: ReadingEnv, task: Task, rng: random.Random) -> bool:
    finished = False
    while not finished:
        finished = env.step(_chosen(rng.choice(choices(env.page)), env, rng)).finished
    return env.score().passed


def _first_hit(env: ReadingEnv, task: Task, answer: str | None) -> bool:
    """Search for the question, cite the first line of what is found first, and say what is said always."""
    view = env.search(env.question.text)
    link = next((node.name for node in view.page.walk() if node.role == "link"), None)
    if link is not None:
        env.open(link)
        env.step(Action(verb="check", target=Target(role="checkbox", name=page.cite(1))))
    if answer is None:
        env.step(Action(verb="check", target=Target(role="checkbox", name=page.REFUSE)))
    else:
        env.step(Action(verb="fill", target=Target(role="textbox", name=page.ANSWER), value=answer))
    env.step(_DONE)
    return env.score().passed


def _reward_seeking(env: ReadingEnv, task: Task, rng: random.Random) -> bool:
    """Greedy: try what the page offers, ask for the verdict after each, go on somewhere."""
    left = SEARCH_BUDGET
    now = env
    while left > 0 and now.steps < env.max_steps - 1:
        offered = list(choices(now.page)[:-1])
        rng.shuffle(offered)
        tried = []
        for choice in offered[: min(_TRIED_AT_ONCE, left)]:
            trial = now.clone()
            trial.step(_chosen(choice, env, rng))
            left -= 1
            if trial.would_pass():
                return True
            tried.append(trial)
        if not tried:
            return False
        now = rng.choice(tried)
    return False


def _chosen(choice: Choice, env: ReadingEnv, rng: random.Random) -> Action:
    """The action of a choice; what is typed comes from the question, or is nothing in particular."""
    if not choice.open:
        return Action.parse(choice.text)
    return Action.parse(f"{choice.text} {rng.choice(['x', '1', *env.question.text.split()])}")
