"""Labelled texts, in the formats that they come in.

=================  ==================================================================================
presidio-research  a JSON list of ``{full_text, spans: [{start_position, end_position, entity_type}]}``
our own            JSON lines of ``{"text": …, "spans": [{"start": …, "end": …, "type": …}]}``
brat               a folder of ``NAME.txt`` with ``NAME.ann`` beside it (stand-off, text-bound "T" lines)
CoNLL              one word and its tags a line, the last one ``B-PER``, ``I-PER`` or ``O``
=================  ==================================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fde.errors import InputError

_EXPECTED = "Expected: presidio-research JSON, JSON lines of {text, spans}, a brat folder or a CoNLL file."


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and its labelled spans: (start, end, type).

    Attributes:
        group: What it has in common with others (the template it was made from): such
            texts are no independent evidence and are drawn together for intervals.
    """

    text: str
    spans: tuple[tuple[int, int, str], ...]
    group: str = ""


def load(path: Path) -> list[Labelled]:
    """Read labelled texts; the format is told from the file.

    Raises:
        InputError: when it cannot be read, or an entry is not in the format; names the entry.
    """
    if path.is_dir():
        found = list(_brat(path))
    else:
        text = _read(path)
        head = text.lstrip()[:1]
        if head == "[":
            found = _presidio(path, text)
        elif head == "{":
            found = [_own(path, number, line) for number, line in _lines(text)]
        else:
            found = list(_conll(path, text))
    if not found:
        raise InputError(f"{path} holds no labelled text.", _EXPECTED)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.", "Name a labelled file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: {error}.", "Save it as UTF-8.") from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _checked(where: str, text: Any, spans: tuple[tuple[int, int, str], ...], group: str = "") -> Labelled:
    if not isinstance(text, str):
        raise InputError(f"{where}: the text is not a string.", _EXPECTED)
    for start, end, name in spans:
        if not 0 <= start < end <= len(text):
            raise InputError(f"{where}: span {start}–{end} of {name} lies outside its text.")
    return Labelled(text, spans, group)


def _presidio(path: Path, text: str) -> list[Labelled]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: {error}.", _EXPECTED) from error
    found = []
    for number, entry in enumerate(data, 1):
        where = f"{path}, entry {number}"
        try:
            spans = tuple(
                (int(s["start_position"]), int(s["end_position"]), str(s["entity_type"]))
                for s in entry["spans"]
            )
            shown = entry["full_text"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{where}: {type(error).__name__}: {error}.", "Expected: {full_text, spans: […]}"
            ) from error
        group = entry.get("template_id")
        found.append(_checked(where, shown, spans, "" if group is None else str(group)))
    return found


def _own(path: Path, number: int, line: str) -> Labelled:
    where = f"{path}, line {number}"
    try:
        entry = json.loads(line)
        spans = tuple((int(s["start"]), int(s["end"]), str(s["type"])) for s in entry["spans"])
        text = entry["text"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: {type(error).__name__}: {error}.", "Expected: {text, spans: [{start, end, type}]}"
        ) from error
    return _checked(where, text, spans, str(entry.get("group", "")))


_ANNOTATION = re.compile(r"T\S*\t(?P<type>\S+) (?P<ranges>\d+ \d+(?:;\d+ \d+)*)(?:\t.*)?")


def _brat(folder: Path) -> Iterator[Labelled]:
    """Every text of a folder; a span of several pieces counts as its pieces."""
    texts = sorted(folder.rglob("*.txt"))
    if not texts:
        raise InputError(
            f"{folder} holds no .txt file.", "A brat folder has NAME.txt with NAME.ann beside it."
        )
    for file in texts:
        notes = file.with_suffix(".ann")
        if not notes.is_file():
            raise InputError(f"{file} has no {notes.name} beside it.", "An empty one says: nothing personal.")
        spans: list[tuple[int, int, str]] = []
        for number, line in _lines(_read(notes)):
            if not line.startswith("T"):
                continue  # relations, events and notes
            match = _ANNOTATION.fullmatch(line.rstrip("\r"))
            if match is None:
                raise InputError(
                    f"{notes}, line {number} is not in brat's format: {line[:80]!r}.",
                    "Expected: T1<tab>TYPE start end<tab>text",
                )
            for piece in match["ranges"].split(";"):
                start, end = map(int, piece.split())
                spans.append((start, end, match["type"]))
        yield _checked(str(notes), _exact(file), tuple(spans))


def _exact(path: Path) -> str:
    """The text with its line ends as they are: brat counts every character."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: {error}.", "Save it as UTF-8.") from error


def _conll(path: Path, text: str) -> Iterator[Labelled]:
    """Sentences of a CoNLL file; words are joined by single blanks."""
    words: list[tuple[str, str]] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or fields[0].startswith("-DOCSTART-"):
            if words:
                yield _sentence(words)
            words = []
            continue
        if line.startswith("# "):
            continue
        tag = fields[-1].strip()
        if len(fields) < 2 or not re.fullmatch(r"O|[BIESLU]-\S+", tag):
            raise InputError(
                f"{path}, line {number} is not in CoNLL's format: {line[:80]!r}.",
                "Expected: a word and its tags, the last one O, B-TYPE or I-TYPE. " + _EXPECTED,
            )
        words.append((fields[0].strip(), tag))


def _sentence(words: list[tuple[str, str]]) -> Labelled:
    text = ""
    spans: list[tuple[int, int, str]] = []
    before = "O"
    for word, tag in words:
        start = len(text) + (1 if text else 0)
        text = f"{text} {word}" if text else word
        mark, _, kind = tag.partition("-")
        if kind and mark in "IEL" and before == kind and spans:
            spans[-1] = (spans[-1][0], len(text), kind)
        elif kind:
            spans.append((start, len(text), kind))
        before = kind
    return Labelled(text, tuple(spans))
