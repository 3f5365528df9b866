"""``fde.toml``: its text when an engagement is made, and its sections as checked settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fde.engagement import Engagement
from fde.errors import InputError

TEMPLATE = """\
# The engagement's settings. Lines that begin with # show what is taken when nothing is said.

[engagement]
name = {name}
# Language and country of the client's data (BCP 47): decides what dates, amounts and names look like.
locale = {locale}
# ISO 4217 code that money in the report is counted in.
currency = {currency}

[model]
# A model of `fde model list`, or a folder with safetensors weights.
base = {base}

# Which columns of an event log hold what, and what its words for actions mean: see docs/ingest.md.
# [ingest.ui_log]
# action = "Event type"
# element = "Control"

[redact]
# Values that are never replaced (product names), and values that always are.
# allow = []
# deny = []
# A CSV file with the names of people, beside this file.
# roster = "raw/people.csv"
# What is replaced: gdpr, hipaa or pci; without it what names people and leads to them.
# preset = "gdpr"
# Screenshots are redacted where tesseract is installed: auto, redact (an error without it) or drop.
# screenshots = "auto"

[envgen]
# Questions are made from the documents, beside the environments from recordings.
# documents = true
# Those that the base model answers without documents are left out (asking takes a minute or two).
# closed_book = true
# A language model in the client's network that may propose rules, wordings and checks: see docs/envgen.md.
# [envgen.proposer]
# url = "http://127.0.0.1:8000/v1"
# model = "name"

[evaluate]
# The workflow that is compared (default: the one with the most recordings).
# workflow = "name"
# tasks = 100            # held-out tasks, the same for every way of doing the work
# disturbed_tasks = 30   # with a dialog, a changed order or a validation error to recover from
# few_shot = 1
# passages = 3

[evaluate.costs]
# What "cost per correct task" is made of. Correct it with the client; the report shows each value.
# as_of = 2026-11-01
# tasks_per_month = 2000
# horizon_months = 12
# human_minutes_per_task = 6.0
# human_hourly_wage = 45.0
# human_error_rate = 0.02
# machine_hourly_price = 0.20
# engineering_hourly_wage = 120.0

[evaluate.bars]
# success = 0.85         # share of held-out tasks done right
# gain = 0.15            # over supervised fine-tuning, 0.15 is 15 points

# A staging copy of the real application, for evaluation: see docs/live.md.
# [live]
# factory = "package.module:function"

[serve]
# host = "127.0.0.1"
# port = 8000
# Where the key lies that clients must send (none when it is not named).
# api_key = "env:FDE_API_KEY"
"""
SECTIONS = ("engagement", "model", "ingest", "redact", "envgen", "evaluate", "live", "serve")

Settings = TypeVar("Settings", bound=BaseModel)


class EngagementSettings(BaseModel):
    """``[engagement]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    locale: str = Field(default="en-US", pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$")
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class ModelSettings(BaseModel):
    """``[model]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(default="smollm2-135m", min_length=1)


def create(
    root: Path, *, name: str, locale: str = "en-US", currency: str = "USD", base: str = "smollm2-135m"
) -> Engagement:
    """Make an engagement folder with a commented ``fde.toml``.

    Raises:
        InputError: when there is one already, or a setting is not in its form.
    """
    values = {"name": name, "locale": locale, "currency": currency}
    check({"engagement": values, "model": {"base": base}}, "engagement", EngagementSettings, "fde init")
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in {**values, "base": base}.items()}
    return Engagement.create(root, TEMPLATE.format(**quoted))


def section(engagement: Engagement, name: str, model: type[Settings]) -> Settings:
    """One section of ``fde.toml``, checked against its model; what is not said has the default.

    Args:
        name: The section, for instance ``"redact"``.
        model: What it may hold. With ``extra="forbid"`` an unknown key is an error.

    Raises:
        InputError: naming file, line and key.
    """
    return check(engagement.config(), name, model, str(engagement.config_path), _text(engagement))


def check(config: dict[str, Any], name: str, model: type[Settings], source: str, text: str = "") -> Settings:
    """Check one section of parsed settings; ``text`` is where line numbers are looked up."""
    unknown = sorted(set(config) - set(SECTIONS))
    if unknown:
        raise InputError(
            f"{source}{_at(text, [unknown[0]])}: there is no section [{unknown[0]}].",
            f"Sections are: {', '.join(SECTIONS)}.",
        )
    try:
        return model.model_validate(config.get(name, {}))
    except ValidationError as error:
        # A misspelt key makes two complaints, "unknown" and "missing": the first tells more.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        path = [str(part) for part in first["loc"]]
        told = "there is no such key" if first["type"] == "extra_forbidden" else first["msg"]
        table = ".".join([name, *path[:-1]])
        raise InputError(
            f"{source}{_at(text, [name, *path])}: [{table}] {path[-1] if path else ''}: {told}.",
            _known_keys(model, path) or "Correct that line and run again.",
        ) from error


def _known_keys(model: type[BaseModel], path: list[str]) -> str:
    """What may stand where an unknown key stood; empty when that table has no fixed keys."""
    for part in path[:-1]:
        field = model.model_fields.get(part)
        kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            return ""
        model = inner
    if path and path[-1] in model.model_fields:
        return ""
    return f"Known keys: {', '.join(model.model_fields)}."


def _text(engagement: Engagement) -> str:
    return engagement.config_path.read_text(encoding="utf-8")


def _at(text: str, path: list[str]) -> str:
    """``, line N`` of the line that comes nearest to setting ``path``; empty when none does."""
    table: list[str] = []
    best, best_line = 0, 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+([^\[\]]+)\]+\s*(#.*)?$", line)
        key = re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line)
        if header:
            here = table = _parts(header[1])
        elif key:
            here = [*table, *_parts(key[1])]
        else:
            continue
        if len(here) > best and here == path[: len(here)]:
            best, best_line = len(here), number
    return f", line {best_line}" if best else ""


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
