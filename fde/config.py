"""``fde.toml``: its text when an engagement is made, and its sections as checked settings."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

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

[redact]
# How sure a finding must be to be replaced, from 0 to 1: lower finds more, and more that is harmless.
# threshold = 0.35

[envgen]
# seed = 0

[train]
# seed = 0

[evaluate]
# Prices behind "cost per correct task". Change them to the client's own, and say since when they hold.
# expert_cost_per_hour = 45.0
# machine_cost_per_hour = 0.20
# prices_as_of = "2026-11-01"

[serve]
# host = "127.0.0.1"
# port = 8000
"""
SECTIONS = ("engagement", "model", "redact", "envgen", "train", "evaluate", "serve")

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
    root: Any, *, name: str, locale: str = "en-US", currency: str = "USD", base: str = "smollm2-135m"
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
            f"{source}{_at(text, unknown[0], None)}: there is no section [{unknown[0]}].",
            f"Sections are: {', '.join(SECTIONS)}.",
        )
    try:
        return model.model_validate(config.get(name, {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        told = first["msg"]
        if first["type"] == "extra_forbidden":
            told = f"unknown key; known are: {', '.join(sorted(model.model_fields))}"
        raise InputError(
            f"{source}{_at(text, name, key)}: [{name}] {key}: {told}.", "Correct that line and run again."
        ) from error


def _text(engagement: Engagement) -> str:
    return engagement.config_path.read_text(encoding="utf-8")


def _at(text: str, section_name: str, key: str | None) -> str:
    """``, line N`` of a section or of a key in it; empty when it is not found."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        if header:
            inside = header[1].split(".")[0].strip("\"'") == section_name
            if inside and key is None:
                return f", line {number}"
            continue
        wanted = rf"[\"']?{re.escape(key or section_name)}[\"']?\s*[=.]"
        if (inside or key is None) and re.match(rf"\s*{wanted}", line):
            return f", line {number}"
    return ""
