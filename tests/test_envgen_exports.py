"""Exports, used with the real libraries they are for."""

from __future__ import annotations

import importlib
import json
import sys
from functools import cache
from pathlib import Path

import pytest
from envgen_desk import documents, recordings

from envgen.compile import compile_workflow
from envgen.exports import export
from envgen.tasks import make_tasks
from envgen.workflow import Workflow
from fde.errors import InputError


@cache
def desk() -> Workflow:
    return compile_workflow(recordings(), documents())


def test_tasks_as_json_lines(tmp_path: Path) -> None:
    written = export(desk(), "jsonl", tmp_path, tasks=20)
    assert [path.name for path in written] == ["train.jsonl", "dev.jsonl", "test.jsonl", "README.md"]
    seen = set()
    for path, count in zip(written, (14, 2, 4), strict=False):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(rows) == count
        for row in rows:
            assert row["instruction"] in row["messages"][1]["content"]
            (right,) = json.loads(row["right"])
            assert right["record"] == json.loads(row["parameters"])["claim"]
            assert right["values"]["Decision"] in ("Approve", "Refer", "Reject")
            seen.add(row["id"])
    assert len(seen) == 20
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert found["train"].num_rows == 14


def test_the_package_registers_with_gymnasium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    export(desk(), "gymnasium", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("fde_decide_claim")
    env = gymnasium.make(package.ID)
    check_env(env.unwrapped, skip_render_check=True)
    (task,) = make_tasks(desk(), "test", 1)
    observation, info = env.reset(options={"task": task})
    assert task.instruction in observation and info["task"] == task.id
    observation, reward, terminated, truncated, info = env.step("dance")
    assert "Not an action" in observation and not terminated and not truncated and reward == 0.0
    total = 0.0
    teacher = env.unwrapped._env
    while not terminated:
        action = teacher.next_action()
        assert action is not None
        observation, reward, terminated, truncated, info = env.step(action.text())
        total += reward
    assert total == 1.0 and info["judged"] and info["reasons"] == []
    observation, reward, terminated, truncated, info = (env.reset(seed=3), env.step("done"))[1]
    assert terminated and reward == 0.0 and info["reasons"]
    shaped = gymnasium.make(package.ID, shaped=True)
    shaped.reset(options={"task": task})
    gained = [shaped.step(a)[1] for a in (f'fill searchbox "Find": {task.parameters["claim"]}', "done")]
    assert gained[-1] <= 0.0
    sys.modules.pop("fde_decide_claim")


def test_unknown_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gymnasium"):
        export(desk(), "abacus", tmp_path)
    with pytest.raises(InputError, match="0 tasks"):
        export(desk(), "jsonl", tmp_path, tasks=0)
