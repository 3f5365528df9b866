"""Whether the engine computes what a model's own code computes, found out before anything rests on it.

In fp32 two right ways agree to a millionth, so that the model itself is compared. In bf16 rounding alone
makes them differ by several percent, more than a wrong scale of attention would; there a small model of
the same kind with random weights is compared in fp32, and the model itself only coarsely.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from serve.engine.body import Body

_EXACT, _COARSE = 1e-4, 0.15
_TOKENS = 16
_VOCABULARY, _FEED_FORWARD = 256, 128


def check_model(body: Body) -> None:
    """Compare the engine with the model's own code.

    Raises:
        InputError: the family does something the engine does not know.
    """
    probe = torch.arange(10, 10 + _TOKENS, device=body.device) % body.vocabulary
    if body.dtype == torch.float32:
        body.check(probe, _EXACT)
        return
    Body(small_twin(body.model)).check(torch.arange(10, 10 + _TOKENS), _EXACT)
    body.check(probe, _COARSE)


def small_twin(model: Any) -> Any:
    """A model of the same kind in fp32 on the CPU: every sort of layer once, random weights, few words."""
    config = copy.deepcopy(model.config)
    text = config.get_text_config()
    sorts = list(dict.fromkeys(getattr(text, "layer_types", None) or ["only"]))
    text.num_hidden_layers = max(2, len(sorts))
    if getattr(text, "layer_types", None):
        text.layer_types = (sorts * 2)[: text.num_hidden_layers]
    text.vocab_size = _VOCABULARY
    text.intermediate_size = _FEED_FORWARD
    text.pad_token_id = text.bos_token_id = text.eos_token_id = None
    # Large enough that attention tells tokens apart and caps are reached.
    text.initializer_range = 0.2
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(0)
        twin = type(model)(config).to(torch.float32)
    finally:
        torch.random.set_rng_state(state)
    return twin.eval()
