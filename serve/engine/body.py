"""A stock causal language model taken apart: its layers in two halves, and its head where it is needed.

Layers below ``split`` carry no adapter, so what they make of a token never
changes: it can be kept and skipped the next time. The head is a quarter of a
small model's work and is computed only at positions where something is chosen,
and only for the tokens that may be chosen there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from fde.errors import InputError
from serve.engine import attention
from serve.engine.attention import CachePlan, Plan, Row
from serve.engine.in_place import save_memory


@dataclass(slots=True)
class _Run:
    """What the layers are told of the forward they are in.

    Attributes:
        lower: What the lower layers would make of it, ``[1, T, width]``: they are skipped.
        upper: Whether the upper layers are run.
        wanted: Indices of the tokens whose final states are asked for; None for all.
        captured: The hidden states between the halves.
    """

    lower: Tensor | None
    upper: bool
    wanted: Tensor | None = None
    captured: Tensor | None = None


# Of the forward in this thread: several may run at the same time.
_run: ContextVar[_Run | None] = ContextVar("run", default=None)


class Body:
    """Runs the decoder of a transformers causal language model under our attention.

    Attributes:
        split: Number of lower layers that stay as they are for good.
        caps_attention: Whether attention's logits are capped.
    """

    def __init__(self, model: Any, split: int = 0) -> None:
        attention.register()
        self.model = model
        self.decoder = model.get_decoder()
        self.layers: nn.ModuleList = self.decoder.layers
        self.embedding: nn.Embedding = model.get_input_embeddings()
        self.depth = len(self.layers)
        if not 0 <= split < self.depth:
            raise InputError(f"{split} lower layers cannot be frozen in a model of {self.depth} layers.")
        self.split = split
        model.set_attn_implementation(attention.NAME)
        for index, layer in enumerate(self.layers):
            save_memory(layer, self.embedding.weight)
            layer.forward = self._gate(index, layer.forward)
        feed_forward = getattr(self.layers[-1], "mlp", None)
        if isinstance(feed_forward, nn.Module):
            feed_forward.forward = self._narrow(feed_forward.forward)
        text = model.config.get_text_config()
        self.caps_attention = bool(getattr(text, "attn_logit_softcapping", None))
        self._softcap = float(getattr(text, "final_logit_softcapping", None) or 0.0)
        self._multiply = float(getattr(text, "logit_scale", None) or 1.0)
        self._multiply /= float(getattr(text, "logits_scaling", None) or 1.0)
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        self.width = int(self.embedding.weight.shape[1])

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.weight.dtype

    def _gate(self, index: int, original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def forward(hidden_states: Tensor, *args: Any, **named: Any) -> Tensor:
            run = _run.get()
            if run is not None and index < self.split:
                if run.lower is not None:
                    return run.lower if index == 0 else hidden_states
            elif run is not None:
                if index == self.split:
                    run.captured = hidden_states
                if not run.upper:
                    return hidden_states
            return original(hidden_states, *args, **named)

        return forward

    def _narrow(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The last layer's feed-forward part, which treats every token by itself, where it is asked for."""

        def forward(hidden_states: Tensor, *args: Any, **named: Any) -> Any:
            run = _run.get()
            if run is None or run.wanted is None:
                return original(hidden_states, *args, **named)
            found = original(hidden_states[:, run.wanted], *args, **named)
            if not isinstance(found, Tensor):  # mixtures of experts tell more than states
                return original(hidden_states, *args, **named)
            out = torch.zeros_like(hidden_states)
            out[:, run.wanted] = found
            return out

        return forward

    def run(
        self,
        ids: Tensor,
        positions: Tensor,
        plan: Plan,
        *,
        lower: Tensor | None = None,
        upper: bool = True,
        wanted: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One flat forward; several may be under way in threads of their own.

        Args:
            ids: Token ids ``[T]``; ``positions`` their positions in their sequences, ``[T]``.
            plan: Which token attends to which.
            lower: Hidden states ``[T, width]`` as the lower layers left them: those layers are skipped.
            upper: False to run the lower layers only.
            wanted: Indices of the tokens whose final states are asked for, ``[n]``; None for all.

        Returns:
            Final hidden states ``[T, width]`` (meaningless where not ``wanted``, or when ``upper`` is False),
            and the hidden states between the halves, ``[T, width]``.
        """
        run = _Run(None if lower is None else lower.unsqueeze(0), upper, wanted)
        token = _run.set(run)
        try:
            with attention.planned(plan):
                out = self.decoder(
                    input_ids=ids.unsqueeze(0), position_ids=positions.unsqueeze(0), use_cache=False
                )
        finally:
            _run.reset(token)
        assert run.captured is not None
        return out.last_hidden_state[0], run.captured[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits over the whole vocabulary, ``[n, vocabulary]``, of final hidden states."""
        head = self.model.get_output_embeddings()
        return self._finish(head(hidden).float())

    def some_logits(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Logits of one token each: ``hidden[i]`` against token ``ids[i]``; fp32 ``[n]``."""
        head = self.model.get_output_embeddings()
        found = (hidden.float() * functional.embedding(ids, head.weight).float()).sum(-1)
        bias = getattr(head, "bias", None)
        return self._finish(found if bias is None else found + bias[ids].float())

    def _finish(self, logits: Tensor) -> Tensor:
        if self._multiply != 1.0:
            logits = logits * self._multiply
        if self._softcap:
            logits = torch.tanh(logits / self._softcap) * self._softcap
        return logits

    @torch.inference_mode()
    def check(self, ids: Tensor, tolerance: float) -> float:
        """Compare with the stock model's own logits on a probe; returns the relative error.

        Raises:
            InputError: when they disagree: the model's family does something the engine does not know.
        """
        with _stock_attention(self.model):
            stock = self.model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0].float()
        row = Row(self.depth)
        half = len(ids) // 2
        parts = []
        for start, stop in ((0, half), (half, len(ids))):
            positions = torch.arange(start, stop, device=ids.device)
            plan = CachePlan([row], [(0, stop - start)])
            _, lower = self.run(ids[start:stop], positions, plan, upper=False)
            hidden, _ = self.run(ids[start:stop], positions, plan, lower=lower if self.split else None)
            row.length = stop
            parts.append(self.logits(hidden))
        error = float((torch.cat(parts) - stock).norm() / stock.norm())
        if not error <= tolerance:
            name = getattr(self.model.config, "model_type", "this")
            raise InputError(
                f"The in-process engine does not reproduce '{name}' models: relative error {error:.2g}.",
                "Serve it with vLLM instead (fde serve start --engine vllm), or choose another base model.",
            )
        return error


class _stock_attention:
    """The model with its own attention, inside a ``with`` block."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.model.set_attn_implementation("eager")

    def __exit__(self, *_: object) -> None:
        self.model.set_attn_implementation(attention.NAME)
