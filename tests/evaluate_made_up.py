"""A made-up engagement with finished stages, for tests of comparison and report.

Its rows are drawn from seeded coins; nothing in it was measured.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envgen.session import Task
from evaluate.rows import ArmResult, Row, TestSet
from fde.artifacts import write_json
from fde.config import create
from fde.engagement import Engagement, Run

WORKFLOW = "code-invoice"
# name -> (label, kind, stage the arm rests on, success on plain and on disturbed tasks, seconds)
ARMS: dict[str, tuple[str, str, str | None, float, float, float]] = {
    "zero-shot": ("Zero-shot prompt", "prompt", None, 0.02, 0.0, 6.0),
    "few-shot": ("Few-shot prompt", "few-shot", "redact", 0.12, 0.03, 9.5),
    "rag": ("RAG over the documents", "rag", "redact", 0.07, 0.03, 11.0),
    "replay": ("Replay of the compiled workflow", "replay", "envgen", 0.80, 0.35, 0.01),
    "sft-recordings": ("SFT on the recordings", "sft", "sft-recordings", 0.42, 0.2, 3.2),
    "sft-program": ("SFT on recordings and program", "sft", "sft-program", 0.78, 0.6, 3.1),
    "rl-main": ("RL", "rl", "rl-main", 0.93, 0.85, 2.9),
}
FAULTS = ("dialog", "reordered-rows", "validation-error")


def tasks(split: str, n: int, disturbed: bool = False) -> tuple[Task, ...]:
    """Seeded tasks with a readable instruction."""
    made = []
    for i in range(n):
        faults = (FAULTS[i % 3],) if disturbed else ()
        made.append(
            Task(
                id=f"{WORKFLOW}/{split}/{i}" + "".join(f"+{fault}" for fault in faults),
                workflow=WORKFLOW,
                split="test",
                seed=i,
                instruction=f"Code and route invoice INV-{4800 + i}.",
                parameters={"p1": f"INV-{4800 + i}"},
                disturbances=faults,
            )
        )
    return tuple(made)


def rows(given: tuple[Task, ...], success: float, seconds: float, seed: int) -> tuple[Row, ...]:
    """A coin for every task; the same task is about as hard for every arm."""
    made = []
    for task in given:
        shared, own = random.Random(task.id).random(), random.Random(f"{task.id}/{seed}").random()
        passed = 0.6 * shared + 0.4 * own < success
        talk = (
            ("user", f'Task: {task.instruction}\n# Inbox\nlink "{task.parameters["p1"]}" | <b>Harbor</b>'),
            ("agent", f'click link "{task.parameters["p1"]}"'),
            ("user", '# Invoice\ntextbox "Cost center"\nbutton "Submit"'),
            ("agent", 'fill textbox "Cost center": CC-100\nclick button "Submit"\ndone'),
        )
        made.append(
            Row(
                task=task.id,
                disturbances=task.disturbances,
                value=1.0 if passed else 0.0,
                reasons=() if passed else ("invoices: cost_center is CC-100, should be CC-240",),
                stop="done",
                actions=4,
                tokens_in=620,
                tokens_out=41,
                seconds=seconds * (0.7 + 0.6 * own),
                transcript=talk,
            )
        )
    return tuple(made)


def stage(
    engagement: Engagement, name: str, inputs: Mapping[str, str], files: Mapping[str, Any], **config: Any
) -> Run:
    """A finished run of a stage with the given JSON files."""
    run = engagement.run(name, inputs=inputs, config=config, seed=1)
    with engagement.working(run):
        for file, value in files.items():
            run.write_json(file, value)
    return run


def engagement_with_results(
    root: Path,
    *,
    arms: Mapping[str, tuple[str, str, str | None, float, float, float]] = ARMS,
    n: int = 120,
    disturbed: int = 60,
    live: int = 20,
) -> Engagement:
    """The whole engagement up to a finished evaluation."""
    made = create(root, name="Meridian Supply <test>")
    docs = stage(made, "ingest-docs", {"policy.docx": "0" * 64}, {"report.json": {}})
    recordings = stage(made, "ingest-recordings", {"r1.zip": "1" * 64}, {"report.json": {}})
    redacted = stage(
        made,
        "redact",
        {"documents": docs.id, "recordings": recordings.id},
        {"audit.json": {"leaks": 0, "checked_strings": 8123, "leaked_types": {}, "passed": True}},
    )
    gate = {
        "name": WORKFLOW,
        "held_out_pass": 3,
        "held_out_total": 3,
        "kill_rate": 0.991,
        "kill_ci": [0.968, 0.998],
        "false_reject_rate": 0.0,
        "false_reject_ci": [0.0, 0.03],
        "mutants": 214,
        "families": {
            "nothing": {"hits": 20, "total": 20},
            "wrong record": {"hits": 60, "total": 60},
            "mutated value": {"hits": 132, "total": 134},
        },
        "published": True,
    }
    built = stage(made, "envgen", {"redact": redacted.id}, {f"{WORKFLOW}/gate.json": gate})
    runs = {"redact": redacted, "envgen": built}
    for name in ("sft-recordings", "sft-program", "rl-main"):
        inputs = {"envgen": built.id}
        if name == "rl-main":
            inputs["start"] = runs["sft-program"].id
        final = arms[name][3] if name in arms else 0.5
        curve = [{"seconds": 30.0 * i, "dev_success": round(final * (1 - 0.75**i), 3)} for i in range(12)]
        runs[name] = stage(made, name, inputs, {"curve.json": curve, "result.json": {}}, workflow=WORKFLOW)
    plain, faulty = tasks("test", n), tasks("test", disturbed, disturbed=True)
    on_live = tasks("live", live)
    test_set = TestSet(workflow=WORKFLOW, plain=plain, disturbed=faulty, live=on_live)
    results: dict[str, Any] = {"testset.json": test_set.model_dump(mode="json")}
    for seed, (name, (label, kind, source, success, faulty_success, seconds)) in enumerate(arms.items()):
        made_rows = rows(plain, success, seconds, seed) + rows(faulty, faulty_success, seconds, seed)
        result = ArmResult.model_validate(
            {
                "name": name,
                "label": label,
                "kind": kind,
                "run": f"{source}/{runs[source].id}" if source else None,
                "adapter": f"{name}@{seed:08x}" if kind in ("sft", "rl") else None,
                "started_from": "sft-program" if kind == "rl" else None,
                "data": {"sft-recordings": "recordings", "sft-program": "recordings+program"}.get(name),
                "rows": made_rows,
                "seconds": sum(row.seconds for row in made_rows) / 4,
                "peak_memory_bytes": 2_100_000_000,
            }
        )
        results[f"arms/{name}.json"] = result.model_dump(mode="json")
        if name == "rl-main" and live:
            made_rows = rows(on_live, success, seconds * 2, seed)
            on_site = result.model_copy(update={"place": "live", "rows": made_rows})
            results[f"arms/{name}.live.json"] = on_site.model_dump(mode="json")
    stage(made, "evaluate", {name: run.id for name, run in runs.items()}, results, workflow=WORKFLOW)
    write_json(
        made.reports / "timings.json",
        {
            "stages": [
                {"name": "ingest", "status": "done", "seconds": 41.0, "run": docs.id},
                {"name": "train rl", "status": "done", "seconds": 700.0, "run": runs["rl-main"].id},
            ],
            "seconds": 1490.0,
            "peak_memory_bytes": 5_300_000_000,
        },
    )
    return made
