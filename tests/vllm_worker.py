"""A rollout worker that computes with vLLM, on a tiny model saved to a folder."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import train_tiny
from train_mini import MiniSource
from train_toy import Portal, make_tasks

from envgen.session import Task
from fde.errors import WorkError
from serve.engine.engines import load_engine
from serve.engine.interface import Engine
from serve.engine.local import LocalEngine
from serve.engine.vllm_engine import VllmEngine

# vLLM's kernels want heads of this size.
SHAPE = {"head_dim": 64}


def local(*, split: int = 0) -> LocalEngine:
    """The tiny model, as a trainer has it."""
    return train_tiny.engine(split=split, **SHAPE)


def save(folder: Path) -> Path:
    """The same as files."""
    train_tiny.model(**SHAPE).save_pretrained(folder)
    train_tiny.tokenizer().save_pretrained(folder)
    return folder


class Both:
    """The smallest workflow and the toy portal, by the tasks' names."""

    name = "both"
    inputs: dict[str, str] = {"both": "1"}  # noqa: RUF012 - as the protocol has it

    def session(self, task: Task) -> Any:
        return Portal() if task.workflow == "toy" else MiniSource("Green").session(task)


def toy_tasks(count: int) -> Sequence[Task]:
    return make_tasks(count)


def for_worker(model: str, before: str = "", **engine: Any) -> tuple[Engine, Both]:
    """A rollout worker's engine and source; ``before`` is a function that spoils something first."""
    if before:
        module, _, name = before.partition(":")
        getattr(importlib.import_module(module), name)()
    return load_engine(model, **engine), Both()


def spoil_on_request() -> None:
    """A vLLM that leaves adapters out, and tells nobody, while the file of ``SPOILED_WHILE`` exists.

    What it says of the model ``UNKNOWN_MODEL`` is left there.
    """
    unknown = Path(os.environ["UNKNOWN_MODEL"])
    try:
        VllmEngine.load(unknown)
    except WorkError as error:
        (unknown / "said").write_text(f"{error.message}\n{error.hint}")
    logits = VllmEngine._logits

    def plain(self: VllmEngine, rows: Sequence[list[int]]) -> torch.Tensor:
        if not Path(os.environ["SPOILED_WHILE"]).exists():
            return logits(self, rows)
        loaded, self._loaded = self._loaded, None
        try:
            return logits(self, rows)
        finally:
            self._loaded = loaded

    VllmEngine._logits = plain  # type: ignore[method-assign]
