"""The words of an instruction that name no value: what it asks for, beside what it asks it about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_WORD = re.compile(r"(?=\d*[^\W\d_])[^\W_]+")


def words_of(text: str) -> frozenset[str]:
    """The words of a text, in lower case; numbers are none."""
    return frozenset(_WORD.findall(text.lower()))


def wording(instruction: str, values: Iterable[str]) -> frozenset[str]:
    """The words of an instruction without the values it names."""
    return _wording(instruction, tuple(values))


@lru_cache(maxsize=4096)
def _wording(instruction: str, values: tuple[str, ...]) -> frozenset[str]:
    for value in sorted(filter(None, values), key=len, reverse=True):
        instruction = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", " ", instruction)
    return words_of(instruction)
