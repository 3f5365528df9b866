"""``[envgen]`` in ``fde.toml``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class EnvgenSettings(BaseModel):
    """What is built.

    Attributes:
        documents: Whether questions are made from the documents.
        closed_book: Whether the base model is asked them without documents, where it is installed: what it
            knows anyway is left out. Takes about a minute on two cores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: bool = True
    closed_book: bool = True
