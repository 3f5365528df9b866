"""Invoices that are matched against orders, in tests: dates are written day first, and rules compare two
fields of one record."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from ingest.action import Action, resolve
from ingest.recording import RecordedStep, Recording, Snapshot
from ingest.snapshot import Node, render

SUPPLIERS = ("Alder Ltd", "Birch & Co", "Cedar GmbH", "Dogwood SA", "Elm plc")
REGIONS = ("North", "South", "Overseas")
FIELDS = ("Value date", "Pay by", "Memo")
DECISIONS = ("Pay", "Dispute", "Deduct")
COUNT = 22
_TERM = timedelta(days=30)


def slashed(day: date) -> str:
    return day.strftime("%d/%m/%Y")


@dataclass(frozen=True)
class Invoice:
    number: str
    supplier: str
    region: str
    billed: int
    ordered: int
    promised: date
    delivered: date

    @property
    def shown(self) -> dict[str, str]:
        return {
            "Number": self.number,
            "Supplier": self.supplier,
            "Region": self.region,
            "Billed": f"{self.billed / 100:,.2f}",
            "Ordered": f"{self.ordered / 100:,.2f}",
            "Promised": slashed(self.promised),
            "Delivered": slashed(self.delivered),
        }


def right(shown: dict[str, str]) -> dict[str, str]:
    """What is entered for an invoice as its page shows it."""
    billed, ordered = (float(shown[name].replace(",", "")) for name in ("Billed", "Ordered"))
    promised, delivered = (
        date(*map(int, reversed(shown[name].split("/")))) for name in ("Promised", "Delivered")
    )
    decision = "Dispute" if billed > ordered else "Deduct" if delivered > promised else "Pay"
    return {
        "Value date": delivered.isoformat(),
        "Pay by": slashed(delivered + _TERM),
        "Decision": decision,
        "Memo": f"{shown['Supplier']}/{shown['Number']}, delivered {delivered:%d.%m.%Y}"
        if decision == "Pay"
        else f"{decision} {shown['Number']}: please see {shown['Supplier']}",
    }


def _tolerant(shown: dict[str, str], disputed: bool) -> dict[str, str]:
    return {**right(shown), "Memo": "Checked", "Decision": "Dispute" if disputed else "Pay"}


def over_by_100(shown: dict[str, str]) -> dict[str, str]:
    """Another client's rule: what is billed may be 100 more than was ordered."""
    billed, ordered = (float(shown[name].replace(",", "")) for name in ("Billed", "Ordered"))
    return _tolerant(shown, billed - ordered > 100)


def over_by_5_percent(shown: dict[str, str]) -> dict[str, str]:
    """Another client's rule: what is billed may be 5% more than was ordered."""
    billed, ordered = (float(shown[name].replace(",", "")) for name in ("Billed", "Ordered"))
    return _tolerant(shown, 100 * (billed - ordered) / ordered > 5)


def late_by_5_days(shown: dict[str, str]) -> dict[str, str]:
    """Another client's rule: deliveries may be 5 days late."""
    promised, delivered = (
        date(*map(int, reversed(shown[name].split("/")))) for name in ("Promised", "Delivered")
    )
    return _tolerant(shown, (delivered - promised).days > 5)


def invoices(seed: int, count: int = 6) -> list[Invoice]:
    rng = random.Random(f"matching {seed}")
    found = []
    for number in rng.sample(range(1000, 9999), count):
        billed = rng.randrange(5_000, 900_000)
        parts = [0, 0, 0, 1, -1, -100, -20_000, -20_000, 9_000, 11_000, billed // 30, billed // 18]
        ordered = billed - rng.choice(parts)
        promised = date(2026, 1, 2) + timedelta(days=rng.randrange(330))
        delivered = promised + timedelta(days=rng.choice([0, 0, 1, 4, 5, 6, 9, 33, -1, -6, -30]))
        found.append(
            Invoice(
                f"B-{number}",
                rng.choice(SUPPLIERS),
                rng.choice(REGIONS),
                billed,
                max(ordered, 100),
                promised,
                delivered,
            )
        )
    return found


@dataclass
class Desk:
    """The application: a list, an invoice, its form."""

    invoices: list[Invoice]
    page: str = "/invoices"
    open: Invoice | None = None
    draft: dict[str, str] = field(default_factory=dict)
    steps: list[RecordedStep] = field(default_factory=list)

    def node(self) -> Node:
        heading = Node("heading", self.open.number if self.open else "Invoices", states=(("level", "1"),))
        return Node("document", children=(heading, *(self._invoice() if self.open else self._list())))

    def _list(self) -> list[Node]:
        header = Node("row", children=tuple(Node("columnheader", n) for n in ("Number", "Supplier")))
        rows = [
            Node("row", children=(
                Node("cell", children=(Node("link", i.number),)), Node("cell", i.supplier)))
            for i in self.invoices
        ]  # fmt: skip
        return [Node("table", children=(header, *rows))]

    def _invoice(self) -> list[Node]:
        assert self.open is not None
        if self.page == "/done":
            return [Node("status", "Booked")]
        told = [
            Node("row", children=(Node("rowheader", name), Node("cell", text)))
            for name, text in self.open.shown.items()
        ]
        fields = [Node("textbox", name, value=self.draft.get(name) or None) for name in FIELDS]
        offered = tuple(
            Node("option", o, states=(("selected", "true"),) if self.draft.get("Decision") == o else ())
            for o in DECISIONS
        )
        choice = Node("combobox", "Decision", value=self.draft.get("Decision", "Pay"), children=offered)
        return [Node("table", children=tuple(told)), *fields, choice, Node("button", "Book")]

    def do(self, line: str) -> None:
        action = Action.parse(line)
        assert action.target is not None and resolve(self.node(), action.target), line
        before = self._snapshot()
        if action.verb in ("fill", "select"):
            self.draft[action.target.name] = action.value or ""
        elif action.target.name == "Book":
            self.page = "/done"
        else:
            self.open = next(i for i in self.invoices if i.number == action.target.name)
            self.page = "/invoice"
        self.steps.append(RecordedStep(before=before, action=action, after=self._snapshot()))

    def _snapshot(self) -> Snapshot:
        return Snapshot(url=f"http://matching.test{self.page}", text=render(self.node()))


def case(number: int) -> Invoice:
    """The invoice that a recording is about."""
    found = invoices(number)
    return found[number % len(found)]


def record(number: int, rule: Callable[[dict[str, str]], dict[str, str]] = right) -> Recording:
    """The recording of one case.

    Args:
        rule: What is entered, by what the invoice's page shows.
    """
    one = case(number)
    desk = Desk(invoices(number))
    desk.do(f'click link "{one.number}"')
    values = rule(one.shown)
    for name in FIELDS:
        desk.do(f'fill textbox "{name}": {values[name]}')
    if values["Decision"] != "Pay":
        desk.do(f'select combobox "Decision": {values["Decision"]}')
    desk.do('click button "Book"')
    return Recording(
        id=f"matching-{number:02d}", workflow="matching", instruction=f"Book invoice {one.number}.",
        source_format="test", steps=tuple(desk.steps),
    )  # fmt: skip
