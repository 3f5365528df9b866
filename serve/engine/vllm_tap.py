"""What vLLM's own process hands out at each choice: the logits, before anything is drawn from them.

vLLM tells log-probabilities of a few likely tokens, or of the whole vocabulary one Python object each. A
logits processor, which is its public way in, sees all of them as a tensor on the device.

Only vLLM's first model runner knows processors of this kind (:mod:`serve.engine.vllm_engine` asks for it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from serve.engine.interface import Counters

# Names a request in its sampling parameters.
ITEM = "fde_item"


@dataclass(slots=True)
class Caught:
    """Logits by the number of their request, ``[vocabulary]`` in fp32, and how often vLLM computed."""

    logits: dict[int, Tensor] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    def take(self, count: int) -> Tensor:
        """The logits of requests 0 to ``count - 1``, ``[count, vocabulary]``; KeyError when one has none."""
        taken = torch.stack([self.logits[item] for item in range(count)])
        self.logits.clear()
        return taken


# vLLM makes its processors itself: the process's one engine finds here what they caught.
caught = Caught()


class Tap(LogitsProcessor):  # type: ignore[misc]  # vLLM need not be installed where this is checked
    """Keeps each request's logits; changes nothing."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        # Place in vLLM's batch -> number of the request.
        self._items: dict[int, int] = {}

    def is_argmax_invariant(self) -> bool:
        """False: vLLM passes over others where it takes the likeliest token, as it does here."""
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self._items, batch_update, _item)

    def apply(self, logits: Tensor) -> Tensor:
        # Of a prompt that is computed in several pieces each is seen; the last one, which counts, stays.
        caught.counters.forwards += 1
        if self._items:
            kept = logits[list(self._items)]
            caught.logits.update(zip(self._items.values(), kept, strict=True))
        return logits


def _item(params: Any, *_: Any) -> int | None:
    item: int | None = (params.extra_args or {}).get(ITEM)
    return item
