"""How many steps a second BrowserGym's MiniWoB makes, for ``environments.py``, which starts this.

::

    PYTHON benchmarks/browsergym_steps.py PAGES_URL SECONDS BROWSER

BrowserGym pins another Playwright than ours, so it runs in an environment of its own: nothing of the toolkit
is imported here. Each step is one entry or click on the page of ``enter-text``, with BrowserGym's observation
after it; resets are part of the time, as in our figures. Prints JSON: steps a second of the wall clock as it
comes, with its pauses for people to watch and pages to settle, and without them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

TASK = "browsergym/miniwob.enter-text"


def marked(observation: dict[str, Any], role: str) -> str:
    """BrowserGym's mark of the first element of a role."""
    nodes = observation["axtree_object"]["nodes"]
    return str(next(n["browsergym_id"] for n in nodes if n.get("role", {}).get("value") == role))


def steps_per_second(seconds: float, **options: Any) -> float:
    """Steps a second over whole episodes, the first one, which starts the browser, left out."""
    import gymnasium

    env = gymnasium.make(TASK, disable_env_checker=True, **options)
    steps, began = 0, 0.0
    try:
        for seed in range(100_000):
            observation, _ = env.reset(seed=seed)
            text = str(observation["goal"]).split('"')[1]
            for action in (
                f"fill('{marked(observation, 'textbox')}', {text!r})",
                f"click('{marked(observation, 'button')}')",
            ):
                observation, reward, *_ = env.step(action)
                steps += 1
            assert float(reward) > 0, "the work was not rewarded"
            if not began:
                steps, began = 0, time.perf_counter()
            elif time.perf_counter() - began > seconds:
                break
        return steps / (time.perf_counter() - began)
    finally:
        env.close()


def main() -> None:
    os.environ["MINIWOB_URL"], seconds, browser = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    import browsergym.miniwob  # noqa: F401
    from playwright.sync_api import BrowserType

    # BrowserGym starts Playwright's own browser, for its chat too; here it is the one that is installed.
    launch = BrowserType.launch

    def installed(self: Any, **options: Any) -> Any:
        return launch(self, **{**options, "executable_path": browser, "chromium_sandbox": False})

    BrowserType.launch = installed  # type: ignore[method-assign]
    found = {
        "as it comes": steps_per_second(seconds),
        "without pauses": steps_per_second(seconds, slow_mo=0, pre_observation_delay=0.0),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
