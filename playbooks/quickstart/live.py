"""The portal as a live application: every session has its own database and its own port."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from envgen.live import LiveSession, Start
from envgen.session import Score, Task
from fde.errors import InputError
from ingest.action import Action, Target
from playbooks.quickstart import company, truth
from playbooks.quickstart.app import Portal, serve
from playbooks.quickstart.plans import WORKFLOWS

_BEFORE, _NOW = "before.db", "payables.db"


class PortalCopy:
    """A staging copy of the portal for one session. Implements :class:`envgen.live.Application`."""

    def __init__(self, clerk: company.Employee = company.CLERKS[0]) -> None:
        self.clerk = clerk
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._portal: Portal | None = None

    @property
    def database(self) -> Path:
        """The database of the task at hand."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="fde-portal-")
        return Path(self._folder.name) / _NOW

    def begin(self, task: Task) -> Start:
        """A fresh database for the task, and a server over it."""
        self._stop()
        self.database.unlink(missing_ok=True)
        truth.prepare(_live_task(task), self.database)
        shutil.copyfile(self.database, self.database.with_name(_BEFORE))
        self._portal, url = serve(self.database)
        return Start(
            url,
            (
                Action(verb="fill", target=Target(role="textbox", name="User"), value=self.clerk.user),
                Action(verb="fill", target=Target(role="textbox", name="Password"), value=company.PASSWORD),
                Action(verb="click", target=Target(role="button", name="Sign in")),
            ),
        )

    def judge(self, task: Task) -> Score:
        """Every table must be as right work leaves it."""
        before = self.database.with_name(_BEFORE)
        passed, reasons = truth.judge(before, self.database, task.workflow, task.parameters)
        return Score(value=1.0 if passed else 0.0, reasons=reasons)

    def close(self) -> None:
        self._stop()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def _stop(self) -> None:
        portal, self._portal = self._portal, None
        if portal is not None:
            portal.close()


def _live_task(task: Task) -> truth.LiveTask:
    return truth.LiveTask(task.workflow, task.seed, task.instruction, task.parameters)


def make_live(workflow: str) -> tuple[Callable[[int, int], tuple[Task, ...]], Callable[[], LiveSession]]:
    """What ``[live] factory`` in ``fde.toml`` names: tasks of a workflow, and sessions to do them in.

    Raises:
        InputError: when the portal has no such workflow.
    """
    if workflow not in WORKFLOWS:
        raise InputError(f"The portal has no workflow '{workflow}'.", f"It has: {', '.join(WORKFLOWS)}.")

    def tasks(n: int, seed: int) -> tuple[Task, ...]:
        return tuple(
            Task(
                id=f"{workflow}/test/live-{seed}-{number}",
                workflow=workflow,
                split="test",
                seed=task.seed,
                instruction=task.instruction,
                parameters=task.parameters,
            )
            for number, task in enumerate(truth.live_tasks(workflow, n, seed))
        )

    return tasks, lambda: LiveSession(PortalCopy())
