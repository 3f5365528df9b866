"""A service desk to record in tests: one page that a script draws, without an address for anything on it.

A list stands beside the record, tabs turn what is shown, the form is a dialog over everything, another dialog
asks whether it is meant, and what was done is told for a moment.
``PYTHONPATH=. python tests/envgen_cases.py`` records it anew into ``tests/data``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kept_recordings
from envgen_served import LOOK_MS, PAUSE_MS, recorded_of

from ingest.browser import launch
from ingest.recording import Recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEPT = Path(__file__).parent / "data" / "cases.json.gz"
KIND = "cases"
COUNT = 17
LEVELS = {
    "Gold": ("Blue", "4 h"),
    "Silver": ("Green", "8 h"),
    "Bronze": ("Grey", "24 h"),
    "Basic": ("Red", "3 d"),
}
NAMES = ("Alder Ltd", "Birch & Co", "Cedar GmbH", "Dogwood", "Elm Works", "Fir AG", "Gorse", "Hazel Inc")
TOPICS = ("Broken delivery", "Wrong invoice", "Late delivery", "Missing part")
PEOPLE = ("Ann Stone", "Bob Rivers", "Cy Woods", "Dee Hill")
ROWS = 7
URGENT_ABOVE = 500


@dataclass
class Case:
    """One case."""

    number: str
    customer: str
    tier: str
    topic: str
    cents: int
    reported: date
    contact: str
    state: str = "New"

    def told(self) -> dict[str, str]:
        """What the page's script is told."""
        return {
            "number": self.number, "customer": self.customer, "tier": self.tier, "topic": self.topic,
            "value": f"{self.cents / 100:,.2f}", "reported": self.reported.isoformat(),
            "contact": self.contact, "state": self.state,
        }  # fmt: skip


@dataclass
class Desk:
    """The application with its data; ``done`` is what was sent."""

    seed: int
    done: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(f"cases {self.seed}")
        self.cases = [
            Case(
                f"C-{number}", rng.choice(NAMES), rng.choice([*LEVELS]), rng.choice(TOPICS),
                rng.choice((rng.randrange(1_000, 100_000), rng.randrange(40_000, 60_000))),
                date(2026, 3, 2) + timedelta(days=rng.randrange(-200, 200)), rng.choice(PEOPLE),
            )
            for number in rng.sample(range(1000, 9999), ROWS)
        ]  # fmt: skip
        self.case = rng.choice(self.cases)

    @property
    def instruction(self) -> str:
        return f"Assign case {self.case.number}."

    @property
    def right(self) -> list[dict[str, Any]]:
        """The rules by hand."""
        case = self.case
        return [
            {
                "case": case.number, "team": LEVELS[case.tier][0], "note": f"{case.customer}: {case.topic}",
                "priority": "High" if case.cents > 100 * URGENT_ABOVE else "Normal",
                "due": case.reported.isoformat(), "notify": case.tier == "Gold",
            }
        ]  # fmt: skip

    # The server

    def get(self, path: str) -> str | list[dict[str, str]] | dict[str, str]:
        if path == "/api/cases":
            return [case.told() for case in self.cases]
        if path == "/api/levels":
            return [{"tier": tier, "team": team, "time": time} for tier, (team, time) in LEVELS.items()]
        if path.startswith("/api/"):
            return next(case.told() for case in self.cases if path.endswith(case.number))
        return _PAGE

    def post(self, path: str, sent: dict[str, Any]) -> dict[str, str]:
        case = next(case for case in self.cases if case.number in path)
        case.state = "Assigned"
        self.done.append({"case": case.number, **sent})
        return case.told()

    # The expert

    def work(self, page: Page) -> None:
        """The case assigned; some look elsewhere before, and some think again."""
        (right,) = self.right

        def click(role: Any, name: str) -> None:
            page.get_by_role(role, name=name, exact=True).click()
            page.wait_for_timeout(LOOK_MS)

        page.get_by_text(self.case.number).wait_for()
        if self.seed % 3 == 0:
            click("tab", "Service levels")
            click("tab", "Cases")
        if self.seed % 5 == 2:
            click("button", next(case.number for case in self.cases if case is not self.case))
        click("button", self.case.number)
        if self.seed % 4 == 1:
            click("tab", "History")
            click("tab", "Details")
        click("button", "Assign")
        page.get_by_label("Team").select_option(right["team"])
        page.get_by_role("radio", name=right["priority"]).check()
        page.get_by_label("Note").fill(right["note"])
        page.get_by_label("Due").fill(right["due"])
        page.get_by_label("Notify").set_checked(right["notify"])
        click("button", "Save")
        if self.seed % 6 == 3:
            click("button", "No")
            click("button", "Save")
        click("button", "Yes")
        page.get_by_role("status").wait_for()
        page.get_by_role("status").wait_for(state="detached")


_PAGE = """<!doctype html><title>Service desk</title>
<style>
body { display: flex; gap: 2em }
.over { position: fixed; top: 10%; left: 30%; background: #fff }
</style>
<div><div role=tablist><button role=tab id=one>Cases</button>
<button role=tab id=two>Service levels</button></div>
<div id=left></div></div><main id=right></main><div id=over></div><div id=toast></div>
<script>
const at = id => document.getElementById(id), text = t => t.replace(/&/g, "&amp;");
async function api(path, sent) {
  const how = {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(sent)};
  return (await fetch("/api/" + path, sent ? how : {})).json();
}
function turned(tab) { for (const t of [at("one"), at("two")]) t.ariaSelected = String(t === tab); }
async function cases() {
  turned(at("one"));
  at("left").innerHTML = "<h2>Cases</h2><ul>" + (await api("cases")).map(c =>
    `<li><button>${c.number}</button> <span>${text(c.customer)}</span> <em>${c.state}</em></li>`
  ).join("") + "</ul>";
  for (const b of at("left").querySelectorAll("button")) b.onclick = () => show(b.textContent, "Details");
}
async function levels() {
  turned(at("two"));
  at("left").innerHTML = "<h2>Service levels</h2><table><tr><th>Tier<th>Team<th>Response</tr>" +
    (await api("levels")).map(l => `<tr><td>${l.tier}<td>${l.team}<td>${l.time}</tr>`).join("") + "</table>";
}
at("one").onclick = cases;
at("two").onclick = levels;
async function show(number, tab) {
  const c = await api("cases/" + number);
  const facts = [["Customer", text(c.customer)], ["Tier", c.tier], ["Topic", c.topic], ["Value", c.value],
    ["Reported", c.reported], ["Contact", c.contact], ["State", c.state]];
  const panel = tab == "Details" ? "<dl>" + facts.map(([a, b]) => `<dt>${a}<dd>${b}`).join("") + "</dl>"
    : `<ul><li>${c.reported}: reported by ${c.contact}</li></ul>`;
  at("right").innerHTML = `<h1>Case ${c.number}</h1><div role=tablist>` + ["Details", "History"].map(t =>
    `<button role=tab aria-selected=${t == tab}>${t}</button>`).join("") + `</div>
    <div role=tabpanel>${panel}</div>` + (c.state == "New" ? "<button id=assign>Assign</button>" : "");
  for (const b of at("right").querySelectorAll("[role=tab]")) b.onclick = () => show(number, b.textContent);
  if (at("assign")) at("assign").onclick = () => form(c.number);
}
function form(number) {
  at("over").innerHTML = `<div class=over role=dialog aria-modal=true aria-label="Assign case">
    <h2>Assign ${number}</h2>
    <p><label>Team <select id=team><option><option>Blue<option>Green<option>Grey<option>Red</select></label>
    <fieldset><legend>Priority</legend><label><input type=radio name=p value=High> High</label>
    <label><input type=radio name=p value=Normal> Normal</label></fieldset>
    <p><label>Note <textarea id=note></textarea></label></p><p><label>Due <input type=date id=due></label></p>
    <p><label><input type=checkbox id=notify> Notify manager</label></p>
    <button id=save>Save</button> <button id=cancel>Cancel</button><div id=sure></div></div>`;
  at("cancel").onclick = () => at("over").replaceChildren();
  at("save").onclick = () => {
    at("sure").innerHTML = `<div class=over role=alertdialog aria-modal=true aria-label="Please confirm">
      <p>Really assign ${number}?</p><button id=yes>Yes</button> <button id=no>No</button></div>`;
    at("no").onclick = () => at("sure").replaceChildren();
    at("yes").onclick = async () => {
      await api("cases/" + number, {team: at("team").value, note: at("note").value, due: at("due").value,
        priority: document.querySelector("[name=p]:checked")?.value, notify: at("notify").checked});
      at("over").replaceChildren();
      await cases();
      await show(number, "Details");
      at("toast").innerHTML = `<p role=status>Case ${number} was assigned.</p>`;
      setTimeout(() => at("toast").replaceChildren(), 1200);
    };
  };
}
cases();
</script>"""


def recorded(kind: str, folder: Path, numbers: Sequence[int] = range(COUNT)) -> list[Recording]:
    """Recordings of the application; what the expert sent is checked against the rules by hand."""
    with launch(slow_mo_ms=PAUSE_MS) as browser:
        return [_recording(kind, number, folder, browser) for number in numbers]


def _recording(kind: str, number: int, folder: Path, browser: Browser) -> Recording:
    desk = Desk(number)
    found = recorded_of(desk, kind, folder / f"{kind}-{number:02d}.fderec", browser)
    assert desk.done == desk.right, (desk.done, desk.right)
    return found


def kept() -> tuple[Recording, ...]:
    """The recordings as they were made once."""
    return kept_recordings.kept(KEPT, KIND)


if __name__ == "__main__":
    kept_recordings.keep(KEPT, (KIND,), recorded)
