"""What a built environment of questions holds: the corpus, the questions, and what was left out and why."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from envgen.reading.corpus import Corpus, Ref
from envgen.reading.page import Pages
from envgen.reading.same import same, same_items
from envgen.session import Split
from envgen.statistics import Share
from envgen.workflow import Finding
from fde.artifacts import read_json
from fde.errors import InputError

FILE = "questions.json"
SCHEMA = 1

Kind = Literal[
    "look-up", "two steps", "two documents", "selection", "case", "threshold", "definition", "amended",
    "unanswerable",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)


class Other(BaseModel):
    """A value that is wrong, and the line where it stands."""

    model_config = ConfigDict(frozen=True)

    value: str
    ref: Ref


class Question(BaseModel):
    """One question.

    Attributes:
        answer: "" when the documents do not say.
        items: What is asked about, where the answer is some of several, in any order.
        context: Words of the place where the answer stands (a header): units may be named there.
        needed: What has to be cited: of each group one line. Where the documents do not say, the place
            where they would.
        allowed: Lines that may be cited as well.
        queries: For each group of ``needed`` a search that finds it.
        rows: Values of the same column in other rows, or what is nearest to an answer that is not there.
        stale: What stood there before an amendment.
        group: Questions of one group differ in the record, sentence or case alone.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    split: Split
    text: str
    answer: str
    items: tuple[str, ...] = ()
    context: str = ""
    needed: tuple[tuple[Ref, ...], ...]
    allowed: tuple[Ref, ...] = ()
    queries: tuple[str, ...]
    rows: tuple[Other, ...] = ()
    stale: Other | None = None
    group: str

    @property
    def answerable(self) -> bool:
        return bool(self.answer)

    def right(self, said: str) -> bool:
        """Whether an answer says the right value, however it is written."""
        if self.items:
            return same_items(said, self.answer)
        return self.answerable and same(said, self.answer, self.context)


class Guessed(BaseModel):
    """How many questions a way of guessing answers without reading.

    Attributes:
        before: Of all questions that were made; ``after``: of those that stay.
    """

    model_config = ConfigDict(frozen=True)

    before: Share
    after: Share


class Reading(BaseModel):
    """An environment of questions.

    Attributes:
        dropped: Why questions were left out -> how many.
        guessed: Ways of guessing, see :mod:`envgen.reading.guesses`.
        closed_book: The model that was asked without documents; "" when none was.
    """

    model_config = ConfigDict(frozen=True, ignored_types=(cached_property,))

    name: str
    schema_version: int = SCHEMA
    corpus: Corpus
    questions: tuple[Question, ...]
    dropped: dict[str, int] = {}
    guessed: dict[str, Guessed] = {}
    closed_book: str = ""
    findings: tuple[Finding, ...] = ()

    @cached_property
    def by_id(self) -> dict[str, Question]:
        return {question.id: question for question in self.questions}

    @cached_property
    def pages(self) -> Pages:
        """Its pages; environments of the same questions share them."""
        return Pages(self.corpus)

    def of(self, split: Split) -> list[Question]:
        """The questions of a split."""
        return [question for question in self.questions if question.split == split]


def read_reading(path: Path) -> Reading:
    """An environment of questions from its file.

    Raises:
        InputError: when it was built by another version of the toolkit.
    """
    try:
        found = Reading.model_validate(read_json(path))
        if found.schema_version != SCHEMA:
            raise ValueError(f"its schema is {found.schema_version}, not {SCHEMA}")
    except (ValueError, ValidationError) as error:
        raise InputError(
            f"{path} cannot be read: {str(error)[:200]}", "Build again: fde envgen build"
        ) from error
    return found
