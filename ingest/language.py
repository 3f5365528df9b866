"""Which language a text is in, told offline by py3langid (97 languages, a model without pickles, BSD)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

# Fewer letters than this say little; more than this say no more.
MIN_LETTERS = 40
MAX_CHARACTERS = 20_000
SURE = 0.5


def language_of(text: str) -> str | None:
    """ISO 639-1 code of the language most of a text is in; None where that cannot be told."""
    words = re.sub(r"https?://\S+|\S+@\S+|[\W\d_]+", " ", text[:MAX_CHARACTERS]).strip()
    if sum(map(str.isalpha, words)) < MIN_LETTERS:
        return None
    code, sure = _identifier().classify(words)
    return str(code) if sure >= SURE else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
