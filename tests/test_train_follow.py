"""Following a demonstration: random work is shown in the teacher's words, learned, and resumed to the bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_mini import BUTTONS, SFT, Dying, Killed, Mini, MiniSource, run_sft, weights
from train_tiny import engine

from envgen.session import Task, View
from fde.errors import InputError
from ingest.action import Action
from ingest.snapshot import Node
from serve.engine.local import LocalEngine
from serve.prompt import Prompt
from train.follow import Random, random_scenes
from train.lessons import ByTurns, Demonstrated
from train.lora import Lora
from train.loss import forward
from train.settings import SftConfig, make_config
from train.sft import check_objective, demonstration_trees
from train.starts import Midway, Start
from train.tree import Tree, pack

FOLLOW = replace(SFT, follow=0.5, updates=6, dev_times=3, dev_tasks=2)


class Form(Mini):
    """And a field."""

    def page(self) -> Node:
        return Node("document", children=(*super().page().children, Node("textbox", "Code")))

    def text(self) -> str:
        return super().text() + '\ntextbox "Code"\nReference R-4711, of Ann'

    def step(self, action: Action) -> View:
        if action.verb == "fill":
            return View(self.page(), "", potential=self.potential())
        return super().step(action)


class Nothing(Mini):
    """A page on which nothing can be done."""

    def page(self) -> Node:
        return Node("document")


def scenes(count: int = 30, kind: type[Mini] = Form, made: LocalEngine | None = None) -> list[Tree]:
    made = made or engine()
    source = MiniSource(kind=kind)
    return random_scenes(made, source, Prompt(made.tokenizer), source.tasks("train", count, 0))


def done(tree: Tree) -> tuple[list[str], str]:
    """The lines that a scene's answer chose, and its first message."""
    text = engine().tokenizer.decode(tree.tokens[0])
    first, _, said = text.partition("Now do the same.")
    return said.splitlines(), first


def test_what_was_done_is_told_whatever_the_task_asks_for() -> None:
    asked = 0
    trees = scenes()
    for tree in trees:
        said, first = done(tree)
        hint = first.partition("An expert did this here:\n")[2].splitlines()
        assert hint and hint[-1] == "done"
        # Nothing after the last choice is kept, so the answer's last line may be cut.
        mine = [line for line in said if line.split(" ")[0] in ("click", "fill")]
        assert [line for line in hint if line in mine] == mine[: len(hint) - 1]
        asked += f'click button "{first.partition("Press ")[2].partition(".")[0]}"' in hint
    assert 0 < asked < len(trees)


def test_random_work_is_of_every_kind_and_the_same_for_a_seed() -> None:
    texts = [done(tree)[1] for tree in scenes()]
    assert texts == [done(tree)[1] for tree in scenes()]
    assert any("\nfill textbox" in text for text in texts)
    assert all(any(f'\nclick button "{name}"' in text for text in texts) for name in BUTTONS)
    filled = {line for text in texts for line in text.splitlines() if line.startswith("fill ")}
    values = {line.partition(": ")[2] for line in filled}
    page = Form().text()
    assert any(value in page for value in values) and any(value not in page for value in values)


def test_work_ends_though_nobody_says_so() -> None:
    task: Task = MiniSource().tasks("train", 1, 0)[0]
    session = Random(Midway(Form(), Start(task)), "seed")
    session.reset(task)
    verbs = []
    while (action := session.next_action()).verb != "done":
        verbs.append(action.verb)
        session.step(action)
    assert 0 < len(verbs) <= 8


def test_pages_that_offer_nothing_are_told() -> None:
    with pytest.raises(InputError, match="offer nothing to choose from"):
        scenes(2, Nothing)


def certainty(made: LocalEngine, trees: list[Tree]) -> float:
    """Mean log-probability of what was done."""
    with torch.no_grad():
        return float(forward(made, pack(trees)).mean())


@pytest.mark.parametrize("follow", [0.5, 0.0])
def test_what_is_shown_is_learned_beside_the_demonstrations(tmp_path: Path, follow: float) -> None:
    run = run_sft(tmp_path, replace(SFT, follow=follow, updates=200, dev_times=0, rate=3e-3))
    made = engine()
    shown = scenes(SFT.count, Mini, made)
    before = certainty(made, shown)
    made.load_adapter(run.path / "adapter")
    # Who learned from the demonstrations alone does what the task asks for, whatever is shown.
    learned = certainty(made, shown)
    assert learned > before / 2 if follow else learned < before
    assert json.loads((run.path / "result.json").read_text())["config"]["follow"] == follow


def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    undisturbed = run_sft(tmp_path / "a", FOLLOW)
    with pytest.raises(Killed):
        run_sft(tmp_path / "b", FOLLOW, points=Dying(5))
    assert weights(run_sft(tmp_path / "b", FOLLOW)) == weights(undisturbed)
    assert weights(run_sft(tmp_path / "c", replace(FOLLOW, follow=0.0))) != weights(undisturbed)


def test_a_share_of_the_updates_is_of_what_is_shown() -> None:
    made = engine()
    lora, config = Lora(made, rank=4), replace(SFT, follow=0.25, batch_tokens=1)
    told = demonstration_trees(made, MiniSource(), config, Prompt(made.tokenizer))
    lessons = ByTurns(
        Demonstrated(lora, told, config), Demonstrated(lora, scenes(6, Mini, made), config), config.follow
    )
    hinted = []
    for step in range(8):
        (tree,), _ = lessons.batch(step)
        lessons.learned([1.0])
        hinted.append("An expert did this" in made.tokenizer.decode(tree.tokens[0]))
    assert hinted == [False, False, False, True] * 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"follow": 1.0}, "follow 1.0: not possible"),
        ({"follow": -0.1}, "not possible"),
        ({"follow": 0.5, "demonstrations": "recordings"}, "random work in an environment"),
        ({"follow": 0.5, "objective": "sdft"}, "by imitation"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_objective(make_config(SftConfig, **settings))
