"""The report: complete, self-contained, harmless, and honest about what is missing."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from evaluate_made_up import ARMS, engagement_with_results

from evaluate.report import write_report
from fde.engagement import Engagement
from ingest.browser import launch

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks nesting and collects text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Engagement:
    return engagement_with_results(tmp_path_factory.mktemp("report") / "e")


def test_the_page_says_what_was_measured(made: Engagement) -> None:
    written = write_report(made)
    page = read(written.page)
    text = " ".join(" ".join(page.text).split())
    comparison = written.data["comparison"]
    rl = next(arm for arm in comparison["arms"] if arm["name"] == "rl-main")
    assert f"{100 * rl['success']:.0f}%" in text
    assert comparison["test_set"]["sha256"] in text
    assert "Meridian Supply <test>" in text  # escaped in the page, itself for the reader
    assert "<b>Harbor</b>" in text
    for name in ("decision", "arms", "money", "differences", "learning", "return", "proof", "bars"):
        assert name in page.ids
    assert "Not measured" not in text


def test_the_page_loads_nothing_and_forbids_everything(made: Engagement) -> None:
    html = write_report(made).page.read_text(encoding="utf-8")
    assert "<script" not in html and "javascript:" not in html and "@import" not in html
    assert "url(" not in html
    assert not {"src", "href", "action", "style", "onload", "onclick"} & set(
        read(made.reports / "index.html").attributes
    )
    assert "default-src 'none'" in html


def test_nothing_is_written_twice_for_the_same_results(made: Engagement) -> None:
    first = write_report(made)
    stamp = first.page.stat().st_mtime_ns
    second = write_report(made)
    assert (second.run.id, second.page.stat().st_mtime_ns) == (first.run.id, stamp)
    first.page.unlink()
    assert write_report(made).page.is_file()


def test_missing_parts_are_said_to_be_missing(tmp_path: Path) -> None:
    arms = {name: arm for name, arm in ARMS.items() if name in ("zero-shot", "replay")}
    made = engagement_with_results(tmp_path / "e", arms=arms, live=0, disturbed=0)
    (made.reports / "timings.json").unlink()
    for path in (*made.stages.glob("envgen/*/*/gate.json"), *made.stages.glob("redact/*/audit.json")):
        path.unlink()
    written = write_report(made)
    text = " ".join(read(written.page).text)
    assert text.count("Not measured") >= 6
    assert written.data["comparison"]["verdict"] == "undecided"
    assert {bar["met"] for bar in written.data["bars"]} == {None}


def test_an_arm_without_a_single_judged_task_is_not_zero(tmp_path: Path) -> None:
    made = engagement_with_results(tmp_path / "e")
    path = next(made.stages.glob("evaluate/*/arms/rag.json"))
    arm = json.loads(path.read_text())
    for row in arm["rows"]:
        row.update(value=None, error="the session broke", reasons=[])
    path.write_text(json.dumps(arm))
    data = write_report(made).data
    rag = next(arm for arm in data["comparison"]["arms"] if arm["name"] == "rag")
    assert rag["success"] is None and rag["cost_per_success"] is None and rag["unscored"] == 120
    assert all(pair["b"] != "rag" for pair in data["comparison"]["comparisons"])
    assert "180 tasks" in " ".join(" ".join(read(made.reports / "index.html").text).split())


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    made = engagement_with_results(tmp_path / "e")
    path = next(made.stages.glob("evaluate/*/arms/rl-main.json"))
    arm = json.loads(path.read_text())
    attack = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>"
    for row in arm["rows"]:
        row["value"], row["reasons"], row["transcript"] = 0.0, [attack], [["user", attack * 200]]
    path.write_text(json.dumps(arm))
    html = write_report(made).page.read_text(encoding="utf-8")
    assert "<script" not in html and "<img" not in html
    assert "more characters" in html  # a long page is shortened, and says so


def test_bars_are_judged(made: Engagement) -> None:
    bars = {bar["name"]: bar for bar in write_report(made).data["bars"]}
    assert bars["Wall clock of the whole run"]["met"] is True
    assert bars["RL success on held-out tasks"]["met"] is True
    same_time = bars["RL minus imitation of the program at equal time, disturbed tasks"]
    assert same_time["met"] is None and same_time["measured"] is None  # the only one is RL's start
    start = bars["RL minus the checkpoint it started from, same tasks"]
    assert start["met"] is False and "p = " in start["measured"]


def test_command_line(made: Engagement, fde: Any) -> None:
    told = fde("-C", made.root, "report", "--json")
    assert told.code == 0 and Path(told.json["report"]).is_file()
    told = fde("-C", made.root, "evaluate", "compare", "--json")
    assert told.code == 0
    assert set(told.json["arms"][0]) >= {
        "name", "success", "ci", "n", "cost_per_task", "cost_per_success", "p50_s", "p95_s",
    }  # fmt: skip
    assert set(told.json["comparisons"][0]) >= {"a", "b", "delta", "ci", "p_value"}
    assert isinstance(told.json["verdict"], str)
    told = fde("-C", made.root, "evaluate", "compare")
    assert "rl-main − sft-program" in told.out
    told = fde("-C", made.root, "evaluate", "compare", "--workflow", "nothing")
    assert told.code == 2 and "fde evaluate run --workflow nothing" in told.err


def test_nothing_evaluated_yet(engagement: Engagement, fde: Any) -> None:
    told = fde("-C", engagement.root, "report")
    assert told.code == 2 and "fde evaluate run" in told.err


@pytest.mark.browser
def test_no_width_hides_anything(made: Engagement) -> None:
    written = write_report(made)
    with launch() as browser:
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 900})
            complaints: list[str] = []
            page.on("console", lambda message, kept=complaints: kept.append(message.text))
            page.goto(written.page.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert complaints == []
            colour = "getComputedStyle(document.querySelector('.dot.c-rl')).fill"
            assert page.evaluate(colour) == "rgb(15, 118, 110)"  # the style passes its own policy
            page.close()
