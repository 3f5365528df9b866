"""Exports, used with the real libraries they are for."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from envgen_desk import documents, recordings
from scripted_model import answering

from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.exports import export
from envgen.session import Task
from envgen.tasks import make_tasks
from envgen.workflow import Workflow, read_workflow
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
    teacher = env.unwrapped.episodes.env
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


@pytest.mark.browser
def test_browsergym_tasks_are_done_in_the_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    pytest.importorskip("browsergym.core")
    from playwright.sync_api import BrowserType

    from ingest.browser import executable

    export(desk(), "browsergym", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("fde_decide_claim")
    # BrowserGym starts Playwright's own browser, for its chat too; here it is the one that is installed.
    launch = BrowserType.launch
    installed = {"executable_path": str(executable()), "chromium_sandbox": False}
    monkeypatch.setattr(
        BrowserType, "launch", lambda self, **options: launch(self, **{**options, **installed})
    )
    env = gymnasium.make(package.ID, headless=True, disable_env_checker=True)
    try:
        observation, info = env.reset(seed=5)
        task = env.unwrapped.task
        assert task.task.instruction in observation["goal"] and info["task_info"]["task"] == task.task.id
        names = {n["name"]["value"] for n in observation["axtree_object"]["nodes"] if "name" in n}
        assert "Find" in names
        # Nothing is judged before the agent says that it is done.
        nodes = observation["axtree_object"]["nodes"]
        field = next(n for n in nodes if n.get("name", {}).get("value") == "Find")
        _, reward, terminated, _, _ = env.step(f"fill('{field['browsergym_id']}', 'x')")
        assert reward == 0.0 and not terminated
        _, reward, terminated, _, info = env.step("send_msg_to_user('Done.')")
        assert reward == 0.0 and terminated and info["task_info"]["reasons"]
        env.reset(seed=6)
        inner = env.unwrapped
        inner.task.cheat(inner.page, inner.chat.messages)
        _, reward, terminated, _, info = env.step("noop()")
        assert reward == 1.0 and terminated and info["task_info"]["judged"]
    finally:
        env.close()
        sys.modules.pop("fde_decide_claim")


def test_openenv_clients_talk_to_the_exported_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openenv = pytest.importorskip("openenv.core")
    export(desk(), "openenv", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    server = importlib.import_module("fde_decide_claim.server")
    with served(server.app) as url, openenv.GenericEnvClient(base_url=url).sync() as client:
        first = client.reset(seed=3)
        assert first.observation["text"] and not first.done
        assert client.reset(seed=3).observation == first.observation
        found = client.step({"line": "dance"})
        assert "Not an action" in found.observation["text"] and not found.done
        exported = read_workflow(tmp_path / "fde_decide_claim" / "workflow.json")
        (task,) = make_tasks(exported, "train", 1, 3)
        assert client.state()["instruction"] == task.instruction
        env = WorkflowEnv(exported)
        env.reset(task)
        while not found.done:
            action = env.next_action()
            assert action is not None
            env.step(action)
            found = client.step({"line": action.text()})
        assert found.reward == 1.0
        # Another connection has an episode of its own.
        with openenv.GenericEnvClient(base_url=url).sync() as other:
            assert other.reset(seed=4).observation["text"] != first.observation["text"]
            assert other.step({"line": "done"}).reward == 0.0
    sys.modules.pop("fde_decide_claim.server")
    sys.modules.pop("fde_decide_claim")


def test_verifiers_loads_and_evaluates_the_exported_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("verifiers.v1")
    from verifiers.v1.utils.loaders import load_taskset, taskset_config_type

    if shutil.which("uv") is None:
        pytest.skip("verifiers runs what an agent plays with by uv, which is not installed")
    export(desk(), "verifiers", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    config = taskset_config_type("fde-decide-claim")(id="fde-decide-claim", split="test", limit=3)
    tasks = list(load_taskset(config))
    assert [task.data.idx for task in tasks] == [0, 1, 2]
    assert tasks[0].data.task["instruction"] in tasks[0].data.prompt
    assert asyncio.run(tasks[0].validate(None)) is True
    sys.modules.pop("fde_decide_claim")
    exported = read_workflow(tmp_path / "fde_decide_claim" / "workflow.json")
    right = {task.data.task["instruction"]: list(programmed(exported, task.data.task)) for task in tasks}
    idle = dict.fromkeys(right, ("I dance.", "done"))
    with answering({"program": right, "idle": idle, "broken": None}) as url:
        for model, reward in (("program", 1.0), ("idle", 0.0), ("broken", None)):
            traces = evaluated(tmp_path, model, url)
            assert len(traces) == 3
            for trace in traces:
                # What broke on the way is not the model's failure: it is not scored.
                assert trace["rewards"].get("right", {}).get("score") == reward, trace["errors"]
                assert trace["info"].get("judged", False) == (reward is not None)
                assert bool(trace["info"].get("reasons")) == (reward == 0.0)


def evaluated(folder: Path, model: str, url: str) -> list[dict[str, Any]]:
    """The traces that verifiers' own evaluation writes, three tasks of the exported package."""
    run = [
        sys.executable, "-c", "from verifiers.v1.cli.eval.main import main; main()", "fde-decide-claim",
        "--env.taskset.split", "test", "-n", "3", "--client.base-url", url, "--model", model, "--no-rich",
        "--no-push", "--output-dir", str(folder / "out"), "--run.name", model,
    ]  # fmt: skip
    paths = os.pathsep.join([str(folder), *sys.path])
    found = subprocess.run(run, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert found.returncode == 0, found.stderr[-2000:]
    lines = (folder / "out" / model / "traces.jsonl").read_text().splitlines()
    return [trace for line in lines for trace in json.loads(line)["traces"]]


def programmed(workflow: Workflow, task: dict[str, object]) -> Iterator[str]:
    """The compiled program's lines in a task, two to a reply."""
    env = WorkflowEnv(workflow)
    view = env.reset(Task.model_validate(task))
    lines = []
    while not view.finished:
        action = env.next_action()
        assert action is not None
        lines.append(action.text())
        view = env.step(action)
    for at in range(0, len(lines), 2):
        yield "I do this:\n```\n" + "\n".join(lines[at : at + 2]) + "\n```"


@contextmanager
def served(app: object) -> Iterator[str]:
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def test_unknown_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gymnasium"):
        export(desk(), "abacus", tmp_path)
    with pytest.raises(InputError, match="0 tasks"):
        export(desk(), "jsonl", tmp_path, tasks=0)
