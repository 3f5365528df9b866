"""What a language model may propose, what becomes of it, and the record of both.

A proposer decides nothing. What it says is data from outside: it is read into the language the compiler
has anyway, tested against every recording as the compiler's own ideas are, and dropped, with the reason on
record, when a single one contradicts it. Compilation works without one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from envgen.workflow import Finding
from fde.artifacts import digest, read_json, write_json
from fde.errors import WorkError

FILE = "proposals.json"
TRANSCRIPT = "proposer.json"
# What is kept of a proposal that is refused: the record is for reading.
_TOLD = 400
_MOST_BYTES = 65_536

Kind = Literal["rule", "instruction", "distractor", "check"]


class Proposer(Protocol):
    """A language model that can be asked for proposals.

    Attributes:
        model: What it is called, for the record.
    """

    model: str

    def ask(self, prompt: str, form: Mapping[str, Any]) -> str:
        """The model's answer, a JSON object of a form (a JSON schema) if it keeps to it.

        Raises:
            WorkError: when there is no answer.
        """
        ...


class Proposal(BaseModel):
    """One proposal and what became of it.

    Attributes:
        about: What it is about, in words.
        text: What was proposed: in words where it could be read, as it was said where not.
        reason: Why it was dropped; empty when it stands.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    about: str
    text: str
    reason: str = ""


class Transcript:
    """A proposer whose answers are kept in a file: work that goes on after a kill is told the same again.

    Args:
        proposer: Who is asked.
        path: The file.
    """

    def __init__(self, proposer: Proposer, path: Path) -> None:
        self.model = proposer.model
        self._proposer = proposer
        self._path = path
        self._known: dict[str, str] = read_json(path) if path.is_file() else {}

    def ask(self, prompt: str, form: Mapping[str, Any]) -> str:
        """The kept answer, or the model's, which is kept."""
        key = digest([self.model, prompt, form])
        if key not in self._known:
            self._known[key] = self._proposer.ask(prompt, form)
            write_json(self._path, self._known)
        return self._known[key]


@dataclass(slots=True)
class Proposals:
    """Asks a proposer during one compilation, and writes down what becomes of its answers.

    Attributes:
        proposer: None: nobody is asked, and nothing is proposed.
        wordings: How many further instructions it is asked for.
        more: Whether it is asked for what no rule depends on as well: checks and distractors.
        record: Every proposal so far.
        failed: Why it is not asked any more; a proposer that does not answer costs no rule.
    """

    proposer: Proposer | None = None
    wordings: int = 0
    more: bool = False
    record: list[Proposal] = field(default_factory=list)
    failed: str = ""

    def asked(self, kind: Kind, about: str, prompt: str, form: Mapping[str, Any], key: str) -> list[Any]:
        """The entries of the list ``key`` of the answer; none where there is no usable answer."""
        if self.proposer is None or self.failed:
            return []
        try:
            said = self.proposer.ask(prompt, form)
        except WorkError as error:
            self.failed = error.message
            return []
        found = _list(said, key)
        if found is None:
            self.drop(kind, about, said, f"the answer is no JSON object with a list {key!r}")
            return []
        return found

    def keep(self, kind: Kind, about: str, text: str) -> None:
        """Write down what stands."""
        self.record.append(Proposal(kind=kind, about=about, text=text))

    def drop(self, kind: Kind, about: str, said: Any, reason: str) -> None:
        """Write down what was refused."""
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        self.record.append(Proposal(kind=kind, about=about, text=text[:_TOLD], reason=reason))

    @property
    def standing(self) -> bool:
        """Whether anything that was proposed stands."""
        return any(not proposal.reason for proposal in self.record)

    def withdraw(self, reason: str) -> None:
        """Drop all that stood."""
        self.record = [p if p.reason else p.model_copy(update={"reason": reason}) for p in self.record]

    def findings(self) -> list[Finding]:
        """What an expert is told of it."""
        if self.proposer is None:
            return []
        kept = [f"{p.kind}: {p.text}" for p in self.record if not p.reason]
        found = []
        if self.record:
            found.append(
                Finding(
                    kind="proposals",
                    severity="note",
                    text=f"{self.proposer.model} proposed {_counted(self.record)}; {len(kept)} stood the "
                    f"tests, the others are in {FILE} with the reasons.",
                    evidence=tuple(kept),
                )
            )
        if self.failed:
            found.append(
                Finding(
                    kind="proposals",
                    severity="warning",
                    text=f"{self.proposer.model} could not be asked, so this was compiled without it: "
                    f"{self.failed}",
                )
            )
        return found


def _list(said: str, key: str) -> list[Any] | None:
    """The list of that name in an object that may stand between other words; None when there is none."""
    start, end = said.find("{"), said.rfind("}")
    if start < 0 or len(said) > _MOST_BYTES:
        return None
    try:
        found = json.loads(said[start : end + 1])
    except (ValueError, RecursionError):
        return None
    entries = found.get(key) if isinstance(found, dict) else None
    return entries if isinstance(entries, list) else None


def _counted(record: list[Proposal]) -> str:
    counts = Counter(proposal.kind for proposal in record)
    return " and ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in counts.items())
