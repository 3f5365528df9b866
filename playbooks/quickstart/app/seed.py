"""Sample data: the same seed always gives the same database."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fde.errors import InputError
from playbooks.quickstart import company
from playbooks.quickstart.app.store import SCHEMA, hash_password

Kind = Literal["new", "paid", "same", "reference", "amount", "both"]
"""``new`` and ``paid`` invoices stand alone; the others are held beside a paid twin from
which they differ in nothing, in the supplier's reference, in the amount, or in both."""

HELD_KINDS: tuple[Kind, ...] = ("same", "reference", "amount", "both")
# Small and large invoices are about as frequent.
AMOUNT_BANDS_CENTS = (
    (5_000, 50_000),
    (50_000, 100_000),
    (100_000, 300_000),
    (300_000, 1_000_000),
    (1_000_000, 4_800_000),
)
_BUDGET_USED_SHARE = 0.25
_INVOICE_NUMBERS = range(20_000, 80_000)
_FIVE_DIGITS = range(10_000, 100_000)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An invoice that must be in the data; what is None is drawn.

    Attributes:
        place: Position in the inbox, from 0.
    """

    kind: Kind = "new"
    category: str | None = None
    amount_cents: int | None = None
    contract: bool | None = None
    budget_used: bool | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as it is written to the database."""

    number: str
    vendor: company.Vendor
    reference: str
    category: str
    amount_cents: int
    po: str
    status: str
    budget_used: bool
    twin: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """What a seed stands for. ``wanted`` are the numbers of the wanted invoices, in their order."""

    vendors: list[company.Vendor]
    invoices: list[Invoice]
    wanted: list[str]


def seed_database(
    db_path: Path,
    seed: int,
    *,
    invoices: int = 24,
    vendors: int = 12,
    wanted: Sequence[Wanted] = (),
    wanted_vendors: Sequence[str] = (),
) -> list[str]:
    """Make the portal's database at ``db_path``; an older file there is replaced.

    Args:
        invoices: How many invoices, twins included; more when ``wanted`` needs more.
        vendors: How many of the vendor master's vendors have an account.
        wanted_vendors: Names of vendors that must be among them.

    Returns:
        The numbers of the ``wanted`` invoices, in their order.

    Raises:
        InputError: when there are fewer vendors to draw from than asked for, or an unknown one is wanted.
    """
    drawn = draw(seed, invoices=invoices, vendors=vendors, wanted=wanted, wanted_vendors=wanted_vendors)
    db_path.unlink(missing_ok=True)
    _write(db_path, drawn)
    return drawn.wanted


def draw(
    seed: int,
    *,
    invoices: int = 24,
    vendors: int = 12,
    wanted: Sequence[Wanted] = (),
    wanted_vendors: Sequence[str] = (),
) -> Sample:
    """What :func:`seed_database` would write for the same arguments."""
    known = {vendor.name for vendor in company.VENDORS}
    unknown = [name for name in wanted_vendors if name not in known]
    if unknown:
        raise InputError(f"Vendor {unknown[0]!r} is not in the vendor master.")
    if not 2 <= vendors <= len(known):
        raise InputError(f"vendors={vendors} is outside 2 to {len(known)}.")
    rng = random.Random(f"payables {seed}")
    chosen = [vendor for vendor in company.VENDORS if vendor.name in wanted_vendors]
    others = [vendor for vendor in company.VENDORS if vendor.name not in wanted_vendors]
    rng.shuffle(others)
    # One vendor with and one without a contract come first, whatever else is drawn.
    first = [next(vendor for vendor in others if vendor.contract is contract) for contract in (True, False)]
    others.sort(key=lambda vendor: vendor not in first)
    chosen += others[: max(vendors - len(chosen), 2)]

    source = _Draw(rng, chosen)
    numbers = []
    placed: list[tuple[int | None, Invoice]] = []
    for want in wanted:
        made = source.invoice(want)
        numbers.append(made[0].number)
        placed += [(want.place, made[0]), *((None, twin) for twin in made[1:])]
    while len(placed) < invoices:
        kind: Kind = rng.choices(("new", "paid", rng.choice(HELD_KINDS)), weights=(6, 2, 1))[0]
        placed += [(None, made) for made in source.invoice(Wanted(kind=kind))]
    rows = [invoice for place, invoice in placed if place is None]
    rng.shuffle(rows)
    fixed = [(place, invoice) for place, invoice in placed if place is not None]
    for place, invoice in sorted(fixed, key=lambda pair: pair[0]):
        rows.insert(place, invoice)
    return Sample(chosen, rows, numbers)


class _Draw:
    """Draws invoices whose numbers, references and purchase orders never repeat."""

    def __init__(self, rng: random.Random, vendors: list[company.Vendor]) -> None:
        self._rng = rng
        self._vendors = vendors
        self._numbers = iter(rng.sample(_INVOICE_NUMBERS, 2000))
        self._references = iter(rng.sample(_FIVE_DIGITS, 2000))
        self._pos = iter(rng.sample(_FIVE_DIGITS, 2000))

    def amount(self) -> int:
        low, high = self._rng.choice(AMOUNT_BANDS_CENTS)
        return self._rng.randint(low + 1, high)

    def invoice(self, want: Wanted) -> list[Invoice]:
        """The wanted invoice, followed by its twin when it is held beside one."""
        rng = self._rng
        vendor = rng.choice([v for v in self._vendors if want.contract in (None, v.contract)])
        used = rng.random() < _BUDGET_USED_SHARE if want.budget_used is None else want.budget_used
        invoice = Invoice(
            number=f"INV-{next(self._numbers)}",
            vendor=vendor,
            reference=f"R-{next(self._references)}",
            category=want.category or rng.choice(list(company.MATRIX)),
            amount_cents=want.amount_cents or self.amount(),
            po=f"PO-{next(self._pos)}",
            status={"new": "New", "paid": "Paid"}.get(want.kind, "Held"),
            budget_used=used and want.kind != "paid",
        )
        if want.kind in ("new", "paid"):
            return [invoice]
        twin = Invoice(
            number=f"INV-{next(self._numbers)}",
            vendor=vendor,
            reference=self._near(invoice.reference)
            if want.kind in ("reference", "both")
            else invoice.reference,
            category=invoice.category,
            amount_cents=self._near_amount(invoice.amount_cents)
            if want.kind in ("amount", "both")
            else invoice.amount_cents,
            po=f"PO-{next(self._pos)}",
            status="Paid",
            budget_used=False,
            twin=invoice.number,
        )
        held = Invoice(
            number=invoice.number,
            vendor=vendor,
            reference=invoice.reference,
            category=invoice.category,
            amount_cents=invoice.amount_cents,
            po=invoice.po,
            status="Held",
            budget_used=invoice.budget_used,
            twin=twin.number,
        )
        return [held, twin]

    def _near(self, reference: str) -> str:
        """A reference that differs in one digit: what a hurried reader takes for the same."""
        position = self._rng.randrange(2, len(reference))
        digit = self._rng.choice([d for d in "0123456789" if d != reference[position]])
        return reference[:position] + digit + reference[position + 1 :]

    def _near_amount(self, cents: int) -> int:
        return cents + self._rng.choice((-1, 1)) * self._rng.choice((100, 900, 1_000, 9_000))


def _write(db_path: Path, drawn: Sample) -> None:
    connection = sqlite3.connect(db_path)
    try:
        # A database cut off while being made is made again: nothing has to reach the disk at once.
        connection.execute("pragma synchronous = off")
        connection.execute("pragma journal_mode = memory")
        connection.executescript(f"begin; {SCHEMA} commit;")
        with connection:
            connection.executemany(
                "insert into users values (?, ?, ?)",
                [(c.user, c.short, hash_password(c.user, company.PASSWORD)) for c in company.CLERKS],
            )
            connection.executemany(
                "insert into cost_centres values (?)", [(c,) for c in company.COST_CENTRES]
            )
            connection.executemany(
                "insert into accounts values (?, ?)",
                [(account, centre) for centre, codes in company.COST_CENTRES.items() for account in codes],
            )
            connection.executemany(
                "insert into vendors values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        v.number,
                        v.name,
                        v.country,
                        v.iban,
                        v.contract,
                        v.risk,
                        v.contact,
                        v.mail,
                        v.phone,
                        v.buyer.name,
                    )
                    for v in drawn.vendors
                ],
            )
            connection.executemany(
                "insert into invoices (number, place, vendor, reference, category, amount_cents, po, "
                "status, budget_used) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (i.number, n, i.vendor.number, i.reference, i.category, i.amount_cents, i.po,
                     i.status, i.budget_used)
                    for n, i in enumerate(drawn.invoices)
                ],
            )  # fmt: skip
            connection.executemany(
                "update invoices set twin = ? where number = ?",
                [(i.twin, i.number) for i in drawn.invoices if i.twin],
            )
    finally:
        connection.close()
