"""Which arms an engagement has: those without training, and one per trained adapter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evaluate.arms import Arm
from evaluate.rows import SIMPLICITY
from evaluate.settings import EvaluateSettings
from fde.artifacts import digest_file, read_json
from fde.engagement import Engagement, Manifest, Run
from fde.errors import MissingError

WEIGHTS = "adapter_model.safetensors"
# What a fine-tuning run says it learned from -> the name of it here.
DATA = {"recordings": "recordings", "program": "program", "both": "recordings+program"}


def find_arms(engagement: Engagement, workflow: str, envgen_run: str, chosen: EvaluateSettings) -> list[Arm]:
    """All arms of a workflow, simplest first.

    A trained arm is the latest finished run of a stage ``sft-*`` or ``rl-*`` that
    says it was trained for this workflow.
    """
    redacted = _latest(engagement, "redact")
    documents = f"redact/{redacted.id}" if redacted else None
    arms = [
        Arm("replay", "Replay of the compiled program", "replay", run=envgen_run),
        Arm("zero-shot", "Zero-shot prompt", "prompt"),
        Arm(
            "few-shot",
            "Few-shot prompt",
            "few-shot",
            run=envgen_run,
            settings={"examples": chosen.few_shot},
        ),
        Arm(
            "rag",
            "RAG over the documents",
            "rag",
            run=documents,
            settings={"passages": chosen.passages},
        ),
    ]
    trained = _trained(engagement, workflow)
    return arms + sorted(
        trained, key=lambda arm: (SIMPLICITY.index(arm.kind), arm.data != "recordings", arm.name)
    )


def _latest(engagement: Engagement, stage: str) -> Run | None:
    try:
        return engagement.latest(stage)
    except MissingError:
        return None


def _trained(engagement: Engagement, workflow: str) -> list[Arm]:
    stages = sorted(
        path.name for path in engagement.stages.glob("*") if path.name.startswith(("sft-", "rl-"))
    )
    runs = [run for stage in stages if (run := _latest(engagement, stage)) is not None]
    runs = [run for run in runs if (run.path / "adapter" / WEIGHTS).is_file()]
    found = [(run, run.manifest(), _result(run)) for run in runs]
    mine = [entry for entry in found if _said(entry[1], entry[2], "workflow") == workflow]
    by_run = {run.id: run.stage for run, _, _ in mine}
    arms = [_arm(run, manifest, told, by_run) for run, manifest, told in mine]
    starts = {arm.started_from for arm in arms}
    labels = [arm.label for arm in arms]
    rivals = [
        arm for arm in arms if arm.kind == "sft" and arm.data != "recordings" and arm.name not in starts
    ]
    measured = bool(rivals) and any(arm.kind == "rl" for arm in arms)
    return [
        replace(
            arm,
            # Two runs on the same data are told apart by what they are for.
            label=f"{arm.label}, RL's start"
            if arm.name in starts and labels.count(arm.label) > 1
            else arm.label,
            baseline=measured and (arm.name in starts or arm.data == "recordings"),
        )
        for arm in arms
    ]


def _arm(run: Run, manifest: Manifest, told: dict[str, Any], by_run: dict[str, str]) -> Arm:
    kind = "rl" if run.stage.startswith("rl-") else "sft"
    data = DATA.get(str(_said(manifest, told, "demonstrations")))
    started = next(
        (by_run[i.rsplit("/", 1)[-1]] for i in manifest.inputs.values() if i.rsplit("/", 1)[-1] in by_run),
        None,
    )
    labels = {
        "recordings": "SFT on the recordings",
        "program": "SFT on program demonstrations",
        "recordings+program": "SFT on recordings and program",
    }
    label = "RL" if kind == "rl" else labels.get(data or "", f"SFT ({run.stage.removeprefix('sft-')})")
    return Arm(
        run.stage,
        label,
        "rl" if kind == "rl" else "sft",
        run=f"{run.stage}/{run.id}",
        adapter=run.path / "adapter",
        adapter_name=f"{run.stage}@{digest_file(run.path / 'adapter' / WEIGHTS)[:12]}",
        started_from=started,
        data=data,
    )


def _result(run: Run) -> dict[str, Any]:
    try:
        told = read_json(run.path / "result.json")
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _said(manifest: Manifest, told: dict[str, Any], key: str) -> Any:
    return told.get(key, manifest.config.get(key))
