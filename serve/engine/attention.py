"""Our attention in transformers' attention interface: many sequences in one flat forward.

All new tokens of a step go through the linear layers as one sequence of shape
``[1, T]`` with explicit positions, so nothing is spent on padding. Only the
attention needs to know which tokens belong together; a *plan* tells it. There
are two: :class:`CachePlan` (inference: keys and values go into each row's
cache) and :class:`TreePlan` (training: segments of token trees attend to their
ancestors, with gradients).

The function is registered under :data:`NAME`; a model is switched to it by
``model.set_attn_implementation(NAME)``. No mask is built for that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as functional
from torch import Tensor

from fde.errors import InputError
from serve.engine.shared import BEGINNING

NAME = "fde_flat"
# On a CPU a causal block is cut into bands of this many queries: the keys above
# the diagonal are then never multiplied (measured: a third less time at 500 tokens).
_CPU_BAND = 64

_plan: ContextVar[Plan | None] = ContextVar("plan", default=None)
_masks: dict[tuple[torch.device, torch.dtype], Tensor] = {}


class Plan(Protocol):
    """Which tokens of a flat forward attend to which."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float
    ) -> Tensor:
        """Attention of one layer.

        Args:
            query: ``[1, heads, T, d]``; ``key`` and ``value`` ``[1, kv_heads, T, d]``.

        Returns:
            ``[1, heads, T, d]``.
        """
        ...

    @property
    def longest(self) -> int:
        """Tokens that the last of the longest sequence attends to, itself included."""
        ...


@contextmanager
def planned(plan: Plan) -> Iterator[None]:
    """Forwards inside this block attend by ``plan``."""
    token = _plan.set(plan)
    try:
        yield
    finally:
        _plan.reset(token)


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function transformers calls in every layer."""
    plan = _plan.get()
    if plan is None:
        raise RuntimeError(f"A model with attention '{NAME}' was called outside of planned().")
    if sliding_window is not None and plan.longest > sliding_window:
        raise InputError(
            f"A conversation of {plan.longest} tokens exceeds the model's window of {sliding_window}.",
            "Use a model with a longer window, or shorter pages.",
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = int(getattr(module, "layer_idx", 0))
    out = plan.attend(layer, query, key, value, scale, softcap or 0.0)
    return out.transpose(1, 2), None


def register() -> None:
    """Make :data:`NAME` known to transformers. Safe to call again."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, attention)


def causal(query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float = 0.0) -> Tensor:
    """Causal attention of the last ``n`` of ``m`` positions (``[1, heads, n, d]`` on ``[1, kv, m, d]``)."""
    if softcap:
        return _softcapped(query, key, value, scale, softcap)
    if query.shape[2] == 1:
        return _sdpa(query, key, value, None, scale)
    parts = [_sdpa(*band, scale) for band in _bands(query, key, value)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _bands(query: Tensor, key: Tensor, value: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Causal attention in parts: some queries, the keys and values they see, and their bias."""
    count, total = query.shape[2], key.shape[2]
    mask = _mask(total, query)
    band = _CPU_BAND if query.device.type == "cpu" else count
    for start in range(0, count, band):
        stop = min(start + band, count)
        seen = total - count + stop
        bias = mask[total - count + start : seen, :seen]
        yield query[:, :, start:stop], key[:, :, :seen], value[:, :, :seen], bias


def _sdpa(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    grouped = query.shape[1] != key.shape[1]
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, scale=scale, enable_gqa=grouped
    )


def _weighed(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Attention on a CPU, and the logarithm of each query's total weight, ``[1, heads, n]``."""
    out, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, False, attn_mask=bias, scale=scale
    )
    return out, weight


def _softcapped(query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    keys, values = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = torch.tanh(query @ keys.transpose(2, 3) * (scale / softcap)) * softcap
    total = key.shape[2]
    scores = scores + _mask(total, query)[total - query.shape[2] : total, :total]
    return scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype) @ values


def _mask(size: int, like: Tensor) -> Tensor:
    """A causal bias of at least ``size`` x ``size``; every smaller one is a view of it."""
    where = (like.device, like.dtype)
    mask = _masks.get(where)
    if mask is None or mask.shape[0] < size:
        side = max(512, 1 << (size - 1).bit_length())
        with torch.inference_mode(False):
            mask = torch.full((side, side), float("-inf"), device=like.device, dtype=like.dtype).triu(1)
        _masks[where] = mask
    return mask


class Row:
    """Keys and values of one sequence, for all layers, in one growing tensor.

    Attributes:
        length: Tokens whose keys and values are stored, those of ``base`` included.
        base: A row that this one continues without a copy of it; it must not change any more.
        skipped: Tokens of ``base``.
        place: Where its conversation is among those kept (see :mod:`serve.engine.shared`); None
            when that is not known.
    """

    BLOCK = 128

    def __init__(self, layers: int, base: Row | None = None) -> None:
        self.layers = layers
        self.base = base
        self.length: int = 0 if base is None else base.length
        self.skipped = self.length
        self.place: int | None = BEGINNING if base is None else base.place
        self._store: Tensor | None = None  # [2, layers, kv_heads, capacity, d]

    @property
    def bytes(self) -> int:
        return 0 if self._store is None else self._store.numel() * self._store.element_size()

    @property
    def own(self) -> int:
        """Tokens stored in the row itself."""
        return self.length - self.skipped

    def fork(self) -> Row:
        """An independent copy of what is stored, with some room."""
        copy = Row(self.layers, self.base)
        copy.place, copy.length = self.place, self.length
        if self._store is not None:
            copy._reserve(self.own + self.BLOCK, self._store)
            assert copy._store is not None
            copy._store[:, :, :, : self.own] = self._store[:, :, :, : self.own]
        return copy

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values (``[1, kv, n, d]``) after ``length``; returns the row's own so far.

        ``length`` itself moves only when the whole forward is done.
        """
        start = self.own
        stop = start + key.shape[2]
        if self._store is None or self._store.shape[3] < stop:
            self._reserve(stop, key)
        assert self._store is not None
        self._store[0, layer, :, start:stop] = key[0]
        self._store[1, layer, :, start:stop] = value[0]
        return self._store[0, layer, None, :, :stop], self._store[1, layer, None, :, :stop]

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        """The row's own keys and values, ``[1, kv, n, d]`` each."""
        assert self._store is not None
        stop = self.own
        return self._store[0, layer, None, :, :stop], self._store[1, layer, None, :, :stop]

    def lower(self, layers: int, start: int, stop: int) -> Tensor:
        """A copy of the lower layers' keys and values, ``[2, layers, kv_heads, stop - start, d]``."""
        assert self._store is not None
        return self._store[:, :layers, :, start - self.skipped : stop - self.skipped].clone()

    def put_lower(self, states: Tensor) -> None:
        """Store the lower layers' keys and values of what comes next."""
        layers, count = states.shape[1], states.shape[3]
        start = self.own
        if self._store is None or self._store.shape[3] < start + count:
            self._reserve(start + count, states)
        assert self._store is not None
        self._store[:, :layers, :, start : start + count] = states

    def _reserve(self, tokens: int, like: Tensor) -> None:
        capacity = -(-tokens // self.BLOCK) * self.BLOCK
        heads, size = (like.shape[1], like.shape[3]) if like.dim() == 4 else (like.shape[2], like.shape[4])
        grown = torch.empty((2, self.layers, heads, capacity, size), dtype=like.dtype, device=like.device)
        if self._store is not None:
            grown[:, :, :, : self.own] = self._store[:, :, :, : self.own]
        self._store = grown


@dataclass(slots=True)
class CachePlan:
    """Inference: flat tokens ``spans[i]`` continue ``rows[i]``.

    Attributes:
        narrow: A layer in which only the last token of each span asks; the others' answers are zero.
    """

    rows: Sequence[Row]
    spans: Sequence[tuple[int, int]]
    narrow: int | None = None

    @property
    def longest(self) -> int:
        return max(
            row.length + stop - start for row, (start, stop) in zip(self.rows, self.spans, strict=True)
        )

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float
    ) -> Tensor:
        narrow = layer == self.narrow
        out = torch.zeros_like(query) if narrow else torch.empty_like(query)
        near: dict[int, list[_Near]] = {}
        for row, (start, stop) in zip(self.rows, self.spans, strict=True):
            keys, values = row.write(layer, key[:, :, start:stop], value[:, :, start:stop])
            start = stop - 1 if narrow else start
            mine = query[:, :, start:stop]
            if row.base is None:
                out[:, :, start:stop] = causal(mine, keys, values, scale, softcap)
            else:
                found = _Near(row.base, start, stop, *_causal_weighed(mine, keys, values, scale))
                near.setdefault(id(row.base), []).append(found)
        for rows in near.values():
            _join_base(out, query, rows, layer, scale)
        return out


class _Near(NamedTuple):
    """What queries ``start`` to ``stop`` found in their row's own part."""

    base: Row
    start: int
    stop: int
    out: Tensor
    weight: Tensor


def _causal_weighed(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """:func:`causal` on a CPU with the logarithm of each query's total weight."""
    outs, weights = zip(*(_weighed(*band, scale) for band in _bands(query, key, value)), strict=True)
    return torch.cat(outs, dim=2), torch.cat(weights, dim=2)


def _join_base(out: Tensor, query: Tensor, rows: Sequence[_Near], layer: int, scale: float) -> None:
    """Attend to what rows continue, all of them at once, and weigh it with what they found of their own.

    A softmax over two sets of keys is the mean of those over each, by their total weights: as in
    Hydragen (arXiv 2402.05099).
    """
    keys, values = rows[0].base.read(layer)
    asked = torch.cat([query[:, :, row.start : row.stop] for row in rows], dim=2)
    far, far_weight = _weighed(asked, keys, values, None, scale)
    near_weight = torch.cat([row.weight for row in rows], dim=2)
    share = torch.sigmoid(far_weight - near_weight)[..., None].to(far.dtype)
    joined = torch.lerp(torch.cat([row.out for row in rows], dim=2), far, share)
    spans = [row.stop - row.start for row in rows]
    for row, part in zip(rows, joined.split(spans, dim=2), strict=True):
        out[:, :, row.start : row.stop] = part


@dataclass(slots=True)
class TreePlan:
    """Training: each segment of a token tree attends to its ancestors and, causally, itself.

    Attributes:
        paths: For every segment, in flat order, the flat spans of its ancestors
            (root first) and, last, its own. Segments tile the flat sequence.
    """

    paths: Sequence[Sequence[tuple[int, int]]]

    @property
    def longest(self) -> int:
        return max(sum(stop - start for start, stop in path) for path in self.paths)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float
    ) -> Tensor:
        parts = []
        for path in self.paths:
            start, stop = path[-1]
            parts.append(
                causal(query[:, :, start:stop], _along(key, path), _along(value, path), scale, softcap)
            )
        return torch.cat(parts, dim=2)


def _along(states: Tensor, path: Sequence[tuple[int, int]]) -> Tensor:
    pieces = [states[:, :, start:stop] for start, stop in _joined(path)]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)


def _joined(path: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring spans as one: a first child lies right behind its parent."""
    joined: list[tuple[int, int]] = []
    for start, stop in path:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined
