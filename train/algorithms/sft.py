"""Supervised fine-tuning: every decision of a demonstration is right, by one."""

from __future__ import annotations

from serve.episodes import Group
from train.tree import Target


def targets(group: Group) -> list[Target]:
    """Every decision of the group, with advantage 1."""
    return [
        Target(index, decision)
        for index, segment in enumerate(group.segments)
        for decision in segment.decisions
    ]
