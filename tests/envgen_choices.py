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
PEOPLE = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jola")
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


def _order(number: int, workflow: str, *, standing: bool, raised: bool = False) -> Recording:
    rng = random.Random(f"{workflow} {number}")
    items = {item: rng.choice(("Bolt", "Nut", "Pin")) for item in rng.sample(ITEMS, rng.randrange(3, 6))}
    stood = {f"{item} {name}": rng.randrange(1, 60) for item, name in items.items()}

    def nodes(desk: Desk) -> list[Node]:
        rows = {
            f"{item} {name}": (
                Node("cell", item), Node("cell", name),
                cell(desk.field("textbox", "Quantity", f"{item} {name}")),
            )
            for item, name in items.items()
        }  # fmt: skip
        return [heading("Order"), table(("Item", "Name", "Quantity"), rows), Node("button", "Save")]

    wanted = rng.choice(list(items))
    row = f"{wanted} {items[wanted]}"
    amount = rng.choice([amount for amount in range(2, 99) if amount != stood[row]])
    desk = Desk(nodes, {f"{name}/Quantity": str(text) for name, text in stood.items()} if standing else {})
    desk.do(f'fill textbox "Quantity" in row "{row}": {amount + stood[row] if raised else amount}')
    desk.do('click button "Save"')
    said = f"Raise {wanted} by {amount}." if raised else f"Order {amount} of {wanted}."
    return desk.recording(workflow, number, said)


def quantity(number: int) -> Recording:
    """A table with a field in each row, of which one is filled in."""
    return _order(number, "quantity", standing=False)


def amended(number: int) -> Recording:
    """The same with a quantity in every row, of which one is replaced."""
    return _order(number, "amended", standing=True)


def raised(number: int) -> Recording:
    """The same; what is entered is what stood there and something more."""
    return _order(number, "raised", standing=True, raised=True)


def rights(number: int) -> Recording:
    """A table with boxes, some of which are ticked; one more is."""
    rng = random.Random(f"rights {number}")
    users = rng.sample(PEOPLE, rng.randrange(3, 6))
    wanted = rng.choice(users)
    ticked = {f"{user}/{right}": "on" for user in users for right in ("Read", "Write") if rng.random() < 0.4}
    ticked.pop(f"{wanted}/Read", None)

    def nodes(desk: Desk) -> list[Node]:
        rows = {
            user: (Node("cell", user), *(cell(desk.field("checkbox", r, user)) for r in ("Read", "Write")))
            for user in users
        }
        return [heading("Rights"), table(("User", "Read", "Write"), rows), Node("button", "Save")]

    desk = Desk(nodes, ticked)
    desk.do(f'check checkbox "Read" in row "{wanted}"')
    desk.do('click button "Save"')
    return desk.recording("rights", number, f"Let {wanted} read.")


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


ALL = (named, cheapest, candidates, quantity, amended, raised, rights)
