"""Where tasks are done: the compiled environment, and the real application that ``[live]`` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from envgen.session import Session, Split, Task, Teacher
from evaluate.arms import Material, example
from evaluate.lending import LivePlace
from evaluate.results import finished_run
from evaluate.retrieval import Retriever, passages
from fde.engagement import Engagement
from fde.errors import MissingError


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


def compiled(engagement: Engagement, workflow: str | None = None) -> Workplace:
    """A built environment; without a name, the workflow with the most recordings.

    Raises:
        MissingError: when nothing was compiled, or not this workflow.
    """
    from envgen.compiled import make_tasks
    from envgen.demonstrations import recorded
    from envgen.stage import environment_names, load_environment, read_documents, read_recordings
    from envgen.workflow import Workflow

    run = engagement.latest("envgen")
    names = environment_names(run)
    if not names or (workflow is not None and workflow not in names):
        raise MissingError(
            f"No environment for '{workflow}'." if workflow else "No workflow was compiled.",
            f"There are: {', '.join(names) or 'none'}. Compile with: fde envgen build",
        )
    loaded = {name: load_environment(run, name) for name in ([workflow] if workflow else names)}

    def recordings_of(name: str) -> int:
        data = loaded[name].data
        return len(data.recordings) if isinstance(data, Workflow) else 0

    name = max(loaded, key=lambda name: (recordings_of(name), name))
    model = loaded[name]

    def tasks(split: Split, n: int, disturbed: bool) -> Sequence[Task]:
        if not disturbed:
            return make_tasks(model, split, n)
        # Every kind in turn, each on instances of its own.
        kinds = len(model.disturbances)
        made = [
            make_tasks(model, split, (n + kinds - 1 - i) // kinds, 1 + i, (kind,))
            for i, kind in enumerate(model.disturbances)
        ]
        return [task for group in zip_longest(*made) for task in group if task is not None]

    def material() -> Material:
        redacted = finished_run(engagement, "redact", run.inputs["redact"])
        workflow = model.data
        shown = [
            example(recording.id, recorded(recording, workflow))
            for recording in read_recordings(redacted).get(name, [])
            if isinstance(workflow, Workflow)
        ]
        return Material(tuple(shown), Retriever(passages(read_documents(redacted))))

    return Workplace(name, f"envgen/{run.id}", tasks, lambda _task: model.environment(), material)


def configured_live(engagement: Engagement, workflow: str) -> LivePlace:
    """The real application of a workflow, as ``fde.toml`` names it."""
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
