"""How often the compiled verifiers agree with the truth: right and wrong work in the real page.

::

    pip install miniwob==1.0.1
    python benchmarks/verifier_truth.py [--right 500] [--wrong 2000] [--keep FOLDER] [--only NAME] [--json]

Scripted workers do every piece of work in a browser, on pages that no recording shows: in the sample
company's portal, whose database, judged by rules written by hand, says whether it came out right, and on
MiniWoB++ pages, which reward it or do not. The same actions are then done in the environment that was
compiled from the experts' recordings, in an instance of the values that the pages showed, and judged by the
compiled verifier. False passes are shares of the wrong work, false rejects of the right work, with their
Wilson 95% intervals. A way of working wrongly that the page takes all the same counts as right work.

One question of the compiler is answered, as somebody who knows the page would: `multi-orderings` takes its
texts in either case, because the page's script compares them in lower case, which no recording can show. What
comes of it unanswered is printed beside it, and left out of the total.

With ``--keep`` what was done lies in a folder, and another run goes on from there: after a kill, or to judge
the same work by a verifier that was changed. Browsers mostly wait, so four side by side keep two cores busy.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import truth_portal, truth_web, truth_workers  # noqa: E402
from benchmarks.environments import load  # noqa: E402
from benchmarks.truth_pieces import Done, Piece, keep, kept  # noqa: E402
from benchmarks.web_tasks import recordings_of  # noqa: E402
from envgen.answers import Answer  # noqa: E402
from envgen.compile import compile_workflow  # noqa: E402
from envgen.environment import WorkflowEnv  # noqa: E402
from envgen.replay import replay  # noqa: E402
from envgen.spelling import QUESTION  # noqa: E402
from envgen.statistics import Share  # noqa: E402
from envgen.traces import Parser  # noqa: E402
from envgen.workflow import Workflow  # noqa: E402
from fde.console import progress  # noqa: E402
from ingest.recording import Recording  # noqa: E402

PORTAL = tuple(truth_workers.RIGHT)
# Tasks whose recordings do not compile have no verifier to compare.
WEB = tuple(task for task in truth_web.RIGHT if task != "multi-layouts")
# What whoever knows the page answers: multi-orderings.html compares ``toLowerCase()`` of what was entered.
ANSWERS: dict[str, dict[str, Answer]] = {"multi-orderings": {QUESTION: "no"}}
# A piece in the portal takes several times as long as one on a single page.
_PORTAL_SHARE = 0.25
_RECORDINGS = 12


@dataclass(frozen=True)
class Verdict:
    """What the application and the verifier say of a piece of work.

    Attributes:
        followed: Whether the environment knew every action; where not, the verifier rejects.
    """

    done: Done
    passed: bool
    followed: bool
    reasons: tuple[str, ...]


def plan(workflow: str, right: int, wrong: int, seed: int) -> list[Piece]:
    """Every way of a workflow in turn, each on a task of its own."""
    of_right, of_wrong = _ways(workflow)
    ways = [
        *itertools.islice(itertools.cycle(of_right), right),
        *itertools.islice(itertools.cycle(of_wrong), wrong),
    ]
    return [Piece(workflow, way, seed, number) for number, way in enumerate(ways)]


def _ways(workflow: str) -> tuple[list[str], list[str]]:
    """The ways that are meant to be right, and those that are meant to be wrong."""
    source = truth_workers if workflow in PORTAL else truth_web
    return list(source.RIGHT[workflow]), list(source.WRONG[workflow])


def plans(names: Sequence[str], right: int, wrong: int, seed: int) -> dict[str, list[Piece]]:
    """The pieces of every workflow; where both kinds are wanted the portal's get their share."""
    kinds = [tuple(n for n in names if n in PORTAL), tuple(n for n in names if n not in PORTAL)]
    shares = [_PORTAL_SHARE, 1 - _PORTAL_SHARE] if all(kinds) else [1.0, 1.0]
    found = {}
    for group, share in zip(kinds, shares, strict=True):
        for at, name in enumerate(group):
            of_right, of_wrong = (_dealt(round(n * share), len(group), at) for n in (right, wrong))
            found[name] = plan(name, of_right, of_wrong, seed)
    return found


def _dealt(total: int, hands: int, at: int) -> int:
    return total * (at + 1) // hands - total * at // hands


def do(planned: Sequence[Piece], folder: Path, sessions: int, advance: Callable[[float], None]) -> None:
    """Do what is not done yet, in browsers side by side; every piece is kept as soon as it is done."""

    def share(pieces: Sequence[Piece]) -> None:
        for source, own in (
            (truth_web, [p for p in pieces if p.workflow not in PORTAL]),
            (truth_portal, [p for p in pieces if p.workflow in PORTAL]),
        ):
            for piece, found in source.work(own) if own else ():
                keep(folder, piece, found)
                advance(1)

    todo = [piece for piece in planned if not piece.file(folder).is_file()]
    advance(len(planned) - len(todo))
    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(share, [todo[index::sessions] for index in range(sessions)]))


def recordings_for(names: Sequence[str], folder: Path, sessions: int) -> dict[str, list[Recording]]:
    """The experts' recordings of every workflow; those of MiniWoB++ tasks are made where they are missing."""
    found, _ = load()
    tasks = [name for name in names if name not in PORTAL]
    with ThreadPoolExecutor(sessions) as pool:
        made = pool.map(lambda task: recordings_of(task, _RECORDINGS, folder), tasks)
        return {name: found[name] for name in names if name in PORTAL} | dict(zip(tasks, made, strict=True))


def verdicts(workflow: Workflow, found: Sequence[Done]) -> Iterator[Verdict]:
    """The compiled verifier's verdict on every piece."""
    env, parser = WorkflowEnv(workflow), Parser()
    for piece in found:
        if piece.right is None:
            yield Verdict(piece, False, False, piece.said)
            continue
        replayed = replay(workflow, piece.trace(parser), env=env)
        followed = not (replayed.refused or replayed.unmodelled)
        yield Verdict(piece, replayed.score.passed, followed, replayed.score.reasons or piece.said)


def summary(name: str, found: Sequence[Verdict]) -> dict[str, Any]:
    """Counts and shares of one workflow, or of all."""
    judged = [v for v in found if v.done.right is not None]
    right, wrong = [v for v in judged if v.done.right], [v for v in judged if not v.done.right]
    passes = [v for v in wrong if v.passed]
    rejects = [v for v in right if not v.passed]
    taken = [v for v in right if v.done.way in _ways(v.done.work.workflow)[1]]
    by_way: dict[str, Counter[str]] = defaultdict(Counter)
    for v in judged:
        by_way[v.done.way].update(pieces=1, right=bool(v.done.right), disagree=v.done.right != v.passed)
    return {
        "workflow": name,
        "not_judged": [_told(v) for v in found if v.done.right is None],
        "false_pass": Share.of(len(passes), len(wrong)).model_dump(),
        "false_reject": Share.of(len(rejects), len(right)).model_dump(),
        "meant_wrong_but_taken": len(taken),
        "false_reject_of_those": sum(not v.passed for v in taken),
        "disagreements": [_told(v) for v in (*passes, *rejects)],
        "wrong_followed_to_the_end": sum(v.followed for v in wrong),
        "ways": {way: dict(counts) for way, counts in by_way.items()},
    }


def _told(verdict: Verdict) -> str:
    kind = "false pass" if verdict.passed else "false reject" if verdict.done.right else "not judged"
    return f"{kind}: {verdict.done.work.id}: {'; '.join(verdict.reasons[:2]) or 'no reason'}"


def _line(name: str, share: dict[str, Any]) -> str:
    if share["rate"] is None:
        return f"{name}: none"
    low, high = share["ci"]
    return f"{name} {share['hits']} of {share['total']} = {share['rate']:.2%} ({low:.2%}..{high:.2%})"


def measure(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """The work done, and every workflow's summary, then that of all."""
    planned = plans(options.only or [*PORTAL, *WEB], options.right, options.wrong, options.seed)
    # Workflows in turn: what is there after a while is there of all of them.
    mixed = [p for row in itertools.zip_longest(*planned.values()) for p in row if p is not None]
    with progress("pieces of work", len(mixed)) as advance:
        do(mixed, folder, options.sessions, advance)
    recordings = recordings_for(list(planned), folder / "recordings", options.sessions)
    documents = load()[1] if set(planned) & set(PORTAL) else []
    everything: list[Verdict] = []
    for name, pieces in planned.items():
        done, known = list(kept(folder, pieces)), documents if name in PORTAL else ()
        if name in ANSWERS:
            unanswered = list(verdicts(compile_workflow(recordings[name], known), done))
            yield summary(name, unanswered) | {"workflow": f"{name}, unanswered"}
        workflow = compile_workflow(recordings[name], known, answers=ANSWERS.get(name))
        found = list(verdicts(workflow, done))
        everything += found
        yield summary(name, found)
    yield summary("all", everything)


def main() -> None:
    """Do the work, and print how often verifier and truth disagree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--right", type=int, default=500, help="pieces of right work, all workflows together")
    parser.add_argument("--wrong", type=int, default=2000, help="pieces of wrong work")
    parser.add_argument("--seed", type=int, default=1, help="of the tasks")
    parser.add_argument("--sessions", type=int, default=4, help="browsers side by side")
    parser.add_argument(
        "--only", action="append", choices=[*PORTAL, *WEB], metavar="NAME", help="this workflow; repeatable"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where work lies, to go on from")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verifier-truth-") as scratch:
        folder = options.keep or Path(scratch)
        (folder / "recordings").mkdir(parents=True, exist_ok=True)
        told = []
        for each in measure(options, folder):
            told.append(each)
            if not options.json:
                _print(each)
    if options.json:
        print(json.dumps(told, indent=1))


def _taken(each: dict[str, Any]) -> str:
    taken, rejected = each["meant_wrong_but_taken"], each["false_reject_of_those"]
    return f", {rejected} of them of the {taken} meant to be wrong that the page takes" if taken else ""


def _print(each: dict[str, Any]) -> None:
    print(f"{each['workflow']}: {_line('false pass', each['false_pass'])}, "
          f"{_line('false reject', each['false_reject'])}"
          f"{_taken(each)}; {len(each['not_judged'])} not judged, "
          f"{each['wrong_followed_to_the_end']} of the wrong followed to the end", flush=True)  # fmt: skip
    if each["workflow"] != "all":
        for example in each["disagreements"]:
            print(f"  {example}")
        for example in each["not_judged"]:
            print(f"  {example}")


if __name__ == "__main__":
    main()
