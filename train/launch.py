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


def launch(devices: int, command: Sequence[str]) -> int:
    """Run a Python command line in a process for each device, until all have ended.

    The first process has this terminal. What the others print is shown only where one of them ends the run.

    Args:
        command: What follows ``python``.

    Returns:
        0, or the exit code of the first process, which has said why.

    Raises:
        WorkError: another process failed, or one was killed; the others were ended.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    for library in ("GLOO", "NCCL"):
        # Of one machine alone: nobody else is listened to.
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory(prefix="fde-train-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            run_id=Path(folder).name,
            max_restarts=0,
            monitor_interval=0.2,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=dict.fromkeys(range(1, devices), Std.ALL)),
        )
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
            # Not one that was ended because of another; rather one that was killed than who noticed it.
            rank = min(codes, key=lambda rank: (codes[rank] == -signal.SIGTERM, codes[rank] > 0, rank))
            if rank == 0 and codes[rank] > 0:
                return codes[rank]
            raise _ended(rank, codes[rank], Path(folder)) from error
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from error
            raise WorkError(f"Ended by {error.sigval.name}.", _AGAIN) from error
    return 0


def _ended(rank: int, code: int, folder: Path) -> WorkError:
    """What to tell of a process that ended the run."""
    if code == -signal.SIGKILL:
        how = "was killed by the system or a person (out of memory looks like this)"
    elif code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}: {_last_words(folder, rank) or 'it said nothing'}"
    return WorkError(f"The training process of device {rank} {how}; the others were ended.", _AGAIN)


def _last_words(folder: Path, rank: int) -> str:
    for path in sorted(folder.glob(f"**/{rank}/stderr.log")):
        told = path.read_bytes()[-_TOLD_BYTES:].decode("utf-8", "replace")
        return " / ".join(line.strip() for line in told.strip().splitlines()[-_TOLD_LINES:])
    return ""
