"""Imported once by the process that stages are forked from: what takes seconds to import.

Importing only; nothing is computed, so no threads are running when stages are forked.
"""

from __future__ import annotations

import importlib
from contextlib import suppress

from fde import offline

HEAVY = (
    "torch",
    "mlflow.tracking",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "evaluate.stage",
    "serve.engine.local",
    "train.rl",
    "train.sft",
)

offline.prepare()
for name in HEAVY:
    # A stage that needs what is missing says so itself.
    with suppress(Exception):
        importlib.import_module(name)
