"""Keys that a setting names without holding them."""

from __future__ import annotations

import os

from fde.engagement import Engagement
from fde.errors import InputError


def read_key(said: str, engagement: Engagement, setting: str) -> str:
    """The key that ``env:NAME`` or ``file:PATH`` (below the engagement) names; empty for an empty setting.

    Args:
        setting: What the setting is called, for the error.

    Raises:
        InputError: when there is no such variable or file, or it is empty.
    """
    kind, _, rest = said.partition(":")
    if not said:
        return ""
    if kind == "env":
        key = os.environ.get(rest, "")
        if not key:
            raise InputError(f"{setting}: the environment has no {rest}.", f"Set it: export {rest}=…")
        return key
    path = engagement.root / rest
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{setting}: {path} cannot be read: {error}") from error
    if not key:
        raise InputError(f"{setting}: {path} is empty.", "Write the key into it, or remove the setting.")
    return key
