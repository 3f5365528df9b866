"""vLLM as a child: a real server where it is installed, and its failures everywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from fde.errors import InputError, MissingError, WorkError
from serve import vllm_server
from serve.adapters import AdapterRegistry
from serve.vllm_server import VllmOptions, VllmServer, cpu_computes_bf16, importable
from tests.serve_tiny import make_adapter, make_engagement, make_model, train
from tests.test_serve_gateway_local import serving, whole_json


class Scripted(VllmServer):
    """The same handling of another program."""

    code = ""

    def command(self) -> list[str]:
        return [sys.executable, "-S", "-c", self.code, str(self.port)]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    monkeypatch.setattr(vllm_server, "importable", lambda: True)
    return Scripted(
        tmp_path, served_name="tiny", log_path=tmp_path / "logs" / "vllm.log", options=VllmOptions(start_s=20)
    )


def test_a_child_that_ends_is_reported_with_its_last_lines(scripted: Scripted) -> None:
    scripted.code = "for i in range(90): print('line', i)\nraise SystemExit(3)"
    with pytest.raises(WorkError, match="vLLM ended with code 3") as caught:
        scripted.start()
    assert "line 89" in caught.value.message and "line 10\n" not in caught.value.message
    assert "--engine local" in caught.value.hint
    assert scripted.log_path.stat().st_mode & 0o777 == 0o600
    scripted.code = "raise SystemExit('second')"
    with pytest.raises(WorkError, match="second"):
        scripted.start()
    assert "line 89" in scripted.log_path.with_name("vllm.log.1").read_text()


def test_a_child_that_never_answers_is_ended_with_its_children(scripted: Scripted, tmp_path: Path) -> None:
    scripted.code = (
        "import subprocess, sys, time, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        "print('child', child.pid, flush=True); time.sleep(600)"
    )
    scripted.options = VllmOptions(start_s=1.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm_server, "STOP_S", 0.5)
        with pytest.raises(WorkError, match=r"did not answer within 1\.5 s"):
            scripted.start()
    pid = int(scripted.log_path.read_text().split()[1])
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "a grandchild is left"
        time.sleep(0.05)


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    code = (
        "import sys, time; from pathlib import Path; from serve import vllm_server as v\n"
        "v.importable = lambda: True\n"
        "class S(v.VllmServer):\n"
        "    def command(self): return [sys.executable, '-S', '-c', 'import time; time.sleep(600)']\n"
        "s = S(Path('.'), served_name='t', log_path=Path(sys.argv[1]))\n"
        "s.start(waiting=lambda: print(s._process.pid, flush=True))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    child.wait(timeout=10)


def test_the_key_is_not_in_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    server = VllmServer(
        tmp_path, served_name="tiny", log_path=tmp_path / "log", options=VllmOptions(max_rank=9)
    )
    command = server.command()
    key = server.headers["Authorization"].removeprefix("Bearer ")
    assert len(key) > 30 and not any(key in part for part in command)
    assert server.environment()["VLLM_API_KEY"] == key
    assert command[command.index("--max-lora-rank") + 1] == "16"
    assert command[command.index("--max-model-len") + 1] == "512"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    server.options = VllmOptions(max_rank=1000)
    with pytest.raises(InputError, match="rank 1000 is too large"):
        server.command()


def test_bf16_is_taken_where_the_processor_has_it(tmp_path: Path) -> None:
    for flags, expected in (("fpu avx2", False), ("fpu avx512_bf16", True), ("amx_bf16", True)):
        (tmp_path / "cpuinfo").write_text(f"processor: 0\nflags\t\t: {flags}\n")
        assert cpu_computes_bf16(tmp_path / "cpuinfo") is expected
    assert cpu_computes_bf16(tmp_path / "none") is False


def test_without_vllm_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "importable", lambda: False)
    with pytest.raises(MissingError, match="not installed") as caught:
        VllmServer(tmp_path, served_name="t", log_path=tmp_path / "log").start()
    assert "--engine local" in caught.value.hint


@pytest.mark.vllm
@pytest.mark.skipif(not importable(), reason="vLLM is not installed here")
def test_a_real_server(tmp_path: Path) -> None:
    """One start: two adapters answer differently, as the local engine does; a crash is told."""
    base = make_model(tmp_path / "tiny")
    engagement = make_engagement(tmp_path / "e", base, "[serve]\nport = 0\nkv_cache_gib = 1\n")
    registry = AdapterRegistry(engagement)
    for number, task in enumerate(("code", "pay"), 1):
        train(engagement, f"rl-{task}", base, strength=0.5, seed=number)
        registry.promote(f"rl-{task}")
    names = [adapter.name for adapter in registry.versions()]
    messages = [{"role": "user", "content": "hello"}]
    with serving(engagement, "--engine", "vllm", until=whole_json) as (process, facts):
        assert facts["engine"] == "vllm" and facts["models"] == [*names, "code", "pay", "tiny"]
        body = {"messages": messages, "max_tokens": 8, "temperature": 0, "logprobs": True, "top_logprobs": 5}
        with httpx.Client(base_url=facts["url"], trust_env=False, timeout=120) as http:
            first = {}
            for model in ("tiny", "code", "pay"):
                told = http.post("/chat/completions", json={**body, "model": model})
                assert told.status_code == 200, told.text
                entry = told.json()["choices"][0]["logprobs"]["content"][0]
                first[model] = sorted(e["logprob"] for e in entry["top_logprobs"])
                assert told.json()["model"] == {"code": names[0], "pay": names[1]}.get(model, "tiny")
            assert first["tiny"] != first["code"] != first["pay"]
            with http.stream(
                "POST", "/chat/completions", json={**body, "model": "pay", "stream": True}
            ) as told:
                events = [line for line in told.iter_lines() if line]
            assert events[0].startswith("data: {") and events[-1] == "data: [DONE]"
            too_long = [{"role": "user", "content": "x" * 600}]
            refused = http.post("/chat/completions", json={"model": "pay", "messages": too_long})
            assert refused.status_code == 400 and "512" in refused.json()["error"]["message"]
        _as_local(base, registry, first)
        child = next(p for p in psutil.Process(process.pid).children() if vllm_server.MODULE in p.cmdline())
        port = child.cmdline()[child.cmdline().index("--port") + 1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as direct:
            assert direct.post("/v1/load_lora_adapter", json={}).status_code == 401
        whole = [child, *child.children(recursive=True)]
        os.kill(child.pid, signal.SIGKILL)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 1 and "vLLM was ended by signal 9" in told and "The end of" in told
        assert psutil.wait_procs(whole, timeout=20)[1] == [], "something vLLM started is left"


def _as_local(base: Path, registry: AdapterRegistry, first: dict[str, list[float]]) -> None:
    """Both engines give the same probabilities for the same weights."""
    from serve.chat import ChatRequest
    from serve.engine.local import LocalEngine
    from serve.local_chat import LocalChat

    chat = LocalChat(LocalEngine.load(base, dtype="float32"), "tiny")
    for adapter in registry.versions():
        chat.load_adapter(adapter.task, registry.path(adapter))
    for model, expected in first.items():
        told = chat.generate(
            ChatRequest.model_validate(
                {
                    "model": model,
                    "messages": [{"role": "user", "content": "hello"}],
                    "max_tokens": 1,
                    "temperature": 0,
                    "logprobs": True,
                    "top_logprobs": 5,
                }
            )
        )
        entry = told["choices"][0]["logprobs"]["content"][0]
        assert sorted(e["logprob"] for e in entry["top_logprobs"]) == pytest.approx(expected, abs=0.05)


@pytest.mark.vllm
@pytest.mark.skipif(not importable(), reason="vLLM is not installed here")
def test_a_real_server_tells_why_it_does_not_start(tmp_path: Path) -> None:
    base = make_model(tmp_path / "tiny")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "architectures": ["NoSuchModel"]}))
    make_adapter(tmp_path / "adapter", base, strength=1.0)
    server = VllmServer(base, served_name="tiny", log_path=tmp_path / "vllm.log")
    with pytest.raises(WorkError, match="vLLM ended with code") as caught:
        server.start()
    assert "NoSuchModel" in caught.value.message
