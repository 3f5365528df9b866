"""Pages as trees: the text form, and the in-page function that makes it from real pages."""

# ruff: noqa: F811 - fixtures are imported and then named as parameters

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_pages import browser, page, shown  # noqa: F401

from envgen.observe import lines
from fde.errors import InputError
from ingest.action import resolve, target_of
from ingest.page import see, take_snapshot
from ingest.snapshot import Node, parse, render

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_roles = st.sampled_from(["button", "row", "cell", "textbox", "listitem"])
_texts = st.text(max_size=12)
_states = st.lists(
    st.sampled_from([("disabled", ""), ("level", "2"), ("required", "")]), max_size=2, unique=True
)


def _node(children: st.SearchStrategy[list[Node]]) -> st.SearchStrategy[Node]:
    return st.builds(
        Node,
        role=_roles,
        name=_texts,
        value=st.none() | _texts,
        states=_states.map(tuple),
        children=children.map(tuple),
    )


_trees = st.recursive(_node(st.just([])), lambda inner: _node(st.lists(inner, max_size=3)), max_leaves=8)


@given(_trees)
def test_any_tree_survives_the_text_form(node: Node) -> None:
    root = Node("document", children=(node,))
    assert parse(render(root)) == root


@given(_trees)
def test_every_element_is_found_by_its_target(node: Node) -> None:
    root = Node("document", children=(node,))

    def check(path: tuple[Node, ...]) -> None:
        if len(path) > 1:
            found = resolve(root, target_of(root, path))
            assert found is not None and found[-1] is path[-1]
        for child in path[-1].children:
            check((*path, child))

    check((root,))


@pytest.mark.parametrize(
    "text", ["nonsense", "- ", "-button", '- button "x', "   - button", "- text: a\n      - text: b"]
)
def test_a_broken_snapshot_names_its_line(text: str) -> None:
    with pytest.raises(InputError, match="line"):
        parse(text)


pytestmark = pytest.mark.browser

NAMES = [
    ("<label for=a>Cost center</label><input id=a>", 'textbox "Cost center"'),
    ("<label>Vendor <input></label>", 'textbox "Vendor"'),
    ("<b id=l>Total</b><input aria-labelledby=l>", 'textbox "Total"'),
    ("<input aria-label=Amount>", 'textbox "Amount"'),
    ("<input title=Hint>", 'textbox "Hint"'),
    ("<input placeholder=Search>", 'textbox "Search"'),
    ("<input type=submit value=Send>", 'button "Send"'),
    ("<input type=submit>", 'button "Submit"'),
    ("<input type=image alt=Go>", 'button "Go"'),
    ("<button>Save <b>now</b></button>", 'button "Save now"'),
    ("<a href=x><img alt=Home></a>", 'link "Home"'),
    ("<a href=x><i class='fa fa-trash'></i></a>", 'link "trash"'),
    ("<a href=x><img src=/icons/delete_row.gif></a>", 'link "delete row"'),
    ("<div>Cost center:</div><input>", 'textbox "Cost center"'),
    ("Due date <input>", 'textbox "Due date"'),
    ("<input type=checkbox> Paid", 'checkbox "Paid"'),
    ("<table><tr><td>First name *</td><td><input></td></tr></table>", 'textbox "First name"'),
    (
        "<table><tr><th>Qty</th><th>Item</th></tr><tr><td><input></td><td>Pen</td></tr></table>",
        'textbox "Qty"',
    ),
    ("<p>Totals</p><table><tr><td>1</td></tr></table><input name=ctl00$costCenter>", 'textbox "cost center"'),
    ("<div role=button tabindex=0>Do it</div>", 'button "Do it"'),
    ("<div onclick=1>Open</div>", 'clickable "Open"'),
    ("<div style=cursor:pointer><span>Open</span> it</div>", 'clickable "Open it"'),
    ("<a onclick=1>Old link</a>", 'clickable "Old link"'),
    ("<img src=/img/print.png onclick=1>", 'clickable "print"'),
    ("<svg role=img><title>Chart</title></svg>", 'img "Chart"'),
    ("<label><input type=checkbox style=display:none>Express</label>", 'checkbox "Express"'),
]


@pytest.mark.parametrize(("html", "expected"), NAMES)
def test_names_are_what_people_would_say(page: Page, html: str, expected: str) -> None:
    assert f"- {expected}" in shown(page, html)


def test_a_label_is_told_once(page: Page) -> None:
    text = shown(
        page, "<label>Vendor <input value=Acme></label><div>Terms</div><select><option>Net 30</select>"
    )
    assert text == '- textbox "Vendor": Acme\n- combobox "Terms": Net 30\n  - option "Net 30" [selected]'


STATES = [
    ("<button disabled>A</button>", "[disabled]"),
    ("<fieldset disabled><button>A</button></fieldset>", "[disabled]"),
    ("<input type=checkbox checked aria-label=A>", "[checked]"),
    ("<input aria-label=A required>", "[required]"),
    ("<input aria-label=A readonly>", "[readonly]"),
    ("<input aria-label=A aria-invalid=true>", "[invalid]"),
    ("<button aria-expanded=true>A</button>", "[expanded]"),
    ("<details open><summary>A</summary>b</details>", "[expanded]"),
    ("<div role=tab aria-selected=true>A</div>", "[selected]"),
    ("<h3>A</h3>", "[level=3]"),
    ("<div role=checkbox aria-checked=mixed>A</div>", "[checked=mixed]"),
]


@pytest.mark.parametrize(("html", "expected"), STATES)
def test_states_are_told(page: Page, html: str, expected: str) -> None:
    assert expected in shown(page, html)


def test_a_form_blocked_by_the_browser_shows_why(page: Page) -> None:
    shown(page, "<form><label>Mail <input type=email required></label><button>Go</button></form>")
    assert "[required]" in take_snapshot(page).text
    page.get_by_label("Mail").fill("not a mail")
    page.get_by_role("button").click()
    assert '- textbox "Mail" [required] [invalid]: not a mail' in take_snapshot(page).text


def test_what_cannot_be_seen_is_left_out(page: Page) -> None:
    text = shown(
        page,
        "<style>.h{display:none}</style><p>seen</p><p class=h>a</p><p hidden>b</p><p aria-hidden=true>c</p>"
        "<p style='visibility:hidden'>d</p><script>e</script><template>f</template>"
        "<details><p>g</p></details>"
        "<img src=x alt=''><div inert>h</div><noscript>i</noscript>",
    )
    assert text == "- paragraph: seen"


def test_a_password_is_only_ever_four_dots(page: Page) -> None:
    html = "<label>P <input type=password id=p value=hunter2></label>"
    html += "<button onclick=\"p.type='text'\">Show</button>"
    assert '- textbox "P": ••••' in shown(page, html)
    page.get_by_label("P").fill("x")
    page.get_by_role("button").click()
    assert page.get_by_label("P").input_value() == "x"
    assert '- textbox "P": ••••' in take_snapshot(page).text


def test_tables_rows_and_what_reacts_in_them(page: Page) -> None:
    text = shown(
        page,
        "<table><tr><th>Id</th><th>Vendor</th><th></th></tr>"
        "<tr><td><a href=1>INV-1</a></td><td>Acme</td><td><button>Open</button></td></tr>"
        "<tr onclick=1><td>INV-2</td><td>Beta</td><td></td></tr></table>",
    )
    assert text.splitlines()[1:] == [
        '  - row "Id Vendor":',
        '    - columnheader "Id"',
        '    - columnheader "Vendor"',
        "    - columnheader",
        '  - row "INV-1 Acme":',
        '    - cell "INV-1":',
        '      - link "INV-1"',
        '    - cell "Acme"',
        "    - cell:",
        '      - button "Open"',
        '  - row "INV-2 Beta":',
        '    - cell "INV-2":',
        '      - clickable "INV-2"',
        '    - cell "Beta"',
        "    - cell",
    ]
    assert lines(parse(text))[1:] == ['link "INV-1" | Acme | button "Open"', 'clickable "INV-2" | Beta']


def test_definitions_and_navigation_read_well_to_an_agent(page: Page) -> None:
    text = shown(
        page,
        "<nav><ul><li><a href=1>Inbox</a></li><li><a href=2>Vendors</a></li></ul></nav>"
        "<dl><dt>Vendor</dt><dd>Harbor <b>Paper</b></dd><dt>Total</dt><dd>4,120.00</dd></dl>"
        "<div role=alert>No</div>",
    )
    assert lines(parse(text)) == [
        'link "Inbox"',
        'link "Vendors"',
        "Vendor: Harbor Paper",
        "Total: 4,120.00",
        "! No",
    ]


def test_shadow_roots_and_frames_are_part_of_the_page(browser: Browser) -> None:
    from ingest.browser import new_page

    page = new_page(browser)
    text = shown(
        page,
        "<div id=o></div><div id=c></div><iframe title=Same srcdoc='<button>Inner</button>'></iframe>"
        "<iframe title=Far src='data:text/html,<button>Far</button>'></iframe>"
        "<script>o.attachShadow({mode:'open'}).innerHTML='<button>Open</button><slot></slot>';"
        "c.attachShadow({mode:'closed'}).innerHTML='<button>Closed</button>'</script>",
    )
    for _ in range(50):
        text = take_snapshot(page).text
        if "Inner" in text and 'button "Far"' in text:
            break
        page.wait_for_timeout(50)
    assert '- button "Open"' in text and '- button "Closed"' in text
    assert '- iframe "Same":\n  - button "Inner"' in text
    assert '- iframe "Far":\n  - button "Far"' in text
    assert len(see(page).frames) == 1
    page.context.close()


def test_listeners_are_found_even_on_plain_elements(page: Page) -> None:
    text = shown(
        page,
        "<div id=a>Alone</div><div id=list><a href=1>One</a><a href=2>Two</a></div>"
        "<script>a.addEventListener('click',()=>0);list.addEventListener('click',()=>0)</script>",
    )
    assert text == '- clickable "Alone"\n- link "One"\n- link "Two"', "delegation is not a target"


def test_a_modal_dialog_is_all_there_is(page: Page) -> None:
    text = shown(
        page,
        "<button>Behind</button><dialog id=d><p>Sure?</p><button>Yes</button></dialog>"
        "<script>d.showModal()</script>",
    )
    assert text == '- dialog:\n  - paragraph: Sure?\n  - button "Yes"'


def test_strange_text_becomes_one_clean_line(page: Page) -> None:
    text = shown(
        page,
        "<p>a\u00a0 b\u200b\n\u2028c \ue001 <b>d</b>e</p><p>x<br>y</p>"
        "<textarea aria-label=T>1\n2\u2028</textarea>",
    )
    assert text.splitlines()[0] == "- paragraph: a b c de"
    assert '- textbox "T": "1\\n2 "' in text


HOSTILE = [
    "Array.prototype.push=Array.prototype.map=()=>{throw 1}",
    "Array.prototype[Symbol.iterator]=function*(){}",
    "Object.prototype.toJSON=String.prototype.toJSON=Array.prototype.toJSON=()=>'x'",
    "Element.prototype.getAttribute=()=>{throw 2};Node.prototype.contains=()=>false",
    "String.prototype.slice=String.prototype.charCodeAt=()=>'evil'",
    "Map.prototype.get=()=>7;WeakSet.prototype.has=()=>true",
    "JSON.stringify=JSON.parse=()=>3",
    "window.getComputedStyle=()=>null",
    "Array.from=Object.keys=()=>[]",
]


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("script", HOSTILE)
def test_a_page_that_replaced_the_built_ins_is_still_seen(
    browser: Browser, script: str, prepared: bool
) -> None:
    from ingest.browser import new_page

    page = new_page(browser) if prepared else browser.new_page()
    html = (
        f"<script>{script}</script><form><input name=childNodes aria-label=A><input name=getAttribute></form>"
    )
    assert shown(page, html) == '- textbox "A"\n- textbox "get attribute"'
    page.context.close()


def test_a_huge_page_is_cut_with_a_note(page: Page) -> None:
    page.goto("about:blank")
    page.evaluate(
        "() => { for (let i = 0; i < 20000; i++) document.body.append(document.createElement('p'), 'n' + i) }"
    )
    text = take_snapshot(page).text
    assert len(text.splitlines()) < 10_000
    assert text.splitlines()[-1].startswith("- note: ")


def test_a_deep_page_does_not_overflow(page: Page) -> None:
    page.goto("about:blank")
    page.evaluate(
        "() => { let e = document.body; for (let i = 0; i < 2000; i++) "
        "{ e.append(document.createElement('div')); e = e.lastChild } e.textContent = 'deep' }"
    )
    assert "note: " in take_snapshot(page).text


def test_looking_changes_nothing_and_repeats(page: Page) -> None:
    first = shown(page, "<div>a</div><table><tr><td><input></td><td>b</td></tr></table>")
    before = page.content()
    assert take_snapshot(page).text == first
    assert page.content() == before
