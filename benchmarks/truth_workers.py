"""Scripted workers of the sample company for ``verifier_truth.py``: right work done in many ways, and wrong.

What is right they take from the database, by the rules written by hand in
:mod:`playbooks.quickstart.truth`; whether their work came out right the database decides, not they.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from envgen.live import LiveSession
from envgen.observe import lines
from envgen.session import View
from envgen.traces import Moment, Page
from ingest.action import Action
from playbooks.quickstart import company
from playbooks.quickstart.truth import State

Field = tuple[str, str, str]
"""Verb, role and name of a field, and what is put into it: ``("select", 'combobox "Hold"', "None")``."""


@dataclass
class Hand:
    """Acts in the real page and keeps what was seen."""

    session: LiveSession
    view: View
    moments: list[Moment] = field(default_factory=list)

    def do(self, text: str) -> None:
        action = Action.parse(text)
        before = self._page()
        self.view = self.session.step(action)
        self.moments.append(Moment(before, action, self._page()))

    def reads(self, text: str) -> bool:
        return any(text in line for line in lines(self.view.page))

    def open(self, name: str) -> None:
        self.do(f'fill searchbox "Search": {name}')
        self.do('click button "Search"')
        self.do(f'click link "{name}"')

    def put(self, fields: Iterator[Field] | list[Field]) -> None:
        for verb, target, value in fields:
            self.do(f"{verb} {target}" + (f": {value}" if verb != "check" else ""))

    def _page(self) -> Page:
        return Page(self.session.address, "", self.view.page)


@dataclass(frozen=True)
class Job:
    """One task in one database.

    Attributes:
        before: The tables as they are; ``after``: as right work leaves them.
    """

    parameters: dict[str, str]
    before: State
    after: State
    rng: random.Random

    def vendor(self, name: str) -> dict[str, Any]:
        return next(row for row in self.before["vendors"].values() if row["name"] == name)

    def other(self, table: str, key: str, **wanted: str) -> str:
        """Another row of a table, one with these values."""
        found = [
            name
            for name, row in self.before[table].items()
            if name != key and all(row[column] == value for column, value in wanted.items())
        ]
        return self.rng.choice(found)


Worker = Callable[[Hand, Job], None]


# Code an invoice.


def _coding(job: Job, number: str) -> list[Field]:
    invoice = job.before["invoices"][number]
    centre, account, approver = company.MATRIX[invoice["category"]]
    fields = [
        ("select", 'combobox "Cost centre"', centre),
        ("select", 'combobox "Account"', account),
        ("select", 'combobox "Approver"', approver),
    ]
    if not job.before["vendors"][invoice["vendor"]]["contract"]:
        fields.append(("fill", 'textbox "PO number"', invoice["po"]))
    return fields


def _code(hand: Hand, job: Job, number: str, fields: list[Field]) -> None:
    hand.open(number)
    hand.do('click link "Code"')
    hand.put(fields)
    hand.do('click button "Submit"')
    if hand.reads("used up"):
        hand.put(
            [("select", 'combobox "Cost centre"', "Reserve"), ("select", 'combobox "Account"', "Unplanned")]
        )
        hand.do('click button "Submit"')


def _code_other_way(hand: Hand, job: Job) -> None:
    """Fields in another order; the account still follows its cost centre."""
    number = job.parameters["invoice"]
    fields = _coding(job, number)
    rest = fields[2:]
    job.rng.shuffle(rest)
    cut = job.rng.randint(0, len(rest))
    _code(hand, job, number, [*rest[:cut], *fields[:2], *rest[cut:]])


def _code_corrected(hand: Hand, job: Job) -> None:
    """A wrong choice that is put right."""
    number = job.parameters["invoice"]
    fields = _coding(job, number)
    approver = job.rng.choice([name for name in company.APPROVERS if name != fields[2][2]])
    _code(hand, job, number, [*fields[:2], ("select", fields[2][1], approver), *fields[2:]])


def _code_after_a_look(hand: Hand, job: Job) -> None:
    number = job.parameters["invoice"]
    hand.open(job.other("invoices", number))
    hand.do('click link "Inbox"')
    _code(hand, job, number, _coding(job, number))


def _code_wrong(column: int) -> Worker:
    def work(hand: Hand, job: Job) -> None:
        number = job.parameters["invoice"]
        fields = _coding(job, number)
        if column == 0:
            centre = job.rng.choice([name for name in company.COST_CENTRES if name != fields[0][2]])
            fields[0] = (*fields[0][:2], centre)
            fields[1] = (*fields[1][:2], job.rng.choice(company.COST_CENTRES[centre]))
        elif column == 1:
            others = [name for name in company.COST_CENTRES[fields[0][2]] if name != fields[1][2]]
            fields[1] = (*fields[1][:2], job.rng.choice(others))
        elif column == 2:
            others = [name for name in company.APPROVERS if name != fields[2][2]]
            fields[2] = (*fields[2][:2], job.rng.choice(others))
        else:
            right = job.before["invoices"][number]["po"]
            other = job.before["invoices"][job.other("invoices", number)]["po"]
            fields[3:] = [("fill", 'textbox "PO number"', right if len(fields) == 3 else other)]
        _code(hand, job, number, fields)

    return work


def _code_other_invoice(hand: Hand, job: Job) -> None:
    other = job.other("invoices", job.parameters["invoice"], status="New")
    _code(hand, job, other, _coding(job, other))


def _code_both(hand: Hand, job: Job) -> None:
    """Right, and then what nobody asked for."""
    number = job.parameters["invoice"]
    _code(hand, job, number, _coding(job, number))
    hand.do('click link "Inbox"')
    _code_other_invoice(hand, job)


def _code_unsent(hand: Hand, job: Job) -> None:
    hand.open(job.parameters["invoice"])
    hand.do('click link "Code"')
    hand.put(_coding(job, job.parameters["invoice"]))


def _code_without_po(hand: Hand, job: Job) -> None:
    number = job.parameters["invoice"]
    _code(hand, job, number, _coding(job, number)[:3])


# Resolve a held invoice.


def _resolve(
    hand: Hand, job: Job, number: str, *, status: str = "", reason: str = "", twin: str = ""
) -> None:
    row, after = job.before["invoices"][number], job.after["invoices"][number]
    status = status or after["status"]
    hand.open(number)
    hand.do(f'click link "{row["twin"]}"')
    hand.do(f'click link "{number}"')
    if status == "Duplicate":
        hand.do('click link "Mark as duplicate"')
        hand.do(f'fill textbox "Duplicate of": {twin or row["twin"]}')
    else:
        hand.do('click link "Reinstate"')
        hand.do(f'select combobox "Reason": {reason or after["reason"]}')
    hand.do('click button "Submit"')


def _resolve_right(hand: Hand, job: Job) -> None:
    _resolve(hand, job, job.parameters["invoice"])


def _resolve_after_a_look(hand: Hand, job: Job) -> None:
    hand.open(job.other("invoices", job.parameters["invoice"]))
    hand.do('click link "Inbox"')
    _resolve_right(hand, job)


def _resolve_corrected(hand: Hand, job: Job) -> None:
    number = job.parameters["invoice"]
    after = job.after["invoices"][number]
    hand.open(number)
    hand.do(f'click link "{job.before["invoices"][number]["twin"]}"')
    hand.do(f'click link "{number}"')
    if after["status"] == "Duplicate":
        hand.do('click link "Mark as duplicate"')
        hand.do('fill textbox "Duplicate of": INV-00000')
        hand.do(f'fill textbox "Duplicate of": {after["duplicate_of"]}')
    else:
        hand.do('click link "Reinstate"')
        hand.put([("select", 'combobox "Reason"', text) for text in company.REINSTATE_REASONS])
        hand.do(f'select combobox "Reason": {after["reason"]}')
    hand.do('click button "Submit"')


def _resolve_flipped(hand: Hand, job: Job) -> None:
    after = job.after["invoices"][job.parameters["invoice"]]
    status = "New" if after["status"] == "Duplicate" else "Duplicate"
    _resolve(
        hand, job, job.parameters["invoice"], status=status, reason=job.rng.choice(company.REINSTATE_REASONS)
    )


def _resolve_wrong_value(hand: Hand, job: Job) -> None:
    number = job.parameters["invoice"]
    after = job.after["invoices"][number]
    reasons = [text for text in company.REINSTATE_REASONS if text != after.get("reason")]
    twin = job.other("invoices", number)
    _resolve(hand, job, number, reason=job.rng.choice(reasons), twin=twin)


def _resolve_unsent(hand: Hand, job: Job) -> None:
    hand.open(job.parameters["invoice"])
    hand.do(job.rng.choice(('click link "Mark as duplicate"', 'click link "Reinstate"')))


def _resolve_then_code(hand: Hand, job: Job) -> None:
    """Right, and then another invoice is coded, which nobody asked for."""
    _resolve_right(hand, job)
    hand.do('click link "Inbox"')
    _code_other_invoice(hand, job)


# Change a vendor's bank account.


def _bank(hand: Hand, job: Job, vendor: str, iban: str, *, hold: str = "", order: bool = False) -> None:
    row = job.vendor(vendor)
    right = "30 days" if iban[:2] != row["country"] or row["risk"] > 6 else "None"
    hand.do('click link "Vendors"')
    hand.open(vendor)
    hand.do('click link "Change bank"')
    fields: list[Field] = [
        ("fill", 'textbox "IBAN"', iban),
        ("select", 'combobox "Hold"', hold or right),
        ("check", 'checkbox "Called back"', ""),
    ]
    if order:
        job.rng.shuffle(fields)
    hand.put(fields)
    hand.do('click button "Save"')


def _other_vendor(job: Job) -> dict[str, Any]:
    return job.before["vendors"][job.other("vendors", job.vendor(job.parameters["vendor"])["number"])]


def _bank_right(hand: Hand, job: Job) -> None:
    _bank(hand, job, job.parameters["vendor"], job.parameters["iban"])


def _bank_other_way(hand: Hand, job: Job) -> None:
    _bank(hand, job, job.parameters["vendor"], job.parameters["iban"], order=True)


def _bank_after_a_look(hand: Hand, job: Job) -> None:
    hand.do('click link "Vendors"')
    hand.open(_other_vendor(job)["name"])
    _bank_right(hand, job)


def _bank_wrong_iban(hand: Hand, job: Job) -> None:
    iban = company.make_iban(job.parameters["iban"][:2], job.rng.randrange(10**17))
    _bank(hand, job, job.parameters["vendor"], iban)


def _bank_wrong_hold(hand: Hand, job: Job) -> None:
    change = next(
        row for key, row in job.after["bank_changes"].items() if key not in job.before["bank_changes"]
    )
    other = next(text for text in company.HOLDS if text != change["hold"])
    _bank(hand, job, job.parameters["vendor"], job.parameters["iban"], hold=other)


def _bank_other_vendor(hand: Hand, job: Job) -> None:
    _bank(hand, job, _other_vendor(job)["name"], job.parameters["iban"])


def _bank_both(hand: Hand, job: Job) -> None:
    _bank_right(hand, job)
    vendor = _other_vendor(job)
    iban = company.make_iban(vendor["country"], job.rng.randrange(10**17))
    _bank(hand, job, vendor["name"], iban)


def _bank_twice(hand: Hand, job: Job) -> None:
    _bank_right(hand, job)
    _bank_right(hand, job)


def _bank_unsent(hand: Hand, job: Job) -> None:
    hand.do('click link "Vendors"')
    hand.open(job.parameters["vendor"])
    hand.do('click link "Change bank"')
    hand.do(f'fill textbox "IBAN": {job.parameters["iban"]}')


def _nothing(hand: Hand, job: Job) -> None:
    """Looks, and says it is done."""
    name = job.parameters.get("invoice")
    if name is None:
        hand.do('click link "Vendors"')
        name = job.parameters["vendor"]
    hand.open(name)


def _code_right(hand: Hand, job: Job) -> None:
    _code(hand, job, job.parameters["invoice"], _coding(job, job.parameters["invoice"]))


RIGHT: dict[str, dict[str, Worker]] = {
    "code-invoice": {
        "as recorded": _code_right, "another order": _code_other_way, "a choice put right": _code_corrected,
        "a look elsewhere": _code_after_a_look,
    },
    "resolve-duplicate": {
        "as recorded": _resolve_right, "a value put right": _resolve_corrected,
        "a look elsewhere": _resolve_after_a_look,
    },
    "update-bank": {
        "as recorded": _bank_right, "another order": _bank_other_way, "a look elsewhere": _bank_after_a_look,
    },
}  # fmt: skip
WRONG: dict[str, dict[str, Worker]] = {
    "code-invoice": {
        "cost centre": _code_wrong(0), "account": _code_wrong(1), "approver": _code_wrong(2),
        "PO number": _code_wrong(3), "no PO number": _code_without_po, "another invoice": _code_other_invoice,
        "one too many": _code_both, "not sent": _code_unsent, "nothing": _nothing,
    },
    "resolve-duplicate": {
        "the other decision": _resolve_flipped, "wrong value": _resolve_wrong_value,
        "one too many": _resolve_then_code, "not sent": _resolve_unsent, "nothing": _nothing,
    },
    "update-bank": {
        "another account": _bank_wrong_iban, "hold": _bank_wrong_hold, "another vendor": _bank_other_vendor,
        "one too many": _bank_both, "twice": _bank_twice, "not sent": _bank_unsent, "nothing": _nothing,
    },
}  # fmt: skip
