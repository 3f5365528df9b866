"""The stage: every way of doing the task on the same held-out tasks, then on the real application.

The test set is frozen first. Each arm's rows are written when the arm is done,
so a killed evaluation goes on with the next arm; an arm that an earlier
evaluation already ran under equal conditions is taken over.
"""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from envgen.session import Session, Split, Task, Teacher
from evaluate.arms import Arm, Material, example, result, run_model, run_replay
from evaluate.discover import find_arms
from evaluate.lending import LivePlace, live_sessions
from evaluate.results import arm_path, arms_of, compare, finished_run, load_test_set
from evaluate.retrieval import Retriever, passages
from evaluate.rows import ArmResult, TestSet, load_arm
from evaluate.settings import settings
from fde.artifacts import write_json
from fde.config import ModelSettings, section
from fde.engagement import Engagement, Run
from fde.errors import InputError, MissingError

if TYPE_CHECKING:
    from serve.engine.local import LocalEngine

# Seed of the tasks on the real application: no other stage uses it.
LIVE_SEED = 7_001
# An arm may take this many times the actions of the compiled program's longest way.
SLACK = 1.5
# What the program itself may take.
PROGRAM_ACTIONS = 200
# Raise when arms would be run differently: earlier rows are then not taken over.
VERSION = 1

Progress = Callable[[str, int], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where the tasks of a workflow are done in process.

    Attributes:
        run: The run it comes from, ``envgen/<run id>``.
        tasks: ``tasks(split, n, disturbed)``: the split's first ``n`` tasks, always the same.
        session: A session that knows the next right action.
        material: What prompted arms are given.
    """

    workflow: str
    run: str
    tasks: Callable[[Split, int, bool], Sequence[Task]]
    session: Callable[[Task], Teacher]
    material: Callable[[], Material]


def _silent(_label: str, _total: int) -> Callable[[], None]:
    return lambda: None


@dataclass
class _Work:
    """One evaluation while it runs."""

    engagement: Engagement
    place: Workplace
    live: LivePlace | None
    model: str
    progress: Progress
    arms: Sequence[Arm]
    tests: TestSet = field(init=False)

    @cached_property
    def engine(self) -> LocalEngine:
        """Loaded when the first arm needs it; the adapters are swapped."""
        from serve.engine import adapter
        from serve.engine.local import LocalEngine

        engine = LocalEngine.load(self.model)
        layers = [adapter.first_layer(adapter.read(arm.adapter)) for arm in self.arms if arm.adapter]
        if len(layers) > 1:
            # All arms read the same pages: what no adapter changes is computed once.
            engine.share_lower(min(layers))
        return engine

    @cached_property
    def material(self) -> Material:
        return self.place.material()


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
    progress: Progress = _silent,
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
        live_place = _configured_live(engagement, name)
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
            work = _Work(engagement, place, live_place, model, progress, found)
            _run_all(work, run, found)
    return run


def _run_all(work: _Work, run: Run, arms: Sequence[Arm]) -> None:
    work.tests = _freeze(work, run)
    # The program's longest way limits the others, so it goes first.
    for arm in sorted(arms, key=lambda arm: arm.has_model):
        _run_one(work, run, arm, "environment")
    trained = _policy(arms, run)
    if trained is not None and work.tests.live and work.live is not None:
        _run_one(work, run, trained, "live")
    comparison = compare(work.engagement, run)
    run.write_json("comparison.json", comparison)
    done = arms_of(run)
    run.finish(
        verdict=comparison["verdict"],
        tasks=len(work.tests.plain),
        disturbed=len(work.tests.disturbed),
        live=len(work.tests.live),
        arms=len(arms),
        unscored=sum(row.value is None for arm in done for row in arm.rows),
        machine_seconds=round(sum(arm.seconds for arm in done), 1),
        peak_memory_bytes=peak_memory(),
    )
    _track(work.engagement, run, comparison)


def _freeze(work: _Work, run: Run) -> TestSet:
    """The test set of this run: drawn once, then read back."""
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


def _limit(work: _Work, run: Run) -> int:
    """Actions an episode may take, the same for all arms: half as many again as the program's longest."""
    path = arm_path(run, "replay", "environment")
    if path.is_file():
        rows = load_arm(path).rows
    else:
        rows, _ = run_replay(work.tests.plain, work.place.session, max_actions=PROGRAM_ACTIONS)
    longest = max((row.actions for row in rows if row.passed), default=None)
    return PROGRAM_ACTIONS if longest is None else math.ceil(SLACK * longest)


def _run_one(work: _Work, run: Run, arm: Arm, place: str) -> None:
    path = arm_path(run, arm.name, place)
    if path.is_file():
        return
    tests = work.tests
    tasks = tests.live if place == "live" else tests.plain
    if place != "live" and arm.takes_disturbed:
        tasks = (*tasks, *tests.disturbed)
    limit = _limit(work, run) if arm.has_model else PROGRAM_ACTIONS
    key = arm.key(tests.hash, f"{work.model} {VERSION}", limit, place)
    earlier = _taken_over(work.engagement, run, key)
    if earlier is not None:
        write_json(path, earlier.model_dump(mode="json"))
        return
    advance = work.progress(f"{arm.label}{', real application' if place == 'live' else ''}", len(tasks))
    if arm.kind == "replay":
        rows, seconds = run_replay(tasks, work.place.session, max_actions=limit, advance=advance)
    elif place == "live":
        assert work.live is not None
        with live_sessions(work.live) as make:
            rows, seconds = run_model(
                arm,
                work.engine,
                tasks,
                make,
                work.material,
                max_actions=limit,
                at_once=work.live.sessions,
                advance=advance,
            )
    else:
        rows, seconds = run_model(
            arm, work.engine, tasks, work.place.session, work.material, max_actions=limit, advance=advance
        )
    done = result(arm, rows, seconds, key=key, place=place, peak_memory_bytes=peak_memory())
    write_json(path, done.model_dump(mode="json"))


def _taken_over(engagement: Engagement, run: Run, key: str) -> ArmResult | None:
    """The same arm under the same conditions in an earlier evaluation, finished or not."""
    for path in sorted((engagement.stages / "evaluate").glob("*/arms/*.json")):
        if path.parent.parent == run.path:
            continue
        try:
            found = load_arm(path)
        except InputError:
            continue
        if found.key == key:
            return found
    return None


def _policy(arms: Sequence[Arm], run: Run) -> Arm | None:
    """The arm that is tried on the real application: RL, else the most successful trained one."""
    trained = {arm.name: arm for arm in arms if arm.adapter is not None}
    done = [found for found in arms_of(run) if found.name in trained and found.place == "environment"]
    best = max(
        done, key=lambda a: (a.kind == "rl", sum(bool(row.passed) for row in a.plain_rows())), default=None
    )
    return trained[best.name] if best is not None else None


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


def _configured_live(engagement: Engagement, workflow: str) -> LivePlace:
    from envgen.live import LiveSession
    from envgen.live_config import open_live
    from envgen.stage import load_workflow
    from envgen.workflow import remembered

    found = open_live(engagement, workflow)
    labels = remembered(load_workflow(engagement.latest("envgen"), workflow))

    def session() -> Session:
        made = found.session()
        # What the agent is told of earlier pages is the same as in the environment it learned in.
        if isinstance(made, LiveSession):
            made.remembered = labels
        return made

    return LivePlace(found.tasks, session, found.sessions)


def peak_memory() -> int:
    """Highest memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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


def compiled(engagement: Engagement, workflow: str | None = None) -> Workplace:
    """The compiled environment of a workflow; without a name, the one with the most recordings.

    Raises:
        MissingError: when nothing was compiled, or not this workflow.
    """
    from envgen.demonstrations import recorded
    from envgen.disturbances import DISTURBANCES
    from envgen.environment import WorkflowEnv
    from envgen.stage import load_workflow, read_documents, read_recordings, workflow_names
    from envgen.tasks import make_tasks

    run = engagement.latest("envgen")
    names = workflow_names(run)
    if not names or (workflow is not None and workflow not in names):
        raise MissingError(
            f"No environment for '{workflow}'." if workflow else "No workflow was compiled.",
            f"There are: {', '.join(names) or 'none'}. Compile with: fde envgen build",
        )
    loaded = {name: load_workflow(run, name) for name in ([workflow] if workflow else names)}
    name = max(loaded, key=lambda name: (len(loaded[name].recordings), name))
    model = loaded[name]

    def tasks(split: Split, n: int, disturbed: bool) -> Sequence[Task]:
        if not disturbed:
            return make_tasks(model, split, n)
        # Every kind in turn, each on instances of its own.
        kinds = len(DISTURBANCES)
        made = [
            make_tasks(model, split, (n + kinds - 1 - i) // kinds, 1 + i, (kind,))
            for i, kind in enumerate(DISTURBANCES)
        ]
        return [task for group in zip_longest(*made) for task in group if task is not None]

    def material() -> Material:
        redacted = finished_run(engagement, "redact", run.inputs["redact"])
        shown = [
            example(recording.id, recorded(recording, model))
            for recording in read_recordings(redacted).get(name, [])
        ]
        return Material(tuple(shown), Retriever(passages(read_documents(redacted))))

    return Workplace(name, f"envgen/{run.id}", tasks, lambda _task: WorkflowEnv(model), material)
