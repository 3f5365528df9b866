"""How a rollout worker gets what it needs: named, not sent."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from train.source import Source

if TYPE_CHECKING:
    from serve.engine.interface import Engine


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a worker gets its engine and its tasks' sessions.

    Attributes:
        make: ``module:function``, called with ``settings``; it returns an :class:`Engine` and a
            :class:`train.source.Source`.
        settings: Plain data; once they are known with arguments of
            :func:`serve.engine.engines.load_engine`: ``dtype``, ``split``, and more where they differ.
        environ: What the worker's environment has beside the trainer's.
    """

    make: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> tuple[Engine, Source]:
        module, _, name = self.make.partition(":")
        engine, source = getattr(importlib.import_module(module), name)(**self.settings)
        return engine, source
