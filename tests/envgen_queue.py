"""A queue of tickets to record in tests, whose list can be put in other orders and shown in part.

Real pages of a real server, recorded by the product's recorder; ``PYTHONPATH=. python tests/envgen_queue.py``
records them anew into ``tests/data``. In ``server`` links above the columns and a form load the page anew,
six rows at a time; in ``script`` the page's own script does it at once; in ``tabs`` links choose what is
shown, and a field the order. In ``first`` the instruction names no ticket: the oldest that is open is meant.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import kept_recordings
from envgen_clerk import serving

from ingest.browser import launch
from ingest.recording import Recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEPT = Path(__file__).parent / "data" / "queue.json.gz"
KINDS = ("server", "script", "tabs", "first")
ORDERS = {
    "Amount, lowest first": ("Amount", False), "Amount, highest first": ("Amount", True),
    "Oldest first": ("Opened", False), "Newest first": ("Opened", True),
    "Customer": ("Customer", False), "Customer, from the end": ("Customer", True),
}  # fmt: skip
COLUMNS = ("Ticket", "Customer", "Opened", "Amount", "State")
STATES = ("Open", "Waiting", "Closed")
NAMES = ("alder", "Birch", "Cedar", "dogwood", "Elm", "Fir")
# What the expert does to the list before the ticket is opened, in each recording.
WAYS = (
    (), ("Amount",), ("Amount", "Amount"), ("=Open",), ("=Waiting",), ("Opened",), ("Customer",),
    ("=Closed", "=All"), ("Opened", "Opened"), ("=Open", "Amount"), ("Customer", "Customer"), ("Large",),
    ("Large", "Large", "Amount"), ("Amount", "=Open"), ("Opened", "=Waiting"),
)  # fmt: skip
# The same where the oldest open one is looked for: who has another order reads the whole list.
ORDERLY = (("=Open", "Opened"), (), ("Opened",), ("=Open",), ("Amount",))
ROWS, PAGE = 10, 6
LARGE = 500
INSPECTED_ABOVE = 1000
_PAUSE_MS, _LOOK_MS = 60, 400


@dataclass
class Ticket:
    """One row."""

    number: str
    customer: str
    opened: date
    cents: int
    state: str

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.number, self.customer, self.opened.strftime("%d/%m/%Y"), f"{self.cents / 100:,.2f}",
                self.state)  # fmt: skip

    def by(self, column: str) -> object:
        """What the application orders tickets by."""
        return {"Amount": self.cents, "Opened": self.opened, "Customer": self.customer.lower()}[column]


@dataclass
class Queue:
    """The application with its data; ``done`` is what was decided."""

    kind: str
    seed: int
    done: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(f"queue {self.kind} {self.seed}")
        numbers = rng.sample(range(1000, 9999), ROWS)
        days = rng.sample(range(-300, 300), ROWS)
        states = [*STATES, *(rng.choice(STATES) for _ in range(ROWS - len(STATES)))]
        rng.shuffle(states)
        self.tickets = [
            Ticket(f"T-{n}", rng.choice(NAMES), date(2026, 2, 3) + timedelta(days=d),
                   rng.randrange(2_000, 250_000), s)
            for n, d, s in zip(numbers, days, states, strict=True)
        ]  # fmt: skip
        way = WAYS[self.seed % len(WAYS)]
        wanted = next((step[1:] for step in reversed(way) if step[0] == "="), "All")
        large = way.count("Large") % 2
        fitting = [t for t in self.tickets if wanted in ("All", t.state) and t.cents > 100 * LARGE * large]
        self.ticket = rng.choice(fitting or self.tickets)
        if self.kind == "first":
            self.ticket = min((t for t in self.tickets if t.state == "Open"), key=lambda t: t.opened)

    @property
    def instruction(self) -> str:
        if self.kind == "first":
            return "Decide about the oldest open ticket."
        return f"Decide about ticket {self.ticket.number}."

    @property
    def right(self) -> tuple[str, str, str]:
        """The rule by hand: number, decision and amount."""
        decision = "Inspect" if self.ticket.cents > 100 * INSPECTED_ABOVE else "Pay"
        return self.ticket.number, decision, self.ticket.cells[3]

    # Pages

    def get(self, path: str) -> str:
        frame = "<nav><a href=/>Home</a> <a href=/list>Tickets</a></nav>"
        split = urlsplit(path)
        if split.path == "/":
            return f"{frame}<h1>Start</h1>"
        if split.path == "/list":
            asked = {name: texts[0] for name, texts in parse_qs(split.query).items()}
            shown = {
                "server": lambda: self._from_server(asked),
                "script": self._by_script, "first": self._by_script,
                "tabs": lambda: self._with_tabs(asked),
            }[self.kind]()  # fmt: skip
            return f"{frame}<h1>Tickets</h1>{shown}"
        ticket = next(t for t in self.tickets if split.path == f"/tickets/{t.number}")
        rows = "".join(f"<tr><th scope=row>{a}</th><td>{b}</td></tr>"
                       for a, b in list(zip(COLUMNS, ticket.cells, strict=True))[1:])  # fmt: skip
        form = (
            "<form method=post><label>Decision <select name=decision><option><option>Pay<option>Inspect"
            "</select></label><label>Confirmed <input name=confirmed></label><button>Save</button></form>"
        )
        return f"{frame}<h1>Ticket {ticket.number}</h1><table>{rows}</table>{form}"

    def _from_server(self, asked: dict[str, str]) -> str:
        state, order = asked.get("state", "All"), asked.get("order", "")
        descending, start = "down" in asked, int(asked.get("start", 0))
        large = "large" in asked
        found = [t for t in self.tickets if state in ("All", t.state) and t.cents > 100 * LARGE * large]
        if order:
            found.sort(key=lambda t: t.by(order), reverse=descending)  # type: ignore[arg-type, return-value]

        def link(text: str, **changed: object) -> str:
            query = urlencode({k: v for k, v in (asked | changed).items() if v not in (None, "")})
            return f'<a href="/list?{query}">{text}</a>'

        heads = "".join(f"<th>{self._head(link, column, order, descending)}</th>" for column in COLUMNS)
        rows = "".join(self._row(t) for t in found[start : start + PAGE])
        options = "".join(f"<option{' selected' * (s == state)}>{s}" for s in ("All", *STATES))
        onward = link("Next", start=start + PAGE) if start + PAGE < len(found) else ""
        back = link("Previous", start=start - PAGE) if start else ""
        return (
            f"<form><label>State <select name=state>{options}</select></label>"
            f"<label><input type=checkbox name=large{' checked' * large}>Large</label>"
            f"<button>Show</button></form>"
            f"<table><tr>{heads}</tr>{rows}</table><p>{back} {onward}</p>"
        )

    @staticmethod
    def _head(link: Callable[..., str], column: str, order: str, descending: bool) -> str:
        if column in ("Ticket", "State"):
            return column
        arrow = (" ▼" if descending else " ▲") if column == order else ""
        turned = "1" if column == order and not descending else None
        return link(column + arrow, order=column, down=turned, start=None)

    def _row(self, ticket: Ticket) -> str:
        number, *others = ticket.cells
        cells = "".join(f"<td>{text}</td>" for text in others)
        return f"<tr><td><a href=/tickets/{number}>{number}</a></td>{cells}</tr>"

    def _with_tabs(self, asked: dict[str, str]) -> str:
        state, order = asked.get("state", "All"), asked.get("order", "")
        found = [t for t in self.tickets if state in ("All", t.state)]
        if order:
            column, descending = ORDERS[order]
            found.sort(key=lambda t: t.by(column), reverse=descending)  # type: ignore[arg-type, return-value]
        tabs = " ".join(
            f"<a href='/list?{urlencode(asked | {'state': s})}'>{s}</a>" for s in ("All", *STATES)
        )
        options = "".join(f"<option{' selected' * (o == order)}>{o}" for o in ("", *ORDERS))
        heads = "".join(f"<th>{column}</th>" for column in COLUMNS)
        return (
            f"<p>{tabs}</p><form><input type=hidden name=state value={state}>"
            f"<label>Order <select name=order onchange=this.form.submit()>{options}</select></label></form>"
            f"<table><tr>{heads}</tr>{''.join(map(self._row, found))}</table>"
        )

    def _by_script(self) -> str:
        data = [[*t.cells, t.cents, t.opened.isoformat()] for t in self.tickets]
        options = "".join(f"<option>{s}" for s in ("All", *STATES))
        return f"""
        <label>State <select id=state>{options}</select></label>
        <label><input type=checkbox id=large>Large</label>
        <table><tr><th>Ticket<th><button>Customer</button><th><button>Opened</button><th><button>Amount</button>
        <th>State</tr><tbody id=rows></tbody></table>
        <script>
        const data = {json.dumps(data)}, keys = {{Customer: r => r[1].toLowerCase(), Opened: r => r[6],
          Amount: r => r[5]}};
        let order = "", sign = 1;
        function show() {{
          const state = document.getElementById("state").value;
          const large = document.getElementById("large").checked;
          let rows = data.filter(r => (state == "All" || r[4] == state) && (!large || r[5] > {100 * LARGE}));
          if (order) rows.sort((a, b) => {{
            const [x, y] = [keys[order](a), keys[order](b)];
            return sign * (x < y ? -1 : x > y ? 1 : 0);
          }});
          document.getElementById("rows").innerHTML = rows.map(r =>
            `<tr><td><a href="/tickets/${{r[0]}}">${{r[0]}}</a>`
            + r.slice(1, 5).map(c => `<td>${{c}}`).join("")).join("");
        }}
        for (const button of document.querySelectorAll("th button")) button.onclick = () => {{
          sign = order == button.textContent ? -sign : 1;
          order = button.textContent;
          show();
        }};
        document.getElementById("state").onchange = show;
        document.getElementById("large").onchange = show;
        show();
        </script>"""

    def post(self, path: str, sent: dict[str, list[str]]) -> str:
        """Where the browser is sent on to."""
        self.done.append((path.split("/")[2], sent["decision"][0], sent["confirmed"][0]))
        return "/list"

    # The expert

    def work(self, page: Page) -> None:
        """The list put in order as this recording has it, the ticket opened and decided about."""
        page.get_by_role("link", name="Tickets").click()
        way = ORDERLY[self.seed % len(ORDERLY)] if self.kind == "first" else WAYS[self.seed % len(WAYS)]
        for number, step in enumerate(way):
            if self.kind == "tabs" and step == "Large":
                continue
            if self.kind == "tabs" and step[0] == "=":
                page.get_by_role("link", name=step[1:], exact=True).click()
            elif self.kind == "tabs":
                order = (step, step in way[:number])
                page.get_by_label("Order").select_option(next(o for o, by in ORDERS.items() if by == order))
            elif step[0] == "=":
                page.get_by_label("State").select_option(step[1:])
            elif step == "Large":
                page.get_by_label("Large").set_checked(not page.get_by_label("Large").is_checked())
            else:
                page.get_by_role("columnheader", name=step).locator("a, button").click()
            if self.kind == "server" and (step[0] == "=" or step == "Large"):
                page.get_by_role("button", name="Show").click()
            page.wait_for_load_state()
            # As long as a person takes to look at the rows.
            page.wait_for_timeout(_LOOK_MS)
        opened = page.get_by_role("link", name=self.ticket.number)
        while not opened.count():
            page.get_by_role("link", name="Next").click()
            page.wait_for_load_state()
        opened.click()
        _, decision, amount = self.right
        page.get_by_label("Decision").select_option(decision)
        page.get_by_label("Confirmed").fill(amount)
        page.get_by_role("button", name="Save").click()
        page.get_by_role("heading", name="Tickets").wait_for()


def recorded(kind: str, folder: Path) -> list[Recording]:
    """Recordings of one application, one for each way."""
    with launch(slow_mo_ms=_PAUSE_MS) as browser:
        return [_recording(kind, number, folder, browser) for number in range(len(WAYS))]


def _recording(kind: str, number: int, folder: Path, browser: Browser) -> Recording:
    queue = Queue(kind, number)
    out = folder / f"{kind}-{number}.fderec"
    with serving(queue) as url:
        found = kept_recordings.recorded(queue, kind, url, out, browser, "http://queue.test/")
    assert queue.done == [queue.right]
    return found


def kept(kind: str) -> tuple[Recording, ...]:
    """The recordings of one application as they were made once."""
    return kept_recordings.kept(KEPT, kind)


if __name__ == "__main__":
    kept_recordings.keep(KEPT, KINDS, recorded)
