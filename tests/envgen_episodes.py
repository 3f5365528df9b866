"""Episodes in which the compiled program works up to a point, as the tests of environments begin."""

from __future__ import annotations

from envgen.environment import WorkflowEnv


def until(env: WorkflowEnv, line: str) -> WorkflowEnv:
    """The program at work until it is about to do something that begins so."""
    for _ in range(env.max_steps):
        action = env.next_action()
        assert action is not None
        if action.text().startswith(line):
            return env
        env.step(action)
    raise AssertionError(f"The program never does {line}.")
