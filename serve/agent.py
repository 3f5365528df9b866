"""The agent: many episodes in lock-step, one grammar, one harness for every arm.

All episodes that wait for the model are fed in one forward. Samples of one task
share a row of the engine and a session until they choose different tokens; then
row and session are copied, so a group of samples is a prefix tree and nothing
shared is computed twice. On another page the conversation begins afresh (see
:mod:`envgen.observe`): contexts stay short, and rows are given back.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from envgen.session import Session, Task, View, thread_of
from fde.errors import InputError
from ingest.action import Action
from serve.branch import Branch
from serve.deadline import deadline
from serve.episodes import Decision, Episode, Group, Stop
from serve.grammar import Cursor
from serve.prompt import Prompt, opening

if TYPE_CHECKING:
    from torch import Tensor

    from serve.engine.interface import Engine

MAX_ACTIONS = 40
MAX_ROWS = 64
# The same action on the same page this often: the episode goes round in circles, and is over.
STUCK_AFTER = 3
# A session in this process that takes longer than this for an answer has failed.
ANSWER_S = 60.0
# Exploring anywhere heats choices of which the policy is less sure than this: elsewhere it knows its way, and
# a slip there hides what the other choices were worth. Free text stays as it is.
_SURE = 0.9
# On a CPU the model and the browsers of live sessions take the cores from each other, and a feed costs nearly
# the same for one row as for eight: the model waits this long for all sessions, then feeds them together.
_PATIENCE_S = 1.0

SessionFactory = Callable[[Task], Session]
T = TypeVar("T")


class Agent:
    """Runs episodes on an engine. See :func:`run_episodes`."""

    def __init__(
        self,
        engine: Engine,
        session_factory: SessionFactory,
        *,
        prompt: Prompt | Callable[[Task], Prompt] | None = None,
        temperature: float = 0.0,
        min_p: float = 0.0,
        explored: Mapping[str, Mapping[str, float]] | None = None,
        samples_per_task: int = 1,
        max_actions: int = MAX_ACTIONS,
        max_rows: int = MAX_ROWS,
        seed: int = 0,
        keep_lower: bool = False,
        answer_s: float = ANSWER_S,
        on_finished: Callable[[Episode], None] | None = None,
    ) -> None:
        if samples_per_task < 1 or max_actions < 1 or max_rows < 1:
            raise InputError("samples_per_task, max_actions and max_rows must be at least 1.")
        if temperature < 0 or (temperature == 0 and samples_per_task > 1):
            raise InputError(
                f"temperature {temperature} with {samples_per_task} samples per task: without randomness "
                "all samples are equal.",
                "Use temperature 1 for samples, 0 for a single greedy episode.",
            )
        self.engine = engine
        self.session_factory = session_factory
        self.prompt = prompt or Prompt(engine.tokenizer)
        self.temperature = temperature
        self.min_p = min_p
        self.explored = dict(explored or {})
        self.samples = samples_per_task
        self.max_actions = max_actions
        self.max_rows = max_rows
        self.seed = seed
        self.keep_lower = keep_lower
        self.answer_s = answer_s
        self.on_finished = on_finished
        self._active: list[Branch] = []
        # What sessions are doing in threads of their own, and how to go on with what they tell.
        self._away: dict[Future[View], Callable[[Future[View]], None]] = {}
        self._prefixes: dict[tuple[int, ...], tuple[Any, Tensor | None]] = {}

    def run(self, tasks: Sequence[Task]) -> list[Group]:
        """Run every task; the groups come in the tasks' order."""
        groups = [Group(task) for task in tasks]
        waiting = deque(groups)
        try:
            while waiting or self._active or self._away:
                while waiting and self._room():
                    self._admit(waiting.popleft())
                self._hear()
                self._step()
        finally:
            for future in self._away:
                future.cancel()
            for branch in self._active:
                self._release(branch)
            self._active = []
            for row, _ in self._prefixes.values():
                self.engine.free(row)
            self._prefixes = {}
        return groups

    def _room(self) -> bool:
        count = len(self._active) + len(self._away)
        if not count:
            return True
        return count < self.max_rows and self.engine.has_room(count + 1)

    def _hear(self) -> None:
        """Go on with the sessions that have answered; wait for one when there is nothing else to do."""
        if not self._away:
            return
        if not self._active:
            wait(self._away, return_when=FIRST_COMPLETED)
        answered, _ = wait(self._away, timeout=_PATIENCE_S if self.engine.on_cpu else 0)
        for future in [each for each in self._away if each in answered]:
            self._away.pop(future)(future)

    # Beginning

    def _admit(self, group: Group) -> None:
        group.episodes = [Episode(group.task, sample) for sample in range(self.samples)]
        rest = list(group.episodes)
        while rest:
            began = time.perf_counter()
            try:
                session = self.session_factory(group.task)
            except Exception as error:
                for episode in rest:
                    self._fail(episode, error)
                return
            shares = hasattr(session, "clone")
            mine, rest = (rest, []) if shares else (rest[:1], rest[1:])
            arrived = partial(self._arrived, group, mine, session, began)
            self._ask(session, partial(session.reset, group.task), arrived)

    def _ask(self, session: Session, work: Callable[[], View], then: Callable[[Future[View]], None]) -> None:
        """Have a session do something: in its own thread where it has one, else at once."""
        thread = thread_of(session)
        if thread is not None:
            self._away[thread.submit(work)] = then
            return
        done: Future[View] = Future()
        try:
            with deadline(self.answer_s, "The session"):
                done.set_result(work())
        except Exception as error:
            done.set_exception(error)
        then(done)

    def _arrived(
        self, group: Group, episodes: list[Episode], session: Session, began: float, told: Future[View]
    ) -> None:
        error = told.exception()
        if error is None:
            self._begin(group, episodes, session, told.result(), time.perf_counter() - began)
            return
        for episode in episodes:
            self._fail(episode, error)
        _close(session)

    def _begin(
        self, group: Group, episodes: list[Episode], session: Session, view: View, seconds: float
    ) -> None:
        prompt = self.prompt if isinstance(self.prompt, Prompt) else self.prompt(group.task)
        branch = Branch(group, prompt, session, view, self.engine.row())
        branch.episodes = episodes
        branch.seconds = seconds
        self._open_scene(branch)
        self._advance(branch)

    def _open_scene(self, branch: Branch) -> None:
        """Begin a conversation with what the branch sees now; the one before is over."""
        shared = tuple(branch.prompt.shared_tokens())
        self.engine.free(branch.row)
        branch.row, lower = self._prefix_row(shared)
        branch.open_segment(fresh=True)
        branch.pending = []
        branch.segment.tokens.extend(shared)
        branch.prompt_tokens += len(shared)
        if lower is not None:
            branch.segment.lower.append(lower)
        text = opening(branch.group.task.instruction, branch.view.text)
        branch.append(branch.prompt.first_tokens(text), said=False)
        self._open_page(branch)

    def _open_page(self, branch: Branch) -> None:
        segment = branch.segment
        segment.potentials.append((len(segment.tokens), branch.view.potential))
        if branch.view.unforeseen and segment.unforeseen is None:
            segment.unforeseen = len(segment.tokens)
        branch.cursor = Cursor(self.engine.grammar, self.engine.grammar.trie(branch.view.page))

    def _prefix_row(self, shared: tuple[int, ...]) -> tuple[Any, Tensor | None]:
        """A row that holds the prompt's beginning, computed once per distinct beginning."""
        if not shared:
            return self.engine.row(), None
        if shared not in self._prefixes:
            row = self.engine.row()
            fed = self.engine.feed([(row, shared)], keep_lower=self.keep_lower)
            self._prefixes[shared] = (row, fed.lower[0] if fed.lower else None)
        row, lower = self._prefixes[shared]
        return self.engine.continued(row), lower

    # One step: feed, choose, go on

    def _step(self) -> None:
        branches = self._active
        if not branches:
            return
        allowed = [branch.cursor.allowed() for branch in branches]
        items = [(branch.row, branch.pending) for branch in branches]
        fed = self.engine.look(items, allowed, keep_lower=self.keep_lower)
        for index, branch in enumerate(branches):
            branch.seconds += fed.seconds * len(branch.pending) / fed.tokens
            branch.pending = []
            if fed.lower is not None:
                branch.segment.lower.append(fed.lower[index])
        chosen: list[Branch] = []
        for branch, tokens, logs in zip(branches, allowed, fed.log_probs, strict=True):
            chosen += self._choose(branch, tokens, logs)
        self._active = []
        for branch in chosen:
            self._advance(branch)

    def _choose(self, branch: Branch, allowed: tuple[int, ...], logs: Tensor) -> list[Branch]:
        """Draw for every episode of the branch; it is split where the draws differ."""
        drawn = self._draw(branch, allowed, logs)
        entropy = float(-(logs.exp() * logs.clamp_min(-1e4)).sum())
        takers = sorted(set(drawn))
        shares = [[e for e, d in zip(branch.episodes, drawn, strict=True) if d == taker] for taker in takers]
        branches = [branch]
        for share in shares[1:]:
            session: Any = branch.session
            branches.append(branch.split(share, self.engine.fork(branch.row), session.clone()))
        if len(takers) > 1:
            branch.episodes = shares[0]
            for each in branches:
                each.open_segment(fresh=False)
        for each, taker in zip(branches, takers, strict=True):
            token = allowed[taker] if allowed else taker
            offset = len(each.segment.tokens)
            each.segment.decisions.append(Decision(offset, allowed, token, float(logs[taker]), entropy))
            each.cursor.take(token)
            each.append([token], said=True)
        return branches

    def _draw(self, branch: Branch, allowed: tuple[int, ...], logs: Tensor) -> list[int]:
        if self.temperature == 0:
            return [int(logs.argmax())] * len(branch.episodes)
        # One draw for all, spread evenly (systematic sampling): each episode by itself is a fair
        # sample, and together they differ as much as the distribution does. It depends only on
        # seed, task and place, not on what else runs at the same time.
        spot = f"{len(branch.actions)}/{branch.length}"
        place = f"{self.seed}/{branch.group.task.id}/{branch.episodes[0].sample}/{spot}"
        chance = random.Random(place)
        heat, min_p = self.temperature, self.min_p
        hotter = self._hotter(branch, logs) if allowed else None
        if hotter is not None:
            heat, min_p = heat * hotter, 0.0
        shares = (logs / heat).softmax(-1)
        probabilities = shares.where(shares >= min_p * shares.max(), 0.0).tolist()
        limits = list(itertools.accumulate(probabilities))
        count = len(branch.episodes)
        first = chance.random()
        points = [(first + index) / count * limits[-1] for index in range(count)]
        drawn = [min(bisect.bisect_right(limits, point), len(limits) - 1) for point in points]
        chance.shuffle(drawn)
        return drawn

    def _hotter(self, branch: Branch, logs: Tensor) -> float | None:
        """How many times the temperature to draw at here; None where nothing is explored."""
        explored = self.explored.get(branch.group.task.id)
        if not explored:
            return None
        line = branch.cursor.line()
        for beginning, hotter in explored.items():
            # However sure the policy is there: it has not been right yet.
            if beginning and line.startswith(beginning):
                return hotter
        return explored.get("") if float(logs.max()) < math.log(_SURE) else None

    def _advance(self, branch: Branch) -> None:
        """Go on as far as possible without the model: forced tokens, finished lines, new pages."""
        branch.append(branch.cursor.forced(), said=True)
        if branch.cursor.finished:
            self._act(branch)
        elif branch.length >= self.engine.max_tokens:
            self._end(branch, Stop.LENGTH)
        else:
            self._active.append(branch)

    def _act(self, branch: Branch) -> None:
        """Take the finished line as an action."""
        line = branch.cursor.line()
        branch.actions.append(line)
        place = (branch.view.page, line)
        branch.seen[place] += 1
        began = time.perf_counter()
        stuck = branch.seen[place] >= STUCK_AFTER
        try:
            action = Action.parse(line)
        except Exception as error:
            self._lose(branch, error)
            return
        reacted = partial(self._reacted, branch, action.verb == "done", stuck, began)
        self._ask(branch.session, partial(branch.session.step, action), reacted)

    def _reacted(self, branch: Branch, done: bool, stuck: bool, began: float, told: Future[View]) -> None:
        """Go on with what the session shows after an action."""
        error = told.exception()
        if error is not None:
            self._lose(branch, error)
            return
        view = told.result()
        branch.seconds += time.perf_counter() - began
        branch.view = view
        stop = None
        if view.finished or done:
            stop = Stop.DONE
        elif len(branch.actions) >= self.max_actions:
            stop = Stop.LIMIT
        elif stuck:
            stop = Stop.STUCK
        if stop is not None:
            branch.segment.potentials.append((len(branch.segment.tokens), view.potential))
            self._end(branch, stop)
            return
        if view.fresh:
            self._open_scene(branch)
        else:
            if view.text:
                branch.append(branch.prompt.next_tokens(view.text), said=False)
            self._open_page(branch)
        self._advance(branch)

    # Ending

    def _end(self, branch: Branch, stop: Stop) -> None:
        error: Exception | None = None
        score = None
        began = time.perf_counter()
        try:
            alone = thread_of(branch.session) is None
            with deadline(self.answer_s, "The verifier") if alone else nullcontext():
                score = _by(branch.session, branch.session.score)
        except Exception as raised:
            error = raised
        branch.seconds += time.perf_counter() - began
        for episode in branch.episodes:
            if error is not None:
                self._fail(episode, error, branch)
                continue
            episode.score, episode.stop = score, stop
            self._note(episode, branch)
        self._release(branch)

    def _lose(self, branch: Branch, error: BaseException) -> None:
        """End the branch's episodes with an error."""
        for episode in branch.episodes:
            self._fail(episode, error, branch)
        self._release(branch)

    def _fail(self, episode: Episode, error: BaseException, branch: Branch | None = None) -> None:
        episode.stop = Stop.ERROR
        episode.error = f"{type(error).__name__}: {error}"[:500]
        self._note(episode, branch)

    def _note(self, episode: Episode, branch: Branch | None) -> None:
        if branch is not None:
            episode.path = list(branch.path)
            episode.actions = list(branch.actions)
            episode.potential = branch.view.potential
            episode.said_tokens = branch.said_tokens
            episode.prompt_tokens = branch.prompt_tokens
            episode.seconds = branch.seconds / len(branch.episodes)
        if self.on_finished is not None:
            self.on_finished(episode)

    def _release(self, branch: Branch) -> None:
        self.engine.free(branch.row)
        _close(branch.session)


def _close(session: Session) -> None:
    try:
        _by(session, session.close)
    except Exception:
        return  # what it held is gone either way, and its episode has been judged


def _by(session: Session, work: Callable[[], T]) -> T:
    """Have something done in the session's own thread, where it has one, and wait for it."""
    thread = thread_of(session)
    return work() if thread is None else thread.submit(work).result()


def run_episodes(
    engine: Engine,
    tasks: Sequence[Task],
    session_factory: SessionFactory,
    *,
    prompt: Prompt | Callable[[Task], Prompt] | None = None,
    temperature: float = 0.0,
    min_p: float = 0.0,
    explored: Mapping[str, Mapping[str, float]] | None = None,
    samples_per_task: int = 1,
    max_actions: int = MAX_ACTIONS,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
    keep_lower: bool = False,
    answer_s: float = ANSWER_S,
    on_finished: Callable[[Episode], None] | None = None,
) -> list[Group]:
    """Do every task ``samples_per_task`` times.

    A session that fails makes an episode with ``Stop.ERROR`` and its error; it never ends the run.

    Args:
        engine: Computes with whatever adapter it has now.
        session_factory: Makes a session for a task. Samples share one until they differ when it
            has ``clone()``; else each sample gets its own. A slow session (a live application) has
            a ``thread``, an executor of one thread: all its work is done there, while others go on.
        prompt: System message and messages before the task; one for all, or one per task.
        temperature: 0 takes the most likely token; 1 samples from the policy.
        min_p: Tokens less likely than this share of the likeliest are never drawn (arXiv 2407.01082).
        explored: Ids of tasks to explore, and by the beginning of action lines how many times the temperature
            what comes next is drawn at, however unlikely it is; by the empty beginning what the policy
            hesitates to choose anywhere.
        max_actions: An episode ends after this many.
        max_rows: Rows that are fed together.
        seed: Draws depend on it, the task and the place only.
        keep_lower: Keep what the frozen lower layers made of every token, for the trainer.
        answer_s: Seconds that a session in this process may take for an answer; one with a thread of its
            own has its own limits.
        on_finished: Is told every episode as it ends.

    Returns:
        One group per task, in order.
    """
    agent = Agent(
        engine,
        session_factory,
        prompt=prompt,
        temperature=temperature,
        min_p=min_p,
        explored=explored,
        samples_per_task=samples_per_task,
        max_actions=max_actions,
        max_rows=max_rows,
        seed=seed,
        keep_lower=keep_lower,
        answer_s=answer_s,
        on_finished=on_finished,
    )
    return agent.run(tasks)


def episodes(groups: Sequence[Group]) -> list[Episode]:
    """All episodes of the groups, in order."""
    return [episode for group in groups for episode in group.episodes]
