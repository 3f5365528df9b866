"""Work that is repeated for rows of a list: how far the compiled loops can be believed.

::

    python benchmarks/row_loops.py [--draws N] [--tasks N] [--json]

The clerk's office of the tests (three applications, recorded by the product's recorder in a browser, nine
recordings each) and their ledger (rows that vanish, several pages, a field in every row, something done after
the rows; with a handbook, and without). Each recording is held out and replayed in what the other eight
compile to, the gate is run, and what five of the nine compile to is compared with what all nine do.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from envgen.compile import compile_workflow  # noqa: E402
from envgen.environment import WorkflowEnv  # noqa: E402
from envgen.gate import gate, total_of  # noqa: E402
from envgen.replay import replay  # noqa: E402
from envgen.spelling import QUESTION  # noqa: E402
from envgen.tasks import make_tasks  # noqa: E402
from envgen.traces import Parser, trace  # noqa: E402
from envgen.wrong_rows import ROW_FAMILIES  # noqa: E402
from ingest.document import Document  # noqa: E402
from ingest.recording import Recording  # noqa: E402

_FEW = 5
Case = tuple[list[Recording], list[Document]]


def cases() -> dict[str, Case]:
    """The applications with their documents."""
    # Modules of the tests, which are no package.
    envgen_clerk, envgen_ledger = (importlib.import_module(f"envgen_{name}") for name in ("clerk", "ledger"))
    found: dict[str, Case] = {kind: (list(envgen_clerk.kept(kind)), []) for kind in envgen_clerk.KINDS}
    ways = envgen_ledger.Ways(vanish=True, paged=True, coded=True, closed=True)
    made = [envgen_ledger.record(ways, number) for number in range(len(envgen_ledger.COUNTS))]
    return found | {"ledger": (made, [envgen_ledger.handbook()]), "ledger, no handbook": (made, [])}


def held_out(recordings: Sequence[Recording], documents: Sequence[Document]) -> Counter[str]:
    """What comes of replaying each recording in what the others compile to."""
    found, parser = Counter[str](), Parser()
    for one in recordings:
        others = [r for r in recordings if r is not one]
        made = replay(compile_workflow(others, documents, parser=parser), trace(one, parser))
        outcome = "left open" if made.score.value is None else "pass" if made.score.passed else "fail"
        found.update([outcome], pages=made.steps, different=len(made.different))
    return found


def few(
    recordings: Sequence[Recording], documents: Sequence[Document], draws: int, tasks: int
) -> Counter[str]:
    """Tasks in which few recordings expect the same changes as all, others and ask, or others and do not."""
    found = Counter[str]()
    whole = compile_workflow(recordings, documents)
    env, made = WorkflowEnv(whole), make_tasks(whole, "test", tasks)
    for draw in range(draws):
        chosen = random.Random(f"few {draw}").sample(range(len(recordings)), _FEW)
        workflow = compile_workflow([recordings[i] for i in sorted(chosen)], documents)
        asks = any(f.severity == "question" and f.id != QUESTION for f in workflow.findings)
        other = WorkflowEnv(workflow)
        for task in made:
            env.reset(task)
            other.begin(task, env.instance)
            right, made_out = (
                Counter((w.key, w.values) for w in e.expected.writes) if e.expected.complete else None
                for e in (env, other)
            )
            same = right == made_out
            found["same" if same else "other, asked" if asks else "other, not asked"] += 1
    return found


def measure(draws: int, tasks: int) -> Iterator[dict[str, Any]]:
    """The figures of every application."""
    for name, (recordings, documents) in cases().items():
        report = gate(compile_workflow(recordings, documents), recordings, documents)
        rows = {family: report.families[family] for family in ROW_FAMILIES}
        yield {
            "name": name,
            "held_out": dict(held_out(recordings, documents)),
            "wrong_work": total_of(report.families).model_dump(),
            "wrong_rows": total_of(rows).model_dump(),
            "right_work_rejected": total_of(report.right).model_dump(),
            "cheap": {way: share.model_dump() for way, share in report.cheap.items()},
            "published": report.published,
            "five_of_nine": dict(few(recordings, documents, draws, tasks)),
        }


def _counts(share: dict[str, Any]) -> str:
    return f"{share['hits']} of {share['total']}"


def _line(each: dict[str, Any]) -> str:
    cheap = ", ".join(f"{way} {_counts(share)}" for way, share in each["cheap"].items())
    return "; ".join(
        (
            f"{each['name']}: {'published' if each['published'] else 'not published'}",
            f"held out {each['held_out']}",
            f"wrong work caught {_counts(each['wrong_work'])}, of it on rows {_counts(each['wrong_rows'])}",
            f"right work rejected {_counts(each['right_work_rejected'])}",
            f"passed: {cheap}",
            f"five of nine: {each['five_of_nine']}",
        )
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=12, help="of five recordings")
    parser.add_argument("--tasks", type=int, default=30, help="that each draw is compared on")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    told = []
    for each in measure(options.draws, options.tasks):
        told.append(each)
        if not options.json:
            print(_line(each), flush=True)
    if options.json:
        print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
