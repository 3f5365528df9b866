#!/usr/bin/env python3
"""Three workflows learned one after the other: how much of the earlier ones is left.

Each is learned from the compiled program's demonstrations, from where the one before ended, once by
imitation and once by self-distillation (SDFT), with as many updates. After each, success on the dev tasks
of every workflow so far is measured, greedy. Forgetting is the success right after a workflow was learned
minus the success at the end, over the earlier workflows.

    python benchmarks/forgetting.py [--engagement DIR] [--updates N] [--tasks N] [--warm N] [--quick] [--json]

The engagement must have compiled workflows (`fde envgen build`); it is not changed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.training import machine, row  # noqa: E402

COPIED = ("envgen", "redact")


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engagement", type=Path, default=ROOT / "demo", help="default: the quickstart's")
    parser.add_argument("--updates", type=int, default=120, help="updates for each workflow")
    parser.add_argument("--warm", type=int, default=15, help="updates by imitation before them, for both")
    parser.add_argument("--tasks", type=int, default=20, help="dev tasks of each workflow")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the work: that it runs, not a figure"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.quick:
        options.updates, options.warm, options.tasks = 4, 2, 2
    if not (options.engagement / "stages" / "envgen" / "latest").is_file():
        sys.exit(
            f"{options.engagement} has no compiled workflows: run make demo, or name another --engagement."
        )
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        copy = Path(scratch) / "client"
        for stage in COPIED:
            shutil.copytree(options.engagement / "stages" / stage, copy / "stages" / stage)
        shutil.copy(options.engagement / "fde.toml", copy / "fde.toml")
        results = measure(copy, options)
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=1))
        return
    for entry in results:
        against = "" if entry["peer_value"] is None else f"  {entry['peer']}: {entry['peer_value']:.1f}"
        print(f"{entry['name']:<66} {entry['value']:>6.1f} {entry['unit']}{against}")


def measure(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Both ways, on the same workflows in the same order."""
    from fde.engagement import Engagement

    engagement = Engagement(folder)
    names = sorted(path.parent.name for path in engagement.latest("envgen").path.glob("*/workflow.json"))
    found = {how: _sequence(engagement, names, how, options) for how in ("imitation", "sdft")}
    rows = []
    for how, table in found.items():
        for index, after in enumerate(table):
            for name, success in after.items():
                rows.append(row(f"{how}: {name} after learning {names[index]}", success, "%", None, None))
    lost = {how: _forgotten(table, names) for how, table in found.items()}
    learned = {how: fmean(table[i][name] for i, name in enumerate(names)) for how, table in found.items()}
    rows.append(
        row("sdft: success right after learning", learned["sdft"], "%", "imitation", learned["imitation"])
    )
    rows.append(
        row(
            "sdft: forgotten of the earlier workflows", lost["sdft"], "points", "imitation", lost["imitation"]
        )
    )
    return rows


def _sequence(
    engagement: Any, names: list[str], how: str, options: argparse.Namespace
) -> list[dict[str, float]]:
    """Success in percent on every workflow so far, after each of them was learned."""
    from train.sft import train_sft

    start = None
    table = []
    for index, name in enumerate(names):
        common: dict[str, Any] = {
            "workflow": name,
            "demonstrations": "program",
            "dev_times": 0,
            "max_actions": 20,
        }
        if index == 0:
            # A model that does nothing right yet has no work of its own to learn on.
            warm = train_sft(engagement, name=f"warm-{how}", updates=options.warm, **common)
            start = warm
        run = train_sft(
            engagement, name=f"{how}-{index}", start=start, updates=options.updates, objective=how, **common
        )
        start = run
        table.append({each: _success(engagement, run, each, options.tasks) for each in names[: index + 1]})
    return table


def _success(engagement: Any, run: Any, workflow: str, tasks: int) -> float:
    """Greedy success on a workflow's dev tasks, in percent."""
    from fde import config as settings
    from serve.engine.local import LocalEngine
    from serve.prompt import Prompt
    from train.evaluation import evaluate
    from train.workflow import open_source

    engine = LocalEngine.load(settings.section(engagement, "model", settings.ModelSettings).base)
    engine.load_adapter(run.path / "adapter")
    source = open_source(engagement, workflow)
    found = evaluate(engine, source, Prompt(engine.tokenizer), source.tasks("dev", tasks, 0), 20)
    return 100 * (found.success or 0.0)


def _forgotten(table: list[dict[str, float]], names: list[str]) -> float:
    """Points lost on the earlier workflows between learning each and the end."""
    return fmean(table[index][name] - table[-1][name] for index, name in enumerate(names[:-1]))


if __name__ == "__main__":
    main()
