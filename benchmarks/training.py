#!/usr/bin/env python3
"""Training: tokens of trajectory per second, as prefix trees and as TRL's GRPO trains them.

With an engagement (the quickstart's, say) the trajectories are those that reinforcement makes from its start:
groups of 8 samples of a scene, of which some fare better than others. Without one they are of a coding form
of some 300 tokens like the sample company's, and the model is untrained. Every way of training makes one
update per group, in fp32 on a CPU, with LoRA rank 16 on the same layers. The rate counts each sample's own
tokens, whether they are computed once or eight times.

An iteration is eight samples of some scenes, and one update on all of them. TRL drives the same
environment, from the same places in the same tasks and by the same adapter, with the same conversation and
grammar, by its rollout interface; its own loop of tools would want a model that knows how to call them.
Without TRL (`pip install trl==1.16.0`) the peer is transformers with peft.

    python benchmarks/training.py [--engagement DIR] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import training_trl as trl  # noqa: E402
from benchmarks.training_tasks import SAMPLES, Work, of_engagement, of_forms  # noqa: E402
from benchmarks.training_trl import RANK  # noqa: E402
from envgen.session import Task  # noqa: E402


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer groups: under five minutes on 2 cores")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--model", default="smollm2-135m", help="base model: a name of `fde model list`, or a folder"
    )
    parser.add_argument("--engagement", type=Path, help="whose trajectories and tasks (default: a form's)")
    parser.add_argument("--workflow", default="code-invoice", help="the engagement's workflow")
    parser.add_argument(
        "--start", default="sft-start", help="the stage whose adapter reinforcement starts from"
    )
    options = parser.parse_args()
    results = measure(options, *((2, 1, 2) if options.quick else (8, 4, 4)))
    if not options.json:
        print(results[0]["work"])
    show(results, as_json=options.json)


def measure(options: argparse.Namespace, count: int, iterations: int, size: int) -> list[dict[str, Any]]:
    """Ours and the peer on the same work, in turn: what else the machine does slows both down alike.

    Args:
        count: Groups to update on; ``iterations`` of ``size`` groups each.
    """
    from serve.engine.local import LocalEngine

    engine = LocalEngine.load(options.model)
    if options.engagement is None:
        work = of_forms(engine, count, iterations, size)
    else:
        stage = (options.workflow, options.start)
        work = of_engagement(engine, options.engagement, *stage, count, iterations, size)
    distinct = sum(tree.size for lines in work.groups for tree in trees_of(lines))
    error = gradient_error(engine, work.groups[0])
    side_by_side, together = reading(engine)
    peer = "TRL GRPO" if trl.available() else "transformers + peft, one padded batch a group"
    everywhere, above = (update_rates(engine, options.model, work, first) for first in (0, work.first_layer))
    ours_s, trl_s = iteration_times(engine, options.model, work)
    rows = [
        row("updates, LoRA on all layers", everywhere[0], "tokens/s", peer, everywhere[1]),
        row("updates, LoRA on the upper layers", above[0], "tokens/s", peer, above[1]),
        row(
            f"iterations: {size} groups of {SAMPLES}, one update", 3600 / fmean(ours_s), "an hour",
            peer if trl_s else None, 3600 / fmean(trl_s) if trl_s else None,
        ),
        row("distinct tokens in the trees", distinct / work.tokens, "of all", None, None),
        row("gradient, tree against separate sequences", error, "relative error", None, None),
        row("reading pages, cores side by side", side_by_side, "tokens/s", "cores together", together),
    ]  # fmt: skip
    if not trl_s:
        rows.append({**row("TRL GRPO", 0.0, "not installed: pip install trl", None, None), "value": None})
    return [{**each, "work": work.told} for each in rows]


def update_rates(engine: Any, model: str, work: Work, first_layer: int) -> tuple[float, float]:
    """Tokens of trajectory per second of updates with LoRA from a layer on: ours, and the peer's."""
    groups = [work.groups[0], *work.groups]  # the first warms up
    mine: list[float] = []

    def before(index: int) -> None:
        mine.append(our_update(engine, groups[index], first_layer))

    paths = engine.linear_paths(first_layer)
    if trl.available():
        theirs = trl.update_seconds(model, groups, paths, before)
    else:
        step, theirs = plain_step(model, paths), []
        for index, lines in enumerate(groups):
            before(index)
            began = time.perf_counter()
            step(lines)
            theirs.append(time.perf_counter() - began)
    return work.tokens / sum(mine[1:]), work.tokens / sum(theirs[1:])


def iteration_times(engine: Any, model: str, work: Work) -> tuple[list[float], list[float]]:
    """Seconds of each iteration: ours, and TRL's where it is installed."""
    todo = [work.iterations[0], *work.iterations]  # the first warms up
    ours = our_iterations(engine, work, todo)
    mine: list[float] = []
    theirs: list[float] = []
    if trl.available():
        paths = engine.linear_paths(work.first_layer)
        theirs = trl.iteration_seconds(model, work, todo, paths, lambda _: mine.append(next(ours)))
    else:
        mine = list(ours)
    return mine[1:], theirs[1:]


def our_iterations(engine: Any, work: Work, todo: Sequence[Sequence[Task]]) -> Iterator[float]:
    """Seconds of each iteration: samples of all groups, credit, and one update on what differed."""
    from serve.agent import run_episodes
    from serve.engine import adapter as adapters
    from serve.prompt import Prompt
    from train.algorithms import ALGORITHMS, Credit
    from train.begin import Beginning
    from train.settings import SftConfig
    from train.tree import prune
    from train.update import Updater

    engine.body.split = work.first_layer
    begin = Beginning(weights=None if work.adapter is None else adapters.read(work.adapter))
    updater = Updater(engine, begin.trained(engine, SftConfig(rank=RANK, alpha=2.0 * RANK)))
    algorithm = ALGORITHMS["dr-grpo"]
    prompt = Prompt(engine.tokenizer)
    for number, tasks in enumerate(todo):
        began = time.perf_counter()
        groups = run_episodes(
            engine, tasks, work.session, prompt=prompt, temperature=1.0, samples_per_task=SAMPLES,
            max_actions=work.max_actions, seed=number, keep_lower=True,
        )  # fmt: skip
        judged = algorithm.judge(groups, Credit())
        trees = [
            tree for group, targets in zip(groups, judged, strict=True) for tree in prune(group, targets)
        ]
        if trees:
            # TRL's default rate: all iterations are like the first.
            updater.step(trees, lr=1e-6, rule=algorithm.clip)
        yield time.perf_counter() - began
    engine.clear_adapter()


def reading(engine: Any, pages: int = 24, length: int = 200, times: int = 4) -> tuple[float, float]:
    """Tokens per second of pages fed together: shared out among the cores, and by all cores together."""
    chance = random.Random("pages")
    texts = [[chance.randrange(100, 30_000) for _ in range(length)] for _ in range(pages)]
    seconds = dict.fromkeys((engine.lanes.count, 1), 0.0)
    # In turn, so that a machine that becomes slower does so for both; the first is not counted.
    for turn in range(times + 1):
        for lanes in seconds:
            engine.lanes.count = lanes
            rows = [engine.row() for _ in texts]
            fed = engine.feed(list(zip(rows, texts, strict=True)))
            seconds[lanes] += fed.seconds if turn else 0.0
            for each in rows:
                engine.free(each)
    engine.lanes.count = max(seconds)
    tokens = pages * length * times
    return tokens / seconds[max(seconds)], tokens / seconds[1]


def trees_of(lines: Sequence[Any]) -> list[Any]:
    from train.tree import Target, merge, prune

    task = Task(id="x", workflow="x", split="train", seed=0, instruction="", parameters={})
    group = merge(task, lines)
    targets = [
        Target(index, decision, 0.5 if segment.samples[0] % 2 else -0.5, float(len(segment.samples)))
        for index, segment in enumerate(group.segments)
        for decision in segment.decisions
    ]
    return prune(group, targets)


def our_update(engine: Any, lines: Sequence[Any], first_layer: int) -> float:
    """Seconds of one update on a group as a tree, with LoRA from a layer on."""
    from train.lora import Lora
    from train.update import Updater, add_lower

    engine.body.split = first_layer
    updater = Updater(engine, Lora(engine, rank=RANK, alpha=2.0 * RANK))
    trees = trees_of(lines)
    add_lower(engine, trees)  # rollouts leave this behind
    updater.step(trees, lr=1e-4)
    began = time.perf_counter()
    updater.step(trees, lr=1e-4)
    seconds = time.perf_counter() - began
    engine.clear_adapter()
    return seconds


def gradient_error(engine: Any, lines: Sequence[Any]) -> float:
    """Relative difference between the tree's gradient and that of the sequences one by one."""
    import torch

    from train.lora import Lora
    from train.loss import forward, policy_loss
    from train.tree import pack

    engine.body.split = 0
    lora = Lora(engine, rank=RANK, alpha=2.0 * RANK)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for _, b in lora.tensors.values():
            b.normal_(0.0, 0.01, generator=generator)
    lora.merge()
    found = []
    for batches in ([trees_of(lines)], [trees_of([line]) for line in lines]):
        for tensor in lora.parameters():
            tensor.grad = None
        for trees in batches:
            packed = pack(trees)
            for place, target in enumerate(packed.targets):
                packed.targets[place] = type(target)(target.segment, target.decision, 1.0, target.weight)
            policy_loss(forward(engine, packed), packed.targets, 100.0, None).value.backward()
        found.append(
            torch.cat([tensor.grad.flatten() for tensor in lora.parameters() if tensor.grad is not None])
        )
    engine.clear_adapter()
    return float((found[0] - found[1]).norm() / found[1].norm())


def plain_step(model: str, layers: Sequence[str]) -> Callable[[Sequence[Any]], None]:
    """One update of transformers and peft on a padded batch, with log-probabilities of what was said."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from fde.models import model_path

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    base: Any = AutoModelForCausalLM.from_pretrained(model_path(model), dtype=dtype)
    base = base.to(device)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(layers), task_type="CAUSAL_LM")
    peft: Any = get_peft_model(base, config)
    optimizer = torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=1e-4)

    def step(lines: Sequence[Any]) -> None:
        longest = max(len(line.tokens) for line in lines)
        first = min(line.decisions[0].offset for line in lines)
        ids = torch.zeros(len(lines), longest, dtype=torch.long, device=device)
        mask = torch.zeros_like(ids)
        for index, line in enumerate(lines):
            ids[index, : len(line.tokens)] = torch.tensor(line.tokens)
            mask[index, : len(line.tokens)] = 1
        kept = longest - first + 1
        logits = peft(input_ids=ids, attention_mask=mask, logits_to_keep=kept, use_cache=False).logits[:, :-1]
        logs = logits.float().log_softmax(-1).gather(2, ids[:, first:, None])[..., 0]
        signs = torch.tensor([0.5 if index % 2 else -0.5 for index in range(len(lines))], device=device)
        (-(signs[:, None] * logs * mask[:, first:]).sum() / mask[:, first:].sum()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def row(name: str, value: float, unit: str, peer: str | None, peer_value: float | None) -> dict[str, Any]:
    """One result in the benchmarks' common form."""
    ratio = value / peer_value if peer_value else None
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
    }


def show(results: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows as a table, or with the machine as JSON."""
    if as_json:
        print(json.dumps({"machine": machine(), "results": results}, indent=1))
        return
    for entry in results:
        if entry["value"] is None:
            print(f"{entry['name']:<58} {entry['unit']}")
            continue
        against = "" if entry["peer_value"] is None else f"  {entry['peer']}: {entry['peer_value']:.3g}"
        ratio = "" if entry["ratio"] is None else f"  ratio {entry['ratio']:.2f}"
        print(f"{entry['name']:<58} {entry['value']:>9.4g} {entry['unit']}{against}{ratio}")


def machine() -> dict[str, Any]:
    """What it was measured on."""
    import torch

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else platform.processor()
    return {
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "processor": name or platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()
