"""``[envgen]`` in ``fde.toml``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Endpoint(BaseModel):
    """``[envgen.proposer]``: a language model on this machine or in the client's network.

    Attributes:
        url: Its OpenAI-compatible API, up to ``/v1``.
        model: The model's name there.
        api_key: ``env:NAME`` or ``file:PATH`` of the key it asks for; empty for none.
        wordings: How many further instructions it is asked for.
        timeout_s: Seconds until an answer is no longer waited for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://[^\s@]+$", max_length=500)
    model: str = Field(min_length=1, max_length=300)
    api_key: str = Field(default="", pattern=r"^$|^(env|file):.+")
    wordings: int = Field(default=6, ge=0, le=50)
    timeout_s: float = Field(default=300.0, gt=0, le=3600)


class EnvgenSettings(BaseModel):
    """What is built.

    Attributes:
        documents: Whether questions are made from the documents.
        closed_book: Whether the base model is asked them without documents, where it is installed: what it
            knows anyway is left out. Takes about a minute on two cores.
        proposer: A language model that may propose, see :mod:`envgen.proposals`; none is asked by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: bool = True
    closed_book: bool = True
    proposer: Endpoint | None = None
