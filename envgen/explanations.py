"""What an explanation is learned from and made of: examples, evidence for limits, candidates, tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from envgen.documents import NumberFact
from envgen.examples import Known
from envgen.expressions import Above, Expression, Test

Values = list[tuple[Expression, list[str | None]]]
"""Sources with what they are in every example."""


@dataclass(frozen=True, slots=True)
class Example:
    """One observation: in ``context`` the answer was ``output``.

    Attributes:
        initial: What stood there without anybody's doing; equal to the output, it can be kept.
    """

    context: Known
    output: str
    initial: str | None = None


@dataclass(slots=True)
class Evidence:
    """Why a limit is where it is.

    Attributes:
        low: The largest value seen on the lower side; ``high`` the smallest on the upper.
        fact: The document's number that settles it, None when no document does.
        others: Numbers of documents that would have fitted as well.
    """

    test: Above
    low: Decimal
    high: Decimal
    fact: NumberFact | None
    others: tuple[NumberFact, ...] = ()


@dataclass(slots=True)
class Explanation:
    """What the search found.

    Attributes:
        expression: None when nothing small enough explains the examples.
        rivals: Different explanations that fit as well and cost the same.
        nearly: Look-ups in documents' tables that most examples follow, and the examples that do not.
    """

    expression: Expression | None
    cost: float = 0.0
    evidence: list[Evidence] = field(default_factory=list)
    rivals: list[Expression] = field(default_factory=list)
    nearly: list[tuple[Expression, list[Example]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An expression, and the examples it is right on (bit by bit)."""

    mask: int
    cost: float
    expression: Expression


@dataclass(frozen=True, slots=True)
class Split:
    """A test, and the examples it holds for (bit by bit)."""

    mask: int
    cost: float
    test: Test
    sources: frozenset[str]
    evidence: Evidence | None = None
