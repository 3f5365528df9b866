"""Nothing the toolkit uses may call out: no telemetry, no look-ups at model hubs.

A client's network often has no internet, and where it has one, what the
toolkit sees is the client's business. These settings are made before any of
the libraries they concern is imported.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The domain recogniser of Presidio would otherwise fetch the public suffix list.
    "TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS": "",
    # Forked workers would otherwise warn about, or dead-lock in, the tokenizers' threads.
    "TOKENIZERS_PARALLELISM": "false",
    # Libraries' progress bars would mix with ours.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Make the settings in ``environ``; child processes inherit them."""
    environ.update(SETTINGS)
