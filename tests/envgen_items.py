"""Items of several vendors to settle in tests: what is entered is counted, added up and calculated."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from ingest.action import Action, resolve
from ingest.recording import RecordedStep, Recording, Snapshot
from ingest.snapshot import Node, render

VENDORS = ("Alder", "Birch", "Cedar", "Dogwood")
STATES = ("Open", "Paid", "Disputed")
COUNT = 9
PAGE_ROWS = 6
FEE = Decimal("0.025")
FIELDS = ("Reference", "Items", "Total", "Largest", "Fee", "Due")


@dataclass(frozen=True)
class Item:
    number: str
    vendor: str
    cents: int
    state: str

    @property
    def amount(self) -> str:
        return f"{self.cents / 100:,.2f}"


def items(seed: int, count: int = 14) -> list[Item]:
    rng = random.Random(f"items {seed}")
    numbers = rng.sample(range(1000, 9999), count)
    return [
        Item(f"I-{number}", rng.choice(VENDORS), rng.randrange(900, 250_000), rng.choice(STATES))
        for number in numbers
    ]


def right(found: list[Item], vendor: str) -> dict[str, str]:
    """What is entered for a vendor: its open items alone count."""
    cents = [item.cents for item in found if item.vendor == vendor and item.state == "Open"]
    total = Decimal(sum(cents)) / 100
    fee = (total * FEE).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return {
        "Items": str(len(cents)),
        "Total": f"{total:,.2f}",
        "Largest": f"{max(cents) / 100:,.2f}",
        "Fee": f"{fee}",
    }


def due(day: date) -> str:
    """Two weeks after the statement, as the form has dates."""
    return (day + timedelta(days=14)).strftime("%d.%m.%Y")


@dataclass
class Ledger:
    """The application: a list over three pages, and a form."""

    items: list[Item]
    day: date
    page: str = "/items"
    offset: int = 0
    draft: dict[str, str] = field(default_factory=dict)
    steps: list[RecordedStep] = field(default_factory=list)

    def node(self) -> Node:
        heading = Node("heading", self.page.strip("/").title(), states=(("level", "1"),))
        return Node(
            "document", children=(heading, *(self._list() if self.page == "/items" else self._form()))
        )

    def _list(self) -> list[Node]:
        header = Node(
            "row", children=tuple(Node("columnheader", n) for n in ("Item", "Vendor", "Amount", "State"))
        )
        rows = [
            Node("row", children=tuple(Node("cell", t) for t in (i.number, i.vendor, i.amount, i.state)))
            for i in self.items[self.offset : self.offset + PAGE_ROWS]
        ]
        more = [Node("button", "More")] if self.offset + PAGE_ROWS < len(self.items) else []
        said = Node("text", value=f"Statement of {self.day.isoformat()}")
        return [said, Node("table", children=(header, *rows)), *more, Node("link", "Settle")]

    def _form(self) -> list[Node]:
        fields = [Node("textbox", name, value=self.draft.get(name) or None) for name in FIELDS]
        return [*fields, Node("button", "Send")]

    def do(self, line: str) -> None:
        action = Action.parse(line)
        assert action.target is not None and resolve(self.node(), action.target), line
        before = self._snapshot()
        if action.verb == "fill":
            self.draft[action.target.name] = action.value or ""
        elif action.target.name == "More":
            self.offset += PAGE_ROWS
        elif action.target.name == "Settle":
            self.page = "/settle"
        else:
            self.page = "/sent"
        self.steps.append(RecordedStep(before=before, action=action, after=self._snapshot()))

    def _snapshot(self) -> Snapshot:
        return Snapshot(url=f"http://ledger.test{self.page}", text=render(self.node()))


def record(number: int) -> Recording:
    """The recording of one case; the expert reads the whole list first."""
    found = items(number)
    open_of = sorted({item.vendor for item in found if item.state == "Open"})
    vendor = open_of[number % len(open_of)]
    ledger = Ledger(found, date(2026, 1, 7) + timedelta(days=11 * number))
    while ledger.offset + PAGE_ROWS < len(found):
        ledger.do('click button "More"')
    ledger.do('click link "Settle"')
    reference = f"S-{random.Random(f'reference {number}').randrange(10_000, 99_999)}"
    values = {"Reference": reference, **right(found, vendor), "Due": due(ledger.day)}
    for name, value in values.items():
        ledger.do(f'fill textbox "{name}": {value}')
    ledger.do('click button "Send"')
    return Recording(
        id=f"settle-{number:02d}", workflow="settle", source_format="test",
        instruction=f"Settle what is open with {vendor} under {reference}.", steps=tuple(ledger.steps),
    )  # fmt: skip
