"""Whether the twin shows what the environment shows: the same random actions in both, page by page."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from envgen.choices import choices
from envgen.compiled import Compiled, Environment, compiled_of
from envgen.reading.model import Reading
from envgen.session import Task
from envgen.twin_server import serve
from envgen.workflow import Workflow
from ingest.action import Action
from ingest.snapshot import render

# Random work stays on the first pages; the program's own steps in between lead to the others.
_PROGRAM_SHARE = 0.4


@dataclass(slots=True)
class Parity:
    """What came of comparing.

    Attributes:
        steps: Actions done in both.
        different: Per step with another snapshot: the action, and the lines that differ.
    """

    steps: int = 0
    different: list[str] = field(default_factory=list)


def compare(built: Compiled | Workflow | Reading, *, steps: int, seed: int = 0) -> Parity:
    """Do ``steps`` random actions in the environment and, with real input, in its twin in a browser.

    Raises:
        MissingError: when there is no browser.
    """
    from ingest.browser import launch, new_page
    from ingest.page import perform, prepare, take_snapshot

    found = Parity()
    rng = random.Random(f"parity {seed}")
    compiled = compiled_of(built)
    env = compiled.environment()
    tasks = compiled.tasks_of("dev", seed=seed)
    with serve(compiled, seed=seed) as twin, launch() as browser:
        page = new_page(browser)
        prepare(page.context)
        while found.steps < steps:
            task = next(tasks)
            view = env.reset(task)
            twin.begin(task)
            page.goto(twin.url + "page")
            while found.steps < steps and not view.finished:
                action = _next(env, task, rng)
                if action is None:
                    break
                view = env.step(action)
                named = perform(page, action)
                found.steps += 1
                told = _difference(render(view.page), take_snapshot(page).text)
                if told or not named:
                    found.different.append(f"{action.text()}: {told or 'not found in the twin'}")
                    break
    return found


def _next(env: Environment, task: Task, rng: random.Random) -> Action | None:
    """A random action, or the program's; ``done`` shows nothing."""
    if rng.random() < _PROGRAM_SHARE:
        action = env.next_action()
        return None if action is None or action.verb == "done" else action
    offered = choices(env.page)[:-1]
    if not offered:
        return None
    choice = rng.choice(offered)
    if not choice.open:
        return Action.parse(choice.text)
    return Action.parse(f"{choice.text} {rng.choice(['x', '12.50', *task.parameters.values()])}")


def _difference(ours: str, twin: str) -> str:
    if ours == twin:
        return ""
    a, b = ours.splitlines(), twin.splitlines()
    only = [f"+{line.strip()}" for line in b if line not in a] + [
        f"-{line.strip()}" for line in a if line not in b
    ]
    return "; ".join(only)[:400] or "the same lines in another order"
