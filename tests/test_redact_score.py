"""The score's arithmetic, its file format, and the command lines of the room."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redact_corpus import ingest, key_file, policy, recording, vendors

from fde.engagement import Engagement
from fde.errors import InputError
from redact.labelled import Labelled, load
from redact.score import score
from redact.spans import Span


def finder(*spans: tuple[int, int, str]) -> Any:
    def find(texts: Sequence[str]) -> list[list[Span]]:
        return [[Span(s, e, t, 1.0, "test") for s, e, t in spans] for _ in texts]

    return find


def test_half_a_span_counts_and_types_do_not_matter() -> None:
    labelled = [Labelled("x" * 40, ((0, 10, "PERSON"), (20, 30, "ADDRESS")))]
    result = score(labelled, finder((0, 5, "PHONE_NUMBER"), (24, 29, "PERSON"), (34, 40, "PERSON")))
    assert result.span_recall == 1.0
    assert result.span_precision == pytest.approx(2 / 3)
    assert result.span_f2 == pytest.approx(5 * (2 / 3) / (4 * (2 / 3) + 1))
    assert result.char_recall == 0.5
    assert result.per_type["PERSON"] == {"spans": 1, "found": 1, "recall": 1.0, "ci": None}
    missed = score(labelled, finder((0, 4, "PERSON")))
    assert (missed.span_recall, missed.span_precision) == (0.0, 1.0)


def test_what_cannot_be_judged_is_none() -> None:
    nothing = score([Labelled("abc", ())], finder())
    assert (nothing.span_recall, nothing.span_precision, nothing.span_f2, nothing.char_recall) == (None,) * 4
    # A file without labels for firms does not say whether a firm was one; a person it does.
    unlabelled = score(
        [Labelled("x" * 20, ((0, 5, "PERSON"),))], finder((10, 15, "ORGANIZATION"), (0, 5, "PERSON"))
    )
    assert unlabelled.span_precision == 1.0
    labelled = score(
        [Labelled("x" * 20, ((0, 5, "PERSON"), (6, 8, "ORGANIZATION")))],
        finder((10, 15, "ORGANIZATION"), (0, 5, "PERSON")),
    )
    assert labelled.span_precision == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not JSON"),
        ("{}", "line 1: KeyError"),
        ("[]", "holds no labelled text"),
        ('[{"full_text": "a"}]', "entry 1: KeyError"),
        ('[{"full_text": 3, "spans": []}]', "entry 1: the text is not a string"),
        (
            '[{"full_text": "ab", "spans": [{"start_position": 0, "end_position": 9, "entity_type": "X"}]}]',
            "lies outside",
        ),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labelled.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load(path)
    with pytest.raises(InputError, match="Cannot read"):
        load(tmp_path / "none.json")


def test_score_command(fde: Any, tmp_path: Path) -> None:
    text = "Write to Marguerite Okonjo at m.okonjo@northgate.example."
    spans = [
        {
            "entity_type": "PERSON",
            "entity_value": "Marguerite Okonjo",
            "start_position": 9,
            "end_position": 26,
        },
        {"entity_type": "EMAIL", "entity_value": "m", "start_position": 30, "end_position": 56},
    ]
    path = tmp_path / "labelled.json"
    path.write_text(json.dumps([{"full_text": text, "spans": spans, "template_id": 1}]))
    told = fde("redact", "score", path, "--json")
    assert told.code == 0
    fields = (
        "span_recall",
        "span_precision",
        "span_f2",
        "char_recall",
        "per_type",
        "characters_per_second",
        "texts",
    )
    assert [told.json[f] for f in fields[:4]] == [1.0, 1.0, 1.0, 1.0]
    assert set(fields) <= set(told.json) and told.json["texts"] == 1
    assert "span_recall 1.000" in fde("redact", "score", path).out
    wrong = fde("redact", "score", tmp_path / "none.json", "--json")
    assert wrong.code == 2 and wrong.out == "" and "Cannot read" in wrong.err


def test_run_audit_and_reveal_commands(
    fde: Any, engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key_file(monkeypatch, tmp_path)
    root = engagement.root
    nothing = fde("-C", root, "redact", "run")
    assert nothing.code == 2 and "fde ingest docs" in nothing.err
    ingest(engagement, documents=(policy(), vendors()), recordings=(recording(1),))
    done = fde("-C", root, "redact", "run", "--json")
    assert done.code == 0 and done.json["counts"]["audit_leaks"] == 0
    checked = fde("-C", root, "redact", "audit", "--json")
    assert checked.code == 0
    assert (
        checked.json["passed"] is True and checked.json["leaks"] == 0 and checked.json["leaked_types"] == {}
    )
    assert checked.json["checked_strings"] > 100
    (engagement.reports / "notes.txt").write_text("Marguerite Okonjo signed")
    leaking = fde("-C", root, "redact", "audit")
    assert leaking.code == 1 and "PERSON  reports/notes.txt" in leaking.out and "Okonjo" not in leaking.out
    text = "".join(f.read_text() for f in (engagement.stages / "redact").glob("*/documents/*.json"))
    owner = text.partition("Owner: ")[2].partition(",")[0]
    assert fde("-C", root, "redact", "reveal", owner).code == 2
    shown = fde("-C", root, "redact", "reveal", owner, "--reason", "to answer a request", "--json")
    assert shown.json["entries"][0]["original"] == "Marguerite Okonjo"
