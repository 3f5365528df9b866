"""An expert's answers to the compiler's questions: ``answers.yaml`` in the engagement's folder.

::

    decide-claim:              # the workflow
      limit-3f2a: over 800     # the question's name, as ``fde envgen show`` tells it, and the answer
      map-91c0:
        Senior: Team East

Answers are data from outside: they settle what the recordings leave open, and are refused where
the recordings contradict them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fde.errors import InputError

FILE = "answers.yaml"
_MAX_BYTES = 1_000_000
Answer = str | dict[str, str]


def question_id(kind: str, *subject: str) -> str:
    """A short name for a question about something."""
    return f"{kind}-{zlib.crc32('|'.join(subject).encode()) & 0xFFFF:04x}"


@dataclass(slots=True)
class Answers:
    """The answers to one workflow's questions.

    Attributes:
        used: Questions that were asked and had an answer.
    """

    given: dict[str, Answer] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def to(self, question: str) -> str | None:
        """The answer in words to a question, None when there is none."""
        found = self.given.get(question)
        if not isinstance(found, str):
            return None
        self.used.add(question)
        return found

    def table(self, question: str) -> dict[str, str]:
        """The answer to a question that asks for a table; empty when there is none."""
        found = self.given.get(question)
        if not isinstance(found, dict):
            return {}
        self.used.add(question)
        return found

    @property
    def unused(self) -> list[str]:
        """Answers to questions nobody asked."""
        return [question for question in self.given if question not in self.used]


def read_answers(path: Path) -> dict[str, dict[str, Answer]]:
    """All answers by workflow; none when there is no file.

    Raises:
        InputError: naming the line that is not an answer.
    """
    if not path.is_file():
        return {}
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: larger than {_MAX_BYTES // 10**6} MB.")
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {str(error).replace(chr(10), ' ')}") from error
    if node is None:
        return {}
    found: dict[str, dict[str, Answer]] = {}
    for workflow, questions in _pairs(path, node, "a workflow with its answers"):
        answers: dict[str, Answer] = {}
        for question, answer in _pairs(path, questions, "a question with its answer"):
            if isinstance(answer, yaml.MappingNode):
                rows = _pairs(path, answer, "a value with what is entered for it")
                answers[question] = {value: _text(path, entered) for value, entered in rows}
            else:
                answers[question] = _text(path, answer)
        found[workflow] = answers
    return found


def _pairs(path: Path, node: Any, wanted: str) -> list[tuple[str, Any]]:
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}, line {_line(node)}: {wanted} was expected here.", "Write: name: answer")
    found: list[tuple[str, Any]] = []
    for key, value in node.value:
        name = _text(path, key)
        if any(name == known for known, _ in found):
            raise InputError(f"{path}, line {_line(key)}: {name!r} is there twice.")
        found.append((name, value))
    return found


def _text(path: Path, node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise InputError(f"{path}, line {_line(node)}: one text was expected here.")
    return str(node.value).strip()


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
