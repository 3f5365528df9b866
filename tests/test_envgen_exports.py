"""Exports, used with the real libraries they are for."""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from envgen_desk import documents, recordings

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


def test_verifiers_tasks_are_played_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vf = pytest.importorskip("verifiers.v1")
    from verifiers.v1.utils.loaders import environment_class, load_taskset, taskset_config_type

    export(desk(), "verifiers", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    config = taskset_config_type("fde-decide-claim")(id="fde-decide-claim", split="test", limit=3)
    tasks = list(load_taskset(config))
    assert [task.data.idx for task in tasks] == [0, 1, 2]
    assert tasks[0].data.task["instruction"] in tasks[0].data.prompt
    assert asyncio.run(tasks[0].validate(None)) is True
    env_class = environment_class("fde-decide-claim")
    assert issubclass(env_class, vf.Env)
    for work, reward in ((list(programmed(tasks[0].data.task)), 1.0), (["dance", "done"], 0.0)):
        talk = Talk(work)
        asyncio.run(env_class.run(env_class.__new__(env_class), tasks[0], talk))
        assert talk.trace.rewards == {"right": reward} and talk.trace.info["judged"]
        assert bool(talk.trace.info["reasons"]) == (reward == 0.0)
    sys.modules.pop("fde_decide_claim")


def programmed(task: dict[str, object]) -> Iterator[str]:
    """The compiled program's lines in a task, two to a reply."""
    env = WorkflowEnv(desk())
    view = env.reset(Task.model_validate(task))
    lines = []
    while not view.finished:
        action = env.next_action()
        assert action is not None
        lines.append(action.text())
        view = env.step(action)
    for at in range(0, len(lines), 2):
        yield "I do this:\n```\n" + "\n".join(lines[at : at + 2]) + "\n```"


class Talk:
    """Agents whose player says what was written down: a model in place of a model, the exchange as it is."""

    def __init__(self, said: list[str]) -> None:
        self.player, self.interaction = self, self._interaction
        self.said, self.heard = iter(said), []
        self.trace = SimpleNamespace(rewards={}, info={}, record_reward=self._reward)

    def _reward(self, name: str, value: float) -> None:
        self.trace.rewards[name] = value

    @asynccontextmanager
    async def _interaction(self, task: object) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(turn=self._turn, trace=self.trace)

    async def _turn(self, told: str | None = None) -> SimpleNamespace:
        assert (told is None) == (not self.heard)
        self.heard.append(told)
        reply = next(self.said, None)
        return SimpleNamespace(last_reply=reply, terminated=reply is None)


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
