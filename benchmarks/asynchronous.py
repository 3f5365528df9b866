#!/usr/bin/env python3
"""Asynchronous training: iterations an hour and dev success, against synchronous, with slow environments.

The same runs with staleness 0 and 1, seed by seed: same model, tasks, iterations. The agent's sessions wait
after every page and every action, in threads of their own, as a browser's do; the compiled program, which
needs no pages to be shown, does not wait. The model is the tests' tiny one, so with a wait the environment
is the bottleneck, and without it the model is. Its learning rate is one at which the synchronous runs learn
the task for good: at three times that one, success at a run's end is a matter of luck. The rate of iterations
is that after the pipeline is full: workers start once a run.

An iteration of R seconds of rollouts and U of updates takes R + U when they take turns. With staleness 1 two
iterations are under way, so it takes max(U, (R + U) / 2) where cores are idle while sessions wait.

    python benchmarks/asynchronous.py [--wait S] [--seeds N] [--iterations N] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import copy
import importlib
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from benchmarks.training import row, show  # noqa: E402
from envgen.observe import Observer  # noqa: E402
from envgen.replies import field_of  # noqa: E402
from envgen.session import Score, Task, View  # noqa: E402
from ingest.action import Action, Target  # noqa: E402
from ingest.snapshot import Node  # noqa: E402

KINDS = ("Office", "Freight", "Travel")
FIELDS = {
    "Account": ("6010", "6230", "6510"),
    "Terms": ("Net 10", "Net 30", "Net 60"),
    "Route": ("Team lead", "Finance", "CFO"),
}
# The first iterations fill the pipeline: they do not count.
FILLING = 3


class Form:
    """A form of three fields; the invoice's kind says what belongs into the first, the others are usual."""

    wait_s = 0.0

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1)
        self.values: dict[str, str] = {}

    def _pause(self) -> None:
        """Wait where the agent would wait for a page."""
        if threading.current_thread() is not threading.main_thread():
            time.sleep(self.wait_s)

    def reset(self, task: Task) -> View:
        self._pause()
        self.kind = KINDS[task.seed % len(KINDS)]
        self.right = {
            "Account": FIELDS["Account"][KINDS.index(self.kind)], "Terms": "Net 30", "Route": "Finance",
        }  # fmt: skip
        self.values = {}
        self.observer = Observer()
        page = self.page()
        return View(page, self.observer.first(page), fresh=True, potential=0.0)

    def page(self) -> Node:
        fields = [
            Node(
                "combobox",
                name,
                value=self.values.get(name),
                children=tuple(Node("option", option) for option in options),
            )
            for name, options in FIELDS.items()
            if name not in self.values
        ]
        return Node("document", children=(Node("heading", self.kind), *fields))

    def step(self, action: Action) -> View:
        self._pause()
        if action.target is not None and action.value is not None:
            self.values[action.target.name] = action.value
        page = self.page()
        told = self.observer.next(page, acted_on=field_of(action))
        return View(page, told, finished=action.verb == "done", potential=self.potential())

    def potential(self) -> float:
        return sum(self.values.get(name) == value for name, value in self.right.items()) / len(FIELDS)

    def score(self) -> Score:
        return Score(value=float(self.values == self.right))

    def close(self) -> None:
        self.thread.shutdown(wait=False)

    def clone(self) -> Form:
        twin = copy.copy(self)
        twin.thread = ThreadPoolExecutor(1)
        twin.values, twin.observer = dict(self.values), self.observer.clone()
        return twin

    def next_action(self) -> Action | None:
        for name, value in self.right.items():
            if name not in self.values:
                return Action(verb="select", target=Target(role="combobox", name=name), value=value)
        return Action(verb="done")


class Forms:
    """Tasks of such forms."""

    name = "forms"
    inputs: dict[str, str] = {"forms": "1"}  # noqa: RUF012 - as the protocol has it

    def tasks(self, split: str, count: int, seed: int, *, disturbed: bool = False) -> list[Task]:
        return [
            Task.model_validate(
                {
                    "id": f"forms/{split}/{seed}-{number}{'+x' if disturbed else ''}",
                    "workflow": "forms",
                    "split": split,
                    "seed": number,
                    "instruction": "Fill in the form.",
                    "parameters": {},
                }
            )
            for number in range(count)
        ]

    def session(self, task: Task) -> Form:
        return Form()

    def recordings(self, grammar: Any, prompt: Any) -> list[Any]:
        return []


def for_worker(dtype: str, split: int, wait_s: float) -> tuple[Any, Forms]:
    """A rollout worker's parts (see :class:`train.workers.recipe.Recipe`)."""
    Form.wait_s = wait_s
    return importlib.import_module("train_tiny").engine(split=split), Forms()


def train(folder: Path, wait_s: float, staleness: int, seed: int, iterations: int) -> dict[str, float]:
    """One run: its iterations an hour, dev success, and where its time went."""
    from fde import tracking
    from train.begin import Beginning
    from train.rl import improve
    from train.settings import RlConfig
    from train.workers.recipe import Recipe

    mini = importlib.import_module("train_mini")
    tracking.log_run = lambda *_, **__: "1"
    Form.wait_s = wait_s
    config = RlConfig(
        groups=10, samples=6, min_p=0.0, rate=3e-3, batch_tokens=512, iterations=iterations, rank=8,
        frozen=0.34, dev_tasks=18, max_actions=5, staleness=staleness, seed=seed, disturbed=0.0,
    )  # fmt: skip
    points: list[Any] = []
    made = mini.recorder(folder, f"rl-forms-{staleness}-{seed}-{wait_s:g}", Forms(), config, points)
    begin = Beginning()
    engine = begin.engine(made, config.frozen, importlib.import_module("train_tiny").engine())
    with made.engagement.working(made.run):
        recipe = Recipe("benchmarks.asynchronous:for_worker", {"wait_s": wait_s})
        improve(engine, made.source, config, made, begin, recipe)
    counted = points[FILLING:]
    seconds = points[-1].seconds - points[FILLING - 1].seconds
    return {
        "rate": 3600 * len(counted) / seconds,
        "dev": points[-1].dev_success,
        "potential": points[-1].dev_potential,
        "rollouts_s": fmean(point.rollout_seconds for point in counted),
        "updates_s": fmean(point.update_seconds for point in counted),
        "staleness": fmean(point.staleness or 0.0 for point in counted),
    }


def measure(waits: Sequence[float], seeds: int, iterations: int) -> list[dict[str, Any]]:
    """Synchronous and asynchronous by turns, for each wait and seed."""
    results = []
    for wait_s in waits:
        found: dict[int, list[dict[str, float]]] = {0: [], 1: []}
        with tempfile.TemporaryDirectory(prefix="fde-bench-") as folder:
            for seed in range(seeds):
                for staleness in random.Random(seed).sample((0, 1), 2):
                    found[staleness].append(train(Path(folder), wait_s, staleness, seed, iterations))
        mean = {
            staleness: {key: fmean(run[key] for run in runs) for key in runs[0]}
            for staleness, runs in found.items()
        }
        told = f"{1000 * wait_s:.0f} ms a step"
        one, two = mean[1], mean[0]
        results += [
            row(f"iterations an hour, {told}", one["rate"], "iterations/h", "staleness 0", two["rate"]),
            row(f"dev success, {told}", one["dev"], "of tasks", "staleness 0", two["dev"]),
            row(f"dev milestones, {told}", one["potential"], "of all", "staleness 0", two["potential"]),
            row(f"waiting for rollouts, {told}", one["rollouts_s"], "s", "staleness 0", two["rollouts_s"]),
            row(f"updates, {told}", one["updates_s"], "s", "staleness 0", two["updates_s"]),
            row(f"iterations behind, {told}", one["staleness"], "iterations", None, None),
        ]
    return results


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wait", type=float, nargs="*", default=[0.2, 0.0], help="seconds a step")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each kind")
    parser.add_argument("--iterations", type=int, default=30, help="of each run")
    parser.add_argument("--quick", action="store_true", help="two seeds and half the iterations")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.iterations = 2, 12
    results = measure(options.wait, options.seeds, options.iterations)
    show(results, as_json=options.json)


if __name__ == "__main__":
    main()
