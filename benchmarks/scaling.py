#!/usr/bin/env python3
"""The calculator of `fde train plan` against what a run takes: memory, rollouts, updates.

One iteration on the benchmarks' form: groups of samples by the untrained model, credit, and one pass of
updates. What the rollouts were like is told to the calculator, so that its arithmetic is what is compared:
seconds of processor time, which a busy machine leaves alone, and the peak of resident memory, for which
this is a process of its own.

    python benchmarks/scaling.py [--quick] [--json] [--model NAME|DIR]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.training import row, show  # noqa: E402
from benchmarks.training_tasks import Form, make_task  # noqa: E402

SAMPLES, MAX_ACTIONS = 6, 8


def measure(model: str, groups: int) -> list[dict[str, Any]]:
    """One iteration, and what was expected of it."""
    from dataclasses import replace

    from fde.models import model_path
    from serve.agent import episodes, run_episodes
    from serve.engine.local import LocalEngine
    from serve.prompt import Prompt
    from train.algorithms import ALGORITHMS, Credit
    from train.lora import Lora
    from train.memory import needed, shapes
    from train.plan import Workload, seconds, this_machine
    from train.settings import RlConfig
    from train.tree import packs, prune
    from train.update import Updater

    device = this_machine()
    config = RlConfig(groups=groups, samples=SAMPLES, epochs=1)
    engine = LocalEngine.load(model)
    engine.body.split = round(config.frozen * engine.body.depth)
    updater = Updater(engine, Lora(engine, rank=config.rank, alpha=config.alpha))
    tasks = [make_task(seed) for seed in range(groups)]
    forwards, began = engine.counters.forwards, time.process_time()
    made = run_episodes(
        engine, tasks, lambda task: Form(task.seed), prompt=Prompt(engine.tokenizer), temperature=1.0,
        samples_per_task=SAMPLES, max_actions=MAX_ACTIONS, keep_lower=True,
    )  # fmt: skip
    rollouts_s = time.process_time() - began
    forwards = engine.counters.forwards - forwards
    judged = ALGORITHMS["tree"].judge(made, Credit())
    trees = [tree for group, targets in zip(made, judged, strict=True) for tree in prune(group, targets)]
    began = time.process_time()
    computed = 0
    for batch in packs(trees, config.batch_tokens):
        computed += updater.step(batch, lr=1e-4, rule=ALGORITHMS["tree"].clip).tokens
    updates_s = time.process_time() - began
    done = episodes(made)
    distinct = sum(group.size for group in made)
    said = sum(episode.said_tokens for episode in done) / len(done)
    work = Workload(
        prompt_tokens=round(max(0.0, distinct / groups - SAMPLES * said)),
        said_tokens=round(said),
        choices=forwards,
        taught=computed / distinct,
    )
    bytes_each = engine.body.embedding.weight.element_size()
    expected = seconds(shapes(model_path(model)), config, work, replace(device, number_bytes=bytes_each))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    memory = sum(needed(shapes(model_path(model)), config, bytes_each).values())
    gib = 1 << 30
    return [
        row("peak memory", peak / gib, "GiB", "expected", memory / gib),
        row("rollouts, processor time", rollouts_s, "s", "expected on one core", expected[0]),
        row("updates, processor time", updates_s, "s", "expected on one core", expected[1]),
        row("tokens of the rollouts, distinct", distinct, "tokens", None, None),
        row("tokens of the updates", computed, "tokens", None, None),
        row("this machine, matrix products of a core", device.operations_s / 1e9, "GFLOP/s", None, None),
    ]


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer groups: under five minutes on 2 cores")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--model", default="smollm2-135m", help="base model: a name of `fde model list`, or a folder"
    )
    options = parser.parse_args()
    # One core, whose time is the processor's time: on two, waiting for each other would count as work.
    import torch

    torch.set_num_threads(1)
    results = measure(options.model, 2 if options.quick else 6)
    show(results, as_json=options.json)


if __name__ == "__main__":
    main()
