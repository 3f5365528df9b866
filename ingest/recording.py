"""One expert's pass through a workflow, whatever tool recorded it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ingest.action import Action


class Snapshot(BaseModel):
    """A page at one moment.

    Attributes:
        text: The accessibility tree, see :mod:`ingest.snapshot`.
        dom: Name of the blob with the page's HTML, or None.
        screenshot: Name of the blob with the page's picture, or None.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    title: str = ""
    text: str
    dom: str | None = None
    screenshot: str | None = None


class Effect(BaseModel):
    """One request the page sent because of an action, and its answer.

    Only what can change state or tell about it is kept: documents and data
    requests, not images, scripts or styles.

    Attributes:
        body: Parsed form or JSON body (form fields as a flat map; a repeated
            field as a list), None when there was none or it was not understood.
        location: Where a redirect pointed, as path and query.
        identifiers: The ids of what a writing request changed, as far as its address and its answer tell.
    """

    model_config = ConfigDict(frozen=True)

    method: str
    url: str
    status: int | None = None
    body: dict[str, Any] | None = None
    location: str | None = None
    identifiers: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether the method may change state on the server (RFC 9110, 9.2.1)."""
        return self.method not in ("GET", "HEAD", "OPTIONS", "TRACE")


class RecordedStep(BaseModel):
    """An action with the page before and after it. ``time_s`` counts from the start."""

    model_config = ConfigDict(frozen=True)

    before: Snapshot | None
    action: Action
    after: Snapshot | None
    effects: tuple[Effect, ...] = ()
    time_s: float | None = None
    masked: bool = Field(default=False, description="the value was hidden at the source (a password)")


class Recording(BaseModel):
    """An expert's pass through ``workflow`` for the task given by ``instruction``."""

    model_config = ConfigDict(frozen=True)

    id: str
    workflow: str
    instruction: str
    source_format: str
    source: str = ""
    recorded_at: str | None = None
    steps: tuple[RecordedStep, ...]
    warnings: tuple[str, ...] = ()
