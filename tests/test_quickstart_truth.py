"""The hand-written truth about the sample company's work: right work passes, wrong work fails."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from quickstart_client import Client

from fde.errors import InputError, MissingError
from playbooks.quickstart import company, truth
from playbooks.quickstart.app import Wanted, seed_database, serve
from playbooks.quickstart.plans import WORKFLOWS, recorded_plans

WANTED = (
    Wanted("new", "Legal", 720_000, contract=False, budget_used=False),
    Wanted("new", "Freight", 100_000, contract=True, budget_used=True),
    Wanted("same"),
    Wanted("reference"),
    Wanted("new", "Repairs", 100_000, contract=True, budget_used=False),
)


@dataclass
class Office:
    """A portal with a clerk signed in, and the database as it was."""

    client: Client
    before: Path
    after: Path
    numbers: list[str]

    def __post_init__(self) -> None:
        self.large, self.small, self.same, self.reference, self.other = self.numbers
        self.vendor = next(
            row for row in truth.read_state(self.before)["vendors"].values() if row["country"] == "DE"
        )

    def judge(self, workflow: str, **parameters: str) -> tuple[bool, tuple[str, ...]]:
        return truth.judge(self.before, self.after, workflow, parameters)

    def code(self, number: str, centre: str, account: str, approver: str, po: str = "") -> None:
        path = f"/invoices/{number}/code"
        page = self.client.submit(path, cost_centre=centre, account=account, approver=approver, po=po)
        assert page.confirmation == f"Routed to {approver}"

    def po(self, number: str) -> str:
        return str(truth.read_state(self.before)["invoices"][number]["po"])

    def twin(self, number: str) -> str:
        return str(truth.read_state(self.before)["invoices"][number]["twin"])

    def bank(self, iban: str, hold: str, number: str | None = None) -> None:
        path = f"/vendors/{number or self.vendor['number']}/bank"
        assert self.client.submit(path, iban=iban, hold=hold, called="yes").confirmation

    def sql(self, statement: str, *arguments: object) -> None:
        connection = sqlite3.connect(self.after)
        with connection:
            connection.execute(statement, arguments)
        connection.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    after = tmp_path / "after.db"
    numbers = seed_database(after, 11, wanted=WANTED)
    before = Path(shutil.copy(after, tmp_path / "before.db"))
    portal, url = serve(after)
    client = Client(url)
    client.sign_in()
    yield Office(client, before, after, numbers)
    portal.close()


AT_IBAN = company.make_iban("AT", 99)
DE_IBAN = company.make_iban("DE", 99)


def _large(
    o: Office,
    centre: str = "Management",
    account: str = "Legal fees",
    approver: str = "Head of administration",
    po: str | None = None,
) -> None:
    o.code(o.large, centre, account, approver, o.po(o.large) if po is None else po)


def right_large(o: Office) -> None:
    _large(o)


def test_right_coding_passes(office: Office) -> None:
    right_large(office)
    assert office.judge("code-invoice", invoice=office.large) == (True, ())


def test_right_coding_on_the_reserve_passes(office: Office) -> None:
    office.code(office.small, "Reserve", "Unplanned", "Head of operations")
    assert office.judge("code-invoice", invoice=office.small) == (True, ())


def test_right_duplicate_passes(office: Office) -> None:
    office.client.submit(f"/invoices/{office.same}/duplicate", duplicate_of=office.twin(office.same))
    assert office.judge("resolve-duplicate", invoice=office.same) == (True, ())


def test_right_reinstatement_passes(office: Office) -> None:
    office.client.submit(f"/invoices/{office.reference}/reinstate", reason="Different reference")
    assert office.judge("resolve-duplicate", invoice=office.reference) == (True, ())


@pytest.mark.parametrize(("iban", "hold"), [(AT_IBAN, "30 days"), (DE_IBAN, "None")])
def test_right_bank_change_passes(office: Office, iban: str, hold: str) -> None:
    office.bank(iban, hold)
    assert office.judge("update-bank", vendor=office.vendor["name"], iban=iban) == (True, ())


def _not_routed(o: Office) -> None:
    right_large(o)
    o.sql("update invoices set status = 'New' where number = ?", o.large)


def _coding_lost(o: Office) -> None:
    right_large(o)
    o.sql("delete from codings")


def _another_too(o: Office) -> None:
    right_large(o)
    o.code(o.other, "Maintenance", "Repairs", "Head of operations")


def _vendor_too(o: Office) -> None:
    right_large(o)
    o.bank(DE_IBAN, "None")


WRONG_CODINGS: dict[str, Callable[[Office], None]] = {
    "nothing done": lambda o: None,
    "wrong cost centre": lambda o: _large(o, "Logistics", "Packaging"),
    "wrong account": lambda o: _large(o, "Management", "Advice"),
    "wrong approver": lambda o: _large(o, approver="Head of sales"),
    "wrong purchase order": lambda o: _large(o, po="PO-00000"),
    "reserve without need": lambda o: _large(o, "Reserve", "Unplanned"),
    "another invoice": lambda o: o.code(o.other, "Maintenance", "Repairs", "Head of operations"),
    "another invoice too": _another_too,
    "a vendor too": _vendor_too,
    "not routed": _not_routed,
    "coding lost": _coding_lost,
}


@pytest.mark.parametrize("wrong", WRONG_CODINGS)
def test_wrong_coding_fails(office: Office, wrong: str) -> None:
    WRONG_CODINGS[wrong](office)
    passed, reasons = office.judge("code-invoice", invoice=office.large)
    assert not passed
    assert reasons


def test_purchase_order_with_a_contract_fails(office: Office) -> None:
    office.code(office.small, "Reserve", "Unplanned", "Head of operations", office.po(office.small))
    passed, reasons = office.judge("code-invoice", invoice=office.small)
    assert not passed
    assert reasons == (f"codings {office.small}: po is {office.po(office.small)!r}, should be ''",)


WRONG_RESOLUTIONS: dict[str, Callable[[Office], None]] = {
    "nothing done": lambda o: None,
    "reinstated": lambda o: _submit(o, o.same, "reinstate", reason="Both differ"),
    "duplicate of another": lambda o: _submit(o, o.same, "duplicate", duplicate_of=o.other),
    "the other one": lambda o: _submit(o, o.reference, "duplicate", duplicate_of=o.twin(o.reference)),
}


def _submit(o: Office, number: str, action: str, **form: str) -> None:
    assert o.client.submit(f"/invoices/{number}/{action}", **form).confirmation


@pytest.mark.parametrize("wrong", WRONG_RESOLUTIONS)
def test_wrong_resolution_fails(office: Office, wrong: str) -> None:
    WRONG_RESOLUTIONS[wrong](office)
    assert not office.judge("resolve-duplicate", invoice=office.same)[0]


@pytest.mark.parametrize("reason", ["Different amount", "Both differ"])
def test_wrong_reason_fails(office: Office, reason: str) -> None:
    _submit(office, office.reference, "reinstate", reason=reason)
    assert not office.judge("resolve-duplicate", invoice=office.reference)[0]


def _twice(o: Office) -> None:
    o.bank(AT_IBAN, "30 days")
    o.bank(AT_IBAN, "30 days")


WRONG_BANKS: dict[str, Callable[[Office], None]] = {
    "nothing done": lambda o: None,
    "no hold": lambda o: o.bank(AT_IBAN, "None"),
    "another account": lambda o: o.bank(company.make_iban("AT", 98), "30 days"),
    "another vendor": lambda o: o.bank(AT_IBAN, "30 days", _other_vendor(o)),
    "twice": _twice,
    "never entered": lambda o: o.sql(
        "update vendors set iban = ? where number = ?", AT_IBAN, o.vendor["number"]
    ),
}


def _other_vendor(o: Office) -> str:
    return next(number for number in truth.read_state(o.before)["vendors"] if number != o.vendor["number"])


@pytest.mark.parametrize("wrong", WRONG_BANKS)
def test_wrong_bank_change_fails(office: Office, wrong: str) -> None:
    WRONG_BANKS[wrong](office)
    assert not office.judge("update-bank", vendor=office.vendor["name"], iban=AT_IBAN)[0]


@pytest.mark.parametrize("contract", [True, False])
def test_only_invoices_without_a_contract_carry_their_order(tmp_path: Path, contract: bool) -> None:
    path = tmp_path / "portal.db"
    want = Wanted("new", "Travel", 100_000, contract, False)
    (number,) = seed_database(path, 3, wanted=(want,))
    coding = truth.expected(path, "code-invoice", {"invoice": number})["codings"][number]
    found = (coding["cost_centre"], coding["account"], coding["approver"])
    assert found == ("Sales", "Travel", "Head of sales")
    assert bool(coding["po"]) is not contract


@pytest.mark.parametrize(
    ("vendor", "country", "hold"),
    [
        ("Quarry Supplies", "BE", "None"),
        ("Harbor Paper", "DE", "None"),
        ("Harbor Paper", "NL", "30 days"),
        ("Pioneer Tools", "DE", "30 days"),
        ("Meadow Hygiene", "AT", "30 days"),
    ],
)
def test_holds(tmp_path: Path, vendor: str, country: str, hold: str) -> None:
    path = tmp_path / "portal.db"
    seed_database(path, 3, wanted_vendors=(vendor,))
    iban = company.make_iban(country, 7)
    (change,) = truth.expected(path, "update-bank", {"vendor": vendor, "iban": iban})["bank_changes"].values()
    assert change["hold"] == hold


def test_bad_questions_are_refused(office: Office) -> None:
    with pytest.raises(MissingError, match="INV-0"):
        office.judge("code-invoice", invoice="INV-0")
    with pytest.raises(InputError, match="not New"):
        office.judge("code-invoice", invoice=office.same)
    with pytest.raises(InputError, match="'invoice' is missing"):
        office.judge("code-invoice", vendor="x")
    with pytest.raises(MissingError, match="no vendor"):
        office.judge("update-bank", vendor="Nobody", iban=AT_IBAN)
    with pytest.raises(InputError, match="Unknown workflow"):
        office.judge("dance")
    with pytest.raises(MissingError):
        truth.read_state(office.before.with_name("none.db"))


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_live_tasks_are_fresh_and_repeatable(workflow: str, tmp_path: Path) -> None:
    tasks = truth.live_tasks(workflow, 25, 3)
    assert tasks == truth.live_tasks(workflow, 25, 3)
    assert tasks != truth.live_tasks(workflow, 25, 4)
    key = "iban" if workflow == "update-bank" else "invoice"
    values = [task.parameters[key] for task in tasks]
    recorded = {plan.parameters[key] for plan in recorded_plans(workflow)}
    assert len(set(values)) == 25
    assert not recorded & set(values)
    for task in tasks[:5]:
        assert all(value in task.instruction for value in task.parameters.values())
        truth.prepare(task, tmp_path / "live.db")
        before = truth.read_state(tmp_path / "live.db")
        assert truth.expected(tmp_path / "live.db", workflow, task.parameters) != before


def test_truth_agrees_with_the_documents() -> None:
    assert truth._MATRIX == company.MATRIX


def test_recorded_plans_leave_categories_to_the_documents() -> None:
    seen = {plan.wanted[0].category for plan in recorded_plans("code-invoice")}
    assert len(company.MATRIX) - len(seen) == 4
    risks = {vendor.name: vendor.risk for vendor in company.VENDORS}
    held = {risks[plan.parameters["vendor"]] for plan in recorded_plans("update-bank")}
    assert {6, 7} <= held
