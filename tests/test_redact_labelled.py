"""Labelled files in every format, and the intervals of a score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fde.errors import InputError
from redact.labelled import Labelled, load
from redact.score import score
from redact.spans import Span

TEXT = "Ann Lee lives here"
PRESIDIO = [
    {
        "full_text": TEXT,
        "spans": [{"start_position": 0, "end_position": 7, "entity_type": "PERSON"}],
        "template_id": 3,
    }
]
OWN = {"text": TEXT, "spans": [{"start": 0, "end": 7, "type": "PERSON"}], "group": "3"}


def brat(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"Ann Lee\r\nlives here")
    (folder / "a.ann").write_text(
        "T1\tPERSON 0 7\tAnn Lee\nR1\tknows Arg1:T1 Arg2:T1\nT2\tADDRESS 9 14;15 19\tlives here\n"
    )
    return folder


def conll(file: Path) -> Path:
    file.write_text("-DOCSTART- O\n\nAnn NNP B-PER\nLee NNP I-PER\nlives VBZ O\n\nBo B-PER\nAnn\tB-PER\n")
    return file


def test_every_format_gives_texts_and_spans(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(PRESIDIO))
    (tmp_path / "a.jsonl").write_text(json.dumps(OWN) + "\n\n")
    expected = [Labelled(TEXT, ((0, 7, "PERSON"),), "3")]
    assert load(tmp_path / "a.json") == load(tmp_path / "a.jsonl") == expected
    assert load(brat(tmp_path / "brat")) == [
        Labelled("Ann Lee\r\nlives here", ((0, 7, "PERSON"), (9, 14, "ADDRESS"), (15, 19, "ADDRESS")))
    ]
    assert load(conll(tmp_path / "a.conll")) == [
        Labelled("Ann Lee lives", ((0, 7, "PER"),)),
        Labelled("Bo Ann", ((0, 2, "PER"), (3, 6, "PER"))),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "ab"}', "line 1: KeyError"),
        ("a.jsonl", '{"text": "ab", "spans": [{"start": 0, "end": 9, "type": "X"}]}', "lies outside"),
        ("a.jsonl", '{"text": 3, "spans": []}', "not a string"),
        ("a.conll", "Ann\tB-PER\nLee\n", "line 2 is not in CoNLL"),
        ("a.conll", "Ann X-PER", "line 1 is not in CoNLL"),
        ("a.txt", "\n\n", "holds no labelled text"),
        ("a.bin", b"\xff\xfe\x00", "is not text"),
        ("brat/a.txt", "Ann", "has no a.ann"),
    ],
)
def test_a_wrong_file_names_the_place(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        load(tmp_path / "brat" if name.startswith("brat") else file)


def test_a_wrong_annotation_names_its_line(tmp_path: Path) -> None:
    folder = brat(tmp_path / "brat")
    (folder / "a.ann").write_text("T1\tPERSON zero 7\tAnn\n")
    with pytest.raises(InputError, match=r"a\.ann, line 1 is not in brat"):
        load(folder)


def half(texts: Any) -> list[list[Span]]:
    """Finds the labelled span in every second text."""
    return [[Span(0, 4, "PERSON", 1.0, "test")] if i % 2 else [] for i, _ in enumerate(texts)]


def test_intervals_hold_the_value_and_widen_when_texts_hang_together() -> None:
    alone = [Labelled("x" * 10, ((0, 4, "PERSON"),)) for _ in range(60)]
    result = score(alone, half)
    assert result.span_recall == 0.5 and result.span_precision == 1.0 and result.groups == 60
    assert result.span_recall_ci is not None and result.span_f2_ci is not None
    low, high = result.span_recall_ci
    # A binomial interval for 30 of 60 is 0.38 to 0.62.
    assert 0.34 < low < 0.42 and 0.58 < high < 0.66
    assert result.span_precision_ci == (1.0, 1.0)
    assert result.per_type["PERSON"]["ci"] == result.span_recall_ci
    # Six templates of ten texts each that are all found or all missed are six observations.
    together = [Labelled(f"{'x' * 10}{i}", ((0, 4, "PERSON"),), str(i % 2 + i // 20 * 2)) for i in range(60)]
    wide = score(together, half)
    assert wide.groups == 6 and wide.span_recall == 0.5 and wide.span_recall_ci is not None
    assert wide.span_recall_ci[1] - wide.span_recall_ci[0] > 1.5 * (high - low)


def test_one_group_has_no_interval() -> None:
    result = score([Labelled("x" * 10, ((0, 4, "PERSON"),), "1")] * 3, half)
    assert result.span_recall is not None and result.span_recall_ci is None
