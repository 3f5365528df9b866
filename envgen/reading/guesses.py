"""Questions that can be answered without reading: measured, and left out.

A model in training finds out quickly that "30 days" is always right. Values are judged here, not
sources: what is guessed right is only held back by the citation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import groupby

from envgen.reading.drafts import Drafts
from envgen.reading.model import Guessed, Question
from envgen.reading.same import same, stands_in, value
from envgen.statistics import Share

# No answer may be that of more than this share of a group's questions, nor of more than two.
_MOST_ALIKE = 0.25
_FEWEST_ALIKE = 2
_MOST_UNANSWERABLE = 0.15
# A group of so many questions has to have so many different answers.
_FEWEST_TO_TELL, _FEWEST_ANSWERS = 4, 4
_NUMBER = re.compile(r"\d[\d.,]*\d|\d")

Answer = Hashable
Guess = Callable[[Question, "Known"], bool]


class Known:
    """What a guesser knows of all questions: how often each answer is right."""

    def __init__(self, questions: Sequence[Question]) -> None:
        counted = Counter(pattern(q) for q in questions)
        groups: dict[str, Counter[Answer]] = {}
        for question in questions:
            groups.setdefault(question.group, Counter())[pattern(question)] += 1
        self._all = counted.most_common(2)
        self._groups = {group: count.most_common(2) for group, count in groups.items()}

    def commonest(self, question: Question, *, of_group: bool) -> Answer | None:
        """The commonest answer of the other questions; None when no two of them share one."""
        (first, count), *rest = self._groups[question.group] if of_group else self._all
        second, next_count = rest[0] if rest else (None, 0)
        count -= first == pattern(question)
        best, times = (first, count) if count >= next_count else (second, next_count)
        return best if times > 1 else None


def pattern(question: Question) -> Answer:
    """The answer as a guesser would repeat it: which places of a list, or the value."""
    if question.items:
        right = {value(item) for item in question.answer.split(", ")}
        return tuple(value(item) in right for item in question.items)
    return value(question.answer)


def _in_question(question: Question) -> bool:
    """Whether the answer, or its number, stands in the question."""
    if not question.answerable or question.items:
        return False
    if stands_in(question.answer, question.text):
        return True
    said = value(question.answer)
    return said.kind == "number" and any(same(n, question.answer) for n in _NUMBER.findall(question.text))


WAYS: dict[str, Guess] = {
    "always the same answer": lambda q, known: pattern(q) == known.commonest(q, of_group=False),
    "commonest answer of its kind": lambda q, known: pattern(q) == known.commonest(q, of_group=True),
    "what stands in the question": lambda q, known: _in_question(q),
    "every item asked about": lambda q, known: bool(q.items) and q.right(", ".join(q.items)),
    "always that the documents do not say": lambda q, known: not q.answerable,
}


def guessed(questions: Sequence[Question]) -> dict[str, Share]:
    """How many questions each way of guessing answers."""
    known = Known(questions)
    return {
        name: Share.of(sum(way(q, known) for q in questions), len(questions)) for name, way in WAYS.items()
    }


def without_guessable(drafts: Drafts, questions: Sequence[Question]) -> list[Question]:
    """Questions whose answers are not told by the question, nor by what is right most often."""
    left = []
    for question in questions:
        if _in_question(question):
            drafts.dropped["the answer stands in the question"] += 1
        else:
            left.append(question)
    kept: list[Question] = []
    for _, members in groupby(sorted(left, key=lambda q: q.group), key=lambda q: q.group):
        chosen = list(members)
        if chosen[0].answerable:
            even = _even(chosen)
            if len(even) >= _FEWEST_TO_TELL and len({pattern(q) for q in even}) < _FEWEST_ANSWERS:
                even = []
            drafts.dropped["its answer is right too often"] += len(chosen) - len(even)
            chosen = even
        kept += chosen
    return sorted(kept, key=lambda q: q.id)


def few_unanswerable(drafts: Drafts, questions: Sequence[Question]) -> list[Question]:
    """So many of the questions that documents do not answer that refusing is seldom right."""
    asked = [q for q in questions if q.answerable]
    rest = [q for q in questions if not q.answerable]
    most = int(len(asked) * _MOST_UNANSWERABLE / (1 - _MOST_UNANSWERABLE))
    drafts.rng("unanswerable").shuffle(rest)
    drafts.dropped["as many unanswerable ones are asked"] += max(0, len(rest) - most)
    return sorted([*asked, *rest[:most]], key=lambda q: q.id)


def _even(members: list[Question]) -> list[Question]:
    """The questions of a group without those of an answer that is right too often."""
    by_answer: dict[Answer, list[Question]] = {}
    for question in sorted(members, key=lambda q: q.id):
        by_answer.setdefault(pattern(question), []).append(question)
    while True:
        total = sum(map(len, by_answer.values()))
        most = max(_FEWEST_ALIKE, int(_MOST_ALIKE * total))
        longest = max(by_answer.values(), key=len)
        if len(longest) <= most:
            return [question for some in by_answer.values() for question in some]
        longest.pop()


def compared(before: dict[str, Share], after: dict[str, Share]) -> dict[str, Guessed]:
    """The shares before and after, together."""
    return {name: Guessed(before=before[name], after=after[name]) for name in before}
