"""A small accounts-payable portal in memory, for tests of the agent and of training.

Pages, rules and traps follow the sample company's first workflow: search, open,
code by category, approve by amount and contract, PO above a limit, a hidden
budget error to recover from. It is written out by hand and shares no code with
the compiler of environments.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field

from envgen.observe import Observer
from envgen.replies import field_of, refusal
from envgen.session import Score, Task, View
from ingest.action import Action, Target
from ingest.snapshot import Node

CATEGORIES = {
    "Office supplies": ("CC-110", "6010"),
    "Cleaning": ("CC-140", "6120"),
    "Freight": ("CC-210", "6230"),
    "Software": ("CC-260", "6310"),
    "Marketing": ("CC-310", "6420"),
    "Travel": ("CC-350", "6510"),
    "Legal advice": ("CC-420", "6610"),
    "Machine parts": ("CC-480", "6710"),
    "Packaging": ("CC-210", "6240"),
    "Hosting": ("CC-260", "6320"),
    "Training": ("CC-350", "6520"),
    "Insurance": ("CC-420", "6620"),
}
ACCOUNTS = {
    "CC-110": ("6010", "6015", "6018"),
    "CC-140": ("6120", "6125", "6130"),
    "CC-210": ("6230", "6240", "6245"),
    "CC-260": ("6310", "6320", "6330"),
    "CC-310": ("6420", "6425", "6430"),
    "CC-350": ("6510", "6520", "6530"),
    "CC-420": ("6610", "6620", "6630"),
    "CC-480": ("6710", "6715", "6720"),
    "CC-900": ("6990",),
}
APPROVERS = ("Team lead", "Head of finance", "CFO")
VENDORS = ("Harbor Paper", "Nordlicht Media", "Alpen Logistik", "Brightline", "Kestrel Tools", "Oak & Finch")
CLERKS = ("M. Lindqvist", "Anna Berg", "Jonas Weber", "Priya Nair")


@dataclass
class Invoice:
    number: str
    vendor: str
    category: str
    amount: float
    po: str
    contract: bool
    over_budget: bool
    reference: str

    @property
    def expected(self) -> dict[str, str]:
        centre, account = ("CC-900", "6990") if self.over_budget else CATEGORIES[self.category]
        level = 0 if self.amount <= 2500 else 1 if self.amount <= 10000 else 2
        level = max(0, level - self.contract)
        po = self.po if self.amount > 5000 else ""
        return {"Cost centre": centre, "Account": account, "Approver": APPROVERS[level], "PO number": po}


@dataclass
class Form:
    values: dict[str, str] = field(default_factory=dict)
    error: str = ""


def _money(chance: random.Random) -> float:
    kind = chance.choice((0, 0, 1, 2, 3))
    if kind == 0:
        return round(chance.uniform(200, 20000), 2)
    limit = chance.choice((2500, 5000, 10000))
    return float(limit) if kind == 1 else round(limit + chance.uniform(-600, 600), 2)


def _number(chance: random.Random) -> str:
    return f"INV-{chance.randint(20000, 29999)}"


def text(value: str) -> Node:
    return Node("text", value=value)


def row(*cells: Node) -> Node:
    return Node("row", children=tuple(Node("cell", children=(cell,)) for cell in cells))


def combobox(name: str, options: tuple[str, ...], value: str) -> Node:
    states = tuple(Node("option", o, states=(("selected", ""),) if o == value else ()) for o in options)
    return Node("combobox", name, value=value or None, children=states)


def pair(name: str, value: str) -> tuple[Node, Node]:
    return Node("term", name), Node("definition", children=(text(value),))


class Portal:
    """One episode at a time; knows the right next action (a Teacher)."""

    categories: tuple[str, ...] = tuple(CATEGORIES)

    def reset(self, task: Task) -> View:
        chance = random.Random(task.seed)
        self.chance_rows = random.Random(task.seed + 1)
        number = task.parameters["p1"]
        self.invoice = Invoice(
            number=number,
            vendor=chance.choice(VENDORS),
            category=chance.choice(self.categories),
            amount=_money(chance),
            po=f"PO-{chance.randint(70000, 79999)}",
            contract=chance.random() < 0.5,
            over_budget=chance.random() < 0.25,
            reference=f"{chance.randint(1000, 9999)}-{chance.randint(10, 99)}",
        )
        self.clerk = chance.choice(CLERKS)
        self.listed = [(_number(chance), chance.choice(VENDORS), f"{_money(chance):,.2f}") for _ in range(4)]
        self.query = ""
        self.place = "inbox"
        self.form = Form()
        self.refused = False
        self.records: list[dict[str, str]] = []
        self.wrong = False
        self.observer = Observer()
        page = self.page()
        return View(page, self.observer.first(page), potential=self.potential())

    def clone(self) -> Portal:
        twin = copy.copy(self)
        twin.observer = self.observer.clone()
        twin.form = Form(dict(self.form.values), self.form.error)
        twin.records = [dict(record) for record in self.records]
        return twin

    def close(self) -> None:
        pass

    # Pages

    def page(self) -> Node:
        frame = (Node("link", "Inbox"), Node("link", "Vendors"), text(self.clerk))
        head = (Node("navigation", children=frame),)
        return Node("document", children=(*head, *getattr(self, f"_{self.place}")()))

    def _rows(self) -> list[tuple[str, str, str]]:
        mine = (self.invoice.number, self.invoice.vendor, f"{self.invoice.amount:,.2f}")
        everything = [*self.listed[:3], mine]
        if self.query:
            return [entry for entry in everything if self.query in entry[0]]
        return self.listed

    def _inbox(self) -> tuple[Node, ...]:
        header = row(*(text(name) for name in ("Invoice", "Vendor", "Amount", "Status")))
        rows = [row(Node("link", n), text(v), text(a), text("New")) for n, v, a in self._rows()]
        search = Node("searchbox", "Search", value=self.query or None)
        table = Node("table", children=(header, *rows))
        return Node("heading", "Inbox"), search, Node("button", "Search"), table

    def _detail(self) -> tuple[Node, ...]:
        i = self.invoice
        facts = (
            *pair("Vendor", i.vendor), *pair("Reference", i.reference), *pair("Category", i.category),
            *pair("Amount", f"{i.amount:,.2f}"), *pair("PO", i.po),
            *pair("Contract", "Yes" if i.contract else "No"), *pair("Status", "New"),
        )  # fmt: skip
        return Node("heading", f"Invoice {i.number}"), *facts, Node("link", "Code")

    def _code(self) -> tuple[Node, ...]:
        values = self.form.values
        centre = values.get("Cost centre", "")
        parts = [Node("heading", f"Code {self.invoice.number}")]
        if self.form.error:
            parts.append(Node("alert", children=(text(self.form.error),)))
        parts.append(combobox("Cost centre", tuple(ACCOUNTS), centre))
        if centre:
            parts.append(combobox("Account", ACCOUNTS[centre], values.get("Account", "")))
        parts.append(combobox("Approver", APPROVERS, values.get("Approver", "")))
        parts.append(Node("textbox", "PO number", value=values.get("PO number") or None))
        parts.append(Node("button", "Submit"))
        return tuple(parts)

    def _confirmation(self) -> tuple[Node, ...]:
        said = f"Routed to {self.records[-1]['Approver']}"
        return Node("heading", f"Invoice {self.invoice.number}"), Node("status", children=(text(said),))

    def _other(self) -> tuple[Node, ...]:
        return Node("heading", "Vendors"), *(Node("link", vendor) for vendor in VENDORS[:4])

    # Acting

    def step(self, action: Action) -> View:
        before = self.page()
        message = refusal(before, action)
        if not message:
            self._act(action)
        page = self.page()
        told = self.observer.next(page, acted_on=field_of(action), message=message)
        return View(
            page, told, fresh=self.observer.fresh, finished=action.verb == "done", potential=self.potential()
        )

    def _act(self, action: Action) -> None:
        name = action.target.name if action.target else ""
        if action.verb == "fill" and name == "Search":
            self.typed = action.value or ""
            self.query_typed = self.typed
        elif action.verb in ("fill", "select"):
            self.form.values[name] = action.value or ""
            if name == "Cost centre":
                self.form.values.pop("Account", None)
        elif action.verb == "click":
            self._click(name)

    def _click(self, name: str) -> None:
        if name == "Search":
            self.query = getattr(self, "query_typed", "")
        elif name == "Inbox":
            self.place, self.query = "inbox", ""
        elif name == "Vendors" or name in VENDORS:
            self.place = "other"
        elif name == "Code":
            self.place, self.form = "code", Form()
            self.form.values = {}
        elif name == "Submit":
            self._submit()
        elif name == self.invoice.number:
            self.place = "detail"
        else:
            self.place, self.wrong = "other", True

    def _submit(self) -> None:
        values = self.form.values
        centre = values.get("Cost centre", "")
        if not all(values.get(name) for name in ("Cost centre", "Account", "Approver")):
            self.form.error = "Cost centre, account and approver are required."
        elif self.invoice.amount > 5000 and not values.get("PO number"):
            self.form.error = "PO number is required above 5,000."
        elif self.invoice.over_budget and centre == CATEGORIES[self.invoice.category][0]:
            self.form.error = f"Budget of {centre} is used up. Use CC-900."
            self.refused = True
        else:
            self.records.append({name: values.get(name, "") for name in self.invoice.expected})
            self.place = "confirmation"

    # Judging

    def score(self) -> Score:
        right = self.records == [self.invoice.expected] and (self.refused or not self.invoice.over_budget)
        return Score(value=1.0 if right else 0.0, reasons=() if right else (str(self.records),))

    def potential(self) -> float:
        if self.records:
            right = sum(self.records[0][name] == value for name, value in self.invoice.expected.items())
            return (3 + right + (right == 4)) / 8
        if self.place == "code":
            wanted = dict(self.invoice.expected)
            if self.invoice.over_budget and not self.refused:
                wanted["Cost centre"], wanted["Account"] = CATEGORIES[self.invoice.category]
            values = self.form.values
            right = sum(values.get(name, "") == value for name, value in wanted.items() if value)
            return (2 + right) / 8
        return {"inbox": 0.0, "detail": 1.0}.get(self.place, 0.0) / 8

    def next_action(self) -> Action | None:
        def on(verb: str, role: str, name: str, value: str | None = None) -> Action:
            return Action.model_validate(
                {"verb": verb, "target": Target(role=role, name=name), "value": value}
            )

        if self.place == "inbox":
            number = self.invoice.number
            if self.query == number:
                return on("click", "link", number)
            if getattr(self, "query_typed", "") == number:
                return on("click", "button", "Search")
            return on("fill", "searchbox", "Search", number)
        if self.place == "detail":
            return on("click", "link", "Code")
        if self.place == "confirmation":
            return Action(verb="done")
        wanted = dict(self.invoice.expected)
        if self.invoice.over_budget and not self.refused:
            wanted["Cost centre"], wanted["Account"] = CATEGORIES[self.invoice.category]
        for name, value in wanted.items():
            if value and self.form.values.get(name) != value:
                verb, role = ("fill", "textbox") if name == "PO number" else ("select", "combobox")
                return on(verb, role, name, value)
        return on("click", "button", "Submit")


def make_tasks(count: int, split: str = "train", seed: int = 0) -> list[Task]:
    base = {"train": 1_000_000, "dev": 2_000_000, "test": 3_000_000}[split] + seed * 10_000
    tasks = []
    for index in range(count):
        chance = random.Random(base + index)
        number = _number(chance)
        said = chance.choice(
            (
                "Code and route invoice {}.",
                "Please code {} and route it.",
                "Invoice {} needs coding and routing.",
            )
        )
        tasks.append(
            Task.model_validate(
                {
                    "id": f"toy/{split}/{index}",
                    "workflow": "toy",
                    "split": split,
                    "seed": base + index,
                    "instruction": said.format(number),
                    "parameters": {"p1": number},
                }
            )
        )
    return tasks
