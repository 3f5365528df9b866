"""Experiment tracking: runs are logged to MLflow on the engagement's own SQLite file.

View them with ``mlflow ui --backend-store-uri sqlite:///PATH/mlflow.db``.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fde import offline
from fde.artifacts import digest
from fde.engagement import Engagement

# Limits of MLflow's stores: larger batches and longer values are refused.
_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_PARAM_CHARACTERS = 6000
_EXPERIMENT = "fde"
_RUN_TAG = "fde.run"


def log_run(
    engagement: Engagement,
    run_name: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    series: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    artifacts: Sequence[Path] = (),
) -> str:
    """Log one finished piece of work; logging it again replaces the first.

    Args:
        run_name: What is shown, unique in the engagement, for instance ``"rl-invoice 1f0c"``.
        params: Settings; nested values are written as text.
        metrics: Final figures; those that are None or not finite are unknown and left out.
        series: Figures over time, name -> ``[(step, value), …]``.
        artifacts: Files and folders to copy beside the run.

    Returns:
        MLflow's id of the run.
    """
    client, experiment_id = _client(engagement)
    key = digest(run_name)  # free of the characters that MLflow's filters treat specially
    for old in client.search_runs([experiment_id], filter_string=f"tags.`{_RUN_TAG}` = '{key}'"):
        client.delete_run(old.info.run_id)
    run = client.create_run(experiment_id, run_name=run_name, tags={_RUN_TAG: key})
    run_id = str(run.info.run_id)
    _log_values(client, run_id, params, metrics, series or {})
    for path in artifacts:
        if path.is_dir():
            client.log_artifacts(run_id, str(path), artifact_path=path.name)
        else:
            client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return run_id


def _client(engagement: Engagement) -> tuple[Any, str]:
    """MLflow, quietly: no telemetry, no notes about its migrations."""
    offline.prepare()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
            logging.getLogger(name).setLevel(logging.ERROR)
        client = MlflowClient(tracking_uri=f"sqlite:///{engagement.mlflow_db}")
        found = client.get_experiment_by_name(_EXPERIMENT)
        if found is not None:
            return client, str(found.experiment_id)
        location = (engagement.root / "mlartifacts").as_uri()
        return client, str(client.create_experiment(_EXPERIMENT, artifact_location=location))


def _log_values(
    client: Any,
    run_id: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    series: Mapping[str, Sequence[tuple[int, float]]],
) -> None:
    from mlflow.entities import Metric, Param

    now_ms = int(time.time() * 1000)
    points = [(name, value, 0) for name, value in metrics.items() if value is not None]
    points += [(name, value, step) for name, values in series.items() for step, value in values]
    logged_metrics = [
        Metric(name, float(value), now_ms, step) for name, value, step in points if math.isfinite(value)
    ]
    logged_params = [Param(name, str(value)[:_PARAM_CHARACTERS]) for name, value in params.items()]
    for start in range(0, len(logged_params), _PARAMS_PER_BATCH):
        client.log_batch(run_id, params=logged_params[start : start + _PARAMS_PER_BATCH])
    for start in range(0, len(logged_metrics), _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=logged_metrics[start : start + _METRICS_PER_BATCH])
