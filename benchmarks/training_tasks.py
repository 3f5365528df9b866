"""What the benchmarks of training work on: a form like the sample company's, and trajectories on it."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

from envgen.observe import Observer
from envgen.replies import field_of
from envgen.session import Score, Task, View
from ingest.action import Action
from ingest.snapshot import Node

SAMPLES = 8
CENTRES = ("CC-110", "CC-140", "CC-210", "CC-260", "CC-310", "CC-350", "CC-420", "CC-480", "CC-900")
APPROVERS = ("Team lead", "Head of finance", "CFO")
# How often a sample departs from the usual choice: that of a policy half way.
DEPARTS = 0.25


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
