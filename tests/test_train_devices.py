"""Training on several devices: the same weights as on one, resumed on any number, and nothing that hangs.

The devices are processes on this machine's CPU, connected by gloo as GPUs are by nccl.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import RunFde
from safetensors.torch import load
from test_train_memory import pretend
from train_mini import RL, SFT, Dying, Killed, MiniSource, recorder, run_rl, run_sft, weights
from train_tiny import engine

from fde import tracking
from fde.errors import FdeError, InputError
from serve.demonstrate import demonstrate
from serve.prompt import Prompt
from train.algorithms import sft
from train.full import Full
from train.launch import check_devices
from train.lora import Lora
from train.memory import needed, shapes
from train.rl import train_rl
from train.settings import RlConfig, SftConfig
from train.sft import train_sft
from train.trained import Trained
from train.tree import Tree, prune
from train.update import Updater, add_lower
from train.world import ALONE, World, joined_world, told_once

pytestmark = pytest.mark.usefixtures("tracked")

HERE = Path(__file__).parent
FULL = replace(RL, tune="full", rate=1e-3)


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Processes that have imported torch already: each begins its work at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_train_devices", "train.shards"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parent), *([before] if before else [])])
    yield context
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


def on_devices(
    processes: ForkServerContext, count: int, work: Callable[..., None], *arguments: Any
) -> list[BaseProcess]:
    """Start a process for each device, as torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(count):
        environ = {
            "TORCHELASTIC_RUN_ID": "test", "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            "GLOO_SOCKET_IFNAME": "lo",
        }  # fmt: skip
        environ = {name: str(value) for name, value in environ.items()}
        started.append(processes.Process(target=one_device, args=(environ, work, arguments)))
        started[-1].start()
    return started


def one_device(environ: dict[str, str], work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """What runs on a device; its error goes to a file beside the run."""
    os.environ.update(environ)
    tracking.log_run = lambda *_, **__: "1"
    torch.set_num_threads(1)
    try:
        work(*arguments)
    except FdeError as error:
        Path(arguments[0]).with_suffix(f".{environ['RANK']}").write_text(f"{error.message}\n{error.hint}")
        sys.exit(error.exit_code)


def ended(started: list[BaseProcess], within_s: float = 120.0) -> list[int | None]:
    until = time.monotonic() + within_s
    for process in started:
        process.join(max(0.0, until - time.monotonic()))
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
        process.join()
    return codes


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest relative difference of a tensor."""
    assert set(one) == set(other)
    return max(float((one[name] - other[name]).norm() / one[name].norm().clamp(min=1e-9)) for name in one)


# Updates


def scenes(made: Any) -> list[Tree]:
    source, prompt = MiniSource(), Prompt(made.tokenizer)
    groups = [
        demonstrate(made.grammar, prompt, source.session(task), task) for task in source.tasks("train", 5, 0)
    ]
    return [tree for group in groups for tree in prune(group, sft.targets(group))]


def update(file: str, tune: str, lower: bool, world: World = ALONE) -> None:
    """Four updates on five scenes, of which a device has room for one at a time: not all have as many."""
    made = engine(split=1)
    trained: Trained = Full(made, divided=world.several) if tune == "full" else Lora(made, rank=8)
    trees = scenes(made)
    if lower:
        add_lower(made, trees)
    if world.several:
        from train.shards import Shards

        Shards(made, trained, world)
        with trained.gathered(), trained.gathered():
            assert made.feed([(made.row(), [3, 4, 5])]).hidden.isfinite().all()
    updater = Updater(made, trained, world=world, budget=100)
    said = []
    for _ in range(4):
        done = updater.step(trees, lr=1e-3)
        said.append([done.loss, done.norm, done.tokens, done.decisions, *done.losses])
    whole = {name: trained.whole(name, tensor) for name, tensor in trained.named().items()}
    if world.first:
        torch.save(({name: tensor.detach().clone() for name, tensor in whole.items()}, said), file)


def update_together(file: str, tune: str, lower: bool) -> None:
    with joined_world(60) as world:
        update(file, tune, lower, world)


@pytest.mark.parametrize(
    ("tune", "lower", "count"), [("lora", True, 2), ("full", False, 2), ("full", True, 3)]
)
def test_updates_on_several_devices_are_those_of_one(
    processes: ForkServerContext, tmp_path: Path, tune: str, lower: bool, count: int
) -> None:
    started = on_devices(processes, count, update_together, str(tmp_path / "two.pt"), tune, lower)
    update(str(tmp_path / "one.pt"), tune, lower)
    assert ended(started) == [0] * count
    (one, said), (two, told) = (torch.load(tmp_path / f"{name}.pt") for name in ("one", "two"))
    assert same(one, two) <= 1e-4
    assert [line[2:4] for line in said] == [line[2:4] for line in told]
    for mine, theirs in zip(said, told, strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4)


# Whole runs


def imitate_together(folder: str, config: SftConfig) -> None:
    with told_once(), joined_world(60) as world:
        run_sft(Path(folder), config, world=world)


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_imitation_on_two_devices_is_that_of_one(
    processes: ForkServerContext, tmp_path: Path, tune: Any
) -> None:
    config = replace(SFT, updates=12, dev_times=2, rate=1e-3, tune=tune)
    recorder(tmp_path / "two", "sft-mini", MiniSource(), config)
    started = on_devices(processes, 2, imitate_together, str(tmp_path / "two"), config)
    alone = run_sft(tmp_path / "one", config)
    assert ended(started) == [0, 0]
    together = recorder(tmp_path / "two", "sft-mini", MiniSource(), config).run
    assert together.finished and same(load(weights(alone)), load(weights(together))) <= 1e-4
    moments = [load((run.path / "moments.safetensors").read_bytes()) for run in (alone, together)]
    assert same(*moments) <= 1e-3


def train_together(folder: str, config: RlConfig, kill_at: int = 0, hang_at: int = 0) -> None:
    with told_once(), joined_world(config.stall_s) as world:
        points: Any = []
        if kill_at or hang_at:
            points = At(kill_at, hang_at, world)
        run_rl(Path(folder), config, points=points, world=world)


def run_on_two(processes: ForkServerContext, folder: Path, config: RlConfig, *at: int) -> list[BaseProcess]:
    """Start a run on two devices, in an engagement that is there."""
    recorder(folder, "rl-mini", MiniSource("Green"), config)
    return on_devices(processes, 2, train_together, str(folder), config, *at)


class At(list[Any]):
    """The first device's curve: at a point the first is killed. The second hangs as soon as it is on disk."""

    def __init__(self, kill_at: int, hang_at: int, world: World) -> None:
        super().__init__()
        self.kill_at = kill_at
        if hang_at and world.rank == 1:
            rows = Updater.step

            def hang(updater: Updater, *arguments: Any, **named: Any) -> Any:
                if updater.updates >= hang_at:
                    time.sleep(600)
                return rows(updater, *arguments, **named)

            Updater.step = hang  # type: ignore[method-assign]

    def append(self, point: Any) -> None:
        super().append(point)
        if point.step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("config", [replace(RL, iterations=3), replace(FULL, iterations=2)])
def test_a_run_on_two_devices_is_that_of_one(
    processes: ForkServerContext, tmp_path: Path, config: RlConfig
) -> None:
    started = run_on_two(processes, tmp_path / "two", config)
    alone = run_rl(tmp_path / "one", config)
    assert ended(started) == [0, 0]
    together = recorder(tmp_path / "two", "rl-mini", MiniSource("Green"), config).run
    assert together.finished
    assert same(load(weights(alone)), load(weights(together))) <= 1e-4
    curves = [json.loads((run.path / "curve.json").read_text()) for run in (alone, together)]
    for mine, theirs in zip(*curves, strict=True):
        assert {"reward", "dev_success"} < set(mine)
        for key in ("step", "dev_success", "dev_judged", "success", "judged"):
            assert mine[key] == theirs[key], key
        # What all conversations begin with is read on each device.
        assert mine["tokens"] <= theirs["tokens"] < 1.05 * mine["tokens"] + 1
        for key in ("loss", "norm", "reward", "entropy", "kl", "dev_potential"):
            if mine[key] is None:  # of the start, and of a point that was not evaluated
                assert theirs[key] is None
                continue
            assert theirs[key] == pytest.approx(mine[key], rel=1e-3, abs=1e-5), key


@pytest.mark.parametrize("config", [replace(RL, iterations=4), replace(FULL, iterations=3)])
def test_a_device_that_dies_ends_the_run_which_goes_on_with_any_number(
    processes: ForkServerContext, tmp_path: Path, config: RlConfig
) -> None:
    started = run_on_two(processes, tmp_path / "killed", config, 3)
    whole = run_rl(tmp_path / "whole", config)
    assert ended(started) == [-signal.SIGKILL, 1]
    said = (tmp_path / "killed.1").read_text()
    assert "Another process of this run is gone" in said and "goes on at the last checkpoint" in said
    assert list(tmp_path.glob("killed/client/stages/rl-mini/*/.state.json"))
    assert same(load(weights(run_rl(tmp_path / "killed", config))), load(weights(whole))) <= 1e-4


def test_a_run_begun_on_one_device_goes_on_on_two(processes: ForkServerContext, tmp_path: Path) -> None:
    config = replace(FULL, iterations=3)
    with pytest.raises(Killed):
        run_rl(tmp_path / "on", config, points=Dying(3))
    started = run_on_two(processes, tmp_path / "on", config)
    whole = run_rl(tmp_path / "whole", config)
    assert ended(started) == [0, 0]
    (adapter,) = tmp_path.glob("on/client/stages/rl-mini/*/adapter/adapter_model.safetensors")
    assert same(load(adapter.read_bytes()), load(weights(whole))) <= 1e-4


def test_a_device_that_hangs_ends_the_run(processes: ForkServerContext, tmp_path: Path) -> None:
    config = replace(RL, iterations=3, stall_s=5.0)
    started = run_on_two(processes, tmp_path / "hung", config, 0, 1)
    started[0].join(60)
    codes = [started[0].exitcode, started[1].is_alive()]
    ended(started, 0.0)
    assert codes == [1, True]
    assert "was silent for 5 s" in (tmp_path / "hung.0").read_text()


# Starting


STARTER = """
import json, sys
from fde.errors import WorkError
from train.launch import launch
for program in json.loads(sys.argv[1]):
    try:
        print("code", launch(2, ["-c", program]))
    except WorkError as error:
        print(error.message, error.hint)
"""
OF_SECOND = "import os, signal, sys, time\nif os.environ['RANK'] == '1': "


def test_how_a_process_ends_is_told_and_ends_the_others() -> None:
    programs = [
        OF_SECOND + "os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)",
        OF_SECOND + "sys.exit('no driver here')\ntime.sleep(60)",
        # What all refuse, the first says.
        OF_SECOND + "time.sleep(60)\nprint('refused')\nsys.exit(2)",
        OF_SECOND + "print('not shown')",
    ]
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-c", STARTER, json.dumps(programs)],
        capture_output=True, text=True, timeout=100, cwd=HERE.parent, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert time.monotonic() - began < 55
    again = "When the cause is mended, the same command goes on at the last checkpoint."
    assert told[0] == (
        "The training process of device 1 was killed by the system or a person (out of memory looks like "
        f"this); the others were ended. {again}"
    )
    assert told[1] == (
        "The training process of device 1 ended with exit code 1: no driver here; the others were ended. "
        + again
    )
    assert told[2:] == ["refused", "code 2", "code 0"]


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    check_devices(cores)
    with pytest.raises(InputError, match=f"--devices {cores + 1}: this machine has {cores} processor cores"):
        check_devices(cores + 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError, match="torchrun has started this process already"):
        check_devices(1)
    with pytest.raises(InputError, match="no rollout workers beside them"):
        train_rl(None, name="x", workflow="x", staleness=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="objective sdft: it is trained on one device"):
        train_sft(None, name="x", workflow="x", objective="sdft", demonstrations="program")  # type: ignore[arg-type]


def test_the_command_is_given_on_as_it_was(
    fde: RunFde, engagement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr("train.launch.launch", lambda *arguments: given.append(arguments) or 3)
    told = fde(
        "-C", engagement.root, "train", "rl", "code", "--start", "sft-code", "--devices", "2", "--set",
        "tune=full", "--set", "groups=4", "--json",
    )  # fmt: skip
    assert told.code == 3
    ((devices, command),) = given
    assert devices == 2 and command[:6] == ["-m", "fde", "-C", str(engagement.root), "train", "rl"]
    assert command[6:8] == ["code", "--start"] and "--devices" not in command and command[-1] == "--json"
    chosen = [command[at + 1] for at, each in enumerate(command) if each == "--set"]
    assert chosen == ["tune=full", "groups=4"]
    again = fde(*command[2:], "--devices", "999")
    assert again.code == 2 and "this machine has" in again.err


# Memory


def test_memory_is_divided_among_devices(tmp_path: Path) -> None:
    model = shapes(pretend(tmp_path / "big", layers=32, width=4096))
    for config in (RlConfig(), RlConfig(tune="full")):
        one, *several = (needed(model, config, 2, devices) for devices in (1, 2, 8))
        two, eight = several
        assert two["shares of the weights"] == pytest.approx(4 * eight["shares of the weights"], rel=1e-3)
        # While rollouts are made each device has the whole weights.
        assert all(each["weights brought together"] == 2 * sum(model.linear) for each in several)
        assert sum(eight.values()) < sum(two.values()) < sum(one.values())
    full = needed(model, RlConfig(tune="full"), 2, 8)
    assert full["gradients and optimizer"] * 8 == pytest.approx(4 * 4 * sum(model.linear[16:]), rel=1e-3)
    assert needed(model, RlConfig(), 2, 8)["adapter and optimizer"] == 4 * 4 * 16 * sum(model.sides[16:])
