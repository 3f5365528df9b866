"""``[live]`` in ``fde.toml``: how to reach a staging copy of the application, as code or as commands.

See docs/live.md.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from envgen.live import Limits, LiveSession
from envgen.live_commands import CommandApplication, Commands, run_hook
from envgen.session import Session, Task
from fde.config import section
from fde.engagement import Engagement
from fde.errors import FdeError, InputError, MissingError, WorkError
from ingest.action import Action

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class LiveSettings(BaseModel):
    """The section's keys. Either ``factory``, or ``url`` with ``tasks`` and ``probe``.

    Attributes:
        factory: ``package.module:function``; called with the workflow's name, gives
            ``(tasks(n, seed), session())``. Modules in the engagement's folder are found.
        start: Command that runs the application until it is stopped. ``{port}`` is a free port.
        url: Address of the page where a task starts; may hold ``{port}``.
        then: Address opened after signing in, relative to ``url``.
        restart: Whether the application is started anew for every task.
        reset: Command that prepares the copy for a task (JSON of the task on its input).
        probe: Command that judges the effect, called before and after the work.
        tasks: Command that lists tasks.
        sign_in: Action lines; ``${name}`` stands for a credential.
        credentials: Values, or ``env:NAME`` or ``file:PATH`` where they are kept.
        sessions: Copies of the application that work side by side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    factory: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    start: tuple[str, ...] = ()
    url: str | None = Field(default=None, pattern=r"^https?://")
    then: str = ""
    restart: bool = False
    reset: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    sign_in: tuple[str, ...] = ()
    credentials: dict[str, str] = Field(default_factory=dict)
    sessions: int = Field(default=1, ge=1, le=64)
    headless: bool = True
    start_timeout_s: float = Field(default=60.0, gt=0, le=3600)
    hook_timeout_s: float = Field(default=60.0, gt=0, le=3600)
    action_timeout_s: float = Field(default=60.0, gt=0, le=600)
    episode_timeout_s: float = Field(default=900.0, gt=0)
    max_steps: int = Field(default=80, ge=1, le=10_000)

    @model_validator(mode="after")
    def _one_way(self) -> LiveSettings:
        if self.factory is None:
            missing = [key for key in ("url", "tasks", "probe") if not getattr(self, key)]
            if missing:
                raise ValueError(f"without 'factory' there must be {', '.join(missing)}")
            if self.sessions > 1 and not any("{port}" in part for part in self.start):
                raise ValueError("several sessions need a 'start' command with {port}: each has its own copy")
        elif self.url or self.start or self.tasks or self.probe or self.reset:
            raise ValueError("with 'factory' there can be no url, start, reset, tasks or probe")
        return self

    @property
    def limits(self) -> Limits:
        return Limits(self.action_timeout_s, self.episode_timeout_s, self.max_steps)


@dataclass(frozen=True, slots=True)
class Live:
    """The live application of one workflow.

    Attributes:
        tasks: ``tasks(n, seed)`` gives n tasks that no recording shows.
        session: Opens a session; the caller closes it.
        sessions: How many may work side by side.
    """

    tasks: Callable[[int, int], tuple[Task, ...]]
    session: Callable[[], Session]
    sessions: int


def open_live(engagement: Engagement, workflow: str) -> Live:
    """The live application that ``fde.toml`` names, for one workflow. Nothing is started yet.

    Raises:
        MissingError: no ``[live]`` section.
        InputError: a wrong setting, or a factory that cannot be called.
    """
    if "live" not in engagement.config():
        raise MissingError(
            f"{engagement.config_path} has no section [live]: it is not known where the application runs.",
            "See docs/live.md for what to write there.",
        )
    settings = section(engagement, "live", LiveSettings)
    if settings.factory is not None:
        tasks, session = _call_factory(settings.factory, workflow, engagement.root)
        return Live(tasks, session, settings.sessions)
    # Said now, not after an hour of training: a wrong action line or a missing credential.
    commands = Commands(
        url=settings.url or "",
        probe=settings.probe,
        start=settings.start,
        reset=settings.reset,
        sign_in=sign_in_actions(settings, engagement.root),
        then=settings.then,
        restart=settings.restart,
        start_timeout_s=settings.start_timeout_s,
        hook_timeout_s=settings.hook_timeout_s,
    )

    def make() -> Session:
        copy = CommandApplication(commands, engagement.root)
        return LiveSession(copy, headless=settings.headless, limits=settings.limits)

    def tasks_of(n: int, seed: int) -> tuple[Task, ...]:
        return _list_tasks(settings, engagement.root, workflow, n, seed)

    return Live(tasks_of, make, settings.sessions)


def _call_factory(name: str, workflow: str, folder: Path) -> tuple[Any, Any]:
    module_name, function = name.split(":")
    sys.path.insert(0, str(folder))
    try:
        made = getattr(importlib.import_module(module_name), function)(workflow)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"[live] factory {name!r} cannot be loaded: {error}", "Correct it in fde.toml."
        ) from error
    except FdeError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise InputError(
            f"[live] factory {name!r} failed: {told}", "It is called with the workflow."
        ) from error
    finally:
        sys.path.remove(str(folder))
    if not isinstance(made, tuple) or len(made) != 2 or not all(callable(part) for part in made):
        raise InputError(f"[live] factory {name!r} must return (tasks, session), two callables.")
    return made


def sign_in_actions(settings: LiveSettings, folder: Path) -> tuple[Action, ...]:
    """The sign-in lines as actions, with the credentials put in.

    Raises:
        InputError: a line that is no action, or a credential that is not there.
    """
    actions = []
    for number, text in enumerate(settings.sign_in, 1):
        try:
            action = Action.parse(text)
        except InputError as error:
            raise InputError(f"[live] sign_in, line {number}: {error.message}", error.hint) from error
        value = action.value
        if value is not None:
            value = _PLACEHOLDER.sub(lambda match: _credential(settings, match[1], folder), value)
        actions.append(action.model_copy(update={"value": value}))
    return tuple(actions)


def _credential(settings: LiveSettings, name: str, folder: Path) -> str:
    said = settings.credentials.get(name)
    if said is None:
        known = ", ".join(settings.credentials) or "none"
        raise InputError(f"[live] sign_in uses ${{{name}}}, but [live.credentials] has: {known}.")
    kind, _, rest = said.partition(":")
    if kind == "env":
        if rest not in os.environ:
            raise InputError(
                f"[live.credentials] {name}: the environment has no {rest}.", f"Set it: export {rest}=…"
            )
        return os.environ[rest]
    if kind == "file":
        try:
            return (folder / rest).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"[live.credentials] {name}: {folder / rest} cannot be read: {error}") from error
    return said


def _list_tasks(settings: LiveSettings, folder: Path, workflow: str, n: int, seed: int) -> tuple[Task, ...]:
    asked = {"workflow": workflow, "n": n, "seed": seed}
    told = run_hook("tasks", settings.tasks, asked, folder=folder, timeout_s=settings.hook_timeout_s)
    try:
        found = tuple(Task.model_validate(entry) for entry in told)
    except (ValidationError, TypeError) as error:
        raise WorkError(
            f"[live] tasks did not answer with a list of tasks: {error}", "See docs/live.md."
        ) from error
    if len({task.id for task in found}) != len(found) or len(found) > n:
        raise WorkError(
            f"[live] tasks answered with {len(found)} tasks where {n} different ones were asked for."
        )
    return found
