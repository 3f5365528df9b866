"""Forms on which one of several rows or candidates is chosen, which are others in every recording."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.action import Action, resolve
from ingest.recording import RecordedStep, Recording, Snapshot
from ingest.snapshot import Node, render

CARRIERS = ("Maersk", "Evergreen", "Hapag", "Cosco", "MSC", "ONE", "ZIM", "Yang Ming", "HMM", "Wan Hai")
COMPANIES = [
    f"{a} {b}" for a in ("Nord", "Sud", "Ost", "West", "Mitte", "Alt", "Neu") for b in ("AG", "KG", "Ltd")
]
ITEMS = [f"{letter}-{number}" for letter in "ABCK" for number in range(100, 140)]
NONE = "None of these"
REASONS = {"Return": ("Broken", "Too late", "Wrong size"), "Cancel": ("Found cheaper", "Not needed")}


@dataclass
class Desk:
    """A page with a form, and one after it is sent. ``drafts``: what is entered, by row and field."""

    nodes: Callable[[Desk], list[Node]]
    drafts: dict[str, str] = field(default_factory=dict)
    sent: bool = False
    steps: list[RecordedStep] = field(default_factory=list)

    def node(self) -> Node:
        shown = [heading("Sent"), Node("link", "Next")] if self.sent else self.nodes(self)
        return Node("document", children=tuple(shown))

    def do(self, line: str) -> None:
        action = Action.parse(line)
        assert action.target is not None and resolve(self.node(), action.target), line
        before = self._snapshot()
        if action.verb == "click":
            self.sent = True
        elif action.verb == "check" and action.target.role == "radio":
            group = next(g for g in self._groups() if any(name == action.target.name for _, name in g))
            self.drafts |= dict.fromkeys((f"{row}/{name}" for row, name in group), "")
        if action.verb != "click":
            self.drafts[f"{action.target.row or ''}/{action.target.name}"] = action.value or "on"
        self.steps.append(RecordedStep(before=before, action=action, after=self._snapshot()))

    def _groups(self) -> list[list[tuple[str, str]]]:
        """Rows and names of the radio buttons that exclude each other."""
        found: dict[int, list[tuple[str, str]]] = {}

        def walk(node: Node, group: int, row: str) -> None:
            if node.role == "radio":
                found.setdefault(group, []).append((row, node.name))
            for child in node.children:
                inner = id(child) if child.role == "group" else group
                walk(child, inner, child.name if child.role == "row" else row)

        page = self.node()
        walk(page, 0, "")
        return list(found.values())

    def _snapshot(self) -> Snapshot:
        return Snapshot(url="http://desk.test/form", text=render(self.node()))

    def field(self, role: str, name: str, row: str = "") -> Node:
        entered = self.drafts.get(f"{row}/{name}")
        if role == "textbox":
            return Node(role, name, entered)
        return Node(role, name, None, (("checked", "true"),) if entered else ())

    def recording(self, workflow: str, number: int, instruction: str) -> Recording:
        return Recording(id=f"{workflow}-{number:02d}", workflow=workflow, instruction=instruction,
                         source_format="test", steps=tuple(self.steps))  # fmt: skip


def heading(text: str) -> Node:
    return Node("heading", text, None, (("level", "2"),))


def cell(*children: Node) -> Node:
    return Node("cell", children=children)


def table(titles: tuple[str, ...], rows: dict[str, tuple[Node, ...]]) -> Node:
    head = Node(
        "row", " ".join(filter(None, titles)), children=tuple(Node("columnheader", t) for t in titles)
    )
    return Node(
        "table", children=(head, *(Node("row", name, children=cells) for name, cells in rows.items()))
    )


def _quotes(number: int, *, cheapest: bool) -> Recording:
    rng = random.Random(f"quotes {number}")
    offers = [
        (c, rng.randrange(300, 2000), rng.randrange(3, 40)) for c in rng.sample(CARRIERS, rng.randrange(3, 6))
    ]
    names = {carrier: f"{carrier} {price} USD {days}" for carrier, price, days in offers}
    reference = f"PO {rng.randrange(10000, 99999)}"

    def nodes(desk: Desk) -> list[Node]:
        rows = {
            names[carrier]: (
                cell(desk.field("radio", "Choose", names[carrier])),
                Node("cell", carrier), Node("cell", f"{price} USD"), Node("cell", str(days)),
            )
            for carrier, price, days in offers
        }  # fmt: skip
        titles = ("", "Carrier", "Price", "Days")
        return [
            heading("Quotes"), table(titles, rows), desk.field("textbox", "Reference"), Node("button", "Book")
        ]  # fmt: skip

    wanted = min(offers, key=lambda offer: offer[1])[0] if cheapest else rng.choice(offers)[0]
    desk = Desk(nodes)
    desk.do(f'check radio "Choose" in row "{names[wanted]}"')
    desk.do(f'fill textbox "Reference": {reference}')
    desk.do('click button "Book"')
    said = "the cheapest quote" if cheapest else wanted
    return desk.recording("quotes", number, f"Book {said}, reference {reference}.")


def named(number: int) -> Recording:
    """A table with a radio button in each row; the instruction names the row."""
    return _quotes(number, cheapest=False)


def cheapest(number: int) -> Recording:
    """The same table; the row with the lowest price is chosen."""
    return _quotes(number, cheapest=True)


def candidates(number: int) -> Recording:
    """A group of candidates and one that is none of them, beside a group that is always the same."""
    rng = random.Random(f"candidates {number}")
    names = rng.sample(COMPANIES, rng.randrange(2, 5))
    wanted = NONE if number % 5 == 0 else rng.choice(names)
    priority = rng.choice(("Low", "High"))

    def nodes(desk: Desk) -> list[Node]:
        vendors = tuple(desk.field("radio", name) for name in (*names, NONE))
        priorities = tuple(desk.field("radio", name) for name in ("Low", "High"))
        return [
            heading("Match vendor"), Node("group", "Vendor", children=vendors),
            Node("group", "Priority", children=priorities), Node("button", "Match"),
        ]  # fmt: skip

    desk = Desk(nodes)
    desk.do(f'check radio "{wanted}"')
    desk.do(f'check radio "{priority}"')
    desk.do('click button "Match"')
    said = "No vendor matches" if wanted == NONE else f"Match the vendor {wanted}"
    return desk.recording("candidates", number, f"{said}, priority {priority}.")


def quantity(number: int) -> Recording:
    """A table with a field in each row, of which one is filled in."""
    rng = random.Random(f"quantity {number}")
    items = {item: rng.choice(("Bolt", "Nut", "Pin")) for item in rng.sample(ITEMS, rng.randrange(3, 6))}

    def nodes(desk: Desk) -> list[Node]:
        rows = {
            f"{item} {name}": (
                Node("cell", item), Node("cell", name),
                cell(desk.field("textbox", "Quantity", f"{item} {name}")),
            )
            for item, name in items.items()
        }  # fmt: skip
        return [heading("Order"), table(("Item", "Name", "Quantity"), rows), Node("button", "Save")]

    wanted, amount = rng.choice(list(items)), rng.randrange(2, 99)
    desk = Desk(nodes)
    desk.do(f'fill textbox "Quantity" in row "{wanted} {items[wanted]}": {amount}')
    desk.do('click button "Save"')
    return desk.recording("quantity", number, f"Order {amount} of {wanted}.")


def reasons(number: int) -> Recording:
    """Two sets of radio buttons, of which a page has one or the other as a whole."""
    rng = random.Random(f"reasons {number}")
    what = rng.choice(list(REASONS))
    wanted = rng.choice(REASONS[what])

    def nodes(desk: Desk) -> list[Node]:
        choices = (desk.field("radio", name) for name in REASONS[what])
        return [heading("Order"), *choices, Node("button", "Send")]

    desk = Desk(nodes)
    desk.do(f'check radio "{wanted}"')
    desk.do('click button "Send"')
    return desk.recording("reasons", number, f"{what} the order: {wanted.lower()}.")


ALL = (named, cheapest, candidates, quantity)
