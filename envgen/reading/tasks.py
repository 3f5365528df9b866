"""Tasks of an environment of questions: each question is asked once."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence

from envgen.disturbances import check_disturbances
from envgen.reading.environment import DISTURBANCES
from envgen.reading.model import KINDS, Question, Reading
from envgen.session import Split, Task

_HOW = (
    "Answer from the documents and cite every line the answer rests on. Where they do not say, cite the "
    "header and the record's row, or the rows between which it would stand."
)


def tasks_of(
    reading: Reading, split: Split, *, seed: int = 0, disturbances: Sequence[str] = ()
) -> Iterator[Task]:
    """The tasks of a split, kinds of questions by turns, until all questions were asked.

    Raises:
        InputError: when a disturbance is unknown.
    """
    check_disturbances(disturbances, DISTURBANCES)
    suffix = "".join(f"+{name}" for name in disturbances)
    for number, question in enumerate(by_turns(reading.of(split), seed)):
        yield Task(
            id=f"{reading.name}/{split}/{seed}-{number}{suffix}",
            workflow=reading.name,
            split=split,
            seed=zlib.crc32(f"{reading.name}/{split}/{seed}/{question.id}".encode()),
            instruction=f"{question.text} {_HOW}",
            parameters={"question": question.id},
            disturbances=tuple(disturbances),
        )


def by_turns(questions: Sequence[Question], seed: int) -> list[Question]:
    """Questions in an order where every kind comes early."""
    turns: list[tuple[int, int, Question]] = []
    kinds = list(KINDS)
    random.Random(f"{seed} kinds").shuffle(kinds)
    for place, kind in enumerate(kinds):
        members = [question for question in questions if question.kind == kind]
        random.Random(f"{seed} {kind}").shuffle(members)
        turns += [(number, place, question) for number, question in enumerate(members)]
    return [question for _, _, question in sorted(turns, key=lambda turn: turn[:2])]
