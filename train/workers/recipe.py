"""How a rollout worker gets what it needs: named, not sent."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from train.source import Source

if TYPE_CHECKING:
    from serve.engine.local import LocalEngine


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a worker gets its engine and its tasks' sessions.

    Attributes:
        make: ``module:function``, called with ``settings`` and the engine's ``dtype`` and ``split``; it
            returns a :class:`LocalEngine` and a :class:`train.source.Source`.
        settings: Plain data, ``dtype`` (such as ``float32``) and ``split`` among them once they are known.
    """

    make: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def parts(self) -> tuple[LocalEngine, Source]:
        module, _, name = self.make.partition(":")
        engine, source = getattr(importlib.import_module(module), name)(**self.settings)
        return engine, source
