"""Builds Presidio's analyser without its network and without the parts of spaCy it does not need."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from redact import addresses, locations, patterns, people
from redact.spans import Span


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """Makes imports of packages that are not loaded yet fail as if they were not installed."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


# spaCy and Presidio load torch and transformers when they are there: ten seconds
# and half a gigabyte for recognisers that are not used here.
with absent("torch", "transformers", "tensorflow", "mxnet", "cupy", "stanza", "gliner"):
    import spacy
    from presidio_analyzer import AnalyzerEngine, LocalRecognizer, RecognizerRegistry, RecognizerResult
    from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine

_LABELS = {
    "PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION",
}  # fmt: skip
_IGNORED = [
    "NORP",
    "CARDINAL",
    "DATE",
    "TIME",
    "EVENT",
    "LANGUAGE",
    "LAW",
    "MONEY",
    "ORDINAL",
    "PERCENT",
    "PRODUCT",
    "QUANTITY",
    "WORK_OF_ART",
]


class OfflineSpacy(SpacyNlpEngine):
    """spaCy for Presidio: only what names need. Unlike Presidio's own, it never downloads a model."""

    def load(self) -> None:
        """Load the tagger-free pipeline: word vectors and the recogniser of entities."""
        name = self.models[0]["model_name"]
        nlp = spacy.load(name, exclude=["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"])
        self.nlp = {"en": nlp}  # type: ignore[assignment]

    def _doc_to_nlp_artifact(self, doc: Any, language: str) -> NlpArtifacts:
        entities, scores = self._get_updated_entities(doc.ents, self._get_scores_for_entities(doc))
        artifacts = NlpArtifacts.__new__(NlpArtifacts)  # its constructor computes keywords that nobody reads
        artifacts.entities = entities
        artifacts.tokens = doc
        artifacts.lemmas = []
        artifacts.tokens_indices = []
        artifacts.keywords = []
        artifacts.nlp_engine = self
        artifacts.scores = scores
        return artifacts


class NoContext(ContextAwareEnhancer):
    """Our recognisers read their context themselves."""

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0, 0)

    def enhance_using_context(self, text: str, raw_results: list[Any], *rest: Any, **named: Any) -> list[Any]:
        return raw_results


class SpanRecognizer(LocalRecognizer):
    """One of our functions from text to spans, as Presidio wants it."""

    def __init__(self, name: str, types: list[str], finder: Callable[[str], Iterable[Span]]) -> None:
        self._finder = finder
        super().__init__(supported_entities=types, name=name, supported_language="en")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        return [
            RecognizerResult(
                entity_type=span.type,
                start=span.start,
                end=span.end,
                score=span.score,
                recognition_metadata={"source": span.source, "strength": span.strength},
            )
            for span in self._finder(text)
        ]


class ModelRecognizer(LocalRecognizer):
    """What the spaCy model says, without the explanations Presidio adds to each result."""

    def __init__(self) -> None:
        super().__init__(
            supported_entities=sorted(set(_LABELS.values())), name="model", supported_language="en"
        )

    def load(self) -> None:
        """Loaded with the engine."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        return [
            RecognizerResult(
                entity_type=entity.label_,
                start=entity.start_char,
                end=entity.end_char,
                score=0.6,
                recognition_metadata={"source": "model", "strength": 1},
            )
            for entity in nlp_artifacts.entities
            if re.search(r"[^\W\d_]", entity.text)
        ]


def build(model: str, locales: tuple[str, ...]) -> tuple[AnalyzerEngine, OfflineSpacy]:
    """Presidio's analyser over ``model`` (an installed spaCy package) with our recognisers.

    Args:
        locales: Countries whose national identifiers are looked for.
    """
    engine = OfflineSpacy(
        models=[{"lang_code": "en", "model_name": model}],
        ner_model_configuration=NerModelConfiguration(
            model_to_presidio_entity_mapping=_LABELS, labels_to_ignore=_IGNORED, low_score_entity_names=[]
        ),
    )
    engine.load()
    registry = RecognizerRegistry(
        recognizers=[
            SpanRecognizer("patterns", list(patterns.FOUND), partial(patterns.find, locales=locales)),
            SpanRecognizer("addresses", ["ADDRESS"], addresses.find),
            SpanRecognizer("places", ["LOCATION"], locations.find),
            SpanRecognizer("people", ["PERSON"], people.find),
            ModelRecognizer(),
        ],
        supported_languages=["en"],
    )
    analyzer = AnalyzerEngine(
        registry=registry,
        nlp_engine=engine,
        supported_languages=["en"],
        context_aware_enhancer=NoContext(),
        default_score_threshold=0.0,
    )
    return analyzer, engine
