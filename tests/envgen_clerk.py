"""A clerk's office to record in tests: three applications in which work is done for some rows of a list.

Real pages of a real server, recorded by the product's recorder; ``PYTHONPATH=. python tests/envgen_clerk.py``
records them anew into ``tests/data``. In ``approve`` a button stands in each row,
in ``remind`` rows are ticked and sent together, in ``settle`` each record is opened and decided about.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import kept_recordings
from local_server import Handler, listening

from ingest.browser import launch
from ingest.recording import Recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEPT = Path(__file__).parent / "data" / "clerk.json.gz"
KINDS = ("approve", "remind", "settle")
NAMES = ("Alder", "Birch", "Cedar", "Dogwood")
# How many rows the work is about, in each recording.
COUNTS = (2, 0, 3, 1, 2, 4, 1, 2, 3)
ROWS = 7
INSPECTED_ABOVE = 1000
_PAUSE_MS = 60


@dataclass
class Entry:
    """One row: an invoice, an item or a claim."""

    number: str
    name: str
    cents: int
    due: date
    state: str

    @property
    def amount(self) -> str:
        return f"{self.cents / 100:,.2f}"


@dataclass
class Office:
    """One application with its data; ``done`` is what was changed: number, and what it was decided."""

    kind: str
    seed: int
    count: int
    done: list[tuple[str, str]] = field(default_factory=list)
    said: str = ""

    def __post_init__(self) -> None:
        rng = random.Random(f"{self.kind} {self.seed}")
        self.limit = rng.randrange(200, 1500, 50)
        self.name = NAMES[self.seed % len(NAMES)]
        self.today = date(2026, 2, 3) + timedelta(days=9 * self.seed)
        numbers = rng.sample(range(1000, 9999), ROWS)
        meant = [True] * self.count + [False] * (ROWS - self.count)
        rng.shuffle(meant)
        self.entries = [self._entry(rng, f"{self.kind[0].upper()}-{n}", is_meant) for n, is_meant in
                        zip(numbers, meant, strict=True)]  # fmt: skip

    def _entry(self, rng: random.Random, number: str, is_meant: bool) -> Entry:
        while True:
            found = Entry(
                number, rng.choice(NAMES), rng.choice((rng.randrange(2_000, 250_000), 100 * self.limit)),
                self.today + timedelta(days=rng.choice((-40, -11, -3, -1, 0, 1, 6, 30))),
                rng.choice(("Open", "Open", "Paid", "Disputed")),
            )  # fmt: skip
            if self.meant(found) == is_meant:
                return found

    def meant(self, entry: Entry) -> bool:
        """The rule by hand: whether the work is about a row."""
        if entry.state != "Open":
            return False
        if self.kind == "approve":
            return entry.cents < 100 * self.limit
        return entry.due < self.today if self.kind == "remind" else entry.name == self.name

    def decision(self, entry: Entry) -> str:
        """What is right for a row that the work is about."""
        if self.kind == "settle":
            return "Inspect" if entry.cents > 100 * INSPECTED_ABOVE else "Pay"
        return "Approved" if self.kind == "approve" else "on"

    @property
    def instruction(self) -> str:
        return {
            "approve": f"Approve every open invoice below {self.limit}.",
            "remind": "Send a reminder for everything that is overdue.",
            "settle": f"Decide about the open claims of {self.name}.",
        }[self.kind]

    # Pages

    def get(self, path: str) -> str:
        said, self.said = self.said, ""
        status = f"<p role=status>{said}</p>" if said else ""
        frame = "<nav><a href=/>Home</a> <a href=/list>List</a></nav>"
        if path == "/":
            return "<h1>Office</h1><p><a href=/list>List</a></p>"
        if path == "/list":
            return f"{frame}<h1>{self.kind.title()}</h1>{status}{self._list()}"
        if path == "/sent":
            return f"{frame}<h1>Sent</h1>{status}"
        entry = next(e for e in self.entries if path == f"/entries/{e.number}")
        form = (
            "<form method=post><label>Decision <select name=decision><option><option>Pay<option>Inspect"
            "</select></label><button>Save</button></form>"
            if entry.state == "Open"
            else ""
        )
        facts = (("Customer", entry.name), ("Damage", entry.amount), ("State", entry.state))
        rows = "".join(f"<tr><th scope=row>{a}</th><td>{b}</td></tr>" for a, b in facts)
        return f"{frame}<h1>Claim {entry.number}</h1>{status}<table>{rows}</table>{form}"

    def _list(self) -> str:
        heads = {
            "approve": ("Invoice", "Vendor", "Amount", "State", "Action"),
            "remind": ("Remind", "Item", "Customer", "Due", "State"),
            "settle": ("Claim", "Customer", "Opened", "State"),
        }[self.kind]
        rows = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in self._cells(e))}</tr>" for e in self.entries)
        table = f"<table><tr>{''.join(f'<th>{h}</th>' for h in heads)}</tr>{rows}</table>"
        if self.kind != "remind":
            return table
        return (
            f"<p>Today: {self.today.isoformat()}</p>"
            f"<form method=post action=/send>{table}<button>Send reminders</button></form>"
        )

    def _cells(self, e: Entry) -> tuple[str, ...]:
        if self.kind == "approve":
            action = f"<form method=post action=/entries/{e.number}/approve><button>Approve</button></form>"
            return (e.number, e.name, e.amount, e.state, action if e.state == "Open" else "")
        if self.kind == "remind":
            box = f"<input type=checkbox name=item value={e.number} aria-label=Remind>"
            return (box, e.number, e.name, e.due.isoformat(), e.state)
        return (f"<a href=/entries/{e.number}>{e.number}</a>", e.name, e.due.isoformat(), e.state)

    def post(self, path: str, sent: dict[str, list[str]]) -> str:
        """Where the browser is sent on to."""
        if path == "/send":
            items = sent.get("item", [])
            self.done += [(number, "on") for number in items]
            self.said = f"{len(items)} reminders were sent."
            return "/sent"
        entry = next(e for e in self.entries if e.number == path.split("/")[2])
        entry.state = "Approved" if path.endswith("/approve") else "Decided"
        self.done.append((entry.number, entry.state if self.kind == "approve" else sent["decision"][0]))
        self.said = f"{entry.number} was {entry.state.lower()}."
        return "/list" if self.kind == "approve" else path

    # The expert

    def work(self, page: Page) -> None:
        """Everything the instruction asks for, from the top of the list to its bottom."""
        page.get_by_role("link", name="List").click()
        rows = [e for e in self.entries if self.meant(e)]
        for entry in rows:
            row = page.get_by_role("row").filter(has_text=entry.number)
            if self.kind == "approve":
                row.get_by_role("button", name="Approve").click()
                page.get_by_text(f"{entry.number} was approved.").wait_for()
            elif self.kind == "remind":
                row.get_by_role("checkbox").check()
            else:
                row.get_by_role("link").click()
                page.get_by_label("Decision").select_option(self.decision(entry))
                page.get_by_role("button", name="Save").click()
                page.get_by_text("was decided").wait_for()
                page.get_by_role("link", name="List").click()
        if self.kind == "remind" and rows:
            page.get_by_role("button", name="Send reminders").click()


@contextmanager
def serving(office: Office) -> Iterator[str]:
    """The application's address while it is served."""

    class Pages(Handler):
        def do_GET(self) -> None:
            body = (
                ""
                if "favicon" in self.path
                else f"<!doctype html><title>Office</title>{office.get(self.path)}"
            )
            self.answer(200, body)

        def do_POST(self) -> None:
            self.answer(303, to=office.post(self.path, parse_qs(self.asked().decode())))

    with listening(Pages) as port:
        yield f"http://127.0.0.1:{port}/"


def recorded(kind: str, numbers: Sequence[int], folder: Path) -> list[Recording]:
    """Recordings of one application; what the expert did is checked against the rule by hand."""
    with launch(slow_mo_ms=_PAUSE_MS) as browser:
        return [_recording(kind, number, folder, browser) for number in numbers]


def _recording(kind: str, number: int, folder: Path, browser: Browser) -> Recording:
    office, fresh = (Office(kind, number, COUNTS[number]) for _ in range(2))
    out = folder / f"{kind}-{number}.fderec"
    with serving(office) as url:
        found = kept_recordings.recorded(office, kind, url, out, browser, "http://office.test/")
    right = [(entry.number, fresh.decision(entry)) for entry in fresh.entries if fresh.meant(entry)]
    assert office.done == right, (office.done, right)
    return found


def kept(kind: str) -> tuple[Recording, ...]:
    """The recordings of one application as they were made once."""
    return kept_recordings.kept(KEPT, kind)


if __name__ == "__main__":
    kept_recordings.keep(KEPT, KINDS, lambda kind, folder: recorded(kind, range(len(COUNTS)), folder))
