"""How many steps a second BrowserGym's MiniWoB makes, for ``environments.py``, which starts this.

::

    PYTHON benchmarks/browsergym_steps.py PAGES_URL SECONDS BROWSER

BrowserGym pins another Playwright than ours, so it runs in an environment of its own: nothing of the toolkit
is imported here. Each step is one entry or click on the page of ``enter-text``, with BrowserGym's observation
after it; resets are part of the time, as in our figures. Prints JSON: steps a second of the wall clock as it
comes, with its pauses for people to watch and pages to settle, and a second of processor time, its browsers
included, which pauses and other work on the machine leave alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TASK = "browsergym/miniwob.enter-text"


def marked(observation: dict[str, Any], role: str) -> str:
    """BrowserGym's mark of the first element of a role."""
    nodes = observation["axtree_object"]["nodes"]
    return str(next(n["browsergym_id"] for n in nodes if n.get("role", {}).get("value") == role))


def processor_seconds() -> float:
    """Of this process, those it started and those they started, ended ones included (Linux's ``proc(5)``)."""
    found: dict[int, tuple[int, int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        # Fields 4 and 14 to 17: the parent; own time and that of children that were waited for.
        found[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    family = {os.getpid()}
    while more := {pid for pid, (parent, _) in found.items() if parent in family} - family:
        family |= more
    return sum(found[pid][1] for pid in family if pid in found) / os.sysconf("SC_CLK_TCK")


def steps_per_second(seconds: float) -> dict[str, float]:
    """Steps a second over whole episodes, the first one, which starts the browser, left out."""
    import gymnasium

    env = gymnasium.make(TASK, disable_env_checker=True)
    steps, began, worked = 0, 0.0, 0.0
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
                steps, began, worked = 0, time.perf_counter(), processor_seconds()
            elif time.perf_counter() - began > seconds:
                break
        return {
            "wall clock": steps / (time.perf_counter() - began),
            "processor time": steps / (processor_seconds() - worked),
        }
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
    print(json.dumps(steps_per_second(seconds)))


if __name__ == "__main__":
    main()
