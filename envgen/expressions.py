"""The small typed language in which compiled workflows say where a value comes from.

Expressions give a text or None (unknown here), tests give true or false. Both are plain
frozen data: they stand in ``workflow.json`` and are evaluated against a :class:`Context`,
which the environment's state implements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from envgen.arranged import foremost
from envgen.rows import Row, aggregated, later, worked_out
from envgen.values import FORMATS, compared, convert, number


class Context(Protocol):
    """What an expression can refer to at one moment of an episode."""

    def parameter(self, name: str) -> str | None:
        """A value named by the instruction."""
        ...

    def field(self, root: str, path: tuple[str, ...]) -> str | None:
        """A field of the record that the parameter ``root`` names, or of one it refers to."""
        ...

    def entered(self, control: str) -> str | None:
        """What is entered in a control of the present page, None when it has no such control."""
        ...

    def told(self, page: str, slot: str) -> str | None:
        """What a message (an optional node of a page) said in this episode, None before it appeared."""
        ...

    def cell(self, table: str, column: str, key_column: str, key: str) -> str | None:
        """A cell of a document's table, found by its row's key."""
        ...

    def done(self, write: str) -> bool:
        """Whether a write of this kind happened in this episode."""
        ...

    def exists(self, entity: str, key: str) -> bool:
        """Whether there is a record with this key."""
        ...

    def says(self, word: str) -> bool:
        """Whether the instruction has a word, the values it names aside."""
        ...

    def told_to(self) -> str:
        """The instruction itself."""
        ...

    def rows(self, entity: str) -> Iterable[tuple[str, Mapping[str, str]]]:
        """Key and fields of each record of an entity that lists show, as they were in the beginning."""
        ...

    def next_row(self, page: str) -> str | None:
        """Key of the first row that the work on a page's list is still to be done for; None: none is left."""
        ...


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Constant(_Data):
    kind: Literal["constant"] = "constant"
    text: str


class Keep(_Data):
    """What stands in the field already: nothing has to be entered."""

    kind: Literal["keep"] = "keep"


class Parameter(_Data):
    kind: Literal["parameter"] = "parameter"
    name: str


class Instruction(_Data):
    """The whole instruction: pages that show a ticket repeat it."""

    kind: Literal["instruction"] = "instruction"


class FieldOf(_Data):
    """A field of the task's record; longer paths follow references to other records."""

    kind: Literal["field"] = "field"
    root: str
    path: tuple[str, ...]


class Entered(_Data):
    kind: Literal["entered"] = "entered"
    control: str
    label: str = ""


class Told(_Data):
    kind: Literal["told"] = "told"
    page: str
    slot: str


class Convert(_Data):
    kind: Literal["convert"] = "convert"
    how: str
    of: Expression


class Lookup(_Data):
    """The cell in ``column`` of the row whose ``key_column`` is the value of ``of``."""

    kind: Literal["lookup"] = "lookup"
    table: str
    key_column: str
    column: str
    of: Expression


class Mapped(_Data):
    """A map learned from the recordings alone: unknown for values they do not show."""

    kind: Literal["mapped"] = "mapped"
    of: Expression
    pairs: tuple[tuple[str, str], ...]


class Arithmetic(_Data):
    """Two numbers added, subtracted or multiplied, rounded half up to ``places`` decimals.

    ``percent``: by how much of the second the first is more. ``days``: the date that is so many days after
    another, written as that one is. ``between``: the days to the first date from the second.
    """

    kind: Literal["arithmetic"] = "arithmetic"
    how: Literal["plus", "minus", "times", "percent", "days", "between"]
    left: Expression
    right: Expression
    places: int = 0


class Aggregate(_Data):
    """A number over the rows of an entity for which ``where`` holds, all where it is None.

    ``count`` of them, or ``sum``, ``largest`` or ``smallest`` of a field. In ``where`` the root
    :data:`ROW` followed by the entity is the row asked about.
    """

    kind: Literal["aggregate"] = "aggregate"
    how: Literal["count", "sum", "largest", "smallest"]
    entity: str
    field: str = ""
    where: Test | None = None


class Foremost(_Data):
    """The key of the row that comes first in an order, of an entity's rows for which ``where`` holds.

    Nothing where several come first. ``by`` is what the field's texts are compared as, see
    :mod:`envgen.arranged`; in ``where`` the root is that of :class:`Aggregate`.
    """

    kind: Literal["foremost"] = "foremost"
    entity: str
    field: str
    by: str
    direction: Literal["ascending", "descending"]
    where: Test | None = None


class NextRow(_Data):
    """The key of the next row that the work on a list is to be done for, see :class:`RowLoop`."""

    kind: Literal["next row"] = "next row"
    page: str
    entity: str


class Joined(_Data):
    """Texts one after the other; unknown where one of them is."""

    kind: Literal["joined"] = "joined"
    parts: tuple[Expression, ...]


class Choose(_Data):
    """``then`` when the test holds, else ``otherwise``."""

    kind: Literal["choose"] = "choose"
    test: Test
    then: Expression
    otherwise: Expression


class Equal(_Data):
    kind: Literal["equal"] = "equal"
    left: Expression
    right: Expression


class Among(_Data):
    kind: Literal["among"] = "among"
    of: Expression
    texts: tuple[str, ...]


class Above(_Data):
    """The number in ``of`` is above ``limit`` (at or above it when ``inclusive``)."""

    kind: Literal["above"] = "above"
    of: Expression
    limit: str
    inclusive: bool = False


class Exceeds(_Data):
    """One number, or date, is above another (at or above it when ``inclusive``)."""

    kind: Literal["exceeds"] = "exceeds"
    left: Expression
    right: Expression
    inclusive: bool = False


class Empty(_Data):
    kind: Literal["empty"] = "empty"
    of: Expression


class Valid(_Data):
    """The text in ``of`` is well formed, see :data:`envgen.values.FORMATS`."""

    kind: Literal["valid"] = "valid"
    of: Expression
    format: str


class Exists(_Data):
    """The text in ``of`` is the key of a record of ``entity``."""

    kind: Literal["exists"] = "exists"
    of: Expression
    entity: str


class Shown(_Data):
    """A message of a page appeared in this episode."""

    kind: Literal["shown"] = "shown"
    page: str
    node: str
    words: str = ""


class Written(_Data):
    kind: Literal["written"] = "written"
    write: str


class Says(_Data):
    """The instruction has a word, see :func:`envgen.wording.wording`."""

    kind: Literal["says"] = "says"
    word: str


class Not(_Data):
    kind: Literal["not"] = "not"
    test: Test


class All(_Data):
    kind: Literal["all"] = "all"
    tests: tuple[Test, ...]


Expression = Annotated[
    Constant
    | Keep
    | Parameter
    | Instruction
    | FieldOf
    | Entered
    | Told
    | Convert
    | Lookup
    | Mapped
    | Arithmetic
    | Aggregate
    | Foremost
    | NextRow
    | Joined
    | Choose,
    Field(discriminator="kind"),
]
Test = Annotated[
    Equal | Among | Above | Exceeds | Empty | Valid | Exists | Shown | Written | Says | Not | All,
    Field(discriminator="kind"),
]
for _model in (
    Convert, Lookup, Mapped, Arithmetic, Aggregate, Foremost, Joined, Choose,
    Equal, Among, Above, Exceeds, Empty, Valid, Exists, Not, All,
):  # fmt: skip
    _model.model_rebuild()


def evaluate(expression: Expression, context: Context) -> str | None:
    """The expression's text, None where it is unknown. ``Keep`` is None."""
    match expression:
        case FieldOf():
            return context.field(expression.root, expression.path)
        case Constant():
            return expression.text
        case Parameter():
            return context.parameter(expression.name)
        case Instruction():
            return context.told_to()
        case Entered():
            return context.entered(expression.control)
        case Told():
            return context.told(expression.page, expression.slot)
        case Choose():
            holds = test(expression.test, context)
            return (
                None
                if holds is None
                else evaluate(expression.then if holds else expression.otherwise, context)
            )
        case Convert():
            value = evaluate(expression.of, context)
            return None if value is None else convert(expression.how, value)
        case Lookup():
            value = evaluate(expression.of, context)
            if value is None:
                return None
            return context.cell(expression.table, expression.column, expression.key_column, value)
        case Mapped():
            value = evaluate(expression.of, context)
            return next((to for key, to in expression.pairs if key == value), None)
        case Arithmetic():
            return _calculated(expression, context)
        case Aggregate():
            found = rows_for(expression.entity, expression.where, context)
            return aggregated(expression.how, expression.field, [row for _, row in found])
        case Foremost():
            rows = dict(rows_for(expression.entity, expression.where, context))
            return foremost(rows, expression.field, expression.by, expression.direction)
        case Joined():
            texts = [evaluate(part, context) for part in expression.parts]
            return None if None in texts else "".join(text or "" for text in texts)
        case NextRow():
            return context.next_row(expression.page)
    return None


def uncharted(expression: Expression, context: Context) -> bool:
    """Whether a map learned from recordings is asked for a value that none of them shows."""
    branch = chosen(expression, context)
    return any(
        isinstance(part, Mapped)
        and (value := evaluate(part.of, context)) is not None
        and value not in dict(part.pairs)
        for part in (() if branch is None else parts(branch))
    )


def _calculated(expression: Arithmetic, context: Context) -> str | None:
    texts = evaluate(expression.left, context), evaluate(expression.right, context)
    if expression.how == "days":
        return None if texts[0] is None or texts[1] is None else later(texts[0], int(texts[1]))
    if texts[0] is None or texts[1] is None:
        return None
    return worked_out(expression.how, texts[0], texts[1], expression.places)


def rows_for(entity: str, where: Test | None, context: Context) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The keys and rows of an entity for which a test holds, all where there is none."""
    for key, row in context.rows(entity):
        if where is None or test(where, Row(context, entity, row)):
            yield key, row


def chosen(expression: Expression, context: Context) -> Expression | None:
    """The branch of nested choices that applies; None when a test cannot be decided."""
    while isinstance(expression, Choose):
        holds = test(expression.test, context)
        if holds is None:
            return None
        expression = expression.then if holds else expression.otherwise
    return expression


def test(check: Test, context: Context) -> bool | None:
    """Whether a test holds; None when what it asks about is unknown."""
    match check:
        case Above():
            value = evaluate(check.of, context)
            amount = None if value is None else number(value)
            if amount is None:
                return None
            limit = Decimal(check.limit)
            return amount >= limit if check.inclusive else amount > limit
        case Exceeds():
            texts = evaluate(check.left, context), evaluate(check.right, context)
            order = None if texts[0] is None or texts[1] is None else compared(texts[0], texts[1])
            return None if order is None else order > 0 or (check.inclusive and order == 0)
        case Among():
            value = evaluate(check.of, context)
            return None if value is None else value in check.texts
        case Equal():
            left, right = evaluate(check.left, context), evaluate(check.right, context)
            return None if left is None or right is None else left == right
        case Empty():
            value = evaluate(check.of, context)
            return not value
        case Valid():
            value = evaluate(check.of, context)
            return None if value is None else FORMATS[check.format](value)
        case Exists():
            value = evaluate(check.of, context)
            return None if value is None else context.exists(check.entity, value)
        case Shown():
            return context.told(check.page, check.node) is not None
        case Written():
            return context.done(check.write)
        case Says():
            return context.says(check.word)
        case Not():
            holds = test(check.test, context)
            return None if holds is None else not holds
        case All():
            results = [test(inner, context) for inner in check.tests]
            if any(result is False for result in results):
                return False
            return None if any(result is None for result in results) else True


def parts(expression: Expression | Test) -> Iterator[Expression | Test]:
    """The expression and everything inside it."""
    yield expression
    match expression:
        case Convert() | Lookup() | Mapped() | Among() | Above() | Empty() | Valid() | Exists():
            yield from parts(expression.of)
        case Choose():
            yield from parts(expression.test)
            yield from parts(expression.then)
            yield from parts(expression.otherwise)
        case Equal() | Exceeds() | Arithmetic():
            yield from parts(expression.left)
            yield from parts(expression.right)
        case Aggregate() | Foremost():
            if expression.where is not None:
                yield from parts(expression.where)
        case Joined():
            for piece in expression.parts:
                yield from parts(piece)
        case Not():
            yield from parts(expression.test)
        case All():
            for inner in expression.tests:
                yield from parts(inner)


def replaced(expression: Expression, old: Expression | Test, new: Expression | Test) -> Expression:
    """The expression with one part of it exchanged for another wherever it stands."""
    found: Expression = _replaced(expression, old, new)
    return found


def _replaced(part: Any, old: Any, new: Any) -> Any:
    if part == old:
        return new
    inner = {}
    for name in ("of", "test", "then", "otherwise", "left", "right", "where"):
        if hasattr(part, name):
            inner[name] = _replaced(getattr(part, name), old, new)
    if isinstance(part, Joined):
        inner["parts"] = tuple(_replaced(piece, old, new) for piece in part.parts)
    if isinstance(part, All):
        inner["tests"] = tuple(_replaced(test, old, new) for test in part.tests)
    return part.model_copy(update=inner) if inner else part
