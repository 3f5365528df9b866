"""What each way of doing the task costs, from dated inputs an FDE edits.

The inputs stand in ``fde.toml`` under ``[evaluate.costs]``; every one of them is
shown in the report with its date. All money is in the engagement's currency.

For one task given to an arm with success ``p``::

    cost per task         = machine time × machine price + checking by a person
    cost per correct task = cost per task + (1 - p) × (rework by a person + cost of an error)

The second is what a task costs once it is right: what the arm gets wrong, a
person finds and mends. People make errors too, so the human cost has the same form.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from evaluate.rows import SIMPLICITY, Kind

# For a person to put into fde.toml. The same values apply to keys that are missing, and
# the report then says that they are nobody's own.
TEMPLATE = """\
[evaluate.costs]
# Everything here is yours to correct; the report shows each value with this date.
as_of = 2026-11-01
tasks_per_month = 2000
horizon_months = 12
disturbed_share = 0.1            # of real tasks meet a dialog, a changed order, a validation error
human_minutes_per_task = 6.0
human_hourly_wage = 45.0         # with everything that comes on top of the wage
human_error_rate = 0.02
rework_minutes_per_error = 15.0  # to find and mend one wrong task
loss_per_error = 0.0             # money lost on a wrong task besides the rework
review_minutes_per_task = 0.25   # a person's glance at what a machine did
machine_hourly_price = 0.20      # of the machine the arms were measured on
engineering_hourly_wage = 120.0
# A hosted frontier model at the tokens measured here: its price only, its success is not known.
frontier_price_per_million_input = 3.0
frontier_price_per_million_output = 15.0

[evaluate.costs.engineering_hours]
replay = 40.0
prompt = 8.0
few-shot = 12.0
rag = 24.0
sft = 48.0
rl = 56.0

[evaluate.costs.maintenance_hours_per_month]
replay = 4.0
prompt = 1.0
few-shot = 1.0
rag = 2.0
sft = 4.0
rl = 4.0
"""


ENGINEERING_HOURS: dict[str, float] = {
    "replay": 40.0,
    "prompt": 8.0,
    "few-shot": 12.0,
    "rag": 24.0,
    "sft": 48.0,
    "rl": 56.0,
}
MAINTENANCE_HOURS: dict[str, float] = {
    "replay": 4.0,
    "prompt": 1.0,
    "few-shot": 1.0,
    "rag": 2.0,
    "sft": 4.0,
    "rl": 4.0,
}
Hours = Annotated[float, Field(ge=0)]


class CostInputs(BaseModel):
    """The inputs; see :data:`TEMPLATE` for their meaning and units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date = date(2026, 11, 1)
    tasks_per_month: float = Field(default=2000, gt=0)
    horizon_months: float = Field(default=12, gt=0)
    disturbed_share: float = Field(default=0.1, ge=0, le=1)
    human_minutes_per_task: float = Field(default=6.0, ge=0)
    human_hourly_wage: float = Field(default=45.0, ge=0)
    human_error_rate: float = Field(default=0.02, ge=0, le=1)
    rework_minutes_per_error: float = Field(default=15.0, ge=0)
    loss_per_error: float = Field(default=0.0, ge=0)
    review_minutes_per_task: float = Field(default=0.25, ge=0)
    machine_hourly_price: float = Field(default=0.20, ge=0)
    engineering_hourly_wage: float = Field(default=120.0, ge=0)
    frontier_price_per_million_input: float = Field(default=3.0, ge=0)
    frontier_price_per_million_output: float = Field(default=15.0, ge=0)
    engineering_hours: dict[str, Hours] = Field(default_factory=ENGINEERING_HOURS.copy)
    maintenance_hours_per_month: dict[str, Hours] = Field(default_factory=MAINTENANCE_HOURS.copy)
    # Input -> [low, high] for the sensitivity table; an input not named is halved and doubled.
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)

    @field_validator("engineering_hours", "maintenance_hours_per_month", mode="before")
    @classmethod
    def _known_kinds(cls, given: Any, info: ValidationInfo) -> Any:
        """A kind of arm that is left out keeps its value above."""
        if not isinstance(given, dict):
            return given
        unknown = set(given) - set(SIMPLICITY)
        if unknown:
            raise ValueError(f"'{min(unknown)}' is no kind of arm; known are {', '.join(SIMPLICITY)}")
        usual = ENGINEERING_HOURS if info.field_name == "engineering_hours" else MAINTENANCE_HOURS
        return {**usual, **given}

    @field_validator("ranges")
    @classmethod
    def _known_inputs(cls, given: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in given.items():
            if name not in numeric_inputs():
                raise ValueError(f"'{name}' is no numeric input; known are {', '.join(numeric_inputs())}")
            if not 0 <= low <= high:
                raise ValueError(f"the range of '{name}' must be [low, high], both at least 0")
        return given

    @property
    def error_cost(self) -> float:
        """What one wrong task costs after it was done."""
        return self.rework_minutes_per_error / 60 * self.human_hourly_wage + self.loss_per_error

    @property
    def human_cost(self) -> float:
        """What one correct task costs when a person does it."""
        return (
            self.human_minutes_per_task / 60 * self.human_hourly_wage
            + self.human_error_rate * self.error_cost
        )

    @property
    def tasks_in_horizon(self) -> float:
        return self.tasks_per_month * self.horizon_months


@dataclass(frozen=True, slots=True)
class Effort:
    """What an arm takes besides doing tasks, as measured.

    Attributes:
        build_seconds: Machine time of every finished stage the arm was made from.
    """

    kind: Kind
    build_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ArmCosts:
    """One arm's money.

    Attributes:
        one_off: To build it: engineering and machine time.
        monthly: To keep it: maintenance.
        per_task: To do one task, right or wrong.
        per_success: Until one task is right, rework included.
        saving_per_task: Against a person; negative when a person is cheaper.
        net: Saved over the horizon after everything; negative is a loss.
        break_even_tasks: Tasks after which ``one_off`` is earned back, upkeep left
            aside; None when it never is.
        break_even_months: The same in months at the month's tasks, upkeep counted.
    """

    one_off: float
    monthly: float
    per_task: float
    per_success: float
    saving_per_task: float
    net: float
    break_even_tasks: float | None
    break_even_months: float | None


def per_task(inputs: CostInputs, machine_seconds: float) -> float:
    """Cost of doing one task, right or wrong."""
    machine = machine_seconds / 3600 * inputs.machine_hourly_price
    return machine + inputs.review_minutes_per_task / 60 * inputs.human_hourly_wage


def frontier_per_task(inputs: CostInputs, tokens_in: float, tokens_out: float) -> float:
    """Cost of the same tokens at the hosted price, with the same checking."""
    price = (
        tokens_in * inputs.frontier_price_per_million_input
        + tokens_out * inputs.frontier_price_per_million_output
    )
    return price / 1e6 + per_task(inputs, 0.0)


def arm_costs(inputs: CostInputs, effort: Effort, success: float, machine_seconds: float) -> ArmCosts:
    """All of an arm's money from its success and the machine seconds of one task."""
    one_off = (
        inputs.engineering_hours.get(effort.kind, 0.0) * inputs.engineering_hourly_wage
        + effort.build_seconds / 3600 * inputs.machine_hourly_price
    )
    monthly = inputs.maintenance_hours_per_month.get(effort.kind, 0.0) * inputs.engineering_hourly_wage
    task = per_task(inputs, machine_seconds)
    right = task + (1 - success) * inputs.error_cost
    saving = inputs.human_cost - right
    monthly_gain = saving * inputs.tasks_per_month - monthly
    return ArmCosts(
        one_off=one_off,
        monthly=monthly,
        per_task=task,
        per_success=right,
        saving_per_task=saving,
        net=monthly_gain * inputs.horizon_months - one_off,
        break_even_tasks=one_off / saving if saving > 0 else None,
        break_even_months=one_off / monthly_gain if monthly_gain > 0 else None,
    )


def numeric_inputs() -> tuple[str, ...]:
    """Names of the inputs that are one number, in the order of the template."""
    return tuple(name for name, field in CostInputs.model_fields.items() if field.annotation is float)


TITLES = {
    "tasks_per_month": "tasks a month",
    "horizon_months": "horizon in months",
    "disturbed_share": "share of disturbed tasks",
    "human_minutes_per_task": "a person's minutes a task",
    "human_hourly_wage": "a person's cost an hour",
    "human_error_rate": "a person's error rate",
    "rework_minutes_per_error": "minutes to mend an error",
    "loss_per_error": "loss an error",
    "review_minutes_per_task": "minutes to check a task",
    "machine_hourly_price": "machine cost an hour",
    "engineering_hourly_wage": "engineering cost an hour",
    "frontier_price_per_million_input": "frontier price, million tokens in",
    "frontier_price_per_million_output": "frontier price, million tokens out",
    "engineering_hours": "engineering hours to build",
    "maintenance_hours_per_month": "engineering hours of upkeep a month",
}


def title(name: str) -> str:
    """An input's name for a person."""
    return TITLES.get(name, name.replace("_", " "))
