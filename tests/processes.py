"""Processes that have to end."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def left(processes: Iterable[psutil.Process], within_s: float = 20) -> list[psutil.Process]:
    """Those that still run after some time; one that ended and that nobody has asked about does not run."""
    until = time.monotonic() + within_s
    running = list(processes)
    while running and time.monotonic() < until:
        running = [each for each in running if _runs(each)]
        time.sleep(0.05)
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
