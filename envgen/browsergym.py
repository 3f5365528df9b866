"""A built environment as BrowserGym tasks: an agent works in the twin's pages, in BrowserGym's browser.

::

    import gymnasium
    from envgen.browsergym import register

    env = gymnasium.make(register("stages/envgen/…/code-invoice/workflow.json"))
    observation, info = env.reset(seed=7)
    env.step('send_msg_to_user("It is done.")')      # what ends a task, and has it judged

Needs the optional package ``browsergym-core``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from browsergym.core.registration import register_task
from browsergym.core.task import AbstractBrowserTask

from envgen.compiled import compiled_of, make_tasks
from envgen.session import Split
from envgen.twin_server import Twin, serve
from fde.errors import InputError

if TYPE_CHECKING:
    from playwright.sync_api import Page

_DONE = "Send a message to the user when the work is done."


class WorkflowTask(AbstractBrowserTask):  # type: ignore[misc]
    """One task of an environment, done in its twin; judged when the agent sends a message to the user.

    The reward is the verifier's verdict. Where the task asks for an answer, the message is the answer.

    Args:
        seed: Picks the task.
        built: Path of an environment's file.
        split: Which tasks are drawn.
    """

    def __init__(
        self,
        seed: int,
        built: str | Path,
        split: Split = "test",
        disturbances: Sequence[str] = (),
    ) -> None:
        super().__init__(seed)
        self.slow_mo = 0
        self.compiled = compiled_of(built)
        (self.task,) = make_tasks(self.compiled, split, 1, seed, tuple(disturbances))
        self._stack = ExitStack()
        self._twin: Twin | None = None

    @classmethod
    def get_task_id(cls) -> str:
        return "fde"

    def setup(self, page: Page) -> tuple[str, dict[str, Any]]:
        """Serve the twin and open it; the goal is the task's instruction."""
        self._twin = self._stack.enter_context(serve(self.compiled))
        self._twin.begin(self.task)
        page.goto(self._twin.url + "page", wait_until="load")
        return f"{self.task.instruction} {_DONE}", {"task": self.task.id}

    def validate(self, page: Page, chat_messages: list[Any]) -> tuple[float, bool, str, dict[str, Any]]:
        """The verdict once the agent has sent a message; nothing before."""
        last = chat_messages[-1] if chat_messages else {}
        if last.get("role") not in ("assistant", "infeasible"):
            return 0.0, False, "", {}
        score = self._open().judge(str(last.get("message", "")))
        told = {"judged": score.value is not None, "reasons": list(score.reasons)}
        return score.value or 0.0, True, "", told

    def cheat(self, page: Page, chat_messages: list[Any]) -> None:
        """Do what the compiled program does."""
        from ingest.page import perform

        env = self._open().env
        while True:
            action = env.next_action()
            if action is None or action.verb == "done":
                said = (action.value if action else None) or "Done."
                chat_messages.append({"role": "assistant", "message": said})
                return
            perform(page, action)

    def teardown(self) -> None:
        """Stop serving."""
        self._twin = None
        self._stack.close()

    def _open(self) -> Twin:
        if self._twin is None:
            raise InputError("The task has not begun.", "Call setup(page) first.")
        return self._twin


def register(path: str | Path) -> str:
    """Register a built environment with BrowserGym; the id to make it by: ``browsergym/fde.<name>``."""
    name = f"fde.{compiled_of(path).name}"
    register_task(name, WorkflowTask, task_kwargs={"built": str(path)})
    return f"browsergym/{name}"
