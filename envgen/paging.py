"""What leads on and back where records are shown in portions: the labels of such links, and one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable

NEXT = re.compile(r"^(next|more|older|»|›|>|weiter|nächste)\b|^[»›>]+$", re.IGNORECASE)
PREVIOUS = re.compile(r"^(prev|previous|back|newer|«|‹|<|zurück|vorherige)\b|^[«‹<]+$", re.IGNORECASE)


def neighbour(keys: Iterable[str], key: str, step: int) -> str | None:
    """The key so many places further on, None beyond the ends and where the key is not there."""
    order = list(keys)
    at = order.index(key) + step if key in order else -1
    return order[at] if 0 <= at < len(order) else None
