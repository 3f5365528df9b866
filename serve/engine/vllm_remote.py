"""A running vLLM server, here or on another machine, as an engine for rollouts.

Its API tells log-probabilities of up to 128 tokens that one names: those allowed anywhere in a batch are
asked for in one request, and taken relative to each other they are what the agent draws from. Of free text it
tells the likeliest tokens only; what is not among them counts as possible, and is never drawn.

Each process that rolls out loads adapters under names of its own, with the digest of the weights in them.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import torch
from torch import Tensor

from fde import models
from fde.errors import InputError, WorkError
from serve.engine import adapter as adapters
from serve.engine.adapter import Tuned
from serve.engine.token_rows import TokenRows
from serve.grammar import Grammar

# Where the server is, and the key it asks for: of the environment, since a run's settings are kept.
ADDRESS, KEY = "FDE_VLLM_SERVER", "FDE_VLLM_KEY"
# vLLM's limit on tokens whose log-probabilities are asked for by name, and what it tells unnamed by default.
_NAMED, _LIKELIEST = 128, 20
# Tokens of rows at a time: the server has its own limits, and lets what is too much wait.
_CAPACITY = 64 * 768
_AT_ONCE = 8
_PREFIX = "token_id:"
_HINT = (
    "Start it with: VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve MODEL --enable-lora --max-lora-rank R "
    "--dtype float32 (bfloat16 where the trainer has a GPU)"
)


def address() -> str:
    """Where the server is.

    Raises:
        InputError: when the environment does not say, or says no web address.
    """
    url = os.environ.get(ADDRESS, "").strip().rstrip("/").removesuffix("/v1")
    if not url.startswith(("http://", "https://")):
        raise InputError(
            f"--engine vllm-server needs the server's address in {ADDRESS}; it is '{url}'.",
            f"For instance: {ADDRESS}=http://gpu-1:8000 (and {KEY}, where it asks for a key)",
        )
    return url


class VllmServerEngine(TokenRows):
    """See :class:`serve.engine.interface.Engine`.

    Args:
        model: The base model, for its tokenizer. The server must have the same: the probe tells.
        folder: Where adapters are put, at the same path for the server.

    Raises:
        WorkError: the server does not answer.
    """

    on_cpu = False

    def __init__(self, model: str | Path, folder: Path, *, url: str, key: str = "") -> None:
        from transformers import AutoTokenizer

        super().__init__(_CAPACITY)
        self.name, self.url = str(model), url
        self.tokenizer = AutoTokenizer.from_pretrained(models.model_path(model), local_files_only=True)
        self.grammar = Grammar(self.tokenizer)
        self.adapter: str | None = None
        self._free = self.grammar.free_tokens()
        self._folder = folder / f"{socket.gethostname()}-{os.getpid()}"
        self._loaded: tuple[str, Path, Tuned] | None = None
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(600.0, connect=30.0),
            trust_env=False,
        )
        self._pool = ThreadPoolExecutor(_AT_ONCE, "vllm")
        try:
            served = self._told("GET", "/v1/models").json()["data"]
        except BaseException:
            self.close()
            raise
        base = next(each for each in served if each.get("parent") is None)
        self._base: str = base["id"]
        self.max_tokens = int(base["max_model_len"])

    def close(self) -> None:
        """Give the connections back. What was loaded stays with the server until it needs the room."""
        self._pool.shutdown()
        self._http.close()

    # Choosing

    def _log_probs(self, rows: Sequence[list[int]], allowed: Sequence[tuple[int, ...]]) -> list[Tensor]:
        requests = list(requests_for(allowed))
        answers = self._pool.map(lambda each: self._ask([rows[i] for i in each[0]], each[1]), requests)
        told: list[dict[int, float]] = [{} for _ in rows]
        for (places, _), answer in zip(requests, answers, strict=True):
            for place, found in zip(places, answer, strict=True):
                told[place].update(found)
        return [
            self._among(found, tokens) if tokens else self._of_free_text(found)
            for found, tokens in zip(told, allowed, strict=True)
        ]

    def _ask(self, rows: Sequence[list[int]], named: Sequence[int]) -> list[dict[int, float]]:
        """Log-probabilities, over the vocabulary, of the named or likeliest tokens after each row."""
        body: dict[str, Any] = {
            "model": self._loaded[0] if self._loaded else self._base,
            "prompt": rows,
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": len(named) or _LIKELIEST,
            "return_tokens_as_token_ids": True,
            "add_special_tokens": False,
        }
        if named:
            body["logprob_token_ids"] = named
        choices = self._told("POST", "/v1/completions", body).json()["choices"]
        self.counters.forwards += 1
        found = []
        for choice in sorted(choices, key=lambda each: int(each["index"])):
            (likely,) = choice["logprobs"]["top_logprobs"]
            found.append({int(name.removeprefix(_PREFIX)): float(value) for name, value in likely.items()})
        return found

    def _among(self, found: dict[int, float], tokens: Sequence[int]) -> Tensor:
        return torch.tensor([found[token] for token in tokens]).log_softmax(-1)

    def _of_free_text(self, found: dict[int, float]) -> Tensor:
        """Relative to all that is free text, and to what was not told."""
        logs = torch.full((self.grammar.vocabulary,), float("-inf"))
        for token, value in found.items():
            if token < len(logs) and self._free[token]:
                logs[token] = value
        untold = max(0.0, 1.0 - float(torch.tensor(list(found.values())).exp().sum()))
        return logs - (logs.exp().sum() + untold).log()

    # Adapters

    def use_adapter(self, name: str, weights: Tuned) -> None:
        """Have the server compute with an adapter from now on.

        Raises:
            WorkError: when it does not take it.
        """
        own = f"{name}.{self._folder.name}"
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in adapters.files_of(weights, base_model=self.name).items():
            (folder / file).write_bytes(content)
        self._told("POST", "/v1/load_lora_adapter", {"lora_name": own, "lora_path": str(folder.resolve())})
        self._loaded, before = (own, folder, adapters.read(folder)), self._loaded
        self.adapter = name
        if before is not None and before[0] != own:
            self._told("POST", "/v1/unload_lora_adapter", {"lora_name": before[0]})
            shutil.rmtree(before[1], ignore_errors=True)

    def adapter_in_use(self) -> Tuned | None:
        """The adapter as it was put for the server to read; None while it computes with the base model."""
        return self._loaded[2] if self._loaded else None

    def _told(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise WorkError(
                f"The vLLM server at {self.url} does not answer: {error or type(error).__name__}", _HINT
            ) from error
        if answer.status_code != 200:
            raise WorkError(
                f"The vLLM server at {self.url} refuses {path}: {answer.status_code} {answer.text[:500]}",
                _HINT,
            )
        return answer


def requests_for(allowed: Sequence[tuple[int, ...]]) -> Iterator[tuple[list[int], list[int]]]:
    """Rows that are asked about together, and the tokens that are named; none for free text."""
    free = [place for place, tokens in enumerate(allowed) if not tokens]
    if free:
        yield free, []
    places: list[int] = []
    named: dict[int, None] = {}
    for place, tokens in enumerate(allowed):
        for start in range(0, len(tokens), _NAMED):
            part = tokens[start : start + _NAMED]
            if len(named.keys() | set(part)) > _NAMED:
                yield places, list(named)
                places, named = [], {}
            places.append(place)
            named.update(dict.fromkeys(part))
    if places:
        yield places, list(named)
