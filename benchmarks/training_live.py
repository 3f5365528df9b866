#!/usr/bin/env python3
"""From recordings to an adapter: a finished mission, against TRL's GRPO that drives the application itself.

What the mission took is in its manifests: every stage from the recordings to reinforcement. What the other
way would take is arithmetic over what is measured here, step by step: BrowserGym with its defaults on the
live portal, TRL's tokens a second of updates, and transformers' seconds of a turn. It is given the same
start, as many episodes as reinforcement made, and that they teach as much; every episode is a whole task,
as a browser cannot begin in the middle of one or share what several samples have in common.

Steps are timed by the clock, so on a busy machine the browser looks slower than it is: the waits that
BrowserGym's defaults prescribe are told apart. The model is timed by the processor, divided by the cores.

    pip install --no-deps browsergym-core==0.14.3 pyparsing gymnasium farama-notifications
    pip install trl==1.16.0
    python benchmarks/training_live.py ENGAGEMENT [--json]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.training import row, show  # noqa: E402
from benchmarks.training_trl import update_seconds  # noqa: E402

STAGES = ("ingest-docs", "ingest-recordings", "redact", "envgen", "sft-start", "rl-from-start")
SAMPLES, SAID = 8, 16
# Actions that sign in: they are not counted.
SIGN_IN = 3
WORKFLOW = "code-invoice"


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engagement", type=Path, help="a finished quickstart")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    show(measure(options.engagement), as_json=options.json)


def measure(folder: Path) -> list[dict[str, Any]]:
    """The mission's seconds, what a step takes the other way, and the arithmetic."""
    from fde.artifacts import read_json
    from fde.engagement import Engagement

    engagement = Engagement(folder)
    runs = {stage: engagement.latest(stage) for stage in STAGES}
    seconds = {stage: float(read_json(run.path / "manifest.json")["seconds"]) for stage, run in runs.items()}
    result = read_json(runs["rl-from-start"].path / "result.json")
    config = result["config"]
    # The first iteration has half the groups.
    groups = -(-config["groups"] // 2) + (result["iterations"] - 1) * config["groups"]
    episodes = groups * config["samples"]

    default, quick = drive({}), drive({"slow_mo": 0, "pre_observation_delay": 0.0})
    actions = len(default["steps"])
    step_s, reset_s = fmean(default["steps"]), default["reset"]
    waits_s = max(0.0, step_s - fmean(quick["steps"]))
    reset_waits_s = max(0.0, reset_s - quick["reset"])
    tokens = [count_tokens(page) for page in default["pages"]]
    turn_s, update_s = model_seconds(round(fmean(tokens)))
    model_s = actions * (turn_s + update_s)
    ours_s = sum(seconds.values())
    alone = seconds["sft-start"] + episodes * (reset_s + actions * step_s + model_s)
    waits = seconds["sft-start"] + episodes * (reset_waits_s + actions * waits_s + model_s)
    together = seconds["sft-start"] + episodes * ((reset_s + actions * step_s) / SAMPLES + model_s)
    peer = "TRL, BrowserGym"
    return [
        row("recordings to adapter", ours_s, "s", None, None),
        row("episodes of reinforcement", episodes, "episodes", None, None),
        row("actions of a task in the portal", actions, "actions", None, None),
        row("BrowserGym: a step", step_s, "s", "of which prescribed waits", waits_s),
        row("BrowserGym: beginning an episode", reset_s, "s", "of which prescribed waits", reset_waits_s),
        row("BrowserGym: a page", fmean(tokens), "tokens", None, None),
        row("transformers: an action of one of eight samples", turn_s, "s", None, None),
        row("TRL: its update", update_s, "s", None, None),
        against(f"{peer}, one browser after the other", alone, ours_s),
        against(f"{peer}, the same without what is no prescribed wait", waits, ours_s),
        against(f"{peer}, eight browsers that never hinder each other", together, ours_s),
    ]


def against(name: str, seconds: float, ours_s: float) -> dict[str, Any]:
    """How many times as long it takes as the mission did."""
    return {**row(name, seconds, "s", "ours", ours_s)}


def drive(settings: Mapping[str, Any]) -> dict[str, Any]:
    """One task of the live portal through BrowserGym: seconds of its beginning and steps, and pages."""
    import browsergym.core.env
    from browsergym.core.action.highlevel import HighLevelActionSet
    from browsergym.core.env import BrowserEnv
    from browsergym.core.task import OpenEndedTask
    from browsergym.utils.obs import flatten_axtree_to_str

    from envgen.session import Task
    from ingest.browser import executable
    from playbooks.quickstart.live import PortalCopy
    from playbooks.quickstart.truth import live_tasks

    (told,) = live_tasks(WORKFLOW, 1, 7)
    task = Task(
        id="live", workflow=WORKFLOW, split="test", seed=told.seed, instruction=told.instruction,
        parameters=told.parameters,
    )  # fmt: skip
    portal = PortalCopy()
    # Its second browser, for a conversation with a person, is left out.
    browsergym.core.env.Chat = NoChat
    env = BrowserEnv(
        OpenEndedTask,
        task_kwargs={"start_url": portal.begin(task).url, "goal": task.instruction},
        action_mapping=HighLevelActionSet().to_python_code,
        # Ten times its limit, which a busy machine exceeds: it shortens nothing.
        timeout=50_000,
        pw_chromium_kwargs={"executable_path": str(executable()), "chromium_sandbox": False},
        **settings,
    )
    steps: list[float] = []
    pages: list[str] = []
    try:
        began = time.perf_counter()
        seen, _ = env.reset(seed=0)
        reset_s = time.perf_counter() - began
        for verb, role, name, value in way(portal.clerk.user, task.parameters["invoice"]):
            pages.append(flatten_axtree_to_str(seen["axtree_object"]))
            began = time.perf_counter()
            seen, *_ = env.step(command(seen["axtree_object"]["nodes"], verb, role, name, value))
            if seen["last_action_error"]:
                raise RuntimeError(f"{verb} {role} {name}: {seen['last_action_error']}")
            steps.append(time.perf_counter() - began)
    finally:
        env.close()
        portal.close()
    return {"reset": reset_s, "steps": steps[SIGN_IN:], "pages": pages[SIGN_IN:]}


class NoChat:
    """What BrowserGym shows a person: kept, and not shown."""

    def __init__(self, **_: Any) -> None:
        self.messages: list[dict[str, Any]] = []

    def add_message(self, role: str, msg: str) -> None:
        self.messages.append({"role": role, "timestamp": time.time(), "message": msg})

    def close(self) -> None:
        return


def way(user: str, invoice: str) -> Iterator[tuple[str, str, str, str]]:
    """What an expert does, after signing in; which option is chosen does not matter here."""
    from playbooks.quickstart import company

    yield from (
        ("fill", "textbox", "User", user),
        ("fill", "textbox", "Password", company.PASSWORD),
        ("click", "button", "Sign in", ""),
        ("fill", "searchbox", "Search", invoice),
        ("click", "button", "Search", ""),
        ("click", "link", invoice, ""),
        ("click", "link", "Code", ""),
        ("select", "combobox", "Cost centre", ""),
        ("select", "combobox", "Account", ""),
        ("select", "combobox", "Approver", ""),
        ("click", "button", "Submit", ""),
    )


def command(nodes: Sequence[Mapping[str, Any]], verb: str, role: str, name: str, value: str) -> str:
    """The action in BrowserGym's words, on the element of that role and name."""

    def named(node: Mapping[str, Any]) -> tuple[str, str]:
        return node.get("role", {}).get("value", ""), node.get("name", {}).get("value", "")

    (bid,) = {n["browsergym_id"] for n in nodes if named(n) == (role, name) and "browsergym_id" in n}
    if verb != "select":
        return f"{verb}({bid!r}, {value!r})" if verb == "fill" else f"click({bid!r})"
    known = {node["nodeId"]: node for node in nodes}
    below = [next(n for n in nodes if n.get("browsergym_id") == bid)]
    options: list[str] = []
    while below:
        node = below.pop(0)
        below += [known[each] for each in node.get("childIds", ()) if each in known]
        options += [named(node)[1]] if named(node)[0] == "option" else []
    return f"select_option({bid!r}, {options[-1]!r})"


def count_tokens(page: str) -> int:
    """Of a page, for the sample company's base model."""
    from transformers import AutoTokenizer

    from fde.models import model_path

    return len(AutoTokenizer.from_pretrained(model_path("smollm2-135m")).encode(page))


def model_seconds(tokens: int) -> tuple[float, float]:
    """Seconds of one action of a sample in a group of eight: generating it, and TRL's update on it."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    from fde.models import model_path
    from serve.episodes import Decision
    from train.tree import Line

    cores = len(os.sched_getaffinity(0))
    model: Any = AutoModelForCausalLM.from_pretrained(model_path("smollm2-135m"), dtype=torch.float32)
    ids = torch.randint(100, 30_000, (SAMPLES, tokens), generator=torch.Generator().manual_seed(0))
    how = GenerationConfig(max_new_tokens=SAID, min_new_tokens=SAID, do_sample=True, pad_token_id=0)
    began = time.process_time()
    with torch.no_grad():
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=how)
    turn_s = (time.process_time() - began) / cores / SAMPLES
    paths = [name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)]
    paths = [path for path in paths if "layers" in path]
    del model
    lines = [
        Line([*row, *row[:SAID]], [Decision(tokens + n, (), row[n], 0.0, 0.0) for n in range(SAID)])
        for row in ids.tolist()
    ]
    marks: list[float] = []
    update_seconds("smollm2-135m", [lines, lines, lines], paths, lambda _: marks.append(time.process_time()))
    # From the beginning of the second update to that of the third: the first warms up.
    return turn_s, (marks[2] - marks[1]) / cores / SAMPLES


if __name__ == "__main__":
    main()
