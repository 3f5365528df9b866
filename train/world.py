"""The processes that train one model together, each with a device of its own: what they tell each other.

They are started by torchrun (:mod:`train.launch`), run the same program on the same data, and differ only in
what each computes of it. What decides how the run goes on (the clock, what rollouts became) is told to all,
so that all decide alike. Messages are bytes of JSON and safetensors; nothing is pickled.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from fde.errors import FdeError, WorkError

# Seconds that a process waits for the others, where no setting says so.
STALL_S = 300.0
_LOOK_S = 1.0
_NOTICED_S = 2.0


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run.

    Attributes:
        rank: This process's number; 0 writes what is kept and shows what happens.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        return self.size > 1

    # All of these are calls that every process makes, in the same order.

    def agreed(self, value: float) -> float:
        """The first process's value."""
        if not self.several:
            return value
        told = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(told, 0)
        return float(told)

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over the processes."""
        if not self.several:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(told)
        return [float(value) for value in told]

    def exchange(self, content: bytes) -> list[bytes]:
        """What each process gave, by its number."""
        if not self.several:
            return [content]
        sizes = [int(size) for size in self._gathered(torch.tensor([len(content)]))]
        room = torch.zeros(max(1, *sizes), dtype=torch.uint8)
        if content:
            room[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        return [bytes(each[:size].numpy()) for each, size in zip(self._gathered(room), sizes, strict=True)]

    def _gathered(self, tensor: Tensor) -> list[Tensor]:
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(found, tensor)
        return found

    @torch.no_grad()
    def add(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over the processes into each tensor, on its device."""
        if not self.several or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def rows(self, count: int) -> slice:
        """This process's share of ``count`` rows; as FSDP divides a tensor's first dimension."""
        each = -(-count // self.size)
        return slice(min(count, self.rank * each), min(count, (self.rank + 1) * each))

    @torch.no_grad()
    def joined(self, part: Tensor, count: int) -> Tensor:
        """The whole of ``count`` rows, of which each process has :meth:`rows`; on the first one's CPU.

        The others get an empty tensor.
        """
        each = -(-count // self.size)
        room = torch.zeros(each, *part.shape[1:], dtype=part.dtype)
        room[: part.shape[0]] = part
        found = [torch.empty_like(room) for _ in range(self.size)] if self.first else None
        dist.gather(room, found, 0)
        return torch.cat(found)[:count] if found else room[:0]

    def check_same(self, digest: str) -> None:
        """Make sure that all processes have the same weights.

        Raises:
            WorkError: when they have not.
        """
        if len(set(self.exchange(digest.encode()))) > 1:
            raise WorkError(
                "The processes of this run have different weights.",
                "This is a fault of the toolkit; nothing trained since the last checkpoint counts.",
            )


ALONE = World()


def started_by_torchrun() -> bool:
    """Whether this is one of several processes that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process keeps and shows what happens: the first of a run's, or its only one."""
    return not started_by_torchrun() or os.environ.get("RANK") == "0"


@contextmanager
def joined_world(stall_s: float) -> Iterator[World]:
    """The run's processes, connected inside the block; this process alone where torchrun did not start it.

    Args:
        stall_s: Seconds that a process waits for the others; then the run ends.

    Raises:
        WorkError: another process is gone, or has been silent for too long.
    """
    if not started_by_torchrun():
        yield ALONE
        return
    local = int(os.environ["LOCAL_RANK"])
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    else:
        cores = len(os.sched_getaffinity(0))
        torch.set_num_threads(max(1, cores // int(os.environ["LOCAL_WORLD_SIZE"])))
    threading.Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=stall_s))
        world = World(dist.get_rank(), dist.get_world_size())
        yield world
        dist.barrier()
        dist.destroy_process_group()
    except RuntimeError as error:
        if isinstance(error, FdeError):
            raise
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        # torchrun looks for a process that died, and tells of that one; this one only noticed.
        time.sleep(_NOTICED_S)
        raise WorkError(
            f"Another process of this run is gone, or was silent for {stall_s:g} s: "
            f"{str(error).strip().splitlines()[0]}",
            "When the cause is mended, the same command goes on at the last checkpoint.",
        ) from error


@contextmanager
def told_once() -> Iterator[None]:
    """What all processes refuse, the first tells: it ends, and the others are ended before they say it."""
    try:
        yield
    except FdeError:
        if not is_first():
            time.sleep(_NOTICED_S)
        raise


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: nobody would end it otherwise."""
    silence = threading.Event()
    while not silence.wait(_LOOK_S):
        if os.getppid() != parent:
            os._exit(1)
