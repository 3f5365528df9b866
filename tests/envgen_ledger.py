"""A ledger to record in tests: other ways of working on rows than those of the clerk's office.

Rows that go away once they are done, a list over several pages, a field in every row, a limit that only a
document names, and something that is done after the rows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from ingest.action import Action, resolve
from ingest.document import Document
from ingest.recording import Effect, RecordedStep, Recording, Snapshot
from ingest.snapshot import Node, render

LIMIT_CENTS = 50_000
PAGE_ROWS = 4
KINDS = ("Travel", "Office", "Meals")
COUNTS = (2, 1, 3, 0, 2, 4, 1, 2, 3)


@dataclass
class Bill:
    number: str
    kind: str
    cents: int
    state: str = "New"

    @property
    def amount(self) -> str:
        return f"{self.cents / 100:,.2f}"


@dataclass(frozen=True)
class Ways:
    """How this ledger differs: done rows vanish, the list has pages, rows have a field, the day is closed."""

    vanish: bool = False
    paged: bool = False
    coded: bool = False
    closed: bool = False


@dataclass
class Ledger:
    ways: Ways
    bills: list[Bill]
    offset: int = 0
    page: str = "/bills"
    done: list[tuple[str, str]] = field(default_factory=list)
    drafts: dict[str, str] = field(default_factory=dict)
    steps: list[RecordedStep] = field(default_factory=list)

    def shown(self) -> list[Bill]:
        found = [b for b in self.bills if not (self.ways.vanish and b.state == "Paid")]
        return found[self.offset : self.offset + PAGE_ROWS] if self.ways.paged else found

    def node(self) -> Node:
        return Node("document", children=tuple(self._nodes()))

    def _nodes(self) -> list[Node]:
        if self.page == "/home":
            return [Node("heading", "Home"), Node("link", "Bills")]
        if self.page == "/closed":
            return [Node("heading", "Day closed")]
        heads = ("Bill", "Kind", "Amount", "State", *(["Code"] if self.ways.coded else []), "Action")
        header = Node("row", " ".join(heads), children=tuple(Node("columnheader", h) for h in heads))
        nodes = [Node("heading", "Bills"), Node("table", children=(header, *map(self._row, self.shown())))]
        if self.ways.paged:
            left = [b for b in self.bills if not (self.ways.vanish and b.state == "Paid")]
            nodes += [Node("button", "Previous")] if self.offset else []
            nodes += [Node("button", "Next")] if self.offset + PAGE_ROWS < len(left) else []
        return [*nodes, *([Node("button", "Close the day")] if self.ways.closed else [])]

    def _row(self, bill: Bill) -> Node:
        texts = (bill.number, bill.kind, bill.amount, bill.state)
        cells = [Node("cell", text) for text in texts]
        if self.ways.coded:
            typed = Node("textbox", "Code", self.drafts.get(bill.number) or None)
            cells.append(Node("cell", children=(typed,)))
        pay = (Node("button", "Pay"),) if bill.state == "New" else ()
        return Node("row", " ".join(texts), children=(*cells, Node("cell", children=pay)))

    def do(self, line: str) -> None:
        action = Action.parse(line)
        assert action.target is not None and resolve(self.node(), action.target), (line, render(self.node()))
        before, effects = self._snapshot(), self._act(action)
        self.steps.append(RecordedStep(before=before, action=action, after=self._snapshot(), effects=effects))

    def _act(self, action: Action) -> tuple[Effect, ...]:
        assert action.target is not None
        name = action.target.name
        number = (action.target.row or "").split(" ")[0]
        if action.verb == "fill":
            self.drafts[number] = action.value or ""
            return ()
        if name == "Pay":
            bill = next(b for b in self.bills if b.number == number)
            bill.state = "Paid"
            self.done.append((number, self.drafts.pop(number, "")))
            self.drafts = {}
            while self.offset and not self.shown():
                self.offset -= PAGE_ROWS
            return (Effect(method="POST", url=f"http://ledger.test/bills/{number}/pay", status=303),)
        if name == "Close the day":
            self.page = "/closed"
            return (Effect(method="POST", url="http://ledger.test/close", status=303),)
        if name == "Bills":
            self.page, self.offset = "/bills", 0
        else:
            self.offset += PAGE_ROWS if name == "Next" else -PAGE_ROWS
        return ()

    def _snapshot(self) -> Snapshot:
        return Snapshot(url=f"http://ledger.test{self.page}", text=render(self.node()))


def meant(kind: str, amount: int, state: str) -> bool:
    """The rule by hand: new bills for travel, up to the limit."""
    return kind == "Travel" and amount <= LIMIT_CENTS and state == "New"


def code(cents: int) -> str:
    """What is entered in a row: whether it is a large or a small one."""
    return "L" if cents > 40_000 else "S"


def bills(seed: int, count: int) -> list[Bill]:
    rng = random.Random(f"bills {seed}")
    found = []
    for place, number in enumerate(rng.sample(range(100, 999), 10)):
        while True:
            cents = rng.choice((rng.randrange(1_000, 150_000), rng.randrange(45_000, 55_000)))
            bill = Bill(f"B{number}", rng.choice(KINDS), cents, rng.choice(("New", "New", "Paid")))
            if meant(bill.kind, bill.cents, bill.state) == (place < count):
                found.append(bill)
                break
    rng.shuffle(found)
    return found


def record(ways: Ways, number: int) -> Recording:
    """One pass: from the top of the list to its end, over all its pages."""
    ledger = Ledger(ways, bills(number, COUNTS[number]), page="/home")
    ledger.do('click link "Bills"')
    while True:
        while due := [bill for bill in ledger.shown() if meant(bill.kind, bill.cents, bill.state)]:
            bill = due[0]
            row = " ".join((bill.number, bill.kind, bill.amount, bill.state))
            if ways.coded:
                ledger.do(f'fill textbox "Code" in row "{row}": {code(bill.cents)}')
            ledger.do(f'click button "Pay" in row "{row}"')
        if not any(node.name == "Next" for node in ledger.node().walk()):
            break
        ledger.do('click button "Next"')
    if ways.closed:
        ledger.do('click button "Close the day"')
    return Recording(
        id=f"pay-{number}", workflow="pay", source_format="test", steps=tuple(ledger.steps),
        instruction="Pay what may be paid today.",
    )  # fmt: skip


def handbook() -> Document:
    text = (
        "Travel bills of up to 500.00 may be paid at once. Whatever is above 400.00 has the code L, "
        "anything else the code S."
    )
    return Document(id="handbook", source="handbook.md", media_type="text/markdown", text=text)
