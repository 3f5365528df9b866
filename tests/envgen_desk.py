"""A tiny claims desk to compile in tests: pages, an application, an expert with habits, documents.

It shares nothing with the sample company but the kind of work: a list with search and
paging, a record, a form with rules, a refusal to recover from.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from ingest.action import Action, resolve
from ingest.document import Document, Table
from ingest.recording import Effect, RecordedStep, Recording, Snapshot
from ingest.snapshot import Node, render

PLANS = {
    "Basic": "Team North",
    "Silver": "Team East",
    "Gold": "Team South",
    "Flex": "Team West",
    "Senior": "Team East",
}
TEAMS = ("Team East", "Team North", "Team South", "Team West", "Team Spare")
PAGE_ROWS = 3
MEMBERS = ("Ines Ravn", "Otto Lind", "Mara Vey", "Paul Orr", "Nadia Fenn", "Kai Holt", "Lia Strand")


@dataclass
class Claim:
    number: str
    member: str
    plan: str
    cents: int
    days: int
    state: str = "Open"
    full: bool = False

    @property
    def cost(self) -> str:
        return f"€ {self.cents / 100:,.2f}"


def decision(claim: Claim) -> str:
    if claim.cents <= 80_000:
        return "Approve"
    if claim.cents <= 400_000 or claim.plan == "Gold":
        return "Refer"
    return "Reject"


@dataclass
class Desk:
    """The application. ``page`` is an address, ``draft`` what is entered on it."""

    claims: dict[str, Claim]
    page: str = "/claims"
    query: str = ""
    offset: int = 0
    draft: dict[str, str] = field(default_factory=dict)
    alert: str = ""
    decided: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def seeded(cls, seed: int, wanted: Claim | None = None, count: int = 11) -> Desk:
        rng = random.Random(seed)
        claims = [
            Claim(
                f"C-{rng.randrange(1000, 9999)}",
                rng.choice(MEMBERS),
                rng.choice(list(PLANS)[:4]),
                rng.randrange(5_000, 900_000),
                rng.randrange(1, 60),
            )
            for _ in range(count)
        ]
        if wanted is not None:
            claims.insert(rng.randrange(count), wanted)
        return cls({claim.number: claim for claim in claims})

    # What the pages show

    def found(self) -> list[Claim]:
        q = self.query.lower()
        return [c for c in self.claims.values() if q in c.number.lower() or q in c.member.lower()]

    def node(self) -> Node:
        nav = Node("navigation", children=(Node("link", "Claims"), Node("link", "Help")))
        return Node("document", children=(nav, Node("main", children=tuple(self._main()))))

    def _main(self) -> list[Node]:
        if self.page == "/claims":
            return self._list()
        if self.page == "/help":
            return [
                Node("heading", "Help", states=(("level", "1"),)),
                Node("text", value="Ask the team lead."),
            ]
        number = self.page.split("/")[2]
        claim = self.claims[number]
        if self.page.endswith("/decide"):
            return self._form(claim)
        if self.page.endswith("/saved"):
            return [
                Node("heading", "Decision saved", states=(("level", "1"),)),
                Node("status", children=(Node("text", value=f"{number}: {claim.state}"),)),
            ]
        rows = [
            ("Member", claim.member),
            ("Plan", claim.plan),
            ("Cost", claim.cost),
            ("Days", str(claim.days)),
            ("State", claim.state),
        ]
        table = Node("table", children=tuple(
            Node("row", children=(Node("rowheader", a), Node("cell", b))) for a, b in rows
        ))  # fmt: skip
        out = [Node("heading", f"Claim {number}", states=(("level", "1"),)), table]
        if claim.state == "Open":
            out.append(Node("button", "Decide"))
        return out

    def _list(self) -> list[Node]:
        shown = self.found()
        rows = [
            Node("row", children=(
                Node("cell", c.number, children=(Node("link", c.number),)),
                Node("cell", c.member), Node("cell", c.cost), Node("cell", c.state),
            ))
            for c in shown[self.offset : self.offset + PAGE_ROWS]
        ]  # fmt: skip
        header = Node(
            "row", children=tuple(Node("columnheader", n) for n in ("Claim", "Member", "Cost", "State"))
        )
        out = [
            Node("heading", "Claims", states=(("level", "1"),)),
            Node("searchbox", "Find", value=self.draft.get("Find", self.query) or None),
            Node("button", "Find"),
            Node("table", children=(header, *rows)),
        ]
        if self.offset:
            out.append(Node("button", "Back"))
        if self.offset + PAGE_ROWS < len(shown):
            out.append(Node("button", "More"))
        return out

    def _form(self, claim: Claim) -> list[Node]:
        def select(name: str, options: tuple[str, ...]) -> Node:
            chosen = self.draft.get(name, "")
            return Node("combobox", name, value=chosen or None, children=tuple(
                Node("option", o, states=(("selected", ""),) if o == chosen else ()) for o in options
            ))  # fmt: skip

        out = [Node("heading", f"Decide {claim.number}", states=(("level", "1"),))]
        if self.alert:
            out.append(Node("alert", children=(Node("text", value=self.alert),)))
        out += [
            select("Decision", ("Approve", "Refer", "Reject")),
            select("Team", TEAMS),
            Node("textbox", "Payout", value=self.draft.get("Payout") or None),
            Node(
                "checkbox",
                "Notify member",
                states=(("checked", ""),) if self.draft.get("Notify member") else (),
            ),
            Node("button", "Save"),
        ]
        return out

    # What actions do

    def act(self, action: Action) -> tuple[Effect, ...]:
        assert action.target is not None and resolve(self.node(), action.target), action.text()
        role, name = action.target.role, action.target.name
        if action.verb in ("fill", "select"):
            self.draft[name] = action.value or ""
            return ()
        if action.verb in ("check", "uncheck"):
            self.draft[name] = "on" if action.verb == "check" else ""
            return ()
        if role == "button" and name == "Save":
            return self._save()
        if role == "button" and name == "Find":
            self.query, self.offset = self.draft.get("Find", self.query), 0
            self.draft = {}
        elif role == "button" and name in ("More", "Back"):
            self.offset += PAGE_ROWS if name == "More" else -PAGE_ROWS
        elif role == "button" and name == "Decide":
            self._go(self.page + "/decide")
        elif name in ("Claims", "Help"):
            self._go(f"/{name.lower()}")
            self.query, self.offset = "", 0
        else:
            self._go(f"/claims/{name}")
        return ()

    def _go(self, page: str) -> None:
        self.page, self.draft, self.alert = page, {}, ""

    def _save(self) -> tuple[Effect, ...]:
        number = self.page.split("/")[2]
        claim = self.claims[number]
        body = {"decision": self.draft.get("Decision", ""), "team": self.draft.get("Team", ""),
                "payout": self.draft.get("Payout", ""), "notify": self.draft.get("Notify member", ""),
                "token": f"{random.random()}"}  # fmt: skip
        path = f"http://desk.test{self.page}"
        if not body["team"]:
            self.alert = "Choose a team."
        elif claim.full and body["team"] != "Team Spare":
            self.alert = f"{body['team']} is full. Use Team Spare."
        else:
            claim.state = {"Approve": "Approved", "Refer": "Referred", "Reject": "Rejected"}[body["decision"]]
            self.decided.append({"number": number, **body})
            self._go(f"/claims/{number}/saved")
            return (Effect(method="POST", url=path, status=303, body=body, location=self.page),)
        return (Effect(method="POST", url=path, status=422, body=body),)


@dataclass
class Recorder:
    desk: Desk
    steps: list[RecordedStep] = field(default_factory=list)

    def snap(self) -> Snapshot:
        return Snapshot(url=f"http://desk.test{self.desk.page}", text=render(self.desk.node()))

    def do(self, line: str) -> None:
        action = Action.parse(line)
        before = self.snap()
        effects = self.desk.act(action)
        self.steps.append(RecordedStep(before=before, action=action, after=self.snap(), effects=effects))


# Plan, cents, team is full, habits.
CASES: tuple[tuple[str, int, bool, tuple[str, ...]], ...] = (
    ("Basic", 62_000, False, ()),
    ("Silver", 80_000, False, ("paging",)),
    ("Gold", 81_000, True, ()),
    ("Flex", 120_050, False, ("help",)),
    ("Basic", 400_000, False, ("team first",)),
    ("Flex", 402_000, True, ()),
    ("Gold", 640_000, False, ("wrong team",)),
    ("Flex", 73_015, False, ("other",)),
    ("Basic", 518_070, False, ("paging",)),
    ("Gold", 405_000, False, ()),
    ("Silver", 310_025, True, ("forget team",)),
    ("Flex", 79_900, False, ()),
)
PHRASES = ("Decide claim {}.", "Please decide claim {} today.", "Claim {} is waiting for a decision.")


def record(index: int) -> tuple[Recording, Desk]:
    """The recording of one case, and the application as it was left."""
    plan, cents, full, habits = CASES[index]
    rng = random.Random(f"case {index}")
    number = f"C-{7000 + 137 * index}"
    desk = Desk.seeded(index, Claim(number, MEMBERS[index % len(MEMBERS)], plan, cents, 5 + index, full=full))
    claim = desk.claims[number]
    rec = Recorder(desk)
    if "help" in habits:
        rec.do('click link "Help"')
        rec.do('click link "Claims"')
    if "other" in habits:
        rec.do(f'click link "{desk.found()[0].number}"')
        rec.do('click link "Claims"')
    if "paging" in habits:
        while claim not in desk.found()[desk.offset : desk.offset + PAGE_ROWS]:
            rec.do('click button "More"')
    else:
        rec.do(f'fill searchbox "Find": {number}')
        rec.do('click button "Find"')
    rec.do(f'click link "{number}"')
    rec.do('click button "Decide"')
    team = PLANS[plan]
    chosen = decision(claim)
    if "team first" in habits:
        rec.do(f'select combobox "Team": {team}')
    if "wrong team" in habits:
        rec.do(f'select combobox "Team": {rng.choice([t for t in TEAMS if t != team])}')
    rec.do(f'select combobox "Decision": {chosen}')
    if not {"team first", "forget team"} & set(habits):
        rec.do(f'select combobox "Team": {team}')
    if chosen == "Approve":
        rec.do(f'fill textbox "Payout": {cents / 100:.2f}')
    rec.do('check checkbox "Notify member"')
    rec.do('click button "Save"')
    if desk.alert.startswith("Choose"):
        rec.do(f'select combobox "Team": {team}')
        rec.do('click button "Save"')
    if desk.alert:
        rec.do('select combobox "Team": Team Spare')
        rec.do('click button "Save"')
    phrase = PHRASES[index % len(PHRASES)].format(number)
    return (
        Recording(id=f"r{index:02d}", workflow="decide-claim", instruction=phrase, source_format="test",
                  steps=tuple(rec.steps)),
        desk,
    )  # fmt: skip


def recordings(count: int = len(CASES)) -> list[Recording]:
    return [record(index)[0] for index in range(count)]


def documents() -> list[Document]:
    rules = (
        "Claims handbook.\n\nClaims of at most 500.00 are approved, claims up to and including 3,000.00 are "
        "referred, all others are rejected. Claims of the plan Gold are never rejected but referred.\n"
    )
    memo = (
        "The limits of the handbook change: claims of at most 800.00 are approved, up to and "
        "including 4,000.00 referred."
    )
    teams = Table(name="Teams", header=("Plan", "Team", "Since"), rows=tuple(
        (plan, team, str(2015 + i)) for i, (plan, team) in enumerate(PLANS.items())
    ))  # fmt: skip
    return [
        Document(id="d1", source="handbook.docx", media_type="text/markdown", dated="2024-01-05", text=rules),
        Document(id="d2", source="memo.eml", media_type="text/markdown", dated="2025-03-01", text=memo),
        Document(id="d3", source="teams.xlsx", media_type="text/markdown", text="", tables=(teams,)),
    ]
