"""The model server as a whole: its adapters, its engine, proof that they act, its run until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from fde.config import ModelSettings, section
from fde.engagement import Engagement
from fde.errors import InputError, MissingError, WorkError
from fde.models import model_digest, model_path
from fde.ports import check_port
from serve.adapters import Adapter, AdapterRegistry
from serve.chat import Backend
from serve.gateway import Gateway, Limits, Served
from serve.keys import read_key
from serve.vllm_server import VllmBackend, VllmOptions, VllmServer, importable

if TYPE_CHECKING:
    from types import FrameType

Engine = Literal["auto", "vllm", "local"]
ENGINES: tuple[Engine, ...] = ("auto", "vllm", "local")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WATCH_EVERY_S = 0.5
# Log-probabilities that differ by less are the same, whatever rounding did to them.
_SAME = 1e-5
_PROBES = (
    'Task: Open the record and submit the form.\n# Inbox\nlink "A-1" | New\nbutton "Search"',
    'Task: Fill in the form.\n# Form\ntextbox "Number"\ncombobox "Kind":  (One, Two)\nbutton "Submit"',
    "What is the capital of France?",
)


class ServeSettings(BaseModel):
    """``[serve]`` in ``fde.toml``.

    Attributes:
        api_key: ``env:NAME`` or ``file:PATH`` of the key clients must send; empty for none.
        max_request_bytes: Size of a request.
        answer_timeout_s: Time for an answer.
        max_answer_tokens: Length of an answer.
        max_requests: Requests answered at the same time.
        dtype: For vLLM: ``auto``, ``bfloat16``, ``float16`` or ``float32``.
        max_model_len: Tokens of prompt and answer together (vLLM); 0 for what the model allows, at most 8192.
        kv_cache_gib: Memory for keys and values on a CPU (vLLM).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: str = Field(default="", pattern=r"^$|^(env|file):.+")
    max_request_bytes: int = Field(default=1_000_000, ge=1000)
    answer_timeout_s: float = Field(default=300.0, gt=0)
    max_answer_tokens: int = Field(default=1024, ge=1)
    max_requests: int = Field(default=64, ge=1)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    max_model_len: int = Field(default=0, ge=0)
    kv_cache_gib: int = Field(default=2, ge=1)

    def limits(self) -> Limits:
        return Limits(
            body_bytes=self.max_request_bytes,
            answer_s=self.answer_timeout_s,
            tokens=self.max_answer_tokens,
            requests=self.max_requests,
        )


class Model(Protocol):
    """What both engines can do besides answering: take adapters and be probed."""

    def first_token(self, model: str, messages: Sequence[dict[str, str]]) -> dict[str, float]:
        """Log-probabilities of the likeliest first tokens of an answer."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is about to be served, checked before anything is started.

    Attributes:
        base: Name of the base model in requests.
        adapters: With their files checked.
        active: Task -> full name of the version its name alone means.
        fallback: Whether the local engine takes over when vLLM does not start.
    """

    engagement: Engagement
    settings: ServeSettings
    engine: Literal["vllm", "local"]
    fallback: bool
    base: str
    adapters: tuple[Adapter, ...]
    active: Mapping[str, str]
    host: str
    port: int
    api_key: str

    def served(self) -> Served:
        made = {a.name: int(datetime.fromisoformat(a.registered).timestamp()) for a in self.adapters}
        return Served(self.base, made, self.active)


def plan(
    engagement: Engagement,
    names: Sequence[str] = (),
    *,
    engine: Engine = "auto",
    host: str | None = None,
    port: int | None = None,
) -> Plan:
    """Check everything that can be checked before a server is started.

    Args:
        names: Adapters as for :meth:`AdapterRegistry.find`; none for the active version of every task,
            or, as long as nothing was promoted, for the latest of every ``rl-…`` stage.
        engine: ``auto`` takes vLLM where it is installed.

    Raises:
        InputError: a port in use, an adapter of another base model, an open door without a key.
        MissingError: no such adapter, model or engine.
    """
    settings = section(engagement, "serve", ServeSettings)
    where, at = settings.host if host is None else host, settings.port if port is None else port
    check_port(where, at)
    key = read_key(settings.api_key, engagement, "[serve] api_key")
    if where not in LOOPBACK and not key:
        raise InputError(
            f"Listening on {where} without an API key would let everyone in the network use the model.",
            'Set one: in fde.toml, [serve] api_key = "env:FDE_API_KEY". Or listen on 127.0.0.1.',
        )
    if engine == "vllm" and not importable():
        raise MissingError(
            "The engine vllm is not installed in this environment.",
            "Serve with transformers instead: fde serve start --engine local",
        )
    registry = AdapterRegistry(engagement)
    # Before anything was promoted, what reinforcement learning made last is what is meant.
    latest = [stage for stage in registry.trained() if stage.startswith("rl-")]
    adapters = tuple(registry.find(name) for name in names or registry.tasks() or latest)
    if not adapters:
        trained = registry.trained()
        hint = (
            f"fde serve promote {trained[-1]}" if trained else "fde train rl, then: fde serve promote STAGE"
        )
        raise MissingError("No adapter was promoted yet: there is nothing to serve.", f"Run: {hint}")
    base = section(engagement, "model", ModelSettings).base
    digest = model_digest(base)
    for adapter in adapters:
        if adapter.base_digest not in (None, digest):
            raise InputError(
                f"The adapter {adapter.name} was trained for the base model {adapter.base}, not '{base}'.",
                "Name that one in fde.toml, [model] base.",
            )
    active = {}
    for adapter in adapters:
        chosen = registry.active(adapter.task)
        # Whoever names one version means it by the task's name too.
        active[adapter.task] = chosen.name if chosen in adapters and chosen is not None else adapter.name
    tuned = [adapter.name for adapter in adapters if adapter.rank is None]
    if tuned and engine == "vllm":
        raise InputError(
            f"vLLM serves adapters on one base model, and {tuned[0]} tuned the weights themselves.",
            "Serve it with: --engine local. Or make a model of it for vLLM: fde train export STAGE DIR",
        )
    rounded = [adapter.name for adapter in adapters if adapter.quantized]
    if rounded and engine == "vllm":
        raise InputError(
            f"{rounded[0]} was trained on the base model in four bits, and vLLM has the base model as it is.",
            "Serve it with: --engine local. Or make a model of it for vLLM: fde train export STAGE DIR",
        )
    if rounded and len(rounded) < len(adapters):
        other = next(adapter.name for adapter in adapters if not adapter.quantized)
        raise InputError(
            f"{rounded[0]} was trained on the base model in four bits, and {other} on the base model as it "
            "is: a server has one of them.",
            f"Serve them one by one: fde serve start --adapter {rounded[0]}",
        )
    local_only = bool(tuned or rounded)
    kind: Literal["vllm", "local"] = (
        "vllm" if engine == "vllm" or (engine == "auto" and importable() and not local_only) else "local"
    )
    served_as = model_path(base).name
    return Plan(
        engagement,
        settings,
        kind,
        engine == "auto",
        served_as,
        _unique(adapters),
        active,
        where,
        at,
        key,
    )


def _unique(adapters: Sequence[Adapter]) -> tuple[Adapter, ...]:
    return tuple({adapter.name: adapter for adapter in adapters}.values())


def effect(model: Model, base: str, adapter: str) -> float:
    """How much an adapter changes what is answered: the largest difference of a log-probability.

    Fixed conversations are asked with and without the adapter. What the base model differs by
    from itself (servers batch and round) does not count.
    """
    largest = 0.0
    for text in _PROBES:
        messages = [{"role": "user", "content": text}]
        once, again = model.first_token(base, messages), model.first_token(base, messages)
        largest = max(largest, _distance(once, model.first_token(adapter, messages)) - _distance(once, again))
        if largest > _SAME:
            break
    return largest


def _distance(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """The largest difference; a token that only one of them names counts from the other's least likely."""
    floor_a, floor_b = min(a.values()), min(b.values())
    return max(abs(a.get(token, floor_a) - b.get(token, floor_b)) for token in a.keys() | b.keys())


def check_effect(model: Model, plan: Plan) -> None:
    """Make sure that every adapter acts.

    Raises:
        WorkError: naming the one that does not.
    """
    for adapter in plan.adapters:
        if effect(model, plan.base, adapter.name) <= _SAME:
            raise WorkError(
                f"The adapter {adapter.name} has no effect: without it the answers are the same.",
                f"Look at its training: {adapter.stage}, run {adapter.run}. It is not served.",
            )


@contextmanager
def open_backend(plan: Plan, tell: Callable[[str], None] = lambda _: None) -> Iterator[Backend]:
    """Start the engine, load the adapters and prove that they act; leaving ends the engine.

    Raises:
        WorkError: when the engine does not start or an adapter does not act.
    """
    registry = AdapterRegistry(plan.engagement)
    base = section(plan.engagement, "model", ModelSettings).base
    if plan.engine == "vllm":
        log_path = plan.engagement.root / "logs" / "vllm.log"
        options = VllmOptions(
            dtype=plan.settings.dtype,
            max_model_len=plan.settings.max_model_len,
            kv_cache_gib=plan.settings.kv_cache_gib,
            max_rank=max(adapter.rank or 0 for adapter in plan.adapters),
            max_loras=min(len(plan.adapters), 4),
        )
        server = VllmServer(model_path(base), served_name=plan.base, log_path=log_path, options=options)
        tell(f"Starting vLLM (its log: {log_path}) …")
        with server:
            if _starts(server, plan.fallback, tell):
                for adapter in plan.adapters:
                    server.load_adapter(adapter.name, registry.path(adapter))
                tell("Checking that the adapters act …")
                check_effect(server, plan)
                yield VllmBackend(server)
                return
    tell("Loading the model …")
    from serve.engine.local import LocalEngine
    from serve.local_chat import LocalBackend, LocalChat

    nf4 = any(adapter.quantized for adapter in plan.adapters)
    chat = LocalChat(LocalEngine.load(base, nf4=nf4), plan.base)
    for adapter in plan.adapters:
        chat.load_adapter(adapter.name, registry.path(adapter))
    tell("Checking that the adapters act …")
    check_effect(chat, plan)
    yield LocalBackend(chat)


def _starts(server: VllmServer, fallback: bool, tell: Callable[[str], None]) -> bool:
    """Start vLLM; False when it does not start and another engine may take over."""
    try:
        server.start()
    except WorkError as error:
        if not fallback:
            raise
        tell(f"{error.message.splitlines()[0]} See {server.log_path}. The local engine takes over.")
        return False
    return True


def serve(
    plan: Plan,
    *,
    tell: Callable[[str], None] = lambda _: None,
    ready: Callable[[dict[str, Any]], None] = lambda _: None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        tell: Is told what is being done.
        ready: Gets ``url``, ``engine``, ``models`` and ``pid`` once requests are answered.

    Raises:
        KeyboardInterrupt: on SIGINT, after everything was ended.
        WorkError: when the engine does not start, or ends by itself.
    """
    stopped_by = 0
    with _terminating():
        listener = _listen(plan.host, plan.port)
        with listener, open_backend(plan, tell) as backend:
            gateway = Gateway(backend, plan.served(), api_key=plan.api_key, limits=plan.settings.limits())
            stopped_by = asyncio.run(_run(gateway, backend, listener, plan, ready))
    if stopped_by == signal.SIGINT:
        raise KeyboardInterrupt


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before the model is loaded, so that nobody else has it afterwards."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Who connects while the model is loaded waits; a port that only is bound can be bound twice.
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise InputError(
            f"Cannot listen on {host}:{port}: {error.strerror}.", "Choose another port with --port."
        ) from error
    return listener


async def _run(
    gateway: Gateway,
    backend: Backend,
    listener: socket.socket,
    plan: Plan,
    ready: Callable[[dict[str, Any]], None],
) -> int:
    """Run the gateway; returns the signal that ended it."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # Signals are handled here, where the engine can be ended as well.
            yield

    config = uvicorn.Config(
        gateway.app(),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=5,
        limit_concurrency=plan.settings.max_requests * 2 + 16,
    )
    server = Server(config)
    received: list[int] = []
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        received.append(number)
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    listener.setblocking(False)
    failure = ""
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        host, port = listener.getsockname()[:2]
        told = False
        while not serving.done():
            await asyncio.wait({serving}, timeout=0.05 if not server.started else _WATCH_EVERY_S)
            if server.started and not told and not server.should_exit:
                told = True
                url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
                names = [entry["id"] for entry in gateway.served.listed(int(time.time()))]
                ready({"url": f"{url}/v1", "engine": backend.name, "models": names, "pid": os.getpid()})
            failure = failure or backend.failure()
            if failure:
                server.should_exit = True
        await serving
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        close = getattr(backend, "close", None)
        if close is not None:
            await close()
    if failure and not received:
        _report(backend, failure)
    return received[0] if received else 0


def _report(backend: Backend, failure: str) -> None:
    server = getattr(backend, "server", None)
    if isinstance(server, VllmServer):
        server.check()
    raise WorkError(f"The engine has stopped: {failure}")


class _Terminated(BaseException):
    """SIGTERM while the engine was being started."""


@contextmanager
def _terminating() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what was started is ended on the way out."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except _Terminated:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
