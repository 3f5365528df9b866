"""Starts a training command on several devices of this machine, with torchrun.

On several machines, torchrun is given on each: see docs/scaling.md.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fde.errors import InputError, WorkError
from train.world import started_by_torchrun

_TOLD_LINES, _TOLD_BYTES = 3, 4096
_BAD_INPUT = 2
_AGAIN = "When the cause is mended, the same command goes on at the last checkpoint."


def check_devices(devices: int) -> None:
    """Make sure that this machine has so many devices to train on.

    Raises:
        InputError: when it has not, or torchrun has started this process already.
    """
    import torch

    if started_by_torchrun():
        raise InputError(
            f"--devices {devices}: torchrun has started this process already.",
            "Give either: fde train … --devices N on one machine, or torchrun on each of several.",
        )
    gpus = torch.cuda.device_count()
    there, what = (gpus, "GPUs") if gpus else (len(os.sched_getaffinity(0)), "processor cores")
    if not 1 <= devices <= there:
        raise InputError(f"--devices {devices}: this machine has {there} {what}.", f"Use 1 to {there}.")


def launch(devices: int, command: Sequence[str]) -> None:
    """Run a Python command line in a process for each device, until all have ended.

    The first process has this terminal. What the others print is shown only where one of them ends the run.

    Args:
        command: What follows ``python``.

    Raises:
        InputError: the first process refused its input; it has said why.
        WorkError: a process failed or was killed, and the others were ended.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="fde-train-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            run_id=Path(folder).name,
            max_restarts=0,
            monitor_interval=0.2,
            start_method="spawn",
            logs_specs=DefaultLogsSpecs(
                log_dir=folder, redirects=dict.fromkeys(range(1, devices), Std.ALL)
            ),
        )
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            raise _ended(rank, failure.exitcode, Path(folder)) from error


def _ended(rank: int, code: int, folder: Path) -> InputError | WorkError:
    """What to tell of a process that ended the run."""
    if code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how = "was killed by the system or a person (out of memory looks like this)"
        return WorkError(f"The training process of device {rank} {how}; the others were ended.", _AGAIN)
    said = "" if rank == 0 else _last_words(folder, rank)
    told = f": {said}" if said else " (it has said why)" if rank == 0 else ""
    text = f"The training process of device {rank} ended with exit code {code}{told}."
    if code == _BAD_INPUT:
        return InputError(text, "Nothing was changed.")
    return WorkError(text, _AGAIN)


def _last_words(folder: Path, rank: int) -> str:
    for path in sorted(folder.glob(f"**/{rank}/stderr.log")):
        told = path.read_bytes()[-_TOLD_BYTES:].decode("utf-8", "replace")
        return " / ".join(line.strip() for line in told.strip().splitlines()[-_TOLD_LINES:])
    return ""
