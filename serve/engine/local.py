"""The local engine: rows of tokens with their caches, in this process, for rollouts and evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from fde import models
from fde.errors import InputError
from serve.engine import adapter as adapters
from serve.engine.adapter import Adaptable, AdapterWeights, Tuned, to_nf4
from serve.engine.attention import CachePlan, Row
from serve.engine.body import Body
from serve.engine.family import check_model
from serve.engine.full import FullWeights, Replaced, frozen_parameters
from serve.engine.interface import EXPECTED_TOKENS, Counters, Fed, Look, among
from serve.engine.lanes import Lanes
from serve.engine.quantised import QuantisedLinear, quantise_layers
from serve.engine.shared import Kept, SharedLower
from serve.grammar import Grammar

T = TypeVar("T")

# A forward of more tokens is no faster per token (measured flat from 128 on) and needs more memory.
MAX_FLAT = 1024
# A beginning of so many tokens is attended to in one go by all who share it; a shorter one is copied.
_SHARED_FROM = 128


@dataclass(slots=True)
class Hidden(Fed):
    """And the final hidden state of each item's last token, ``[items, width]``."""

    hidden: Tensor


@dataclass(slots=True)
class _Piece:
    item: int
    row: Row
    tokens: Sequence[int]
    keep_lower: bool
    start: int = 0
    lower: list[Tensor] = field(default_factory=list)


class LocalEngine:
    """A model, its tokenizer, and rows that are fed step by step.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer.
        split: Lower layers that no adapter will change (see :class:`serve.engine.body.Body`).
        cache_bytes: What the rows' caches may take together; agents admit episodes accordingly.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, split: int = 0, cache_bytes: int = 4 << 30, name: str = "model"
    ) -> None:
        model.eval()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self.name = name
        self.tokenizer = tokenizer
        self.body = Body(model, split)
        self.grammar = Grammar(tokenizer, self.body.vocabulary)
        self.cache_bytes = cache_bytes
        self.counters = Counters()
        self.lanes = Lanes(self.body.device)
        self.adapter: str | None = None
        self.shared: SharedLower | None = None
        self._adapted: dict[str, Adaptable] = {}
        # Whether the base model is in four bits.
        self.nf4 = any(isinstance(module, QuantisedLinear) for module in self.body.layers.modules())
        self.replaced = Replaced(model, self.body.layers)
        self._rows: set[Row] = set()
        self._free: Tensor | None = None
        text = model.config.get_text_config()
        self.max_tokens = int(getattr(text, "max_position_embeddings", 0) or 1 << 20)
        check_model(self.body)

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        split: int = 0,
        dtype: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        cache_bytes: int = 4 << 30,
        nf4: bool = False,
    ) -> LocalEngine:
        """Load a base model by its name or folder.

        Args:
            dtype: ``float32``, ``bfloat16``, or ``auto`` (:func:`usual_dtype`).
            device: ``cpu``, ``cuda`` or ``auto``.
            threads: CPU threads; None leaves torch's own choice.
            nf4: Keep the decoder layers' matrices in four bits (:mod:`serve.engine.quantised`).

        Raises:
            MissingError: no such model. InputError: one that cannot be used.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        folder = models.model_path(model)
        if threads:
            torch.set_num_threads(threads)
        where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        kind = usual_dtype(where) if dtype == "auto" else _dtype(dtype)
        logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            # As the files have it, weights are read where they lie: in four bits, one matrix after the other.
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype="auto" if nf4 else kind, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"The model {folder} cannot be loaded: {error}", "See: fde model list"
            ) from error
        if nf4:
            quantise_layers(loaded, torch.device(where))
            for parameter in loaded.parameters():
                parameter.data = parameter.data.to(kind)
        loaded = loaded.to(torch.device(where))
        return cls(loaded, tokenizer, split=split, cache_bytes=cache_bytes, name=str(model))

    # Rows

    def row(self) -> Row:
        """A new, empty row."""
        row = Row(self.body.depth)
        self._rows.add(row)
        return row

    def fork(self, row: Row) -> Row:
        """A copy of a row that goes its own way from here."""
        copy = row.fork()
        self._rows.add(copy)
        return copy

    def continued(self, row: Row) -> Row:
        """A row that goes on from one that must not change any more; what is long is not copied."""
        if self.body.device.type != "cpu" or self.body.caps_attention or row.length < _SHARED_FROM:
            return self.fork(row)
        new = Row(self.body.depth, row)
        self._rows.add(new)
        return new

    def free(self, row: Row) -> None:
        """Give a row's memory back."""
        self._rows.discard(row)

    @property
    def cache_used(self) -> int:
        """Bytes the rows' caches take now."""
        return sum(row.bytes for row in self._rows)

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes of cache one token takes."""
        text = self.body.model.config.get_text_config()
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return int(2 * self.body.depth * heads * size * self.body.embedding.weight.element_size())

    def has_room(self, rows: int) -> bool:
        """See :meth:`serve.engine.interface.Engine.has_room`."""
        expected = rows * EXPECTED_TOKENS * self.cache_bytes_per_token
        return max(self.cache_used, expected) < self.cache_bytes

    @property
    def on_cpu(self) -> bool:
        """Whether the model lies in the main memory."""
        return self.body.device.type == "cpu"

    @property
    def keeps_lower(self) -> bool:
        """Whether there are frozen lower layers."""
        return self.body.split > 0

    @torch.inference_mode()
    def feed(self, items: Sequence[tuple[Row, Sequence[int]]], *, keep_lower: bool = False) -> Hidden:
        """Continue rows by tokens (at least one each; a row at most once).

        All tokens of a forward lie in one flat sequence; long feeds are cut into several forwards.
        """
        began = time.perf_counter()
        if any(not tokens for _, tokens in items):
            raise ValueError("feed() was given a row without tokens")
        shared = self.shared
        pieces = [_Piece(index, row, tokens, keep_lower) for index, (row, tokens) in enumerate(items)]
        last: list[Tensor | None] = [None] * len(pieces)
        total = sum(len(piece.tokens) for piece in pieces)
        spared = self.counters.spared
        new = pieces
        if shared is not None:
            new = self._feed_known(shared, pieces, last)
            for piece in new:
                piece.keep_lower = keep_lower or piece.row.place is not None
        self._in_lanes(new, lambda piece: len(piece.tokens), lambda lane: self._feed_new(lane, last))
        for piece in new:
            row, tokens = piece.row, tuple(piece.tokens)
            if shared is None:
                row.place = None
            elif row.place is not None:
                states = row.lower(shared.layers, row.length - len(tokens), row.length)
                row.place = shared.keep(row.place, tokens, torch.cat(piece.lower), states)
        seconds = time.perf_counter() - began
        self.counters.tokens += total
        self.counters.seconds += seconds
        # Who shares is charged as if it had not: the order of arms must not decide what they cost.
        seconds += self.counters.spared - spared
        self.counters.peak_cache_bytes = max(self.counters.peak_cache_bytes, self.cache_used)
        lower = [torch.cat(piece.lower) for piece in pieces] if keep_lower else None
        hidden = torch.stack([found for found in last if found is not None])
        return Hidden(lower, seconds, total, hidden)

    def _in_lanes(
        self, items: Sequence[T], size: Callable[[T], int], work: Callable[[Sequence[T]], int]
    ) -> None:
        """``work``, which returns its forwards, on the items, shared out among the lanes."""
        shares = self.lanes.share([size(item) for item in items])
        lanes = [[items[index] for index in share] for share in shares]
        self.counters.forwards += sum(self.lanes.run(work, lanes))

    def _feed_new(self, pieces: Sequence[_Piece], last: list[Tensor | None]) -> int:
        """Feed pieces through all layers; returns how many forwards it took."""
        waiting = list(pieces[::-1])
        forwards = 0
        while waiting:
            batch: list[tuple[_Piece, int]] = []
            room = MAX_FLAT
            while waiting and room:
                piece = waiting.pop()
                stop = min(len(piece.tokens), piece.start + room)
                room -= stop - piece.start
                batch.append((piece, stop))
            self._forward(batch, last)
            forwards += 1
            if batch[-1][0].start < len(batch[-1][0].tokens):
                waiting.append(batch[-1][0])
        return forwards

    def _feed_known(
        self, shared: SharedLower, pieces: Sequence[_Piece], last: list[Tensor | None]
    ) -> list[_Piece]:
        """Feed what the lower layers need not see again through the upper ones only; returns the rest."""
        known: list[tuple[_Piece, Kept]] = []
        new: list[_Piece] = []
        for piece in pieces:
            kept = shared.find(piece.row.place, tuple(piece.tokens))
            if kept is None:
                new.append(piece)
            else:
                known.append((piece, kept))
        if not known:
            return new
        for piece, kept in known:
            piece.row.put_lower(kept.states)
            piece.row.place = kept.place
        began = time.perf_counter()
        self._in_lanes(known, lambda each: len(each[0].tokens), lambda lane: self._feed_upper(lane, last))
        upper = self.body.depth - self.body.split
        self.counters.spared += (time.perf_counter() - began) * self.body.split / upper
        return new

    def _feed_upper(self, known: Sequence[tuple[_Piece, Kept]], last: list[Tensor | None]) -> int:
        """Feed pieces whose lower half is known through the upper layers; returns its forwards."""
        waiting = list(known[::-1])
        forwards = 0
        while waiting:
            batch: list[tuple[_Piece, Kept]] = []
            size = 0
            while waiting and (not batch or size + len(waiting[-1][0].tokens) <= MAX_FLAT):
                batch.append(waiting.pop())
                size += len(batch[-1][0].tokens)
            hidden = torch.cat([kept.hidden for _, kept in batch])
            self._forward([(piece, len(piece.tokens)) for piece, _ in batch], last, hidden)
            forwards += 1
        return forwards

    def _forward(
        self,
        batch: Sequence[tuple[_Piece, int]],
        last: list[Tensor | None],
        known: Tensor | None = None,
    ) -> None:
        """Feed each piece up to a token; ``known`` is what the lower layers make of all of them."""
        ids: list[int] = []
        positions: list[int] = []
        spans = []
        for piece, stop in batch:
            count = stop - piece.start
            spans.append((len(ids), len(ids) + count))
            ids.extend(piece.tokens[piece.start : stop])
            positions.extend(range(piece.row.length, piece.row.length + count))
        device = self.body.device
        ends = [end - 1 for _, end in spans]
        # Of the last layer only what is chosen from is needed: its keys and values, and each piece's end.
        narrow = len(ends) < len(ids)
        rows = [piece.row for piece, _ in batch]
        hidden, lower = self.body.run(
            torch.tensor(ids, device=device),
            torch.tensor(positions, device=device),
            CachePlan(rows, spans, self.body.depth - 1 if narrow else None),
            lower=known,
            wanted=torch.tensor(ends, device=device) if narrow else None,
        )
        for (piece, stop), (first, end) in zip(batch, spans, strict=True):
            piece.row.length += end - first
            piece.start = stop
            last[piece.item] = hidden[end - 1]
            if piece.keep_lower:
                piece.lower.append(lower[first:end].clone())

    # Choosing

    def look(
        self,
        items: Sequence[tuple[Row, Sequence[int]]],
        allowed: Sequence[tuple[int, ...]],
        *,
        keep_lower: bool = False,
    ) -> Look:
        """See :meth:`serve.engine.interface.Engine.look`."""
        fed = self.feed(items, keep_lower=keep_lower)
        return Look(fed.lower, fed.seconds, fed.tokens, self.log_probs(fed.hidden, allowed))

    @torch.inference_mode()
    def log_probs(self, hidden: Tensor, allowed: Sequence[tuple[int, ...]]) -> list[Tensor]:
        """Log-probabilities among the allowed tokens of each position, at temperature 1.

        Args:
            hidden: Final hidden states ``[n, width]``.
            allowed: Token ids per position; empty for free text.

        Returns:
            Per position fp32 on the CPU: ``[len(allowed)]``, or ``[vocabulary]`` for free text.
        """
        return among(
            allowed,
            lambda owners, ids: self.body.some_logits(hidden[owners], ids),
            lambda chunk: self.body.logits(hidden[chunk]),
            self.free_tokens,
            hidden.device,
        )

    def free_tokens(self) -> Tensor:
        """The grammar's free-text mask, ``[vocabulary]``, on the model's device."""
        if self._free is None:
            self._free = self.grammar.free_tokens().to(self.body.device)
        return self._free

    # Adapters

    def share_lower(self, layers: int) -> None:
        """Compute the lower ``layers`` once for all adapters that leave them alone; 0 ends it."""
        self.body.split = layers
        self.shared = SharedLower(layers) if layers else None

    @contextmanager
    def sharing(self, used: bool) -> Iterator[None]:
        """Whether the lower layers are shared inside this block (where they are at all)."""
        kept = self.shared
        self.shared = kept if used else None
        try:
            yield
        finally:
            self.shared = kept

    def adaptable(self, paths: Sequence[str]) -> dict[str, Adaptable]:
        """The linear layers at these paths, made adaptable in place."""
        self.replaced.restore()  # an adapter is to the base model's weights
        self._adapted.update(adapters.adapt(self.body.model, paths))
        return {path: self._adapted[path] for path in paths}

    def linear_paths(self, first_layer: int = 0) -> list[str]:
        """Paths of the linear layers an adapter can change, from decoder layer ``first_layer`` on."""
        return adapters.linear_paths(self.body.model, self.body.layers, first_layer)

    def use_adapter(self, name: str, weights: Tuned) -> None:
        """Compute with an adapter from now on; rows fed before must not be continued.

        Raises:
            InputError: one to another base model, or to this one in another number of bits.
        """
        if to_nf4(weights) != self.nf4:
            own, here = ("in four bits", "as it is") if to_nf4(weights) else ("as it is", "in four bits")
            raise InputError(
                f"The adapter {name} was trained on the base model {own}; here that is {here}, and the two "
                "together are not what was trained.",
                "fde serve and fde evaluate load the base model that an adapter belongs to.",
            )
        if isinstance(weights, FullWeights):
            self.clear_adapter()
            self.replaced.put(frozen_parameters(weights, self.body.device, self.body.dtype))
            self.adapter = name
            return
        modules = self.adaptable(list(weights.pairs))
        self.clear_adapter()
        for path, (a, b) in weights.pairs.items():
            module = modules[path]
            if a.shape[1] != module.in_features or b.shape[0] != module.out_features:
                raise InputError(
                    f"The adapter {name} does not fit: {path} is {module.out_features}x{module.in_features}, "
                    f"the adapter's {b.shape[0]}x{a.shape[1]}.",
                    "It was trained for another base model: choose that one in fde.toml, [model] base.",
                )
            module.set(a.to(self.body.device), b.to(self.body.device), weights.scale)
        self.adapter = name

    def load_adapter(self, folder: Path, name: str | None = None) -> None:
        """Compute with an adapter from a folder."""
        self.use_adapter(name or folder.name, adapters.read(folder))

    def adapter_in_use(self) -> Tuned | None:
        """The adapter that is computed with now, tensors shared; None without one."""
        if (full := self.replaced.in_use()) is not None:
            return full
        pairs = {}
        scale = 0.0
        for path, module in self._adapted.items():
            if module.a is not None and module.b is not None:
                pairs[path], scale = (module.a, module.b), module.scale
        if not pairs:
            return None
        rank = next(iter(pairs.values()))[0].shape[0]
        return AdapterWeights(rank, rank * scale, scale, pairs, self.nf4)

    def clear_adapter(self) -> None:
        """Back to the base model, exactly."""
        self.replaced.restore()
        for module in self._adapted.values():
            module.clear()
        self.adapter = None


def usual_dtype(device: str) -> torch.dtype:
    """bf16 on a GPU, fp32 on a CPU.

    Processors that compute bf16 are not always faster with it, and a choice by the clock would give a
    busy machine another adapter than an idle one.
    """
    return torch.float32 if device == "cpu" else torch.bfloat16


def _dtype(name: str) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name not in known:
        raise InputError(f"Unknown dtype '{name}'.", f"Known are: auto, {', '.join(known)}.")
    return known[name]
