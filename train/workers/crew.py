"""The rollout workers of a run: who makes what, with which adapter, and what happens when one is lost.

Each worker has a thread here that gives it one order after the other, with the newest adapter before
each: an adapter that comes out while a worker is busy reaches it between two orders. Orders wait in a
queue that the trainer keeps short (:mod:`train.workers.supply`); what is made waits until it is asked for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fde.errors import WorkError
from serve.engine.adapter import Tuned
from serve.episodes import Group
from train.workers import wire
from train.workers.order import Order
from train.workers.process import Link, LostError

# So often an order is given out before the run ends, and a worker is started before it is left out.
_TRIES = 3
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Version:
    """An adapter as it was after an iteration.

    Attributes:
        iteration: After which it came out; 0 is where the run began.
        name: With the digest of its weights, ``<task>@<digest>``.
        weights: Tensors of its own, which training does not change.
        probe: The probe's conversation, and what the trainer found on it.
    """

    iteration: int
    name: str
    digest: str
    weights: Tuned
    probe: Mapping[str, Any]
    expected: tuple[float, ...]


@dataclass(slots=True)
class Made:
    """What became of an order.

    Attributes:
        version: The iteration of the adapter it was made with.
        tokens: Computed for it.
    """

    groups: list[Group]
    version: int
    tokens: int


@dataclass(eq=False, slots=True)
class _Job:
    order: Order
    part: int
    tries: int = 0


@dataclass(slots=True)
class _Hall:
    """What the threads share; every access holds ``changed``."""

    able: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    waiting: deque[_Job] = field(default_factory=deque)
    made: dict[tuple[int, int], Made] = field(default_factory=dict)
    version: Version | None = None
    notes: list[str] = field(default_factory=list)
    failure: BaseException | None = None
    closing: bool = False


class Crew:
    """Workers that carry out orders; to be used in a ``with`` block.

    Args:
        start: Starts worker ``number`` (from 1).
        check: Is given what a worker finds on the probe, and the version; raises when they disagree.
    """

    def __init__(
        self,
        start: Callable[[int], Link],
        workers: int,
        check: Callable[[str, list[float], Version], None],
    ) -> None:
        self._start = start
        self._check = check
        self._hall = _Hall(able=workers)
        self._links: dict[int, Link] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"rollouts-{number}", daemon=True)
            for number in range(1, workers + 1)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        hall = self._hall
        with hall.changed:
            hall.closing = True
            links = list(self._links.values())
            hall.changed.notify_all()
        for link in links:
            link.end()
        for thread in self._threads:
            thread.join()

    @property
    def workers(self) -> int:
        return len(self._threads)

    # The trainer's side

    def publish(self, version: Version) -> None:
        """The adapter of all orders that are begun from now on."""
        with self._hall.changed:
            self._hall.version = version
            self._hall.changed.notify_all()

    def give(self, order: Order, parts: int) -> int:
        """Have an order carried out by several workers; returns into how many parts it is divided."""
        jobs = [_Job(part, index) for index, part in enumerate(order.parts(parts))]
        with self._hall.changed:
            self._hall.waiting.extend(jobs)
            self._hall.changed.notify_all()
        return len(jobs)

    def take(self, iteration: int, parts: int) -> tuple[list[Made], list[str]]:
        """Wait for what was made for an iteration; its parts in order, and what happened on the way.

        Raises:
            WorkError: when a worker cannot do it, or too many are lost.
        """
        hall = self._hall
        keys = [(iteration, part) for part in range(parts)]
        with hall.changed:
            while hall.failure is None and not all(key in hall.made for key in keys):
                hall.changed.wait(_LOOK_S)
            if hall.failure is not None:
                raise hall.failure
            notes, hall.notes = hall.notes, []
            return [hall.made.pop(key) for key in keys], notes

    # A worker's thread

    def _work(self, number: int) -> None:
        link: Link | None = None
        has = ""
        failed = 0
        try:
            # A worker takes an order when it is there: until then others may.
            while self._wanted():
                if link is None:
                    has = ""
                    try:
                        link = self._begin(number)
                    except LostError as lost:
                        failed += 1
                        if failed < _TRIES:
                            self._note(f"{lost}: it is started again.")
                            continue
                        self._leave_out(number, lost)
                        return
                    failed = 0
                found = self._next()
                if found is None:
                    return
                job, version = found
                try:
                    if has != version.digest:
                        self._tell(number, link, version)
                        has = version.digest
                    said, tensors = link.ask({"ask": "rollouts", "order": job.order.plain()})
                except LostError as lost:
                    self._end(number, link)
                    link = None
                    self._again(job, lost)
                    continue
                if said["digest"] != has:
                    raise _other_weights(number, said["digest"], version)
                self._done(job, Made(wire.groups_in(said, tensors), version.iteration, said["tokens"]))
        except BaseException as error:  # whatever it is, the one who waits must hear of it
            with self._hall.changed:
                self._hall.failure = self._hall.failure or error
                self._hall.changed.notify_all()
        finally:
            self._end(number, link)

    def _wanted(self) -> bool:
        """Wait until there is an order to carry out; False when there is nothing to do any more."""
        hall = self._hall
        with hall.changed:
            while not (hall.closing or hall.failure or (hall.waiting and hall.version)):
                hall.changed.wait()
            return not (hall.closing or hall.failure)

    def _next(self) -> tuple[_Job, Version] | None:
        """The next order and the newest adapter; None when there is nothing to do any more."""
        hall = self._hall
        with hall.changed:
            if not self._wanted() or hall.version is None:
                return None
            return hall.waiting.popleft(), hall.version

    def _begin(self, number: int) -> Link:
        link = self._start(number)
        with self._hall.changed:
            self._links[number] = link
            closing = self._hall.closing
        if closing:
            link.end()
        try:
            link.ready()
        except BaseException:
            self._end(number, link)
            raise
        return link

    def _note(self, text: str) -> None:
        """Have a person told who reads the curve."""
        with self._hall.changed:
            self._hall.notes.append(text)

    def _leave_out(self, number: int, lost: LostError) -> None:
        """Go on without a worker that cannot be started, as long as there is another."""
        hall = self._hall
        with hall.changed:
            if hall.closing:
                return
            hall.able -= 1
            if not hall.able:
                raise WorkError(
                    f"No rollout worker can be started; the latest, {_TRIES} times: {lost}.",
                    "When the cause is mended, the same command goes on at the last checkpoint.",
                )
            hall.notes.append(f"{lost}: the run goes on without rollout worker {number}.")

    def _end(self, number: int, link: Link | None) -> None:
        if link is not None:
            with self._hall.changed:
                self._links.pop(number, None)
            link.close()

    def _tell(self, number: int, link: Link, version: Version) -> None:
        """Give a worker an adapter, and make sure that it computes with it."""
        told, tensors = wire.adapter_out(version.weights)
        asked = {"ask": "adapter", "name": version.name, "weights": told, "probe": version.probe}
        said, _ = link.ask(asked, tensors)
        if said["digest"] != version.digest:
            raise _other_weights(number, said["digest"], version)
        self._check(f"Rollout worker {number}", said["log_probs"], version)

    def _done(self, job: _Job, made: Made) -> None:
        hall = self._hall
        with hall.changed:
            hall.made[job.order.iteration, job.part] = made
            hall.changed.notify_all()

    def _again(self, job: _Job, lost: LostError) -> None:
        """A worker was lost: another is to do what it was doing, unless that keeps happening."""
        hall = self._hall
        job.tries += 1
        with hall.changed:
            if hall.closing:
                return
            if job.tries >= _TRIES:
                raise WorkError(
                    f"Rollouts of iteration {job.order.iteration} were lost {job.tries} times; the latest: "
                    f"{lost}.",
                    "When the cause is mended, the same command goes on at the last checkpoint.",
                )
            hall.notes.append(f"{lost}: its rollouts of iteration {job.order.iteration} are made again.")
            hall.waiting.appendleft(job)
            hall.changed.notify_all()


def _other_weights(number: int, digest: str, version: Version) -> WorkError:
    return WorkError(
        f"Rollout worker {number} computes with other weights than {version.name}: theirs are "
        f"{digest[:12] or 'the base model alone'}.",
        "What is sampled is not what is trained. Nothing since the last checkpoint counts.",
    )
