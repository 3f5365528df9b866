"""What the benchmarks of training work on: trajectories and tasks, of an engagement or of a form."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envgen.observe import Observer
from envgen.replies import field_of
from envgen.session import Score, Session, Task, View
from ingest.action import Action
from ingest.snapshot import Node

SAMPLES = 8
CENTRES = ("CC-110", "CC-140", "CC-210", "CC-260", "CC-310", "CC-350", "CC-420", "CC-480", "CC-900")
APPROVERS = ("Team lead", "Head of finance", "CFO")
# How often a sample departs from the usual choice: that of a policy half way.
DEPARTS = 0.25
_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Work:
    """What every way of training is measured on.

    Attributes:
        told: What it is, in a few words.
        groups: Groups of :data:`SAMPLES` trajectories of one scene each, with their decisions.
        iterations: For each iteration the tasks of its groups.
        session: Makes a session for such a task.
        max_actions: Of an episode.
        adapter: What every way begins its iterations with; None is a new adapter.
        first_layer: The lowest layer that adapter changes.
    """

    told: str
    groups: Sequence[Sequence[Any]]
    iterations: Sequence[Sequence[Task]]
    session: Callable[[Task], Session]
    max_actions: int
    adapter: Path | None
    first_layer: int

    @property
    def tokens(self) -> int:
        """Of all trajectories, each counted by itself."""
        return sum(len(line.tokens) for lines in self.groups for line in lines)


def of_forms(engine: Any, count: int, iterations: int, size: int) -> Work:
    """``count`` groups that choose differently here and there, and iterations of ``size`` forms each."""
    seeds = iter(range(100, 100 + iterations * size))
    return Work(
        told="a form of 300 tokens, an untrained model",
        groups=[trajectories(engine, seed) for seed in range(count)],
        iterations=[[make_task(next(seeds)) for _ in range(size)] for _ in range(iterations)],
        session=lambda task: Form(task.seed),
        max_actions=8,
        adapter=None,
        first_layer=engine.body.depth // 2,
    )


def of_engagement(
    engine: Any, folder: Path, workflow: str, stage: str, count: int, iterations: int, size: int
) -> Work:
    """What reinforcement from a stage's adapter is given: ``count`` groups in which samples fared
    differently, and iterations of ``size`` groups each. Every episode is a scene.
    """
    from fde.engagement import Engagement
    from fde.errors import InputError
    from serve.engine import adapter as adapters
    from serve.prompt import Prompt
    from train.algorithms import ALGORITHMS, Credit
    from train.rollouts import Rollouts
    from train.settings import RlConfig
    from train.starts import Midway
    from train.workflow import open_source

    engagement = Engagement(folder)
    source = open_source(engagement, workflow)
    adapter = engagement.latest(stage).path / "adapter"
    weights = adapters.read(adapter)
    engine.load_adapter(adapter)
    config = RlConfig(groups=size, samples=SAMPLES, max_actions=16, whole=0.0, min_p=0.0)
    rollouts = Rollouts(engine, source, Prompt(engine.tokenizer), config, Credit())
    starts: dict[str, Any] = {}
    todo: list[list[Task]] = []
    groups: list[list[Any]] = []
    # The first iteration has fewer groups, and only what it learns would let later ones differ from it.
    for number in range(2, 2 + _ROUNDS):
        order = rollouts.order(rollouts.draw(number), number, all_tried=False)
        if len(todo) < iterations:
            todo.append([start.as_task for start in order.starts])
            starts.update({start.as_task.id: start for start in order.starts})
        made = rollouts.make(order)
        judged = ALGORITHMS["dr-grpo"].judge(made, Credit())
        groups += [_lines(group) for group, targets in zip(made, judged, strict=True) if targets]
        if len(groups) >= count and len(todo) == iterations:
            break
    else:
        raise InputError(
            f"Samples of {stage} hardly ever fare differently: {len(groups)} groups of {_ROUNDS * size}.",
            "Choose an adapter that sometimes succeeds: --start",
        )
    engine.clear_adapter()
    return Work(
        told=f"'{workflow}' of {folder.name}, from {stage}",
        groups=groups[:count],
        iterations=todo,
        session=lambda task: Midway(source.session(task), starts[task.id]),
        max_actions=config.max_actions,
        adapter=adapter,
        first_layer=adapters.first_layer(weights),
    )


def _lines(group: Any) -> list[Any]:
    """The samples of a group whose episodes are one scene, each by itself."""
    from train.tree import Line

    lines = []
    for episode in group.episodes:
        tokens: list[int] = []
        decisions = []
        for index in episode.path:
            segment = group.segments[index]
            decisions += [replace(each, offset=each.offset + len(tokens)) for each in segment.decisions]
            tokens += segment.tokens
        lines.append(Line(tokens, decisions))
    return lines


class Form:
    """The coding form of one invoice, judged by how many of its four fields were entered."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.number = f"INV-{chance.randint(10000, 99999)}"
        self.amount = f"{chance.uniform(300, 20000):,.2f}"
        self.values: dict[str, str] = {}
        self.observer = Observer()

    def page(self) -> Node:
        facts = (
            ("Vendor", "Harbor Paper"), ("Reference", "R-50912"), ("Category", "Software"),
            ("Amount", self.amount), ("PO", "PO-96495"), ("Contract", "No"), ("Contact", "Remy Bramcroft"),
        )  # fmt: skip
        told = "; ".join(f"{name}: {value}" for name, value in facts)
        parts = [
            Node("text", value=f"Seen on Invoice {self.number}: {told}"),
            Node("heading", f"Code {self.number}"),
        ]
        parts.append(self._select("Cost centre", CENTRES))
        if "Cost centre" in self.values:
            parts.append(
                self._select("Account", tuple(f"6{self.values['Cost centre'][3:5]}{n}" for n in range(3)))
            )
        parts.append(self._select("Approver", APPROVERS))
        parts.append(Node("textbox", "PO number", value=self.values.get("PO number")))
        parts.append(Node("button", "Submit"))
        return Node("document", children=tuple(parts))

    def _select(self, name: str, options: Sequence[str]) -> Node:
        chosen = self.values.get(name)
        return Node("combobox", name, value=chosen, children=tuple(Node("option", text) for text in options))

    def reset(self, task: Task) -> View:
        page = self.page()
        return View(page, self.observer.first(page), fresh=True)

    def step(self, action: Action) -> View:
        if action.target is not None and action.value is not None:
            self.values[action.target.name] = action.value
        page = self.page()
        text = self.observer.next(page, acted_on=field_of(action))
        return View(page, text, finished=action.verb == "done")

    def score(self) -> Score:
        return Score(value=len(self.values) / 4)

    def close(self) -> None:
        return

    def clone(self) -> Form:
        twin = copy.copy(self)
        twin.values = dict(self.values)
        twin.observer = self.observer.clone()
        return twin


def make_task(seed: int) -> Task:
    """The task of a form."""
    return Task(
        id=f"form/train/{seed}", workflow="form", split="train", seed=seed,
        instruction=f"Code and route invoice {Form(seed).number}.", parameters={},
    )  # fmt: skip


def trajectories(engine: Any, seed: int) -> list[Any]:
    """One group: samples of the same form, as sequences with their decisions."""
    from serve.demonstrate import demonstrate
    from serve.prompt import Prompt
    from train.tree import Line

    chance = random.Random(f"group {seed}")
    task = make_task(seed)

    def pick(options: Sequence[str]) -> str:
        return chance.choice(options) if chance.random() < DEPARTS else options[seed % len(options)]

    lines = []
    for _ in range(SAMPLES):
        centre = pick(CENTRES)
        said = [
            f'select combobox "Cost centre": {centre}',
            f'select combobox "Account": {pick([f"6{centre[3:5]}{n}" for n in range(3)])}',
            f'select combobox "Approver": {pick(APPROVERS)}',
            f'fill textbox "PO number": {pick(["PO-96495", "PO-96945"])}',
            'click button "Submit"',
            "done",
        ]
        actions = [Action.parse(line) for line in said]
        group = demonstrate(engine.grammar, Prompt(engine.tokenizer), Form(seed), task, actions)
        lines.append(Line(group.segments[0].tokens, group.segments[0].decisions))
    return lines
