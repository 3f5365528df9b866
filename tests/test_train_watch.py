"""What people see of a run: alarms, the board, its page, its episodes."""

from __future__ import annotations

import io
import itertools
import json
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import RunFde
from rich.console import Console
from train_mini import RL, SFT, Mini, MiniSource, recorder, run_rl, run_sft, weights
from train_tiny import engine
from train_toy import Portal, make_tasks

from envgen.session import Task, View
from fde.cli.board import Board, duration, note, sparkline
from fde.errors import WorkError
from serve.agent import run_episodes
from serve.engine.adapter import read
from serve.prompt import Prompt
from train.alarms import alarms
from train.begin import Beginning
from train.record import Point
from train.report import curves, read_samples, render
from train.samples import shown

CALM = Point(1, 10.0, 1000, teaching=0.5, reward=0.4, entropy=0.8, norm=0.3, clipped=0.1)


def after(**fields: object) -> Point:
    return replace(CALM, step=2, seconds=20.0, tokens=2500, **fields)


def measured(point: Point, success: float) -> Point:
    return replace(point, dev_success=success, dev_judged=20)


def retained(point: Point, success: float) -> Point:
    return replace(point, retained=success, retained_judged=20)


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ([replace(CALM, teaching=0.0)], "fared the same"),
        ([replace(CALM, norm=0.0)], "gradient is zero"),
        ([replace(CALM, clipped=0.7)], "70% of the decisions were at the bounds"),
        ([CALM, CALM, after(entropy=0.05)], "Entropy fell from 0.8 to 0.05"),
        (
            [
                replace(CALM, dev_success=0.9, dev_judged=20),
                after(reward=0.6, dev_success=0.3, dev_judged=20),
            ],
            "while dev success fell from 90% (step 1) to 30%: the policy may have learned to please",
        ),
        (
            [measured(Point(0, 0.0, 0), 0.9), CALM, measured(after(reward=0.2), 0.3)],
            "Dev success fell from 90% (step 0) to 30%: the policy loses what it could do",
        ),
        (
            [retained(Point(0, 0.0, 0), 0.9), CALM, retained(after(reward=0.6), 0.3)],
            "the workflows that the start had learned fell from 90% to 30%",
        ),
    ],
)
def test_what_goes_wrong_silently_is_told_at_once(curve: list[Point], said: str) -> None:
    (text,) = alarms(curve)
    assert said in text
    assert alarms(curve[:-1] or [CALM]) == ()


@pytest.mark.parametrize(
    "curve",
    [
        [CALM],
        # Nothing to teach where all is solved, and no entropy is wanted there.
        [replace(CALM, teaching=0.0, reward=1.0)],
        [CALM, CALM, after(entropy=0.05, reward=0.95)],
        # A few tasks more or less are chance.
        [measured(CALM, 0.5), measured(after(reward=0.6), 0.45)],
        [retained(CALM, 0.5), retained(after(reward=0.6), 0.45)],
        [Point(1, 1.0, 10, loss=1.0, norm=0.5)],
    ],
)
def test_what_is_well_is_not_alarming(curve: list[Point]) -> None:
    assert alarms(curve) == ()


def test_the_board_shows_figures_intervals_speed_and_time_left() -> None:
    clock = itertools.chain([0.0], itertools.repeat(75.0))
    board = Board("rl-x", clock=lambda: next(clock))

    def drawn() -> str:
        console = Console(width=120, file=io.StringIO())
        console.print(board)
        text: str = console.file.getvalue()
        return text

    assert "1:15, loading" in drawn()
    board.add(replace(CALM, success=0.5, judged=12, share=0.1))
    board.add(after(success=0.75, judged=12, share=0.2, alarms=("Look \x1b[2J here",)))
    text = drawn()
    assert "step 2, 0:20, 1:20 left" in text and "125 a second" in text
    assert re.search(r"success\s+75%\s+47% to 91%\s+▁█", text)
    assert "! step 2: Look" in text and "\x1b" not in text
    assert sparkline([1.0, 1.0]) == "▁▁" and duration(3700) == "1:01:40"
    assert note(CALM) == "1k tokens, reward 0.400"


def test_episodes_read_as_what_was_told_and_said() -> None:
    made = engine()
    prompt = Prompt(made.tokenizer)
    task = make_tasks(1)[0]
    group = run_episodes(made, [task], lambda _: Portal(), prompt=prompt, max_actions=6)[0]
    told = shown(prompt, group)
    said = [
        line
        for scene in told["scenes"]
        for turn in scene
        if turn["said"]
        for line in turn["text"].split("\n")
    ]
    assert said == group.episodes[0].actions
    first = told["scenes"][0][0]
    assert not first["said"] and first["text"].startswith(f"Task: {task.instruction}")
    assert "<|" not in json.dumps(told["scenes"]) and told["success"] is False


@pytest.mark.usefixtures("tracked")
def test_a_run_leaves_a_page_that_loads_nothing(tmp_path: Path) -> None:
    run = run_rl(tmp_path, replace(RL, iterations=2, whole=0.4))
    page = (run.path / "page.html").read_text()
    assert "default-src 'none'" in page and "http" not in page.replace("http-equiv", "")
    assert "Before and after" in page and "Press " in page and page.count("<svg") >= 6
    kept = read_samples(run.path)
    known = [(0, "dev"), (1, "rollouts"), (2, "dev"), (2, "rollouts")]
    assert [(step, kind) for step, kind, _ in kept] == known
    assert "samples/00001-rollouts.json" in run.manifest().outputs
    curve = json.loads((run.path / "curve.json").read_text())
    assert curve[-1]["share"] == 1.0 and curve[1]["gap"] < 1e-3 and curve[1]["judged"]
    assert curve[0]["step"] == 0 and curve[0]["dev_success"] is not None


def test_text_from_pages_is_escaped_on_the_page() -> None:
    episode = {
        "task": "t", "instruction": "<script>alert(1)</script>", "stop": "done", "success": None,
        "potential": None, "error": None, "reasons": ["<b>"],
        "scenes": [[{"said": True, "text": "<img src=x>"}]],
    }  # fmt: skip
    result = {
        "dev_success": None, "workflow": "<i>", "base": "b", "adapter": "a@0", "step": 1, "tokens": 5,
        "seconds": 1.0,
    }  # fmt: skip
    page = render("rl-<x>", result, [CALM], [(1, "rollouts", [episode])])
    assert "<script" not in page and "<img" not in page and "<i>" not in page and "<b>" in page
    assert "&lt;img src=x&gt;" in page and "Before and after" not in page
    assert [curve.title for curve in curves([CALM])] == [
        "Reward", "Entropy", "Groups that teach", "At the bounds", "Gradient", "Speed",
    ]  # fmt: skip


@pytest.mark.usefixtures("tracked")
def test_show_prints_the_curve_and_the_episodes(tmp_path: Path, fde: RunFde) -> None:
    run_sft(tmp_path, replace(SFT, passes=4, dev_tasks=2))
    folder = tmp_path / "client"
    told = fde("-C", folder, "train", "show", "sft-mini")
    assert told.code == 0 and "page.html" in told.out and re.search(r"loss \d", told.out)
    told = fde("-C", folder, "train", "show", "sft-mini", "--samples")
    assert (
        told.code == 0
        and "dev, mini/dev/0-0: " in told.out
        and re.search(r"^  > click button", told.out, re.M)
    )
    told = fde("-C", folder, "train", "show", "sft-mini", "--samples", "--json")
    assert told.json["samples"][0]["episodes"][0]["instruction"] == "Press Red."
    for path in folder.glob("stages/sft-mini/*/samples/*"):
        path.unlink()
    told = fde("-C", folder, "train", "show", "sft-mini", "--samples")
    assert told.code == 2 and "kept no episodes" in told.err


@pytest.mark.usefixtures("tracked")
def test_a_run_ends_when_dev_success_is_high_enough_or_rises_no_more(tmp_path: Path) -> None:
    start = replace(RL, iterations=40, dev_times=40, dev_tasks=12)
    points: list[Point] = []
    run_rl(tmp_path / "target", replace(start, target=0.7), points=points)
    assert points[-1].dev_success == 1.0 and len(points) < 40
    points = []
    run_rl(tmp_path / "patience", replace(start, rate=1e-6, patience=2), points=points)
    assert len(points) == 2


class Misleading(Mini):
    """Training tasks pay for red, whatever they say; dev tasks for what they say."""

    def reset(self, task: Task) -> View:
        self.fixed = "Red" if task.split == "train" else None
        return super().reset(task)


@pytest.mark.usefixtures("tracked")
def test_what_reinforcement_makes_worse_is_not_handed_out(tmp_path: Path, fde: RunFde) -> None:
    taught = run_sft(tmp_path / "sft")
    begin = Beginning(taught, read(taught.path / "adapter"))
    points: list[Point] = []
    config = replace(RL, iterations=40, dev_times=40, dev_tasks=12, disturbed=0.0)
    run = run_rl(tmp_path / "rl", config, MiniSource(kind=Misleading), points, begin)
    result = json.loads((run.path / "result.json").read_text())
    assert result["stopped"] == "collapse" and len(points) < 40
    assert "dev success fell from 100%" in points[-1].alarms[-1].lower()
    # Several checkpoints may do as well as the start; none that does worse is the result.
    assert result["start_success"] == result["dev_success"] == 1.0 > points[-1].dev_success
    last = replace(config, iterations=len(points), dev_times=1, seed=0)
    run = run_rl(tmp_path / "last", last, MiniSource(kind=Misleading), begin=begin)
    assert weights(run) == weights(taught)
    told = fde("-C", tmp_path / "last" / "client", "train", "show", "rl-mini")
    assert "No checkpoint did better on dev tasks than the start" in told.out
    assert fde("-C", tmp_path / "last" / "client", "train", "show", "rl-mini", "--json").json["step"] == 0


@pytest.mark.usefixtures("tracked")
def test_a_full_disk_is_told_and_the_run_goes_on_afterwards(tmp_path: Path) -> None:
    config = replace(RL, iterations=2, dev_times=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder(tmp_path / "full", "rl-mini", MiniSource("Green"), config)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(WorkError, match="cannot be kept on disk") as told:
            run_rl(tmp_path / "full", config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "goes on at the last checkpoint" in str(told.value.hint)
    assert weights(run_rl(tmp_path / "full", config)) == weights(run_rl(tmp_path / "other", config))
