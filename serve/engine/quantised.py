"""Linear layers whose base weight is kept in four bits (:mod:`serve.engine.nf4`), under a LoRA adapter.

A layer is ``y = x W^T + scale * (x A^T) B^T`` (QLoRA, arXiv 2305.14314, equation 5). W is expanded where it
is multiplied with, forward and again backward, and never kept; so A and B are not merged into anything.
Inference and training run through the same lines here, and cannot disagree by more than rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from fde.errors import InputError
from serve.engine import nf4
from serve.engine.nf4 import Quantised


class _Expanded(torch.autograd.Function):
    """:meth:`QuantisedLinear.compute`; gradients for x, A and B, with the weight expanded again."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, layer: QuantisedLinear, a: Tensor | None, b: Tensor | None, scale: float
    ) -> Tensor:
        out, low = layer.compute(x, a, b, scale)
        ctx.save_for_backward(x, low, a, b)
        ctx.layer, ctx.scale = layer, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor | None, Tensor | None, None]:
        x, low, a, b = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        grad_x = grad @ ctx.layer.expanded(grad.dtype) if ctx.needs_input_grad[0] else None
        if a is None:
            return (None if grad_x is None else grad_x.view_as(x)), None, None, None, None
        grad_low = ctx.scale * (grad.to(b.dtype) @ b)  # [tokens, rank]
        grad_a = grad_low.t() @ x.reshape(-1, x.shape[-1]).to(a.dtype)
        grad_b = ctx.scale * (grad.to(b.dtype).t() @ low.to(b.dtype))
        if grad_x is not None:
            grad_x = grad_x.addmm_(grad_low.to(grad_x.dtype), a.to(grad_x.dtype)).view_as(x)
        return grad_x, None, grad_a, grad_b, None


class QuantisedLinear(nn.Module):
    """A linear layer in four bits, and what an adapter adds to it.

    Takes adapters as :class:`serve.engine.adapter.AdaptedLinear` does.
    """

    codes: Tensor
    scales: Tensor
    steps: Tensor
    mean: Tensor

    def __init__(self, linear: nn.Linear, device: torch.device | None = None) -> None:
        super().__init__()
        weight = linear.weight if device is None else linear.weight.to(device)
        for name, tensor in nf4.quantise(weight)._asdict().items():
            self.register_buffer(name, tensor)
        self.bias = linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.a: Tensor | None = None
        self.b: Tensor | None = None
        self.scale = 0.0

    def expanded(self, dtype: torch.dtype) -> Tensor:
        """The base weight as it is computed with, ``[out, in]``."""
        found = Quantised(self.codes, self.scales, self.steps, self.mean)
        return nf4.expand(found, (self.out_features, self.in_features), dtype)

    def set(self, a: Tensor, b: Tensor, scale: float) -> None:
        """Use an adapter; with tensors that require gradients, forwards train it."""
        self.a, self.b, self.scale = a, b, scale

    def merge(self) -> None:
        """Nothing is merged: a forward computes with A and B themselves."""

    def stale(self) -> float:
        """See :meth:`serve.engine.adapter.AdaptedLinear.stale`: what is not merged is never out of date."""
        return 0.0

    def clear(self) -> None:
        """Back to the base weight, exactly."""
        self.a = self.b = None

    def compute(
        self, x: Tensor, a: Tensor | None, b: Tensor | None, scale: float
    ) -> tuple[Tensor, Tensor | None]:
        """The layer's output, and ``x A^T`` (``[tokens, rank]``) where there is an adapter."""
        flat = x.reshape(-1, self.in_features)
        out = functional.linear(flat, self.expanded(x.dtype), self.bias)
        low = None
        if a is not None and b is not None:
            low = flat @ a.to(x.dtype).t()
            out.addmm_(low, b.to(x.dtype).t(), alpha=scale)
        return out.view(*x.shape[:-1], self.out_features), low

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and (x.requires_grad or (self.a is not None and self.a.requires_grad)):
            out: Tensor = _Expanded.apply(  # type: ignore[no-untyped-call]
                x, self, self.a, self.b, self.scale
            )
            return out
        return self.compute(x, self.a, self.b, self.scale)[0]

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, {nf4.NAME}"


def quantise_layers(model: Any, device: torch.device | None = None) -> int:
    """Bring all linear layers inside a model's decoder layers to four bits, in place; returns how many.

    One by one: of each the whole weight goes before the next one is read. Embedding, norms and head stay.

    Args:
        device: Where the four bits are made, and lie afterwards; by default where the weights are.

    Raises:
        InputError: weights that are not numbers, or a model without such layers.
    """
    layers = model.get_decoder().layers
    found = [
        (path, parent, name, child)
        for path, parent in layers.named_modules(prefix="layers")
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
    if not found:
        kind = getattr(model.config, "model_type", "this")
        raise InputError(
            f"A '{kind}' model has no linear layers to quantise.", "Train it with --set tune=lora."
        )
    count = len(found)
    while found:
        path, parent, name, child = found.pop()
        try:
            setattr(parent, name, QuantisedLinear(child, device))
        except InputError as error:
            raise InputError(
                f"{error.message} Such are in '{path}.{name}' of this base model.",
                "Choose another base model.",
            ) from error
        del child
    return count


def rounded(weight: Tensor) -> Tensor:
    """A weight as its four bits have it, fp32: what a quantised layer computes with."""
    return nf4.expand(nf4.quantise(weight), tuple(weight.shape), torch.float32)
