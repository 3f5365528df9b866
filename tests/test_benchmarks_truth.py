"""The benchmark of verifiers against the truth: what was done is kept, found again and judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from envgen_forms import note

from benchmarks.environments import load
from benchmarks.truth_pieces import Piece, done, keep, kept
from benchmarks.verifier_truth import PORTAL, WEB, plans, summary, verdicts
from envgen.compile import compile_workflow
from envgen.replay import replay
from envgen.traces import Moment, Parser, trace
from fde.errors import InputError
from ingest.action import Action
from ingest.recording import Recording
from ingest.snapshot import parse


def test_more_pieces_begin_with_the_same_ones() -> None:
    few, more = (plans([*PORTAL, *WEB], 500, wrong, 1) for wrong in (2000, 2060))
    assert sum(map(len, few.values())) == 2500 and sum(map(len, more.values())) == 2560
    assert all(more[name][: len(pieces)] == pieces for name, pieces in few.items())


def test_pieces_are_found_again_and_judged_as_they_were_done(tmp_path: Path) -> None:
    recordings, parser = [note(number) for number in range(9)], Parser()
    workflow = compile_workflow(recordings[1:], parser=parser)
    right = trace(recordings[0], parser).moments
    wrong = [_with(right[0], "nobody"), *right[1:]]
    pieces = [
        Piece("enter-text", way, 1, n) for n, way in enumerate(("as recorded", "a near miss", "not sent"))
    ]
    told = recordings[0].instruction
    keep(tmp_path, pieces[0], done(pieces[0], told, right, True))
    keep(tmp_path, pieces[1], done(pieces[1], told, wrong, False))
    keep(tmp_path, pieces[2], done(pieces[2], told, right[:1], False))
    found = list(verdicts(workflow, list(kept(tmp_path, pieces))))
    assert [v.passed for v in found] == [True, False, False]
    # The same verdicts, had the application said the opposite.
    lied = [replace(v, done=v.done.model_copy(update={"right": not v.done.right})) for v in found]
    for verdicts_found, passes, rejects in ((found, 0, 0), (lied, 1, 2)):
        told_of = summary("note", verdicts_found)
        assert (told_of["false_pass"]["hits"], told_of["false_reject"]["hits"]) == (passes, rejects)
        assert len(told_of["disagreements"]) == passes + rejects


def test_a_file_that_is_no_piece_is_said(tmp_path: Path) -> None:
    piece = Piece("enter-text", "as recorded", 1, 0)
    assert list(kept(tmp_path, [piece])) == []
    piece.file(tmp_path).parent.mkdir()
    piece.file(tmp_path).write_text("{}")
    with pytest.raises(InputError, match="no piece of work"):
        list(kept(tmp_path, [piece]))


def _with(moment: Moment, value: str) -> Moment:
    return replace(moment, action=Action.model_validate({**moment.action.model_dump(), "value": value}))


def test_what_a_held_out_recording_alone_shows_on_offer_can_be_chosen_in_its_replay() -> None:
    """An option that no other recording shows, chosen first and then put right."""
    recordings, documents = load()
    one, *others = recordings["code-invoice"]
    at, step = next(
        (i, s)
        for i, s in enumerate(one.steps)
        if s.action.target is not None and s.action.target.name == "Account"
    )
    assert step.before is not None and step.action.value
    account = next(n for n in parse(step.before.text).walk() if n.role == "combobox" and n.name == "Account")
    unused = next(n.name for n in account.children if n.name not in ("", step.action.value))
    renamed = Recording.model_validate_json(
        one.model_dump_json().replace(f'option \\"{unused}\\"', 'option \\"Uncharted\\"')
    )
    step = renamed.steps[at]
    first = step.model_copy(
        update={"action": step.action.model_copy(update={"value": "Uncharted"}), "after": step.before}
    )
    steps = (*renamed.steps[:at], first, *renamed.steps[at:])
    parser = Parser()
    found = replay(
        compile_workflow(others, documents), trace(renamed.model_copy(update={"steps": steps}), parser)
    )
    assert not found.refused and found.score.passed, (found.refused, found.score.reasons)
