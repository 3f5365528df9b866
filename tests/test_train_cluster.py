"""Rollouts on a Ray cluster of two nodes, one of which is killed in the middle of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from train_mini import RL, run_rl
from train_tiny import engine as tiny_engine  # noqa: F401 - imported before the cluster starts

from fde.errors import MissingError
from train.record import Point
from train.workers import cluster
from train.workers.recipe import Recipe

HERE = Path(__file__).parent
MINI = Recipe("train_mini:for_worker")

pytestmark = [
    pytest.mark.usefixtures("tracked"),
    # Ray leaves sockets and files to the end of its processes.
    pytest.mark.filterwarnings("ignore"),
]


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match="needs Ray") as missing:
        cluster.connected()
    assert "pip install" in missing.value.hint


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster of a head without room and a node with room for two workers, and a way to add another."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'fde[ray]'")
    from ray.cluster_utils import Cluster

    paths = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", paths)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        ray.init(address=made.address, log_to_driver=False)
        yield ray, made
        ray.shutdown()
        made.shutdown()


def test_a_node_that_is_killed_costs_the_rollouts_in_flight_only(
    tmp_path: Path, nodes: tuple[Any, Any]
) -> None:
    ray, made = nodes
    second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    points: list[Point] = []

    class Killing(list[Point]):
        def append(self, point: Point) -> None:
            points.append(point)
            if point.step == 3:
                made.remove_node(second, allow_graceful=False)
                made.add_node(num_cpus=1)

    run = run_rl(
        tmp_path, replace(RL, engine="ray", staleness=1, iterations=8), points=Killing(), recipe=MINI
    )
    assert run.finished and [point.step for point in points] == list(range(1, 9))
    told = [text for point in points for text in point.alarms if "made again" in text]
    assert len(told) == 1 and "lost with its node" in told[0]
    assert max(point.staleness or 0.0 for point in points) <= 1.0
