"""The gateway: the only thing of the model server that clients reach.

It passes chat completions, the list of models and a health check, and nothing
else: no loading of adapters, no tokenising, no metrics. It asks for the key,
bounds sizes, times and the number of requests, and answers for a model that
does not exist with the names of those that do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.chat import Backend, ChatError, ChatRequest

PASSED = ("POST /v1/chat/completions", "GET /v1/models", "GET /health")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask for.

    Attributes:
        body_bytes: Size of a request.
        read_s: Time to send a request.
        answer_s: Time for an answer; a stream may take this long in all.
        tokens: Tokens of an answer.
        requests: Requests answered at the same time; more are turned away with 429.
    """

    body_bytes: int = 1_000_000
    read_s: float = 20.0
    answer_s: float = 300.0
    tokens: int = 1024
    requests: int = 64


@dataclass(frozen=True, slots=True)
class Served:
    """The models that can be asked for.

    Attributes:
        base: Name of the base model.
        adapters: Full name (``task@digest``) -> when it was made, in seconds since 1970.
        active: Task -> full name of the version that its name alone means.
    """

    base: str
    adapters: Mapping[str, int] = field(default_factory=dict)
    active: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, name: str) -> str:
        """The model that a name means.

        Raises:
            ChatError: 404, naming the known ones.
        """
        if name == self.base or name in self.adapters:
            return name
        if name in self.active:
            return self.active[name]
        known = ", ".join([*self.adapters, *self.active, self.base])
        raise ChatError(
            404, f"The model '{name}' is not served here. Served are: {known}.", "model_not_found", "model"
        )

    def listed(self, started: int) -> list[dict[str, Any]]:
        """The models in OpenAI's form."""
        entries = [(name, made, self.base) for name, made in self.adapters.items()]
        entries += [(task, self.adapters[full], full) for task, full in self.active.items()]
        entries.append((self.base, started, None))  # type: ignore[arg-type]
        return [
            {"id": name, "object": "model", "created": made, "owned_by": "fde", "parent": parent}
            for name, made, parent in entries
        ]


class Gateway:
    """The gateway's application (ASGI), see :meth:`app`."""

    def __init__(
        self, backend: Backend, served: Served, *, api_key: str = "", limits: Limits | None = None
    ) -> None:
        self.backend = backend
        self.served = served
        self.limits = limits or Limits()
        self._key = api_key.encode()
        self._busy = 0
        self._started = int(time.time())

    def app(self) -> ASGIApp:
        """The ASGI application, for uvicorn or a test client."""
        return Starlette(
            routes=[
                Route("/health", self._health, methods=["GET"]),
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ],
            exception_handlers={404: self._unknown, 405: self._unknown, ChatError: self._refuse},  # type: ignore[dict-item]
        )

    async def _health(self, request: Request) -> Response:
        failure = self.backend.failure()
        answer = {"status": "failed" if failure else "ok", "engine": self.backend.name}
        return JSONResponse(answer, 503 if failure else 200)

    async def _models(self, request: Request) -> Response:
        self._authorise(request)
        return JSONResponse({"object": "list", "data": self.served.listed(self._started)})

    async def _chat(self, request: Request) -> Response:
        self._authorise(request)
        asked = parse_request(await self._body(request))
        model = self.served.resolve(asked.model)
        asked = asked.limited(model=model, max_tokens=self.limits.tokens)
        if self.backend.failure():
            raise ChatError(503, "The model server has stopped.", "unavailable")
        if self._busy >= self.limits.requests:
            raise ChatError(429, f"{self._busy} requests are being answered already. Try again soon.", "busy")
        self._busy += 1
        if asked.stream:
            return await self._streamed(asked)
        try:
            answer = await self._answer(request, asked)
        finally:
            self._busy -= 1
        return JSONResponse(answer)

    async def _answer(self, request: Request, asked: ChatRequest) -> dict[str, Any]:
        """The whole answer; given up when it takes too long or the client has gone."""
        work = asyncio.ensure_future(self.backend.complete(asked))
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait(
                {work, gone}, timeout=self.limits.answer_s, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                return work.result()
            if gone.done():
                raise ChatError(499, "The client went away.", "closed")
            raise ChatError(504, f"The answer took longer than {self.limits.answer_s:g} s.", "timeout")
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _streamed(self, asked: ChatRequest) -> Response:
        """A stream; an error before its first event still has a status of its own."""
        events = self.backend.stream(asked)
        deadline = time.monotonic() + self.limits.answer_s
        try:
            first = await self._event(events, deadline)
            if not first:
                raise ChatError(502, "The model server ended its answer early.", "bad_gateway")
        except BaseException:
            self._busy -= 1
            raise

        async def passed() -> AsyncIterator[bytes]:
            event = first
            try:
                while event:
                    yield event
                    event = await self._event(events, deadline)
            except ChatError as error:
                yield b"data: " + json.dumps(error.body()).encode() + b"\n\n"

        return _Stream(passed(), events, self._release)

    async def _event(self, events: AsyncIterator[bytes], deadline: float) -> bytes:
        """The next event, empty at the end."""
        try:
            return await asyncio.wait_for(anext(events, b""), deadline - time.monotonic())
        except TimeoutError as error:
            told = f"The answer took longer than {self.limits.answer_s:g} s."
            raise ChatError(504, told, "timeout") from error

    def _release(self) -> None:
        self._busy -= 1

    def _authorise(self, request: Request) -> None:
        if not self._key:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._key):
            raise ChatError(
                401, "The API key is missing or wrong (Authorization: Bearer …).", "invalid_api_key"
            )

    async def _body(self, request: Request) -> bytes:
        too_large = ChatError(413, f"A request may have {self.limits.body_bytes} bytes.", "too_large")
        said = request.headers.get("content-length", "")
        if said.isdigit() and int(said) > self.limits.body_bytes:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.read_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self.limits.body_bytes:
                        raise too_large
        except TimeoutError as error:
            raise ChatError(
                408, f"The request took longer than {self.limits.read_s:g} s to arrive.", "timeout"
            ) from error
        except ClientDisconnect as error:
            raise ChatError(499, "The client went away.", "closed") from error
        return bytes(body)

    async def _unknown(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        told = f"{request.method} {request.url.path} is not served here. Served are: {', '.join(PASSED)}."
        return JSONResponse(ChatError(status, told, "not_found").body(), status)

    async def _refuse(self, request: Request, error: ChatError) -> Response:
        headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}.get(error.status)
        # 499 is not for a client's eyes; it has gone.
        return JSONResponse(error.body(), error.status, headers)


class _Stream(StreamingResponse):
    """Server-sent events; however they end, the backend is told and the place is free again."""

    def __init__(
        self, content: AsyncIterator[bytes], events: AsyncIterator[bytes], done: Callable[[], None]
    ) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._events = events
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._done()
            with contextlib.suppress(Exception):
                await self._events.aclose()  # type: ignore[attr-defined]


async def _gone(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


def parse_request(body: bytes) -> ChatRequest:
    """A request's bytes, checked.

    Raises:
        ChatError: 400, naming the first thing that is wrong.
    """

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not a number in JSON")

    try:
        value = json.loads(body, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise ChatError(400, f"The request is not JSON: {error}", "invalid_json") from error
    if not isinstance(value, dict):
        raise ChatError(400, "The request is not a JSON object.", "invalid_json")
    try:
        return ChatRequest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = _where(first["loc"])
        told = first["msg"]
        if first["type"] == "extra_forbidden":
            told = f"not supported here (supported: {', '.join(sorted(ChatRequest.model_fields))})"
            told = told if len(first["loc"]) == 1 else "not supported here"
        raise ChatError(400, f"{where}: {told}.", "invalid_request", where) from error


def _where(path: Sequence[int | str]) -> str:
    """A place in the request: ``messages[2].content``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier() and part != "str":
            text += f".{part}" if text else part
    return text or "request"
