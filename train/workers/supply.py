"""Where an iteration's rollouts come from: made in turn by this process, or ahead by workers.

Rollouts of iteration ``i`` may be begun when the adapter of iteration ``i - 1 - staleness`` is out: with
0 they wait for the update before them, with 1 they are made while it is computed. No more than
``staleness + 1`` iterations are ordered and not yet trained on, so nothing piles up.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from fde.errors import WorkError
from serve.engine import vllm_engine
from serve.episodes import Group
from train.lora import Lora
from train.loss import forward
from train.probe import Probe
from train.rollouts import Drawn, Rollouts
from train.settings import RlConfig
from train.trained import Trained
from train.tree import Tree, pack, packs
from train.workers import cluster
from train.workers.crew import Crew, Version
from train.workers.order import Order
from train.workers.process import Link, ProcessLink, device_of, threads_each
from train.workers.recipe import Recipe

# Tokens that are computed again to see whether a version made them.
_CHECKED_TOKENS = 1536


@dataclass(slots=True)
class Batch:
    """An iteration's rollouts.

    Attributes:
        drawn: What was tried; ``groups`` what became of it, in the same order.
        versions: After which iteration each group's adapter came out; empty where it is the one in use.
        tokens: Computed for them by others.
        notes: What happened on the way, for people.
    """

    drawn: Drawn
    groups: list[Group]
    versions: list[int] = field(default_factory=list)
    tokens: int = 0
    notes: list[str] = field(default_factory=list)


class Supply(Protocol):
    """Makes an iteration's rollouts."""

    def publish(self, iteration: int) -> None:
        """The adapter as it is now, after that iteration, is the one to roll out with."""
        ...

    def batch(self, iteration: int, *, all_tried: bool, last: int | None) -> Batch:
        """The rollouts of an iteration, the one after the latest that was published.

        Args:
            all_tried: Whether the unlikely is tried as well.
            last: The run's last iteration, where that is known.
        """
        ...

    def check(self, versions: Sequence[int], trees: Sequence[Sequence[Tree]]) -> None:
        """Make sure that groups are of the versions they are said to be; ``trees`` are each group's."""
        ...

    def state(self) -> list[dict[str, Any]]:
        """What is ordered and not yet trained on, as plain data."""
        ...

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Go on from a state: what was ordered is ordered again."""
        ...


class InTurn:
    """Rollouts by this process, with the adapter as it is."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._rollouts = rollouts

    def publish(self, iteration: int) -> None:
        return

    def batch(self, iteration: int, *, all_tried: bool, last: int | None) -> Batch:
        """See :meth:`Supply.batch`."""
        drawn = self._rollouts.draw(iteration)
        groups = self._rollouts.make(self._rollouts.order(drawn, iteration, all_tried=all_tried))
        return Batch(drawn, groups)

    def check(self, versions: Sequence[int], trees: Sequence[Sequence[Tree]]) -> None:
        # The first update compares the log-probabilities of its own decisions (Probe.check_gap).
        return

    def state(self) -> list[dict[str, Any]]:
        return []

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        return


@dataclass(slots=True)
class _Ordered:
    drawn: Drawn
    order: Order
    parts: int


class Ahead:
    """Rollouts by workers, begun before the updates before them are done.

    Args:
        staleness: Iterations by which rollouts may be behind.
        task: Names the adapter's versions.
    """

    def __init__(
        self, crew: Crew, rollouts: Rollouts, trained: Trained, probe: Probe, *, staleness: int, task: str
    ) -> None:
        self._crew, self._rollouts, self._trained, self._probe = crew, rollouts, trained, probe
        self._staleness, self._task = staleness, task
        self._ordered: dict[int, _Ordered] = {}
        self._versions: dict[int, Version] = {}

    def publish(self, iteration: int) -> None:
        """See :meth:`Supply.publish`."""
        kept = self._trained.handed_out()
        digest = kept.digest()
        version = Version(
            iteration,
            f"{self._task}@{digest[:12]}",
            digest,
            kept,
            self._probe.plain(),
            tuple(self._probe.expected()),
        )
        oldest = iteration - self._staleness
        self._versions = {number: each for number, each in self._versions.items() if number >= oldest}
        self._versions[iteration] = version
        self._crew.publish(version)

    def batch(self, iteration: int, *, all_tried: bool, last: int | None) -> Batch:
        """See :meth:`Supply.batch`."""
        for ahead in range(iteration, iteration + self._staleness + 1):
            if ahead not in self._ordered and (last is None or ahead <= last):
                drawn = self._rollouts.draw(ahead)
                self._give(drawn, self._rollouts.order(drawn, ahead, all_tried=all_tried))
        ordered = self._ordered[iteration]
        made, notes = self._crew.take(iteration, ordered.parts)
        del self._ordered[iteration]
        return Batch(
            ordered.drawn,
            [group for part in made for group in part.groups],
            [part.version for part in made for _ in part.groups],
            sum(part.tokens for part in made),
            notes,
        )

    def _give(self, drawn: Drawn, order: Order) -> None:
        # Each iteration under way has its share of the workers.
        parts = self._crew.give(order, -(-self._crew.workers // (self._staleness + 1)))
        self._ordered[order.iteration] = _Ordered(drawn, order, parts)

    def check(self, versions: Sequence[int], trees: Sequence[Sequence[Tree]]) -> None:
        """Compute some of each version's decisions again, with that version.

        Raises:
            WorkError: when its log-probabilities are not those they were sampled with.
        """
        for number in sorted(set(versions)):
            mine = [
                tree for made, grown in zip(versions, trees, strict=True) if made == number for tree in grown
            ]
            some = next(packs(mine, _CHECKED_TOKENS), None)
            if some is None:
                continue
            engine = self._trained.engine
            with self._trained.computing(self._versions[number].weights), torch.no_grad():
                packed = pack(some, engine.body.device)
                found = forward(engine, packed).cpu()
            sampled = torch.tensor([target.decision.logprob for target in packed.targets])
            self._probe.check_gap(float((found - sampled).abs().mean()))

    def state(self) -> list[dict[str, Any]]:
        """See :meth:`Supply.state`."""
        strata = self._rollouts.curriculum.strata
        numbers = {id(stratum): number for number, stratum in enumerate(strata)}
        return [
            {
                "order": each.order.plain(),
                "drawn": [[numbers[id(stratum)], task] for stratum, task in each.drawn],
            }
            for _, each in sorted(self._ordered.items())
        ]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """See :meth:`Supply.restore`; the curriculum has been restored before."""
        strata = self._rollouts.curriculum.strata
        for each in state:
            drawn = [(strata[number], task) for number, task in each["drawn"]]
            self._give(drawn, Order.of(each["order"]))


@contextmanager
def open_supply(
    rollouts: Rollouts,
    trained: Trained,
    probe: Probe,
    config: RlConfig,
    recipe: Recipe | None,
    task: str,
    folder: Path,
) -> Iterator[Supply]:
    """What makes a run's rollouts, as its settings have it; its workers end with the block.

    Args:
        task: Names the adapter's versions.
        folder: Where adapters are put for a server to read, meanwhile.

    Raises:
        WorkError: when the settings ask for workers and nobody said how they get their parts.
    """
    workers = config.processes
    if not workers:
        yield InTurn(rollouts)
        return
    if recipe is None:
        raise WorkError("This run's tasks exist in its own process only: workers cannot make them.")
    whole = _whole(recipe, trained, config, folder)

    def beside(number: int) -> Link:
        return ProcessLink(
            whole, number, threads=threads_each(workers), stall_s=config.stall_s, environ=device_of(number)
        )

    def check(who: str, found: list[float], version: Version) -> None:
        probe.compare(who, found, version.expected)

    start = cluster.starter(whole, workers, config.stall_s) if config.on_cluster else beside
    try:
        with Crew(start, workers, check) as crew:
            yield Ahead(crew, rollouts, trained, probe, staleness=config.staleness, task=task)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _whole(recipe: Recipe, trained: Trained, config: RlConfig, folder: Path) -> Recipe:
    """The recipe with what only the trainer knows."""
    body = trained.engine.body
    known: dict[str, Any] = {"dtype": str(body.dtype).removeprefix("torch."), "split": body.split}
    if trained.engine.nf4:
        known["nf4"] = True
    if isinstance(trained, Lora) and config.by != "local":
        known |= {"by": config.by, "max_rank": trained.rank}
    if config.by == "vllm-server":
        known["folder"] = str(folder)
    environ = vllm_engine.ENVIRON if config.by == "vllm" else {}
    return replace(recipe, settings={**recipe.settings, **known}, environ={**recipe.environ, **environ})
