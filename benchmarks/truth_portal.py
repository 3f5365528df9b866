"""Work in the sample company's portal for ``verifier_truth.py``; its database says what came of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import cache

from benchmarks.truth_pieces import Done, Piece, done
from benchmarks.truth_workers import RIGHT, WRONG, Hand, Job
from envgen.live import LiveSession
from envgen.session import Task
from playbooks.quickstart import truth
from playbooks.quickstart.live import PortalCopy, make_live

# Tasks are drawn one after another: more of them never change the first ones.
_MOST = 2500


@cache
def _tasks(workflow: str, seed: int) -> tuple[Task, ...]:
    make_tasks, _ = make_live(workflow)
    return make_tasks(_MOST, seed)


def work(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Done]]:
    """Each piece done, in one browser."""
    portal = PortalCopy()
    session = LiveSession(portal)
    try:
        for piece in pieces:
            yield piece, _work(piece, session, portal)
    finally:
        session.close()


def _work(piece: Piece, session: LiveSession, portal: PortalCopy) -> Done:
    task = _tasks(piece.workflow, piece.seed)[piece.number]
    ways = {**RIGHT[piece.workflow], **WRONG[piece.workflow]}
    view = session.reset(task)
    before = truth.read_state(portal.database)
    after = truth.expected(portal.database, task.workflow, task.parameters)
    hand = Hand(session, view)
    ways[piece.way](hand, Job(task.parameters, before, after, random.Random(f"{task.seed} {piece.way}")))
    found = session.score()
    right = None if found.value is None else found.passed
    return done(piece, task.instruction, hand.moments, right, *found.reasons)
