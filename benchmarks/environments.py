"""How fast compiling and stepping are, and how the verifiers stand up to wrong work.

::

    python benchmarks/environments.py [--quick] [--browsergym PYTHON] [--json]

Uses the recordings of the sample company, unredacted, without its documents' look-ups when
they cannot be read. For the ratio to BrowserGym's MiniWoB, which asks for other releases of our packages:

    python -m venv peer && peer/bin/pip install browsergym-miniwob==0.14.3
    pip install --no-deps miniwob==1.0.1        # the pages, beside the toolkit
    python benchmarks/environments.py --browsergym peer/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envgen.choices import choices  # noqa: E402
from envgen.compile import compile_workflow  # noqa: E402
from envgen.environment import WorkflowEnv  # noqa: E402
from envgen.gate import gate  # noqa: E402
from envgen.parity import compare  # noqa: E402
from envgen.session import Task  # noqa: E402
from envgen.tasks import make_tasks  # noqa: E402
from envgen.workflow import PageModel, Workflow  # noqa: E402
from fde.errors import InputError, WorkError  # noqa: E402
from ingest.action import Action  # noqa: E402
from ingest.browser import executable  # noqa: E402
from ingest.document import Document  # noqa: E402
from ingest.recording import RecordedStep, Recording, Snapshot  # noqa: E402
from ingest.recordings import read_recording  # noqa: E402
from ingest.snapshot import render  # noqa: E402

CHEAP_TASKS = 400
BROWSERGYM = "browsergym-miniwob==0.14.3"
PEER = "BrowserGym MiniWoB"
PARITY_STEPS = 340
RECORDINGS = ROOT / "playbooks" / "quickstart" / "recordings"
DOCUMENTS = ROOT / "playbooks" / "quickstart" / "documents"


def load() -> tuple[dict[str, list[Recording]], list[Document]]:
    """The sample company's recordings by workflow, and its documents."""
    from ingest.documents import read_document

    found = {
        folder.name: [read_recording(path)[0] for path in sorted(folder.glob("*.fderec"))]
        for folder in sorted(RECORDINGS.iterdir())
        if folder.is_dir()
    }
    documents = [made for path in sorted(DOCUMENTS.iterdir()) for made in read_document(path).documents]
    return found, documents


def program_path(env: WorkflowEnv, task: Task) -> list[Action]:
    """The program's actions in a task."""
    view, path = env.reset(task), []
    while not view.finished:
        action = env.next_action()
        assert action is not None
        path.append(action)
        view = env.step(action)
    return path


def steps_per_second(workflow: Workflow, seconds: float, *, fresh: bool) -> float:
    """Environment steps per second of one core: resets, observations and potentials included.

    Args:
        fresh: Every task once, its data and its right work being made on the way; else the same 20
            again and again, as the rollouts of a training do.
    """
    env = WorkflowEnv(workflow)
    tasks = make_tasks(workflow, "train", 100 if fresh else 20)
    paths = [program_path(env, task) for task in tasks]
    if fresh:
        env = WorkflowEnv(workflow)
    steps, at = 0, 0
    began = time.process_time()
    while time.process_time() - began < seconds and not (fresh and at == len(tasks)):
        env.reset(tasks[at % len(tasks)])
        for action in paths[at % len(tasks)]:
            env.step(action)
            steps += 1
        at += 1
    return steps / (time.process_time() - began)


def made_up(workflow: Workflow, count: int, steps: int) -> list[Recording]:
    """Recordings of a length, made in the environment: the program's work, with detours before it."""
    env = WorkflowEnv(workflow)
    pages = {page.id: page for page in workflow.pages}
    rng = random.Random("made up")
    found = []
    for number, task in enumerate(make_tasks(workflow, "train", count)):
        work = len(program_path(env, task))
        view = env.reset(task)
        done: list[RecordedStep] = []
        while not view.finished:
            action = env.next_action()
            links = [c for c in choices(view.page) if c.text.startswith("click link")]
            if len(done) + work < steps and links:
                action = Action.parse(rng.choice(links).text)
            assert action is not None
            before = _snapshot(env, pages)
            view = env.step(action)
            if action.verb != "done":
                done.append(RecordedStep(before=before, action=action, after=_snapshot(env, pages)))
        found.append(
            Recording(
                id=f"made-up-{number:02d}",
                workflow=workflow.name,
                instruction=task.instruction,
                source_format="made up",
                steps=tuple(done),
            )
        )
    return found


def _snapshot(env: WorkflowEnv, pages: dict[str, PageModel]) -> Snapshot:
    address = pages[env.state.page].address.replace("*", "1")
    return Snapshot(url=f"http://replica.test{address}", text=render(env.rendered.page))


def row(name: str, value: float | None, unit: str, peer_value: float | None = None) -> dict[str, Any]:
    """One result; ``peer_value``: BrowserGym's, of the same unit."""
    found: dict[str, Any] = {"name": name, "value": value, "unit": unit}
    if value is None or peer_value is None:
        return {**found, "peer": None, "peer_value": None, "ratio": None}
    return {**found, "peer": PEER, "peer_value": peer_value, "ratio": value / peer_value}


def browsergym(python: Path, seconds: float) -> dict[str, float]:
    """Steps a second of BrowserGym's MiniWoB, run by the Python of an environment that has it.

    Raises:
        InputError: when there is no such Python.
        WorkError: when BrowserGym does not run there.
    """
    from benchmarks.web_tasks import pages

    script = ROOT / "benchmarks" / "browsergym_steps.py"
    with pages() as base:
        run = [str(python), str(script), base, str(seconds), str(executable())]
        try:
            found = subprocess.run(run, capture_output=True, text=True, check=False)
        except OSError as error:
            raise InputError(f"--browsergym {python}: {error.strerror}.", "Name a Python.") from error
    if found.returncode:
        last = (found.stderr.strip().splitlines() or ["no output"])[-1]
        raise WorkError(
            f"BrowserGym does not run with {python}: {last}",
            f"Into that environment: pip install {BROWSERGYM}",
        )
    steps: dict[str, float] = json.loads(found.stdout.strip().splitlines()[-1])
    return steps


def measure(quick: bool, peer: Path | None = None) -> list[dict[str, Any]]:
    """All results; ``peer``: the Python that has BrowserGym."""
    recordings, documents = load()
    results = []
    seconds = 1.0 if quick else 5.0
    peers = {} if peer is None else browsergym(peer, 4 * seconds)
    results += [row(f"{PEER}: steps, {how}", value, "steps/s") for how, value in peers.items()]
    for name, group in recordings.items():
        began = time.process_time()
        workflow = compile_workflow(group, documents)
        results.append(row(f"{name}: compile {len(group)} recordings", time.process_time() - began, "s"))
        for fresh, what in ((False, "tasks come back"), (True, "every task new")):
            speed = steps_per_second(workflow, seconds, fresh=fresh)
            results.append(row(f"{name}: steps, {what}", speed, "steps/s", peers.get("processor time")))
        if quick:
            continue
        long = made_up(workflow, 30, 40)
        began = time.process_time()
        compile_workflow(long, documents)
        longest = max(len(recording.steps) for recording in long)
        results.append(
            row(f"{name}: compile 30 recordings of {longest} steps", time.process_time() - began, "s")
        )
        report = gate(workflow, group, documents, cheap_tasks=CHEAP_TASKS)
        results.append(row(f"{name}: kill rate, {report.mutants} mutants", report.kill_rate, "share"))
        results += [row(f"{name}: caught, {k}", s.rate, f"of {s.total}") for k, s in report.families.items()]
        results += [row(f"{name}: passes, {k}", s.rate, f"of {s.total}") for k, s in report.cheap.items()]
        results.append(row(f"{name}: false rejects", report.false_reject_rate, "share"))
        results.append(row(f"{name}: held out passing", report.held_out_pass, f"of {report.held_out_total}"))
        parity = compare(workflow, steps=PARITY_STEPS)
        results.append(row(f"{name}: pages unlike in the twin", len(parity.different), f"of {parity.steps}"))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="speed only, no browser")
    parser.add_argument(
        "--browsergym", type=Path, metavar="PYTHON", help=f"the Python of an environment with {BROWSERGYM}"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.browsergym is None:
        print("No ratio to BrowserGym: --browsergym PYTHON was not given, see --help.", file=sys.stderr)
    results = measure(options.quick, options.browsergym)
    if options.json:
        machine = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
        }
        print(json.dumps({"machine": machine, "results": results}, indent=1))
        return
    for found in results:
        value = "-" if found["value"] is None else f"{found['value']:,.3f}"
        ratio = "" if found["ratio"] is None else f", {found['ratio']:,.0f} times {found['peer']}"
        print(f"{found['name']:<45} {value:>12} {found['unit']}{ratio}")


if __name__ == "__main__":
    main()
