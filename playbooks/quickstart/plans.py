"""Which work the experts' recordings show, and how tasks are worded.

Both sides of every limit occur, scores that meet a limit exactly too. Four of the twelve
categories never occur: who only watched cannot know their cost centre, who reads the
approval matrix can.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fde.errors import InputError
from playbooks.quickstart import company
from playbooks.quickstart.app.seed import Kind, Wanted, draw
from playbooks.quickstart.app.store import PAGE_ROWS

WORKFLOWS = ("code-invoice", "resolve-duplicate", "update-bank")

PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "code-invoice": (
            "Code and route invoice {invoice}.",
            "Please code {invoice} and route it for approval.",
            "Invoice {invoice} needs to be coded and routed.",
        ),
        "resolve-duplicate": (
            "Resolve rejected invoice {invoice}.",
            "Please resolve the held invoice {invoice}.",
            "Invoice {invoice} was rejected as a possible duplicate: resolve it.",
        ),
        "update-bank": (
            "Change the bank account of vendor {vendor} to {iban}.",
            "Please change the bank account of {vendor} to {iban}.",
            "Vendor {vendor} has a new bank account, {iban}: update it.",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One task in one seeded database, and the habits of the expert who does it.

    Attributes:
        seed: Of the database.
        habits: Names of what :mod:`playbooks.quickstart.experts` varies.
        parameters: What the instruction names.
    """

    workflow: str
    seed: int
    phrase: int
    parameters: dict[str, str]
    habits: tuple[str, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    wanted_vendors: tuple[str, ...] = ()

    @property
    def instruction(self) -> str:
        phrases = PHRASES[self.workflow]
        return phrases[self.phrase % len(phrases)].format(**self.parameters)


# Category, amount in cents, contract, budget used up, habits.
_CODING: tuple[tuple[str, int, bool, bool, tuple[str, ...]], ...] = (
    ("Packaging", 184_000, False, False, ()),
    ("Software", 1_007_560, False, False, ("po first",)),
    ("Freight", 327_550, True, True, ("paging",)),
    ("Consulting", 101_240, False, False, ("look at vendor",)),
    ("Stationery", 64_020, False, False, ("wrong account",)),
    ("Cleaning", 100_000, False, False, ("approver first",)),
    ("Advertising", 1_006_000, False, False, ("forget po",)),
    ("Repairs", 99_450, False, True, ("search twice",)),
    ("Packaging", 1_000_000, False, False, ("wrong approver",)),
    ("Software", 998_500, True, False, ("paging",)),
    ("Cleaning", 100_830, False, True, ("approver first", "forget po")),
    ("Freight", 2_388_090, False, False, ("look at other invoice",)),
    ("Consulting", 78_060, True, False, ("paging",)),
    ("Repairs", 3_140_025, True, True, ("wrong centre",)),
)
_HELD: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("same", ()),
    ("reference", ("paging",)),
    ("amount", ()),
    ("same", ("look at other invoice",)),
    ("both", ("wrong reason",)),
    ("same", ("wrong number",)),
    ("reference", ("look at vendor",)),
    ("same", ("paging",)),
    ("amount", ("look twice",)),
    ("both", ()),
    ("reference", ("search twice",)),
    ("same", ("look twice",)),
)
# Vendor, country of the new account, habits. Risk scores lie on both sides of the limit and on it.
_BANK: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Harbor Paper", "DE", ()),
    ("Cedar Logistics", "DE", ("mistype iban",)),
    ("Alder Consulting", "BE", ("called first",)),
    ("Juniper Cleaning", "DE", ("wrong hold",)),
    ("Anchor Repairs", "NL", ("paging",)),
    ("Beacon Systems", "AT", ("hold first",)),
    ("Summit Legal", "AT", ("forget called",)),
    ("Silverline Cargo", "BE", ("look at other vendor",)),
    ("Granite Security", "DE", ("mistype iban", "called first")),
    ("Willow Travel", "NL", ("paging",)),
    ("Pioneer Tools", "DE", ("forget called", "hold first")),
    ("Quarry Supplies", "BE", ("search twice",)),
    ("Meadow Hygiene", "DE", ()),
    ("Lantern Studio", "NL", ("look at other vendor",)),
)


def recorded_plans(workflow: str) -> list[Plan]:
    """The work that is recorded, one plan per recording.

    Raises:
        InputError: when there is no such workflow.
    """
    if workflow == "code-invoice":
        return [
            _invoice_plan(
                workflow,
                100 + number,
                number,
                Wanted("new", category, cents, contract, used, place=_place(number, habits)),
                habits,
            )
            for number, (category, cents, contract, used, habits) in enumerate(_CODING)
        ]
    if workflow == "resolve-duplicate":
        return [
            _invoice_plan(workflow, 200 + number, number, Wanted(kind, place=_place(number, habits)), habits)
            for number, (kind, habits) in enumerate(_HELD)
        ]
    if workflow == "update-bank":
        return [
            bank_plan(300 + number, number, vendor, country, habits)
            for number, (vendor, country, habits) in enumerate(_BANK)
        ]
    raise InputError(f"Unknown workflow {workflow!r}; there are {', '.join(WORKFLOWS)}.")


def _place(number: int, habits: tuple[str, ...]) -> int:
    """Who pages through the inbox has the invoice on the second or third page, others further down."""
    return 5 + number % 6 if "paging" in habits else 9 + number % 11


def _later(rng: random.Random) -> int:
    """New work is at the end of the inbox, not on its first page."""
    return rng.randrange(PAGE_ROWS, 24)


def _invoice_plan(workflow: str, seed: int, phrase: int, want: Wanted, habits: tuple[str, ...] = ()) -> Plan:
    (number,) = draw(seed, wanted=(want,)).wanted
    return Plan(workflow, seed, phrase, {"invoice": number}, habits, (want,))


def bank_plan(seed: int, phrase: int, vendor: str, country: str, habits: tuple[str, ...] = ()) -> Plan:
    """A change of ``vendor``'s account to a made-up one in ``country``."""
    iban = company.make_iban(country, random.Random(f"iban {seed}").randrange(10**17))
    return Plan(
        "update-bank", seed, phrase, {"vendor": vendor, "iban": iban}, habits, wanted_vendors=(vendor,)
    )


def fresh_plan(workflow: str, seed: int) -> Plan:
    """One task drawn at random, for work that nobody has recorded.

    Args:
        seed: Determines the database and the task.

    Raises:
        InputError: when there is no such workflow.
    """
    rng = random.Random(f"{workflow} {seed}")
    phrase = rng.randrange(100)
    if workflow == "code-invoice":
        return _invoice_plan(workflow, seed, phrase, Wanted("new", place=_later(rng)))
    if workflow == "resolve-duplicate":
        kind: Kind = rng.choices(("same", "reference", "amount", "both"), weights=(3, 1, 1, 1))[0]
        return _invoice_plan(workflow, seed, phrase, Wanted(kind, place=_later(rng)))
    if workflow == "update-bank":
        vendor = rng.choice(company.VENDORS)
        elsewhere = [country for country in company.IBAN_LENGTH if country != vendor.country]
        country = vendor.country if rng.random() < 0.5 else rng.choice(elsewhere)
        return bank_plan(seed, phrase, vendor.name, country)
    raise InputError(f"Unknown workflow {workflow!r}; there are {', '.join(WORKFLOWS)}.")
