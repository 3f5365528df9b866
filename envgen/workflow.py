"""A compiled workflow: everything the environment, its verifier and its tasks need, as data.

Nothing of the recordings is needed any more once a :class:`Workflow` is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from envgen.expressions import Expression, FieldOf, parts
from envgen.templates import TemplateNode
from fde.artifacts import read_json
from fde.errors import InputError
from ingest.action import FILLABLE_ROLES

SCHEMA = 1
FILE = "workflow.json"
RecordRule = Literal["row", "link", "same", "none", "next", "previous"]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Suggestions(_Data):
    """What a list offers for the letters typed into a field, to be picked from.

    Attributes:
        field: The control that is typed into.
        options: Everything that recordings show offered.
        fits: How an option fits what is typed, see :data:`envgen.suggestions.FITS`.
        known: Whether that explains every list that recordings show.
        sources: Entity and field of records whose texts are offered too.
        only: Whether nobody left the page with something that was typed and not picked.
    """

    field: str
    options: tuple[str, ...]
    fits: str
    known: bool = True
    sources: tuple[tuple[str, str], ...] = ()
    only: bool = True


class Control(_Data):
    """A form control.

    Attributes:
        id: ``<page>.<node>``, unique in the workflow.
        options: What a select offers when nothing else decides.
        options_seen: Sets of options that recordings show, where they differ from case to case.
        begins_with_first: Whether its first option is chosen when the page is opened.
        options_by: Control whose value decides about the options, with ``options_for``.
        initial: What stands in it when the page is opened; None is nothing.
        refreshes: Choosing a value loads the page again: messages go.
        sometimes_empty: Whether submissions were accepted with nothing entered.
        required: Whether the browser itself refuses to send it empty.
        optional_node: Whether it is not always on the page.
        marks_selected: Whether the chosen option carries ``[selected]`` in snapshots.
        suggests: What it offers, where it is the list that completes another field.
    """

    id: str
    node: str
    label: str
    role: str
    options: tuple[str, ...] = ()
    options_seen: tuple[tuple[str, ...], ...] = ()
    begins_with_first: bool = False
    options_by: str = ""
    options_for: tuple[tuple[str, tuple[str, ...]], ...] = ()
    initial: Expression | None = None
    refreshes: bool = False
    sometimes_empty: bool = True
    marks_selected: bool = True
    required: bool = False
    optional_node: bool = False
    suggests: Suggestions | None = None

    @property
    def typed(self) -> bool:
        """Whether text is typed into it: a field, or a combobox that itself offers nothing."""
        return self.role in FILLABLE_ROLES or (self.role == "combobox" and not self.options)


class Sort(_Data):
    """An order that a list's rows can be put in.

    Attributes:
        node: What is clicked for it, or the control that it is chosen in.
        option: What is chosen there; "" where it is clicked.
        button: What applies a choice; "" where it applies at once.
        by: What its texts are compared as, see :mod:`envgen.arranged`.
        directions: ``ascending`` or ``descending`` after the first click and those that follow it, "" where
            the rows are in their first order again.
        again: Whether what comes after the last of them begins with the first again.
    """

    node: str
    option: str = ""
    button: str = ""
    field: str
    by: str
    directions: tuple[str, ...]
    again: bool = False


class Filter(_Data):
    """What decides which rows of a list are shown.

    Attributes:
        node: The control it is chosen in, or what is clicked for it.
        clicked: Whether it is clicked: one of those at a time.
        where: Of the value in the control and of a row: "yes" where the row is shown, "no" where it is not,
            nothing where that is not known.
        every: Values with which all rows are shown.
        button: What applies it; "" where it applies at once.
    """

    node: str
    clicked: bool = False
    where: Expression
    every: tuple[str, ...] = ()
    button: str = ""


class ListView(_Data):
    """Rows of records on a page, with the search and the paging that go with it.

    Attributes:
        begins_anew: Whether what is searched or filtered is in its first order.
        given: Controls in the rows that stand filled in with a field of the row's record.
        conditions: When optional parts of a row, and states of such, are there: asked of the row as it is.
        until: The write after which a record's row is on the list no more.
        stays: Whether the list stays at the page it is turned to when something is done in a row.
    """

    rows: str
    entity: str
    key_slot: str
    fields: tuple[tuple[str, str], ...]
    page_size: int | None = None
    search_control: str = ""
    search_button: str = ""
    search_fields: tuple[str, ...] = ()
    next: str = ""
    previous: str = ""
    sorts: tuple[Sort, ...] = ()
    filters: tuple[Filter, ...] = ()
    begins_anew: bool = False
    given: tuple[tuple[str, str], ...] = ()
    conditions: tuple[tuple[str, Expression], ...] = ()
    until: str = ""
    stays: bool = False

    def arranging(self) -> set[str]:
        """The nodes that, clicked or chosen in, put the rows in another order or show others."""
        used: list[Sort | Filter] = [*self.sorts, *self.filters]
        return {each.button or each.node for each in used}


class Outcome(_Data):
    """What an exit leads to.

    Attributes:
        hidden: Name of the hidden flag that must be set on the task, "" for none.
        page: The page that follows.
        record: Which record it shows.
        shows: Messages (optional nodes) that appear on it.
        write: The write that happens, "" for none.
        keeps: Whether the page stays as it is, with what is entered on it.
    """

    hidden: str = ""
    page: str
    record: RecordRule = "same"
    shows: tuple[str, ...] = ()
    write: str = ""
    keeps: bool = False
    seen: int = 0


class Exit(_Data):
    """Something on a page that leads on: a link, a button, a key.

    Attributes:
        decision: Which outcome happens, as its index; None when there is only one (hidden
            refusals aside).
    """

    node: str
    verb: str = "click"
    label: str
    outcomes: tuple[Outcome, ...]
    decision: Expression | None = None


class Hidden(_Data):
    """A refusal that nothing visible explains: it strikes a share of the tasks.

    Attributes:
        share: Of the tasks it strikes, 0 to 1.
        control: It strikes while this control does not hold one of ``accepted``.
    """

    name: str
    share: float
    control: str
    accepted: Expression


class PageModel(_Data):
    """One kind of page.

    Attributes:
        given: Controls that open filled in with a field of the record that nothing else says.
        next: The exit that shows the record after this one, where they are shown one at a time.
    """

    id: str
    title: str
    address: str
    template: TemplateNode
    entity: str = ""
    key_slot: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    sources: tuple[tuple[str, Expression], ...] = ()
    conditions: tuple[tuple[str, Expression], ...] = ()
    messages: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()
    lists: tuple[ListView, ...] = ()
    given: tuple[tuple[str, str], ...] = ()
    next: str = ""
    previous: str = ""
    exits: tuple[Exit, ...] = ()


class WriteKind(_Data):
    """A change the application makes.

    Attributes:
        id: What it is called in verdicts, the page's title and button.
        request: Method and path pattern of the recorded request, "" when none was recorded.
        body: Field of the request's body -> where its value comes from, in words.
        unexplained: Body fields that nothing explains (tokens); not judged.
        updates: Fields of the record that change, and to what: of those in whose rows something is
            entered, where the page has a list of such.
        rows: The list in whose rows it is made, for the row's record; "" where it is made outside of rows.
        again: Whether it can be gone back to and made anew: the last time counts.
    """

    id: str
    page: str
    node: str
    entity: str
    controls: tuple[str, ...]
    request: str = ""
    body: tuple[tuple[str, str], ...] = ()
    unexplained: tuple[str, ...] = ()
    updates: tuple[tuple[str, Expression], ...] = ()
    rows: str = ""
    again: bool = False


class FieldModel(_Data):
    """A field of an entity and how new values of it are made.

    Attributes:
        kind: ``key``, ``id``, ``number``, ``date``, ``category``, ``text`` or ``reference``.
        reference: The entity whose key it holds.
        limits: Numbers that rules compare it with.
        known: Further values rules know (keys of look-up tables).
        alike: Made-up values for records that no task is about, easily taken for recorded ones.
    """

    name: str
    kind: str
    optional: bool = False
    reference: str = ""
    limits: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()


class Entity(_Data):
    """Records of one kind: fields, and the recorded ones to learn from.

    Attributes:
        samples: Recorded records, each a map of the fields that were seen.
        targets: Keys of the records that the experts' tasks were about.
        count: Records in an instance: smallest and largest seen.
        fixed: Whether all recordings that show them show the same: every instance has these.
        at_once: Share of the recordings in which a list showed the task's record without
            searching or paging; None where there was no list to see it on.
    """

    name: str
    key_field: str
    fields: tuple[FieldModel, ...]
    samples: tuple[dict[str, str], ...]
    targets: tuple[str, ...] = ()
    count: tuple[int, int]
    fixed: bool = False
    at_once: float | None = None


class ParameterModel(_Data):
    """A value the instruction names: the key of a record, one of its fields, or a free value."""

    name: str
    kind: Literal["key", "field", "entered"]
    entity: str = ""
    field: str = ""
    samples: tuple[str, ...] = ()


class EntryRule(_Data):
    """What is entered in a control before a page is left.

    Attributes:
        free: Whether any words will do: ``expression`` is an example of them.
    """

    page: str
    control: str
    expression: Expression | None
    examples: int
    why: tuple[str, ...] = ()
    free: bool = False


class RowLoop(_Data):
    """What is done for every row of a list for which a condition holds, from the top to the bottom.

    Attributes:
        where: Gives "yes" for those rows; the root :data:`envgen.rows.ROW` followed by the entity is the row.
        node: What is clicked in each of them, which does the work or opens the record; "" where rows are
            only filled in.
        entries: What is entered in each of them.
        write: The change that is made for each row's record; "" where one change sends all rows.
        last: Whether the work is over when no such row is left.
        empty: What is done where there is no such row: the work is ``over``, or goes ``on`` as it does after
            the last one; ``unknown`` where no recording shows it and nobody said it.
        counts: How many such rows the recordings had.
    """

    rows: str
    entity: str
    where: Expression
    node: str = ""
    entries: tuple[EntryRule, ...] = ()
    write: str = ""
    last: bool = False
    empty: Literal["over", "on", "unknown"] = "unknown"
    counts: tuple[int, ...] = ()


class PagePlan(_Data):
    """What the program does on a page of its way.

    Attributes:
        loop: What is done for rows of the page before it is left.
        key: The key of the record that must be open, None when the page shows none.
        exit: Expression giving the node id of the exit to take.
        link: For exits whose name is data: node id and the name to click.
    """

    page: str
    key: Expression | None = None
    entries: tuple[EntryRule, ...] = ()
    exit: Expression | None = None
    links: tuple[tuple[str, Expression], ...] = ()
    loop: RowLoop | None = None
    why: tuple[str, ...] = ()

    def rules(self) -> list[Expression]:
        """Everything the program asks on the page, names of links aside."""
        found = [self.key, self.exit, *(rule.expression for rule in self.entries)]
        if self.loop is not None:
            found += [self.loop.where, *(rule.expression for rule in self.loop.entries)]
        return [expression for expression in found if expression is not None]


class TableData(_Data):
    """A document's table the rules look things up in."""

    id: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Finding(_Data):
    """Something a person should know or answer.

    Attributes:
        severity: ``question`` needs an answer, ``warning`` limits what was compiled, ``note`` is for reading.
        id: The question's name in ``answers.yaml``, "" for what cannot be answered there.
        options: What there is to choose from, numbered from 1 where a number is asked for.
        how: What to write as the answer.
        about: The control, or the hidden refusal, it is about.
    """

    kind: str
    severity: Literal["question", "warning", "note"]
    text: str
    evidence: tuple[str, ...] = ()
    about: str = ""
    id: str = ""
    options: tuple[str, ...] = ()
    how: str = ""


class Workflow(_Data):
    """Everything about one workflow.

    Attributes:
        caseless: Controls in which upper and lower case are the same, as an expert says.
        day_first: How dates are to be read, see :func:`envgen.values.parse_date`.
        session: What stays the same throughout an episode, with the texts that recordings show.
        session_entities: Which of that names a record, and of what.
    """

    schema_version: int = SCHEMA
    name: str
    recordings: tuple[str, ...]
    start: str
    instructions: tuple[str, ...]
    parameters: tuple[ParameterModel, ...]
    pages: tuple[PageModel, ...]
    entities: tuple[Entity, ...]
    session: tuple[tuple[str, tuple[str, ...]], ...] = ()
    session_entities: tuple[tuple[str, str], ...] = ()
    writes: tuple[WriteKind, ...]
    hidden: tuple[Hidden, ...] = ()
    plans: tuple[PagePlan, ...]
    terminal: tuple[str, ...] = ()
    answer: Expression | None = None
    free_fields: tuple[str, ...] = ()
    caseless: tuple[str, ...] = ()
    day_first: bool = False
    tables: tuple[TableData, ...] = ()
    findings: tuple[Finding, ...] = ()
    longest: int = 30


def remembered(workflow: Workflow) -> frozenset[str]:
    """Labels of the facts on which the compiled program's rules depend: what is worth keeping in mind."""
    rules: list[Expression | None] = [workflow.answer]
    for plan in workflow.plans:
        rules += plan.rules()
        rules += [name for _, name in plan.links]
    return frozenset(
        part.path[-1]
        for rule in rules
        if rule is not None
        for part in parts(rule)
        if isinstance(part, FieldOf) and part.path
    )


def read_workflow(path: Path) -> Workflow:
    """A compiled workflow from its ``workflow.json``.

    Raises:
        InputError: when it was compiled by another version of the toolkit.
    """
    try:
        return Workflow.model_validate(read_json(path))
    except (ValueError, ValidationError) as error:
        raise InputError(
            f"{path} cannot be read: {str(error)[:200]}", "Compile again: fde envgen build"
        ) from error
