"""Rollouts on a Ray cluster of two nodes, one of which is killed in the middle of a run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import left
from train_mini import RL, run_rl, weights

from fde.errors import MissingError, WorkError
from train.record import Point
from train.workers import cluster
from train.workers.recipe import Recipe

HERE = Path(__file__).parent
MINI = Recipe("train_mini:for_worker")
RAY = replace(RL, engine="ray", frozen=0.34)

pytestmark = [
    pytest.mark.usefixtures("tracked"),
    # Ray leaves sockets and files to the end of its processes.
    pytest.mark.filterwarnings("ignore"),
]


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match="needs Ray") as missing:
        run_rl(tmp_path, RAY, recipe=MINI)
    assert "pip install 'fde[ray]'" in missing.value.hint


def test_processors_are_shared_out_so_that_a_worker_fits_any_node() -> None:
    assert cluster.threads_each([8.0, 8.0], 2) == 8
    assert cluster.threads_each([8.0, 8.0], 4) == 4
    assert cluster.threads_each([0.0, 16.0, 4.0], 2) == 4
    assert cluster.threads_each([1.0], 64) == 1
    with pytest.raises(WorkError, match="lends a processor"):
        cluster.threads_each([0.0, 0.5], 1)


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Any, Any, Any]]:
    """A cluster of a head that lends nothing, and two nodes with room for a worker each."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'fde[ray]'")
    from ray.cluster_utils import Cluster

    paths = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", paths)
        made = Cluster()
        try:
            add_node(made, num_cpus=0, include_dashboard=False)
            patched.setenv("RAY_ADDRESS", made.address)
            workers = add_node(made), add_node(made)
            made.wait_for_nodes()
            yield made, *workers
        finally:
            ray.shutdown()
            made.shutdown()


def add_node(made: Any, num_cpus: int = 1, **more: Any) -> Any:
    """A node of the cluster; the first is its head."""
    for _ in range(5):
        try:
            return made.add_node(num_cpus=num_cpus, object_store_memory=100 << 20, **more)
        except Exception as error:  # Ray allows 30 s for what takes longer on a busy machine
            if "timed out during startup" not in str(error):
                raise
    raise TimeoutError("no node of the cluster came up")


def workers_of(node: Any) -> list[psutil.Process]:
    """The rollout workers below a node's processes."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [each for each in raylet.children(recursive=True) if works(each)]


def works(process: psutil.Process) -> bool:
    try:
        return "train.workers.work" in str(process.cmdline())
    except psutil.NoSuchProcess:  # it has ended
        return False


def test_what_goes_wrong_on_a_node_is_told(tmp_path: Path, nodes: Any) -> None:
    with pytest.raises(WorkError, match="Rollout worker 1: ModuleNotFoundError: No module named 'nowhere'"):
        run_rl(tmp_path, replace(RAY, workers=1), recipe=Recipe("nowhere:for_worker"))


def test_rollouts_on_a_cluster_train_the_same_weights(tmp_path: Path, nodes: Any) -> None:
    """And a node that is killed costs the rollouts in flight only."""
    made, first, second = nodes
    short = replace(RAY, iterations=3, workers=1)
    alone = run_rl(tmp_path / "alone", replace(short, engine="local", workers=None))
    assert weights(run_rl(tmp_path / "far", short, recipe=MINI)) == weights(alone)

    points: list[Point] = []
    lost: list[psutil.Process] = []

    class Killing(list[Point]):
        def append(self, point: Point) -> None:
            points.append(point)
            if point.step == 3:
                busy = [node for node in (first, second) if workers_of(node)]
                assert len(busy) == 2  # the workers are dealt out
                lost.extend(workers_of(first))
                made.remove_node(first, allow_graceful=False)

    # The node that is left has room for one of the two workers.
    run = run_rl(tmp_path, replace(RAY, staleness=1, iterations=8), points=Killing(), recipe=MINI)
    assert run.finished and [point.step for point in points] == list(range(1, 9))
    told = [text for point in points for text in point.alarms if "made again" in text]
    assert len(told) == 1 and "was lost with its node or its actor" in told[0]
    assert max(point.staleness or 0.0 for point in points) <= 1.0
    assert lost and not left(lost)
    until = time.monotonic() + 20
    while (still := workers_of(second)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not still  # the run's workers end with it


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    ray.shutdown()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(WorkError, match=r"Ray cluster at 127\.0\.0\.1:9 does not answer"):
        cluster.connected()
