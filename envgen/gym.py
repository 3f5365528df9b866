"""A built environment behind Gymnasium's interface: text in, text out.

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

from envgen.compiled import Compiled, compiled_of
from envgen.reading.model import Reading
from envgen.session import Split
from envgen.textual import TextEpisodes
from envgen.workflow import Workflow


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
    """One environment as Gymnasium has them; rewards and answers are those of :class:`TextEpisodes`.

    Args:
        built: A compiled workflow or questions from documents, or the path of their file.
        split: Which tasks are drawn; the seed of :meth:`reset` picks one.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"]}  # noqa: RUF012

    def __init__(
        self,
        built: Compiled | Workflow | Reading | str | Path,
        *,
        split: Split = "train",
        shaped: bool = False,
        disturbances: Sequence[str] = (),
        render_mode: str | None = None,
    ) -> None:
        self.episodes = TextEpisodes(built, split=split, shaped=shaped, disturbances=disturbances)
        self.render_mode = render_mode
        self.observation_space = AnyText()
        self.action_space = AnyText()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Begin a task. ``options["task"]`` (an :class:`envgen.session.Task`) names it, else the seed."""
        super().reset(seed=seed)
        task = (options or {}).get("task") or self.episodes.draw(int(self.np_random.integers(2**31)))
        told = self.episodes.begin(task)
        return told.text, told.info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Carry out one action line, see :mod:`ingest.action`."""
        told = self.episodes.act(action)
        return told.text, told.reward, told.done, told.truncated, told.info

    def render(self) -> str:
        """The page as an agent reads it."""
        return self.episodes.page()


def register(path: str | Path) -> str:
    """Register a built environment with Gymnasium; the id to make it by: ``fde/<name>-v0``."""
    name = f"fde/{compiled_of(path).name}-v0"
    gymnasium.register(
        id=name, entry_point="envgen.gym:WorkflowGym", kwargs={"built": str(path)}, order_enforce=True
    )
    return name
