"""The stage: every way of doing the task on the same held-out tasks, then on the real application.

The test set is frozen first. Each arm's rows are written when the arm is done,
so a killed evaluation goes on with the next arm; an arm that an earlier
evaluation already ran under equal conditions is taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluate.arms import Arm
from evaluate.discover import find_arms
from evaluate.lending import LivePlace
from evaluate.places import Workplace, compiled, configured_live
from evaluate.results import arms_of, compare, load_test_set
from evaluate.rows import TestSet
from evaluate.settings import settings
from evaluate.work import VERSION, Progress, Work, peak_memory, silent
from fde.config import ModelSettings, section
from fde.engagement import Engagement, Run
from fde.errors import InputError

# Seed of the tasks on the real application: no other stage uses it.
LIVE_SEED = 7_001


def evaluate(
    engagement: Engagement,
    *,
    workflow: str | None = None,
    n: int | None = None,
    disturbed: int | None = None,
    live: int | None = None,
    arms: Sequence[str] | None = None,
    place: Workplace | None = None,
    live_place: LivePlace | None = None,
    progress: Progress = silent,
) -> Run:
    """Run every arm on the frozen test set and write the comparison.

    Args:
        workflow: Which one; None takes ``[evaluate] workflow``, else the only one there is.
        n: Held-out tasks; None takes ``[evaluate] tasks``.
        disturbed: Tasks with an injected fault, for replay and the trained arms.
        live: Tasks on the real application for the trained policy, 0 for none.
        arms: Names of the arms; None for all there are.
        place, live_place: Where tasks are done; None takes the compiled environment and
            what ``[live]`` in ``fde.toml`` names.

    Raises:
        MissingError: when there is no environment or no base model.
        InputError: for an arm that does not exist.
    """
    chosen = settings(engagement)
    place = place or compiled(engagement, workflow or chosen.workflow)
    name = place.workflow
    model = section(engagement, "model", ModelSettings).base
    found = find_arms(engagement, name, place.run, chosen)
    found = _only(found, arms)
    wanted_live = chosen.live_tasks if live is None else live
    if live_place is None and wanted_live and "live" in engagement.config():
        live_place = configured_live(engagement, name)
    config = {
        "version": VERSION,
        "workflow": name,
        "tasks": chosen.tasks if n is None else n,
        "disturbed": chosen.disturbed_tasks if disturbed is None else disturbed,
        "live": wanted_live if live_place else 0,
        "arms": [arm.name for arm in found],
        "settings": {arm.name: arm.settings for arm in found},
        "model": model,
    }
    inputs = {"envgen": place.run.rsplit("/", 1)[-1]}
    inputs |= {arm.name: arm.run.rsplit("/", 1)[-1] for arm in found if arm.run}
    inputs |= _model_input(model) if any(arm.has_model for arm in found) else {}
    run = engagement.run("evaluate", inputs=inputs, config=config)
    with engagement.working(run):
        if not run.finished:
            work = Work(engagement, run, place, live_place, model, progress, found)
            work.tests = _freeze(work)
            _run_all(work)
    return run


def _run_all(work: Work) -> None:
    run = work.run
    # The program's longest way limits the others, so it goes first.
    for arm in sorted(work.arms, key=lambda arm: arm.has_model):
        work.do(arm, "environment")
    _do_live(work)
    comparison = compare(work.engagement, run)
    run.write_json("comparison.json", comparison)
    done = arms_of(run)
    run.finish(
        verdict=comparison["verdict"],
        tasks=len(work.tests.plain),
        disturbed=len(work.tests.disturbed),
        live=len(work.tests.live),
        arms=len(work.arms),
        unscored=sum(row.value is None for arm in done for row in arm.rows),
        machine_seconds=round(sum(arm.seconds for arm in done), 1),
        peak_memory_bytes=peak_memory(),
    )
    _track(work.engagement, run, comparison)


def _freeze(work: Work) -> TestSet:
    """The test set of this run: drawn once, then read back."""
    run = work.run
    if (run.path / "testset.json").is_file():
        return load_test_set(run)
    live = run.config["live"]
    tests = TestSet(
        workflow=run.config["workflow"],
        plain=tuple(work.place.tasks("test", run.config["tasks"], False)),
        disturbed=tuple(work.place.tasks("test", run.config["disturbed"], True)),
        live=tuple(work.live.tasks(live, LIVE_SEED)) if work.live is not None and live else (),
    )
    run.write_json("testset.json", tests.model_dump(mode="json"))
    return tests


def _do_live(work: Work) -> None:
    """Do the live tasks with the trained policy: RL where there is any, else the most successful."""
    if not work.tests.live or work.live is None:
        return
    trained = [arm for arm in work.arms if arm.adapter is not None]
    able = [arm for arm in trained if arm.kind == "rl"] or trained
    if not able:
        return
    done = {found.name: found for found in arms_of(work.run) if found.place == "environment"}
    best = max(able, key=lambda arm: sum(bool(row.passed) for row in done[arm.name].plain_rows()))
    work.do(best, "live")


def _only(found: Sequence[Arm], names: Sequence[str] | None) -> list[Arm]:
    if names is None:
        return list(found)
    known = {arm.name: arm for arm in found}
    for name in names:
        if name not in known:
            raise InputError(f"There is no arm '{name}'.", f"There are: {', '.join(known)}.")
    return [arm for arm in found if arm.name in set(names)]


def _model_input(model: str) -> dict[str, str]:
    from fde.models import model_digest

    return {"model": model_digest(model)}


def _track(engagement: Engagement, run: Run, comparison: dict[str, Any]) -> None:
    from fde.tracking import log_run

    metrics: dict[str, float | None] = {}
    for arm in comparison["arms"]:
        name = arm["name"]
        metrics |= {
            f"{name}.success": arm["success"],
            f"{name}.disturbed_success": arm["disturbed"]["success"],
            f"{name}.cost_per_success": arm["cost_per_success"],
            f"{name}.p50_s": arm["p50_s"],
        }
    for entry in comparison["live"]:
        metrics[f"{entry['arm']}.live_success"] = entry["live"]["success"]
    params = {"verdict": comparison["verdict"], "test_set": comparison["test_set"]["sha256"], **run.config}
    log_run(engagement, f"evaluate {run.id}", params, metrics)
