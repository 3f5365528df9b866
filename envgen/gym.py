"""A compiled workflow behind Gymnasium's interface: text in, text out.

::

    import gymnasium
    from envgen.gym import register

    env = gymnasium.make(register("stages/envgen/…/code-invoice/workflow.json"))
    observation, info = env.reset(seed=7)
    observation, reward, terminated, truncated, info = env.step('click link "INV-4821"')

Needs the optional package ``gymnasium``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium

from envgen.choices import choices
from envgen.environment import WorkflowEnv
from envgen.session import Split, Task, View
from envgen.tasks import make_tasks
from envgen.workflow import Workflow
from fde.artifacts import read_json
from fde.errors import InputError
from ingest.action import Action


class AnyText(gymnasium.Space[str]):
    """Any text. :meth:`sample` gives the one action that every page takes."""

    def __init__(self) -> None:
        super().__init__(shape=(), dtype=None)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return "done"

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText)


class WorkflowGym(gymnasium.Env[str, str]):
    """One workflow as a Gymnasium environment.

    The reward is the verifier's verdict when the agent says ``done``; with ``shaped`` the growth of the
    milestones' share is added (Ng, Harada and Russell 1999). A task that cannot be judged gives 0 and says
    so: ``info["judged"]``. A line that is no action changes nothing and is answered.

    Args:
        workflow: A compiled workflow, or the path of its ``workflow.json``.
        split: Which tasks are drawn; the seed of :meth:`reset` picks one.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"]}  # noqa: RUF012

    def __init__(
        self,
        workflow: Workflow | str | Path,
        *,
        split: Split = "train",
        shaped: bool = False,
        disturbances: Sequence[str] = (),
        render_mode: str | None = None,
    ) -> None:
        if not isinstance(workflow, Workflow):
            workflow = Workflow.model_validate(read_json(Path(workflow)))
        self.workflow = workflow
        self.split: Split = split
        self.shaped = shaped
        self.disturbances = tuple(disturbances)
        self.render_mode = render_mode
        self.observation_space = AnyText()
        self.action_space = AnyText()
        self._env = WorkflowEnv(workflow)
        self._view: View | None = None
        self._task: Task | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Begin a task. ``options["task"]`` (an :class:`envgen.session.Task`) names it, else the seed."""
        super().reset(seed=seed)
        self._task = (options or {}).get("task")
        if self._task is None:
            drawn = int(self.np_random.integers(2**31))
            (self._task,) = make_tasks(self.workflow, self.split, 1, drawn, self.disturbances)
        self._view = self._env.reset(self._task)
        return self._told(f"{self._task.instruction}\n\n{self._view.text}"), self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Carry out one action line, see :mod:`ingest.action`."""
        if self._view is None:
            raise InputError("No task has begun.", "Call reset() first.")
        before = self._view.potential or 0.0
        try:
            self._view = self._env.step(Action.parse(action))
        except InputError as error:
            return f"{error.message} {error.hint or ''}".strip(), 0.0, False, False, self._info()
        done = self._env.state.done
        truncated = self._view.finished and not done
        info = self._info()
        reward = 0.0
        if self._view.finished:
            score = self._env.score()
            reward = score.value or 0.0
            info |= {"judged": score.value is not None, "reasons": list(score.reasons)}
        if self.shaped:
            reward += (self._view.potential or 0.0) - before
        return self._told(self._view.text), float(reward), done, truncated, info

    def render(self) -> str:
        """The page as an agent reads it."""
        from envgen.observe import lines

        return "" if self._view is None else "\n".join(lines(self._view.page))

    def _told(self, text: str) -> str:
        return text or "Done."

    def _info(self) -> dict[str, Any]:
        assert self._view is not None and self._task is not None
        return {
            "task": self._task.id,
            "instruction": self._task.instruction,
            "choices": [f"{c.text} …" if c.open else c.text for c in choices(self._view.page)],
        }


def register(path: str | Path) -> str:
    """Register a compiled workflow with Gymnasium; the id to make it by: ``fde/<workflow>-v0``."""
    workflow = Workflow.model_validate(read_json(Path(path)))
    name = f"fde/{workflow.name}-v0"
    gymnasium.register(
        id=name, entry_point="envgen.gym:WorkflowGym", kwargs={"workflow": str(path)}, order_enforce=True
    )
    return name
