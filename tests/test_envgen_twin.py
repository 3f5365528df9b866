"""The twin in a real browser: the same actions, the same snapshots; a person's work and its verdict."""

from __future__ import annotations

import random
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path

import pytest
from envgen_desk import documents, recordings

from envgen.choices import choices
from envgen.compile import compile_workflow
from envgen.environment import WorkflowEnv
from envgen.parity import compare
from envgen.tasks import make_tasks
from envgen.twin import page_html
from envgen.twin_server import serve
from envgen.workflow import Workflow
from ingest.action import Action
from ingest.browser import launch, new_page
from ingest.page import prepare
from ingest.recordings import read_recording
from ingest.snapshot import Node

RECORDED = Path(__file__).parent.parent / "playbooks" / "quickstart" / "recordings" / "code-invoice"


@cache
def desk() -> Workflow:
    return compile_workflow(recordings(), documents())


@pytest.mark.browser
def test_the_twin_shows_what_the_environment_shows() -> None:
    found = [read_recording(path)[0] for path in sorted(RECORDED.glob("*.fderec"))]
    same = compare(compile_workflow(found), steps=25, seed=1)
    assert same.steps == 25
    assert not same.different, same.different[:3]


@pytest.mark.browser
def test_a_person_does_a_task_and_sees_the_verdict() -> None:
    with serve(desk()) as twin, launch() as browser:
        page = new_page(browser)
        prepare(page.context)
        page.goto(twin.url)
        assert twin.task is not None
        page.get_by_text(twin.task.instruction).wait_for()
        application = page.frame_locator("#page")
        application.get_by_role("searchbox", name="Find").fill(twin.task.parameters["claim"])
        application.get_by_role("button", name="Find").click()
        application.get_by_role("link", name=twin.task.parameters["claim"]).wait_for()
        page.get_by_role("button", name="Done").click()
        verdict = page.locator("#verdict")
        verdict.get_by_text("is missing").wait_for()
        assert "Not right" in verdict.inner_text()
        page.get_by_role("button", name="Another task").click()
        page.get_by_text(twin.task.instruction).wait_for()


def test_only_its_own_pages_may_talk_to_it() -> None:
    with serve(desk()) as twin:
        for path, headers in (
            ("act", {"content-type": "application/json"}),
            ("page", {"host": "evil.example:80"}),
        ):
            data = b"{}" if path == "act" else None
            request = urllib.request.Request(twin.url + path, data=data, headers=headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            assert refused.value.code == 403
            refused.value.close()


def test_what_a_page_says_is_never_markup() -> None:
    page = Node("document", children=(
        Node("heading", "<script>alert(1)</script>", states=(("level", "1"),)),
        Node("textbox", '" onfocus="alert(2)', value='"><img src=x>'),
        Node("text", value="<b>bold</b>"),
    ))  # fmt: skip
    body, targets = page_html(page)
    assert "<script" not in body and "<img" not in body and "<b>" not in body
    assert 'onfocus="' not in body
    assert [t.name for t in targets] == ['" onfocus="alert(2)']


def test_every_choice_is_an_element_of_the_twin() -> None:
    env = WorkflowEnv(desk())
    rng = random.Random(4)
    view = env.reset(make_tasks(desk(), "dev", 1)[0])
    for _ in range(15):
        offered = [c for c in choices(view.page) if c.text != "done"]
        texts = {target.text() for target in page_html(view.page)[1]}
        assert all(any(f"{t}" in c.text for t in texts) for c in offered)
        chosen = rng.choice(offered)
        view = env.step(Action.parse(chosen.text + (" x" if chosen.open else "")))
