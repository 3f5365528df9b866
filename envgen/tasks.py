"""Tasks of a workflow: seeded instances with their instructions, dealt to disjoint splits."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import count, islice

from envgen.disturbances import check_disturbances, reworded
from envgen.generators import Generator, belongs
from envgen.session import Split, Task
from envgen.workflow import Workflow
from fde.errors import InputError, WorkError

# So many draws in a row without a new task: there are no more.
_DRAWS = 500


def make_tasks(
    workflow: Workflow, split: Split, n: int, seed: int = 0, disturbances: Sequence[str] = ()
) -> list[Task]:
    """Make ``n`` different tasks of a split.

    No two splits share parameters, and no two of the tasks have the same.

    Raises:
        InputError: when ``n`` is negative or a disturbance is unknown.
        WorkError: when the split has not that many different tasks.
    """
    return first(tasks_of(workflow, split, seed=seed, disturbances=disturbances), n, workflow.name, split)


def first(tasks: Iterator[Task], n: int, name: str, split: Split) -> list[Task]:
    """The first ``n`` tasks of a split.

    Raises:
        InputError: when ``n`` is negative.
        WorkError: when there are fewer.
    """
    if n < 0:
        raise InputError(f"n={n} tasks cannot be made.")
    found = list(islice(tasks, n))
    if len(found) < n:
        raise WorkError(
            f"Only {len(found)} of {n} different {split} tasks of {name} can be made: too few of its values "
            "vary.",
            "Ask for fewer, or add recordings or documents with more different values.",
        )
    return found


def tasks_of(
    workflow: Workflow,
    split: Split,
    *,
    seed: int = 0,
    disturbances: Sequence[str] = (),
    generator: Generator | None = None,
) -> Iterator[Task]:
    """Different tasks of a split, one after the other, until no more are found.

    Args:
        generator: Of the same workflow; remembers the instances it made.
    """
    check_disturbances(disturbances)
    generator = generator or Generator(workflow)
    seen: set[tuple[tuple[str, str], ...]] = set()
    suffix = "".join(f"+{name}" for name in disturbances)
    in_vain = 0
    for number in count():
        if in_vain == _DRAWS:
            return
        task_seed = zlib.crc32(f"{workflow.name}/{split}/{seed}/{number}".encode())
        instance = generator.instance(task_seed, split)
        told = generator.told_apart(instance.parameters, instance.records)
        key = tuple(sorted(told.items()))
        if key and (key in seen or not belongs(told, split)):
            in_vain += 1
            continue
        in_vain = 0
        seen.add(key)
        yield Task(
            id=f"{workflow.name}/{split}/{seed}-{number}{suffix}",
            workflow=workflow.name,
            split=split,
            seed=task_seed,
            instruction=(
                reworded(instance.instruction, task_seed)
                if "wording" in disturbances
                else instance.instruction
            ),
            parameters=instance.parameters,
            disturbances=tuple(disturbances),
        )
