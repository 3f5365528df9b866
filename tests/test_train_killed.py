"""A run that is killed with SIGKILL at random moments ends with the weights of one that was not.

``FDE_KILLS=20 python -m pytest tests/test_train_killed.py`` kills more often.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import train_mini

KILLS = int(os.environ.get("FDE_KILLS", "3"))


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Processes that have imported torch already: each begins its work at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train_mini"])
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *([before] if before else [])])
    yield context
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def start(processes: ForkServerContext, folder: Path) -> BaseProcess:
    process = processes.Process(target=train_mini.train_in_a_process, args=(str(folder),))
    process.start()
    return process


def test_killed_at_random_moments_it_ends_with_the_same_weights(
    processes: ForkServerContext, tmp_path: Path
) -> None:
    first = start(processes, tmp_path / "warm-up")  # the server imports what it needs
    first.join()
    assert first.exitcode == 0
    began = time.monotonic()
    whole = start(processes, tmp_path / "undisturbed")
    whole.join()
    seconds = time.monotonic() - began
    assert whole.exitcode == 0
    chance = random.Random(7)
    folder = tmp_path / "killed"
    killed = 0
    while killed < KILLS:
        process = start(processes, folder)
        process.join(chance.uniform(0.05, 0.5) * seconds)
        if process.exitcode is not None:
            # It came to its end before its time: begin another one.
            assert process.exitcode == 0
            assert train_mini.result_of(folder) == train_mini.result_of(tmp_path / "undisturbed")
            folder = tmp_path / f"killed-{killed}"
            continue
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        killed += 1
    last = start(processes, folder)
    last.join()
    assert last.exitcode == 0
    assert train_mini.result_of(folder) == train_mini.result_of(tmp_path / "undisturbed")
