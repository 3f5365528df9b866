"""How much of the personal data in a labelled file the detector finds.

Type-blind: a labelled span is found when at least half of its characters are
covered by what was found, of whatever type; something found is right when at
least half of its characters are labelled. That is the measure for redaction: a
name taken for a place is still replaced.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fde.errors import InputError
from redact.spans import Span

# Found types that are judged only by a file that labels them: many files label
# no firms or dates, and what a file does not label it cannot call wrong.
_JUDGED_IF_LABELLED = {
    "ORGANIZATION": {"ORGANIZATION", "ORG", "COMPANY"},
    "DATE_TIME": {"DATE_TIME", "DATE", "TIME"},
    "URL": {"URL", "DOMAIN_NAME", "DOMAIN"},
    "AGE": {"AGE"},
    "NRP": {"NRP", "NORP", "NATIONALITY"},
    "LOCATION": {"LOCATION", "GPE", "CITY", "COUNTRY", "STATE", "ADDRESS", "STREET_ADDRESS", "LOC"},
}

Find = Callable[[Sequence[str]], list[list[Span]]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and its labelled spans: (start, end, type). ``group`` is the template it was made from."""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    group: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The score of a detector on labelled texts; None where there was nothing to judge."""

    span_recall: float | None
    span_precision: float | None
    span_f2: float | None
    char_recall: float | None
    per_type: dict[str, dict[str, float | int]]
    characters_per_second: float
    texts: int
    spans: int
    found: int


def load(path: Path) -> list[Labelled]:
    """Read a file in the format of presidio-research.

    Raises:
        InputError: when the file cannot be read or an entry is not in the format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.", "Name a labelled JSON file.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not JSON: {error}.", "Name a file in the format of presidio-research."
        ) from error
    if not isinstance(data, list) or not data:
        raise InputError(f"{path} is not a list of labelled texts.", "Expected: [{full_text, spans: […]}, …]")
    return [_entry(path, number, entry) for number, entry in enumerate(data, 1)]


def _entry(path: Path, number: int, entry: Any) -> Labelled:
    try:
        text = entry["full_text"]
        spans = tuple(
            (int(s["start_position"]), int(s["end_position"]), str(s["entity_type"])) for s in entry["spans"]
        )
        if not isinstance(text, str):
            raise TypeError("full_text is not a string")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}, entry {number}: {type(error).__name__}: {error}.", "Expected: {full_text, spans: […]}"
        ) from error
    for start, end, name in spans:
        if not 0 <= start < end <= len(text):
            raise InputError(f"{path}, entry {number}: span {start}–{end} of {name} lies outside its text.")
    return Labelled(text, spans, str(entry.get("template_id", "")))


def score(labelled: Sequence[Labelled], find: Find) -> Result:
    """Judge ``find`` on labelled texts."""
    texts = [item.text for item in labelled]
    began = time.perf_counter()
    found = find(texts)
    seconds = time.perf_counter() - began
    used = {name for item in labelled for _, _, name in item.spans}
    left_out = {name for name, labels in _JUDGED_IF_LABELLED.items() if not labels & used}
    spans = hits = guesses = right = characters = covered = 0
    by_type: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for item, guessed in zip(labelled, found, strict=True):
        gold = _mask(len(item.text), ((s, e) for s, e, _ in item.spans))
        kept = [s for s in guessed if s.type not in left_out]
        mask = _mask(len(item.text), ((s.start, s.end) for s in kept))
        characters += sum(gold)
        covered += sum(1 for a, b in zip(gold, mask, strict=True) if a and b)
        for start, end, name in item.spans:
            hit = 2 * sum(mask[start:end]) >= end - start
            spans += 1
            hits += hit
            by_type[name][0] += 1
            by_type[name][1] += hit
        guesses += len(kept)
        right += sum(2 * sum(gold[s.start : s.end]) >= s.end - s.start for s in kept)
    recall = hits / spans if spans else None
    precision = right / guesses if guesses else None
    f2 = None
    if recall is not None and precision is not None and (recall or precision):
        f2 = 5 * precision * recall / (4 * precision + recall)
    return Result(
        span_recall=recall,
        span_precision=precision,
        span_f2=f2,
        char_recall=covered / characters if characters else None,
        per_type={
            name: {"spans": total, "found": got, "recall": got / total}
            for name, (total, got) in sorted(by_type.items())
        },
        characters_per_second=sum(map(len, texts)) / max(seconds, 1e-9),
        texts=len(texts),
        spans=spans,
        found=guesses,
    )


def _mask(length: int, ranges: Any) -> bytearray:
    mask = bytearray(length)
    for start, end in ranges:
        mask[start:end] = b"\x01" * (end - start)
    return mask
