"""Playbooks as files: what may stand in them, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fde.errors import FdeError, InputError
from playbooks import schema, yamlfile
from playbooks.schema import check, load, names
from playbooks.stages import KINDS, Rl, Sft
from tests.conftest import RunFde

GOOD = """\
name: try
title: Try it
engagement:
  folder: demo
  config: fde.toml
stages:
  - name: records
    uses: ingest.recordings
    with:
      paths: [recordings]
  - name: docs
    uses: ingest.docs
    with:
      paths: [raw/documents]
"""


def read(text: str) -> object:
    return check(*yamlfile.parse(text, "p.yaml"), source="p.yaml")


def test_a_good_one_is_read() -> None:
    assert [stage.name for stage in read(GOOD).stages] == ["records", "docs"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", names())
def test_the_library_is_good(name: str, fde: RunFde) -> None:
    book, base = load(name)
    assert book.name == name
    if book.engagement:
        assert (base / book.engagement.config).is_file()
    assert fde("playbook", "show", name).code == 0
    assert fde("playbook", "show", name, "--json").json["name"] == name
    assert name in fde("playbook", "list").out


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ("    with:\n      paths: [rec", "    wiht:\n      paths: [rec", 9, "wiht"),
        ("uses: ingest.docs", "user: ingest.docs", 12, "user"),
        ("paths: [raw/documents]", "path: [raw/documents]", 14, "path"),
        ("paths: [raw/documents]", "paths: 3", 14, "paths"),
        ("paths: [raw/documents]", "paths: []", 14, "paths"),
        ("uses: ingest.docs", "uses: ingest.dogs", 12, "ingest.dogs"),
        ("name: docs", "name: records", 11, "already"),
        ("name: docs", "name: Docs & more", 11, "name"),
        ("title: Try it\n", "title: Try it\ntitle: Again\n", 3, "twice"),
        ("title: Try it", "title: [Try", 3, "expected"),
        ("title: Try it", "title: &x Try it", 2, "anchors"),
        ("title: Try it", "title: !!python/name:os.system it", 2, "tags"),
        (
            "title: Try it",
            "title: {a: {b: {c: {d: {e: {f: {g: {h: {i: {j: {k: {l: {m: 1}}}}}}}}}}}}}",
            2,
            "nested",
        ),
        ("title: Try it", "title: 2026-99-99", 2, "month"),
        ("title: Try it", "titel: Try it", 2, "titel"),
        ("  config: fde.toml", "  config: fde.toml\n  colour: red", 6, "colour"),
        ("title: Try it", "title:\tTry\x01it", 2, "special characters"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, line: int, word: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(InputError) as error:
        read(GOOD.replace(old, new))
    assert f"p.yaml, line {line}:" in str(error.value) and word in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "just words", "3", "name: try\n---\nname: other\n"])
def test_what_is_no_playbook_at_all(text: str) -> None:
    with pytest.raises(InputError):
        read(text)


def test_a_bomb_is_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"k{i}: &k{i} [*a, *a]\n" for i in range(20))
    with pytest.raises(InputError, match="line 1: anchors"):
        read(bomb)
    with pytest.raises(InputError, match="nested"):
        read("[" * 100_000)


def test_files_that_cannot_be_read(tmp_path: Path, fde: RunFde) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"name: try\ntitle: \xff\n")
    told = fde("playbook", "show", path)
    assert told.code == 2 and "line 2" in told.err
    path.write_bytes(b"#" * 300_000)
    assert "larger than" in fde("playbook", "show", path).err
    assert fde("playbook", "show", tmp_path / "none.yaml").code == 2
    told = fde("playbook", "show", "no-such-one")
    assert told.code == 2 and "quickstart" in told.err


@given(st.text(alphabet=st.sampled_from("ab:-[]{}\n \"'#&*!|>%@`,?1.~<="), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except FdeError as error:
        assert "p.yaml" in str(error)


def test_every_kind_of_stage_and_its_settings_are_documented() -> None:
    page = (Path(schema.__file__).parent.parent / "docs" / "playbooks.md").read_text()
    for name, kind in KINDS.items():
        assert f"| `{name}` |" in page
        for setting in kind.settings.model_fields:
            assert f"`{setting}`" in page, (name, setting)


def test_training_settings_are_those_of_the_trainers() -> None:
    from dataclasses import fields

    from train.rl import RlConfig
    from train.sft import SftConfig

    for kind, config in ((Sft, SftConfig), (Rl, RlConfig)):
        mine = set(kind.model_fields) - {"workflow", "seconds_of", "start"}
        assert mine == {field.name for field in fields(config)} - {"start"}


def test_a_stage_can_only_build_on_one_before_it() -> None:
    text = GOOD + "  - name: rl\n    uses: train.rl\n    with: {workflow: w, start: sft-start}\n"
    with pytest.raises(InputError, match=r"line 17: stage 'rl' needs 'sft-start'"):
        read(text)
