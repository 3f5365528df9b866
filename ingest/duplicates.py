"""Documents that say nearly the same: the later ones are marked with the first.

Texts are compared as sets of five-word shingles. Signatures of 64 minimal hashes
(Broder, On the resemblance and containment of documents, 1997) in 16 bands name
the pairs worth comparing; what is marked was compared shingle by shingle.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

SHINGLE_WORDS = 5
MIN_WORDS = 20
# Share of common shingles (Jaccard index) from which two texts are nearly the same.
NEAR = 0.85
_HASHES, _BANDS = 64, 16
_MAX_WORDS = 200_000
_BUCKET, _COMPARED = 50, 5
_ODD = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Signed:
    """A document's id and signature; documents are compared in the order given."""

    id: str
    signature: str


def signature(text: str) -> str | None:
    """64 minimal hashes of a text's shingles in hexadecimal; None for a text of fewer than 20 words."""
    shingles = _shingles(text)
    if shingles is None:
        return None
    return "".join(f"{int(_mix(shingles ^ seed).min()) >> 32:08x}" for seed in _seeds())


def similarity(one: str, other: str) -> float:
    """Share of common shingles of two texts, 0 to 1."""
    a, b = _shingles(one), _shingles(other)
    if a is None or b is None:
        return float(one.split() == other.split())
    import numpy as np

    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)


def find_duplicates(documents: Iterable[Signed], text_of: Callable[[str], str]) -> dict[str, str]:
    """Which documents nearly repeat an earlier one: ``id -> id of the first of them``.

    Args:
        documents: In the order in which one is taken for the first.
        text_of: The text of a document by its id; asked for those alone whose signatures are close.
    """
    found: dict[str, str] = {}
    buckets: dict[tuple[int, str], list[Signed]] = {}
    width = _HASHES // _BANDS * 8
    for document in documents:
        keys = [(band, document.signature[band * width : (band + 1) * width]) for band in range(_BANDS)]
        near: dict[str, Signed] = {}
        for key in keys:
            near.update((first.id, first) for first in buckets.get(key, ()))
        for first in sorted(near.values(), key=lambda other: -_alike(other, document))[:_COMPARED]:
            alike = _alike(first, document)
            if alike < NEAR - 0.25:
                break
            if (
                first.signature == document.signature
                or similarity(text_of(first.id), text_of(document.id)) >= NEAR
            ):
                found[document.id] = first.id
                break
        if document.id not in found:
            for key in keys:
                bucket = buckets.setdefault(key, [])
                if len(bucket) < _BUCKET:  # forms of one template would all be compared with each other
                    bucket.append(document)
    return found


def _alike(one: Signed, other: Signed) -> float:
    """Share of equal hashes: an estimate of :func:`similarity`."""
    same = sum(one.signature[at : at + 8] == other.signature[at : at + 8] for at in range(0, _HASHES * 8, 8))
    return same / _HASHES


def _shingles(text: str) -> Any:
    """Sorted distinct hashes of a text's shingles; None for a text of too few words."""
    import numpy as np

    words = re.findall(r"\w+", text.casefold())[:_MAX_WORDS]
    if len(words) < MIN_WORDS:
        return None
    numbers = np.fromiter((zlib.crc32(word.encode()) for word in words), dtype=np.uint64, count=len(words))
    shingles = np.zeros(len(words) - SHINGLE_WORDS + 1, dtype=np.uint64)
    for offset in range(SHINGLE_WORDS):
        shingles = _mix(shingles + numbers[offset : offset + len(shingles)])
    return np.unique(shingles)


def _mix(values: Any) -> Any:
    import numpy as np

    values = values * np.uint64(_ODD)
    return values ^ (values >> np.uint64(29))


@cache
def _seeds() -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, 2**64, _HASHES, dtype=np.uint64)
