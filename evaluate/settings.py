"""The ``[evaluate]`` section of ``fde.toml``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from evaluate.costs import CostInputs
from fde.config import EngagementSettings, section
from fde.engagement import Engagement


class Bars(BaseModel):
    """``[evaluate.bars]``: what the engagement has to reach; the report says met or missed.

    Shares are between 0 and 1; a gap of 0.15 is 15 points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_clock_minutes: float = Field(default=30.0, gt=0)
    peak_memory_gib: float = Field(default=10.0, gt=0)
    success: float = Field(default=0.85, ge=0, le=1)
    success_tasks: int = Field(default=100, ge=1)
    gain: float = Field(default=0.15, ge=0, le=1)
    live_gap: float = Field(default=0.10, ge=0, le=1)
    live_tasks: int = Field(default=20, ge=1)
    kill_rate: float = Field(default=0.95, ge=0, le=1)


class EvaluateSettings(BaseModel):
    """``[evaluate]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow: str | None = None
    tasks: int = Field(default=100, ge=1, le=100_000)
    disturbed_tasks: int = Field(default=30, ge=0, le=100_000)
    few_shot: int = Field(default=1, ge=1, le=16)
    passages: int = Field(default=3, ge=1, le=50)
    live_tasks: int = Field(default=20, ge=0, le=10_000)
    costs: CostInputs | None = None
    bars: Bars = Bars()

    @property
    def cost_inputs(self) -> CostInputs:
        """The engagement's own cost inputs, or the usual ones."""
        return self.costs or CostInputs()


def settings(engagement: Engagement) -> EvaluateSettings:
    """Read and check the section; what is missing has its default.

    Raises:
        InputError: naming the file, the line and the key.
    """
    return section(engagement, "evaluate", EvaluateSettings)


def currency(engagement: Engagement) -> str:
    """ISO 4217 code that money is counted in."""
    return section(engagement, "engagement", EngagementSettings).currency
