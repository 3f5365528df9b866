"""Recording: real events in a real browser become canonical steps."""

# ruff: noqa: F811 - fixtures are imported and then named as parameters

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ingest_pages import Site, page, shown, site  # noqa: F401

from fde.errors import InputError, WorkError
from ingest.action import Action
from ingest.browser import launch, new_page
from ingest.page import perform
from ingest.recorder import SCRIPT_PAUSE_MS, record
from ingest.recording import Recording
from ingest.recordings import read_recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
SECRET = "correct horse battery"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch(slow_mo_ms=SCRIPT_PAUSE_MS) as running:
        yield running


class Recorded:
    """Records scripts on a site."""

    def __init__(self, browser: Browser, site: Site, out: Path) -> None:
        self.browser, self.site, self.out = browser, site, out

    def __call__(self, script: Callable[[Page], None], **options: Any) -> Recording:
        record(
            f"{self.site.url}/",
            self.out,
            workflow="w",
            instruction="Do it.",
            script=script,
            headless=True,
            browser=self.browser,
            **options,
        )
        return read_recording(self.out)[0]


@pytest.fixture
def recorded(browser: Browser, site: Site, tmp_path: Path) -> Recorded:
    return Recorded(browser, site, tmp_path / "r.fderec")


def actions(recording: Recording) -> list[str]:
    """The actions after the first goto."""
    assert recording.steps[0].action.verb == "goto"
    return [step.action.text() for step in recording.steps[1:]]


def portal(site: Site) -> None:
    site.pages.update(
        {
            "/": "<title>Log in</title><form method=post action=/login><label>User <input name=user></label>"
            "<label>Password <input type=password name=pw></label><button>Log in</button></form>",
            "POST /login": "-> /inbox",
            "/inbox": "<title>Inbox</title><table><tr><th>Id</th><th></th></tr>"
            "<tr><td>INV-1</td><td><a href=/1>Open</a></td></tr>"
            "<tr><td>INV-2</td><td><a href=/2>Open</a></td></tr></table>",
            "/2": "<title>INV-2</title><form method=post action=/2><label>Cost center <input name=cc></label>"
            "<label>Terms <select name=t><option>Net 10<option>Net 30</select></label>"
            "<label><input type=checkbox name=p> Paid</label><button>Submit</button></form>",
            "POST /2": "-> /done?id=2",
            "/done": "<title>Done</title><p role=status>Stored</p>",
        }
    )


def work(page: Page) -> None:
    page.get_by_label("User").fill("ann")
    page.get_by_label("Password").fill(SECRET)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Open").nth(1).click()
    page.get_by_label("Cost center").press_sequentially("CC-1")
    page.get_by_label("Terms").select_option("Net 30")
    page.get_by_label("Paid").check()
    page.get_by_role("button", name="Submit").click()


def test_a_form_application_from_log_in_to_confirmation(
    recorded: Recorded, site: Site, browser: Browser
) -> None:
    portal(site)
    made = recorded(work, recording_id="first")
    assert made.id == "first" and made.source_format == "fderec" and not made.warnings
    assert actions(made) == [
        'fill textbox "User": ann',
        'fill textbox "Password": ••••',
        'click button "Log in"',
        'click link "Open" in row "INV-2 Open"',
        'fill textbox "Cost center": CC-1',
        'select combobox "Terms": Net 30',
        'check checkbox "Paid"',
        'click button "Submit"',
    ]
    assert [step.masked for step in made.steps] == [i == 2 for i in range(9)]
    log_in, submit = made.steps[3], made.steps[8]
    assert [(e.method, e.status, e.location, e.writes) for e in log_in.effects] == [
        ("POST", 303, "/inbox", True),
        ("GET", 200, None, False),
    ]
    assert log_in.effects[0].body == {"user": "ann", "pw": "••••"}
    assert submit.effects[0].body == {"cc": "CC-1", "t": "Net 30", "p": "on"}
    assert submit.before is not None and submit.after is not None
    assert '- textbox "Cost center": CC-1' in submit.before.text and "[checked]" in submit.before.text
    assert submit.after.text == "- status: Stored" and submit.after.url.endswith("/done?id=2")
    for before, after in zip(made.steps, made.steps[1:], strict=False):
        assert before.after is not None and after.before is not None
        assert before.after.title == after.before.title, "a step begins where the last one ended"
    with zipfile.ZipFile(recorded.out) as archive:
        assert not any(SECRET.encode() in archive.read(name) for name in archive.namelist())
    assert recorded.out.stat().st_size < 100_000
    # What was recorded can be done again, with the same effect.
    first = list(site.posts)
    site.posts.clear()
    again = new_page(browser)
    for step in made.steps:
        value = SECRET if step.masked else step.action.value
        assert perform(again, step.action.model_copy(update={"value": value})), step.action.text()
    assert site.posts == first
    again.context.close()


def test_screenshots_and_pages_come_along(recorded: Recorded, site: Site) -> None:
    portal(site)
    recorded(work)
    made, blobs = read_recording(recorded.out)
    last = made.steps[-1].after
    assert last is not None and last.dom is not None and last.screenshot is not None
    assert b"Stored" in blobs[last.dom] and blobs[last.screenshot].startswith(b"RIFF")
    before = made.steps[-1].before
    assert before is not None and before.dom is not None
    html = blobs[before.dom]
    assert b'value="CC-1"' in html and b'checked=""' in html, "fields are saved with their values"
    assert b"<script" not in html


SCRIPTED_PAGE = """<style>.c{cursor:pointer}</style><p id=o></p>
<div class=c onclick="o.textContent='panel'">Open panel</div><div id=far>Far heard</div>
<iframe title=Same srcdoc="<label>Inner <input></label>"></iframe><x-a></x-a>
<label>City <input id=city autocomplete=off></label><ul id=sug></ul>
<div contenteditable aria-label=Memo>old</div>
<label><input type=radio name=r> Air</label><label><input type=radio name=r> Sea</label>
<label>Due <input type=date id=due></label><label>Note <textarea id=note></textarea></label>
<label>Multi <select multiple><option>A<option>B<option>C</select></label>
<button onclick="if(confirm('Sure?'))o.textContent='sure'">Confirm</button>
<button id=api onclick="fetch('/api',{method:'POST',headers:{'content-type':'application/json'},
 body:JSON.stringify({id:1,rows:[{cc:'CC-1'}]})}).then(()=>o.textContent='saved')">Save</button>
<script>
document.onclick=e=>{if(e.target.id==='far')o.textContent='far'};
customElements.define('x-a',class extends HTMLElement{constructor(){super();this.attachShadow({mode:'open'})
 .innerHTML='<label>Deep <input></label><select aria-label=Pick><option>1<option>2</select>'}});
city.oninput=()=>{sug.innerHTML='<li>Oslo</li>';
 sug.firstChild.onmousedown=e=>{e.preventDefault();city.value='Oslo';sug.innerHTML=''}};
</script>"""


def test_pages_made_by_scripts(recorded: Recorded, site: Site) -> None:
    site.pages["/"], site.pages["POST /api"] = SCRIPTED_PAGE, '{"n": 1}'

    def script(page: Page) -> None:
        page.get_by_text("Open panel").click()
        page.get_by_text("Far heard").click()
        page.frame_locator("iframe").get_by_label("Inner").fill("in")
        page.get_by_label("Deep").fill("below")
        page.get_by_label("Pick").select_option("2")
        page.locator("#city").press_sequentially("Os")
        page.get_by_text("Oslo").click()
        page.get_by_label("Memo").fill("new")
        page.get_by_text("Sea").click()
        page.locator("#due").focus()
        page.keyboard.type("05312024")
        page.locator("#note").fill("one\ntwo")
        page.locator("#note").press("Tab")
        page.get_by_label("Multi").select_option(["A", "C"])
        page.get_by_role("button", name="Confirm").click()
        page.mouse.click(990, 5)
        page.locator("#api").click()

    made = recorded(script)
    assert actions(made) == [
        'click clickable "Open panel"',
        'click clickable "Far heard"',
        'fill textbox "Inner": in',
        'fill textbox "Deep": below',
        'select combobox "Pick": 2',
        'fill textbox "City": Os',
        'click clickable "Oslo"',
        'fill textbox "Memo": new',
        'check radio "Sea"',
        'fill textbox "Due": 2024-05-31',
        'fill textbox "Note": "one\\ntwo"',
        'select listbox "Multi": A',
        'select listbox "Multi": C',
        'click button "Confirm"',
        'click button "Save"',
    ]
    assert made.steps[-1].effects[0].body == {"id": 1, "rows": [{"cc": "CC-1"}]}
    assert made.steps[-1].after is not None and "saved" in made.steps[-1].after.text
    assert made.warnings == ("A dialog was shown: Sure?",)


def test_a_choice_on_a_page_that_never_rests_is_heard(recorded: Recorded, site: Site) -> None:
    site.pages["/"] = (
        "<title>Form</title><p id=clock>0</p><div id=form></div>"
        "<script>setInterval(() => { clock.textContent = +clock.textContent + 1; }, 25);</script>"
    )
    form = (
        "() => { document.getElementById('form').innerHTML = '<p>Choose.</p><label>Kind <select>"
        "<option>A<option>B</select></label><button>Send</button>'; }"
    )

    def script(page: Page) -> None:
        page.evaluate(form)
        assert perform(page, Action.parse('select combobox "Kind": B'))
        assert perform(page, Action.parse('click button "Send"'))

    recording = recorded(script)
    assert actions(recording) == ['select combobox "Kind": B', 'click button "Send"']
    assert not recording.warnings


def test_keyboard_tabs_and_addresses(recorded: Recorded, site: Site) -> None:
    site.pages["/"] = (
        "<title>A</title><form action=/b><label>Find <input name=q></label><button>Go</button></form>"
    )
    site.pages["/b"] = "<title>B</title><a href=/c target=_blank>New</a><input aria-label=X value=same>"
    site.pages["/c"] = '<title>C</title><button onclick="history.back()">Back</button><a href=/>Start</a>'

    def script(page: Page) -> None:
        page.get_by_label("Find").fill("INV-1")
        page.keyboard.press("Enter")
        page.get_by_label("X").fill("same")
        with page.expect_popup() as opened:
            page.get_by_role("link", name="New").click()
        opened.value.get_by_role("link", name="Start").click()
        page.goto(f"{site.url}/c")
        page.goto(f"{site.url}/b")
        page.reload()

    made = recorded(script)
    assert actions(made) == [
        'fill textbox "Find": INV-1',
        "press Enter",
        'click link "New"',
        'click link "Start"',
        f"goto {site.url}/c",
        f"goto {site.url}/b",
        f"goto {site.url}/b",
    ], "a fill that changes nothing is none; Enter is not also a click on the button"
    assert [step.after.title for step in made.steps if step.after] == ["A", "A", "B", "C", "A", "C", "B", "B"]
    assert [len(step.effects) for step in made.steps] == [1, 0, 1, 1, 1, 1, 1, 1]


def test_a_password_hides_wherever_it_turns_up(recorded: Recorded, site: Site) -> None:
    site.pages["/"] = (
        "<form action=/in><label>P <input type=password name=x id=p></label>"
        "<button type=button onclick=\"p.type='text'\">Show</button>"
        "<button type=button onclick=\"fetch('/api',{method:'POST',"
        "headers:{'content-type':'application/json'},"
        'body:JSON.stringify({deep:[{odd:p.value}]})})">Api</button><button>In</button></form>'
    )
    site.pages["/in"], site.pages["POST /api"] = "<p>in</p>", "{}"

    def script(page: Page) -> None:
        page.locator("#p").fill("first one")
        page.get_by_role("button", name="Show").click()
        page.locator("#p").fill(SECRET)
        page.get_by_role("button", name="Api").click()
        page.wait_for_timeout(200)
        page.get_by_role("button", name="In").click()

    made = recorded(script)
    assert actions(made).count('fill textbox "P": ••••') == 2
    assert made.steps[4].effects[0].body == {"deep": [{"odd": "••••"}]}
    assert made.steps[5].effects[0].url.endswith("/in?x=••••")
    readable = made.steps[3].after
    assert readable is not None and readable.screenshot is None, "no picture while the password can be read"
    with zipfile.ZipFile(recorded.out) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (SECRET, SECRET.replace(" ", "+"), "first one"):
        assert secret.encode() not in everything


def test_other_origins_are_left_out_unless_named(recorded: Recorded, site: Site) -> None:
    site.pages["/"] = f"<a href={site.other_url}/far>Far</a>"
    site.pages["/far"] = "<title>Far</title><button onclick=\"document.title='hit'\">There</button>"

    def script(page: Page) -> None:
        page.get_by_role("link").click()
        page.get_by_role("button").click()

    made = recorded(script)
    assert actions(made) == ['click link "Far"']
    assert made.warnings == ("1 actions on pages of other origins were left out.",)
    made = recorded(script, origins=[site.other_url])
    assert actions(made) == ['click link "Far"', 'click button "There"']


def test_frames_of_other_origins_stand_in_their_places(recorded: Recorded, site: Site) -> None:
    site.pages["/"] = f"<h1>Top</h1><iframe title=F src={site.other_url}/far></iframe><button>Last</button>"
    site.pages["/far"] = (
        "<label>Far <input></label><button onclick=\"document.body.append('hit')\">Hit</button>"
    )

    def script(page: Page) -> None:
        page.frame_locator("iframe").get_by_label("Far").fill("x")
        page.frame_locator("iframe").get_by_role("button").click()
        page.get_by_role("button", name="Last").click()

    made = recorded(script, origins=[site.other_url])
    assert actions(made) == ['fill textbox "Far": x', 'click button "Hit"', 'click button "Last"']
    last = made.steps[-1].before
    assert last is not None and last.text.startswith('- heading "Top"') and "hit" in last.text


def test_a_failing_script_leaves_what_was_recorded(recorded: Recorded, site: Site) -> None:
    portal(site)

    def script(page: Page) -> None:
        page.get_by_label("User").fill("ann")
        page.get_by_label("User").blur()
        raise ValueError("the expert left")

    with pytest.raises(WorkError, match="after 2 steps: the expert left"):
        recorded(script)
    made = read_recording(recorded.out)[0]
    assert actions(made) == ['fill textbox "User": ann']
    assert made.warnings == ("The recording ended early: the expert left",)


def test_a_crash_leaves_what_was_recorded(recorded: Recorded, site: Site) -> None:
    portal(site)

    def script(page: Page) -> None:
        page.get_by_label("User").fill("ann")
        page.get_by_label("User").blur()
        page.wait_for_timeout(200)
        page.goto("chrome://crash")

    with pytest.raises(WorkError):
        recorded(script)
    made = read_recording(recorded.out)[0]
    assert actions(made) == ['fill textbox "User": ann']
    assert "The page crashed." in made.warnings


def test_the_badge_stops_and_pauses_and_is_not_part_of_the_page(browser: Browser, site: Site) -> None:
    from ingest.listener import Listener

    site.pages["/"] = "<button onclick=\"this.textContent+='!'\">A</button>"
    context = browser.new_context(viewport={"width": 600, "height": 400})
    heard = Listener(context, {site.url}, scripted=False, badge=True)
    page = context.new_page()
    heard.begin(page, f"{site.url}/")
    page.get_by_role("button", name="A").click()
    page.mouse.click(515, 375)  # Pause
    page.get_by_role("button", name="A!").click()
    assert heard.paused
    page.mouse.click(515, 375)  # Go on
    page.get_by_role("button", name="A!!").click()
    page.mouse.click(567, 375)  # Stop
    heard.until_stopped()
    heard.finish()
    made = heard.recording("w", "", "id", None)
    assert [step.action.text() for step in made.steps[1:]] == ['click button "A"', 'click button "A!!"']
    assert all("recording" not in (step.after.text if step.after else "") for step in made.steps)
    context.close()


def test_nobody_can_work_without_a_window(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without a window"):
        record("http://127.0.0.1/", tmp_path / "r", workflow="w", instruction="", headless=True)
    with pytest.raises(InputError, match="Not an address"):
        record("not a url", tmp_path / "r", workflow="w", instruction="", headless=True)


def test_an_application_that_is_not_there_leaves_no_file(browser: Browser, tmp_path: Path) -> None:
    out = tmp_path / "r.fderec"
    with pytest.raises(WorkError, match="could not be opened"):
        record(
            "http://127.0.0.1:1/",
            out,
            workflow="w",
            instruction="",
            headless=True,
            script=work,
            browser=browser,
        )
    assert not out.exists()


def test_the_command_line_records_a_script(fde: Any, site: Site, tmp_path: Path) -> None:
    portal(site)
    script = tmp_path / "steps.txt"
    script.write_text('fill textbox "User": ann\nclick button "Log in"\nclick link "Open" #2\ndone\n')
    out = tmp_path / "made.fderec"
    options = [
        "--workflow",
        "w",
        "--instruction",
        "x",
        "--script",
        script,
        "--out",
        out,
        "--headless",
        "--json",
    ]
    told = fde("record", f"{site.url}/", *options)
    assert told.code == 0, told.err
    assert told.json["steps"] == 4 and told.json["actions"][-1] == 'click link "Open" in row "INV-2 Open"'
    again = fde("record", f"{site.url}/", *options)
    assert again.code == 2 and "exists already" in again.err
    script.write_text('click button "Nope"\n')
    wrong = fde("record", f"{site.url}/", *options[:-3], out.with_suffix(".b"), "--headless")
    assert wrong.code == 1 and "line 1" in wrong.err
