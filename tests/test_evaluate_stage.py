"""The stage through its real harness: a tiny random model, a portal in memory, and interruptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from serve_tiny import make_engagement, make_model, train
from train_toy import Portal, make_tasks

from envgen.session import Score, Split, Task, View
from evaluate import stage as evaluate_stage
from evaluate import work as evaluate_work
from evaluate.arms import Example, Material, nearest
from evaluate.lending import LivePlace
from evaluate.places import Workplace
from evaluate.results import arms_of, compare, load_test_set
from evaluate.retrieval import Passage, Retriever, passages
from evaluate.stage import evaluate
from evaluate.watch import SAME_TEXT, Watched
from fde.engagement import Engagement, Run
from fde.errors import InputError
from ingest.action import Action
from ingest.document import Chunk, Document
from ingest.snapshot import Node

NAME = "code-invoice"
TALK = ({"role": "user", "content": "Task: Code INV-1."}, {"role": "assistant", "content": "done\n"})


def tasks(split: Split, n: int, disturbed: bool) -> Sequence[Task]:
    made = make_tasks(n, split, 7 if disturbed else 0)
    if not disturbed:
        return made
    return [t.model_copy(update={"id": f"{t.id}+dialog", "disturbances": ("dialog",)}) for t in made]


def material() -> Material:
    return Material((Example("r1", "Code and route invoice INV-1.", TALK),), Retriever([]))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny") / "model")


def prepared(root: Path, base: Path) -> tuple[Engagement, Workplace]:
    made = make_engagement(root, base)
    built = made.run("envgen", inputs={}, config={})
    with made.working(built):
        built.finish()
    for name, told, start in (
        ("sft-recordings", {"demonstrations": "recordings"}, None),
        ("sft-start", {"demonstrations": "both"}, None),
        ("sft-program", {"demonstrations": "both"}, "sft-start"),
        ("rl-main", {}, "sft-start"),
    ):
        strength = {"sft-recordings": 0.1, "sft-start": 0.15, "sft-program": 0.2, "rl-main": 0.3}[name]
        # One of the arms tuned the weights themselves.
        run = train(made, name, base, strength=strength, tuned=name == "rl-main")
        manifest = run.manifest()
        inputs = {"start": f"{start}/{made.latest(start).id}"} if start else {}
        changed = manifest.model_copy(
            update={"config": {**manifest.config, "workflow": NAME, **told}, "inputs": inputs}
        )
        run.manifest_path.write_text(changed.model_dump_json())
    return made, Workplace(NAME, f"envgen/{built.id}", tasks, lambda _task: Portal(), material)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A model of this size is slowed down by sharing its work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_tracking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's first look at a new database takes seconds: one test does it."""
    if request.node.name != "test_every_arm_does_the_same_tasks":
        monkeypatch.setattr(evaluate_stage, "_track", lambda *_: None)


def go(made: Engagement, place: Workplace, **more: Any) -> Run:
    return evaluate(made, place=place, n=2, disturbed=1, **{"live": 0, **more})


def test_every_arm_does_the_same_tasks(tmp_path: Path, base: Path) -> None:
    made, place = prepared(tmp_path / "e", base)
    labels: list[str] = []
    run = go(made, place, progress=lambda label, total: labels.append(label) or (lambda: None))
    arms = {arm.name: arm for arm in arms_of(run)}
    assert list(arms) == [
        "replay",
        "zero-shot",
        "few-shot",
        "rag",
        "sft-recordings",
        "sft-program",
        "sft-start",
        "rl-main",
    ]
    tests = load_test_set(run)
    plain = [task.id for task in tests.plain]
    for arm in arms.values():
        assert [row.task for row in arm.plain_rows()] == plain
        assert len(arm.disturbed_rows()) == (arm.name in ("replay", "sft-program", "rl-main"))
        assert all(row.value in (0.0, 1.0) and row.error is None for row in arm.rows)
        assert all(row.transcript[0][1].startswith("Task: ") for row in arm.rows)
        assert arm.seconds > 0 and arm.peak_memory_bytes
    assert all(row.value == 1.0 for row in arms["replay"].rows)
    assert arms["rl-main"].started_from == "sft-start"
    assert arms["sft-program"].data == "recordings+program"
    assert len({arm.adapter for arm in arms.values()}) == 5  # None and four adapters
    assert arms["few-shot"].rows[0].tokens_in > arms["zero-shot"].rows[0].tokens_in // 2
    comparison = compare(made, run)
    assert comparison["test_set"]["sha256"] == tests.hash
    assert comparison["verdict"] in ("don't train", "don't automate")  # a random model does nothing right
    assert labels[0].startswith("Replay") and labels[-1] == "RL"
    assert made.mlflow_db.is_file()


def test_a_killed_evaluation_goes_on_with_the_next_arm(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, place = prepared(tmp_path / "e", base)
    real = evaluate_work.run_model
    ran: list[str] = []

    def dies_at_rag(arm: Any, *rest: Any, **more: Any) -> Any:
        ran.append(arm.name)
        if arm.name == "rag" and ran.count("rag") == 1:
            raise KeyboardInterrupt
        return real(arm, *rest, **more)

    monkeypatch.setattr(evaluate_work, "run_model", dies_at_rag)
    with pytest.raises(KeyboardInterrupt):
        go(made, place)
    run = go(made, place)
    assert ran == [
        "zero-shot",
        "few-shot",
        "rag",
        "rag",
        "sft-recordings",
        "sft-program",
        "sft-start",
        "rl-main",
    ]
    assert run.finished
    ran.clear()
    assert go(made, place).id == run.id and ran == []


def test_a_new_adapter_leaves_the_other_arms_as_they_were(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, place = prepared(tmp_path / "e", base)
    first = go(made, place)
    newer = train(made, "rl-main", base, strength=0.5, seed=2)
    start = {"start": f"sft-start/{made.latest('sft-start').id}"}
    changed = newer.manifest().model_copy(update={"config": {"workflow": NAME}, "inputs": start})
    newer.manifest_path.write_text(changed.model_dump_json())
    real = evaluate_work.run_model
    ran: list[str] = []

    def counted(arm: Any, *rest: Any, **more: Any) -> Any:
        ran.append(arm.name)
        return real(arm, *rest, **more)

    monkeypatch.setattr(evaluate_work, "run_model", counted)
    second = go(made, place)
    assert second.id != first.id and ran == ["rl-main"]
    before = {arm.name: arm.rows for arm in arms_of(first)}
    after = {arm.name: arm.rows for arm in arms_of(second)}
    assert before["zero-shot"] == after["zero-shot"]


class Broken(Portal):
    """An application that is down for every second task."""

    made = 0

    def reset(self, task: Task) -> View:
        if task.seed % 2:
            raise OSError("connection refused")
        return super().reset(task)


def test_what_breaks_is_a_row_without_a_score(tmp_path: Path, base: Path) -> None:
    made, place = prepared(tmp_path / "e", base)
    broken = Workplace(place.workflow, place.run, place.tasks, lambda _task: Broken(), material)
    run = go(made, broken, arms=["replay", "zero-shot"])
    for arm in arms_of(run):
        lost = [row for row in arm.rows if row.value is None]
        assert lost and all("connection refused" in str(row.error) for row in lost)
    data = compare(made, run)
    assert all(arm["unscored"] for arm in data["arms"])
    assert next(arm for arm in data["arms"] if arm["name"] == "replay")["success"] == 1.0


class Staged(Portal):
    """A live session: counts what is opened and closed."""

    opened: ClassVar[list[Staged]] = []
    closed: ClassVar[list[Staged]] = []

    def __init__(self) -> None:
        super().__init__()
        Staged.opened.append(self)

    def close(self) -> None:
        Staged.closed.append(self)


def test_the_trained_policy_is_tried_on_the_real_application(tmp_path: Path, base: Path) -> None:
    made, place = prepared(tmp_path / "e", base)
    live = LivePlace(lambda n, seed: make_tasks(n, "test", seed), Staged, sessions=4)
    run = go(made, place, arms=["replay", "rl-main"], live=5, live_place=live)
    found = [arm for arm in arms_of(run) if arm.place == "live"]
    assert [arm.name for arm in found] == ["rl-main"] and len(found[0].rows) == 5
    assert len(Staged.opened) == 4 and sorted(map(id, Staged.closed)) == sorted(
        map(id, Staged.opened)
    )  # four took turns
    told = compare(made, run)["live"][0]
    assert told["live"]["n"] == 5 and told["environment"]["n"] == 2 and told["ci"] is not None


def test_unknown_arms_are_named(tmp_path: Path, base: Path) -> None:
    made, place = prepared(tmp_path / "e", base)
    with pytest.raises(InputError, match=r"'magic'"):
        go(made, place, arms=["magic"])


class Carousel:
    """A session whose pages go round for ever."""

    def reset(self, task: Task) -> View:
        return View(Node("document"), "page 0", fresh=True)

    def step(self, action: Action) -> View:
        return View(Node("document"), "page 1", fresh=True)

    def score(self) -> Score:
        return Score(value=0.0)

    def close(self) -> None:
        return


def test_endless_loops_are_cut() -> None:
    watched = Watched(Carousel())
    watched.reset(make_tasks(1)[0])
    steps = 0
    while not watched.step(Action(verb="done")).finished:
        steps += 1
    assert steps == SAME_TEXT - 1 == 1 and watched.looped


def test_retrieval() -> None:
    document = Document(
        id="d", source="policy.docx", media_type="x", text="", chunks=(
            Chunk(text="Paper goes to cost centre CC-110.", heading="Coding"),
            Chunk(text="Travel is booked by the office.", heading="Travel"),
        ),
    )  # fmt: skip
    plain = Document(id="p", source="a.txt", media_type="x", text="One.\n\nTwo about paper.")
    found = Retriever(passages([document, plain]))
    assert found.find("Which cost centre for paper?", 1)[0].text.startswith("Coding\nPaper")
    assert found.find("zebra", 3) == [] and Retriever([]).find("paper", 3) == []
    assert Passage("a.txt", "Two about paper.") in found.find("paper", 9)


def test_nearest_examples_come_last() -> None:
    pool = [
        Example("a", "Pay the vendor Foo", ()),
        Example("b", "Code invoice INV-9", ()),
        Example("c", "Code it", ()),
    ]
    assert [e.id for e in nearest("Code invoice INV-1", pool, 2)] == ["c", "b"]


def test_of_equally_near_examples_the_shortest_is_shown() -> None:
    talk = ({"role": "user", "content": "page"}, {"role": "assistant", "content": "click"})
    pool = [Example("a", "Code invoice INV-9", talk * 2), Example("b", "Code invoice INV-8", talk)]
    assert [e.id for e in nearest("Code invoice INV-1", pool, 1)] == ["b"]
