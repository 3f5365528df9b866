"""An engine for rollouts, by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from serve.engine.interface import Engine

By = Literal["local", "vllm", "vllm-server"]


def load_engine(
    model: str | Path,
    *,
    dtype: str,
    split: int = 0,
    by: By = "local",
    max_rank: int = 16,
    folder: str | None = None,
    nf4: bool = False,
) -> Engine:
    """A base model, ready for adapters.

    Args:
        dtype: ``float32`` or ``bfloat16``; a server has its own.
        split: Lower layers that no adapter will change; only the local engine makes use of it.
        max_rank: Of the adapters; vLLM prepares for it.
        folder: Where a server reads adapters.
        nf4: Whether the base model is in four bits; of the local engine only.
    """
    if by == "vllm":
        from serve.engine.vllm_engine import VllmEngine

        return VllmEngine.load(model, dtype=dtype, max_rank=max_rank)
    if by == "vllm-server":
        from serve.engine import vllm_remote as remote

        key = os.environ.get(remote.KEY, "")
        return remote.VllmServerEngine(model, Path(folder or "."), url=remote.address(), key=key)
    from serve.engine.local import LocalEngine

    return LocalEngine.load(model, dtype=dtype, split=split, nf4=nf4)
