"""Travel claims to record in tests: a wizard of three steps on a real server.

A field is completed from a list that a script fetches, radio buttons, a date field and a composed sentence
are filled in, mistakes are refused and put right, the last step says what was entered and a total that the
server works out; some go back a step. ``PYTHONPATH=. python tests/envgen_claims.py`` records it anew.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import kept_recordings
from envgen_served import LOOK_MS, PAUSE_MS, recorded_of

from ingest.browser import launch
from ingest.recording import Recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEPT = Path(__file__).parent / "data" / "claims.json.gz"
KIND = "claims"
COUNT = 17
NAMES = (
    "Ann Stone", "Anna Rivers", "Bob Woods", "Carl Marsh", "Carla Hill", "Dee Field", "Eva Lake",
    "Evan Brook", "Finn Dale", "Gil Moor",
)  # fmt: skip
CITIES = {"Lyon": "France", "Berlin": "Germany", "Munich": "Germany", "Rome": "Italy", "Oslo": "Norway"}
RATES = {"France": 45, "Germany": 28, "Italy": 40, "Norway": 75}
CENTRES = {"Sales": "CC-100", "Research": "CC-240", "Service": "CC-310", "Finance": "CC-420"}
ROWS = 6
DIRECTOR_ABOVE = 1000


@dataclass
class Request:
    """One request, of which a claim is to be made."""

    number: str
    who: str
    department: str
    city: str
    start: date
    nights: int
    hotel: int

    @property
    def total(self) -> int:
        return self.nights * (RATES[CITIES[self.city]] + self.hotel)


@dataclass
class Claims:
    """The application with its data; ``done`` is what was claimed."""

    seed: int
    done: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(f"claims {self.seed}")
        self.draft: dict[str, str] = {}
        self.requests = [
            Request(
                f"TR{number}", rng.choice(NAMES), rng.choice([*CENTRES]), rng.choice([*CITIES]),
                date(2026, 3, 2) + timedelta(days=rng.randrange(250)), rng.randrange(1, 12),
                rng.randrange(60, 220),
            )
            for number in rng.sample(range(10_000, 99_999), ROWS)
        ]  # fmt: skip
        self.request = rng.choice(self.requests)

    @property
    def instruction(self) -> str:
        return f"Enter the travel request {self.request.number}."

    @property
    def right(self) -> list[dict[str, str]]:
        """The rules by hand."""
        asked = self.request
        return [
            {
                "employee": asked.who, "trip": "Domestic" if CITIES[asked.city] == "Germany" else "Abroad",
                "start": asked.start.isoformat(), "nights": str(asked.nights),
                "centre": CENTRES[asked.department], "reason": f"Trip to {asked.city}, {asked.nights} nights",
                "approver": "Director" if asked.total > DIRECTOR_ABOVE else "Team lead",
            }
        ]  # fmt: skip

    # The server

    def get(self, path: str) -> str | list[str]:
        split = urlsplit(path)
        parts = split.path.split("/")
        if split.path == "/suggest":
            typed = parse_qs(split.query).get("q", [""])[0].lower()
            return [name for name in NAMES if typed in name.lower()]
        if split.path == "/":
            rows = (
                f"<tr><td><a href=/requests/{r.number}>{r.number}</a><td>{r.who}<td>{r.city}"
                f"<td>{r.start:%d.%m.%Y}</tr>"
                for r in self.requests
            )
            head = "<tr><th>Request<th>Employee<th>City<th>From</tr>"
            return _page("Requests", f"<table>{head}{''.join(rows)}</table>")
        if split.path == "/centres":
            rows = (f"<tr><td>{department}<td>{centre}</tr>" for department, centre in CENTRES.items())
            return _page(
                "Cost centres", f"<table><tr><th>Department<th>Cost centre</tr>{''.join(rows)}</table>"
            )
        if parts[1] == "entered":
            return _page("Entered", f"<p>Request {parts[2]} was entered.</p><a href=/>To the requests</a>")
        asked = next(r for r in self.requests if r.number == parts[2])
        return self._request(asked) if len(parts) == 3 else self._step(asked, int(parts[3]), self.draft)

    def _request(self, asked: Request) -> str:
        facts = {
            "Employee": asked.who, "Department": asked.department,
            "Destination": f"{asked.city}, {CITIES[asked.city]}", "From": f"{asked.start:%d.%m.%Y}",
            "Nights": asked.nights, "Hotel per night": f"€ {asked.hotel:.2f}",
        }  # fmt: skip
        told = "".join(f"<dt>{name}<dd>{text}" for name, text in facts.items())
        return _page(
            f"Request {asked.number}", f"<dl>{told}</dl><a href=/requests/{asked.number}/1>Start entry</a>"
        )

    def _step(self, asked: Request, step: int, had: dict[str, str], refused: str = "") -> str:
        said = {name: escape(text) for name, text in had.items()}
        body = {1: _who, 2: _what, 3: _summary}[step](said, asked)
        back = f"<a href=/requests/{asked.number}/{step - 1}>Back</a> " if step > 1 else ""
        button = "Next" if step < 3 else "Submit"
        form = f"<form method=post>{body}<p>{back}<button>{button}</button></p></form>"
        return _page(f"New claim: step {step} of 3", form, refused)

    def post(self, path: str, sent: dict[str, Any]) -> str | tuple[str]:
        _, _, number, step = path.split("/")
        asked = next(r for r in self.requests if r.number == number)
        wrong = {
            "Choose an employee from the list.": sent.get("employee", NAMES[0]) not in NAMES,
            "Write the cost centre as CC-000.": not sent.get("centre", "CC-").startswith("CC-"),
            "Give a reason.": not sent.get("reason", "."),
            "Choose an approver.": not sent.get("approver", "."),
        }
        refused = next((text for text, holds in wrong.items() if holds), "")
        if refused:
            return self._step(asked, int(step), {**self.draft, **sent}, refused)
        self.draft |= sent
        if step != "3":
            return (f"/requests/{number}/{int(step) + 1}",)
        self.done.append(dict(self.draft))
        return (f"/entered/{number}",)

    # The expert

    def work(self, page: Page) -> None:
        """The request entered; some make mistakes, some look around, some go back a step."""
        (right,) = self.right

        def click(role: Any, name: str) -> None:
            page.get_by_role(role, name=name, exact=True).click()
            page.wait_for_load_state()
            page.wait_for_timeout(LOOK_MS)

        if self.seed % 3 == 1:
            click("link", "Cost centres")
            click("link", "Requests")
        click("link", self.request.number)
        click("link", "Start entry")
        page.get_by_label("Employee").press_sequentially(right["employee"][: 3 + self.seed % 3])
        page.wait_for_timeout(LOOK_MS)
        click("option", right["employee"])
        page.get_by_role("radio", name=right["trip"]).check()
        click("button", "Next")
        page.get_by_label("Start").fill(right["start"])
        page.get_by_label("Nights").fill(right["nights"])
        slip = self.seed % 5
        page.get_by_label("Cost centre").fill(right["centre"][3:] if slip == 2 else right["centre"])
        if slip != 4:
            page.get_by_label("Reason").fill(right["reason"])
        click("button", "Next")
        if slip in (2, 4):
            page.get_by_label("Cost centre").fill(right["centre"])
            page.get_by_label("Reason").fill(right["reason"])
            click("button", "Next")
        if self.seed % 6 == 5:
            click("link", "Back")
            click("button", "Next")
        page.get_by_label("Approver").select_option(right["approver"])
        click("button", "Submit")
        page.get_by_role("heading", name="Entered").wait_for()


def _page(heading: str, body: str, refused: str = "") -> str:
    said = f"<p role=alert>{refused}</p>" if refused else ""
    frame = "<nav><a href=/>Requests</a> <a href=/centres>Cost centres</a></nav>"
    return f"<!doctype html><title>Travel</title>{frame}<h1>{heading}</h1>{said}{body}"


def _who(said: dict[str, str], asked: Request) -> str:
    on = {said.get("trip", ""): " checked"}
    trips = (
        f"<label><input type=radio name=trip value={trip}{on.get(trip, '')}> {trip}</label>"
        for trip in ("Domestic", "Abroad")
    )
    return f"""<p><label for=who>Employee</label> <input id=who name=employee role=combobox
      aria-expanded=false aria-controls=list autocomplete=off value="{said.get("employee", "")}"></p>
      <ul id=list role=listbox aria-label=Suggestions hidden></ul>
      <fieldset><legend>Trip</legend>{"".join(trips)}</fieldset>
      <script>
      const field = document.getElementById("who"), list = document.getElementById("list");
      function opened(open) {{ list.hidden = !open; field.setAttribute("aria-expanded", String(open)); }}
      field.oninput = async () => {{
        if (field.value.length < 2) return opened(false);
        const found = await (await fetch("/suggest?q=" + encodeURIComponent(field.value))).json();
        list.innerHTML = found.map(name => `<li role=option>${{name}}</li>`).join("");
        opened(found.length > 0);
        for (const o of list.children) o.onclick = () => {{ field.value = o.textContent; opened(false); }};
      }};
      </script>"""


def _what(said: dict[str, str], asked: Request) -> str:
    return f"""<p><label>Start <input type=date name=start value="{said.get("start", "")}"></label></p>
      <p><label>Nights <input type=number name=nights value="{said.get("nights", "")}"></label></p>
      <p><label>Cost centre <input name=centre value="{said.get("centre", "")}"></label></p>
      <p><label>Reason <textarea name=reason>{said.get("reason", "")}</textarea></label></p>"""


def _summary(said: dict[str, str], asked: Request) -> str:
    names = {"employee": "Employee", "trip": "Trip", "start": "Start", "nights": "Nights",
             "centre": "Cost centre", "reason": "Reason"}  # fmt: skip
    told = "".join(f"<dt>{title}<dd>{said.get(name, '')}" for name, title in names.items())
    options = "".join(f"<option>{who}" for who in ("Team lead", "Director"))
    return f"""<dl>{told}</dl>
      <p><label>Daily allowance <input readonly value="{RATES[CITIES[asked.city]]}.00"></label></p>
      <p><label>Estimated total <output>{asked.total:,.2f}</output></label></p>
      <p><label>Approver <select name=approver><option value="">Choose{options}</select></label></p>"""


def recorded(kind: str, folder: Path, numbers: Sequence[int] = range(COUNT)) -> list[Recording]:
    """Recordings of the application; what the expert claimed is checked against the rules by hand."""
    with launch(slow_mo_ms=PAUSE_MS) as browser:
        return [_recording(kind, number, folder, browser) for number in numbers]


def _recording(kind: str, number: int, folder: Path, browser: Browser) -> Recording:
    claims = Claims(number)
    found = recorded_of(claims, kind, folder / f"{kind}-{number:02d}.fderec", browser)
    assert claims.done == claims.right, (claims.done, claims.right)
    return found


def kept() -> tuple[Recording, ...]:
    """The recordings as they were made once."""
    return kept_recordings.kept(KEPT, KIND)


if __name__ == "__main__":
    kept_recordings.keep(KEPT, (KIND,), recorded)
