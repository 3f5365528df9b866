"""One arm on the frozen tasks: done, taken over from an earlier evaluation, or there already."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from envgen.session import Session, Task
from evaluate.arms import Arm, Material, result, run_model, run_replay
from evaluate.lending import LivePlace, live_sessions
from evaluate.places import Workplace
from evaluate.results import arm_path
from evaluate.rows import ArmResult, TestSet, load_arm
from fde.artifacts import write_json
from fde.engagement import Engagement, Run
from fde.errors import InputError

if TYPE_CHECKING:
    from serve.engine.local import LocalEngine

# An arm may take this many times the actions of the compiled program's longest way.
SLACK = 1.5
# What the program itself may take.
PROGRAM_ACTIONS = 200
# Raise when arms would be run differently: earlier rows are then not taken over.
VERSION = 1

Progress = Callable[[str, int], Callable[[], None]]
Where = Literal["environment", "live"]


def silent(_label: str, _total: int) -> Callable[[], None]:
    return lambda: None


@dataclass
class Work:
    """One evaluation while it runs.

    Attributes:
        arms: All arms that are compared.
        tests: The frozen tasks.
    """

    engagement: Engagement
    run: Run
    place: Workplace
    live: LivePlace | None
    model: str
    progress: Progress
    arms: Sequence[Arm]
    tests: TestSet = field(init=False)
    _engine: LocalEngine | None = field(init=False, default=None, repr=False)

    def engine(self, arm: Arm) -> LocalEngine:
        """Loaded when the first arm needs it; the adapters are swapped.

        Adapters to the base model in four bits have an engine of their own; one of both is loaded at a time.
        """
        from serve.engine.local import LocalEngine

        nf4 = arm.adapter is not None and self._adapters[arm.adapter][0]
        if self._engine is None or self._engine.nf4 != nf4:
            self._engine = None
            self._engine = LocalEngine.load(self.model, nf4=nf4)
            layers = [layer for to_nf4, layer in self._adapters.values() if to_nf4 == nf4]
            if len(layers) > 1:
                # All arms read the same pages: what no adapter changes is computed once.
                self._engine.share_lower(min(layers))
        return self._engine

    @cached_property
    def _adapters(self) -> dict[Path, tuple[bool, int]]:
        """Of each adapter: whether it is to the base model in four bits, and the first layer it changes."""
        from serve.engine import adapter

        found = {arm.adapter: adapter.read(arm.adapter) for arm in self.arms if arm.adapter}
        return {
            path: (adapter.to_nf4(weights), adapter.first_layer(weights)) for path, weights in found.items()
        }

    @cached_property
    def material(self) -> Material:
        return self.place.material()

    def do(self, arm: Arm, where: Where) -> None:
        """Do an arm's tasks and write its rows, unless they are there."""
        path = arm_path(self.run, arm.name, where)
        if path.is_file():
            return
        tasks = self.tests.live
        if where == "environment":
            tasks = (*self.tests.plain, *(self.tests.disturbed if arm.takes_disturbed else ()))
        limit = self._limit() if arm.has_model else PROGRAM_ACTIONS
        key = arm.key(self.tests.hash, f"{self.model} {VERSION}", limit, where)
        earlier = self._taken_over(key)
        if earlier is not None:
            write_json(path, earlier.model_dump(mode="json"))
            return
        advance = self.progress(f"{arm.label}{', real application' if where == 'live' else ''}", len(tasks))
        if not arm.has_model:
            rows, seconds = run_replay(tasks, self.place.session, max_actions=limit, advance=advance)
        else:
            with self._sessions(where) as (make, at_once):
                rows, seconds = run_model(
                    arm,
                    self.engine(arm),
                    tasks,
                    make,
                    self.material,
                    max_actions=limit,
                    at_once=at_once,
                    advance=advance,
                )
        done = result(arm, rows, seconds, key=key, place=where, peak_memory_bytes=peak_memory())
        write_json(path, done.model_dump(mode="json"))

    @contextmanager
    def _sessions(self, where: Where) -> Iterator[tuple[Callable[[Task], Session], int | None]]:
        """What makes sessions, and how many may be open at once (None: any number)."""
        if where == "environment":
            yield self.place.session, None
            return
        assert self.live is not None
        with live_sessions(self.live) as make:
            yield make, self.live.sessions

    def _limit(self) -> int:
        """Actions an episode may take, the same for all arms: half as many again as the program's longest."""
        path = arm_path(self.run, "replay", "environment")
        if path.is_file():
            rows = load_arm(path).rows
        else:
            rows, _ = run_replay(self.tests.plain, self.place.session, max_actions=PROGRAM_ACTIONS)
        longest = max((row.actions for row in rows if row.passed), default=None)
        return PROGRAM_ACTIONS if longest is None else math.ceil(SLACK * longest)

    def _taken_over(self, key: str) -> ArmResult | None:
        """The same arm under the same conditions in an earlier evaluation, finished or not."""
        for path in sorted((self.engagement.stages / "evaluate").glob("*/arms/*.json")):
            if path.parent.parent == self.run.path:
                continue
            try:
                found = load_arm(path)
            except InputError:
                continue
            if found.key == key:
                return found
        return None


def peak_memory() -> int:
    """Highest memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
