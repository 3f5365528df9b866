"""The part of OpenAI's chat completions that is served: the request's form, and who answers it.

Reference: OpenAI API, "Create chat completion". What is not listed here is
refused by name instead of being ignored or passed on: servers behind a gateway
understand more (templates, images by address) than a client should reach.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_MESSAGES = 512


class ChatError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        message: What is wrong, for the client.
        code: Short machine-readable reason.
    """

    def __init__(
        self, status: int, message: str, code: str = "invalid_request", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        """The error in OpenAI's form."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class TextPart(BaseModel):
    """A piece of a message. Pictures, sounds and files are not served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of the conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    @field_validator("content")
    @classmethod
    def _as_text(cls, value: str | list[TextPart]) -> str:
        return value if isinstance(value, str) else "".join(part.text for part in value)

    def plain(self) -> dict[str, str]:
        """The message for a chat template."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": str(self.content)}


class StreamOptions(BaseModel):
    """What a stream says besides the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include_usage: bool = False


class ResponseFormat(BaseModel):
    """The answer's form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: dict[str, Any] | None = None


class ChatRequest(BaseModel):
    """A chat completion request as the gateway takes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    model: str = Field(min_length=1, max_length=300)
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int | None = Field(default=None, ge=1, le=16)
    stop: str | list[str] | None = Field(default=None, max_length=1000)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    response_format: ResponseFormat | None = None
    user: str | None = Field(default=None, max_length=1000)

    def limited(self, *, model: str, max_tokens: int) -> ChatRequest:
        """The request for the model that answers it, with its length within the limit."""
        asked = self.max_completion_tokens or self.max_tokens or max_tokens
        return self.model_copy(
            update={
                "model": model,
                "max_tokens": min(asked, max_tokens),
                "max_completion_tokens": None,
                "user": None,
                # Said explicitly, since servers take other defaults from a model's files.
                "temperature": 1.0 if self.temperature is None else self.temperature,
                "top_p": self.top_p or 1.0,
            }
        )

    def plain(self) -> dict[str, Any]:
        """The request as JSON, without what was not said."""
        body = self.model_dump(mode="json", exclude_none=True)
        body["messages"] = [message.plain() for message in self.messages]
        return body


def likeliest(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Token -> log-probability, from ``top_logprobs``; of tokens that look alike the likeliest counts."""
    found: dict[str, float] = {}
    for entry in entries:
        value = float(entry["logprob"])
        found[entry["token"]] = max(value, found.get(entry["token"], value))
    return found


class Backend(Protocol):
    """What answers chat requests behind the gateway."""

    @property
    def name(self) -> str:
        """``vllm`` or ``local``."""
        ...

    async def complete(self, request: ChatRequest) -> dict[str, Any]:
        """The whole answer, in OpenAI's form.

        Raises:
            ChatError: when the request cannot be answered.
        """
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[bytes]:
        """The answer as server-sent events. Errors before the first event raise :class:`ChatError`."""
        ...

    def failure(self) -> str:
        """Why nothing can be answered any more, empty while all is well."""
        ...
