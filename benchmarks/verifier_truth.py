"""How often the compiled verifiers agree with the truth: right and wrong work in the real application.

::

    python benchmarks/verifier_truth.py [--right 500] [--wrong 2000] [--seed 1] [--json]

Scripted workers do every piece of work in the sample company's portal in a browser; its database, judged by
rules written by hand, says whether it came out right. The same actions are then done in the environment
that was compiled from the experts' recordings, in an instance of the values that the pages showed, and judged
by the compiled verifier. False passes are shares of the wrong work, false rejects of the right work, with
their Wilson 95% intervals. About 3 s of processor time a piece of work.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.environments import load  # noqa: E402
from benchmarks.truth_workers import RIGHT, WRONG, Hand, Job, Worker  # noqa: E402
from envgen.compile import compile_workflow  # noqa: E402
from envgen.live import LiveSession  # noqa: E402
from envgen.replay import replay  # noqa: E402
from envgen.session import Task  # noqa: E402
from envgen.statistics import Share  # noqa: E402
from envgen.traces import Trace  # noqa: E402
from envgen.workflow import Workflow  # noqa: E402
from fde.console import progress  # noqa: E402
from playbooks.quickstart import truth  # noqa: E402
from playbooks.quickstart.live import PortalCopy, make_live  # noqa: E402


@dataclass(frozen=True)
class Piece:
    """One piece of work to be done: which task, in which way."""

    task: Task
    way: str
    work: Worker


@dataclass(frozen=True)
class Verdict:
    """What the database and the verifier say of a piece of work.

    Attributes:
        right: The database's judgement; None when the work could not be done.
        followed: Whether the environment knew every action; where not, the verifier rejects.
    """

    piece: Piece
    right: bool | None
    passed: bool
    followed: bool
    reasons: tuple[str, ...]


def pieces(workflow: str, right: int, wrong: int, seed: int) -> Iterator[Piece]:
    """Every way of a workflow in turn, each on a task of its own."""
    make_tasks, _ = make_live(workflow)
    ways = [
        *itertools.islice(itertools.cycle(RIGHT[workflow].items()), right),
        *itertools.islice(itertools.cycle(WRONG[workflow].items()), wrong),
    ]
    for task, (way, work) in zip(make_tasks(len(ways), seed), ways, strict=True):
        yield Piece(task, way, work)


def judge(piece: Piece, session: LiveSession, portal: PortalCopy, workflow: Workflow) -> Verdict:
    """Do the work in the real page, then in the environment."""
    task = piece.task
    view = session.reset(task)
    before = truth.read_state(portal.database)
    after = truth.expected(portal.database, task.workflow, task.parameters)
    rng = random.Random(f"{task.seed} {piece.way}")
    hand = Hand(session, view)
    piece.work(hand, Job(task.parameters, before, after, rng))
    found = session.score()
    if found.value is None:
        return Verdict(piece, None, False, False, found.reasons)
    trace = Trace(f"{piece.way} {task.seed}", task.instruction, hand.moments, hand.moments[0].before)
    replayed = replay(workflow, trace)
    followed = not (replayed.refused or replayed.unmodelled)
    reasons = replayed.score.reasons or found.reasons
    return Verdict(piece, found.passed, replayed.score.passed, followed, reasons)


def verdicts(
    workflow: Workflow, planned: Sequence[Piece], sessions: int, advance: Callable[[float], None]
) -> list[Verdict]:
    """Every piece's verdict, from sessions side by side, each in a thread of its own."""

    def work(share: Sequence[Piece]) -> list[Verdict]:
        portal = PortalCopy()
        session = LiveSession(portal)
        found = []
        try:
            for piece in share:
                found.append(judge(piece, session, portal, workflow))
                advance(1)
        finally:
            session.close()
        return found

    with ThreadPoolExecutor(sessions) as pool:
        shares = pool.map(work, [planned[index::sessions] for index in range(sessions)])
        return [verdict for found in shares for verdict in found]


def summary(name: str, found: Sequence[Verdict]) -> dict[str, Any]:
    """Counts and shares of one workflow, or of all."""
    judged = [v for v in found if v.right is not None]
    right, wrong = [v for v in judged if v.right], [v for v in judged if not v.right]
    passes = [v for v in wrong if v.passed]
    rejects = [v for v in right if not v.passed]
    by_way: dict[str, Counter[str]] = defaultdict(Counter)
    for v in judged:
        by_way[v.piece.way].update(pieces=1, disagree=v.right != v.passed)
    return {
        "workflow": name,
        "not_judged": len(found) - len(judged),
        "false_pass": Share.of(len(passes), len(wrong), [_told(v) for v in passes]).model_dump(),
        "false_reject": Share.of(len(rejects), len(right), [_told(v) for v in rejects]).model_dump(),
        "wrong_followed_to_the_end": sum(v.followed for v in wrong),
        "ways": {way: dict(counts) for way, counts in by_way.items()},
    }


def _told(verdict: Verdict) -> str:
    return f"{verdict.piece.way} ({verdict.piece.task.seed}): {'; '.join(verdict.reasons[:2]) or 'no reason'}"


def _line(name: str, share: dict[str, Any]) -> str:
    if share["rate"] is None:
        return f"{name}: none"
    low, high = share["ci"]
    return f"{name} {share['hits']} of {share['total']} = {share['rate']:.2%} ({low:.2%}..{high:.2%})"


def main() -> None:
    """Do the work, and print how often verifier and truth disagree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--right", type=int, default=500, help="pieces of right work, all workflows together")
    parser.add_argument("--wrong", type=int, default=2000, help="pieces of wrong work")
    parser.add_argument("--seed", type=int, default=1, help="of the tasks")
    parser.add_argument("--sessions", type=int, default=2, help="browsers side by side")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    recordings, documents = load()
    found: dict[str, list[Verdict]] = {}
    share = len(recordings)
    with progress("pieces of work", options.right + options.wrong) as advance:
        for name, group in recordings.items():
            workflow = compile_workflow(group, documents)
            planned = list(pieces(name, options.right // share, options.wrong // share, options.seed))
            found[name] = verdicts(workflow, planned, options.sessions, advance)
    told = [summary(name, group) for name, group in found.items()]
    told.append(summary("all", [v for group in found.values() for v in group]))
    if options.json:
        print(json.dumps(told, indent=1))
        return
    for each in told:
        print(f"{each['workflow']}: {_line('false pass', each['false_pass'])}, "
              f"{_line('false reject', each['false_reject'])}; {each['not_judged']} not judged, "
              f"{each['wrong_followed_to_the_end']} of the wrong followed to the end")  # fmt: skip
        if each["workflow"] != "all":
            for kind in ("false_pass", "false_reject"):
                for example in each[kind]["examples"]:
                    print(f"  {kind}: {example}")


if __name__ == "__main__":
    main()
