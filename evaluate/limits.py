"""What the figures do not show, and where a simpler way did as well or better: computed, not recited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluate.bars import points
from evaluate.verdict import percent


def limits(data: Mapping[str, Any], focus: str | None) -> list[str]:
    """Sentences for the report, the ones that weigh most first."""
    comparison = data["comparison"]
    arms = {arm["name"]: arm for arm in comparison["arms"]}
    chosen = arms.get(focus or "")
    told: list[str] = []
    if chosen is not None:
        told += _simpler_wins(comparison, chosen, arms)
    told += _unscored(comparison)
    told += _live(comparison)
    told += _scope(comparison, arms)
    if not comparison["costs"]["own"]:
        told.append(
            "No cost input has been set for this engagement: every amount rests on the toolkit's examples. "
            "The counts of right and wrong tasks do not depend on them."
        )
    if chosen is not None:
        told.append(
            "Every trained arm is one training run with one seed: how much another run would differ was not "
            "measured. The intervals cover the choice of tasks only."
        )
        told.append(
            "Prompt, few-shot and RAG use the same base model as the trained arms. A larger hosted model "
            "might do more without training; it was not measured."
        )
    return told


def _simpler_wins(
    comparison: Mapping[str, Any], chosen: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    told = []
    for pair in comparison["comparisons"]:
        if pair["a"] != chosen["name"] or pair["delta"] is None:
            continue
        other = arms[pair["b"]]["label"]
        tasks = "tasks as they come" if pair["tasks"] == "plain" else "disturbed tasks"
        low, high = pair["ci"]
        if high < 0:
            told.append(
                f"{other} does more {tasks} right than {chosen['label']}: {points(-pair['delta'])} points "
                f"({points(-high)} to {points(-low)})."
            )
        elif low <= 0:
            told.append(
                f"On {tasks}, {chosen['label']} and {other} cannot be told apart: {points(pair['delta'])} "
                f"points ({points(low)} to {points(high)}, {pair['n']} tasks)."
            )
    for name in ("cost_per_task", "p50_s"):
        what = "cheaper to run" if name == "cost_per_task" else "faster"
        better = [
            arm["label"]
            for arm in comparison["arms"]
            if arm[name] is not None
            and chosen[name] is not None
            and arm[name] < chosen[name]
            and not arm["trained"]
            and arm["success"] is not None
            and arm["success"] > 0
        ]
        if better:
            told.append(f"{what.capitalize()} than {chosen['label']}: {', '.join(better)}.")
    return told


def _unscored(comparison: Mapping[str, Any]) -> list[str]:
    told = []
    for arm in comparison["arms"]:
        left_out = arm["unscored"] + arm["disturbed"]["unscored"]
        if left_out:
            told.append(
                f"{arm['label']}: {left_out} tasks could not be judged and count neither as right nor wrong."
            )
    return told


def _live(comparison: Mapping[str, Any]) -> list[str]:
    if not comparison["live"]:
        return [
            "No arm was tried on the real application: that the environment stands for it was not measured."
        ]
    told = []
    for entry in comparison["live"]:
        if entry["ci"] is None:
            continue
        low, high = entry["ci"]
        if high < 0:
            told.append(
                f"On the real application the policy does fewer tasks right than in the environment "
                f"({percent(entry['live']['success'])} against {percent(entry['environment']['success'])}): "
                "the environment is easier than the work."
            )
        elif high - low > 0.2:
            told.append(
                f"{entry['live']['n']} tasks on the real application leave the difference to the environment "
                f"open between {points(low)} and {points(high)} points."
            )
    return told


def _scope(comparison: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    told = []
    kinds = sorted({kind for arm in arms.values() for kind in arm["disturbed"]["kinds"]})
    if kinds:
        names = ", ".join(kind.replace("-", " ").replace("_", " ") for kind in kinds)
        told.append(f"Disturbances tried: {names}. Others were not.")
    else:
        told.append("Tasks with a disturbance were not measured.")
    if any(arm["kind"] == "replay" for arm in arms.values()):
        told.append(
            "Replay follows the compiled program, which the verifier is also made from, and reads the "
            "environment's state: what it reaches here is the most it can reach."
        )
    return told
