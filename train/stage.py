"""A training run from its settings to its end, whatever is trained in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fde.engagement import Engagement, Run
from serve.engine.local import LocalEngine
from train.begin import Beginning
from train.memory import check_memory
from train.record import Point, Recorder
from train.settings import RlConfig, SftConfig
from train.world import World

if TYPE_CHECKING:
    from train.workflow import BuiltSource

_Config = TypeVar("_Config", SftConfig, RlConfig)


def train_stage(
    engagement: Engagement,
    stage: str,
    workflow: str,
    config: _Config,
    fit: Callable[[LocalEngine, BuiltSource, _Config, Recorder, Beginning], None],
    *,
    start: str | Run | None,
    on_point: Callable[[Point], None],
    loaded: LocalEngine | None,
    world: World,
) -> Run:
    """The run of a training stage; a finished one of the same inputs and settings is returned as it is.

    Args:
        stage: ``sft-<name>`` or ``rl-<name>``.
        workflow: The compiled workflow to learn.
        fit: Trains, and leaves what came of it in the recorder's run.
        start: A training run, or a stage whose latest run it is, to continue from.
        on_point: Is told every point of the learning curve as it is made.
        loaded: An engine that is loaded already, to save the loading.
        world: The processes that train together.

    Raises:
        InputError: missing workflow, model or start, or too little memory.
        WorkError: training failed; what was checkpointed is kept.
    """
    from train.workflow import open_source

    source = open_source(engagement, workflow)
    begin = Beginning.of(engagement, start)
    begin.check(config)
    recorder = Recorder(
        engagement, stage, source, config, inputs=begin.inputs, on_point=on_point, world=world
    )
    if world.agreed(recorder.run.finished):
        if world.first:
            engagement.publish(recorder.run)
        return recorder.run
    if loaded is None:
        check_memory(recorder.base, config, world.size)
    with recorder.working():
        fit(begin.engine(recorder, config.frozen, loaded), source, config, recorder, begin)
    return recorder.run
