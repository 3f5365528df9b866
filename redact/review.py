"""The review page: every value that was found, in its context, the least certain first.

The page holds originals in clear. It lies in the vault's folder, readable by its owner
only, holds no link and loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fde.artifacts import PRIVATE_DIR, PRIVATE_FILE, write_text
from fde.engagement import Engagement
from redact import decisions
from redact.corpus import Context, apply
from redact.knowledge import Knowledge
from redact.lexicon import longest
from redact.rewrite import compact_key
from redact.spans import TYPES, Span

_TEMPLATE = Path(__file__).with_name("review.html")
_CONTEXTS = 4
_AROUND = 70
# How sure a person is by the strength of its evidence, see :class:`redact.spans.Span`.
_PEOPLE = (0.3, 0.55, 0.8, 0.97)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A value where it stands: ``before`` + ``value`` + ``after``."""

    place: str
    before: str
    value: str
    after: str


@dataclass(slots=True)
class Item:
    """One value to decide on.

    Attributes:
        confidence: 0 to 1, the best of its recognisers; None for what no recogniser found
            where it stands (it is known from elsewhere).
        replaced: Whether the redaction replaces it.
        stand_in: What is written instead.
        sources: The recognisers that found it.
        verdict: What was decided on it before, or None.
    """

    type: str
    value: str
    confidence: float | None = None
    replaced: bool = False
    stand_in: str = ""
    count: int = 0
    sources: list[str] = field(default_factory=list)
    contexts: list[Excerpt] = field(default_factory=list)
    verdict: str | None = None


def items(knowledge: Knowledge, decided: decisions.Decisions) -> list[Item]:
    """Everything found or replaced, the least certain first."""
    verdicts = {compact_key(d.value) or d.value: d.verdict for d in decided.decisions}
    found: dict[tuple[str, str], Item] = {}
    for text, contexts in knowledge.seen.items():
        for span, made in _marks(knowledge, text, contexts):
            value = text[span.start : span.end]
            key = compact_key(value) or value
            item = found.setdefault((span.type, key), Item(span.type, value, verdict=verdicts.get(key)))
            item.count += 1
            if span.source:
                strength = max(span.strength, knowledge.strengths.get(key, 0))
                sure = _PEOPLE[strength] if span.type == "PERSON" else span.score
                item.confidence = max(item.confidence or 0.0, sure)
                if span.source not in item.sources:
                    item.sources.append(span.source)
            if made is not None:
                item.replaced, item.stand_in = True, made
            if len(item.contexts) < _CONTEXTS:
                item.contexts.append(_excerpt(text, span, contexts))
    return sorted(found.values(), key=lambda i: (i.confidence is None, i.confidence or 0.0, i.type, i.value))


def _marks(knowledge: Knowledge, text: str, contexts: set[Context]) -> Iterator[tuple[Span, str | None]]:
    """What was found in a text or is replaced in it, with its stand-in or None."""
    context = min(contexts, key=lambda c: (c.place != "prose", c.label is None, c.place, c.label or ""))
    edits = knowledge.rewriter.edits(text, context)
    spans = knowledge.spans(text)
    for start, end, made in edits:
        inside = [s for s in spans if s.start < end and start < s.end]
        best = max(inside, key=lambda s: (s.end - s.start, s.score), default=None)
        if best is None:
            hits = [
                h for h in longest(knowledge.rewriter.lexicon.scan(text)) if h.start < end and start < h.end
            ]
            kind = hits[0].form.kind if hits else context.label or "CUSTOM"
            yield Span(start, end, kind if kind in TYPES else "CUSTOM", 0.0, ""), made
        else:
            yield Span(start, end, best.type, best.score, best.source, best.strength), made
    for span in spans:
        if knowledge.replaces(span.type) and not any(a < span.end and span.start < b for a, b, _ in edits):
            yield span, None


def _excerpt(text: str, span: Span, contexts: set[Context]) -> Excerpt:
    places = sorted({c.place if c.label is None else f"{c.place}, {c.label.lower()}" for c in contexts})
    return Excerpt(
        "; ".join(places[:2]),
        ("…" if span.start > _AROUND else "") + text[max(0, span.start - _AROUND) : span.start],
        text[span.start : span.end],
        text[span.end : span.end + _AROUND] + ("…" if span.end + _AROUND < len(text) else ""),
    )


def write_page(engagement: Engagement, found: list[Item]) -> Path:
    """Write the page into the vault's folder; returns its path."""
    data = json.dumps(
        {
            "engagement": engagement.root.name,
            "types": sorted(TYPES),
            "items": [asdict(item) for item in found],
        },
        ensure_ascii=False,
    )
    # Inside a script element only "<" could end the data early.
    template = _TEMPLATE.read_text(encoding="utf-8")
    page = apply(template, [_slot(template, data.replace("<", "\\u003c"))])[0]
    path = engagement.vault / "review.html"
    path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
    write_text(path, page, mode=PRIVATE_FILE)
    return path


def _slot(template: str, data: str) -> tuple[int, int, str]:
    start = template.index("{{data}}")
    return start, start + len("{{data}}"), data
