"""A transformer beside the recognisers: any local token-classification model, read in batches.

Set by ``transformer`` under ``[redact]``. Only safetensors weights of a folder on this
machine are loaded, and no code that comes with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fde.errors import InputError, MissingError
from redact.spans import Span

SOURCE = "transformer"
# Tokens of a window, and how many it shares with the one before it.
_WINDOW = 256
OVERLAP = 32
_BATCH = 16
SURE = 0.5

# Parts of the labels that models in use give their spans, most telling first.
_TYPES = (
    (r"E[-_]?MAIL", "EMAIL_ADDRESS"), (r"IBAN", "IBAN_CODE"), (r"CREDIT|CARD[-_]?NUM", "CREDIT_CARD"),
    (r"CVV|PIN\b|PASSWORD|SECRET|API", "SECRET"), (r"PHONE|TEL(?:EPHONE)?|FAX", "PHONE_NUMBER"),
    (r"USER[-_]?NAME|LOGIN", "USERNAME"), (r"BIRTH|DOB", "DATE_OF_BIRTH"), (r"SSN|SOCIAL|PASSPORT|LICEN[CS]E|"
     r"ID[-_]?CARD|NATIONAL", "NATIONAL_ID"), (r"\bIP|IPV", "IP_ADDRESS"), (r"MAC\b", "MAC_ADDRESS"),
    (r"ACCOUNT", "BANK_ACCOUNT"), (r"STREET|BUILDING|ZIP|POSTCODE|ADDRESS|SECONDARY", "ADDRESS"),
    (r"ORG|COMPANY", "ORGANIZATION"), (r"GPE|LOC|CITY|STATE|COUNTRY|COUNTY|FAC", "LOCATION"),
    (r"PER|NAME|PATIENT|DOCTOR|STAFF", "PERSON"), (r"DATE|TIME", "DATE_TIME"), (r"\bAGE", "AGE"),
    (r"URL", "URL"), (r"ID|NUM", "ID_NUMBER"),
)  # fmt: skip


def type_of(label: str) -> str | None:
    """Our type for a model's label; None for ``O`` and for what is nobody's."""
    if label == "O" or re.fullmatch(r"MISC|NORP|LABEL_\d+", label):
        return None
    return next((kind for pattern, kind in _TYPES if re.search(pattern, label.upper())), None)


def no_weights(folder: Path) -> MissingError:
    """What is said where a folder holds no model that may be loaded."""
    return MissingError(
        f"There is no model with safetensors weights in {folder}.",
        "Correct 'transformer' under [redact] in fde.toml; nothing is downloaded.",
    )


class Transformer:
    """A token-classification model.

    Raises:
        MissingError: no such folder, or no safetensors weights in it.
        InputError: the model is not one for tokens, or none of its labels is known.
    """

    def __init__(self, folder: Path) -> None:
        config = folder / "config.json"
        if not config.is_file() or not list(folder.glob("*.safetensors")):
            raise no_weights(folder)
        try:
            labels = json.loads(config.read_text(encoding="utf-8")).get("id2label", {})
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{config} is damaged: {error}.", "Copy the model again.") from error
        known = {int(number): _plain(str(label)) for number, label in labels.items()}
        if not any(type_of(label) for _, label in known.values()):
            raise InputError(
                f"The model in {folder} has no label for personal data: "
                f"{', '.join(sorted({label for _, label in known.values()})[:10]) or 'none at all'}.",
                "Name a token-classification model for names or personal data.",
            )
        self._labels = known
        self._folder = folder
        self._loaded: tuple[Any, Any] | None = None

    def _load(self) -> tuple[Any, Any]:
        """Tokeniser and model, loaded when first used: ten seconds that a finished run need not spend."""
        if self._loaded is None:
            from transformers import AutoModelForTokenClassification, AutoTokenizer

            named = {"local_files_only": True, "trust_remote_code": False}
            try:
                tokenizer = AutoTokenizer.from_pretrained(self._folder, **named)
                model = AutoModelForTokenClassification.from_pretrained(
                    self._folder, use_safetensors=True, **named
                )
            except (OSError, ValueError, KeyError) as error:
                raise InputError(
                    f"The model in {self._folder} cannot be loaded: {str(error).splitlines()[0]}",
                    "Name the folder of a token-classification model with its tokenizer.",
                ) from error
            if not tokenizer.is_fast:
                raise InputError(
                    f"The tokenizer in {self._folder} does not tell where its tokens stand.",
                    "Save the model with a fast tokenizer (tokenizer.json).",
                )
            self._loaded = tokenizer, model.eval()
        return self._loaded

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans of each text; long ones are read in windows that overlap."""
        if not texts:
            return []
        import torch

        tokenizer, model = self._load()
        limit = min(_WINDOW, getattr(model.config, "max_position_embeddings", _WINDOW) or _WINDOW)
        found: list[list[Span]] = [[] for _ in texts]
        # Texts of like length together: a short one is not padded to a long one's length.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            encoded = tokenizer(
                [texts[row] for row in rows],
                truncation=True,
                max_length=limit,
                stride=min(OVERLAP, limit // 4),
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
                padding=True,
                return_tensors="pt",
            )
            owner = encoded.pop("overflow_to_sample_mapping").tolist()
            offsets = encoded.pop("offset_mapping").tolist()
            with torch.inference_mode():
                scores = model(**encoded).logits.softmax(-1)
            best, label = (values.tolist() for values in scores.max(-1))
            for window, row in enumerate(owner):
                found[rows[row]].extend(
                    self._spans(texts[rows[row]], offsets[window], label[window], best[window])
                )
        return found

    def _spans(
        self, text: str, offsets: list[list[int]], labels: list[int], scores: list[float]
    ) -> Iterator[Span]:
        """Tokens of one kind that touch, or have only a blank between them, as one span."""
        open_: tuple[int, int, str, float] | None = None
        for (start, end), number, score in zip(offsets, labels, scores, strict=True):
            mark, label = self._labels.get(number, ("", "O"))
            kind = type_of(label) if end > start and score >= SURE else None
            if open_ is not None:
                begin, stop, before, sure = open_
                joins = kind == before and mark != "B" and not text[stop:start].strip(" -.'’")
                # A word's later pieces belong to it whatever they are called.
                if joins or (
                    start == stop and end > start and text[stop - 1].isalnum() and text[start].isalnum()
                ):
                    open_ = begin, end, before, min(sure, score)
                    continue
                yield Span(begin, stop, before, sure, SOURCE, 1)
                open_ = None
            if kind is not None:
                open_ = start, end, kind, score
        if open_ is not None:
            yield Span(open_[0], open_[1], open_[2], open_[3], SOURCE, 1)


def _plain(label: str) -> tuple[str, str]:
    """A label as its mark (B, I or none) and its name."""
    match = re.fullmatch(r"([BIESLU])[-_](.+)", label)
    return (match[1], match[2]) if match else ("", label)
