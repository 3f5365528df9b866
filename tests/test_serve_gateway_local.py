"""``fde serve start --engine local``: the whole way from a trained adapter to an answer over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fde.engagement import Engagement
from fde.errors import InputError, MissingError, WorkError
from serve.adapters import AdapterRegistry
from serve.chat import ChatError, ChatRequest
from serve.local_chat import LocalChat
from serve.service import check_effect, effect, plan
from tests.serve_tiny import make_adapter, make_engagement, make_model, train

FDE = (sys.executable, "-m", "fde.cli.main")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def client_folder(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Engagement:
    engagement = make_engagement(tmp_path_factory.mktemp("client") / "e", base, "[serve]\nport = 0\n")
    train(engagement, "rl-code", base, strength=0.5)
    AdapterRegistry(engagement).promote("rl-code")
    return engagement


@pytest.fixture(scope="module")
def chat(base: Path, client_folder: Engagement) -> LocalChat:
    from serve.engine.local import LocalEngine

    made = LocalChat(LocalEngine.load(base, dtype="float32"), "tiny")
    registry = AdapterRegistry(client_folder)
    (adapter,) = registry.versions()
    made.load_adapter("code@1", registry.path(adapter))
    return made


def ask(**more: Any) -> ChatRequest:
    given = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, **more}
    return ChatRequest.model_validate(given)


@contextmanager
def serving(
    engagement: Engagement, *options: str, until: Callable[[str], bool]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A running ``fde serve start --json``; its first answer on stdout."""
    process = subprocess.Popen(
        [
            *FDE,
            "-C",
            str(engagement.root),
            "serve",
            "start",
            "--json",
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    try:
        said = ""
        while not until(said):
            line = process.stdout.readline()
            if not line:
                raise AssertionError(f"it ended: {process.communicate()[1]}")
            said += line
        yield process, json.loads(said)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def whole_json(text: str) -> bool:
    return text.rstrip().endswith("}") and text.count("{") == text.count("}")


def test_an_adapter_answers_over_http_until_a_signal(client_folder: Engagement) -> None:
    with serving(client_folder, "--engine", "local", until=whole_json) as (process, facts):
        (name,) = [adapter.name for adapter in AdapterRegistry(client_folder).versions()]
        assert facts["engine"] == "local" and facts["models"] == [name, "code", "tiny"]
        body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "temperature": 0}
        with httpx.Client(base_url=facts["url"], trust_env=False, timeout=60) as http:
            answers = {}
            for model in ("code", name, "tiny"):
                told = http.post("/chat/completions", json={**body, "model": model})
                assert told.status_code == 200, told.text
                answers[model] = told.json()["choices"][0]["message"]["content"]
                assert told.json()["model"] == (model if model == "tiny" else name)
            assert answers["code"] == answers[name] != answers["tiny"]
            assert http.post("/chat/completions", json={**body, "model": "nobody"}).status_code == 404
            with http.stream(
                "POST", "/chat/completions", json={**body, "model": name, "stream": True}
            ) as told:
                events = [line.removeprefix("data: ") for line in told.iter_lines() if line]
            assert events[-1] == "[DONE]"
            text = "".join(
                choice["delta"].get("content") or ""
                for event in events[:-1]
                for choice in json.loads(event)["choices"]
            )
            assert text == answers[name]
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0 and "Stopped." in told


def test_interrupted_while_the_model_is_loaded(client_folder: Engagement) -> None:
    process = subprocess.Popen(
        [*FDE, "-C", str(client_folder.root), "serve", "start", "--engine", "local"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stderr is not None
    assert "Loading the model" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and told == ""


def test_a_port_in_use_is_an_error_before_anything_starts(client_folder: Engagement) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} on 127.0.0.1 is in use") as caught:
            plan(client_folder, engine="local", port=port)
        assert caught.value.exit_code == 2
        began = time.monotonic()
        done = subprocess.run(
            [
                *FDE,
                "-C",
                str(client_folder.root),
                "serve",
                "start",
                "--port",
                str(port),
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
        )
        assert done.returncode == 2 and "is in use" in done.stderr and done.stdout == ""
        assert time.monotonic() - began < 20
    assert not (client_folder.root / "logs").exists()


def test_an_adapter_without_effect_is_not_served(tmp_path: Path, base: Path, fde: Any) -> None:
    engagement = make_engagement(tmp_path / "e", base)
    train(engagement, "rl-code", base, strength=0.0)
    AdapterRegistry(engagement).promote("rl-code")
    done = fde("-C", engagement.root, "serve", "start", "--engine", "local", "--port", "0")
    assert done.code == 1 and "has no effect" in done.err and done.out == ""


def test_the_probe_tells_effect_from_noise(base: Path, chat: LocalChat, tmp_path: Path) -> None:
    chat.load_adapter("none@1", make_adapter(tmp_path / "none", base, strength=0.0))
    chat.load_adapter("faint@1", make_adapter(tmp_path / "faint", base, strength=0.001))
    assert effect(chat, "tiny", "none@1") == 0.0
    assert effect(chat, "tiny", "faint@1") > 1e-4
    assert effect(chat, "tiny", "code@1") > 0.01

    class Noisy:
        """A server whose answers wander."""

        calls = 0

        def first_token(self, model: str, messages: Any) -> dict[str, float]:
            self.calls += 1
            return {"a": -1.0 - 0.01 * (self.calls % 2), "b": -2.0}

    assert effect(Noisy(), "tiny", "code@1") <= 0.0


def test_plans_check_everything_first(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engagement = make_engagement(tmp_path / "e", base, '[serve]\nport = 0\napi_key = "env:TINY_KEY"\n')
    monkeypatch.setenv("TINY_KEY", "s3cret")
    with pytest.raises(MissingError, match="No adapter was promoted") as caught:
        plan(engagement)
    assert "fde train rl" in caught.value.hint
    train(engagement, "sft-code", base, strength=0.5)
    with pytest.raises(MissingError) as caught:
        plan(engagement)
    assert "fde serve promote sft-code" in caught.value.hint
    train(engagement, "rl-code", base, strength=0.5, seed=2)
    assert [adapter.stage for adapter in plan(engagement, engine="local").adapters] == ["rl-code"]
    assert AdapterRegistry(engagement).tasks() == [], "serving promotes nothing"
    AdapterRegistry(engagement).promote("sft-code")
    assert [adapter.stage for adapter in plan(engagement, engine="local").adapters] == ["sft-code"]
    # A stage can be served without being promoted.
    planned = plan(engagement, ["rl-code"], engine="local", host="0.0.0.0")
    assert planned.api_key == "s3cret" and list(planned.active) == ["code"]
    monkeypatch.delenv("TINY_KEY")
    with pytest.raises(InputError, match="environment has no TINY_KEY"):
        plan(engagement, ["rl-code"])
    open_door = make_engagement(tmp_path / "open", base)
    with pytest.raises(InputError, match="without an API key"):
        plan(open_door, host="0.0.0.0", port=0)
    other = make_model(tmp_path / "other", width=128)
    swapped = make_engagement(tmp_path / "swapped", other, "[serve]\nport = 0\n")
    train(swapped, "rl-code", base, strength=0.5)
    with pytest.raises(InputError, match="was trained for the base model tiny"):
        plan(swapped, ["rl-code"])


def test_check_effect_names_the_adapter(client_folder: Engagement) -> None:
    class Deaf:
        def first_token(self, model: str, messages: Any) -> dict[str, float]:
            return {"a": -1.0}

    planned = plan(client_folder, engine="local")
    with pytest.raises(WorkError, match=f"{planned.adapters[0].name} has no effect"):
        check_effect(Deaf(), planned)


def test_local_answers(chat: LocalChat, base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    told = chat.generate(ask(temperature=0.0, logprobs=True, top_logprobs=3))
    again = chat.generate(ask(temperature=0.0))
    text = told["choices"][0]["message"]["content"]
    assert text == again["choices"][0]["message"]["content"]
    # The same as transformers' own forward.
    prompt = chat._prompt([{"role": "user", "content": "hello"}])
    with torch.inference_mode():
        logits = (
            AutoModelForCausalLM.from_pretrained(base)(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
        )
    first = told["choices"][0]["logprobs"]["content"][0]
    assert first["logprob"] == pytest.approx(float(logits.max()), abs=1e-4)
    assert [entry["logprob"] for entry in first["top_logprobs"]] == sorted(
        (entry["logprob"] for entry in first["top_logprobs"]), reverse=True
    )
    usage = told["usage"]
    assert usage["prompt_tokens"] == len(prompt) and usage["completion_tokens"] <= 12
    drawn = [
        [
            choice["message"]["content"]
            for choice in chat.generate(ask(seed=seed, n=3, temperature=1.5))["choices"]
        ]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2] and len(set(drawn[0])) > 1
    stop = text[3:5]
    stopped = chat.generate(ask(temperature=0.0, stop=[stop]))["choices"][0]
    assert stopped["message"]["content"] == text[: text.find(stop)] and stopped["finish_reason"] == "stop"


@pytest.mark.parametrize("stops", [False, True])
def test_local_streams_say_what_the_answer_says(chat: LocalChat, stops: bool) -> None:
    whole = chat.generate(ask(temperature=0.0, max_tokens=40))["choices"][0]["message"]["content"]
    pieces: list[str] = []
    asked = ask(temperature=0.0, max_tokens=40, stop=[whole[10:12]] if stops else None)
    told = chat.generate(asked, tell=lambda index, text: pieces.append(text))
    assert "".join(pieces) == told["choices"][0]["message"]["content"]
    assert len(pieces) > 1


def test_local_limits(chat: LocalChat) -> None:
    long = [{"role": "user", "content": "x" * 600}]
    with pytest.raises(ChatError, match="the model reads 512") as caught:
        chat.generate(ask(messages=long))
    assert caught.value.status == 400 and caught.value.code == "context_length_exceeded"
    with pytest.raises(ChatError, match="Penalties"):
        chat.generate(ask(presence_penalty=0.5))
    with pytest.raises(ChatError, match="response_format"):
        chat.generate(ask(response_format={"type": "json_object"}))
    count = 0

    def given_up() -> bool:
        nonlocal count
        count += 1
        return count > 3

    told = chat.generate(ask(max_tokens=200, seed=1), given_up=given_up)
    assert told["usage"]["completion_tokens"] <= 3


def test_a_model_with_special_messages_is_refused_not_crashed(chat: LocalChat) -> None:
    chat_template = chat.engine.tokenizer.chat_template
    chat.engine.tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    try:
        with pytest.raises(ChatError, match="roles must alternate"):
            chat.generate(ask())
    finally:
        chat.engine.tokenizer.chat_template = chat_template


def test_a_vllm_that_does_not_start_is_replaced_or_reported(
    client_folder: Engagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serve import service
    from serve.local_chat import LocalBackend

    def fail(server: Any) -> None:
        raise WorkError("vLLM ended with code 1. The end of the log:\nIllegal instruction")

    monkeypatch.setattr(service, "importable", lambda: True)
    monkeypatch.setattr(service.VllmServer, "start", fail)
    told: list[str] = []
    with service.open_backend(plan(client_folder), told.append) as backend:
        assert isinstance(backend, LocalBackend)
    assert any("The local engine takes over" in line for line in told)
    with (
        pytest.raises(WorkError, match="Illegal instruction"),
        service.open_backend(plan(client_folder, engine="vllm"), told.append),
    ):
        pass


def test_the_benchmark_gives_what_other_programs_read(base: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "benchmarks/serving.py",
            "--quick",
            "--json",
            "--engine",
            "local",
            "--model",
            str(base),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["machine"]["cores"] >= 1
    assert all(
        set(entry) == {"name", "value", "unit", "peer", "peer_value", "ratio"} for entry in told["results"]
    )
    assert told["results"][0]["unit"] == "1/s" and all(entry["value"] > 0 for entry in told["results"])
