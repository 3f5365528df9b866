"""Following a demonstration: what a small model has to learn before it can be its own teacher.

Self-distillation takes for right what the model does when it is shown a demonstration (:mod:`train.distil`).
A small model is shown one and does something else. So imitation can spend a share of its updates (the
setting ``follow``) on scenes that are shown with what was done there, in the very words that the teacher
gets. What was done there is random: nothing but copying explains it, neither the task nor the page. So what
is learned is to copy, and it holds in workflows that the model never saw.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from envgen.choices import Choice, choices
from envgen.session import Score, Task, View
from fde.errors import InputError
from ingest.action import Action
from serve.demonstrate import demonstrate
from serve.engine.local import LocalEngine
from serve.prompt import Prompt
from train.algorithms import sft
from train.lessons import said_lines
from train.source import Source
from train.starts import Midway, Start, way
from train.tree import Tree, prune

_BEFORE, _AFTER = "\nAn expert did this here:\n", "\nNow do the same."
# As long as the demonstrations of a form: of longer ones than it learned from, the end is left out.
_MOST_ACTIONS = 8
# Random work begins this often at each scene: with once, what follows a form that was sent is rarely seen.
_TIMES = 3
# Of the values that are filled in, most are unlike anything on the page, and some are long.
_MADE_UP, _LONG = 0.7, 0.15


def shown(prompt: Prompt, tree: Tree, first: int, lines: Sequence[str]) -> Tree:
    """A scene with what was done there told at the end of its first message: same targets, moved.

    Args:
        tree: A scene of one segment; ``first`` is where the first message ends.
        lines: What was done.
    """
    shared = len(prompt.shared_tokens())
    hint = _BEFORE + "\n".join(lines) + _AFTER
    told = prompt.added_to_first(tree.tokens[0][shared:first], hint)
    moved = shared + len(told) - first
    targets = [
        (place, replace(target, decision=replace(target.decision, offset=target.decision.offset + moved)))
        for place, target in tree.targets
    ]
    return Tree([-1], [0], [[*tree.tokens[0][:shared], *told, *tree.tokens[0][first:]]], [None], targets)


class Random:
    """A session whose teacher does anything that the page offers, a few times, and is done.

    Args:
        seed: The same seed does the same.
    """

    def __init__(self, session: Midway, seed: str) -> None:
        self.session = session
        self.chance = random.Random(seed)

    def reset(self, task: Task) -> View:
        self._left = self.chance.randint(1, _MOST_ACTIONS)
        view = self.session.reset(task)
        self._words = _words(task.instruction)
        return self._see(view)

    def step(self, action: Action) -> View:
        return self._see(self.session.step(action))

    def _see(self, view: View) -> View:
        self._view = view
        self._words += _words(view.text)
        return view

    def next_action(self) -> Action:
        """Every kind of action as often as the others, whatever number of them there is."""
        offered: dict[str, list[Choice]] = {}
        for choice in choices(self._view.page):
            if choice.text != "done":
                offered.setdefault(choice.text.split(' "')[0], []).append(choice)
        if not self._left or not offered:
            return Action(verb="done")
        self._left -= 1
        taken = self.chance.choice(offered[self.chance.choice(list(offered))])
        return Action.parse(f"{taken.text} {self._value()}" if taken.open else taken.text)

    def _value(self) -> str:
        """One or two words that were seen, or look like some, or a long code."""
        return " ".join(self._word() for _ in range(self.chance.choice((1, 1, 1, 2))))

    def _word(self) -> str:
        chance = self.chance.random()
        if chance < _LONG:
            return self._like("AA" + "0" * self.chance.randint(5, 16))
        word = self.chance.choice(self._words)
        return self._like(word) if chance < _LONG + _MADE_UP else word

    def _like(self, word: str) -> str:
        for known in (string.digits, string.ascii_uppercase, string.ascii_lowercase):
            word = "".join(self.chance.choice(known) if letter in known else letter for letter in word)
        return word

    def score(self) -> Score:
        return self.session.score()

    def close(self) -> None:
        self.session.close()


def _words(text: str) -> list[str]:
    return re.findall(r"\w[\w.,/-]*\w", text)


def random_scenes(engine: LocalEngine, source: Source, prompt: Prompt, tasks: Sequence[Task]) -> list[Tree]:
    """For each scene of the program's way through the tasks, pieces of random work that begin there, shown.

    Raises:
        InputError: when pages offer nothing to do.
    """
    found = []
    for task in tasks:
        for scene, again in product(range(way(source.session(task), task).scenes), range(_TIMES)):
            start = Start(task, scene, whole=False)
            session = Random(Midway(source.session(task), start), f"follow/{start.as_task.id}/{again}")
            group = demonstrate(engine.grammar, prompt, session, start.as_task)
            session.close()
            lines = said_lines(prompt, group.scenes(group.episodes[0])[0])
            trees = prune(group, sft.targets(group))
            found += [shown(prompt, tree, group.segments[0].potentials[0][0], lines) for tree in trees]
    if not found:
        raise InputError(
            f"Pages of '{source.name}' offer nothing to choose from: there is nothing to follow.",
            "Leave out the setting follow.",
        )
    return found
