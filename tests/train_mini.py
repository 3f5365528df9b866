"""The smallest workflow there is: three buttons, of which one is right; and training runs on it."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from train_tiny import engine

from envgen.session import Score, Task, View
from fde import config as settings
from fde.engagement import Engagement, Run
from ingest.action import Action, Target
from ingest.snapshot import Node
from serve.demonstrate import demonstrate
from serve.engine.adapter import WEIGHTS_FILE
from serve.engine.local import LocalEngine
from serve.episodes import Group
from serve.grammar import Grammar
from serve.prompt import Prompt
from train.algorithms import sft as imitation
from train.begin import Beginning
from train.lora import Lora
from train.probe import Probe
from train.record import Point, Recorder
from train.rl import improve
from train.settings import RlConfig, SftConfig
from train.sft import fit
from train.tree import prune
from train.workers.recipe import Recipe
from train.world import ALONE, World

BUTTONS = ("Red", "Green", "Blue")


class Mini:
    """One page: press the right button, then say done. ``right`` decides which it is for a task."""

    def __init__(self, right: str | None = None) -> None:
        self.fixed = right

    def reset(self, task: Task) -> View:
        self.right = self.fixed or task.parameters["colour"]
        self.pressed: list[str] = []
        return View(self.page(), self.text(), fresh=True, potential=0.0)

    def page(self) -> Node:
        return Node("document", children=tuple(Node("button", name) for name in BUTTONS))

    def text(self) -> str:
        return "\n".join(f'button "{name}"' for name in BUTTONS)

    def step(self, action: Action) -> View:
        if action.verb == "done":
            return View(self.page(), "", finished=True, potential=self.potential())
        assert action.target is not None
        self.pressed.append(action.target.name)
        return View(self.page(), f"! {action.target.name}", potential=self.potential())

    def potential(self) -> float:
        return 0.5 * (self.pressed[:1] == [self.right]) + 0.5 * (self.pressed == [self.right])

    def score(self) -> Score:
        return Score(value=float(self.pressed == [self.right]))

    def close(self) -> None:
        return

    def clone(self) -> Mini:
        twin = Mini(self.fixed)
        twin.right, twin.pressed = self.right, list(self.pressed)
        return twin

    def next_action(self) -> Action | None:
        if self.pressed:
            return Action(verb="done")
        return Action(verb="click", target=Target(role="button", name=self.right))


class MiniSource:
    """Tasks that name a colour; with ``right`` the same button is right in all of them."""

    name = "mini"
    inputs: dict[str, str] = {"mini": "1"}  # noqa: RUF012 - as the protocol has it

    def __init__(self, right: str | None = None, kind: type[Mini] = Mini) -> None:
        self.right = right
        self.kind = kind

    def tasks(self, split: str, count: int, seed: int, *, disturbed: bool = False) -> list[Task]:
        return [
            Task.model_validate(
                {
                    "id": f"mini/{split}/{seed}-{number}{'+x' if disturbed else ''}",
                    "workflow": "mini",
                    "split": split,
                    "seed": number,
                    "instruction": f"Press {BUTTONS[number % 3]}.",
                    "parameters": {"colour": BUTTONS[number % 3]},
                }
            )
            for number in range(count)
        ]

    def session(self, task: Task) -> Mini:
        return self.kind(self.right)

    def recordings(self, grammar: Grammar, prompt: Prompt) -> list[Group]:
        return [demonstrate(grammar, prompt, self.session(task), task) for task in self.tasks("train", 3, 9)]


def recorder(
    folder: Path,
    stage: str,
    source: Any,
    config: Any,
    points: list[Any] | None = None,
    world: World = ALONE,
) -> Recorder:
    """A training run in an engagement of its own."""
    root = folder / "client"
    if not (root / "fde.toml").exists():
        base = folder / "base"
        base.mkdir(parents=True)
        (base / "config.json").write_text("{}")
        (base / "model.safetensors").write_bytes(save({"weight": torch.zeros(1)}))
        settings.create(root, name="mini", base=str(base))
    on_point = (lambda _: None) if points is None else points.append
    return Recorder(Engagement(root), stage, source, config, on_point=on_point, world=world)


SFT = SftConfig(
    demonstrations="program",
    count=6,
    rank=8,
    frozen=0.34,
    rate=1e-2,
    batch_tokens=600,
    passes=60,
    dev_tasks=6,
)
# This model knows nothing at the beginning: everything must be tried, and one lucky group proves little.
RL = RlConfig(
    groups=6,
    samples=6,
    min_p=0.0,
    rate=1e-2,
    batch_tokens=256,
    iterations=12,
    rank=8,
    frozen=0.34,
    dev_tasks=6,
    max_actions=4,
)


def run_sft(
    folder: Path,
    config: SftConfig = SFT,
    source: Any = None,
    points: list[Point] | None = None,
    begin: Beginning | None = None,
    world: World = ALONE,
) -> Run:
    made = recorder(folder, "sft-mini", source or MiniSource(), config, points, world)
    begin = begin or Beginning()
    with made.working():
        fit(begin.engine(made, config.frozen, engine(nf4=config.nf4)), made.source, config, made, begin)
    return made.run


def run_rl(
    folder: Path,
    config: RlConfig = RL,
    source: Any = None,
    points: list[Point] | None = None,
    begin: Beginning | None = None,
    recipe: Recipe | None = None,
    model: LocalEngine | None = None,
    world: World = ALONE,
) -> Run:
    made = recorder(folder, "rl-mini", source or MiniSource("Green"), config, points, world)
    begin = begin or Beginning()
    with made.working():
        loaded = begin.engine(made, config.frozen, model or engine(nf4=config.nf4))
        improve(loaded, made.source, config, made, begin, recipe)
    return made.run


def for_worker(
    dtype: str,
    split: int,
    right: str | None = "Green",
    kind: str = "train_mini:Mini",
    before: str = "",
    nf4: bool = False,
) -> tuple[LocalEngine, MiniSource]:
    """A rollout worker's engine and source; ``before`` is a function that spoils something first."""
    assert dtype == "float32"

    def named(name: str) -> Any:
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)

    if before:
        named(before)()
    return engine(split=split, nf4=nf4), MiniSource(right, named(kind))


class Killed(BaseException):
    """Stands for a process that dies."""


class Dying(list[Point]):
    """A curve at which the run dies, before a point of it is told."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def append(self, point: Point) -> None:
        if point.step == self.at:
            raise Killed
        super().append(point)


def weights(run: Run) -> bytes:
    return (run.path / "adapter" / WEIGHTS_FILE).read_bytes()


def probe_of(made: LocalEngine, lora: Lora) -> tuple[Probe, list[Any]]:
    source = MiniSource()
    task = source.tasks("train", 1, 0)[0]
    group = demonstrate(made.grammar, Prompt(made.tokenizer), source.session(task), task)
    trees = prune(group, imitation.targets(group))
    return Probe(made, lora, trees[0]), trees


def train_in_a_process(folder: str) -> None:
    """A short RL run of its own process, without MLflow's database."""
    from fde import tracking

    tracking.log_run = lambda *_, **__: "1"
    run_rl(Path(folder), replace(RL, iterations=6, dev_times=2))


def result_of(folder: Path) -> tuple[bytes, bytes]:
    """The weights, and the curve without its seconds, that a finished run left."""
    (adapter,) = folder.glob("client/stages/rl-mini/*/adapter")
    curve = json.loads((adapter.parent / "curve.json").read_text())
    timed = {"seconds", "rollout_seconds", "update_seconds"}
    plain = [{key: value for key, value in point.items() if key not in timed} for point in curve]
    return (adapter / WEIGHTS_FILE).read_bytes(), json.dumps(plain).encode()
