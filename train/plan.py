"""What a run will take on given hardware: how to divide it, memory for each part, and how fast it goes.

Memory is that of :mod:`train.memory`. Speed is arithmetic: what has to be computed and read for an
iteration, divided by what the hardware can do, times the share of it that is reached. Shares that were
measured say so; the others are marked as assumptions, and so is everything that follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fde.errors import InputError
from train.memory import GIB, NF4_BYTES, Shapes, needed
from train.settings import RlConfig

# Operations of a token in a forward, for each number in the weights; a backward computes as many for the
# activations of the trained layers, and little more for an adapter.
_FORWARD = 2.0
_MOST_DEVICES = 4096


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator, or one machine without.

    Attributes:
        gib: Memory.
        operations_s: Peak of dense matrix products, bf16 (on a CPU: as it computes), a second.
        bytes_s: Of reading weights.
        reads, trains: Shares of ``operations_s`` that long feeds and updates reach.
        forward_s: What a forward takes however little it computes.
        number_bytes: Of a number in the weights.
        link_bytes_s: From one to another of its kind.
        measured: Whether the shares were measured with this toolkit; else they are assumptions.
    """

    name: str
    gib: float
    operations_s: float
    bytes_s: float
    reads: float
    trains: float
    forward_s: float
    number_bytes: int
    link_bytes_s: float
    measured: bool


def _gpu(name: str, gib: float, tera: float, tera_bytes: float, link: float) -> Device:
    """A GPU by its maker's data sheet; the shares are what is usual for models of a few billion weights."""
    return Device(name, gib, tera * 1e12, tera_bytes * 1e12, 0.35, 0.25, 0.02, 2, link * 1e9, measured=False)


GPUS = {
    each.name: each
    for each in (
        _gpu("a100-40", 40, 312, 1.56, 300), _gpu("a100-80", 80, 312, 2.04, 300),
        _gpu("l40s", 48, 362, 0.864, 32), _gpu("h100", 80, 989, 3.35, 450),
        _gpu("h200", 141, 989, 4.8, 450), _gpu("b200", 180, 2250, 8.0, 900),
    )
}  # fmt: skip
# Of a CPU, whose peak is measured on the spot; `benchmarks/scaling.py` compares them with a run.
_CPU_READS, _CPU_TRAINS, _CPU_FORWARD_S = 0.75, 0.6, 0.01
# Between machines, on the usual network of ten gigabits.
_CPU_LINK_BYTES_S = 1.2e9


@dataclass(frozen=True, slots=True)
class Workload:
    """What an iteration's rollouts are like.

    Attributes:
        prompt_tokens: Distinct tokens of a group that are read; ``said_tokens`` those an episode says.
        choices: Tokens of an episode that are chosen, the others being forced: as many forwards.
        actions: Of an episode; ``wait_s`` the environment's time for each.
        taught: Share of a group's distinct tokens that updates compute.
    """

    prompt_tokens: int = 400
    said_tokens: int = 90
    choices: int = 25
    actions: int = 8
    wait_s: float = 0.0
    taught: float = 0.6


@dataclass(frozen=True, slots=True)
class Plan:
    """A division of a run among devices, and what is expected of it.

    Attributes:
        workers: Rollout workers; 0 when the trainer makes its rollouts itself.
        used: Devices that have something to do.
        trainers: Of them, those that train together, with the weights divided among them.
        trainer_bytes, worker_bytes: On their devices; together where both are on one.
        rollouts_s, updates_s: Of an iteration, each by itself; ``iteration_s`` as they overlap.
        limit: What an iteration waits for.
        measured: Whether all shares behind the times were measured.
    """

    devices: int
    used: int
    trainers: int
    staleness: int
    workers: int
    trainer_bytes: int
    worker_bytes: int
    fits: bool
    rollouts_s: float
    updates_s: float
    iteration_s: float
    tokens_s: float
    limit: str
    measured: bool

    def text(self, device: Device) -> str:
        """In words."""
        trainer, worker = self.trainer_bytes / GIB, self.worker_bytes / GIB
        if not self.fits:
            return f"does not fit: the trainer takes {trainer:.1f} GiB, a device has {device.gib:.0f}."
        if self.trainers > 1:
            how = (
                f"--devices {self.trainers}, the weights divided among them; rollouts and updates take turns "
                f"({trainer:.1f} GiB each)"
            )
        elif not self.workers:
            how = f"rollouts and updates take turns on one ({trainer:.1f} GiB)"
        else:
            how = (
                f"--staleness {self.staleness} --workers {self.workers}, {self.used} used "
                f"(trainer {trainer:.1f} GiB, each worker {worker:.1f} GiB)"
            )
        return (
            f"{how}; about {3600 / self.iteration_s:,.0f} iterations an hour, {self.tokens_s:,.0f} distinct "
            f"tokens a second (of an iteration, rollouts {self.rollouts_s:.2g} s, updates "
            f"{self.updates_s:.2g} s; it waits for {self.limit})."
        )


def device_named(name: str | None) -> Device:
    """A kind of GPU; None is this machine's CPU.

    Raises:
        InputError: when nothing is known of it.
    """
    if name is None:
        return this_machine()
    if name not in GPUS:
        raise InputError(f"Unknown device '{name}'.", f"Known are: {', '.join(GPUS)}.")
    return GPUS[name]


def this_machine() -> Device:
    """The CPU of this machine, by a measurement of a second: its matrix products and its memory."""
    import time

    import psutil
    import torch

    from serve.engine.local import usual_dtype

    dtype = usual_dtype("cpu")
    x, w = torch.ones(512, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    block = torch.zeros(1 << 24)

    def best(work: object) -> float:
        assert callable(work)
        found = math.inf
        for _ in range(8):
            began = time.perf_counter()
            work()
            found = min(found, time.perf_counter() - began)
        return found

    operations_s = 2.0 * 512 * 576 * 1536 / best(lambda: torch.nn.functional.linear(x, w))
    bytes_s = block.nbytes / best(lambda: block.sum())
    return Device(
        "this machine", psutil.virtual_memory().total / GIB, operations_s, bytes_s, _CPU_READS, _CPU_TRAINS,
        _CPU_FORWARD_S, dtype.itemsize, _CPU_LINK_BYTES_S, measured=False,
    )  # fmt: skip


def seconds(
    model: Shapes, config: RlConfig, work: Workload, device: Device, parts: int = 1
) -> tuple[float, float]:
    """What is computed for an iteration: a part of its rollouts, one of ``parts``, and all its updates."""
    groups = -(-config.groups // parts)
    read = groups * (work.prompt_tokens + config.samples * work.said_tokens)
    reading = _FORWARD * model.elements * read / (device.operations_s * device.reads)
    # Each choice is a forward of all rows together; it reads all weights once.
    each = max(device.forward_s, _moved(model, config, device) / device.bytes_s)
    trained = 1.0 - config.frozen
    tokens = config.groups * (work.prompt_tokens + config.samples * work.said_tokens) * work.taught
    passes = (config.epochs or 4) + (0.5 if config.correct or config.staleness else 0.0)
    # Forward, and backward through as much: what is frozen is kept from the rollouts.
    operations = 2 * _FORWARD * sum(model.linear) * trained * tokens * passes
    return reading + work.choices * each, operations / (device.operations_s * device.trains)


def _moved(model: Shapes, config: RlConfig, device: Device) -> float:
    """Bytes of weights that a forward moves: in four bits they are looked up, scaled in place and read."""
    layers, plain = sum(model.linear), model.elements * device.number_bytes
    return plain + layers * (NF4_BYTES + 3 * device.number_bytes) if config.nf4 else plain


def together(
    model: Shapes, config: RlConfig, work: Workload, device: Device, trainers: int
) -> tuple[float, float]:
    """The same where devices train together, each computing its share of either.

    Every update brings the trained layers together twice, forward and backward, and, of full weights, their
    gradients once; that is counted as if nothing were computed meanwhile.
    """
    rollouts, updates = seconds(model, config, work, device, trainers)
    upper = sum(model.linear[round(config.frozen * len(model.linear)) :])
    tokens = config.groups * (work.prompt_tokens + config.samples * work.said_tokens) * work.taught
    count = math.ceil(tokens / config.batch_tokens) * (config.epochs or 4)
    moved = upper * (2 * device.number_bytes + (4 if config.tune == "full" else 0))
    sent = count * moved * (trainers - 1) / trainers / device.link_bytes_s
    # What few tokens take on each device is not divided: each update is a forward and a backward at least.
    return rollouts, max(updates / trainers, 3 * count * device.forward_s) + sent


def plan(model: Shapes, config: RlConfig, work: Workload, device: Device, devices: int) -> Plan:
    """How to use so many devices, and what to expect.

    One device trains; rollouts are made by it in turn, by the others, or, where the environment is what is
    waited for, by workers beside the trainer. Workers that would only wait for the trainer are left out.
    Or several train together, which makes their rollouts as well: where a model does not fit one.

    Raises:
        InputError: when ``devices`` is no number of devices.
    """
    if not 1 <= devices <= _MOST_DEVICES:
        raise InputError(f"{devices} devices: there may be 1 to {_MOST_DEVICES}.")
    candidates = [_plan(model, config, work, device, devices, 0, 0)]
    # Two on a device wait for their environments by turns.
    most = 2 * max(1, devices - 1)
    for workers in sorted({*range(1, min(most, 16) + 1), *(2**power for power in range(12)), most}):
        if workers <= most:
            candidates += [_plan(model, config, work, device, devices, workers, 1)]
    candidates += [
        _together(model, config, work, device, devices, trainers)
        for trainers in sorted({*(2**power for power in range(1, 13)), devices})
        if 1 < trainers <= devices and not config.nf4
    ]
    fitting = [each for each in candidates if each.fits]
    if not fitting:
        return min(candidates, key=lambda each: each.trainer_bytes)
    fastest = min(each.iteration_s for each in fitting)
    # The smallest that is nearly as fast: a device more must be worth it.
    return min(
        (each for each in fitting if each.iteration_s <= 1.05 * fastest),
        key=lambda each: (each.used, each.workers),
    )


def _together(
    model: Shapes, config: RlConfig, work: Workload, device: Device, devices: int, trainers: int
) -> Plan:
    config = replace(config, staleness=0, workers=None)
    on_each = sum(needed(model, config, device.number_bytes, trainers).values())
    computed, updates = together(model, config, work, device, trainers)
    rollouts = computed + work.actions * work.wait_s
    tokens = config.groups * (work.prompt_tokens + config.samples * work.said_tokens)
    return Plan(
        devices=devices,
        used=trainers,
        trainers=trainers,
        staleness=0,
        workers=0,
        trainer_bytes=on_each,
        worker_bytes=0,
        fits=on_each <= device.gib * GIB,
        rollouts_s=rollouts,
        updates_s=updates,
        iteration_s=rollouts + updates,
        tokens_s=tokens / (rollouts + updates),
        limit="rollouts" if rollouts > updates else "updates",
        measured=device.measured,
    )


def _plan(
    model: Shapes,
    config: RlConfig,
    work: Workload,
    device: Device,
    devices: int,
    workers: int,
    staleness: int,
) -> Plan:
    config = replace(config, staleness=staleness, workers=workers or None)
    parts = needed(model, config, device.number_bytes)
    beside = parts.pop("rollout workers", 0)
    trainer, worker = sum(parts.values()), beside // max(1, workers)
    shared = devices == 1
    others = 1 if shared else devices - 1
    on_each = -(-workers // others)
    room = device.gib * GIB
    fits = trainer + beside <= room if shared else max(trainer, on_each * worker) <= room
    computed, updates = seconds(model, config, work, device, max(1, -(-workers // 2)))
    rollouts = computed + work.actions * work.wait_s
    if not staleness:
        iteration, limit = rollouts + updates, "rollouts" if rollouts > updates else "updates"
    else:
        # Two iterations are under way, each with half of the workers; what a device computes adds up.
        under_way = (rollouts + updates) / 2 if workers > 1 else rollouts
        busy = on_each * computed / min(2, workers) + (updates if shared else 0.0)
        iteration = max(updates, under_way, busy)
        limit = (
            "updates" if iteration == updates
            else "the device" if shared and iteration == busy
            else "the environment" if rollouts > 2 * computed
            else "rollouts"
        )  # fmt: skip
    tokens = config.groups * (work.prompt_tokens + config.samples * work.said_tokens)
    return Plan(
        devices=devices,
        used=1 + (0 if shared else min(others, workers)),
        trainers=1,
        staleness=staleness,
        workers=workers,
        trainer_bytes=trainer,
        worker_bytes=worker,
        fits=fits,
        rollouts_s=rollouts,
        updates_s=updates,
        iteration_s=iteration,
        tokens_s=tokens / iteration,
        limit=limit,
        measured=device.measured,
    )


def plans(
    model: Shapes, config: RlConfig, work: Workload, device: Device, counts: Sequence[int]
) -> list[Plan]:
    """A plan for each number of devices."""
    return [plan(model, config, work, device, count) for count in counts]
