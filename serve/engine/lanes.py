"""Parts of the work side by side, each on cores of its own.

Small models make small matrix products, and cores that share one of them spend much of their time
waiting for each other: two threads that each compute half of the rows by themselves are faster than
two that compute every row together (see docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# Each lane reads all weights: with fewer tokens than this that costs more than waiting does.
_TOKENS = 24
# More of them would mostly queue for the interpreter.
_MOST = 4


def shared_out(sizes: Sequence[int], count: int) -> list[list[int]]:
    """Indices of the items each of ``count`` takes, about as much for each; in the items' order."""
    taken: list[list[int]] = [[] for _ in range(count)]
    load = [0] * count
    # Longest first, each to the one with least to do (Graham 1969).
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        least = load.index(min(load))
        taken[least].append(index)
        load[least] += sizes[index]
    return [sorted(items) for items in taken]


class Lanes:
    """Threads among which the cores are divided.

    Args:
        device: Anything but a CPU has one lane, which is the calling thread.
    """

    def __init__(self, device: torch.device) -> None:
        self._threads = torch.get_num_threads()
        self.count = min(_MOST, self._threads) if device.type == "cpu" else 1
        self._pool: ThreadPoolExecutor | None = None

    def share(self, sizes: Sequence[int]) -> list[list[int]]:
        """Indices of the items each lane takes, about as many tokens for each; in the items' order.

        There are fewer lanes when there are few tokens, and always one where there is any item.
        """
        count = max(1, min(self.count, sum(sizes) // _TOKENS))
        return [items for items in shared_out(sizes, count) if items]

    def run(self, work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
        """``work`` on every part, at the same time, at most ``count`` of them.

        A single part is done in the calling thread, with all cores. Gradients are recorded as the
        caller has it.

        Returns:
            Results in the parts' order.

        Raises:
            The first part's error, when all have ended.
        """
        if len(parts) < 2:
            return [work(part) for part in parts]
        if self._pool is None:
            each = self._threads // self.count
            self._pool = ThreadPoolExecutor(self.count, "lane", torch.set_num_threads, (each,))
        inference, grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def one(part: T) -> R:
            with torch.inference_mode(inference), torch.set_grad_enabled(grad):
                return work(part)

        futures = [self._pool.submit(one, part) for part in parts]
        wait(futures)
        return [future.result() for future in futures]
