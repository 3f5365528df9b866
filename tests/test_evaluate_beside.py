"""The helper process: it does arms of the same evaluation, and nothing is lost with it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from envgen_desk import documents, recordings
from serve_tiny import make_engagement, make_model, train

from envgen.stage import build
from evaluate import beside
from evaluate import stage as evaluate_stage
from evaluate import work as evaluate_work
from evaluate.results import arms_of
from evaluate.rows import ArmResult
from evaluate.stage import evaluate
from fde.engagement import Engagement, Run

NAME = "decide-claim"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Engagement:
    """An engagement with a compiled workflow and two adapters of a tiny model."""
    folder = tmp_path_factory.mktemp("beside")
    base = make_model(folder / "model")
    made = make_engagement(folder / "client", base)
    run = made.run("redact", inputs={}, config={})
    with made.working(run):
        for document in documents():
            run.write_json(f"documents/{document.id}.json", document.model_dump(mode="json"))
        for recording in recordings():
            run.write_json(f"recordings/{recording.id}.json", recording.model_dump(mode="json"))
    build(made)
    for name, told in (("sft-recordings", {"demonstrations": "recordings"}), ("rl-main", {})):
        done = train(made, name, base, strength=0.1 if told else 0.3)
        manifest = done.manifest()
        changed = manifest.model_copy(update={"config": {**manifest.config, "workflow": NAME, **told}})
        done.manifest_path.write_text(changed.model_dump_json())
    return made


@pytest.fixture
def client(trained: Engagement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engagement:
    """A copy with two cores to share and a helper that is always worth it."""
    monkeypatch.setattr(evaluate_stage, "_track", lambda *_: None)
    monkeypatch.setattr("serve.engine.local.cpu_threads", lambda: 2)
    monkeypatch.setattr(beside, "_WORTH", 1)
    return Engagement(Path(shutil.copytree(trained.root, tmp_path / "client")))


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the arms that this process did with a model."""
    real, names = evaluate_work.run_model, list[str]()

    def counted(arm: Any, *rest: Any, **more: Any) -> Any:
        names.append(arm.name)
        return real(arm, *rest, **more)

    monkeypatch.setattr(evaluate_work, "run_model", counted)
    return names


def go(made: Engagement, **more: Any) -> Run:
    return evaluate(made, workflow=NAME, n=4, disturbed=2, live=0, **more)


def what_was_done(run: Run) -> dict[str, Any]:
    def rows(arm: ArmResult) -> Any:
        return [(row.task, row.value, row.stop, row.actions, row.transcript) for row in arm.rows]

    return {arm.name: rows(arm) for arm in arms_of(run)}


def test_two_processes_do_what_one_does(
    client: Engagement, mine: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Engagement(Path(shutil.copytree(client.root, tmp_path / "alone")))
    told: dict[str, int] = {}

    def progress(label: str, total: int) -> Any:
        def advance() -> None:
            told[label] = told.get(label, 0) + 1

        return advance

    together = what_was_done(go(client, progress=progress))
    assert "rl-main" in mine and len(mine) < 5, "the helper did some of the five"
    assert len(told) == 6 and told["RL"] == 6 and told["Few-shot prompt"] == 4
    monkeypatch.setattr(beside, "_WORTH", 10_000)
    mine.clear()
    assert what_was_done(go(alone)) == together
    assert mine == ["rl-main", "sft-recordings", "zero-shot", "rag", "few-shot"]


def test_what_a_helper_that_does_not_start_leaves_is_done_here(
    client: Engagement, mine: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    assert set(what_was_done(go(client))) == {"replay", *mine}
    assert len(mine) == 5


def test_the_helper_ends_with_an_interrupted_evaluation(
    client: Engagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def noted(*arguments: Any, **more: Any) -> Any:
        process = real(*arguments, **more)
        if "evaluate.beside" in arguments[0]:
            started.append(process)
        return process

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", noted)
    monkeypatch.setattr(evaluate_work, "run_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(client)
    assert len(started) == 1 and started[0].poll() is not None
