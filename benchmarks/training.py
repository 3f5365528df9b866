#!/usr/bin/env python3
"""Training: tokens of trajectory per second, as prefix trees and as TRL's GRPO trains them.

The trajectories are one scene of the sample company's main workflow, a coding
form of some 300 tokens, in groups of 8 samples that choose differently here and
there. Every way of training makes one update per group, with LoRA rank 16. The
rate counts each sample's own tokens, whether they are computed once or eight times. An iteration is
eight samples of such a form by the untrained model, each of at most eight actions, and one update.
TRL drives the same environment with the same conversation and grammar by its rollout interface; without
TRL (`pip install trl==1.16.0`) the peer is transformers with peft.

    python benchmarks/training.py [--quick] [--json] [--model NAME|DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import training_trl as trl  # noqa: E402
from benchmarks.training_tasks import SAMPLES, Form, make_task, trajectories  # noqa: E402
from benchmarks.training_trl import MAX_ACTIONS, RANK  # noqa: E402
from envgen.session import Task  # noqa: E402


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer groups: under five minutes on 2 cores")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--model", default="smollm2-135m", help="base model: a name of `fde model list`, or a folder"
    )
    options = parser.parse_args()
    count = 2 if options.quick else 6
    results = measure(options.model, count)
    show(results, as_json=options.json)


def measure(model: str, count: int) -> list[dict[str, Any]]:
    """All ways of training on the same groups, one after the other."""
    from serve.engine.local import LocalEngine

    engine = LocalEngine.load(model)
    groups = [trajectories(engine, seed) for seed in range(count)]
    tokens = sum(len(line.tokens) for lines in groups for line in lines)
    tree = [ours(engine, lines, 0.0) for lines in groups]
    distinct = sum(size for _, size in tree)
    all_layers = tokens / sum(seconds for seconds, _ in tree)
    half = tokens / sum(ours(engine, lines, 0.5)[0] for lines in groups)
    error = gradient_error(engine, groups[0])
    side_by_side, together = reading(engine)
    seeds = range(100, 100 + count)
    ours_s = fmean(iteration_seconds(engine, seeds))
    del engine
    separate = tokens / sum(timed(plain_step(model), lines) for lines in groups)
    plain = "transformers + peft, one padded batch a group"
    peer, peer_rate = plain, separate
    trl_s = None
    if trl.available():
        peer, peer_rate = "TRL GRPO", trl.update_rate(model, groups)
        trl_s = fmean(trl.iteration_seconds(model, seeds))
    rows = [
        row("prefix trees, all layers", all_layers, "tokens/s", peer, peer_rate),
        row("prefix trees, lower half frozen (the default)", half, "tokens/s", peer, peer_rate),
        row(f"{plain}", separate, "tokens/s", None, None),
        row("distinct tokens in the trees", distinct / tokens, "of all", None, None),
        row("gradient, tree against separate sequences", error, "relative error", None, None),
        row("reading pages, cores side by side", side_by_side, "tokens/s", "cores together", together),
        row(
            "an iteration: eight samples of a form, one update", 1 / ours_s, "iterations/s",
            "TRL GRPO" if trl_s else None, 1 / trl_s if trl_s else None,
        ),
    ]  # fmt: skip
    if trl_s is None:
        rows.append({**row("TRL GRPO", 0.0, "not installed: pip install trl", None, None), "value": None})
    return rows


def iteration_seconds(engine: Any, seeds: Sequence[int]) -> list[float]:
    """Seconds of each iteration: eight samples of a form, credit, and one pass of updates over them."""
    from serve.agent import run_episodes
    from serve.prompt import Prompt
    from train.algorithms import ALGORITHMS, Credit
    from train.lora import Lora
    from train.tree import prune
    from train.update import Updater

    engine.body.split = engine.body.depth // 2
    updater = Updater(engine, Lora(engine, rank=RANK, alpha=2.0 * RANK))
    algorithm = ALGORITHMS["dr-grpo"]
    prompt = Prompt(engine.tokenizer)
    seconds = []
    for seed in [seeds[0], *seeds]:  # the first warms up
        began = time.perf_counter()
        groups = run_episodes(
            engine, [make_task(seed)], lambda task: Form(task.seed), prompt=prompt, temperature=1.0,
            samples_per_task=SAMPLES, max_actions=MAX_ACTIONS, seed=seed, keep_lower=True,
        )  # fmt: skip
        judged = algorithm.judge(groups, Credit())
        trees = [
            tree for group, targets in zip(groups, judged, strict=True) for tree in prune(group, targets)
        ]
        if trees:
            updater.step(trees, lr=1e-4, rule=algorithm.clip)
        seconds.append(time.perf_counter() - began)
    engine.clear_adapter()
    return seconds[1:]


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


def ours(engine: Any, lines: Sequence[Any], frozen: float) -> tuple[float, int]:
    """Seconds of one update on a group as a tree, and its distinct tokens."""
    from train.lora import Lora
    from train.update import Updater, add_lower

    engine.body.split = round(frozen * engine.body.depth)
    updater = Updater(engine, Lora(engine, rank=RANK, alpha=2.0 * RANK))
    trees = trees_of(lines)
    add_lower(engine, trees)  # rollouts leave this behind
    updater.step(trees, lr=1e-4)
    began = time.perf_counter()
    updater.step(trees, lr=1e-4)
    seconds = time.perf_counter() - began
    engine.clear_adapter()
    return seconds, sum(tree.size for tree in trees)


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


def plain_step(model: str) -> Callable[[Sequence[Any]], None]:
    """One update of transformers and peft on a padded batch, with log-probabilities of what was said."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from fde.models import model_path

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    base: Any = AutoModelForCausalLM.from_pretrained(model_path(model), dtype=dtype)
    base = base.to(device)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
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


def timed(step: Callable[[Sequence[Any]], None], lines: Sequence[Any]) -> float:
    """Seconds of the second of two updates."""
    step(lines)
    began = time.perf_counter()
    step(lines)
    return time.perf_counter() - began


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
