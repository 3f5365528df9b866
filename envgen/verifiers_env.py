"""A built environment for PrimeIntellect's verifiers (v1): a taskset, and an env that plays the user.

::

    import verifiers.v1 as vf
    from verifiers.v1.utils.loaders import load_taskset

    tasks = load_taskset(vf.TasksetConfig(id="fde-documents"))      # the exported package

Every task is one of the environment's own. Its prompt is the first page; each reply of the model is
action lines (:mod:`ingest.action`), and what they change on the page is the next message. The
verifier's verdict is the reward ``right``. The environment runs in this process: no server, no container.

Needs the optional package ``verifiers``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import verifiers.v1 as vf

from envgen.compiled import compiled_of
from envgen.exports import PROMPT
from envgen.session import Split, Task
from envgen.textual import TextEpisodes
from ingest.action import VERBS

# Lines of one reply that are carried out; the rest is left unread.
_LINES = 8


class LineData(vf.TaskData):  # type: ignore[misc]
    """What names a task of an environment.

    Attributes:
        built: Path of the environment's file.
        task: The task as JSON data.
    """

    built: str
    task: dict[str, Any]


class LineTask(vf.Task[LineData]):  # type: ignore[misc]
    """A task whose ground truth is checked by the environment's own teacher."""

    async def validate(self, runtime: Any) -> bool:
        """Whether the teacher's work passes the verifier and doing nothing fails it."""
        data: LineData = self.data
        episodes = TextEpisodes(data.built)
        task = Task.model_validate(data.task)
        episodes.begin(task)
        nothing = episodes.act("done").reward
        told = episodes.begin(task)
        while not (told.done or told.truncated):
            action = episodes.env.next_action()
            if action is None:
                return False
            told = episodes.act(action.text())
        return told.reward == 1.0 and nothing == 0.0


class LineTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]
    """Which tasks of which environment.

    Attributes:
        built: Path of the environment's file; "" is the one of the exported package.
        split, seed, disturbances: As everywhere, see :meth:`envgen.compiled.Compiled.tasks_of`.
        limit: Tasks at most; a workflow has as many as its values vary.
    """

    built: str = ""
    split: Split = "train"
    seed: int = 0
    disturbances: tuple[str, ...] = ()
    limit: int = 1000


class LineTaskset(vf.Taskset[LineTask, LineTasksetConfig]):  # type: ignore[misc]
    """The tasks of a built environment. The exported package's subclass says which."""

    BUILT: ClassVar[str] = ""

    def load(self) -> Iterator[LineTask]:
        config = self.config
        built = Path(config.built or self.BUILT).resolve()
        compiled = compiled_of(built)
        env = compiled.environment()
        tasks = compiled.tasks_of(config.split, seed=config.seed, disturbances=config.disturbances)
        for number, task in enumerate(tasks):
            if number == config.limit:
                return
            first = env.reset(task)
            yield LineTask(
                LineData(
                    id=task.id,
                    name=task.id,
                    prompt=f"{task.instruction}\n\n{first.text}",
                    system_prompt=PROMPT,
                    built=str(built),
                    task=task.model_dump(mode="json"),
                ),
                config.task,
            )


class LineEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """One agent plays: a model that is spoken to, on this machine, without tools or a sandbox of its own."""

    player: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, runtime=vf.SubprocessConfig())


class LineEnv(vf.Env[LineEnvConfig]):  # type: ignore[misc]
    """Plays the user: carries out what the model replies and tells it what the page shows then."""

    async def run(self, task: Any, agents: Any) -> None:
        data: LineData = task.data
        episodes = TextEpisodes(data.built)
        told = episodes.begin(Task.model_validate(data.task))
        # The prompt is the first page, so the model speaks first.
        async with agents.player.interaction(task) as interaction:
            segment = await interaction.turn()
            while not segment.terminated:
                texts = []
                for line in action_lines(segment.last_reply):
                    told = episodes.act(line)
                    texts.append(told.text)
                    if told.done or told.truncated:
                        break
                if told.done or told.truncated:
                    break
                segment = await interaction.turn("\n".join(texts) or "Nothing was done: write an action.")
        trace = interaction.trace
        if trace.has_error:
            # What broke on the way (the endpoint, the agent's program) says nothing about the model.
            return
        stopped = not (told.done or told.truncated)
        judged = stopped or bool(told.info.get("judged"))
        if judged:
            trace.record_reward("right", 0.0 if stopped else told.reward)
        trace.info["judged"] = judged
        trace.info["reasons"] = told.info.get("reasons", ["The work was not declared done."])


def action_lines(reply: str) -> list[str]:
    """The lines of a reply that begin as actions do; the whole reply when none does, to be answered."""
    lines = [line.strip() for line in reply.replace("```", "\n").splitlines()]
    found = [line for line in lines if line.partition(" ")[0] in VERBS]
    return found[:_LINES] or ([reply.strip()[:500]] if reply.strip() else [])
