"""How much of the personal data in a labelled file the detector finds.

Type-blind: a labelled span is found when at least half of its characters are
covered by what was found, of whatever type; something found is right when at
least half of its characters are labelled. That is the measure for redaction: a
name taken for a place is still replaced.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy

from redact.labelled import Labelled
from redact.spans import Span

# Found types that are judged only by a file that labels them: many files label
# no firms or dates, and what a file does not label it cannot call wrong.
_JUDGED_IF_LABELLED = {
    "ORGANIZATION": {"ORGANIZATION", "ORG", "COMPANY"},
    "DATE_TIME": {"DATE_TIME", "DATE", "TIME"},
    "DATE_OF_BIRTH": {"DATE_TIME", "DATE", "DATE_OF_BIRTH", "BIRTH_DATE", "BIRTHDAY", "DOB"},
    "CUSTOMER_NUMBER": {"CUSTOMER_NUMBER", "CUSTOMER_ID", "CLIENT_ID", "ID_NUMBER", "ID"},
    "URL": {"URL", "DOMAIN_NAME", "DOMAIN"},
    "AGE": {"AGE"},
    "NRP": {"NRP", "NORP", "NATIONALITY"},
    "LOCATION": {"LOCATION", "GPE", "CITY", "COUNTRY", "STATE", "ADDRESS", "STREET_ADDRESS", "LOC"},
}

Find = Callable[[Sequence[str]], list[list[Span]]]


Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Result:
    """The score of a detector on labelled texts; None where there was nothing to judge.

    The intervals hold 95% of the values of 1,000 samples drawn with replacement from
    the groups of texts (texts made from one template are no independent evidence); None
    with fewer than two groups.
    """

    span_recall: float | None
    span_recall_ci: Interval | None
    span_precision: float | None
    span_precision_ci: Interval | None
    span_f2: float | None
    span_f2_ci: Interval | None
    char_recall: float | None
    char_recall_ci: Interval | None
    per_type: dict[str, dict[str, float | int | Interval | None]]
    characters_per_second: float
    texts: int
    groups: int
    spans: int
    found: int


# What is counted for one text, in this order.
_SPANS, _HITS, _GUESSES, _RIGHT, _CHARACTERS, _COVERED = range(6)
_SAMPLES = 1000


def score(labelled: Sequence[Labelled], find: Find) -> Result:
    """Judge ``find`` on labelled texts."""
    texts = [item.text for item in labelled]
    began = time.process_time()  # what else runs on the machine is not counted
    found = find(texts)
    seconds = time.process_time() - began
    used = {name for item in labelled for _, _, name in item.spans}
    left_out = {name for name, labels in _JUDGED_IF_LABELLED.items() if not labels & used}
    counts = numpy.zeros((len(labelled), 6), dtype=numpy.int64)
    by_type = {name: numpy.zeros((len(labelled), 2), dtype=numpy.int64) for name in sorted(used)}
    for index, (item, guessed) in enumerate(zip(labelled, found, strict=True)):
        gold = _mask(len(item.text), ((s, e) for s, e, _ in item.spans))
        kept = [s for s in guessed if s.type not in left_out]
        mask = _mask(len(item.text), ((s.start, s.end) for s in kept))
        hits = 0
        for start, end, name in item.spans:
            hit = 2 * sum(mask[start:end]) >= end - start
            hits += hit
            by_type[name][index] += (1, hit)
        counts[index] = (
            len(item.spans), hits, len(kept),
            sum(2 * sum(gold[s.start : s.end]) >= s.end - s.start for s in kept),
            sum(gold), sum(1 for a, b in zip(gold, mask, strict=True) if a and b),
        )  # fmt: skip
    groups = _groups(labelled)
    # One row a group: the same draw serves every measure.
    drawn = _draws(len(groups))
    totals = counts.sum(axis=0)
    sampled = _per_draw(counts, groups, drawn)
    types: dict[str, dict[str, float | int | Interval | None]] = {}
    for name, rows in by_type.items():
        total, got = (int(n) for n in rows.sum(axis=0))
        samples = _per_draw(rows, groups, drawn)
        types[name] = {
            "spans": total,
            "found": got,
            "recall": got / total,
            "ci": _interval(None if samples is None else _ratio(samples[:, 1], samples[:, 0])),
        }
    measures = {
        "span_recall": (_HITS, _SPANS),
        "span_precision": (_RIGHT, _GUESSES),
        "char_recall": (_COVERED, _CHARACTERS),
    }
    values: dict[str, float | None] = {}
    spread: dict[str, Interval | None] = {}
    for name, (above, below) in measures.items():
        values[name] = float(totals[above] / totals[below]) if totals[below] else None
        spread[name] = _interval(None if sampled is None else _ratio(sampled[:, above], sampled[:, below]))
    recall, precision = values["span_recall"], values["span_precision"]
    f2 = None
    if recall is not None and precision is not None and (recall or precision):
        f2 = 5 * precision * recall / (4 * precision + recall)
    return Result(
        span_recall=recall,
        span_recall_ci=spread["span_recall"],
        span_precision=precision,
        span_precision_ci=spread["span_precision"],
        span_f2=f2,
        span_f2_ci=_interval(None if sampled is None else _f2(sampled)),
        char_recall=values["char_recall"],
        char_recall_ci=spread["char_recall"],
        per_type=types,
        characters_per_second=sum(map(len, texts)) / max(seconds, 1e-9),
        texts=len(texts),
        groups=len(groups),
        spans=int(totals[_SPANS]),
        found=int(totals[_GUESSES]),
    )


Numbers = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float64]]
Counts = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.int64]]


def _groups(labelled: Sequence[Labelled]) -> list[list[int]]:
    """Indices of texts that belong together; a text without a group is one by itself."""
    together: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(labelled):
        together[f"group {item.group}" if item.group else f"text {index}"].append(index)
    return list(together.values())


def _draws(groups: int) -> Counts | None:
    """How often each group is in each of the samples; the same every time."""
    if groups < 2:
        return None
    picked = numpy.random.default_rng(0).integers(0, groups, size=(_SAMPLES, groups))
    return numpy.stack([numpy.bincount(row, minlength=groups) for row in picked])


def _per_draw(counts: Counts, groups: list[list[int]], drawn: Counts | None) -> Counts | None:
    if drawn is None:
        return None
    sampled: Counts = drawn @ numpy.stack([counts[rows].sum(axis=0) for rows in groups])
    return sampled


def _ratio(above: Counts, below: Counts) -> Numbers:
    return above[below > 0] / below[below > 0]


def _f2(samples: Counts) -> Numbers:
    kept = samples[(samples[:, _SPANS] > 0) & (samples[:, _GUESSES] > 0) & (samples[:, _HITS] > 0)]
    recall, precision = kept[:, _HITS] / kept[:, _SPANS], kept[:, _RIGHT] / kept[:, _GUESSES]
    return 5 * precision * recall / (4 * precision + recall)


def _interval(values: Numbers | None) -> Interval | None:
    """The middle 95% of sampled values (percentile bootstrap; Efron 1979)."""
    if values is None or not len(values):
        return None
    low, high = numpy.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _mask(length: int, ranges: Iterable[tuple[int, int]]) -> bytearray:
    mask = bytearray(length)
    for start, end in ranges:
        mask[start:end] = b"\x01" * (end - start)
    return mask
