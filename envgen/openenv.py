"""A built environment behind OpenEnv's interface, served over HTTP and WebSocket.

::

    uvicorn fde_code_invoice.server:app --port 8000      # the exported package

    from openenv.core import GenericEnvClient

    with GenericEnvClient(base_url="http://127.0.0.1:8000").sync() as env:
        env.reset(seed=7)
        env.step({"line": 'click link "INV-4821"'})

Needs the optional package ``openenv-core``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app
from pydantic import Field

from envgen.compiled import compiled_of
from envgen.textual import TextEpisodes, Told

# Each holds its own episode, a few megabytes.
_SESSIONS = 64


class LineAction(Action):  # type: ignore[misc]
    """One action line, see :mod:`ingest.action`: ``click link "Inbox"``."""

    line: str = Field(description="A verb, the element's role and name, a value where one is needed")


class TextObservation(Observation):  # type: ignore[misc]
    """What the agent is told: see :class:`envgen.textual.Told`."""

    text: str = Field(description="What the agent is told")
    choices: list[str] = Field(default_factory=list, description="What can be done on the page now")


class WorkflowState(State):  # type: ignore[misc]
    """Where the episode is."""

    workflow: str = ""
    task: str = ""
    instruction: str = ""


class WorkflowOpenEnv(Environment[LineAction, TextObservation, WorkflowState]):  # type: ignore[misc]
    """One environment as an OpenEnv environment; rewards and answers are those of :class:`TextEpisodes`."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, episodes: TextEpisodes) -> None:
        super().__init__()
        self._episodes = episodes
        self._state = WorkflowState(workflow=episodes.compiled.name)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> TextObservation:
        """Begin a task: the same for the same seed, any without one."""
        task = self._episodes.draw(seed)
        self._state = WorkflowState(
            episode_id=episode_id, workflow=task.workflow, task=task.id, instruction=task.instruction
        )
        return self._told(self._episodes.begin(task))

    def step(self, action: LineAction, timeout_s: float | None = None, **_: Any) -> TextObservation:
        """Carry out one action line."""
        self._state.step_count += 1
        return self._told(self._episodes.act(action.line))

    @property
    def state(self) -> WorkflowState:
        return self._state

    def _told(self, told: Told) -> TextObservation:
        rest = {key: value for key, value in told.info.items() if key != "choices"}
        return TextObservation(
            text=told.text,
            choices=told.info["choices"],
            done=told.done or told.truncated,
            reward=told.reward,
            metadata={**rest, "truncated": told.truncated},
        )


def application(path: str | Path, **options: Any) -> Any:
    """The application that serves a built environment; ``options`` as :class:`TextEpisodes` takes."""
    compiled = compiled_of(path)

    def make() -> WorkflowOpenEnv:
        return WorkflowOpenEnv(TextEpisodes(compiled, **options))

    return create_fastapi_app(make, LineAction, TextObservation, max_concurrent_envs=_SESSIONS)
