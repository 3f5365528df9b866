"""Real files with something wrong in them, drawn from a seed."""

from __future__ import annotations

import copy
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    10**30,
    1e308,
    "",
    "x",
    "\ud800",
    "\x00",
    "javascript:alert(1)",
    [],
    {},
    [[]],
    {"type": 2},
    "<script>",
    [[0, 0]],
    [[10**9, -1]],
)


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Cut off, bytes changed, a piece taken out, doubled or moved."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, length = rng.randrange(len(changed) or 1), rng.choice((1, 4, 64, 1024))
        piece = bytes(changed[at : at + length])
        kind = rng.randrange(5)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = piece * rng.choice((1, 2, 50))
        else:
            changed.extend(piece)
    return bytes(changed)


def mutated_value(value: Any, rng: random.Random) -> Any:
    """A JSON value with some parts replaced, taken out, doubled or exchanged."""
    value = copy.deepcopy(value)
    holders: list[Any] = []

    def collect(each: Any) -> None:
        if isinstance(each, dict | list) and each:
            holders.append(each)
            for inner in each.values() if isinstance(each, dict) else each:
                collect(inner)

    collect(value)
    for _ in range(rng.choice((1, 2, 5, 20))):
        holder = rng.choice(holders) if holders else None
        if not holder:
            continue
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        kind = rng.randrange(5)
        if kind == 0:
            holder[key] = rng.choice(ODD)
        elif kind == 1:
            del holder[key]
        elif kind == 2 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == 3:
            other = rng.choice(holders)
            if other and isinstance(other, list):
                holder[key] = copy.deepcopy(rng.choice(other))
        elif isinstance(holder[key], int):
            holder[key] = rng.choice((holder[key] + 1, -holder[key], holder[key] * 1000, 1))
    return value
