"""Small forms and look-ups to compile in tests, each a page with data of its own in every recording."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.action import Action, resolve
from ingest.recording import RecordedStep, Recording, Snapshot
from ingest.snapshot import Node, render

NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jola", "Kim", "Lev", "Mona")
STREETS = ("Elm", "Oak", "Pine", "Ash", "Lime", "Hazel")
FACTS = {
    "Colour": ("red", "blue", "green", "black"),
    "Country": ("Peru", "Chile", "Norway", "Ghana"),
    "Language": ("French", "Dutch", "Thai", "Greek"),
    "Size": ("small", "middle", "large", "huge"),
    "Year": ("1971", "1984", "1999", "2003"),
}


@dataclass
class Form:
    """One page. ``nodes`` are all but its fields' values, ``draft`` what is entered; ``at`` a position."""

    nodes: Callable[[Form], list[Node]]
    draft: dict[str, str] = field(default_factory=dict)
    at: int = 0
    steps: list[RecordedStep] = field(default_factory=list)

    def node(self) -> Node:
        return Node("document", children=tuple(self._entered(node) for node in self.nodes(self)))

    def _entered(self, node: Node) -> Node:
        if node.role == "textbox" and node.name in self.draft:
            return Node(node.role, node.name, self.draft[node.name] or None, node.states)
        return node.with_children(tuple(self._entered(child) for child in node.children))

    def do(self, line: str) -> None:
        action = Action.parse(line)
        assert action.target is not None and resolve(self.node(), action.target), line
        before = self._snapshot()
        if action.verb == "fill":
            self.draft[action.target.name] = action.value or ""
        elif action.target.name in "<>":
            self.at += 1 if action.target.name == ">" else -1
        self.steps.append(RecordedStep(before=before, action=action, after=self._snapshot()))

    def _snapshot(self) -> Snapshot:
        return Snapshot(url="http://forms.test/form", text=render(self.node()))

    def recording(self, workflow: str, number: int, instruction: str) -> Recording:
        return Recording(id=f"{workflow}-{number:02d}", workflow=workflow, instruction=instruction,
                         source_format="test", steps=tuple(self.steps))  # fmt: skip


def text(value: str) -> Node:
    return Node("text", value=value)


def appointment(number: int) -> Recording:
    """A time given as people say it, entered as the field wants it; the page repeats what is to be done."""
    rng = random.Random(f"appointment {number}")
    hour, minute = rng.randrange(24), rng.randrange(60)
    said = f"{hour % 12 or 12}:{minute:02d} {'PM' if hour >= 12 else 'AM'}"
    instruction = f"Book the room for {said}."
    form = Form(lambda _: [text(instruction), Node("textbox", "Time"), Node("button", "Book")])
    form.do(f'fill textbox "Time": {hour:02d}:{minute:02d}')
    form.do('click button "Book"')
    return form.recording("appointment", number, instruction)


def labels(number: int) -> Recording:
    """A table of facts, and two fields that are each named as one of them."""
    rng = random.Random(f"labels {number}")
    facts = {name: rng.choice(FACTS[name]) for name in rng.sample(sorted(FACTS), 4)}
    asked = rng.sample(sorted(facts), 2)
    rows = tuple(Node("row", children=(Node("cell", a), Node("cell", b))) for a, b in facts.items())
    form = Form(
        lambda _: [Node("table", children=rows), *(Node("textbox", a) for a in asked), Node("button", "Send")]
    )
    for name in asked:
        form.do(f'fill textbox "{name}": {facts[name]}')
    form.do('click button "Send"')
    return form.recording("labels", number, "Enter what each field asks for.")


def shuffled(number: int) -> Recording:
    """Three fields in another order every time, each with its name beside it."""
    rng = random.Random(f"shuffled {number}")
    values = {
        "Street": rng.choice(STREETS),
        "Name": rng.choice(NAMES),
        "Year": str(rng.randrange(1950, 2020)),
    }
    order = rng.sample(sorted(values), 3)
    form = Form(lambda _: [n for name in order for n in (text(f"{name}:"), Node("textbox", name))]
                + [Node("button", "Search")])  # fmt: skip
    for name in order:
        form.do(f'fill textbox "{name}": {values[name]}')
    form.do('click button "Search"')
    instruction = f"Search for {values['Name']} in {values['Street']} street, born in {values['Year']}."
    return form.recording("shuffled", number, instruction)


def note(number: int) -> Recording:
    """A field that stands filled in: its last word is the answer."""
    rng = random.Random(f"note {number}")
    draft = {"Note": " ".join(rng.sample(NAMES, 5)) + "."}
    form = Form(
        lambda _: [Node("textbox", "Note"), Node("textbox", "Signed by"), Node("button", "Send")], draft
    )
    form.do(f'fill textbox "Signed by": {draft["Note"].split()[-1].strip(".")}')
    form.do('click button "Send"')
    return form.recording("note", number, "Say who signed the note.")


def contacts(number: int) -> Recording:
    """Cards shown one at a time: turn to the right one, and click on what is asked for."""
    rng = random.Random(f"contacts {number}")
    people = [f"{first} {rng.choice(STREETS)}" for first in rng.sample(NAMES, 4)]
    phones = {name: f"{rng.randrange(100, 999)}-{rng.randrange(1000, 9999)}" for name in people}
    streets = {name: f"{rng.randrange(1, 99)} {rng.choice(STREETS)} Road" for name in people}

    def nodes(form: Form) -> list[Node]:
        name = people[form.at]
        turns = ["<"] * (form.at > 0) + [">"] * (form.at < len(people) - 1)
        return [
            Node("heading", name),
            text("Phone:"), Node("clickable", phones[name]),
            text("Address:"), Node("clickable", streets[name]),
            *(Node("link", turn) for turn in turns),
        ]  # fmt: skip

    form = Form(nodes)
    wanted, what = rng.randrange(len(people)), ("phone number", "address")[number % 2]
    for _ in range(wanted):
        form.do('click link ">"')
    name = people[wanted]
    form.do(f'click clickable "{phones[name] if what == "phone number" else streets[name]}"')
    return form.recording("contacts", number, f"Find {name} and click on their {what}.")


ALL: tuple[Callable[[int], Recording], ...] = (appointment, labels, shuffled, note, contacts)
