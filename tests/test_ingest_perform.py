"""Canonical actions carried out on live pages."""

# ruff: noqa: F811 - fixtures are imported and then named as parameters

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from ingest_pages import Site, browser, page, shown, site  # noqa: F401

from fde.errors import InputError, WorkError
from ingest.action import Action
from ingest.browser import BROWSER_VARIABLE, executable, new_page
from ingest.page import perform, take_snapshot
from ingest.script import read_script

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture
def live(browser: Browser) -> Iterator[Page]:
    opened = new_page(browser)
    yield opened
    opened.context.close()


def act(page: Page, line: str) -> bool:
    return perform(page, Action.parse(line))


def test_a_form_is_filled_and_sent_as_the_browser_would(live: Page, site: Site) -> None:
    site.pages["/"] = (
        "<form method=post action=/save><label>Name <input name=n></label>"
        "<label>Terms <select name=t><option>Net 10<option>Net 30</select></label>"
        "<label>Paid <input type=checkbox name=p></label><label>Due <input type=date name=d></label>"
        "<label><input type=radio name=r value=a>Air</label>"
        "<label><input type=radio name=r value=s>Sea</label>"
        "<label>Note <textarea name=o></textarea></label><button>Send</button></form>"
    )
    site.pages["POST /save"] = "-> /done"
    site.pages["/done"] = "<h1>Done</h1>"
    assert act(live, f"goto {site.url}/")
    for line in (
        'fill textbox "Name": Ann: "A"',
        'select combobox "Terms": Net 30',
        'check checkbox "Paid"',
        'fill textbox "Due": 2024-05-31',
        'check radio "Sea"',
        'fill textbox "Note": "two\\nlines"',
        'click button "Send"',
    ):
        assert act(live, line), line
    assert take_snapshot(live).text == '- heading "Done" [level=1]'
    assert site.posts == [
        ("/save", "n=Ann%3A+%22A%22&t=Net+30&p=on&d=2024-05-31&r=s&o=two%0D%0Alines"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        'click button "Nope"',
        'click link "Go"',
        'click button "Go" #3',
        'click button "Go" in row "x"',
        'select combobox "Terms": Net 99',
        'check button "Go"',
        "goto javascript:document.title='x'",
        "goto data:text/html,x",
        "press NoSuchKey",
    ],
)
def test_what_is_not_there_is_not_done(page: Page, line: str) -> None:
    html = "<button>Go</button><button>Go</button><label>Terms <select><option>Net 30</select></label>"
    before = shown(page, html)
    assert act(page, line) is False
    assert take_snapshot(page).text == before


@pytest.mark.parametrize(
    "line",
    [
        'click button "Off"',
        'fill textbox "Fixed": x',
        'fill textbox "Due": tomorrow',
        'fill spinbutton "Qty": many',
        'select combobox "Terms": Old',
        'check checkbox "On"',
        "done",
    ],
)
def test_what_does_not_take_the_action_stays_as_it_is(page: Page, line: str) -> None:
    before = shown(
        page,
        "<button disabled onclick=\"document.body.innerHTML=''\">Off</button>"
        "<label>Fixed <input readonly value=1></label>"
        "<label>Due <input type=date value=2024-01-02></label><label>Qty <input type=number value=3></label>"
        "<label>Terms <select><option>New<option disabled>Old</select></label>"
        "<label>On <input type=checkbox checked></label>",
    )
    assert act(page, line) is True
    assert take_snapshot(page).text == before


def test_equals_are_told_apart_by_number_and_row(page: Page) -> None:
    shown(
        page,
        "<p id=o></p><table><tr><td>A</td><td><button onclick=\"o.textContent+='a'\">Open</button></td></tr>"
        "<tr><td>B</td><td><button onclick=\"o.textContent+='b'\">Open</button></td></tr></table>",
    )
    assert act(page, 'click button "Open" #2')
    assert act(page, 'click button "Open" in row "A"')
    assert "- paragraph: ba" in take_snapshot(page).text


def test_leaving_a_field_tells_the_page_and_enter_still_works(page: Page) -> None:
    shown(
        page,
        "<p id=o></p><form onsubmit=\"o.textContent+=' sent';return false\">"
        "<label>A <input onchange=\"o.textContent+='changed'\"></label></form>",
    )
    assert act(page, 'fill textbox "A": x')
    assert "changed" in take_snapshot(page).text
    assert act(page, "press Enter")
    assert "- paragraph: changed sent" in take_snapshot(page).text


def test_suggestions_stay_open_until_one_is_taken(page: Page) -> None:
    shown(
        page,
        "<label>City <input id=c></label><ul id=u></ul><script>"
        "c.oninput=()=>{u.innerHTML='<li>Oslo</li>';u.firstChild.onclick=()=>{c.value='Oslo';u.innerHTML=''}};"
        "c.onblur=()=>setTimeout(()=>u.innerHTML='',150)</script>",
    )
    assert act(page, 'fill textbox "City": Os')
    assert act(page, 'click clickable "Oslo"')
    assert take_snapshot(page).text == '- textbox "City": Oslo'


def test_a_list_made_of_roles_is_opened_and_chosen_from(page: Page) -> None:
    shown(
        page,
        '<div role=combobox aria-label=Terms tabindex=0 onclick="l.hidden=false" id=c>Net 10</div>'
        '<div role=listbox id=l hidden onclick="c.textContent=event.target.textContent;this.hidden=true">'
        "<div role=option>Net 10</div><div role=option>Net 30</div></div>",
    )
    assert act(page, 'select combobox "Terms": Net 30')
    assert take_snapshot(page).text == '- combobox "Terms": Net 30'


def test_an_option_of_several_is_taken_and_given_back(page: Page) -> None:
    shown(page, "<select multiple aria-label=S><option>A<option>B<option>C</select>")
    for option, chosen in (("A", "A"), ("C", "A, C"), ("A", "C")):
        assert act(page, f'select listbox "S": {option}')
        assert take_snapshot(page).text.splitlines()[0] == f'- listbox "S": {chosen}'


def test_clicks_that_only_a_far_listener_hears(page: Page) -> None:
    shown(
        page,
        "<p id=o></p><div><span id=s>Details</span> x</div>"
        "<script>document.onclick=e=>{if(e.target.id==='s')o.textContent='opened'}</script>",
    )
    assert act(page, 'click clickable "Details"')
    assert "- paragraph: opened" in take_snapshot(page).text


def test_confirmations_are_accepted_and_answers_awaited(page: Page, site: Site) -> None:
    site.pages["/api"] = '{"n": 5}'
    site.pages["/"] = (
        "<p id=o></p><button onclick=\"if(confirm('Sure?'))fetch('/api').then(r=>r.json())"
        ".then(j=>setTimeout(()=>o.textContent='got '+j.n,30))\">Ask</button>"
    )
    assert act(page, f"goto {site.url}/")
    assert act(page, 'click button "Ask"')
    assert "- paragraph: got 5" in take_snapshot(page).text


def test_frames_are_acted_in(page: Page, site: Site) -> None:
    site.pages["/inner"] = (
        "<label>Far <input></label><button onclick=\"document.body.append('hit')\">Hit</button>"
    )
    site.pages["/"] = f"<iframe title=F src={site.other_url}/inner></iframe>"
    assert act(page, f"goto {site.url}/")
    assert act(page, 'fill textbox "Far": x')
    assert act(page, 'click button "Hit"')
    text = take_snapshot(page).text
    assert '- textbox "Far": x' in text and "hit" in text


def test_a_file_field_never_gets_a_local_file(page: Page) -> None:
    shown(page, "<label>Scan <input type=file id=f></label>")
    assert act(page, 'fill button "Scan": /etc/hostname')
    assert page.evaluate("() => [f.files[0].name, f.files[0].size]")[1] == 0


def test_an_address_that_does_not_answer_is_an_error(live: Page) -> None:
    with pytest.raises(WorkError, match="could not be opened"):
        act(live, "goto http://127.0.0.1:1/")


def test_a_crashed_page_is_an_error(live: Page) -> None:
    from playwright.sync_api import Error

    with pytest.raises(Error):
        live.goto("chrome://crash")
    with pytest.raises(WorkError):
        take_snapshot(live)


def test_scripts_name_their_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text('# fine\n\nclick button "A"\nklick button "B"\n')
    with pytest.raises(InputError, match="line 4"):
        read_script(path)


def test_a_browser_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BROWSER_VARIABLE, "/no/such/browser")
    with pytest.raises(InputError, match="/no/such/browser"):
        executable()
