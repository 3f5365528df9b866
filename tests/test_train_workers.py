"""Rollouts by workers: the same numbers as in one process, bounded staleness, and nothing that hangs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from processes import left
from train_mini import RL, Dying, Killed, Mini, MiniSource, run_rl, weights
from train_tiny import engine

from envgen.session import View
from fde.errors import InputError, WorkError
from ingest.action import Action
from serve.engine.adapter import AdaptedLinear
from serve.engine.local import LocalEngine
from serve.episodes import Group, Segment
from serve.prompt import Prompt
from train.algorithms.choose import settled
from train.record import Point
from train.settings import RlConfig
from train.starts import Start
from train.workers import wire
from train.workers.order import Order, carry_out
from train.workers.process import ProcessLink
from train.workers.recipe import Recipe

pytestmark = pytest.mark.usefixtures("tracked")

HERE = Path(__file__).parent
MINI = Recipe("train_mini:for_worker")
SHORT = replace(RL, iterations=4, staleness=1)


def spoiled(name: str, **settings: Any) -> Recipe:
    """Workers in which one of this file's functions spoils something first."""
    return Recipe(MINI.make, {"before": f"test_train_workers:{name}", **settings})


def order(count: int = 5) -> Order:
    tasks = MiniSource("Green").tasks("train", count, 0)
    starts = tuple(Start(task, 0, number % 2 == 0) for number, task in enumerate(tasks))
    return Order(3, starts, {starts[0].as_task.id: {"": 3.0}}, 0.0, 4, 3, 11)


def lower_of(segment: Segment) -> torch.Tensor | None:
    lower = segment.lower
    if isinstance(lower, list):
        return torch.cat(lower) if lower else None
    return lower


def same(one: list[Group], other: list[Group]) -> bool:
    """Whether two lists of groups say the same; times aside, what the lower layers made to rounding."""
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        for a, b in zip(mine.segments, theirs.segments, strict=True):
            left, right = lower_of(a), lower_of(b)
            assert (left is None) == (right is None)
            assert left is None or right is None or torch.allclose(left, right, atol=1e-5)
            assert a.tokens == b.tokens and a.potentials == b.potentials and a.samples == b.samples
            assert (a.parent, a.start, a.fresh, a.unforeseen) == (b.parent, b.start, b.fresh, b.unforeseen)
            for x, y in zip(a.decisions, b.decisions, strict=True):
                assert (x.offset, x.allowed, x.chosen) == (y.offset, y.allowed, y.chosen)
                assert x.logprob == pytest.approx(y.logprob, abs=1e-5)
        for mine_e, theirs_e in zip(mine.episodes, theirs.episodes, strict=True):
            assert replace(mine_e, seconds=0.0) == replace(theirs_e, seconds=0.0)
    return True


# What goes over the wire


def test_what_is_ordered_and_made_comes_over_the_wire_as_it_was() -> None:
    made = engine(split=1)
    groups = carry_out(made, MiniSource("Green"), Prompt(made.tokenizer), order())
    ends = [wire.Pipe(end) for end in socket.socketpair()]
    told, tensors = wire.groups_out(groups)

    def say() -> None:
        ends[0].send({"order": order().plain()}, within_s=30)
        ends[0].send(told, tensors, within_s=30)

    saying = threading.Thread(target=say)
    saying.start()
    ordered, answered = ends[1].receive(30), ends[1].receive(30)
    saying.join()
    assert ordered is not None and answered is not None
    assert Order.of(ordered[0]["order"]) == order()
    assert same(wire.groups_in(*answered), groups)
    assert ends[1].receive(0.01) is None
    ends[0].close()
    with pytest.raises(EOFError):
        ends[1].receive(5)
    ends[1].close()


def test_who_takes_nothing_in_is_not_waited_for_for_ever() -> None:
    ends = [wire.Pipe(end) for end in socket.socketpair()]
    with pytest.raises(TimeoutError, match=r"nothing was taken in for 0\.2 s"):
        ends[0].send({}, {"large": torch.zeros(1 << 22)}, within_s=0.2)
    for end in ends:
        end.close()


def test_parts_of_an_order_give_what_the_whole_gives() -> None:
    made, source = engine(split=1), MiniSource("Green")
    prompt = Prompt(made.tokenizer)
    whole = carry_out(made, source, prompt, order())
    parts = order().parts(3)
    assert [len(part.starts) for part in parts] == [2, 1, 2]
    assert len(order().parts(9)) == 5
    assert same([group for part in parts for group in carry_out(made, source, prompt, part)], whole)


# Whole runs


def test_a_worker_in_turn_trains_the_same_weights_as_the_process_itself(tmp_path: Path) -> None:
    config = replace(RL, iterations=4)
    alone = run_rl(tmp_path / "alone", config)
    points: list[Point] = []
    worked = run_rl(tmp_path / "worked", replace(config, workers=1), points=points, recipe=MINI)
    assert weights(worked) == weights(alone)
    assert [point.staleness for point in points] == [0.0] * 4


def test_rollouts_ahead_of_the_updates_learn_as_well(tmp_path: Path, tracked: list[dict[str, Any]]) -> None:
    points: list[Point] = []
    run = run_rl(tmp_path, replace(RL, staleness=1, iterations=14), points=points, recipe=MINI)
    assert json.loads((run.path / "result.json").read_text())["dev_success"] == 1.0
    behind = [point.staleness for point in points]
    # The first iteration's rollouts are of the adapter it starts with; no others are more than one behind.
    assert behind[0] == 0.0 and max(behind) == 1.0
    assert "Staleness" in (run.path / "page.html").read_text()
    assert len(tracked[0]["series"]["staleness"]) == 14
    # What the older adapter sampled is not what the newer one would: that is corrected, not an error.
    assert any(point.gap is not None and point.gap > 1e-2 for point in points)


def killing(at: int, seen: list[int]) -> Callable[[Point], None]:
    """Kills the worker at a point of the curve."""

    def tell(point: Point) -> None:
        if point.step == at:
            (worker,) = rollout_workers(os.getpid())
            seen.append(worker.pid)
            worker.kill()

    return tell


def rollout_workers(pid: int) -> list[psutil.Process]:
    return [
        each
        for each in psutil.Process(pid).children()
        if any("train.workers.work" in part for part in each.cmdline())
    ]


class Hearing(list[Point]):
    """A curve that is listened to."""

    def __init__(self, tell: Callable[[Point], None]) -> None:
        super().__init__()
        self.tell = tell

    def append(self, point: Point) -> None:
        super().append(point)
        self.tell(point)


def test_a_worker_that_is_killed_costs_what_it_was_doing_only(tmp_path: Path) -> None:
    # One alone, which whatever is ordered next comes to: another may take all orders meanwhile.
    seen: list[int] = []
    points = Hearing(killing(2, seen))
    run = run_rl(tmp_path, replace(SHORT, iterations=6, workers=1), points=points, recipe=MINI)
    assert run.finished and [point.step for point in points] == [1, 2, 3, 4, 5, 6]
    told = [text for point in points for text in point.alarms if "made again" in text]
    assert len(seen) == 1 and len(told) == 1
    assert "was killed by the system or a person" in told[0]
    assert not rollout_workers(os.getpid())


def stick_once() -> None:
    """The first worker that comes to a step hangs for good, where no limit of time reaches it."""
    step = Mini.step

    def hang(self: Mini, action: Action) -> View:
        try:
            Path(os.environ["STICKS_ONCE"]).unlink()
        except FileNotFoundError:
            return step(self, action)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(600)
        return step(self, action)

    Mini.step = hang  # type: ignore[method-assign]


def test_a_worker_that_is_stuck_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = tmp_path / "once"
    once.touch()
    monkeypatch.setenv("STICKS_ONCE", str(once))
    points: list[Point] = []
    config = replace(SHORT, iterations=2, workers=1, stall_s=15.0)
    assert run_rl(tmp_path, config, points=points, recipe=spoiled("stick_once")).finished
    told = [text for point in points for text in point.alarms if "made again" in text]
    assert told and "is stuck: it computed nothing for 15 s" in told[0]


def die() -> None:
    def end(self: LocalEngine, *_: Any, **__: Any) -> None:
        print("the driver is missing", file=sys.stderr)
        os._exit(7)

    LocalEngine.feed = end  # type: ignore[assignment,method-assign]


def test_workers_that_keep_dying_end_the_run_with_their_last_words(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"were lost 3 times.*exit code 7: the driver is missing") as ended:
        run_rl(tmp_path, replace(SHORT, workers=1), recipe=spoiled("die"))
    assert "goes on at the last checkpoint" in str(ended.value.hint)
    assert not rollout_workers(os.getpid())


def fail_once() -> None:
    """The first worker that starts is gone before it has its model."""
    try:
        Path(os.environ["FAILS_ONCE"]).unlink()
    except FileNotFoundError:
        return
    print("no room for a model", file=sys.stderr)
    os._exit(7)


def test_a_worker_that_is_lost_while_it_starts_is_started_again_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tmp_path / "once"
    once.touch()
    monkeypatch.setenv("FAILS_ONCE", str(once))
    points: list[Point] = []
    config = replace(SHORT, iterations=2, workers=1)
    assert run_rl(tmp_path, config, points=points, recipe=spoiled("fail_once")).finished
    told = [text for point in points for text in point.alarms if "Rollout worker" in text]
    assert told == ["Rollout worker 1 ended with exit code 7: no room for a model: it is started again."]


def refuse() -> None:
    raise InputError("This model is not here.", "See: fde model list")


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="Rollout worker 1: This model is not here") as ended:
        run_rl(tmp_path, replace(SHORT, workers=1), recipe=spoiled("refuse"))
    assert ended.value.hint == "See: fde model list"


def test_workers_need_to_know_where_tasks_come_from(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="workers cannot make them"):
        run_rl(tmp_path, SHORT)


# Faults in a worker that nobody would see in its process


def use_none() -> None:
    LocalEngine.use_adapter = lambda *_, **__: None  # type: ignore[assignment,method-assign]


def merge_nothing() -> None:
    AdaptedLinear.merge = lambda self: self.weight.copy_(self.base)  # type: ignore[assignment,method-assign]


def keep_old_prefix() -> None:
    """Episodes begin on a cache that an earlier adapter made."""
    from serve.agent import Agent

    kept: dict[Any, Any] = {}
    fresh = Agent._prefix_row

    def older(self: Agent, shared: tuple[int, ...]) -> Any:
        if shared not in kept:
            row, lower = fresh(self, shared)
            kept[shared] = (self.engine.fork(row), lower)
        row, lower = kept[shared]
        return self.engine.fork(row), lower

    Agent._prefix_row = older  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("fault", "said", "points"),
    [
        ("use_none", "computes with other weights than mini@[0-9a-f]{12}: theirs are the base model", 0),
        # An adapter begins without effect: the first that has one shows it.
        ("merge_nothing", "Rollout worker 1 and trainer disagree", 1),
        ("keep_old_prefix", "rollouts are not what is trained on", 1),
    ],
)
def test_a_worker_that_computes_something_else_stops_the_run(
    tmp_path: Path, fault: str, said: str, points: int
) -> None:
    told: list[Point] = []
    config = replace(RL, workers=1, frozen=0.0)
    with pytest.raises(WorkError, match=said):
        run_rl(tmp_path, config, points=told, recipe=spoiled(fault))
    assert len(told) == points


# Interruption


def test_what_was_ordered_is_ordered_again_when_a_run_goes_on(tmp_path: Path) -> None:
    short = replace(SHORT, iterations=5, workers=1)
    with pytest.raises(Killed):
        run_rl(tmp_path, short, points=Dying(3), recipe=MINI)
    (state,) = tmp_path.glob("client/stages/rl-mini/*/.state.json")
    ordered = json.loads(state.read_text())["state"]["ordered"]
    assert [each["order"]["iteration"] for each in ordered] == [3]
    points: list[Point] = []
    assert run_rl(tmp_path, short, points=points, recipe=MINI).finished
    assert [point.step for point in points] == [3, 4, 5]


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that trains with workers."""
    program = (
        "import sys; from dataclasses import replace; from pathlib import Path; import train_mini\n"
        "config = replace(train_mini.RL, staleness=1, workers=1, iterations=10_000)\n"
        "recipe = train_mini.Recipe('train_mini:for_worker')\n"
        "train_mini.run_rl(Path(sys.argv[1]), config, recipe=recipe)"
    )
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths}
    )
    yield process
    process.kill()
    process.wait()


def test_workers_end_with_a_trainer_that_is_killed(tmp_path: Path, trainer: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 400
    while not list(tmp_path.glob("client/stages/rl-mini/*/.state.json")):
        assert trainer.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    workers = rollout_workers(trainer.pid)
    assert len(workers) == 1
    trainer.kill()
    assert not left(workers)


def test_a_worker_takes_a_message_of_any_size_while_it_beats() -> None:
    link = ProcessLink(replace(MINI, settings={"dtype": "float32", "split": 1}), 1, threads=1, stall_s=30)
    try:
        link.ready()
        with pytest.raises(WorkError, match="Rollout worker 1: KeyError: 'order'"):
            link.ask({"ask": "rollouts"}, {"large": torch.zeros(1 << 22)})
        said, tensors = link.ask({"ask": "rollouts", "order": order(1).plain()})
        assert said["digest"] == "" and len(wire.groups_in(said, tensors)) == 1
    finally:
        link.close()


# Settings


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"staleness": -1}, "staleness is -1"),
        ({"staleness": 9}, "staleness is 9"),
        ({"workers": 0}, "workers is 0"),
        ({"stall_s": 0.0}, "stall_s is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        settled(RlConfig(**setting))


def test_staleness_decides_how_many_workers_there_are() -> None:
    assert RlConfig().processes == 0 and not settled(RlConfig()).correct
    assert RlConfig(staleness=1).processes == 2 and settled(RlConfig(staleness=1)).correct
    assert RlConfig(staleness=1, workers=1).processes == 1
    assert RlConfig(workers=3).processes == 3 and not settled(RlConfig(workers=3)).correct
