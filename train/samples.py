"""Episodes for people to read: what was told, what the model said, and how it was judged."""

from __future__ import annotations

from typing import Any

from serve.episodes import Group
from serve.prompt import Prompt


def shown(prompt: Prompt, group: Group, sample: int = 0) -> dict[str, Any]:
    """One episode as plain data.

    Returns:
        ``task``, ``instruction``, ``sample``, ``stop``, ``success``, ``potential``, ``error``, ``reasons``
        and ``scenes``: conversations, each a list of ``{"said": bool, "text": str}``.
    """
    episode = group.episodes[sample]
    scenes = [prompt.turns(tokens) for tokens in group.scenes(episode)]
    return {
        "task": group.task.id,
        "instruction": group.task.instruction,
        "sample": sample,
        "stop": str(episode.stop),
        "success": episode.success,
        "potential": episode.potential,
        "error": episode.error,
        "reasons": list(episode.score.reasons) if episode.score else [],
        "scenes": [[{"said": said, "text": text} for said, text in turns] for turns in scenes],
    }
