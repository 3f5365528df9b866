"""Which algorithm a run's settings mean, and what they leave to it."""

from __future__ import annotations

from dataclasses import replace

from fde.errors import InputError, MissingError
from serve.engine.vllm_remote import address
from serve.vllm_server import importable
from train.algorithms import ALGORITHMS, Algorithm
from train.loss import Clip
from train.settings import RlConfig

MAX_STALENESS, MAX_WORKERS = 8, 256


def settled(config: RlConfig) -> RlConfig:
    """The settings with what they leave to the algorithm filled in.

    Raises:
        InputError: when there is no such algorithm, or settings contradict each other.
    """
    clip = bounds(config)
    epochs = config.epochs or algorithm_of(config).epochs
    _check_workers(config)
    return replace(
        config,
        epochs=epochs,
        clip_low=clip.low,
        clip_high=clip.high,
        reach=clip.reach,
        hold=clip.hold,
        # Rollouts of an older policy are not this one's, and those of another engine not quite.
        correct=config.correct or config.staleness > 0 or config.by != "local",
    )


def bounds(config: RlConfig) -> Clip:
    """The algorithm's bounds, as far as the settings name no others."""
    own = algorithm_of(config).clip
    return replace(
        own,
        low=own.low if config.clip_low is None else config.clip_low,
        high=own.high if config.clip_high is None else config.clip_high,
        reach=own.reach if config.reach is None else config.reach,
        hold=own.hold if config.hold is None else config.hold,
    )


def algorithm_of(config: RlConfig) -> Algorithm:
    """The algorithm that the settings name."""
    if config.algorithm not in ALGORITHMS:
        raise InputError(f"Unknown algorithm '{config.algorithm}'.", f"Known are: {', '.join(ALGORITHMS)}.")
    return ALGORITHMS[config.algorithm]


def _check_workers(config: RlConfig) -> None:
    if not 0 <= config.staleness <= MAX_STALENESS:
        raise InputError(
            f"staleness is {config.staleness}: it may be 0 to {MAX_STALENESS}.",
            "Rollouts that are further behind teach little; 1 is usual.",
        )
    if config.workers is not None and not 1 <= config.workers <= MAX_WORKERS:
        raise InputError(
            f"workers is {config.workers}: there may be 1 to {MAX_WORKERS}.",
            "Leave it out for as many as staleness needs.",
        )
    if config.by != "local" and config.nf4:
        raise InputError(
            f"--engine {config.engine} computes with the base model as it is, and tune is 'qlora': what is "
            "sampled would not be what is trained.",
            "Make rollouts by --engine local or ray; or train on the base model as it is (--set tune=lora).",
        )
    if config.by != "local" and config.tune != "lora":
        raise InputError(
            f"--engine {config.engine} takes over adapters, and tune is '{config.tune}'.",
            "Train an adapter (--set tune=lora), or make rollouts by --engine local or ray.",
        )
    if config.by == "vllm-server":
        address()
    if config.engine == "vllm" and not importable():
        raise MissingError(
            "--engine vllm needs vLLM, which is not installed here.",
            "make setup tries to install it; without it: --engine local",
        )
    if config.stall_s <= 0:
        raise InputError(f"stall_s is {config.stall_s:g}: it must be more than 0.", "300 is usual.")
