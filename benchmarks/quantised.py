#!/usr/bin/env python3
"""A base model in four bits (`--set tune=qlora`) against the same as it is: memory, time, what it says.

Both in one process, by turns, on one core, in processor time, which a busy machine leaves alone: updates on
the same scenes of the benchmarks' form from the same beginning, with what their loss comes to; feeding long
texts; and feeding one token to each of many rows, as rollouts do. What quantising changes of the base model
is told on the toolkit's own documentation: the likelihood of each token that follows.

    python benchmarks/quantised.py [--quick] [--json] [--model NAME|DIR]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.training import row, show  # noqa: E402
from benchmarks.training_tasks import trajectories  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

    from serve.engine.local import LocalEngine
    from train.tree import Tree
    from train.update import Updater

TEXTS = ("docs/quickstart.md", "docs/redact.md", "docs/train.md", "docs/serve.md", "docs/ingest.md")
TEXT_TOKENS, ROWS, SCENES, RATE = 512, 20, 4, 2e-3


def bytes_of(engine: LocalEngine) -> int:
    """Of all numbers the model has in memory, merged weights and their bases among them."""
    tensors = [*engine.body.model.parameters(), *engine.body.model.buffers()]
    tensors += [module.base for module in engine.body.model.modules() if hasattr(module, "base")]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def spent(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def by_turns(works: tuple[Callable[[], object], Callable[[], object]], rounds: int) -> tuple[float, float]:
    """The least that each takes."""
    found = [(spent(works[0]), spent(works[1])) for _ in range(rounds)]
    return min(first for first, _ in found), min(second for _, second in found)


def said(engine: LocalEngine, text: list[int]) -> Tensor:
    """Log-probabilities over the vocabulary after each token of a text, ``[n, vocabulary]``."""
    import torch

    from serve.engine.attention import TreePlan

    with torch.inference_mode():
        ids = torch.tensor(text)
        hidden, _ = engine.body.run(ids, torch.arange(len(text)), TreePlan([[(0, len(text))]]))
        return engine.body.logits(hidden).log_softmax(-1)


def changed(four: LocalEngine, whole: LocalEngine, texts: list[list[int]]) -> list[dict[str, Any]]:
    """What quantising changes of what the base model says."""
    import torch

    losses: dict[bool, list[Tensor]] = {True: [], False: []}
    shifts, divergences, same = [], [], []
    for text in texts:
        plain, other = said(whole, text)[:-1], said(four, text)[:-1]
        after = torch.tensor(text[1:])[:, None]
        mine, theirs = other.gather(1, after)[:, 0], plain.gather(1, after)[:, 0]
        losses[True].append(-mine)
        losses[False].append(-theirs)
        shifts.append((mine - theirs).abs())
        divergences.append((plain.exp() * (plain - other)).sum(1))
        same.append((plain.argmax(1) == other.argmax(1)).float())

    def mean(values: list[Tensor]) -> float:
        return float(torch.cat(values).mean())

    return [
        row("loss on the texts, base model in four bits", mean(losses[True]), "nats a token", "as it is",
            mean(losses[False])),
        row("a token's log-probability, distance", mean(shifts), "nats, mean", None, None),
        row("KL(as it is || in four bits)", mean(divergences), "nats a token", None, None),
        row("the likeliest token is the same", mean(same), "of tokens", None, None),
    ]  # fmt: skip


def measure(model: str, updates: int, rounds: int) -> list[dict[str, Any]]:
    """All of it."""
    from serve.engine.local import LocalEngine
    from train.lora import Lora
    from train.update import Updater

    four, whole = engines = [LocalEngine.load(model, nf4=nf4) for nf4 in (True, False)]
    encode = whole.tokenizer.encode
    texts = [encode((ROOT / name).read_text(encoding="utf-8"))[:TEXT_TOKENS] for name in TEXTS]
    results = [
        row("base model in memory", bytes_of(four) / 2**20, "MiB", "as it is", bytes_of(whole) / 2**20),
        *changed(four, whole, texts),
    ]
    for engine in engines:
        engine.body.split = engine.body.depth // 2
    long = by_turns((lambda: _read(four, texts[0]), lambda: _read(whole, texts[0])), rounds)
    step = by_turns((_stepping(four, texts[0]), _stepping(whole, texts[0])), rounds)
    loras = [Lora(engine) for engine in engines]
    results += [
        row("the same with an adapter on the upper half", bytes_of(four) / 2**20, "MiB", "merged",
            bytes_of(whole) / 2**20),
        row(f"feeding {TEXT_TOKENS} tokens", long[0], "s", "as it is", long[1]),
        row(f"feeding a token to each of {ROWS} rows", step[0], "s", "merged", step[1]),
    ]  # fmt: skip
    scenes = [[_scene(engine, seed) for seed in range(SCENES)] for engine in engines]
    each_s: tuple[list[float], list[float]] = ([], [])
    losses: tuple[list[float], list[float]] = ([], [])
    updaters: list[Updater] = [Updater(*pair) for pair in zip(engines, loras, strict=True)]
    for number in range(updates):
        for place, updater in enumerate(updaters):
            trees = [scenes[place][number % SCENES]]
            began = time.process_time()
            done = updater.step(trees, lr=RATE * min(1.0, (number + 1) / 5))
            each_s[place].append(time.process_time() - began)
            losses[place].append(done.loss)
    first = [sum(found[:SCENES]) / SCENES for found in losses]
    last = [sum(found[-SCENES:]) / SCENES for found in losses]
    return [
        *results,
        row("an update of one scene", min(each_s[0]), "s", "as it is", min(each_s[1])),
        row(f"loss of the first {SCENES} updates", first[0], "nats a decision", "as it is", first[1]),
        row(f"loss of the last {SCENES} of {updates}", last[0], "nats a decision", "as it is", last[1]),
    ]


def _read(engine: LocalEngine, text: list[int]) -> None:
    row = engine.row()
    engine.feed([(row, text)])
    engine.free(row)


def _stepping(engine: LocalEngine, text: list[int]) -> Callable[[], object]:
    """Feeds the next token to rows that have read something."""
    rows = [engine.row() for _ in range(ROWS)]
    engine.feed([(row, text[:16]) for row in rows])
    return lambda: engine.feed([(row, text[16:17]) for row in rows])


def _scene(engine: LocalEngine, seed: int) -> Tree:
    """A form done as the benchmark has it, every choice to be learned."""
    from train.tree import Target, Tree
    from train.update import add_lower

    line = trajectories(engine, seed)[0]
    targets = [(0, Target(0, decision)) for decision in line.decisions]
    tree = Tree([-1], [0], [list(line.tokens)], [None], targets)
    add_lower(engine, [tree])
    return tree


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer updates: under five minutes on 2 cores")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--model", default="smollm2-135m", help="base model: a name of `fde model list`, or a folder"
    )
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    show(measure(options.model, 24 if options.quick else 80, 8), as_json=options.json)


if __name__ == "__main__":
    main()
