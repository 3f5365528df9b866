"""Expressions as phrases that a domain expert can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from envgen.arranged import ASCENDING
from envgen.expressions import (
    Above,
    Aggregate,
    All,
    Among,
    Arithmetic,
    Choose,
    Constant,
    Convert,
    Empty,
    Entered,
    Equal,
    Exceeds,
    Exists,
    Expression,
    FieldOf,
    Foremost,
    Instruction,
    Joined,
    Keep,
    Lookup,
    Mapped,
    NextRow,
    Not,
    Parameter,
    Says,
    Shown,
    Test,
    Told,
    Valid,
    Written,
)
from envgen.values import CONVERSION_WORDS


def in_words(expression: Expression | Test, names: Mapping[str, str] | None = None) -> str:
    """The expression as a phrase a domain expert can read.

    Args:
        names: Control id to label, where the expression itself has none.
    """

    def say(inner: Expression | Test) -> str:
        return in_words(inner, names)

    match expression:
        case Constant():
            return f"“{expression.text}”" if expression.text else "nothing"
        case Keep():
            return "left as it is"
        case Parameter():
            return f"the instruction's {expression.name}"
        case Instruction():
            return "the instruction"
        case FieldOf():
            return " of ".join(f"“{part}”" for part in reversed(expression.path))
        case Entered():
            return (
                "the chosen "
                f"“{expression.label or (names or {}).get(expression.control, expression.control)}”"
            )
        case Told():
            return "the value the message names"
        case Convert():
            return f"{say(expression.of)} {CONVERSION_WORDS.get(expression.how, f'({expression.how})')}"
        case Lookup():
            return (
                f"“{expression.column}” in {expression.table} where “{expression.key_column}” is "
                f"{say(expression.of)}"
            )
        case Mapped():
            pairs = ", ".join(f"{key} → {value}" for key, value in expression.pairs)
            return f"by {say(expression.of)}: {pairs}"
        case Arithmetic():
            if expression.how == "days":
                right = expression.right
                days = right.text if isinstance(right, Constant) else say(right)
                return f"{say(expression.left)} plus {days} days"
            if expression.how == "between":
                return f"the days from {say(expression.right)} to {say(expression.left)}"
            if expression.how == "percent":
                return f"the per cent by which {say(expression.left)} is more than {say(expression.right)}"
            sign = {"plus": "+", "minus": "−", "times": "×"}[expression.how]
            return f"{say(expression.left)} {sign} {say(expression.right)}"
        case Aggregate():
            rows = f"the {expression.entity} rows" + (
                f" where {say(expression.where)}" if expression.where is not None else ""
            )
            if expression.how == "count":
                return f"the number of {rows}"
            return f"the {expression.how} of “{expression.field}” over {rows}"
        case Foremost():
            rows = f"the {expression.entity} rows" + (
                f" where {say(expression.where)}" if expression.where is not None else ""
            )
            most = "smallest" if expression.direction == ASCENDING else "largest"
            return f"the one with the {most} “{expression.field}” of {rows}"
        case Joined():
            said = (p.text if isinstance(p, Constant) else f"[{say(p)}]" for p in expression.parts)
            return f"the text {''.join(said)}"
        case Choose():
            return f"if {say(expression.test)} then {say(expression.then)}, else {say(expression.otherwise)}"
        case Equal():
            return f"{say(expression.left)} equals {say(expression.right)}"
        case Among():
            return f"{say(expression.of)} is " + " or ".join(f"“{text}”" for text in expression.texts)
        case Above():
            return (
                f"{say(expression.of)} is {'at least' if expression.inclusive else 'above'} "
                f"{expression.limit}"
            )
        case Exceeds():
            how = "at least" if expression.inclusive else "above"
            return f"{say(expression.left)} is {how} {say(expression.right)}"
        case NextRow():
            return f"the next {expression.entity} of those rows"
        case Empty():
            return f"{say(expression.of)} is empty"
        case Valid():
            return f"{say(expression.of)} is a valid {expression.format}"
        case Exists():
            return f"there is a {expression.entity} {say(expression.of)}"
        case Shown():
            return f"the message “{expression.words}” was shown"
        case Written():
            return f"{expression.write} is done"
        case Says():
            return f"the instruction says “{expression.word}”"
        case Not():
            return f"not ({say(expression.test)})"
        case All():
            return " and ".join(say(inner) for inner in expression.tests)


_DENIED = {
    "is above": "is at most",
    "is at least": "is below",
    "equals": "is not",
    "is empty": "is not empty",
}


def condition_in_words(expression: Expression) -> str:
    """When a yes/no expression gives "yes", as a phrase: "“State” is “Open” and “Amount” is at most 500"."""
    ways = [" and ".join(way) for way in _ways_to_yes(expression, ())]
    return "; or ".join(ways) or "never"


def _ways_to_yes(expression: Expression, said: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(expression, Choose):
        holds, denied = in_words(expression.test), _denied(expression.test)
        yield from _ways_to_yes(expression.then, (*said, holds))
        yield from _ways_to_yes(expression.otherwise, (*said, denied))
    elif isinstance(expression, Constant) and expression.text == "yes":
        yield said or ("it is on the list",)


def _denied(test: Test) -> str:
    """A test that does not hold, as a phrase."""
    if isinstance(test, Among):
        return in_words(test).replace(" is “", " is not “").replace(" or “", " nor “")
    words = in_words(test)
    found = next((verb for verb in _DENIED if f" {verb}" in words), None)
    return f"not ({words})" if found is None else words.replace(found, _DENIED[found])
