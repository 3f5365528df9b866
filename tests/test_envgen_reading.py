"""Questions from documents: what is asked, what is right, and what the verifier lets pass."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from envgen_handbook import COMMAND, document, documents, plants, table

from envgen.compiled import CompiledReading, compiled_of, make_tasks
from envgen.exports import export
from envgen.reading import page
from envgen.reading.build import ClosedBook, build_reading, enough
from envgen.reading.corpus import make_corpus
from envgen.reading.environment import ReadingEnv
from envgen.reading.gate import gate
from envgen.reading.limits import interval
from envgen.reading.model import Question, Reading
from envgen.reading.right import otherwise
from envgen.reading.same import same, same_items
from envgen.reading.wrong import work
from envgen.session import Task
from envgen.textual import TextEpisodes
from envgen.values import number
from fde.cli.main import main
from fde.engagement import Engagement
from fde.errors import InputError, WorkError
from ingest.action import Action
from ingest.document import Document


@cache
def handbook() -> Reading:
    return build_reading(documents())


def asked(kind: str, reading: Reading | None = None) -> list[Question]:
    return [question for question in (reading or handbook()).questions if question.kind == kind]


def task_of(question: Question, *disturbances: str) -> Task:
    reading = CompiledReading(handbook())
    for task in reading.tasks_of(question.split, disturbances=disturbances):
        if task.parameters["question"] == question.id:
            return task
    raise AssertionError(question)


@pytest.mark.parametrize(
    ("said", "right", "equal"),
    [
        ("1.200,50 €", "EUR 1,200.50", True),
        ("1200.5", "EUR 1,200.50", False),
        ("30 days", "30 Days.", True),
        ("30", "30 days", False),
        ("30 weeks", "30 days", False),
        ("six", "6", True),
        ("15 %", "15 percent", True),
        ("1st of March 2026", "2026-03-01", True),
        ("03/01/2026", "2026-03-01", False),
        ("Paul Orr", "Orr, Paul", True),
        ("Orr Paul", "Orr, Paul", False),
        ("Orr", "Orr, Paul", False),
        ("+49 (74) 13040-987", "+49 74 13040 987", True),
        ("p 207", "P-207", True),
        ("P-208", "P-207", False),
        ("007", "7", False),
        ("the Head of IT", "head of it", True),
        ("Head of", "Head of IT", False),
        ("-5", "5", False),
        ("", "5", False),
    ],
)
def test_the_same_value_however_it_is_written(said: str, right: str, equal: bool) -> None:
    assert same(said, right) is equal


def test_units_may_be_named_by_the_header_and_lists_are_in_any_order() -> None:
    assert same("12 EUR", "12", "Price (EUR)") and not same("12 USD", "12", "Price (EUR)")
    assert same_items("b and a", "a, b") and not same_items("a", "a, b") and not same_items("a, b, b", "a, b")


def test_limits_are_read_with_the_side_the_number_is_on() -> None:
    for cell, inside, outside in (
        ("up to and including 6", "6", "7"),
        ("above 6", "6.01", "6"),
        ("below 1,000 EUR", "999.99", "1000"),
        ("at least 5", "5", "4"),
        ("5 or more", "5", "4.9"),
        ("1,000 to 5,000", "5000", "5001"),
        ("über 10", "11", "10"),
    ):
        found = interval(cell)
        assert found is not None, cell
        low, high = number(inside), number(outside)
        assert low is not None and high is not None and found.holds(low) and not found.holds(high), cell
    assert interval("the supplier's") is None and interval("6") is None


def test_all_kinds_are_asked_and_the_same_again() -> None:
    reading = handbook()
    kinds = Counter(question.kind for question in reading.questions)
    assert enough(reading)
    assert {"look-up", "two documents", "case", "threshold", "definition", "amended", "unanswerable"} <= set(
        kinds
    )
    assert build_reading(list(reversed(documents()))) == reading
    assert build_reading(documents(), seed=1).questions != reading.questions


def test_answers_are_what_the_documents_say() -> None:
    stock = {row[1]: row for row in plants()} | {row[0]: row for row in plants()}
    columns = {"Bed": 2, "Dryness": 3, "Price": 4}
    checked = 0
    for question in asked("look-up"):
        column = question.group.rpartition("/")[2]
        row = next((row for key, row in stock.items() if f" {key}" in question.text.replace("?", "")), None)
        if column in columns and row is not None and "Stock" in question.group:
            assert question.answer == row[columns[column]], question.text
            checked += 1
    assert checked >= 10
    for question in asked("case"):
        for item in question.items:
            row = stock.get(item)
            dryness = int(row[3]) if row else int(item.removeprefix("Dryness "))
            daily = dryness > 10
            assert (item in question.answer.split(", ")) == (daily == ("“Daily”" in question.text)), question


def test_an_amended_rule_is_asked_as_it_is_now() -> None:
    (question,) = asked("amended")
    assert question.answer == "200" and question.stale is not None and question.stale.value == "150"
    assert not any(q.answer == "150" for q in handbook().questions)
    env, task = ReadingEnv(handbook()), task_of(question)
    now, old = question.needed[0][0], question.stale.ref
    assert work(env, task, answer="200", cited=[now]).passed
    assert work(env, task, answer="200 ", cited=[now, old]).passed
    assert work(env, task, answer="200", cited=[old]).value == 0.0
    told = work(env, task, answer="150", cited=[now])
    assert told.value == 0.0 and "changed it to “200”" in told.reasons[0]


def test_commands_in_documents_are_data() -> None:
    reading = handbook()
    finding = next(f for f in reading.findings if f.kind == "addresses-the-reader")
    assert "handbook.md" in finding.evidence[0]
    assert not any("gnore" in q.text or q.answer == "42" for q in reading.questions)
    # It is still shown to whoever opens the section: an agent has to cope with it.
    assert any(
        COMMAND in section.text(n) for section in reading.corpus.sections for n in range(len(section.lines))
    )
    without = [d for d in documents() if d.source != "handbook.md"]
    calm = next(d for d in documents() if d.source == "handbook.md")
    calm = calm.model_copy(update={"text": calm.text.replace(COMMAND, "Have a nice day in the garden.")})
    assert {q.id: q.answer for q in build_reading([*without, calm]).questions} == {
        q.id: q.answer for q in reading.questions
    }


def test_what_can_be_guessed_is_left_out() -> None:
    rows = [(f"K-{i:03}", f"Shelf {i % 12}", "No" if i % 5 else "Yes", f"Item K-{i:03}") for i in range(60)]
    found = build_reading(
        [document("keys.xlsx", [table("Keys", ("Key", "Shelf", "Spare", "Label"), rows)]), *documents()]
    )
    mine = [q for q in found.questions if q.group.startswith("keys.xlsx")]
    assert mine and not any(q.kind == "look-up" and q.group.endswith("/Spare") for q in mine)
    assert found.dropped["its answer is right too often"] >= 60
    assert found.guessed["what stands in the question"].after.hits == 0
    shelves = Counter(q.answer for q in mine if q.group.endswith("/Shelf"))
    assert max(shelves.values()) <= max(2, sum(shelves.values()) / 4)
    refusals = sum(not q.answerable for q in found.questions)
    assert refusals <= 0.15 * len(found.questions)


def test_what_a_model_knows_without_documents_is_left_out() -> None:
    known = {q.text: q.answer for q in handbook().questions[::3] if q.answerable}
    heard: list[str] = []

    def ask(questions: list[str]) -> list[str]:
        heard.extend(questions)
        return [f"{known[text]}." if text in known else "I do not know" for text in questions]

    found = build_reading(documents(), closed_book=ClosedBook("tiny 123", ask))  # type: ignore[arg-type]
    assert set(heard) == {q.text for q in handbook().questions if q.answerable}
    assert not {q.text for q in found.questions} & known.keys()
    assert len(found.questions) == len(handbook().questions) - len(known)
    assert found.guessed["without documents"].before.hits == len(known) and found.closed_book == "tiny 123"


def test_a_model_that_cannot_be_asked_is_a_finding() -> None:
    def ask(questions: list[str]) -> list[str]:
        raise WorkError("The model does not load.")

    found = build_reading(documents(), closed_book=ClosedBook("tiny 123", ask))  # type: ignore[arg-type]
    assert found.questions == handbook().questions and found.closed_book == ""
    assert any("does not load" in finding.text for finding in found.findings)


def test_a_tiny_model_answers_all_at_once_as_it_does_one_by_one(tmp_path: Path) -> None:
    from serve_tiny import make_model

    from serve.closed_book import answers, closed_book
    from serve.engine.local import LocalEngine

    engine = LocalEngine.load(make_model(tmp_path / "tiny"), dtype="float32")
    questions = [q.text for q in handbook().questions[:3]]
    together = answers(engine, questions)
    assert together == [answers(engine, [question])[0] for question in questions]
    assert all("\n" not in text for text in together)
    assert closed_book("no such model") is None


def test_the_gate_catches_every_family_and_passes_right_work() -> None:
    report = gate(handbook())
    assert report.published, report.reasons
    assert report.false_reject_rate == 0.0 and report.kill_rate == 1.0 and report.mutants > 300
    for name, share in report.families.items():
        assert share.total > 0 and share.hits == share.total, (name, share.examples)
        assert share.ci is not None and share.ci[1] == 1.0
    assert all(share.hits == 0 for share in report.cheap.values())
    assert all(share.total > 0 for share in report.right.values())


def test_the_gate_finds_a_verifier_that_lets_wrong_work_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Question, "right", lambda self, said: bool(said.strip()))
    report = gate(handbook())
    assert not report.published
    assert report.families["near miss"].hits == 0 and report.families["wrong source"].hits > 0
    assert any("near miss" in reason for reason in report.reasons)


def test_search_open_cite_and_answer() -> None:
    question = asked("two documents")[0]
    env, task = ReadingEnv(handbook()), task_of(question)
    view = env.reset(task)
    assert view.fresh and question.text in task.instruction and "stock.xlsx" in view.text
    first = question.needed[0][0]
    view = env.search(question.queries[0])
    name = handbook().corpus.sections[first[0]].name
    assert view.fresh and f'link "{name}"' in view.text
    view = env.open(name)
    assert view.fresh and handbook().corpus.text(first) in view.text.replace(
        f'checkbox "Cite {first[1] + 1}" | ', ""
    )
    before = view.potential or 0.0
    view = env.step(Action.parse(f'check checkbox "Cite {first[1] + 1}"'))
    assert view.text == "" and (view.potential or 0.0) > before
    view = env.search("zzz qqq")
    assert "Nothing was found" in view.text and "Cited: " in view.text
    assert "There is no link" in env.open("No such section").text
    copy = env.clone()
    copy.step(Action.parse('fill textbox "Answer": wrong'))
    copy.step(Action.parse("done"))
    assert copy.score().value == 0.0 and not env.done
    while not env.done:
        action = env.next_action()
        assert action is not None
        env.step(action)
    assert env.score().passed


def test_episodes_end_and_bad_tasks_are_refused() -> None:
    question = asked("look-up")[0]
    env, task = ReadingEnv(handbook()), task_of(question)
    view = env.reset(task)
    for _ in range(200):
        view = env.search("bed")
    assert view.finished and env.steps == env.max_steps and env.score().value == 0.0
    with pytest.raises(InputError, match="does not have"):
        env.reset(task.model_copy(update={"parameters": {"question": "q0"}}))
    with pytest.raises(InputError, match="rows"):
        env.reset(task.model_copy(update={"disturbances": ("dialog",)}))


def test_lines_in_another_order_are_the_same_lines() -> None:
    question = next(q for q in asked("look-up") if "Stock" in q.group)
    env = ReadingEnv(handbook())
    texts = []
    for disturbances in ((), ("rows",)):
        env.reset(task_of(question, *disturbances))
        env.search(question.queries[0])
        view = env.open(handbook().corpus.sections[question.needed[0][0][0]].name)
        texts.append(view.text)
        while not env.done:
            action = env.next_action()
            assert action is not None
            env.step(action)
        assert env.score().passed
    assert texts[0] != texts[1] and sorted(texts[0]) == sorted(texts[1])


def test_splits_share_no_question_and_no_record() -> None:
    reading = handbook()
    compiled = compiled_of(reading)
    found = {
        split: {t.parameters["question"] for t in compiled.tasks_of(split)}
        for split in ("train", "dev", "test")
    }
    assert sum(map(len, found.values())) == len(reading.questions)
    rows = {}
    for question in asked("look-up"):
        rows.setdefault(question.needed[0][0], set()).add(question.split)
    assert all(len(splits) == 1 for splits in rows.values())
    assert len({task.id for task in make_tasks(compiled, "train", 30, 4)}) == 30


def test_wording_of_right_answers_varies_and_passes() -> None:
    question = next(q for q in asked("look-up") if q.answer.startswith("€"))
    assert any(text.strip() != question.answer for text in otherwise(question))
    env, task = ReadingEnv(handbook()), task_of(question)
    amount = question.answer.removeprefix("€ ")
    cited = [question.needed[0][0]]
    assert work(env, task, answer=f"{amount} EUR", cited=cited).passed
    assert work(env, task, answer=f"{amount} USD", cited=cited).value == 0.0


def test_long_texts_and_odd_tables_are_cut_and_kept() -> None:
    text = "# Head\n\n" + "A sentence of no use at all. " * 200 + "\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    odd = Document(id="x", source="x.md", media_type="text/plain", text=text + "\x07\u202e bell")
    corpus = make_corpus([odd])
    assert all(sum(len(line[0]) for line in s.lines) <= 2000 for s in corpus.sections)
    assert len({section.name for section in corpus.sections}) == len(corpus.sections) > 2
    whole = " ".join(corpus.text(ref) for ref in corpus.refs)
    assert whole.count("A sentence of no use at all.") == 200 and "\x07" not in whole
    assert build_reading([]).questions == () and not enough(build_reading([odd]))


def test_a_header_that_two_columns_share_is_not_asked_about() -> None:
    rows = [(f"D-{i}", f"{i}1", f"{i}2", f"{i}3") for i in range(10, 30)]
    found = build_reading([document("a.xlsx", [table("Desks", ("Desk", "Size", "size", "Floor"), rows)])])
    assert found.questions and all("ize" not in q.text for q in found.questions if q.answerable)


def test_documents_that_differ_are_said_and_not_asked_about() -> None:
    first = document(
        "a.xlsx", [table("Phones", ("Desk", "Phone"), [(f"D-{i}", f"55-{i}00") for i in range(9)])]
    )
    second = document(
        "b.xlsx", [table("Phones", ("Desk", "Phone"), [(f"D-{i}", f"77-{i}00") for i in range(3)])]
    )
    found = build_reading([first, second])
    (finding,) = [f for f in found.findings if f.kind == "documents-differ"]
    assert "In 3 places" in finding.text or "In 6 places" in finding.text
    assert not any(q.answer in ("55-000", "77-000") for q in found.questions)
    dated = [
        d.model_copy(update={"dated": day}) for d, day in ((first, "2024-01-01"), (second, "2025-01-01"))
    ]
    newer = build_reading(dated)
    assert any(q.kind == "amended" and q.answer.startswith("77-") for q in newer.questions)
    assert not any(q.answer == "55-000" for q in newer.questions)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Engagement.create(tmp_path / "client", '[engagement]\nname = "N"\n[envgen]\nclosed_book = false\n')
    run = made.run("redact", inputs={}, config={})
    with made.working(run):
        for found in documents():
            run.write_json(f"documents/{found.id}.json", found.model_dump(mode="json"))
    root = str(made.root)

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(("-C", root, *arguments))
        return int(ended.value.code or 0), capsys.readouterr().out

    # There are no recordings: documents are enough.
    code, told = call("envgen", "build", "--json")
    assert code == 0
    built = {each["name"]: each for each in json.loads(told)["environments"]}
    assert "documents" in built and built["documents"]["published"], built["documents"]["reasons"]
    code, told = call("envgen", "show", "documents")
    assert code == 0 and "amended" in told and "Published" in told
    sheet = (made.reports / "documents.html").read_text()
    assert "<script" not in sheet and "Strike a question out" in sheet
    code, told = call("envgen", "show", "documents", "--json")
    question = json.loads(told)["questions"]["questions"][0]
    code, told = call("envgen", "export", "documents", "--to", "jsonl", "--out", str(tmp_path / "out"))
    rows = [json.loads(line) for line in (tmp_path / "out" / "test.jsonl").read_text().splitlines()]
    assert code == 0 and rows and all(row["right"] != "[]" for row in rows)
    (made.root / "answers.yaml").write_text(f"documents:\n  {question['id']}: no\n")
    assert call("envgen", "build")[0] == 0
    code, told = call("envgen", "show", "documents", "--json")
    assert question["id"] not in {q["id"] for q in json.loads(told)["questions"]["questions"]}
    (made.root / "answers.yaml").write_text("documents:\n  q0: no\n")
    assert call("envgen", "build")[0] == 2
    (made.root / "answers.yaml").unlink()
    (made.root / "fde.toml").write_text('[engagement]\nname = "N"\n[envgen]\ndocuments = false\n')
    assert call("envgen", "build")[0] == 2


def test_text_episodes_and_gymnasium(tmp_path: Path) -> None:
    episodes = TextEpisodes(handbook(), split="test")
    task = episodes.draw(3)
    assert episodes.draw(3) == task
    told = episodes.begin(task)
    assert task.instruction in told.text and f'fill searchbox "{page.SEARCH}": …' in told.info["choices"]
    while not told.done:
        action = episodes.env.next_action()
        assert action is not None
        told = episodes.act(action.text())
    assert told.reward == 1.0 and told.info["reasons"] == []
    pytest.importorskip("gymnasium")
    from envgen.gym import WorkflowGym

    (*_, data) = export(handbook(), "gymnasium", tmp_path)
    env = WorkflowGym(data, split="dev")
    observation, info = env.reset(seed=5)
    assert info["instruction"] in observation
    assert env.step("done")[1:3] == (0.0, True)


def test_training_asks_again_under_other_names() -> None:
    from train.workflow import BuiltSource

    source = BuiltSource(compiled_of(handbook()), Path("documents.json"), [], {})
    many = source.tasks("train", 2 * len(handbook().questions), 7)
    assert len({task.id for task in many}) == len(many)
    assert len({task.parameters["question"] for task in many}) == len(handbook().of("train"))
    assert all(task.disturbances == ("rows",) for task in source.tasks("train", 5, 7, disturbed=True))
    with pytest.raises(WorkError, match="dev tasks of documents"):
        source.tasks("dev", 2 * len(handbook().questions), 7)


def test_the_twin_serves_questions_to_people() -> None:
    from envgen.twin import page_html
    from envgen.twin_server import serve

    with serve(handbook()) as twin:
        assert twin.task is not None and "Documents" in twin.page()
        while not twin.env.done:
            action = twin.env.next_action()
            assert action is not None
            if action.verb == "done":
                break
            _, targets = page_html(twin.env.page)
            at = targets.index(action.target)
            told = twin.act({"page": twin._number, "at": at, "verb": action.verb, "value": action.value})
            assert told["page"] == twin._number and not told["said"]
        assert twin.judge(None).passed
