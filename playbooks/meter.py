"""How much memory a process and everything it started take at their peak."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

import psutil

SAMPLE_EVERY_S = 1.0


class MemoryMeter:
    """Samples the memory of a process tree while a ``with`` block runs.

    Attributes:
        peak_bytes: Largest sum seen. Pages shared by several processes count
            once (proportional set size) where the kernel tells; a peak shorter
            than the sampling interval may be missed.
    """

    def __init__(self, pid: int, every_s: float = SAMPLE_EVERY_S) -> None:
        self.pid = pid
        self.peak_bytes = 0
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryMeter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, tree_bytes(self.pid))
            if self._stop.wait(self._every_s):
                return


def tree_bytes(pid: int) -> int:
    """Memory of a process and its descendants now."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_bytes(process) for process in processes)


def _bytes(process: psutil.Process) -> int:
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
