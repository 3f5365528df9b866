"""Tables of documents that are looked up by two things at once, or by numbers from here to there."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal

import pytest
from envgen_matching import REGIONS, SUPPLIERS, case, record, right
from envgen_rules import rules

from envgen.bands import bands
from envgen.cells import TableFact
from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.gate import gate
from envgen.replay import replay
from envgen.tasks import make_tasks
from envgen.traces import Parser, trace
from ingest.document import Document, Table
from ingest.recording import Recording

ACCOUNTS = {
    (supplier, region): str(4000 + 100 * i + 10 * j)
    for i, supplier in enumerate(SUPPLIERS)
    for j, region in enumerate(REGIONS)
    if (i + j) % 4 != 3
}
MATRIX = Table(
    name="Accounts",
    header=("Supplier", *REGIONS),
    rows=tuple((s, *(ACCOUNTS.get((s, r), "") for r in REGIONS)) for s in SUPPLIERS),
)
LIST = Table(
    name="Accounts",
    header=("Supplier", "Region", "Account"),
    rows=tuple((*pair, account) for pair, account in ACCOUNTS.items()),
)
SCALE = Table(
    name="Approval",
    header=("From", "To", "Approver"),
    rows=(
        ("0.00", "500.00", "Clerk"),
        ("500.01", "3,000.00", "Lead"),
        ("3,000.01", "6,000.00", "Manager"),
        ("6,000.01", "", "Director"),
    ),
)
COMPILED = 12
Rule = Callable[[dict[str, str]], dict[str, str]]


def _amount(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def policy(table: Table) -> list[Document]:
    return [Document(id="d1", source="policy.docx", media_type="text/markdown", text="", tables=(table,))]


def by_account(shown: dict[str, str]) -> dict[str, str]:
    account = ACCOUNTS.get((shown["Supplier"], shown["Region"]), "")
    return {**right(shown), "Memo": account, "Decision": "Pay"}


def by_amount(shown: dict[str, str]) -> dict[str, str]:
    billed = _amount(shown["Billed"])
    who = (
        "Clerk"
        if billed <= 500
        else "Lead"
        if billed <= 3000
        else "Manager"
        if billed <= 6000
        else "Director"
    )
    return {**right(shown), "Memo": who, "Decision": "Pay"}


def accounted(count: int) -> list[Recording]:
    """Recordings of invoices that the policy has an account for."""
    found = (record(number, by_account) for number in range(4 * count))
    return [r for r in found if any('"Memo": 4' in step.after.text for step in r.steps)][:count]


@pytest.mark.parametrize(("table", "said"), [(MATRIX, "Supplier and column"), (LIST, "Supplier and Region")])
def test_two_things_at_once_are_looked_up(table: Table, said: str) -> None:
    recordings, parser = accounted(COMPILED + 8), Parser()
    found = compile_workflow(recordings[:COMPILED], policy(table), parser=parser)
    rule = rules(found)["Memo"]
    assert f"policy.docx: Accounts by {said}" in rule and "[“Supplier”] · [“Region”]" in rule
    for one in recordings[COMPILED:]:
        assert replay(found, trace(one, parser)).score.passed
    env, pairs = WorkflowEnv(found), set()
    for task in make_tasks(found, "test", 60):
        env.reset(task)
        (number,) = task.parameters.values()
        (records,) = env.instance.records.values()
        pairs.add((records[number]["Supplier"], records[number]["Region"]))
    assert pairs <= ACCOUNTS.keys(), "an invoice that the policy has no account for"
    shown = {one.instruction for one in recordings[:COMPILED]}
    assert len(pairs) > len(shown) / 2
    report = gate(found, recordings[:COMPILED], policy(table), parser=parser)
    assert report.published and report.kill_rate == 1.0 and report.false_reject_rate == 0.0


def test_a_scale_is_known_beyond_what_recordings_show() -> None:
    parser = Parser()
    by_clerks = [n for n in range(60) if by_amount(case(n).shown)["Memo"] == "Clerk"]
    others = [record(number, by_amount) for number in range(60) if number not in by_clerks]
    found = compile_workflow(others[:COMPILED], policy(SCALE), parser=parser)
    assert rules(found)["Memo"].endswith("else if “Billed” is above 500 then “Lead”, else “Clerk”")
    assert by_clerks
    for number in by_clerks:
        assert replay(found, trace(record(number, by_amount), parser)).score.passed


TERMS = Table(
    name="Terms",
    header=("Supplier", "Limit", "Owner", "Rate"),
    rows=tuple(
        (supplier, limit, owner, rate)
        for supplier, limit, owner, rate in zip(
            SUPPLIERS,
            ("500.00", "2,000.00", "3,500.00", "5,000.00", "7,000.00"),
            ("Ann", "Bob", "Cyd", "Dan", "Eve"),
            ("0.02", "0.05", "0.1", "0.03", "0.01"),
            strict=True,
        )
    ),
)
DESKS = Table(
    name="Desks",
    header=("Owner", "Desk"),
    rows=tuple((row[2], f"D-{17 * at + 3}") for at, row in enumerate(TERMS.rows)),
)


def terms(shown: dict[str, str]) -> dict[str, str]:
    (row,) = (row for row in TERMS.rows if row[0] == shown["Supplier"])
    return dict(zip(TERMS.header, row, strict=True))


def over_own_limit(shown: dict[str, str]) -> dict[str, str]:
    over = _amount(shown["Billed"]) > _amount(terms(shown)["Limit"])
    return {**right(shown), "Memo": "Checked", "Decision": "Dispute" if over else "Pay"}


def desk_of_owner(shown: dict[str, str]) -> dict[str, str]:
    return {**right(shown), "Memo": dict(DESKS.rows)[terms(shown)["Owner"]], "Decision": "Pay"}  # type: ignore[arg-type]


def share(shown: dict[str, str]) -> dict[str, str]:
    part = _amount(shown["Billed"]) * Decimal(terms(shown)["Rate"])
    return {**right(shown), "Memo": f"{part.quantize(Decimal('0.01'), ROUND_HALF_UP)}", "Decision": "Pay"}


LIMIT, OWNER, RATE = (
    f"“{name}” in policy.docx: Terms where “Supplier” is “Supplier”" for name in TERMS.header[1:]
)


@pytest.mark.parametrize(
    ("rule", "field", "said"),
    [
        (over_own_limit, "Decision", f"if “Billed” is above {LIMIT} then “Dispute”, else left as it is"),
        (desk_of_owner, "Memo", f"“Desk” in policy.docx: Desks where “Owner” is {OWNER}"),
        (share, "Memo", f"“Billed” × {RATE}"),
    ],
)
def test_rules_go_on_from_what_a_table_says(rule: Rule, field: str, said: str) -> None:
    recordings, parser = [record(number, rule) for number in range(28)], Parser()
    (policies,) = policy(TERMS)
    documents = [policies.model_copy(update={"tables": (TERMS, DESKS)})]
    found = compile_workflow(recordings[:16], documents, parser=parser)
    assert rules(found)[field] == said
    for one in recordings[16:]:
        assert replay(found, trace(one, parser)).score.passed
    env = WorkflowEnv(found)
    for task in make_tasks(found, "test", 20):
        env.reset(task)
        (key,) = task.parameters.values()
        (records,) = env.instance.records.values()
        shown = records[key]
        for write in env.expected.writes:
            assert dict(write.values)[field] == rule(shown)[field], shown


_ENDS = {"a": ((500, False), (3000, False)), "b": ((500, True), (3000, False)), "c": ((500, True),)}


@pytest.mark.parametrize(
    ("header", "rows", "limits"),
    [
        (("Amount", "Who"), ("0 – 500", "500 – 3,000", "over 3,000"), [_ENDS["a"], _ENDS["b"]]),
        (("Betrag", "Wer"), ("bis 500,00 EUR", "500,01 bis 3.000,00 EUR", "über 3.000,00 EUR"), [_ENDS["a"]]),
        (("Amount", "Who"), ("$0 to $500", "$501 to $3,000", "$3,001 and above"), [_ENDS["a"]]),
        (("Up to", "Who"), ("500", "3000", "90000"), [_ENDS["a"]]),
        (("From", "Who"), ("0", "500", "3000"), [((500, True), (3000, True))]),
        (("Amount", "Who"), ("less than 500", "500 or more"), [_ENDS["c"]]),
        (("Days", "Fee"), ("1-10", "11-30", "31+"), [((10, False), (30, False))]),
        (("Code", "Name"), ("4711", "4712", "4713"), []),
        (("Limit", "Who"), ("500", "see below", "3000"), []),
        (("Amount", "Who"), ("0 – 500", "400 – 3,000"), []),
    ],
)
def test_scales_in_many_wordings(
    header: tuple[str, ...], rows: tuple[str, ...], limits: list[object]
) -> None:
    table = TableFact("t", "d", "", header, tuple((text, f"answer {at}") for at, text in enumerate(rows)))
    found = list(bands(table))
    assert [band.limits for band in found] == [tuple((Decimal(n), at) for n, at in each) for each in limits]  # type: ignore[attr-defined]
    assert all(band.texts == tuple(f"answer {at}" for at in range(len(rows))) for band in found)
