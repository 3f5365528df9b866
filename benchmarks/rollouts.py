#!/usr/bin/env python3
"""Rollouts by vLLM against the local engine: the same orders, adapter, draws and cores, by turns.

Each engine has a worker process of its own, as in training; one computes while the other waits. Both begin
without the pages in their caches and with the same adapter on the upper half of the layers. What they draw
is compared as well: where the same tokens were drawn, how far the log-probabilities are apart.

    python benchmarks/rollouts.py [--model NAME|DIR] [--groups N] [--turns N] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.training import row, show  # noqa: E402
from benchmarks.training_tasks import Form, make_task  # noqa: E402
from envgen.session import Task  # noqa: E402

SAMPLES, MAX_ACTIONS, RANK = 6, 8, 16


class Forms:
    """Sessions of the benchmarks' form."""

    name = "forms"

    def session(self, task: Task) -> Form:
        return Form(task.seed)


def for_worker(model: str, **engine: Any) -> tuple[Any, Forms]:
    """A rollout worker's parts (see :class:`train.workers.recipe.Recipe`)."""
    from serve.engine.engines import load_engine

    return load_engine(model, **engine), Forms()


def adapter(model: str) -> tuple[dict[str, Any], Any, int]:
    """An adapter with some effect on the upper half of the layers, as a message, and that half."""
    import torch

    from serve.engine.local import LocalEngine
    from train.lora import Lora
    from train.workers import wire

    engine = LocalEngine.load(model)
    split = engine.body.depth // 2
    engine.body.split = split
    lora = Lora(engine, rank=RANK, alpha=2.0 * RANK)
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, b in lora.tensors.values():
            b.copy_(0.01 * torch.randn(b.shape, generator=chance))
    told, tensors = wire.adapter_out(lora.weights())
    return told, tensors, split


def measure(model: str, groups: int, turns: int) -> list[dict[str, Any]]:
    """Both engines by turns; the first turn warms up."""
    from serve.engine.vllm_engine import ENVIRON
    from train.starts import Start
    from train.workers import wire
    from train.workers.order import Order
    from train.workers.process import ProcessLink
    from train.workers.recipe import Recipe

    told, tensors, split = adapter(model)
    shared = {"model": model, "dtype": "float32", "split": split}
    recipes = {
        "vllm": Recipe("benchmarks.rollouts:for_worker", {**shared, "by": "vllm", "max_rank": RANK}, ENVIRON),
        "local": Recipe("benchmarks.rollouts:for_worker", shared),
    }
    threads = len(os.sched_getaffinity(0))
    links = {
        name: ProcessLink(recipe, number, threads=threads, stall_s=600.0)
        for number, (name, recipe) in enumerate(recipes.items(), 1)
    }
    seconds = dict.fromkeys(links, 0.0)
    tokens, episodes, same, apart = 0, 0, [0, 0], 0.0
    started = {}
    try:
        for name, link in links.items():
            began = time.perf_counter()
            link.ready()
            started[name] = time.perf_counter() - began
            probe = {"tokens": [1, 2], "decisions": [[1, [2, 3], 2]]}
            link.ask({"ask": "adapter", "name": "bench@1", "weights": told, "probe": probe}, tensors)
        for turn in range(turns + 1):
            tasks = [make_task(1000 * turn + number) for number in range(groups)]
            starts = tuple(Start(task, 0, True) for task in tasks)
            order = Order(turn, starts, {}, 0.05, SAMPLES, MAX_ACTIONS, turn)
            made = {}
            for name, link in links.items():
                began = time.perf_counter()
                said, blob = link.ask({"ask": "rollouts", "order": order.plain()})
                if turn:
                    seconds[name] += time.perf_counter() - began
                made[name] = wire.groups_in(said, blob)
            if turn:
                tokens += sum(group.size for group in made["local"])
                episodes += sum(len(group.episodes) for group in made["local"])
            for mine, theirs in zip(made["vllm"], made["local"], strict=True):
                alike = [s.tokens for s in mine.segments] == [s.tokens for s in theirs.segments]
                same[alike] += 1
                if alike:
                    apart = max(apart, *(abs(x - y) for x, y in zip(_logs(mine), _logs(theirs), strict=True)))
    finally:
        for link in links.values():
            link.close()
    vllm, local = seconds["vllm"], seconds["local"]
    return [
        row("rollouts", episodes / vllm, "episodes/s", "local engine", episodes / local),
        row("distinct tokens of rollouts", tokens / vllm, "tokens/s", "local engine", tokens / local),
        row("groups drawn alike", same[True] / sum(same), "of all", None, None),
        row("log-probabilities, where drawn alike", apart, "nats apart at most", None, None),
        row("start", started["vllm"], "s", None, None),
    ]


def _logs(group: Any) -> list[float]:
    return [decision.logprob for segment in group.segments for decision in segment.decisions]


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default="smollm2-135m", help="base model: a name of `fde model list`, or a folder"
    )
    parser.add_argument("--groups", type=int, default=8, help=f"groups of {SAMPLES} episodes a turn")
    parser.add_argument("--turns", type=int, default=4, help="turns of each engine")
    parser.add_argument("--quick", action="store_true", help="two turns of four groups")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.quick:
        options.groups, options.turns = 4, 2
    show(measure(options.model, options.groups, options.turns), as_json=options.json)


if __name__ == "__main__":
    main()
