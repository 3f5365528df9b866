"""The gateway: what it passes, what it refuses, and that its limits hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serve.chat import ChatError, ChatRequest
from serve.gateway import Gateway, Limits, Served, parse_request

FULL = "code@0123456789ab"
HELLO = {"model": "code", "messages": [{"role": "user", "content": "hello"}]}


class Echo:
    """Answers with what it was asked."""

    name = "echo"

    def __init__(self) -> None:
        self.seen: list[ChatRequest] = []
        self.wait_s = 0.0
        self.down = ""
        self.error: ChatError | None = None
        self.cancelled = 0

    async def complete(self, request: ChatRequest) -> dict[str, Any]:
        self.seen.append(request)
        try:
            await asyncio.sleep(self.wait_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return {"model": request.model, "asked": request.plain()}

    async def stream(self, request: ChatRequest) -> AsyncIterator[bytes]:
        if self.error is not None:
            raise self.error
        for piece in ("a", "b"):
            yield b"data: " + piece.encode() + b"\n\n"
            await asyncio.sleep(self.wait_s)

    def failure(self) -> str:
        return self.down


class Client:
    """A gateway over an echo, without a network."""

    def __init__(self, **settings: Any) -> None:
        self.echo = Echo()
        served = Served("base", {FULL: 1_700_000_000}, {"code": FULL})
        self.gateway = Gateway(self.echo, served, **settings)
        self.transport = httpx.ASGITransport(self.gateway.app())

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://gateway") as client:
                return await client.request(method, path, **more)

        return asyncio.run(go())

    def chat(self, body: Any = HELLO, **more: Any) -> httpx.Response:
        return self.ask("POST", "/v1/chat/completions", json=body, **more)


def test_a_chat_reaches_the_named_version() -> None:
    client = Client()
    for name in ("code", FULL):
        answer = client.chat({**HELLO, "model": name})
        assert answer.status_code == 200 and answer.json()["model"] == FULL
    assert client.chat({**HELLO, "model": "base"}).json()["model"] == "base"


def test_models_are_listed_with_their_digests() -> None:
    told = Client().ask("GET", "/v1/models").json()
    assert [entry["id"] for entry in told["data"]] == [FULL, "code", "base"]
    assert told["data"][1]["parent"] == FULL and told["object"] == "list"


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    answer = Client().chat({**HELLO, "model": "code@ffffffffffff"})
    assert answer.status_code == 404
    told = answer.json()["error"]
    assert told["code"] == "model_not_found" and f"Served are: {FULL}, code, base." in told["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/load_lora_adapter"),
        ("POST", "/v1/completions"),
        ("POST", "/tokenize"),
        ("GET", "/metrics"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("POST", "/v1/chat/completions/../load_lora_adapter"),
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/models"),
        ("POST", "//v1/chat/completions"),
    ],
)
def test_nothing_else_is_passed(method: str, path: str) -> None:
    client = Client()
    answer = client.ask(method, path, json=HELLO)
    assert answer.status_code in (404, 405)
    assert "Served are: POST /v1/chat/completions" in answer.json()["error"]["message"]
    assert client.echo.seen == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"chat_template": "{{ 1 }}"}, "chat_template: not supported here (supported: frequency_penalty"),
        ({"messages": []}, "messages: "),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role: "),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}
                ]
            },
            "messages[0].content",
        ),
        ({"temperature": -1}, "temperature: "),
        ({"n": 1000}, "n: "),
        ({"max_tokens": "many"}, "max_tokens: "),
        ({"model": 3}, "model: "),
        ({"stream_options": {"more": 1}}, "stream_options.more: not supported here."),
    ],
)
def test_wrong_requests_are_named(change: dict[str, Any], told: str) -> None:
    client = Client()
    answer = client.chat({**HELLO, **change})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(told)
    assert client.echo.seen == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": NaN}', b"[" * 100_000, b"\xff\xfe", b'"x"'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ChatError) as caught:
        parse_request(body)
    assert caught.value.status == 400


def test_text_parts_and_limits_of_length_are_made_plain() -> None:
    client = Client(limits=Limits(tokens=50))
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = {
        "model": "code",
        "messages": [{"role": "developer", "content": parts}],
        "max_completion_tokens": 900,
    }
    asked = client.chat({**body, "user": "ann"}).json()["asked"]
    assert asked == {
        "model": FULL,
        "messages": [{"role": "system", "content": "ab"}],
        "max_tokens": 50,
        "temperature": 1.0,
        "top_p": 1.0,
    }


def test_the_key_is_asked_for() -> None:
    client = Client(api_key="s3cret")
    assert client.ask("GET", "/health").status_code == 200
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "s3cret"},
        {"Authorization": "Bearer ü"},
    ):
        raw = {key: value.encode("utf-8") for key, value in headers.items()}
        answer = client.chat(headers=raw)
        assert answer.status_code == 401 and "s3cret" not in answer.text
        assert client.ask("GET", "/v1/models", headers=raw).status_code == 401
    assert client.chat(headers={"Authorization": "Bearer s3cret"}).status_code == 200
    assert len(client.echo.seen) == 1


def test_large_requests_are_refused_even_without_a_length() -> None:
    client = Client(limits=Limits(body_bytes=1000))
    large = {**HELLO, "messages": [{"role": "user", "content": "x" * 2000}]}
    assert client.chat(large).status_code == 413

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100

    answer = client.ask("POST", "/v1/chat/completions", content=drip())
    assert answer.status_code == 413 and client.echo.seen == []


def test_slow_requests_and_slow_answers_end() -> None:
    client = Client(limits=Limits(read_s=0.2, answer_s=0.2))

    async def stall() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    assert client.ask("POST", "/v1/chat/completions", content=stall()).status_code == 408
    client.echo.wait_s = 30
    assert client.chat().status_code == 504
    assert client.echo.cancelled == 1, "the work of an answer nobody waits for is ended"
    assert client.gateway._busy == 0


def test_too_many_requests_are_turned_away() -> None:
    client = Client(limits=Limits(requests=2))
    client.echo.wait_s = 0.3

    async def go() -> list[int]:
        async with httpx.AsyncClient(transport=client.transport, base_url="http://gateway") as http:
            asked = [http.post("/v1/chat/completions", json=HELLO) for _ in range(5)]
            return sorted(answer.status_code for answer in await asyncio.gather(*asked))

    assert asyncio.run(go()) == [200, 200, 429, 429, 429]
    assert client.gateway._busy == 0


def test_streams() -> None:
    client = Client()
    answer = client.chat({**HELLO, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "data: a\n\ndata: b\n\n"
    client.echo.error = ChatError(400, "No.")
    assert client.chat({**HELLO, "stream": True}).status_code == 400
    client.echo.error = None
    client.gateway.limits = Limits(answer_s=0.2)
    client.echo.wait_s = 5
    late = client.chat({**HELLO, "stream": True}).text
    assert (
        late.startswith("data: a\n\n") and json.loads(late.split("data: ")[2])["error"]["code"] == "timeout"
    )
    assert client.gateway._busy == 0


def test_a_stopped_engine_is_told() -> None:
    client = Client()
    client.echo.down = "vLLM was ended by signal 9, key abc"
    health = client.ask("GET", "/health")
    assert health.status_code == 503 and health.json() == {"status": "failed", "engine": "echo"}
    answer = client.chat()
    assert answer.status_code == 503 and "abc" not in answer.text
