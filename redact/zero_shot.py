"""A GLiNER model beside the recognisers: asked for kinds of personal data in words, read in batches.

Set by ``transformer`` under ``[redact]``, as other models are: a folder with ``gliner_config.json``.
Only safetensors weights of a folder on this machine are loaded. The package ``gliner`` is optional.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fde.errors import InputError, MissingError
from redact.spans import Span
from redact.transformer import OVERLAP, SOURCE, SURE, no_weights

CONFIG = "gliner_config.json"
# Without its dependencies: it asks for an older transformers than ours, and runs with ours.
PACKAGE = "gliner==0.2.29"
# What the model is asked for, in the words such models were trained on -> our type.
_ASKED = {
    "person": "PERSON",
    "address": "ADDRESS",
    "location": "LOCATION",
    "organization": "ORGANIZATION",
    "phone number": "PHONE_NUMBER",
    "email": "EMAIL_ADDRESS",
    "username": "USERNAME",
    "password": "SECRET",
    "date of birth": "DATE_OF_BIRTH",
    "passport number": "NATIONAL_ID",
    "social security number": "NATIONAL_ID",
    "bank account number": "BANK_ACCOUNT",
    "credit card number": "CREDIT_CARD",
    "medical record number": "ID_NUMBER",
    "license plate": "VEHICLE_ID",
    "ip address": "IP_ADDRESS",
}
_BATCH = 8
# As the library splits words: a window holds so many of them.
_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")


class ZeroShot:
    """A GLiNER model; the same interface as :class:`redact.transformer.Transformer`.

    Raises:
        MissingError: no safetensors weights in the folder, or the package is not installed.
        InputError: its configuration is damaged.
    """

    def __init__(self, folder: Path) -> None:
        if not list(folder.glob("*.safetensors")):
            raise no_weights(folder)
        try:
            told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            self._words = int(told.get("max_len", 384))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{folder / CONFIG} is damaged: {error}.", "Copy the model again.") from error
        if self._words < 2 * OVERLAP:
            raise InputError(
                f"The model in {folder} reads {self._words} words at a time; {2 * OVERLAP} are needed.",
                "Name another model.",
            )
        try:
            import gliner  # noqa: F401
        except ImportError as error:
            raise MissingError(
                f"{folder} is a GLiNER model, and the package gliner is not installed.",
                f"Install it with: pip install --no-deps {PACKAGE}",
            ) from error
        self._folder = folder
        self._model: Any = None

    def _load(self) -> Any:
        if self._model is None:
            from gliner import GLiNER

            try:
                self._model = GLiNER.from_pretrained(str(self._folder), local_files_only=True).eval()
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
                raise InputError(
                    f"The model in {self._folder} cannot be loaded: {str(error).splitlines()[0]}",
                    "Name the folder of a GLiNER model with its tokenizer and its encoder's configuration.",
                ) from error
        return self._model

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans of each text; long ones are read in windows that overlap."""
        windows = [(row, start, piece) for row, text in enumerate(texts) for start, piece in self._cut(text)]
        found: list[list[Span]] = [[] for _ in texts]
        if not windows:
            return found
        model = self._load()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = model.inference(
                [piece for _, _, piece in windows], list(_ASKED), threshold=SURE, batch_size=_BATCH
            )
        for (row, offset, _), entities in zip(windows, results, strict=True):
            for entity in entities:
                start, end = offset + int(entity["start"]), offset + int(entity["end"])
                span = Span(start, end, _ASKED[entity["label"]], float(entity["score"]), SOURCE, 1)
                if (start, end, span.type) not in {(s.start, s.end, s.type) for s in found[row]}:
                    found[row].append(span)
        return found

    def _cut(self, text: str) -> list[tuple[int, str]]:
        """Windows of as many words as the model reads, and where they begin."""
        words = [match.span() for match in _WORD.finditer(text)]
        step = self._words - OVERLAP
        pieces = []
        for first in range(0, len(words), step):
            last = min(first + self._words, len(words)) - 1
            pieces.append((words[first][0], text[words[first][0] : words[last][1]]))
            if last == len(words) - 1:
                break
        return pieces
