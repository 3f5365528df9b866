"""How fast compiling and stepping are, and how the verifiers stand up to wrong work.

::

    python benchmarks/environments.py [--quick] [--json]

Uses the recordings of the sample company, unredacted, without its documents' look-ups when
they cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envgen.compile import compile_workflow  # noqa: E402
from envgen.environment import WorkflowEnv  # noqa: E402
from envgen.gate import gate  # noqa: E402
from envgen.tasks import make_tasks  # noqa: E402
from envgen.workflow import Workflow  # noqa: E402
from ingest.document import Document  # noqa: E402
from ingest.recording import Recording  # noqa: E402
from ingest.recordings import read_recording  # noqa: E402

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


def steps_per_second(workflow: Workflow, seconds: float) -> float:
    """Environment steps per second of one core: resets, observations and potentials included."""
    env = WorkflowEnv(workflow)
    tasks = make_tasks(workflow, "train", 20)
    paths = []
    for task in tasks:
        view, path = env.reset(task), []
        while not view.finished:
            action = env.next_action()
            assert action is not None
            path.append(action)
            view = env.step(action)
        paths.append(path)
    steps = 0
    began = time.process_time()
    while time.process_time() - began < seconds:
        for task, path in zip(tasks, paths, strict=True):
            env.reset(task)
            for action in path:
                env.step(action)
                steps += 1
    return steps / (time.process_time() - began)


def row(name: str, value: float | None, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": None, "peer_value": None, "ratio": None}


def measure(quick: bool) -> list[dict[str, Any]]:
    recordings, documents = load()
    results = []
    for name, group in recordings.items():
        began = time.process_time()
        workflow = compile_workflow(group, documents)
        results.append(row(f"{name}: compile {len(group)} recordings", time.process_time() - began, "s"))
        results.append(row(f"{name}: steps", steps_per_second(workflow, 1 if quick else 5), "steps/s"))
        if not quick:
            report = gate(workflow, group, documents)
            results.append(row(f"{name}: kill rate", report.kill_rate, "share"))
            results.append(row(f"{name}: false rejects", report.false_reject_rate, "share"))
            results.append(
                row(f"{name}: held out passing", report.held_out_pass, f"of {report.held_out_total}")
            )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="speed only")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    results = measure(options.quick)
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
        print(f"{found['name']:<45} {value:>12} {found['unit']}")


if __name__ == "__main__":
    main()
