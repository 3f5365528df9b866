"""Chat completions from the local engine, for machines where vLLM does not run.

One request is computed at a time, in a thread of its own; the others wait. The
answers are those of the model with the adapter merged into its weights, as in
training and evaluation.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fde.errors import FdeError
from serve.chat import ChatError, ChatRequest, likeliest

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from serve.engine.adapter import Tuned
    from serve.engine.local import LocalEngine

# A piece of a character that the next token completes.
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


@dataclass(slots=True)
class _Answer:
    """One choice while it is made."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish: str = "length"
    logprobs: list[dict[str, Any]] = field(default_factory=list)


class LocalChat:
    """Answers chats with the base model or one of its adapters. Not for several threads at once."""

    def __init__(self, engine: LocalEngine, base: str) -> None:
        self.engine = engine
        self.base = base
        self._weights: dict[str, Tuned] = {}
        generation = getattr(engine.body.model, "generation_config", None)
        ends = getattr(generation, "eos_token_id", None)
        found = ends if isinstance(ends, list) else [ends]
        self._ends = {int(end) for end in (*found, engine.tokenizer.eos_token_id) if end is not None}

    def load_adapter(self, name: str, folder: Path) -> None:
        """Read an adapter; it is used when it is asked for.

        Raises:
            InputError: when it is not one, or does not fit the model.
        """
        from serve.engine.adapter import read

        weights = read(folder)
        self.engine.use_adapter(name, weights)
        self._weights[name] = weights

    def first_token(self, model: str, messages: Sequence[Mapping[str, str]]) -> dict[str, float]:
        """Log-probabilities of the twenty likeliest first tokens of an answer."""
        self._use(model)
        row = self.engine.row()
        try:
            fed = self.engine.feed([(row, self._prompt(messages))])
            return likeliest(self._top(self._logs(fed.hidden), 20))
        finally:
            self.engine.free(row)

    def generate(
        self,
        request: ChatRequest,
        *,
        tell: Callable[[int, str], None] = lambda index, text: None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """The whole answer in OpenAI's form.

        Args:
            tell: Gets every new piece of text with its choice's number.
            given_up: Asked before every token; True ends the work.

        Raises:
            ChatError: what this engine cannot do, or a prompt that is too long.
        """
        import torch

        if request.presence_penalty or request.frequency_penalty:
            raise ChatError(400, "Penalties are not supported by the local engine.", "unsupported")
        if request.response_format is not None and request.response_format.type != "text":
            raise ChatError(400, "response_format is not supported by the local engine.", "unsupported")
        self._use(request.model)
        prompt = self._prompt([message.plain() for message in request.messages])
        room = self.engine.max_tokens - len(prompt)
        if room < 1:
            told = f"The conversation has {len(prompt)} tokens; the model reads {self.engine.max_tokens}."
            raise ChatError(400, told, "context_length_exceeded", "messages")
        chance = torch.Generator()
        if request.seed is None:
            chance.seed()
        else:
            chance.manual_seed(request.seed % 2**63)
        row = self.engine.row()
        answers = []
        try:
            first = self.engine.feed([(row, prompt)]).hidden
            for index in range(request.n or 1):
                answers.append(self._one(request, index, row, first, room, chance, tell, given_up))
        finally:
            self.engine.free(row)
        said = sum(len(answer.tokens) for answer in answers)
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": request.model,
            "choices": [_choice(index, answer, request) for index, answer in enumerate(answers)],
            "usage": {
                "prompt_tokens": len(prompt),
                "completion_tokens": said,
                "total_tokens": len(prompt) + said,
            },
        }

    def _one(
        self,
        request: ChatRequest,
        index: int,
        prompt: Any,
        hidden: Tensor,
        room: int,
        chance: Generator,
        tell: Callable[[int, str], None],
        given_up: Callable[[], bool],
    ) -> _Answer:
        answer = _Answer()
        stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
        stops = [stop for stop in stops if stop]
        held = max((len(stop) - 1 for stop in stops), default=0)
        told = 0
        row = self.engine.fork(prompt)
        try:
            while len(answer.tokens) < min(request.max_tokens or room, room):
                if given_up():
                    break
                logs = self._logs(hidden)
                temperature = 1.0 if request.temperature is None else request.temperature
                token = _draw(logs, temperature, request.top_p or 1.0, chance)
                if token in self._ends:
                    answer.finish = "stop"
                    break
                answer.tokens.append(token)
                if request.logprobs:
                    answer.logprobs.append(self._said(logs, token, request.top_logprobs or 0))
                answer.text = self.engine.tokenizer.decode(answer.tokens, skip_special_tokens=True)
                found = [at for at in (answer.text.find(stop) for stop in stops) if at >= 0]
                if found:
                    answer.text, answer.finish = answer.text[: min(found)], "stop"
                    break
                safe = len(answer.text.rstrip(_UNFINISHED)) - held
                if safe > told:
                    tell(index, answer.text[told:safe])
                    told = safe
                hidden = self.engine.feed([(row, [token])]).hidden
        finally:
            self.engine.free(row)
        if len(answer.text) > told:
            tell(index, answer.text[told:])
        return answer

    def _use(self, model: str) -> None:
        if model == self.base:
            if self.engine.adapter is not None:
                self.engine.clear_adapter()
        elif self.engine.adapter != model:
            self.engine.use_adapter(model, self._weights[model])

    def _prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        try:
            text = self.engine.tokenizer.apply_chat_template(
                [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
            )
        except Exception as error:
            raise ChatError(
                400, f"The model's chat template does not take these messages: {error}"
            ) from error
        return list(self.engine.tokenizer.encode(text, add_special_tokens=False))

    def _logs(self, hidden: Tensor) -> Tensor:
        return self.engine.body.logits(hidden)[0].float().log_softmax(-1).cpu()

    def _top(self, logs: Tensor, count: int) -> list[dict[str, Any]]:
        values, tokens = logs.topk(min(count, logs.shape[0]))
        pairs = zip(tokens.tolist(), values.tolist(), strict=True)
        return [_entry(self.engine.tokenizer.decode([token]), value) for token, value in pairs]

    def _said(self, logs: Tensor, token: int, top: int) -> dict[str, Any]:
        entry = _entry(self.engine.tokenizer.decode([token]), float(logs[token]))
        return {**entry, "top_logprobs": self._top(logs, top)}


def _entry(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _draw(logs: Tensor, temperature: float, top_p: float, chance: Generator) -> int:
    """A token: the likeliest at temperature 0, else drawn from the smallest set that holds ``top_p``."""
    import torch

    if temperature < 1e-5:
        return int(logs.argmax())
    chances, tokens = (logs / temperature).softmax(-1).sort(descending=True)
    before = chances.cumsum(-1) - chances
    chances = chances.masked_fill(before >= top_p, 0.0)
    return int(tokens[torch.multinomial(chances, 1, generator=chance)])


def _choice(index: int, answer: _Answer, request: ChatRequest) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.finish,
        "logprobs": {"content": answer.logprobs} if request.logprobs else None,
    }


class LocalBackend:
    """Answers from a :class:`LocalChat`. Implements :class:`serve.chat.Backend`."""

    name = "local"

    def __init__(self, chat: LocalChat) -> None:
        self.chat = chat
        # One thread: the engine computes with one adapter at a time.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-engine")

    def failure(self) -> str:
        return ""

    async def complete(self, request: ChatRequest) -> dict[str, Any]:
        """See :meth:`serve.chat.Backend.complete`."""
        return await self._run(request, lambda index, text: None)

    async def stream(self, request: ChatRequest) -> AsyncIterator[bytes]:
        """See :meth:`serve.chat.Backend.stream`."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()

        def tell(index: int, text: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, (index, text))

        work = asyncio.ensure_future(self._run(request, tell))
        work.add_done_callback(lambda _: pieces.put_nowait(None))
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": request.model,
        }

        def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
            return b"data: " + json.dumps({**head, "choices": choices, **more}).encode() + b"\n\n"

        try:
            while (piece := await pieces.get()) is not None:
                delta = {"role": "assistant", "content": piece[1]}
                yield event([{"index": piece[0], "delta": delta, "finish_reason": None}])
            answer = await work
            for choice in answer["choices"]:
                end = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
                yield event([end])
            if request.stream_options is not None and request.stream_options.include_usage:
                yield event([], usage=answer["usage"])
            yield b"data: [DONE]\n\n"
        finally:
            work.cancel()

    async def _run(self, request: ChatRequest, tell: Callable[[int, str], None]) -> dict[str, Any]:
        """Compute in the engine's thread; when nobody waits any more it stops at the next token."""
        stopped = threading.Event()

        def work() -> dict[str, Any]:
            if stopped.is_set():
                raise ChatError(499, "The client went away.", "closed")
            try:
                return self.chat.generate(request, tell=tell, given_up=stopped.is_set)
            except FdeError as error:
                raise ChatError(500, error.message, "engine") from error

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            stopped.set()

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
