"""Earlier workflows, gone over while a new one is learned: what the start can do is not forgotten.

Workflows of one application share pages, and a small model that learns what to do there in one task does it
in all. The environments of the earlier workflows are at hand, so a share of every update (the setting
``rehearse``) is theirs: by imitation their demonstrations are learned again; by distillation the model does
their scenes itself, and the teacher is the model as it was at the start (Learning without Forgetting,
arXiv 1606.09282, on scenes of its own). Scenes that are still done as before cost next to nothing to be sure
of: :mod:`train.visits` takes those that slip.
"""

from __future__ import annotations

from fde.engagement import Engagement, Run
from fde.errors import InputError, MissingError
from train.source import Source
from train.workflow import open_source


def learned_by(engagement: Engagement, start: Run | None) -> list[str]:
    """The workflows that a training run and the starts before it were trained on, the first one first.

    Where a run of the chain is gone, what came before it is not known.
    """
    found: list[str] = []
    while start is not None:
        workflow = start.config.get("workflow")
        if workflow and workflow not in found:
            found.append(workflow)
        stage, _, run_id = start.inputs.get("start", "").partition("/")
        start = engagement.finished_run(stage, run_id)
    return found[::-1]


def earlier_sources(
    engagement: Engagement, start: Run | None, workflow: str, *, needed: bool
) -> list[Source]:
    """What the start was trained on beside ``workflow``.

    Args:
        needed: They are to be gone over; else those that are gone are left out.

    Raises:
        InputError: when one that is needed is not there any more, or is not fit for training.
    """
    sources: list[Source] = []
    for name in learned_by(engagement, start):
        if name == workflow:
            continue
        try:
            sources.append(open_source(engagement, name))
        except (InputError, MissingError) as error:
            if not needed:
                continue
            raise InputError(
                f"The start learned '{name}' before, which cannot be gone over: {error}",
                "Compile it again with: fde envgen build; or let it be forgotten: --set rehearse=0",
            ) from error
    return sources
