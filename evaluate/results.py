"""A finished evaluation read back and turned into one comparison."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluate.compare import (
    arm_order,
    difference_json,
    differences,
    efforts,
    live_against_environment,
    summarize,
    summary_json,
)
from evaluate.rows import ArmResult, TestSet, load_arm
from evaluate.sensitivity import case, swing_json, swings, turning_points
from evaluate.settings import currency, settings
from evaluate.verdict import decide, verdict_json
from fde.artifacts import read_json
from fde.engagement import Engagement, Manifest, Run
from fde.errors import InputError, MissingError


def arms_of(run: Run) -> list[ArmResult]:
    """All arms of a run, simplest first; the live one is told by its ``place``."""
    return sorted((load_arm(path) for path in sorted((run.path / "arms").glob("*.json"))), key=arm_order)


def find_run(engagement: Engagement, workflow: str | None = None) -> Run:
    """The latest finished evaluation, or the latest one of ``workflow``.

    Raises:
        MissingError: when there is none.
    """
    latest = engagement.latest("evaluate")
    if workflow is None or latest.config.get("workflow") == workflow:
        return latest
    found = [
        (manifest.started, run)
        for run, manifest in finished_runs(engagement)
        if run.stage == "evaluate" and manifest.config.get("workflow") == workflow
    ]
    if not found:
        raise MissingError(
            f"The workflow '{workflow}' has not been evaluated in {engagement.root}.",
            f"Run: fde evaluate run --workflow {workflow}",
        )
    return max(found, key=lambda pair: pair[0])[1]


def finished_runs(engagement: Engagement) -> Iterator[tuple[Run, Manifest]]:
    """Every finished run of every stage."""
    for path in sorted(engagement.stages.glob("*/*/manifest.json")):
        manifest = Manifest.model_validate(read_json(path))
        folder = path.parent
        run = Run(manifest.stage, manifest.run, folder, manifest.inputs, manifest.config, manifest.seed)
        yield run, manifest


def finished_run(engagement: Engagement, stage: str, run_id: str) -> Run:
    """One finished run, whether it is the latest or not.

    Raises:
        MissingError: when it is not there.
    """
    for run, _ in finished_runs(engagement):
        if (run.stage, run.id) == (stage, run_id):
            return run
    raise MissingError(
        f"The run {stage}/{run_id} is not in {engagement.root}.",
        "It was removed: make what was built from it anew.",
    )


def lineage(engagement: Engagement, run: str) -> list[Manifest]:
    """The manifests of a run and of everything it was made from, upstream last, each once.

    Args:
        run: ``<stage>/<run id>`` or a bare run id.
    """
    known = {manifest.run: manifest for _, manifest in finished_runs(engagement)}
    waiting = [run.rsplit("/", 1)[-1]]
    found: dict[str, Manifest] = {}
    while waiting:
        manifest = known.get(waiting.pop(0))
        if manifest is None or manifest.run in found:
            continue
        found[manifest.run] = manifest
        waiting.extend(value.rsplit("/", 1)[-1] for value in manifest.inputs.values())
    return list(found.values())


def load_test_set(run: Run) -> TestSet:
    """The frozen tasks of an evaluation.

    Raises:
        InputError: when the file is damaged.
    """
    path = run.path / "testset.json"
    try:
        return TestSet.model_validate(read_json(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", "Run: fde evaluate run") from error


def compare(engagement: Engagement, run: Run) -> dict[str, Any]:
    """Arms, paired differences, money and the verdict, with the prices as they are now.

    Returns:
        The data of ``fde evaluate compare --json``: ``arms``, ``comparisons``,
        ``verdict`` (one of "train", "don't train", "don't automate", "undecided"),
        and with it ``decision``, ``sensitivity``, ``live``, ``test_set`` and ``costs``.
    """
    chosen = settings(engagement)
    inputs, unit = chosen.cost_inputs, currency(engagement)
    everything = arms_of(run)
    arms = [arm for arm in everything if arm.place == "environment"]
    build = {
        arm.name: sum(manifest.seconds for manifest in lineage(engagement, arm.run)) if arm.run else 0.0
        for arm in arms
    }
    effort = efforts(arms, build)
    summaries = [summarize(arm, inputs, effort[arm.name]) for arm in arms]
    found = differences(arms)
    by_name = {arm.name: arm for arm in arms}
    live = [
        live_against_environment(arm, by_name[arm.name])
        for arm in everything
        if arm.place == "live" and arm.name in by_name
    ]
    verdict = decide(summaries, found, inputs, unit, live=live, live_gap=chosen.bars.live_gap)
    moved = []
    pair = [
        next((s for s in summaries if s.name == name), None) for name in (verdict.trained, verdict.untrained)
    ]
    if pair[0] is not None and pair[1] is not None:
        cases = [case(s, effort[s.name]) for s in pair if s is not None]
        if cases[0] is not None and cases[1] is not None:
            moved = swings(cases[0], cases[1], inputs)
    tests = load_test_set(run)
    return {
        "workflow": tests.workflow,
        "run": f"evaluate/{run.id}",
        "currency": unit,
        "arms": [
            {**summary_json(summary, inputs), "build_seconds": build[summary.name]} for summary in summaries
        ],
        "comparisons": [difference_json(difference) for difference in found],
        "verdict": verdict.word,
        "decision": {
            **verdict_json(verdict),
            "would_change": turning_points(moved, verdict.word),
        },
        "sensitivity": [swing_json(swing) for swing in moved],
        "live": live,
        "test_set": {
            "sha256": tests.hash,
            "plain": len(tests.plain),
            "disturbed": len(tests.disturbed),
            "live": len(tests.live),
        },
        "costs": {
            **inputs.model_dump(mode="json"),
            "own": sorted(chosen.costs.model_fields_set) if chosen.costs else [],
            "human_cost_per_correct_task": inputs.human_cost,
            "cost_of_an_error": inputs.error_cost,
        },
    }


def arm_path(run: Run, name: str, place: str) -> Path:
    """Where an arm's rows lie."""
    return run.path / "arms" / (f"{name}.json" if place == "environment" else f"{name}.{place}.json")
