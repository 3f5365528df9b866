#!/usr/bin/env python3
"""The calculator of `fde train plan` against what a run takes: memory, rollouts, updates.

One iteration on the benchmarks' form: groups of samples by the untrained model, credit, and one pass of
updates. What the rollouts were like is told to the calculator, so that its arithmetic is what is compared:
seconds of processor time, which a busy machine leaves alone, and the peak of resident memory, for which
this is a process of its own.

With ``--devices`` so many processes train together, the weights divided among them: on one machine without
GPUs that measures their memory, not their speed.

    python benchmarks/scaling.py [--quick] [--json] [--model NAME|DIR] [--tune lora|full] [--devices N]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.training import row, show  # noqa: E402
from benchmarks.training_tasks import Form, make_task  # noqa: E402

if TYPE_CHECKING:
    from train.settings import Tune
    from train.world import World

SAMPLES, MAX_ACTIONS = 6, 8


def measure(model: str, groups: int, tune: Tune, world: World) -> list[dict[str, Any]]:
    """One iteration, and what was expected of it; by the processes of a world together."""
    from dataclasses import replace

    from fde.models import model_path
    from serve.agent import episodes, run_episodes
    from serve.engine.local import LocalEngine
    from serve.prompt import Prompt
    from train.algorithms import ALGORITHMS, Credit
    from train.begin import Beginning
    from train.memory import needed, shapes
    from train.plan import Workload, seconds, this_machine
    from train.settings import RlConfig
    from train.tree import packs, prune
    from train.update import Updater
    from train.workers.shared import exchanged

    device = this_machine()
    config = RlConfig(groups=groups, samples=SAMPLES, epochs=1, tune=tune)
    engine = LocalEngine.load(model)
    engine.body.split = round(config.frozen * engine.body.depth)
    trained = Beginning().trained(engine, config, divided=world.several)
    if world.several:
        from train.shards import Shards

        Shards(engine, trained, world)
    updater = Updater(engine, trained, world=world)
    tasks = [make_task(seed) for seed in range(groups)][world.rows(groups)]
    forwards, began = engine.counters.forwards, time.process_time()
    with trained.gathered():
        made = run_episodes(
            engine, tasks, lambda task: Form(task.seed), prompt=Prompt(engine.tokenizer), temperature=1.0,
            samples_per_task=SAMPLES, max_actions=MAX_ACTIONS, keep_lower=True,
        )  # fmt: skip
    rollouts_s = time.process_time() - began
    made, _ = exchanged(made, world)
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
    peaks = [float(each) for each in world.exchange(str(peak).encode())]
    memory = sum(needed(shapes(model_path(model)), config, bytes_each, world.size).values())
    gib = 1 << 30
    of_each = " of a process, the largest" if world.several else ""
    results = [row(f"peak memory{of_each}", max(peaks) / gib, "GiB", "expected", memory / gib)]
    if world.several:
        return results
    return [
        *results,
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
    parser.add_argument("--tune", default="lora", choices=("lora", "full"), help="what is trained")
    parser.add_argument("--devices", type=int, default=1, help="processes that train together")
    options = parser.parse_args()
    from train.launch import launch
    from train.world import joined_world, started_by_torchrun

    if options.devices > 1 and not started_by_torchrun():
        sys.exit(launch(options.devices, sys.argv))
    import torch

    with joined_world(300.0) as world:
        # One core, whose time is the processor's time: on two, waiting for each other would count as work.
        torch.set_num_threads(1)
        results = measure(options.model, 2 if options.quick else 6, options.tune, world)
    if world.first:
        show(results, as_json=options.json)


if __name__ == "__main__":
    main()
