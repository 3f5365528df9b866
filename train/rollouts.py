"""An iteration's rollouts: which tasks, where they begin, and how far samples stay behind the program."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from envgen.session import Task
from serve.engine.local import LocalEngine
from serve.episodes import Episode, Group
from serve.prompt import Prompt
from train.algorithms.returns import Credit, outcome
from train.curriculum import Curriculum, Stratum
from train.settings import RlConfig
from train.source import Source
from train.starts import Call, Start, Way, left_out, way
from train.tree import Target
from train.workers.order import Order, carry_out

_LOOKED_AT_FOR_SCENES = 5
# Each time what is called for is failed by all samples again, it is drawn at so many times the temperature:
# the choice in question up to the second, all that the policy hesitates at up to the third.
_HOTTER, _HOTTEST, _HOTTEST_ANYWHERE = 3.0, 9.0, 3.0
_WORSE = 0.01
_LOOKED_AT_FOR_CALLS = 64
# To do all that the program does.
_ALL = Call(name="", field="", line="")

Drawn = Sequence[tuple[Stratum, int]]


class Rollouts:
    """Draws tasks by what they teach and runs the policy on them."""

    def __init__(
        self, engine: LocalEngine, source: Source, prompt: Prompt, config: RlConfig, credit: Credit
    ) -> None:
        self.engine, self.source, self.prompt = engine, source, prompt
        self.config, self.credit = config, credit
        self._tasks: dict[bool, list[Task]] = {False: [], True: []}
        self._ways: dict[str, Way] = {}
        self._called: dict[tuple[bool, int, bool], tuple[str, ...]] = {}
        looked_at = self._task_list(False, _LOOKED_AT_FOR_SCENES)
        self.first = looked_at[0]
        self.curriculum = Curriculum(
            max(self._way(task).scenes for task in looked_at),
            again=config.again,
            disturbed=config.disturbed,
            whole=config.whole,
        )

    def draw(self, iteration: int) -> Drawn:
        """What the iteration's groups try."""
        # The first, of which nothing is known, find out where something can be learned: half as many tell.
        unknown = iteration <= 1 + self.config.staleness
        count = -(-self.config.groups // 2) if unknown else self.config.groups
        return self.curriculum.draw(count, f"{self.config.seed}/{iteration}", self._names)

    def order(self, drawn: Drawn, iteration: int, *, all_tried: bool) -> Order:
        """What was drawn, as an order that can be carried out anywhere.

        Args:
            all_tried: Whether the unlikely is tried as well.
        """
        starts = []
        explored: dict[str, dict[str, float]] = {}
        for stratum, number in drawn:
            start = self._start(stratum, number)
            starts.append(start)
            if heats := self._heats(stratum, start):
                explored[start.as_task.id] = heats
        return Order(
            iteration=iteration,
            starts=tuple(starts),
            explored=explored,
            min_p=0.0 if all_tried else self.config.min_p,
            samples=self.config.samples,
            max_actions=self.config.max_actions,
            seed=self.config.seed * 1_000_003 + iteration,
        )

    def make(self, order: Order) -> list[Group]:
        """Carry an order out, in this process and with the adapter as it is now."""
        return carry_out(self.engine, self.source, self.prompt, order)

    def credible(self, stratum: Stratum, number: int, group: Group, targets: list[Target]) -> list[Target]:
        """The targets without those that were judged by luck.

        Where the program itself meets what nobody could know, choices made before that are right or
        wrong by what happened to be drawn: who guessed it would be credited for the guess.
        """
        if not self._way(self._start(stratum, number).task).unforeseen:
            return targets
        return [target for target in targets if group.told_by(target.segment, target.decision.offset)]

    def learn_where(self, stratum: Stratum, number: int, group: Group, *, taught: bool) -> None:
        """Tell the curriculum how a group fared, beside what the program reaches from the same start."""
        start = self._start(stratum, number)
        way_there = self._way(start.task)
        reached = 1.0 if stratum.whole else way_there.reached[start.scene] or 0.0
        judged = [(e, value) for e in group.episodes if (value := outcome(e, self.credit)) is not None]
        short = [episode for episode, value in judged if value < reached - _WORSE]
        count = max(1, len(judged))
        behind = {
            call.name: sum(not call.made(episode.actions) for episode in short) / count
            for call in (*self._calls(stratum, start), _ALL)
            if judged
        }
        lesson = len(short) / count if taught else 0.0
        stratum.seen(number, behind, lesson=lesson, tokens=group.size)

    def reward(self, done: Sequence[Episode]) -> float | None:
        """Mean return of the episodes that could be judged; None when none could."""
        values = self.outcomes(done)
        return fmean(values) if values else None

    def outcomes(self, done: Sequence[Episode]) -> list[float]:
        """Returns of the episodes that could be judged."""
        return [value for episode in done if (value := outcome(episode, self.credit)) is not None]

    def _task_list(self, disturbed: bool, count: int) -> list[Task]:
        """The first ``count`` training tasks, at least; made in growing lots."""
        known = self._tasks[disturbed]
        if len(known) < count:
            size = max(64, 2 * count)
            known = self.source.tasks("train", size, self.config.seed + 1, disturbed=disturbed)
            self._tasks[disturbed] = known
        return known

    def _start(self, stratum: Stratum, number: int) -> Start:
        """Where a task's rollouts begin: the stratum's scene, or the last of a task that has fewer."""
        task = self._task_list(stratum.disturbed, number + 1)[number]
        return Start(task, min(stratum.scene, self._way(task).scenes - 1), stratum.whole)

    def _way(self, task: Task) -> Way:
        if task.id not in self._ways:
            self._ways[task.id] = way(self.source.session(task), task)
        return self._ways[task.id]

    def _fields(self, stratum: Stratum) -> tuple[str, ...]:
        """The fields that tasks of the list call for where a stratum's rollouts begin."""
        place = (stratum.disturbed, stratum.scene, stratum.whole)
        if place not in self._called:
            tasks = self._task_list(stratum.disturbed, _LOOKED_AT_FOR_CALLS)[:_LOOKED_AT_FOR_CALLS]
            starts = [self._start(stratum, number) for number in range(len(tasks))]
            self._called[place] = tuple(
                dict.fromkeys(call.field for start in starts for call in self._done(stratum, start))
            )
        return self._called[place]

    def _done(self, stratum: Stratum, start: Start) -> tuple[Call, ...]:
        """What the program does where the stratum's rollouts begin, and until they end."""
        scenes = self._way(start.task).calls
        reached = scenes if stratum.whole else scenes[start.scene : start.scene + 1]
        return tuple(call for scene in reached for call in scene)

    def _calls(self, stratum: Stratum, start: Start) -> tuple[Call, ...]:
        """What a task calls for there: what the program does, and what it leaves alone."""
        done = self._done(stratum, start)
        return (*done, *left_out(done, self._fields(stratum)))

    def _names(self, stratum: Stratum, count: int) -> list[list[str]]:
        self._task_list(stratum.disturbed, count)
        starts = [self._start(stratum, number) for number in range(count)]
        return [[call.name for call in self._calls(stratum, start) or (_ALL,)] for start in starts]

    def _heats(self, stratum: Stratum, start: Start) -> dict[str, float]:
        """How much hotter than usual to draw, by the beginning of lines, where all samples failed."""
        heats: dict[str, float] = {}
        for call in (*self._calls(stratum, start), _ALL):
            if lost := stratum.standing(call.name).lost:
                # Which of the offered is chosen is decided in its line; whether there is a line, anywhere.
                beginning = call.field if call.offered else ""
                limit = _HOTTEST if beginning else _HOTTEST_ANYWHERE
                heats[beginning] = max(heats.get(beginning, 0.0), min(limit, _HOTTER**lost))
        if len(heats) > 1:
            # What is known to be wrong is explored alone, so that the rest is right where it is hit.
            heats.pop("", None)
        return heats
