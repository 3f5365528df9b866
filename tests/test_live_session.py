"""The live application: right work passes, wrong work fails, and what breaks is not scored."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from envgen.live import Limits, LiveSession, Start
from envgen.session import Score, Task, View
from fde.errors import InputError, WorkError
from ingest.action import Action
from playbooks.quickstart.live import PortalCopy, make_live
from playbooks.quickstart.truth import expected, read_state
from tests.live_staging import Desk, desk, task

pytestmark = pytest.mark.browser


def oracle(task: Task, copy: PortalCopy) -> list[str]:
    """The right actions, worked out from the database and not from the pages."""
    before = read_state(copy.database)
    after = expected(copy.database, task.workflow, task.parameters)
    if task.workflow == "update-bank":
        vendor, iban = task.parameters["vendor"], task.parameters["iban"]
        number = next(key for key, row in before["vendors"].items() if row["name"] == vendor)
        return [
            'click link "Vendors"',
            f'fill searchbox "Search": {vendor}',
            'click button "Search"',
            f'click link "{vendor}"',
            'click link "Change bank"',
            f'fill textbox "IBAN": {iban}',
            f'select combobox "Hold": {after["bank_changes"][f"{number} 1"]["hold"]}',
            'check checkbox "Called back"',
            'click button "Save"',
        ]
    invoice = task.parameters["invoice"]
    begin = [
        f'fill searchbox "Search": {invoice}',
        'click button "Search"',
        f'click link "{invoice}"',
    ]
    row = after["invoices"][invoice]
    if task.workflow == "resolve-duplicate":
        if row["status"] == "Duplicate":
            middle = ['click link "Mark as duplicate"', f'fill textbox "Duplicate of": {row["duplicate_of"]}']
        else:
            middle = ['click link "Reinstate"', f'select combobox "Reason": {row["reason"]}']
    else:
        coding = after["codings"][invoice]
        middle = [
            'click link "Code"',
            f'select combobox "Cost centre": {coding["cost_centre"]}',
            f'select combobox "Account": {coding["account"]}',
            f'select combobox "Approver": {coding["approver"]}',
            *([f'fill textbox "PO number": {coding["po"]}'] if coding["po"] else []),
        ]
    return [*begin, *middle, 'click button "Submit"']


def work(session: LiveSession, lines: list[str]) -> list[View]:
    return [session.step(Action.parse(line)) for line in lines]


@pytest.fixture(scope="module")
def sessions() -> Iterator[dict[str, LiveSession]]:
    made = {name: make_live(name)[1]() for name in ("code-invoice", "resolve-duplicate", "update-bank")}
    yield made
    for session in made.values():
        session.close()


@pytest.mark.parametrize("workflow", ["code-invoice", "resolve-duplicate", "update-bank"])
def test_right_work_passes_and_wrong_work_fails(sessions: dict[str, LiveSession], workflow: str) -> None:
    session = sessions[workflow]
    for number, task_ in enumerate(make_live(workflow)[0](2 if workflow == "code-invoice" else 1, 7)):
        first = session.reset(task_)
        assert first.fresh and first.text.startswith('link "Inbox"') and "# Inbox" in first.text
        assert "assword" not in first.text and not first.finished and first.potential is None
        assert isinstance(session.application, PortalCopy)
        lines = oracle(task_, session.application)
        views = work(session, lines)
        # A value that was only filled in is known to the agent.
        filled = [view.text for view, line in zip(views, lines, strict=True) if line.startswith("fill")]
        assert filled[0] == ""
        assert not session.step(Action(verb="done")).text
        assert session.score() == Score(value=1.0), (number, views[-1].text)

        # The same task again, in the same state, and then everything right but one value.
        assert session.reset(task_).text == first.text
        wrong = [_spoil(line, task_) for line in lines]
        assert wrong != lines
        work(session, wrong)
        failed = session.score()
        assert failed.value == 0.0 and failed.reasons

        session.reset(task_)
        assert session.step(Action(verb="done")).finished
        assert session.score().value == 0.0, "claiming to be done is no work"


def _spoil(line: str, task: Task) -> str:
    if line.startswith('select combobox "Approver"'):
        return 'select combobox "Approver": ' + ("CFO" if "Team" in line else "Team lead")
    if line.startswith('select combobox "Hold"'):
        return 'select combobox "Hold": ' + ("None" if "30" in line else "30 days")
    if line.startswith('select combobox "Reason"'):
        return 'select combobox "Reason": ' + ("Both differ" if "Both" not in line else "Different amount")
    if line.startswith('fill textbox "Duplicate of"'):
        return f'fill textbox "Duplicate of": {task.parameters["invoice"]}'
    return line


def test_sessions_do_not_share_their_databases() -> None:
    tasks, make = make_live("code-invoice")
    (task_,) = tasks(1, 3)
    one, other = make(), make()
    try:
        one.reset(task_)
        other.reset(task_)
        assert isinstance(one.application, PortalCopy)
        work(one, oracle(task_, one.application))
        assert one.score().value == 1.0
        assert other.score().value == 0.0
        folder = one.application.database.parent
    finally:
        one.close()
        other.close()
    assert not folder.exists()
    # Who runs tasks may close a session after each of them.
    try:
        assert "# Inbox" in one.reset(task_).text and one.score().value == 0.0
    finally:
        one.close()


def test_unknown_workflow_is_an_error_and_live_tasks_are_new() -> None:
    with pytest.raises(InputError, match="no workflow 'pay-taxes'"):
        make_live("pay-taxes")
    tasks = make_live("code-invoice")[0]
    some = tasks(5, 1)
    assert tasks(5, 1) == some and len({t.parameters["invoice"] for t in some}) == 5
    assert all(t.split == "test" and t.parameters["invoice"] in t.instruction for t in some)


def test_what_the_agent_is_told(sessions: dict[str, LiveSession]) -> None:
    with desk() as port:
        session = LiveSession(Desk(port), limits=Limits(max_steps=8))
        try:
            with pytest.raises(InputError, match="no task"):
                session.step(Action(verb="done"))
            first = session.reset(task())
            assert first.text.splitlines()[0] == "# Desk"
            told = [view.text for view in work(session, ['click link "Nowhere"', 'click button "Closed"'])]
            assert told == ['There is no link "Nowhere" here.', 'button "Closed" is disabled.']
            assert session.step(Action.parse('select combobox "Size": Huge')).text == (
                "combobox \"Size\" has no option 'Huge'."
            )
            assert session.step(Action.parse("goto https://example.com/")).text.endswith(
                "not part of the application."
            )
            assert session.step(Action.parse('fill textbox "Note": hello')).text == ""
            assert "Confirmed" in session.step(Action.parse('click button "Ask"')).text
            other = session.step(Action.parse('click link "Other"'))
            assert "# Other window" in other.text
            back = session.step(Action.parse('click button "Back"'))
            assert "# Desk" in back.text
            assert back.finished, "the eighth action is the last"
            assert session.score().passed
        finally:
            session.close()


def test_a_page_that_never_answers_is_not_scored_and_the_next_task_works() -> None:
    with desk() as port:
        application = Desk(port)
        session = LiveSession(application, limits=Limits(action_s=4.0))
        try:
            session.reset(task())
            hung = session.step(Action.parse('click button "Hang"'))
            assert hung.finished and hung.text == ""
            score = session.score()
            assert score.value is None and "did not react within 4 s" in score.reasons[0]
            assert session.step(Action(verb="done")).finished
            assert not session.reset(task(1)).finished
            assert session.score().value == 1.0
        finally:
            session.close()
        assert application.closed


def test_a_browser_that_dies_is_not_scored() -> None:
    with desk() as port:
        session = LiveSession(Desk(port))
        try:
            session.reset(task())
            assert session._process is not None
            os.kill(session._process, signal.SIGKILL)
            assert session.step(Action.parse('click button "Ask"')).finished
            assert session.score().value is None
            assert "# Desk" in session.reset(task(1)).text
        finally:
            session.close()


def test_an_application_that_goes_away_is_not_scored() -> None:
    with desk() as port:
        session = LiveSession(Desk(port))
        session.reset(task())
    try:
        assert session.step(Action.parse('click link "Leave"')).finished
        score = session.score()
        assert score.value is None and score.reasons[0] == "The application does not answer."
        gone = session.reset(task(1))
        assert gone.finished and gone.page.children == ()
        assert "does not answer at http://127.0.0.1" in session.score().reasons[0]
    finally:
        session.close()


def test_signing_in() -> None:
    lines = ('fill textbox "User": ann', 'fill textbox "Password": right', 'click button "Go"')
    with desk() as port:
        session = LiveSession(Desk(port, "/login", lines))
        try:
            first = session.reset(task())
            assert first.text.startswith("# Desk") and "right" not in first.text
            session.application = Desk(
                port, "/login", (lines[0], 'fill textbox "Password": s3cret', lines[2])
            )
            assert session.reset(task(1)).finished
            reason = session.score().reasons[0]
            assert reason.startswith("Signing in failed: the page still asks for") and "s3cret" not in reason
            slow = (lines[0], 'fill textbox "Password": slow', lines[2])
            session.application = Desk(port, "/login", slow)
            assert session.reset(task(2)).text == first.text, "a busy machine begins late with the next page"
            session.application = Desk(port, "/wiped", (lines[0], lines[2]))
            assert session.reset(task(2)).text == first.text, (
                "what did not stay in the field is written again"
            )
            session.application = Desk(port, "/once", (lines[0], lines[2]))
            assert session.reset(task(2)).text == first.text, "it is tried a second time"
            session.application = Desk(port, "/login", ('fill textbox "Pin": s3cret',))
            assert session.reset(task(3)).finished
            reason = session.score().reasons[0]
            assert "step 1" in reason and 'textbox "Pin"' in reason and "s3cret" not in reason
        finally:
            session.close()


class Broken(Desk):
    def begin(self, task: Task) -> Start:
        if task.seed == 0:
            raise WorkError("No database.")
        return super().begin(task)

    def judge(self, task: Task) -> Score:
        raise RuntimeError("probe fell over\nsecond line")


def test_hooks_that_fail_are_reasons_not_crashes() -> None:
    with desk() as port:
        session = LiveSession(Broken(port))
        try:
            assert session.reset(task(0)).finished
            assert session.score().reasons == ("The application could not be prepared: No database.",)
            session.reset(task(1))
            assert session.score() == Score(
                value=None, reasons=("The effect could not be judged: probe fell over",)
            )
        finally:
            session.close()
