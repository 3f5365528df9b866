"""The ways of doing a task that are compared, and how one of them is run.

Every arm with a model goes through the same harness: the same agent, grammar,
limits and watched sessions. What differs is the messages before the task and
the adapter.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envgen.demonstrations import Demonstration
from envgen.session import Session, Task, Teacher
from evaluate.retrieval import Retriever
from evaluate.rows import ArmResult, Kind, Row
from evaluate.watch import Watch
from fde.artifacts import digest
from serve.episodes import Episode, Stop
from serve.prompt import SYSTEM, opening

if TYPE_CHECKING:
    from serve.engine.local import LocalEngine
    from serve.prompt import Prompt

Advance = Callable[[], None]
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of doing the task.

    Attributes:
        run: ``<stage>/<run id>`` it rests on; its machine time counts as the arm's cost.
        adapter: Folder of the LoRA adapter; None for the base model and for replay.
        adapter_name: The adapter's name with its digest.
        settings: Whatever else decides the result.
        baseline: What another arm is measured against, and nobody would choose: it is not tried on
            disturbed tasks.
    """

    name: str
    label: str
    kind: Kind
    run: str | None = None
    adapter: Path | None = None
    adapter_name: str | None = None
    started_from: str | None = None
    data: str | None = None
    settings: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    baseline: bool = False

    @property
    def has_model(self) -> bool:
        return self.kind != "replay"

    @property
    def takes_disturbed(self) -> bool:
        """Prompted arms are not tried on disturbed tasks: they are the trained arms' question."""
        return self.kind in ("replay", "sft", "rl") and not self.baseline

    def key(self, test_hash: str, model: str, max_actions: int, place: str) -> str:
        """Digest of everything that decides the rows: equal keys have equal rows."""
        what: list[object] = [self.name, self.label, self.kind, self.run, self.adapter_name]
        what += [self.started_from, self.data, self.settings, self.baseline]
        what += [test_hash, model if self.has_model else "", max_actions, place]
        return digest(what)


@dataclass(frozen=True, slots=True)
class Example:
    """A task done right, laid out as the agent's own conversation (``user``, ``assistant`` in turn)."""

    id: str
    instruction: str
    talk: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What prompts are made of: the experts' recordings, and the redacted documents."""

    examples: tuple[Example, ...]
    retriever: Retriever


def example(name: str, shown: Demonstration) -> Example:
    """A demonstration as a conversation; a page that stands alone begins as an episode does."""
    talk: list[dict[str, str]] = []
    for view, action in shown.steps:
        if view.fresh or not talk:
            talk.append({"role": "user", "content": opening(shown.instruction, view.text)})
        elif view.text:
            talk.append({"role": "user", "content": view.text})
        if talk[-1]["role"] == "user":
            talk.append({"role": "assistant", "content": ""})
        talk[-1]["content"] += action.text() + "\n"
    return Example(name, shown.instruction, tuple(talk))


def nearest(instruction: str, pool: Sequence[Example], k: int) -> list[Example]:
    """The ``k`` examples whose instruction shares most words with this one, nearest last.

    Of equally near ones the shortest: the way without detours shows the task best.

    Overlap is Jaccard's over words without digits: the numbers a task is about never match.
    """
    mine = set(_WORD.findall(instruction.lower()))

    def overlap(example: Example) -> float:
        theirs = set(_WORD.findall(example.instruction.lower()))
        return len(mine & theirs) / max(1, len(mine | theirs))

    def length(example: Example) -> int:
        return sum(len(turn["content"]) for turn in example.talk)

    return sorted(pool, key=lambda each: (-overlap(each), length(each), each.id))[:k][::-1]


def build_prompt(
    arm: Arm, engine: LocalEngine, material: Material, watch: Watch
) -> Prompt | Callable[[Task], Prompt]:
    """The messages before the task, as the arm has them."""
    from serve.prompt import Prompt

    tokenizer = engine.tokenizer
    if arm.kind == "few-shot":
        shots = int(arm.settings["examples"] or 1)
        made: dict[tuple[str, ...], Prompt] = {}

        def with_examples(task: Task) -> Prompt:
            chosen = nearest(task.instruction, material.examples, shots)
            ids = tuple(example.id for example in chosen)
            if ids not in made:
                made[ids] = Prompt(tokenizer, prefix=[turn for example in chosen for turn in example.talk])
            return made[ids]

        return with_examples
    if arm.kind == "rag":
        count = int(arm.settings["passages"] or 1)

        def with_passages(task: Task) -> Prompt:
            query = f"{task.instruction}\n{watch.first_text(task)}"
            found = material.retriever.find(query, count)
            told = "\n\n".join(passage.text for passage in found)
            return Prompt(tokenizer, system=f"{SYSTEM}\n\n{told}" if told else SYSTEM)

        return with_passages
    return Prompt(tokenizer)


def run_model(
    arm: Arm,
    engine: LocalEngine,
    tasks: Sequence[Task],
    make: Callable[[Task], Session],
    material: Material,
    *,
    max_actions: int,
    at_once: int | None = None,
    advance: Advance | None = None,
) -> tuple[tuple[Row, ...], float]:
    """Do the tasks with the model.

    Args:
        at_once: Tasks at the same time, as many as there are sessions of a live application; None
            is as many as the engine likes.

    Returns:
        The rows in the tasks' order, and the machine seconds of all together.
    """
    from serve.agent import MAX_ROWS, run_episodes

    watch = Watch(make)
    if arm.adapter is None:
        engine.clear_adapter()
    else:
        engine.load_adapter(arm.adapter, arm.adapter_name)
    rows: dict[str, Row] = {}

    def finished(episode: Episode) -> None:
        rows[episode.task.id] = _row(episode, watch)
        if advance is not None:
            advance()

    began, spared = time.perf_counter(), engine.counters.spared
    prompt = build_prompt(arm, engine, material, watch)
    # What these prompts put before the page, no other arm reads; live pages come once.
    shared = at_once is None and arm.kind not in ("few-shot", "rag")
    with engine.sharing(shared):
        run_episodes(
            engine,
            tasks,
            watch.session,
            prompt=prompt,
            max_actions=max_actions,
            max_rows=at_once or MAX_ROWS,
            on_finished=finished,
        )
    seconds = time.perf_counter() - began + engine.counters.spared - spared
    return tuple(rows[task.id] for task in tasks), seconds


def _row(episode: Episode, watch: Watch) -> Row:
    watched = watch.sessions.get(episode.task.id)
    score = episode.score
    value = score.value if score is not None else None
    reasons = score.reasons if score is not None else ()
    error = episode.error
    if value is None and error is None:
        error = reasons[0] if reasons else "not judged"
    return Row(
        task=episode.task.id,
        disturbances=episode.task.disturbances,
        value=value,
        reasons=reasons,
        error=error,
        stop="loop" if watched is not None and watched.looped else str(episode.stop),
        actions=len(episode.actions),
        tokens_in=episode.prompt_tokens,
        tokens_out=episode.said_tokens,
        seconds=episode.seconds,
        transcript=tuple(watched.transcript) if watched is not None else (),
    )


def run_replay(
    tasks: Sequence[Task],
    make: Callable[[Task], Teacher],
    *,
    max_actions: int,
    advance: Advance | None = None,
) -> tuple[tuple[Row, ...], float]:
    """Do the tasks with the compiled program alone."""
    began = time.perf_counter()
    rows = []
    for task in tasks:
        rows.append(_replay(task, make, max_actions))
        if advance is not None:
            advance()
    return tuple(rows), time.perf_counter() - began


def _replay(task: Task, make: Callable[[Task], Teacher], max_actions: int) -> Row:
    watch = Watch(make)
    began = time.perf_counter()
    value: float | None = None
    reasons: tuple[str, ...] = ()
    error: str | None = None
    stop, count = Stop.LIMIT, 0
    try:
        watched = watch.session(task)
        teacher = watched.session
        watched.reset(task)
        while count < max_actions:
            action = teacher.next_action()  # type: ignore[attr-defined]  # made as a Teacher
            if action is None:
                stop = Stop.STUCK
                break
            view = watched.step(action)
            count += 1
            if view.finished or action.verb == "done":
                stop = Stop.DONE
                break
        score = watched.score()
        value, reasons = score.value, score.reasons
        if value is None:
            error = reasons[0] if reasons else "not judged"
        watched.close()
    except Exception as raised:  # a task that fails is a row with its error, not the end of the arm
        error, stop = f"{type(raised).__name__}: {raised}"[:500], Stop.ERROR
    seconds = time.perf_counter() - began
    kept = watch.sessions.get(task.id)
    return Row(
        task=task.id,
        disturbances=task.disturbances,
        value=value,
        reasons=reasons,
        error=error,
        stop=str(stop),
        actions=count,
        seconds=seconds,
        transcript=tuple(kept.transcript) if kept else (),
    )


def result(
    arm: Arm,
    rows: Sequence[Row],
    seconds: float,
    *,
    key: str,
    place: str = "environment",
    peak_memory_bytes: int | None = None,
) -> ArmResult:
    """The arm's rows with how it was set up, for its file."""
    return ArmResult.model_validate(
        {
            "name": arm.name,
            "label": arm.label,
            "kind": arm.kind,
            "place": place,
            "run": arm.run,
            "adapter": arm.adapter_name,
            "started_from": arm.started_from,
            "data": arm.data,
            "settings": arm.settings,
            "key": key,
            "rows": tuple(rows),
            "seconds": seconds,
            "peak_memory_bytes": peak_memory_bytes,
        }
    )
