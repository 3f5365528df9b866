#!/usr/bin/env python3
"""Three workflows learned one after the other: how much of the earlier ones is left.

The first is learned by imitation of the compiled program, with a share of the updates (`follow`) in which
the model learns to do what it is shown: one model, with which all ways begin. From there the others are
learned from the same demonstrations, by imitation and by self-distillation (SDFT), with as many updates at
the same rate; each once with nothing of an earlier workflow seen again, and once with a share of each of
these updates going over the earlier ones (`rehearse`). After each, every workflow so far is measured on
dev tasks, greedy: whole tasks done, and scenes (pages on the way, each begun afresh) done exactly as
the program does them, which says more where hardly any whole task is. Forgetting is what was right after a
workflow was learned minus what is at the end, the mean over the earlier workflows.

    python benchmarks/forgetting.py [--engagement DIR] [--first N] [--updates N] [--rate R] [--tasks N]
                                    [--rehearse SHARE ...] [--ways WAY ...] [--keep DIR] [--quick] [--json]

The engagement must have compiled workflows (`fde envgen build`); it is not changed. What was done is kept in
`--keep`, if given: the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.training import machine, row  # noqa: E402

COPIED = ("envgen", "redact")
WAYS = ("imitation", "sdft")
MAX_ACTIONS = 20


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engagement", type=Path, default=ROOT / "demo", help="default: the quickstart's")
    parser.add_argument("--first", type=int, default=240, help="updates for the first workflow, for all")
    parser.add_argument("--follow", type=float, default=0.33, help="share of these that learn to follow")
    parser.add_argument("--count", type=int, default=96, help="demonstrations of each workflow")
    parser.add_argument("--updates", type=int, default=240, help="updates for each later workflow")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate of these")
    parser.add_argument(
        "--rehearse",
        type=float,
        nargs="+",
        default=[0.0, 0.25],
        help="shares of each that go over earlier ones",
    )
    parser.add_argument("--tasks", type=int, default=20, help="dev tasks of each workflow")
    parser.add_argument("--keep", type=Path, help="folder for what is trained, to go on from")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="one way alone")
    parser.add_argument("--order", nargs="+", help="the workflows in this order (default: by name)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: that it runs, no figure")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.quick:
        options.first, options.updates, options.tasks = 4, 4, 2
    if not (options.engagement / "stages" / "envgen" / "latest").is_file():
        sys.exit(
            f"{options.engagement} has no compiled workflows: run make demo, or name another --engagement."
        )
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        copy = (options.keep or Path(scratch)) / "client"
        if not copy.exists():
            for stage in COPIED:
                shutil.copytree(options.engagement / "stages" / stage, copy / "stages" / stage)
            shutil.copy(options.engagement / "fde.toml", copy / "fde.toml")
        results = measure(copy, options)
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=1))
        return
    for entry in results:
        against = "" if entry["peer_value"] is None else f"  {entry['peer']}: {entry['peer_value']:.1f}"
        print(f"{entry['name']:<72} {entry['value']:>6.1f} {entry['unit']}{against}")


def measure(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The ways, on the same workflows in the same order."""
    from fde.engagement import Engagement

    engagement = Engagement(folder)
    built = engagement.latest("envgen").path.glob("*/workflow.json")
    names = options.order or sorted(path.parent.name for path in built)
    found = {
        f"{how}, {share:.0%} gone over": _sequence(engagement, names, how, share, options)
        for how, share in product(options.ways, options.rehearse)
    }
    rows = []
    for how, table in found.items():
        for index, after in enumerate(table):
            for name, success in after.items():
                rows.append(row(f"{how}: {name} after learning {names[index]}", success, "%", None, None))
    for what in ("tasks", "scenes"):
        for how, table in found.items():
            learned = fmean(table[i][f"{name}, {what}"] for i, name in enumerate(names) if i)
            rows.append(row(f"{how}: {what} right after learning, later ones", learned, "%", None, None))
        for how, table in found.items():
            lost = _forgotten(table, [f"{name}, {what}" for name in names])
            rows.append(row(f"{how}: {what} forgotten of earlier workflows", lost, "points", None, None))
    return rows


def _sequence(
    engagement: Any, names: list[str], how: str, rehearse: float, options: argparse.Namespace
) -> list[dict[str, float]]:
    """What is right in percent of every workflow so far, after each of them was learned."""
    from train.sft import train_sft

    start = None
    table = []
    for index, name in enumerate(names):
        settings: dict[str, Any] = {"updates": options.first, "follow": options.follow}
        if index:
            settings = {
                "updates": options.updates, "rate": options.rate, "objective": how, "rehearse": rehearse,
            }  # fmt: skip
        start = train_sft(
            engagement,
            name=f"{how}-{100 * rehearse:.0f}-{index}" if index else "first",
            workflow=name,
            start=start,
            demonstrations="program",
            count=options.count,
            dev_times=0,
            max_actions=MAX_ACTIONS,
            **settings,
        )
        measured = [_measured(engagement, start, each, options.tasks) for each in names[: index + 1]]
        table.append({key: value for each in measured for key, value in each.items()})
        print(f"{how}, {rehearse:.0%}: {table[-1]}", file=sys.stderr, flush=True)
    return table


def _measured(engagement: Any, run: Any, workflow: str, tasks: int) -> dict[str, float]:
    """Whole tasks and scenes done on a workflow's dev tasks, in percent; measured once for each run."""
    from fde import config as settings
    from serve.engine.local import LocalEngine
    from serve.prompt import Prompt
    from train.evaluation import evaluate
    from train.workflow import open_source

    known = engagement.root / "measured" / f"{run.id}-{workflow}-{tasks}.json"
    if not known.exists():
        engine = LocalEngine.load(settings.section(engagement, "model", settings.ModelSettings).base)
        engine.load_adapter(run.path / "adapter")
        source, prompt = open_source(engagement, workflow), Prompt(engine.tokenizer)
        dev = source.tasks("dev", tasks, 0)
        whole = evaluate(engine, source, prompt, dev, MAX_ACTIONS).success or 0.0
        values = {f"{workflow}, tasks": 100 * whole}
        values[f"{workflow}, scenes"] = 100 * _scenes(engine, source, prompt, dev)
        known.parent.mkdir(exist_ok=True)
        known.write_text(json.dumps(values))
    found: dict[str, float] = json.loads(known.read_text())
    return found


def _scenes(engine: Any, source: Any, prompt: Any, tasks: list[Any]) -> float:
    """Share of the scenes on the program's way that the model does line by line as the program."""
    from serve.agent import run_episodes
    from train.lessons import said_lines
    from train.source import program_demonstrations
    from train.starts import Midway, Start

    starts, lines = {}, []
    for group in program_demonstrations(source, engine.grammar, prompt, tasks):
        for number, tokens in enumerate(group.scenes(group.episodes[0])):
            start = Start(group.task, number, whole=False)
            starts[start.as_task.id] = start
            lines.append(said_lines(prompt, tokens))
    groups = run_episodes(
        engine,
        [start.as_task for start in starts.values()],
        lambda task: Midway(source.session(task), starts[task.id]),
        prompt=prompt,
        max_actions=MAX_ACTIONS,
    )
    return fmean(group.episodes[0].actions == said for group, said in zip(groups, lines, strict=True))


def _forgotten(table: list[dict[str, float]], names: list[str]) -> float:
    """Points lost on the earlier workflows between learning each and the end."""
    return fmean(table[index][name] - table[-1][name] for index, name in enumerate(names[:-1]))


if __name__ == "__main__":
    main()
