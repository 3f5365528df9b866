"""Pieces of work for ``verifier_truth.py``: what is to be done, and what was done, kept in files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from envgen.traces import Moment, Parser, Trace
from fde.artifacts import read_json, write_json
from fde.errors import InputError
from ingest.recording import RecordedStep, Recording, Snapshot
from ingest.snapshot import render


@dataclass(frozen=True)
class Piece:
    """One piece of work to be done.

    Attributes:
        workflow: A workflow of the portal, or a MiniWoB++ task.
        way: In which way, see :mod:`benchmarks.truth_workers` and :mod:`benchmarks.truth_ways`.
        seed, number: Which task of the workflow.
    """

    workflow: str
    way: str
    seed: int
    number: int

    def file(self, folder: Path) -> Path:
        """Where it is kept once it is done."""
        way = re.sub(r"\W+", "-", self.way)
        return folder / self.workflow / f"{self.seed}-{self.number:04d}-{way}.json"


class Done(BaseModel):
    """A piece of work that was done in the real page.

    Attributes:
        right: What the application says of it; None when it could not be done.
        said: Why, in the application's words or ours.
        work: What was done and seen.
    """

    model_config = ConfigDict(frozen=True)

    way: str
    right: bool | None
    said: tuple[str, ...]
    work: Recording

    def trace(self, parser: Parser) -> Trace:
        """The work as the verifier's replay needs it: from where the task begins."""
        moments = [
            Moment(parser.page(step.before), step.action, parser.page(step.after))
            for step in self.work.steps
            if step.before is not None and step.after is not None
        ]
        return Trace(self.work.id, self.work.instruction, moments, moments[0].before if moments else None)


def done(piece: Piece, instruction: str, moments: Sequence[Moment], right: bool | None, *said: str) -> Done:
    """What came of a piece."""
    steps = tuple(
        RecordedStep(
            before=Snapshot(url=moment.before.url, text=render(moment.before.node)),
            action=moment.action,
            after=Snapshot(url=moment.after.url, text=render(moment.after.node)),
        )
        for moment in moments
    )
    name = f"{piece.workflow} {piece.seed}-{piece.number} {piece.way}"
    work = Recording(
        id=name, workflow=piece.workflow, instruction=instruction, source_format="worked", steps=steps
    )
    return Done(way=piece.way, right=right, said=said, work=work)


def keep(folder: Path, piece: Piece, found: Done) -> None:
    """Write a piece that was done; whole or not at all."""
    write_json(piece.file(folder), found.model_dump(mode="json", exclude_defaults=True))


def kept(folder: Path, planned: Sequence[Piece]) -> Iterator[Done]:
    """The planned pieces that were done already.

    Raises:
        InputError: when a file is none of ours.
    """
    for piece in planned:
        path = piece.file(folder)
        if path.is_file():
            try:
                yield Done.model_validate(read_json(path))
            except (ValueError, ValidationError) as error:
                raise InputError(f"{path} is no piece of work.", "Remove it, and run again.") from error
