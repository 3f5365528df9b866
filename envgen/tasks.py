"""Tasks of a workflow: seeded instances with their instructions, dealt to disjoint splits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from envgen.disturbances import check_disturbances
from envgen.generators import Generator, belongs
from envgen.session import Split, Task
from envgen.workflow import Workflow
from fde.errors import InputError, WorkError

_TRIES_PER_TASK = 50


def make_tasks(
    workflow: Workflow, split: Split, n: int, seed: int = 0, disturbances: Sequence[str] = ()
) -> list[Task]:
    """Make ``n`` different tasks of a split.

    No two splits share parameters, and no two of the tasks have the same.

    Raises:
        InputError: when ``n`` is negative or a disturbance is unknown.
        WorkError: when the split has not that many different tasks.
    """
    if n < 0:
        raise InputError(f"n={n} tasks cannot be made.")
    check_disturbances(disturbances)
    generator = Generator(workflow)
    tasks: list[Task] = []
    seen: set[tuple[tuple[str, str], ...]] = set()
    suffix = "".join(f"+{name}" for name in disturbances)
    for number in range(n * _TRIES_PER_TASK):
        if len(tasks) == n:
            break
        task_seed = zlib.crc32(f"{workflow.name}/{split}/{seed}/{number}".encode())
        instance = generator.instance(task_seed, split)
        key = tuple(sorted(instance.parameters.items()))
        if key and (key in seen or not belongs(instance.parameters, split)):
            continue
        seen.add(key)
        tasks.append(
            Task(
                id=f"{workflow.name}/{split}/{seed}-{number}{suffix}",
                workflow=workflow.name,
                split=split,
                seed=task_seed,
                instruction=instance.instruction,
                parameters=instance.parameters,
                disturbances=tuple(disturbances),
            )
        )
    if len(tasks) < n:
        raise WorkError(
            f"Only {len(tasks)} of {n} different {split} tasks of {workflow.name} can be made: too "
            "few parameters vary.",
            "Ask for fewer, or record the workflow with more different values.",
        )
    return tasks
