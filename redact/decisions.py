"""What a person decided in the review: kept in the vault's folder, applied on the next run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fde.artifacts import PRIVATE_FILE, write_text
from fde.engagement import Engagement
from fde.errors import InputError, first_fault
from redact.rewrite import compact_key
from redact.spans import TYPES

_NAME = "decisions.json"


class Decision(BaseModel):
    """One value: ``accept`` and ``add`` say that it is personal, ``reject`` that it is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str = Field(min_length=2, max_length=2_000)
    type: str
    verdict: Literal["accept", "reject", "add"]


class Decisions(BaseModel):
    """All decisions of an engagement, the last one on a value counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decisions: tuple[Decision, ...] = ()

    @property
    def personal(self) -> tuple[tuple[str, str], ...]:
        """(type, value) of what is personal."""
        return tuple((d.type, d.value) for d in self.decisions if d.verdict != "reject")

    @property
    def harmless(self) -> tuple[str, ...]:
        return tuple(d.value for d in self.decisions if d.verdict == "reject")

    def merged(self, later: Decisions) -> Decisions:
        """These and later ones; a later decision on the same value replaces the earlier."""
        known = {compact_key(d.value) or d.value: d for d in (*self.decisions, *later.decisions)}
        return Decisions(decisions=tuple(known.values()))


def path_of(engagement: Engagement) -> Path:
    return engagement.vault / _NAME


def load(engagement: Engagement) -> Decisions:
    """The decisions kept so far; none when nobody has decided anything.

    Raises:
        InputError: the file is damaged.
    """
    path = path_of(engagement)
    return read(path) if path.is_file() else Decisions()


def read(path: Path) -> Decisions:
    """Read a file of decisions as the review page saves it.

    Raises:
        InputError: naming the entry that is wrong.
    """
    try:
        found = Decisions.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}.", "Name the file that the review page saved."
        ) from error
    except ValidationError as error:
        raise InputError(
            f"{path} holds no decisions: {first_fault(error)}.",
            "Save it again with the button of the review page.",
        ) from error
    for number, decision in enumerate(found.decisions, 1):
        if decision.type not in TYPES:
            raise InputError(
                f"{path}, decision {number}: there is no type {decision.type[:40]!r}.",
                "Types: " + ", ".join(sorted(TYPES)),
            )
    return found


def keep(engagement: Engagement, later: Decisions) -> Decisions:
    """Add decisions to those kept; returns all of them."""
    merged = load(engagement).merged(later)
    write_text(path_of(engagement), merged.model_dump_json(indent=1) + "\n", mode=PRIVATE_FILE)
    return merged
